"""`quire backup` and `quire restore` as programs: exit codes, words, JSON, and servers of what was restored."""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from quire.store.contracts import Store
from quire.store.posix.store import PosixStore
from quire.store.purposes import Purpose
from tests import operating
from tests.asking import publish_wheel, serve
from tests.distributions import make_wheel
from tests.documents import DOCS, block
from tests.serving import run_quire


class Host:
    """Folders for a store (`data/packages`), its backups and what is restored."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("data/packages", "backups", "new/packages"):
            (folder / name).mkdir(parents=True)

    def quire(self, line: str, *, code: int = 0) -> str:
        done = run_quire(*line.split(), cwd=self.folder)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def json(self, line: str, *, code: int = 0) -> Any:
        done = run_quire(*line.split(), "--json", cwd=self.folder)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def opened(folder: Path, purpose: Purpose = Purpose.INDEX) -> Store:
    return PosixStore.open(folder, purpose=purpose)


def objects(host: Host) -> list[Path]:
    return sorted(path for path in (host.folder / "backups/quire/blobs/objects").rglob("*") if path.is_file())


def test_a_server_of_what_was_restored(host: Host) -> None:
    """It has the files, and takes the token that was made before the loss: its secret works, in the new place."""
    with serve(host.folder / "data", "-a", ".", "-P", ".") as site:
        publish_wheel(site, "acme-tools", "1.0")
    host.quire("access init --admin root -a update -d data/packages")
    secret = host.json("token create --right upload --expires 30d -d data/packages")["token"]
    host.quire("yank acme-tools 1.0 -d data/packages")
    said = host.quire("backup backups -d data/packages")
    assert "which" in said
    assert "SHA-256 of the manifest: " in said
    shutil.rmtree(host.folder / "data")
    assert "Restored " in host.quire("restore backups -d new/packages")
    assert "Everything is in order." in host.quire("check -d new/packages")
    login = base64.b64encode(f"__token__:{secret}".encode()).decode()
    with serve(host.folder / "new") as site:
        site.client.headers["Authorization"] = f"Basic {login}"
        publish_wheel(site, "acme-tools", "1.1")
        assert len(site.filenames("acme-tools")) == 2
        assert site.listing("acme-tools")["files"][0]["yanked"] is True


def test_a_store_that_is_being_restored_is_not_served(host: Host) -> None:
    """A server, and a command, say what to do; the repetition of the restore ends it."""
    opened(host.folder / "data" / "packages")
    host.quire("backup backups -d data/packages")
    opened(host.folder / "new" / "packages", Purpose.RESTORE)
    for command in ("serve -p 0", "run -p 0"):
        assert "is being restored from a backup" in host.quire(f"{command} new/packages", code=2)
    assert "repeat 'quire restore' until it has ended" in host.quire("ls -d new/packages", code=2)
    host.quire("restore backups -d new/packages")
    assert host.quire("ls -d new/packages") == ""
    assert "has backups, and is no index" in host.quire("serve -p 0 backups", code=2)
    assert "is the store of an index" in host.quire("backup new/packages -d data/packages", code=2)


def test_two_stores_in_one_place(host: Host) -> None:
    """--keep removes nothing of the other store, and a restore asks which one is meant."""
    for folder in ("data", "new"):
        opened(host.folder / folder / "packages")
    other = host.json("backup backups -d new/packages")["moment"]
    mine = [host.json("backup backups --keep 2 -d data/packages")["moment"] for _ in range(2)]
    listed = host.json("backup backups --list")["backups"]
    assert [each["moment"] for each in listed] == [other, *mine]
    said = host.quire("restore backups -d third", code=1)
    assert "backups of 2 stores; say which one with --at" in said
    assert f"{other} of " in said


def test_lists_verifications_and_removals(host: Host) -> None:
    """In words and as JSON; damage ends with 1 and is named, and --keep removes the oldest."""
    with serve(host.folder / "data", "-a", ".", "-P", ".") as site:
        publish_wheel(site, "acme-tools", "1.0")
    taken = [host.json("backup backups --keep 2 -d data/packages") for _ in range(3)]
    assert [each["new_objects"] > 0 for each in taken] == [True, False, False]
    assert [each["removed"] for each in taken] == [[], [], [taken[0]["moment"]]]
    moments = [each["moment"] for each in taken[1:]]
    listed = host.json("backup backups --list")["backups"]
    assert [each["moment"] for each in listed] == moments
    assert {(each["records"], each["missing"], each["problem"]) for each in listed} == {(taken[0]["records"], 0, None)}
    assert [line.split("\t")[0] for line in host.quire("backup backups --list").splitlines()] == moments
    assert "2 backups, " in (said := host.quire("backup backups --verify"))
    assert "Everything is in order." in said
    victim = max(objects(host), key=lambda path: path.stat().st_size)
    victim.chmod(0o600)
    victim.write_bytes(bytes(victim.stat().st_size))
    assert "damage: " in host.quire(f"backup backups --verify --at {moments[0]}", code=1)
    (damaged,) = host.json(f"backup backups --verify --at {moments[0]}", code=1)["backups"]
    assert [each["why"] for each in damaged["damaged"]] == ["Its bytes have another digest."]
    assert "and not served" in host.quire("restore backups -d new/packages", code=1)
    assert "is being restored" in host.quire("ls -d new/packages", code=2)
    host.quire("backup backups --read-back all -d data/packages")
    assert host.json("restore backups -d new/packages" + f" --at {moments[0]}")["complete"] is True
    assert "is not empty" in host.quire("restore backups -d new/packages", code=1)


@pytest.mark.parametrize(
    ("line", "said", "code"),
    [
        ("backup backups --list --verify", "ask one", 2),
        ("backup backups --at 20261130T120000Z", "--at is for --verify", 2),
        ("backup backups --keep 1 -d data/packages", "2 or more", 2),
        ("backup backups --list", "There are no backups in backups", 2),
        ("backup missing -d data/packages", "No such file or directory", 2),
        ("restore backups -d new/packages", "There are no backups in backups", 2),
        ("backup memory: --list", "cannot reach", 2),
    ],
)
def test_refusals(host: Host, line: str, said: str, code: int) -> None:
    """A sentence, and nothing is made."""
    opened(host.folder / "data" / "packages")
    before = sorted(host.folder.rglob("*"))
    assert said in host.quire(line, code=code)
    assert sorted(host.folder.rglob("*")) == before


def test_moments_that_are_none(host: Host) -> None:
    """A name that no backup has, and one that none can have."""
    opened(host.folder / "data" / "packages")
    host.quire("backup backups -d data/packages")
    assert "is no backup" in host.quire("restore backups --at ../x -d new/packages", code=1)
    assert "There is no backup 20000101T000000Z" in host.quire(
        "restore backups --at 20000101T000000Z -d new/packages", code=1
    )
    assert list((host.folder / "new" / "packages").iterdir()) == []


def test_the_disaster_drill(tmp_path: Path) -> None:
    """docs/how-to/disaster.md, block by block, with the loss of the served directory in the middle: pip installs again
    what it installed before, by the same lock file."""
    page, host = DOCS / "how-to" / "disaster.md", operating.Host.make(tmp_path)
    host.backup.mkdir()
    host.program("pip", f'exec {shlex.quote(sys.executable)} -m pip --no-input --no-cache-dir "$@"')
    scripts = {
        mark: host.placed(block(page, "sh", mark)) for mark in ("backup", "verify", "restore", "serve", "install")
    }
    digest = hashlib.sha256(make_wheel("acme-tools", "1.0")).hexdigest()
    (tmp_path / "requirements.txt").write_text(f"acme-tools==1.0 --hash=sha256:{digest}\n")
    with host.serve() as site:
        publish_wheel(site, "acme-tools", "1.0")
        host.shell(scripts["backup"])
    shutil.rmtree(host.data)
    host.shell(scripts["verify"])
    assert "Everything is in order." in host.shell(scripts["restore"])
    quire, serve_command, _, port, *flags, _ = shlex.split(scripts["serve"])
    assert (quire, serve_command) == ("quire", "serve")
    with host.serve(*flags, volume="new") as site:
        address = f"http://127.0.0.1:{port}/"
        assert address in scripts["install"]
        host.shell(scripts["install"].replace(address, f"{str(site.client.base_url).removesuffix('/')}/"))
    assert list((tmp_path / "installed").glob("acme_tools-1.0.dist-info"))
