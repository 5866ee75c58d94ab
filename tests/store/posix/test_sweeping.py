"""The remnants of killed workers are removed by themselves, and nothing else is.

Replaced here: the clock of the store, since ctimes cannot be set.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

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
