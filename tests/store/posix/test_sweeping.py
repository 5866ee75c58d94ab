"""The remnants of killed workers are removed by themselves, and nothing else is.

Replaced here: the clock of the store, since ctimes cannot be set.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from quire.domain.errors import StoreError
from quire.http.app.periodic_sweep import ABANDONED_AFTER, EVERY, sweep_periodically
from quire.store.posix.store import PosixStore


def test_only_the_abandoned_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload without a write for a day is removed; before that it, and at any time what is published, stays."""
    store = PosixStore.open(tmp_path)
    published = store.blobs.stage("foo/x/file")
    published.write(b"published")
    store.blobs.publish(published.finish())
    store.blobs.stage("foo/x/f").write(b"under way")
    incoming = tmp_path / "quire" / "incoming"
    assert store.sweep(ABANDONED_AFTER) == 0
    assert [path.read_bytes() for path in incoming.iterdir()] == [b"under way"]
    monkeypatch.setattr(store.blobs, "now", lambda: time.time() + ABANDONED_AFTER + 60)
    assert store.sweep(ABANDONED_AFTER) == 1
    assert list(incoming.iterdir()) == []
    with store.blobs.open("foo/x/file") as file:
        assert file.read() == b"published"


def test_what_cannot_be_swept_stops_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of another user is among the abandoned: it is logged once, under the name that it keeps."""
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    monkeypatch.setenv("QUIRE_RUNTIME", str(runtime))
    store = PosixStore.open(tmp_path)
    incoming = tmp_path / "quire" / "incoming"
    foreign = incoming / f"{5:032x}"
    foreign.mkdir()
    (foreign / "00000001.json").write_bytes(b"{}")
    inode = foreign.stat().st_ino
    for number in (0, 9):
        (incoming / f"{number:032x}").write_bytes(b"staged")
    real_rmtree = shutil.rmtree

    def rmtree(path: str) -> None:
        if os.stat(path).st_ino == inode:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        real_rmtree(path)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    with capture_logs() as logs:
        assert store.sweep(0, thorough=True) == 2
        assert store.sweep(0, thorough=True) == 0
    (left,) = incoming.iterdir()
    assert [(entry["event"], entry["path"], entry["error"]) for entry in logs] == [
        ("not swept", str(left), "Permission denied")
    ]
    monkeypatch.undo()
    assert store.sweep(0) == 1
    assert list(incoming.iterdir()) == []


def test_a_step_of_the_sweep_that_fails_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An intent marker cannot be settled: the folders after it are swept, and the error is told."""
    store = PosixStore.open(tmp_path)
    empty = tmp_path / "quire" / "blobs" / "foo" / "x"
    empty.mkdir(parents=True)
    monkeypatch.setattr(store.records, "prefixes", lambda: ("main/projects",))

    def failing(*_: object) -> int:
        raise StoreError("No.")

    monkeypatch.setattr(store.records.listing, "resolve_intents", failing)
    with pytest.raises(StoreError, match=r"No\."):
        store.sweep(0, thorough=True)
    assert not empty.exists()


@pytest.mark.parametrize("error", [StoreError("The store is away."), RuntimeError("can't start new thread")])
def test_a_failing_sweep_is_tried_again(error: Exception) -> None:
    """A store that is away for a while, or a defect, does not end the sweeps: the next one comes an hour later, more or
    less."""
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    async def scenario() -> list[float]:
        ages: list[float] = []
        done = asyncio.Event()

        async def sweep(age: float) -> int:
            ages.append(age)
            if len(ages) == 1:
                raise error
            done.set()
            return 1

        task = asyncio.create_task(sweep_periodically(sweep, pause=pause))
        await done.wait()
        task.cancel()
        return ages

    assert asyncio.run(scenario())[:2] == [ABANDONED_AFTER, ABANDONED_AFTER]
    assert 0 <= pauses[0] <= 60
    assert 0.9 * EVERY <= pauses[1] <= 1.1 * EVERY
