"""A store that version 0.1 made (commit e20b265) is served as it was, changed, and read by that version again.

`store-0.1.tar.gz` has projects with yanked and deleted releases, an archived and a quarantined one, a deleted project
and a drop-in file; `store-0.1.json` the answers of that version's server.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.asking import JSON_V1, OPEN, content_type, multipart, twine_form
from tests.distributions import make_wheel, wheel_name
from tests.documents import ROOT
from tests.serving import environment, free_port, quire_command, running

_HERE = Path(__file__).parent
_COMMIT = "e20b265"
_OLD = json.loads((_HERE / "store-0.1.json").read_text())


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The served directory that version 0.1 left."""
    root = tmp_path / "packages"
    root.mkdir()
    with tarfile.open(_HERE / "store-0.1.tar.gz") as packed:
        packed.extractall(root, filter="data")
    return root


@pytest.fixture
def server(store: Path) -> Iterator[httpx.Client]:
    """This version on it."""
    port = free_port()
    command = quire_command("run", "-i", "127.0.0.1", "-p", port, "--workers", 1, *OPEN, "--disable-fallback", store)
    with running(command, port, cwd=store.parent), httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        yield client


def _within(old: Any, new: Any, where: str) -> None:
    """Everything that the old answer said is in the new one. Numbers of the API may rise."""
    if isinstance(old, dict):
        for key, value in old.items():
            assert key in new, f"{where}.{key}"
            if key != "api-version":
                _within(value, new[key], f"{where}.{key}")
    elif isinstance(old, list):
        assert len(old) == len(new), where
        for number, (left, right) in enumerate(zip(old, new, strict=True)):
            _within(left, right, f"{where}[{number}]")
    else:
        assert old == new, where


def _run(*arguments: object, cwd: Path, old: Path | None = None) -> str:
    """The output of a command of this version, or of the one with these sources."""
    command = [sys.executable, "-P", "-m", "quire", *map(str, arguments)] if old else quire_command(*arguments)
    environ = environment(**({"PYTHONPATH": str(old)} if old else {}))
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_page_says_all_that_it_said(server: httpx.Client) -> None:
    server.headers["Accept"] = JSON_V1
    assert [each["name"] for each in server.get("/simple/").json()["projects"]] == _OLD["names"]
    for name, page in _OLD["pages"].items():
        _within(page, server.get(f"/simple/{name}/").json(), name)
        for each in page["files"]:
            assert server.get(f"/simple/{name}/{each['url']}").status_code == 200


def test_it_is_in_order_and_stays_of_its_layout(store: Path) -> None:
    assert "Everything is in order." in _run("check", "-d", store, cwd=store.parent)
    assert (store / "quire" / "format").read_text() == "quire 1\n"


def test_uploads_go_on(server: httpx.Client) -> None:
    """A name that version 0.1 deleted was free at once; a quarantined project takes no upload; no file is replaced."""

    def upload(name: str, version: str) -> httpx.Response:
        content = make_wheel(name, version, files={f"{name}/other.py": b"other"})
        form = multipart(twine_form(wheel_name(name, version), content, name=name, version=version))
        return server.post("/", content=form, headers={"Content-Type": content_type()})

    assert upload("gone", "1.0").status_code == 200
    assert upload("acme-tools", "1.1").status_code == 409
    assert upload("held", "4.0").status_code == 403
    assert upload("acme-tools", "3.0").status_code == 200


def test_the_old_version_reads_what_this_one_changed(store: Path, tmp_path: Path) -> None:
    packed = subprocess.run(["git", "archive", _COMMIT, "src"], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode != 0:
        pytest.skip(f"this copy of the repository has no commit {_COMMIT}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as sources:
        sources.extractall(tmp_path / "old", filter="data")
    old = tmp_path / "old" / "src"
    wheel = tmp_path / "new" / wheel_name("acme-tools", "3.0")
    wheel.parent.mkdir()
    wheel.write_bytes(make_wheel("acme-tools", "3.0"))
    _run("import", wheel.parent, "--into", store, cwd=tmp_path)
    _run("yank", "acme-tools", "1.1", "--reason", "wrong", "-d", store, cwd=tmp_path)
    _run("owner", "add", "acme-tools", "ann", "-d", store, cwd=tmp_path)
    _run("status", "retired", "deprecated", "-d", store, cwd=tmp_path)
    for version, yanked in {"1.0": "breaks on Windows", "1.1": "wrong", "2.0rc1": False, "3.0": False}.items():
        shown = json.loads(_run("show", "acme-tools", version, "--json", "-d", store, cwd=tmp_path, old=old))
        assert {each["yanked"] for each in shown["files"]} == {yanked}
    assert "deprecated" in _run("status", "retired", "-d", store, cwd=tmp_path, old=old)
    assert "Everything is in order." in _run("check", "-d", store, cwd=tmp_path, old=old)
    _run("yank", "acme-tools", "3.0", "-d", store, cwd=tmp_path, old=old)
    owners = _run("owner", "list", "acme-tools", "-d", store, cwd=tmp_path)
    assert "ann" in owners  # the old version keeps what it does not know
