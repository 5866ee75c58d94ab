"""Views of the past in one worker: bounded memory, and the object that is not there any more."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from weakref import ref

import pytest

from quire.catalog import past
from quire.catalog.past import PastIndexes
from quire.catalog.served import IndexPolicy, ServedIndex
from quire.domain.changes import Selection
from quire.domain.errors import NotFound, QuireError, StoreError
from quire.domain.moments import canonical
from quire.index.audit.entries import timestamp
from quire.index.index import Index
from quire.observe.metrics.tally import BarrierTally
from quire.process.budget import Budget
from quire.process.threads import Threads
from quire.render.negotiation import MediaType
from quire.store.memory import MemoryStore
from tests.index.test_index import staged_wheel

T = TypeVar("T")
START = datetime(2026, 1, 1, tzinfo=UTC)


class Rig:
    """A worker's index over a store in memory, and its past."""

    def __init__(self, budget: int = 1_000_000) -> None:
        self.index = Index(MemoryStore(), trash_seconds=86_400)
        self.threads = Threads()
        self.is_busy = False
        tallies = {name: BarrierTally() for name in ("project", "projects")}
        self.served = ServedIndex(
            self.index, [], IndexPolicy(), budget=Budget(10_000_000), threads=self.threads, tallies=tallies
        )
        pasts = PastIndexes(self.threads, self._in_large, budget)
        self.past = pasts.of(self.served)
        self.budget = pasts.budget
        assert pasts.of(self.served) is self.past

    async def _in_large(self, function: Callable[..., T], /, *args: Any) -> T:
        if self.is_busy:
            raise QuireError("Too many wait.")
        return await asyncio.get_running_loop().run_in_executor(self.threads.large_pages(), function, *args)

    def publish(self, name: str, version: str = "1.0") -> str:
        self.index.publish([staged_wheel(self.index.store, name, version)])
        return timestamp()


def run(rig: Rig, ask: Callable[[], Awaitable[T]]) -> T:
    async def asking() -> T:
        return await ask()

    try:
        return asyncio.run(asking())
    finally:
        rig.threads.close()


def test_clients_that_try_many_moments_displace_only_each_other() -> None:
    """The views of a worker stay within their own budget, which the present ones do not share."""
    rig = Rig(budget=60_000)
    rig.publish("demo")

    async def ask() -> None:
        await rig.served.project("demo")
        for day in range(100):
            moment = canonical(START + timedelta(days=day))
            view = await rig.past.project("demo", moment)
            view.page(MediaType.JSON_V1, None)
            rig.past.projects.memory.account(past.key_of("demo", moment), view)
            await rig.past.names(moment)
        assert rig.budget.bytes <= 60_000
        assert 0 < len(rig.past.projects.memory) < 100
        assert rig.served.projects.memory.get("demo") is not None

    run(rig, ask)


def test_a_view_is_kept_while_nothing_changes() -> None:
    rig = Rig()
    moment = rig.publish("demo")

    async def ask() -> None:
        first = await rig.past.project("demo", moment)
        names = await rig.past.names(moment)
        assert await rig.past.project("demo", moment) is first
        assert await rig.past.names(moment) is names
        rig.index.delete("demo", Selection())
        second = await rig.past.project("demo", moment)
        assert second is not first
        assert [*second.files] == [*first.files]
        assert (await rig.past.names(moment)).names == ("demo",)
        assert await rig.past.project("demo", moment) is second

    run(rig, ask)


def test_lists_of_too_many_moments_at_once_are_refused() -> None:
    """Each takes a read of every project, and clients choose the moments."""
    rig = Rig()
    moment = rig.publish("demo")
    rig.is_busy = True

    async def ask() -> None:
        with pytest.raises(QuireError, match="Too many wait"):
            await rig.past.names(moment)
        assert [*(await rig.past.project("demo", moment)).files]  # a small one is read at once

    run(rig, ask)


def test_a_bad_name_is_not_found() -> None:
    rig = Rig()
    with pytest.raises(NotFound):
        run(rig, lambda: rig.past.project("Not_Normal", canonical(START)))


def test_an_index_is_not_kept_by_its_past() -> None:
    """One whose definition has changed takes no memory when its last request is answered."""
    rig = Rig()
    watched = ref(rig.served)
    del rig.served
    gc.collect()
    assert watched() is None
    with pytest.raises(StoreError):
        run(rig, lambda: rig.past.project("demo", canonical(START)))


def test_a_project_that_cannot_be_read_is_missing_in_the_list_alone() -> None:
    """The names of all others are there."""
    rig = Rig()
    rig.publish("good")
    moment = rig.publish("bad")
    record = rig.index.store.records.read(rig.index.key("bad"))
    rig.index.store.records.write(record.key, b"{", record)
    assert run(rig, lambda: rig.past.names(moment)).names == ("good",)
