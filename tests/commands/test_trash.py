"""`quire trash` and `quire delete` as their users run them, beside servers that serve the same directory."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.asking import JSON_V1, OPEN, content_type, multipart, twine_form
from tests.distributions import make_wheel, wheel_name
from tests.serving import DEADLINE, environment, free_port, quire_command, run_quire, running

WHEEL = wheel_name("acme", "1.0")


class Site:
    """Two servers, and the commands, on one directory."""

    def __init__(self, root: Path, clients: list[httpx.Client]) -> None:
        self.root = root
        self.clients = clients

    def upload(self, name: str, version: str, **files: bytes) -> httpx.Response:
        content = make_wheel(name, version, files=files)
        body = multipart(twine_form(wheel_name(name, version), content, name=name, version=version))
        return self.clients[0].post("/", content=body, headers={"content-type": content_type()})

    def pages(self, name: str) -> set[tuple[int, tuple[str, ...]]]:
        """Status and files of the page, as the servers have it."""
        found = set()
        for client in self.clients:
            answer = client.get(f"/simple/{name}/", headers={"accept": JSON_V1}, follow_redirects=False)
            files = answer.json()["files"] if answer.status_code == 200 else []
            found.add((answer.status_code, tuple(file["filename"] for file in files)))
        return found

    def quire(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = run_quire(*arguments, "-d", str(self.root), cwd=self.root.parent)
        assert done.returncode == code, done.stderr
        return done

    def json(self, *arguments: str) -> Any:
        return json.loads(self.quire(*arguments, "--json").stdout)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("trash") / "packages"
    root.mkdir()
    ports = [free_port(), free_port()]
    lines = [quire_command("run", "-p", port, "--workers", 1, "--disable-fallback", *OPEN, root) for port in ports]
    with (
        running(lines[0], ports[0], cwd=root.parent, environ=environment()),
        running(lines[1], ports[1], cwd=root.parent, environ=environment()),
        httpx.Client(base_url=f"http://127.0.0.1:{ports[0]}", timeout=DEADLINE) as first,
        httpx.Client(base_url=f"http://127.0.0.1:{ports[1]}", timeout=DEADLINE) as second,
    ):
        yield Site(root, [first, second])


def test_a_release_that_a_client_deleted_is_restored(site: Site) -> None:
    """`remove_pkg` puts it into the trash; every server stops listing it at once, and lists it again at once."""
    assert site.upload("acme", "1.0").status_code == 200
    site.quire("yank", "acme", "1.0", "--reason", "broken")
    assert site.pages("acme") == {(200, (WHEEL,))}
    removal = {":action": "remove_pkg", "name": "acme", "version": "1.0"}
    assert site.clients[1].post("/", data=removal).status_code == 200
    assert site.pages("acme") == {(200, ())}
    [entry] = site.json("trash", "list", "acme")["files"]
    assert (entry["project"], entry["filename"], entry["version"], entry["taken"]) == ("acme", WHEEL, "1.0", False)
    assert entry["until"][:10] > entry["deleted"][:10]
    assert site.json("trash", "restore", "acme", "--dry-run") == {
        "project": "acme",
        "dry_run": True,
        "restored": [WHEEL],
        "changed": False,
    }
    assert site.pages("acme") == {(200, ())}
    assert site.quire("trash", "restore", "acme", "1.0").stdout == f"Restored {WHEEL}.\n"
    assert site.pages("acme") == {(200, (WHEEL,))}
    [file] = site.clients[1].get("/simple/acme/", headers={"accept": JSON_V1}).json()["files"]
    assert file["yanked"] == "broken"
    assert site.clients[1].get(file["url"]).content == make_wheel("acme", "1.0")
    assert site.json("trash", "list")["files"] == []
    actions = [entry["action"] for entry in site.json("log", "acme")]
    assert actions == ["publish", "yank", "delete", "restore"]


def test_the_name_is_refused_for_other_content_while_a_file_is_in_the_trash(site: Site) -> None:
    """As before: a filename never comes back with other bytes. The same bytes are accepted."""
    assert site.upload("kit", "1.0").status_code == 200
    site.quire("delete", "kit", "1.0", "--yes", "--user", "alice")
    assert site.upload("kit", "1.0", other=b"1").status_code == 400
    assert site.upload("kit", "1.0").status_code == 200
    assert site.json("trash", "list", "kit")["files"] == []
    assert site.quire("trash", "restore", "kit").stdout == "Nothing to do: the same content is published.\n"


def test_a_secret_is_removed_at_once(site: Site) -> None:
    """By `delete --no-trash`, or from the trash; the log says so, and gc finds nothing left."""

    def blobs() -> list[Path]:
        return [path for path in (site.root / "quire" / "blobs" / "secret").rglob("*.whl") if path.is_file()]

    for version in ("1.0", "2.0", "3.0"):
        assert site.upload("secret", version).status_code == 200
    deleted = site.json("delete", "secret", "1.0", "--yes", "--no-trash")
    assert (deleted["in_trash"], deleted["freed"], len(blobs())) == (False, True, 2)
    site.quire("delete", "secret", "2.0", "--yes", "--user", "alice")
    site.quire("delete", "secret", "3.0", "--yes", "--user", "bob")
    assert len(blobs()) == 2
    assert [each["deleted_by"] for each in site.json("trash", "list", "secret")["files"]] == ["alice", "bob"]
    assert [each["version"] for each in site.json("trash", "list", "--by", "bob")["files"]] == ["3.0"]
    assert site.json("trash", "list", "--older-than", "1h")["files"] == []
    error = site.quire("trash", "empty", "secret", "2.0", code=1).stderr
    assert error.startswith("quire: error: Remove 1 file, ")
    assert "add --yes" in error
    assert site.json("trash", "empty", "secret", "2.0", "--dry-run")["removed"][0]["filename"] == wheel_name(
        "secret", "2.0"
    )
    assert len(blobs()) == 2
    done = site.quire("trash", "empty", "secret", "2.0", "--yes", "--user", "carol")
    assert done.stdout.endswith("removed for good.\n")
    assert [path.name for path in blobs()] == [wheel_name("secret", "3.0")]
    assert "no such file of secret" in site.quire("trash", "restore", "secret", "2.0", code=1).stderr
    [entry] = [entry for entry in site.json("log", "secret") if entry["action"] == "empty"]
    assert (entry["user"], [file["version"] for file in entry["files"]]) == ("carol", ["2.0"])
    assert "Say what to remove" in site.quire("trash", "empty", code=1).stderr


def test_the_trash_is_no_index(site: Site) -> None:
    """It cannot be served or changed by the name under which it is stored."""
    done = run_quire("ls", "-d", str(site.root), "--index", "main_trash", cwd=site.root.parent)
    assert done.returncode == 2
    assert "is where the trash of an index is kept" in done.stderr


def test_a_store_without_a_trash(tmp_path: Path) -> None:
    """With the setting at 0 a deletion removes the bytes, as without this feature."""
    (tmp_path / "packages").mkdir()
    source = tmp_path / "source"
    source.mkdir()
    (source / WHEEL).write_bytes(make_wheel("acme", "1.0"))
    environ = environment(QUIRE_TRASH_DAYS="0")
    for line in (
        ["import", "source", "--into", "packages"],
        ["delete", "acme", "1.0", "--yes", "--json", "-d", "packages"],
    ):
        done = run_quire(*line, cwd=tmp_path, environ=environ)
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["freed"]
    assert [path for path in (tmp_path / "packages/quire/blobs").rglob("*") if path.is_file()] == []


def test_another_store_gets_the_trash_as_well(site: Site, tmp_path: Path) -> None:
    """`quire import --from` copies it, and a file can be restored there."""
    assert site.upload("moved", "1.0").status_code == 200
    site.quire("delete", "moved", "--all", "--yes")
    (tmp_path / "new").mkdir()
    done = run_quire("import", "--from", str(site.root), "--into", "new", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run_quire("trash", "restore", "moved", "-d", "new", cwd=tmp_path)
    assert done.stdout == f"Restored {wheel_name('moved', '1.0')}.\n"
    done = run_quire("check", "-d", "new", cwd=tmp_path)
    assert done.stdout.endswith("Everything is in order.\n"), done.stdout
