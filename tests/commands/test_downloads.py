"""`quire log --downloads`: real servers write the logs, and the command finds the clients that got a file."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.asking import OPEN, Site, publish_wheel, serve
from tests.distributions import make_wheel, wheel_name
from tests.serving import run_quire, until
from tests.upstreams import serving_index

DEMO, FAR, KEPT, LYING = (wheel_name(name, "1.0") for name in ("demo", "far", "kept", "lying"))


@dataclass
class Rig:
    """A server whose log is a file of its folder."""

    site: Site

    @property
    def log(self) -> Path:
        return self.site.root.parent / "server.log"

    def get(self, project: str, filename: str, **headers: str) -> None:
        before = self.log.read_text().count(f"/{filename}")
        answer = self.site.client.get(self.site.file_url(project, filename), headers=headers)
        assert answer.is_success, answer.text
        # lines are written together, a little later; that of the upload has no path
        until(lambda: self.log.read_text().count(f"/{filename}") > before)

    def quire(self, *words: object, code: int = 0) -> tuple[str, str]:
        done = run_quire(*words, "-d", self.site.root, cwd=self.site.root.parent)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout, done.stderr

    def downloads(self, digest: str, *words: object) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.quire("log", "--downloads", digest, "--from", self.log, "--json", *words)[0]
        )
        return found


@pytest.fixture(scope="module", params=["human", "json"])
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """With demo and kept published, lying dropped in, and far at an upstream."""
    tmp_path = tmp_path_factory.mktemp("downloads")
    flags = ("-v", "--log-stream", "none", "--log-file", tmp_path / "server.log", "--log-format", request.param)
    with serving_index() as upstream:
        upstream.has("far", {FAR: make_wheel("far", "1.0")})
        with serve(tmp_path, *OPEN, *flags, "--upstream", upstream.url, NO_PROXY="*") as site:
            (site.root / "drop").mkdir()
            (site.root / "drop" / LYING).write_bytes(make_wheel("lying", "1.0"))
            publish_wheel(site, "demo", "1.0")
            publish_wheel(site, "kept", "1.0")
            yield Rig(site)


def digest(name: str) -> str:
    return hashlib.sha256(make_wheel(name, "1.0")).hexdigest()


def states(found: dict[str, Any]) -> list[str]:
    return [each["state"] for each in found["files"]]


def test_each_kind_of_file(rig: Rig) -> None:
    """Published, also after it was deleted; dropped in; mirrored. Metadata and pages are no downloads."""
    for project, filename in (("demo", DEMO), ("far", FAR), ("lying", LYING)):
        rig.get(project, filename)
        rig.get(project, filename, range="bytes=0-9")
        rig.site.client.get(f"{rig.site.file_url(project, filename)}.metadata")
    for name, state in (("demo", "published"), ("far", "mirrored"), ("lying", "dropped in")):
        found = rig.downloads(digest(name))
        assert (found["sha256"], states(found), found["refused"]) == (digest(name), [state], 0)
        size = len(make_wheel(name, "1.0"))
        assert [(each["status"], each["bytes"]) for each in found["downloads"]] == [(200, size), (206, 10)]
        assert {each["address"] for each in found["downloads"]} == {"127.0.0.1"}
    rig.quire("delete", "demo", "1.0", "--yes")
    found = rig.downloads(digest("demo")[:12])
    assert sorted(states(found)) == ["deleted", "in the trash"]
    assert len(found["downloads"]) == 2
    rig.quire("trash", "empty", "demo", "--yes")
    assert states(rig.downloads(digest("demo"), "demo")) == ["deleted"]


def test_logs_of_several_kinds(rig: Rig) -> None:
    """In a folder, compressed, of a web server in front; and refused requests are counted."""
    rig.get("kept", KEPT)
    folder = rig.log.parent / "logs"
    folder.mkdir()
    (folder / "quire.log.1.gz").write_bytes(gzip.compress(rig.log.read_bytes()))
    path = f"/packages/kept/{digest('kept')}/{KEPT}"
    line = '192.0.2.9 - ann [29/Nov/2026:09:59:57 +0000] "GET {} HTTP/1.1" {} 99 "-" "pip/26.1"\n'
    (folder / "access.log").write_text(line.format(path, 200) + line.format(path, 403) + line.format("/x", 200))
    out, error = rig.quire("log", "--downloads", digest("kept"), "--from", folder)
    first, second = (row.split("\t") for row in out.splitlines())
    assert first == ["29/Nov/2026:09:59:57 +0000", "ann", "192.0.2.9", "pip/26.1", "200", "99", path, "-"]
    assert second[2:6] == ["127.0.0.1", "-", "200", str(len(make_wheel("kept", "1.0")))]
    assert f"{KEPT} ({digest('kept')[:12]}): published in main" in error
    assert "1 further request got no file" in error


def test_an_unknown_digest(rig: Rig) -> None:
    """Says so, and finds what the log has of it all the same."""
    out, error = rig.quire("log", "--downloads", "0" * 64, "--from", rig.log)
    assert out == ""
    assert "No file with this digest (000000000000) is or was in the store." in error
    assert "No download of it is in " in error


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--downloads", "abc"], "is no SHA-256"),
        (["--downloads", "0" * 64], "To keep one from now on, start the servers with -v --log-file FILE."),
        (["--downloads", "0" * 64, "--from", "nothing.log"], "nothing.log cannot be read"),
        (["--downloads", "0" * 64, "--follow"], "--downloads is about requests"),
        (["--from", "server.log"], "--from names log files for --downloads"),
    ],
)
def test_errors_are_one_sentence(words: list[str], sentence: str, tmp_path: Path) -> None:
    """With exit code 1."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / wheel_name("alpha", "1.0")).write_bytes(make_wheel("alpha", "1.0"))
    run_quire("import", tmp_path / "root", "-d", tmp_path / "root", cwd=tmp_path)
    done = run_quire("log", *words, "-d", tmp_path / "root", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert sentence in done.stderr
