"""Two versions of quire on one store, as during an upgrade: each is a process of its own, with sources of its own.

The other version is a copy of the sources in which one thing is different.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import quire
from quire.index.audit.reading import LogReader
from quire.index.index import Index
from quire.store.posix.store import PosixStore
from tests.asking import JSON_V1, OPEN, content_type, multipart, twine_form
from tests.distributions import make_wheel, wheel_name
from tests.serving import DEADLINE, environment, free_port, quire_command, running

SOURCES = Path(quire.__file__).parent


def version_with(folder: Path, **replacements: tuple[str, str]) -> Path:
    """Sources in which, in the module of each name (`__` for `/`), one text is another one."""
    shutil.copytree(SOURCES, folder / "quire", ignore=shutil.ignore_patterns("__pycache__"))
    for module, (old, new) in replacements.items():
        file = folder / "quire" / f"{module.replace('__', '/')}.py"
        text = file.read_text()
        assert text.count(old) == 1, f"{file.name} does not say {old!r} once"
        file.write_text(text.replace(old, new))
    return folder


def environ_of(sources: Path) -> dict[str, str]:
    return environment(PYTHONPATH=str(sources))


def command(sources: Path, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of that version."""
    return subprocess.run(
        [sys.executable, "-m", "quire", *arguments, "-d", str(root)],
        cwd=root.parent,
        env=environ_of(sources),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@contextmanager
def server(sources: Path, root: Path) -> Iterator[httpx.Client]:
    """A server of that version over the directory."""
    port = free_port()
    line = quire_command("run", "-p", port, "-i", "127.0.0.1", "--workers", 1, *OPEN, root)
    with (
        running(line, port, cwd=root.parent, environ=environ_of(sources)) as served,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE) as client,
    ):
        yield client
        assert "Traceback" not in served.output()


def upload(client: httpx.Client, name: str, version: str) -> httpx.Response:
    content = make_wheel(name, version)
    body = multipart(twine_form(wheel_name(name, version), content, name=name, version=version))
    return client.post("/", content=body, headers={"content-type": content_type()})


def remove(client: httpx.Client, name: str, version: str) -> httpx.Response:
    return client.post("/", data={":action": "remove_pkg", "name": name, "version": version})


def listed(client: httpx.Client, name: str) -> set[str]:
    answer = client.get(f"/simple/{name}/", headers={"accept": JSON_V1})
    assert answer.status_code == 200, answer.text
    return {file["filename"] for file in answer.json()["files"]}


def record(root: Path, name: str) -> bytes:
    """The stored document in force."""
    return max((root / "quire/records/main/projects" / name).glob("*.json")).read_bytes()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "packages").mkdir()
    return tmp_path / "packages"


def test_a_version_that_knows_more_fields_works_beside_this_one(root: Path, tmp_path: Path) -> None:
    """Both serve and change one project by turns: each sees at once what the other did, and no field is lost."""
    newer = version_with(
        tmp_path / "newer",
        domain__project=(
            "entries[filename] = entry | file.unknown",
            'entries[filename] = entry | {"built": [7]} | file.unknown',
        ),
    )
    with server(SOURCES.parent, root) as old, server(newer, root) as new:
        expected = set()
        for number, client in enumerate((new, old, new, old, old, new)):
            assert upload(client, "acme", f"1.{number}").status_code == 200
            expected.add(wheel_name("acme", f"1.{number}"))
            for reader in (old, new, old, new):
                assert listed(reader, "acme") == expected
    first = json.loads(record(root, "acme"))["files"][wheel_name("acme", "1.0")]
    assert first["built"] == [7]
    done = command(SOURCES.parent, root, "yank", "acme", "1.0")
    assert done.returncode == 0, done.stderr
    after = json.loads(record(root, "acme"))["files"][wheel_name("acme", "1.0")]
    assert after == first | {"yanked": True}
    index = Index(PosixStore.open(root))
    log = LogReader(index.store.records, index.name, index.prefix).project("acme")
    assert [each.revision for each in log] == list(range(1, 8))


def test_a_version_without_tombstones_keeps_those_of_this_one(root: Path, tmp_path: Path) -> None:
    """An earlier version that changes a project beside this one loses no name and digest; this one goes on refusing."""
    older = version_with(
        tmp_path / "older",
        domain__project=(
            """        deleted=Tombstones.of(document),
        pending=_pending(document["pending"]) if "pending" in document else None,
        unknown={name: value for name, value in document.items() if name not in _PROJECT_FIELDS},""",
            """        unknown={name: value for name, value in document.items() if name not in _PROJECT_FIELDS
            or name.startswith("deleted")},""",
        ),
        domain__changes=("deleted=after.deleted.with_deleted(gone)", "name=after.name"),
    )
    wheel = wheel_name("acme", "1.0")
    with server(older, root) as old, server(SOURCES.parent, root) as new:
        for version in ("1.0", "1.1", "1.2"):
            assert upload(new, "acme", version).status_code == 200
        assert remove(new, "acme", "1.0").status_code == 200
        kept = json.loads(record(root, "acme"))["deleted"]
        assert list(kept) == [wheel]
        assert upload(old, "acme", "2.0").status_code == 200
        for version in ("1.1", "1.2", "2.0"):
            assert remove(old, "acme", version).status_code == 200
            assert json.loads(record(root, "acme"))["deleted"] == kept
        other = make_wheel("acme", "1.0", files={"more": b"other"})
        body = multipart(twine_form(wheel, other, name="acme", version="1.0"))
        refused = new.post("/", content=body, headers={"content-type": content_type()})
        assert (refused.status_code, "has been used before" in refused.text) == (400, True)
        assert upload(new, "acme", "1.0").status_code == 200
        assert listed(old, "acme") == {wheel}


def test_records_of_a_newer_format_are_never_overwritten(root: Path, tmp_path: Path) -> None:
    """This version refuses such a project in one sentence, to readers and writers, and serves all others; the newer
    one serves everything."""
    both = (
        """FORMAT = 1
\"\"\"The format number of a document without pending files.\"\"\"
FORMAT_WITH_PENDING: Final = 2
""",
        """FORMAT = 3
FORMAT_WITH_PENDING: Final = 3
""",
    )
    newer = version_with(tmp_path / "newer", domain__project=both)
    with server(SOURCES.parent, root) as old, server(newer, root) as new:
        assert upload(old, "plain", "1.0").status_code == 200
        assert upload(new, "shiny", "1.0").status_code == 200
        before = record(root, "shiny")
        for answer in (old.get("/simple/shiny/"), upload(old, "shiny", "2.0")):
            assert answer.status_code == 503
            assert "format 3, written by a newer quire" in answer.text
        assert record(root, "shiny") == before
        assert upload(old, "plain", "2.0").status_code == 200
        for reader in (old, new):
            assert listed(reader, "plain") == {wheel_name("plain", "1.0"), wheel_name("plain", "2.0")}
        assert listed(new, "shiny") == {wheel_name("shiny", "1.0")}
        assert old.get("/health").status_code == 200
    refused = command(SOURCES.parent, root, "yank", "shiny", "1.0")
    assert refused.returncode == 1
    assert "Upgrade it" in refused.stderr
    assert record(root, "shiny") == before


@pytest.mark.parametrize("arguments", [("ls",), ("yank", "acme", "1.0"), ("check",), ("log",)])
def test_a_store_of_another_layout_is_refused(arguments: tuple[str, ...], root: Path, tmp_path: Path) -> None:
    """Neither an older nor a newer program touches it: one line, exit code 2, and not a byte is different."""
    newer = version_with(tmp_path / "newer", store__posix__layout=("\nLAYOUT = 1\n", "\nLAYOUT = 2\n"))
    other = tmp_path / "other"
    other.mkdir()
    with server(newer, root) as new:
        assert upload(new, "acme", "1.0").status_code == 200
    with server(SOURCES.parent, other) as old:
        assert upload(old, "acme", "1.0").status_code == 200
    for sources, directory in ((SOURCES.parent, root), (newer, other)):
        before = everything(directory)
        done = command(sources, directory, *arguments)
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1
        assert "layout" in done.stderr
        assert everything(directory) == before


def test_a_server_does_not_start_on_a_newer_layout(root: Path, tmp_path: Path) -> None:
    """It says in one line which layout it found and which it knows."""
    newer = version_with(tmp_path / "newer", store__posix__layout=("\nLAYOUT = 1\n", "\nLAYOUT = 2\n"))
    with server(newer, root) as new:
        assert upload(new, "acme", "1.0").status_code == 200
    done = subprocess.run(
        quire_command("run", "-p", free_port(), "-i", "127.0.0.1", *OPEN, root),
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 2
    assert "'quire 2'" in done.stderr
    assert "'quire 1'" in done.stderr


def everything(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_version_without_a_trash_keeps_that_of_this_one(root: Path, tmp_path: Path) -> None:
    """An earlier version neither serves nor removes what is in the trash, by no command: it is an index to it."""
    older = version_with(
        tmp_path / "older",
        domain__trash=("return index.endswith(SUFFIX)", "return False"),
        index__index=("is_kept = to_trash and self._trash_seconds > 0", "is_kept = False"),
        operations__checking__collect=("collected.expired += Expiry(index).run(dry_run=dry_run)", "pass"),
        commands__gc=("MIN_AGE = 900.0", "MIN_AGE = 0.0"),
    )
    with server(older, root) as old, server(SOURCES.parent, root) as new:
        for version in ("1.0", "1.1"):
            assert upload(new, "acme", version).status_code == 200
        for version in ("1.0", "1.1"):
            assert remove(new, "acme", version).status_code == 200
        assert upload(old, "acme", "1.2").status_code == 200
        assert remove(old, "acme", "1.2").status_code == 200
        for line in (["gc", "--older-than", "0s"], ["check"]):
            done = command(older, root, *line)
            assert done.returncode == 0, done.stdout + done.stderr
        for client in (old, new):
            assert client.get("/simple/", headers={"accept": JSON_V1}).json()["projects"] == []
        done = command(SOURCES.parent, root, "trash", "restore", "acme")
        assert done.returncode == 0, done.stderr
        expected = {wheel_name("acme", "1.0"), wheel_name("acme", "1.1")}
        assert listed(old, "acme") == listed(new, "acme") == expected
    done = command(SOURCES.parent, root, "check")
    assert done.returncode == 0, done.stdout
