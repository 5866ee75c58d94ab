"""The power fails at every moment of a change. See `crash_model`, `power_cut` and `shutdowns`.

Replaced here: functions of the store, by faulty ones that the judge must find.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quire.store.posix import blobs as posix_blobs
from quire.store.posix import files as posix_files
from quire.store.posix import names as posix_names
from quire.store.posix import records as posix_records
from quire.store.posix.files import create_durable, sync_directory, write_all
from tests.faults import ptracing, shutdowns
from tests.faults.crash_model import Disk, materialize
from tests.faults.power_cut import Cuts, PowerCut
from tests.faults.publisher import SCENARIOS
from tests.faults.sweep import Stage, scratch

Note = Callable[[str, object], None]

pytestmark = pytest.mark.skipif(ptracing.unavailable() is not None, reason=str(ptracing.unavailable()))


@pytest.fixture
def folder() -> Iterator[Path]:
    made = scratch()
    yield made
    shutil.rmtree(made)


def _cut(name: str, folder: Path, *, moments: int = 1, repetitions: int = 0) -> Cuts:
    power_cut = PowerCut(Stage(SCENARIOS[name], folder), folder)
    power_cut.at_every_moment(sample=moments)
    if repetitions:
        power_cut.after_repetition(sample=repetitions)
        power_cut.after_another(sample=repetitions)
    return power_cut.cuts


@pytest.mark.parametrize("name", ["first", "overwrite", "delete", "recreate"])
def test_a_power_cut_at_any_moment(name: str, folder: Path) -> None:
    """A sample of all that follows."""
    cuts = _cut(name, folder, moments=3, repetitions=30)
    assert cuts.violations == []
    assert cuts.states > 3


@pytest.mark.faults
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_power_cut_at_every_moment(name: str, folder: Path, record_property: Note) -> None:
    """Whatever POSIX lets survive: what was acknowledged is there, the rest is whole or not at all."""
    cuts = _cut(name, folder, repetitions=16 if name == "prune" else 4)
    assert cuts.violations == []
    record_property("faults", f"power cut, model: {cuts}")


@pytest.mark.faults
@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("filesystem", shutdowns.FILESYSTEMS)
def test_a_power_cut_of_a_real_file_system(filesystem: str, name: str, folder: Path, record_property: Note) -> None:
    """ext4 and xfs, shut down before every third call, recover from their journals what was promised."""
    reason = shutdowns.unavailable(filesystem)
    if reason is not None:
        pytest.skip(reason)
    result = shutdowns.cut_everywhere(Stage(SCENARIOS[name], folder), folder, filesystem, sample=3)
    assert result.violations == []
    record_property("faults", f"power cut, {result}")


@pytest.mark.faults
@pytest.mark.parametrize("filesystem", shutdowns.FILESYSTEMS)
def test_a_copy_of_the_mounts_does_not_keep_a_file_system(filesystem: str, folder: Path) -> None:
    """Another process copies all mounts that it sees, as a container does when it starts: what was shut down recovers
    all the same when it is mounted again."""
    reason = shutdowns.unavailable(filesystem)
    if reason is not None:
        pytest.skip(reason)
    copying = ["nsenter", "-t", str(os.getpid()), "-m", "unshare", "-m", "--propagation", "private"]

    def work() -> bytes:
        image = shutdowns.Image(folder, filesystem)
        with image.mounted() as root:
            command = [*copying, "sh", "-c", "echo copied; exec sleep 600"]
            copy = subprocess.Popen(command, stdout=subprocess.PIPE)
            assert copy.stdout is not None
            assert copy.stdout.readline() == b"copied\n"
            create_durable(f"{root}/file", b"content")
            sync_directory(root)
            shutdowns.shut_down(root)
        try:
            with image.mounted() as root:
                return Path(root, "file").read_bytes()
        finally:
            copy.kill()
            copy.wait()

    assert shutdowns.in_own_mounts(work) == b"content"


def _nothing(*_: object, **__: object) -> None:
    pass


def _without_fsync(path: str, data: bytes, mode: int = 0o666) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    write_all(fd, data)
    os.close(fd)


@pytest.mark.parametrize(
    ("name", "where", "what", "instead"),
    [
        ("second", posix_records, "sync_directory", _nothing),
        ("second", posix_files.PendingFile, "make_durable", _nothing),
        ("first", posix_records, "create_durable", _without_fsync),
        ("second", posix_blobs, "sync_directory", _nothing),
        pytest.param("second", posix_records.PosixRecords, "confirm", _nothing, marks=pytest.mark.faults),
        ("first", posix_records, "sync_directory", _nothing),
        ("delete", posix_names, "sync_directory", _nothing),
    ],
)
def test_a_store_that_forgets_to_sync_is_convicted(
    name: str, where: object, what: str, instead: object, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fsync is needed: without it a power cut loses or tears something, and the judge sees it."""
    monkeypatch.setattr(where, what, instead)
    stage = Stage(SCENARIOS[name], folder)
    power_cut = PowerCut(stage, folder, enough=1)
    power_cut.at_every_moment()
    power_cut.after_repetition()
    assert power_cut.cuts.violations


def test_the_model_loses_unsynced_data(tmp_path: Path) -> None:
    """The model itself: a synced file under an unsynced name, an unsynced file under a synced name."""
    for name in ("before", "after", "made"):
        (tmp_path / name).mkdir()
    (tmp_path / "before" / "folder").mkdir()
    root = str(tmp_path / "before")

    def act(_: Callable[[bytes], None]) -> None:
        for name, is_file_synced in (("a", True), ("b", False)):
            fd = os.open(f"{root}/folder/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            os.write(fd, b"1234")
            if is_file_synced:
                os.fsync(fd)
            os.close(fd)
            if name == "a":
                os.mkdir(f"{root}/folder/c")
            else:
                fd = os.open(f"{root}/folder", os.O_RDONLY)
                os.fsync(fd)
                os.close(fd)
        os.rename(f"{root}/folder/a", f"{root}/folder/d")

    disk = Disk(root)
    run = ptracing.traced(act, root=root)
    found = set()
    for call in run.calls:
        disk.apply(call)
    for number, tree in enumerate(disk.states(0)):
        made = tmp_path / "made" / str(number)
        made.mkdir()
        materialize(tree, str(made))
        found.add(
            tuple(
                (path.name, path.read_bytes() if path.is_file() else None)
                for path in sorted((made / "folder").iterdir())
            )
        )
    assert found == {
        (*first, ("b", torn), ("c", None), *last)
        for torn in (b"", b"12", b"1234", bytes(4))
        for first in ((("a", b"1234"),), ())
        for last in ((("d", b"1234"),), ())
    }
