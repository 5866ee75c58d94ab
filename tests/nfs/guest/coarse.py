"""Changes that clients miss where a server's change attribute is as coarse as its clock; intent markers prevent it.

Each question is asked between two changes and once more after the second, as fast as the two clients can: where both
changes fall into one tick of the server's clock, the second one is missed unless it is announced.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from quire.domain.errors import BlobMissing
from quire.store.contracts import Record
from quire.store.posix.directory import Directories
from quire.store.posix.store import PosixStore
from tests.nfs.guest import hammer
from tests.nfs.guest.mounts import A, B, new_folder

_STEPS = 60


def run(tick: float, seconds: float = 0.0) -> dict[str, Any]:
    """`tick`: as the setting has it; 0 for off. `seconds`: hammer for so long as well.

    Returns how many answers of each sort were wrong, of how many; `clock_ms` is the smallest step of the timestamps.
    """
    folder = new_folder()
    writers = [PosixStore.open(A / folder, coarse_changes=tick) for _ in range(2)]
    reader = PosixStore.open(B / folder, coarse_changes=tick)
    report: dict[str, Any] = {"clock_ms": _clock(A / folder)}
    scenes: dict[str, Callable[[], Iterator[bool]]] = {
        "plain folder": partial(_plain_folder, folder),
        "record": partial(_record, writers, reader),
        "names": partial(_names, writers, reader),
        "appeared": partial(_appeared, writers, reader),
        "deleted": partial(_deleted, writers, reader),
        "file": partial(_file, writers, reader),
    }
    for name, scene in scenes.items():
        answers = list(scene())
        report[name] = {"asked": len(answers), "wrong": answers.count(False)}
    if seconds:
        mounts = [str(A), str(B)]
        opened = partial(PosixStore.open, coarse_changes=tick)
        report["hammer"] = hammer.run(mounts, mounts, seconds, opened=opened)
    return report


def _plain_folder(folder: str) -> Iterator[bool]:
    """Changes without a touch: listings through a fresh open."""
    (A / folder / "plain").mkdir()
    directories = Directories(str(B / folder), network=True)
    for number in range(_STEPS):
        (A / folder / "plain" / str(number)).mkdir()
        opened = directories.open(str(B / folder / "plain"))
        assert opened is not None
        try:
            yield len(os.listdir(opened[0])) == number + 1
        finally:
            os.close(opened[0])


def _record(writers: list[PosixStore], reader: PosixStore) -> Iterator[bool]:
    key = "main/projects/steady"
    known: Record | None = None
    for number in range(_STEPS):
        writer = writers[number % 2]
        writer.records.write(key, b"%d" % number, writer.records.read(key))
        known = reader.records.read(key, known)
        yield known.data == b"%d" % number


def _names(writers: list[PosixStore], reader: PosixStore) -> Iterator[bool]:
    known = None
    for number in range(_STEPS):
        key = f"main/many/new{number}"
        writers[number % 2].records.write(key, b"{}", reader.records.read(key))
        known = reader.records.names("main/many", known)
        yield len(known.names) == number + 1


def _appeared(writers: list[PosixStore], reader: PosixStore) -> Iterator[bool]:
    """Asked for in vain while others come beside it."""
    keys = [f"main/late/new{number}" for number in range(_STEPS)]
    known = {key: reader.records.read(key) for key in keys}
    for number, key in enumerate(keys):
        writers[number % 2].records.write(key, b"{}", known[key])
        yield reader.records.read(key, known[key]).data == b"{}"
        for later in keys[number + 1 : number + 3]:
            known[later] = reader.records.read(later, known[later])


def _deleted(writers: list[PosixStore], reader: PosixStore) -> Iterator[bool]:
    """Gone and there again, in the record and in the list."""
    key = "main/few/foo"
    record = writers[0].records.write(key, b"{}", writers[0].records.read(key))
    known, names = reader.records.read(key), reader.records.names("main/few")
    for number in range(_STEPS // 2):
        record = writers[0].records.write(key, b"{}" if number % 2 else None, record)
        known, names = reader.records.read(key, known), reader.records.names("main/few", names)
        yield (known.data is not None) == bool(number % 2) == (names.names == ("foo",))


def _file(writers: list[PosixStore], reader: PosixStore) -> Iterator[bool]:
    """One after the other into one folder, each asked for in vain before."""
    for number in range(_STEPS):
        key = f"alpha/publication/{number}"
        with suppress(BlobMissing):
            reader.blobs.open(key).close()
        staging = writers[number % 2].blobs.stage(key)
        staging.write(b"%d" % number)
        writers[number % 2].blobs.publish(staging.finish())
        try:
            with reader.blobs.open(key) as file:
                yield file.read() == b"%d" % number
        except BlobMissing:
            yield False


def _clock(folder: Path) -> float:
    """Milliseconds."""
    stamps = set()
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        (folder / "clock").touch()
        stamps.add((folder / "clock").stat().st_ctime_ns)
    ordered = sorted(stamps)
    return min((after - before for before, after in pairwise(ordered)), default=0) / 1e6
