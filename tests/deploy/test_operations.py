"""docs/operations.md, rehearsed with rsync and a disk of its own; and password files with Apache's htpasswd."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.asking import OPEN, publish, publish_wheel, serve
from tests.distributions import make_sdist, make_wheel, sdist_name, wheel_name
from tests.operating import Host, published_in, publishing
from tests.serving import quire_command
from tests.test_operations import rehearse_a_full_disk

pytestmark = pytest.mark.deploy

DROPPED = sdist_name("dropped", "1.0")
UPLOADS = 300
"""At most, while a store is copied."""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host.make(tmp_path)
    (made.data / DROPPED).write_bytes(make_sdist("dropped", "1.0"))
    return made


def there(text: str) -> str:
    """The script of the backup, as the page says to change it for a move."""
    assert "to=" in text
    return text.replace("/backup/packages", "/new/packages")


def test_backup_of_a_store_in_use(host: Host) -> None:
    """Night after night into one folder, while uploads go on: all that was acknowledged before each run is in it."""
    with host.serve() as site, publishing(site, limit=UPLOADS) as publisher:
        for _ in range(3):
            before = set(publisher.acknowledged)
            assert "damage" not in host.run("backup")
            assert published_in(host.backup) >= before
            publisher.await_more(5)
    assert publisher.refused == []
    host.quire("gc", "-d", host.backup)
    with serve(host.folder / "backup", *OPEN) as copy:
        assert copy.filenames("dropped") == [DROPPED]
        assert copy.get(f"/packages/{publisher.acknowledged[0]}").status_code == 200
        publish_wheel(copy, "busy-0", "9.9")  # a copy is a store like any other


def test_publications_at_every_step(host: Host) -> None:
    """Whatever is published between two lines of the script, the copy is clean: its order is right."""
    script = ""
    for number, line in enumerate(host.script("backup").splitlines(keepends=True)):
        folder = host.folder / f"late-{number}"
        folder.mkdir()
        wheel = wheel_name("late", f"1.{number}")
        (folder / wheel).write_bytes(make_wheel("late", f"1.{number}"))
        script += f"quire import {folder} --into {host.data}\n{line}"
    assert "damage" not in host.shell(script)
    assert wheel_name("late", "1.5") in published_in(host.backup)
    assert wheel not in published_in(host.backup)


def test_deletions_while_it_is_copied(host: Host) -> None:
    """A file published after the first copy of the files and deleted after that of the records: the check of the copy
    names it, the repair takes out just that, and the next night puts the rest right."""
    late = host.folder / "late"
    late.mkdir()
    (late / wheel_name("late", "1.0")).write_bytes(make_wheel("late", "1.0"))
    script = host.script("backup")
    came, went = (
        f"quire import {late} --into {host.data}\n",
        f"quire delete -d {host.data} late --all --yes --no-trash\n",
    )
    (copying,) = (line for line in script.splitlines(keepends=True) if "records ||" in line)
    with host.serve() as site, publishing(site, limit=UPLOADS) as publisher:
        before = set(publisher.acknowledged)
        printed = host.shell(script.replace(copying, f"{came}{copying}{went}"), code=1)
        assert f"damage: main/projects/late/{wheel_name('late', '1.0')}: The stored file is missing" in printed
        host.run("backup-repair")
        host.quire("check", "-d", host.backup)
        assert published_in(host.backup) >= before
        assert wheel_name("late", "1.0") not in published_in(host.backup)
    host.run("backup")
    assert published_in(host.backup) == set(publisher.acknowledged)


def test_a_volume_that_is_not_mounted_does_not_empty_the_backup(host: Host) -> None:
    """The script ends before it touches anything."""
    with host.serve() as site:
        publish_wheel(site, "acme-tools")
    host.run("backup")
    shutil.rmtree(host.data)
    host.data.mkdir()
    host.run("backup", code=1)
    assert published_in(host.backup) == {wheel_name("acme-tools", "1.0")}
    assert (host.backup / DROPPED).exists()
    host.data.rmdir()
    host.data.mkdir()
    host.run("restore")
    assert published_in(host.data) == {wheel_name("acme-tools", "1.0")}
    assert (host.data / DROPPED).exists()


def test_moving_to_another_volume(host: Host) -> None:
    """Copied twice under uploads and once read-only: the server on the new volume has everything and takes uploads."""
    with host.serve() as site, publishing(site, limit=UPLOADS) as publisher:
        host.run("backup", edit=there)
        publish_wheel(site, "gone")
        host.run("backup", edit=there)
        host.quire("delete", "-d", host.data, "gone", "--all", "--yes")
        publisher.await_more(5)
    (host.data / DROPPED).unlink()
    (host.data / sdist_name("dropped", "2.0")).write_bytes(make_sdist("dropped", "2.0"))
    with host.serve_as("move-read-only", "data") as site:
        refused = publish(site, wheel_name("late", "1.0"), make_wheel("late", "1.0"), name="late", version="1.0")
        assert refused.status_code == 403
        assert "damage" not in host.run("backup", edit=there)
        with host.serve_as("move-there", "new") as new:
            assert new.projects() == site.projects()
            for project in site.projects():
                assert new.listing(project) == site.listing(project)
            assert new.filenames("dropped") == [sdist_name("dropped", "2.0")]
            publish_wheel(new, "busy-0", "9.9")
    assert published_in(host.new) == {*publisher.acknowledged, wheel_name("busy-0", "9.9")}
    host.quire("gc", "-d", host.new)
    host.quire("check", "-d", host.new)


@pytest.fixture
def ext4(host: Host) -> Iterator[Host]:
    """A host whose /data/packages is an ext4 of its own, of 16 MB, all of which the server may use."""
    image = host.folder / "disk"
    with image.open("wb") as file:
        file.truncate(16 * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, host.data], check=True)
    (host.data / "lost+found").rmdir()
    yield host
    subprocess.run(["umount", host.data], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to mount a disk")
def test_a_full_disk(ext4: Host) -> None:
    """The same as on a tmpfs, on the file system that most disks have."""
    rehearse_a_full_disk(ext4, reserve="1M", to_the_last_byte=False)


def test_passwords_in_both_directions(tmp_path: Path) -> None:
    """Apache's htpasswd verifies what `quire passwd` wrote, changes the same file, and the other way round."""
    file = tmp_path / "htpasswd"

    def run(*command: object, word: str) -> str:
        done = subprocess.run(
            [str(part) for part in command], input=f"{word}\n", capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout + done.stderr

    run(*quire_command("passwd", "-P", file, "ann", "--stdin"), word="of ann")
    assert "correct" in run("htpasswd", "-v", "-i", file, "ann", word="of ann")
    run("htpasswd", "-i", "-B", file, "bob", word="of bob")
    run(*quire_command("passwd", "-P", file, "ann", "--stdin"), word="changed")
    for user, word in (("ann", "changed"), ("bob", "of bob")):
        assert "correct" in run("htpasswd", "-v", "-i", file, user, word=word)
        assert "is the password" in run(*quire_command("passwd", "-P", file, user, "--verify", "--stdin"), word=word)
