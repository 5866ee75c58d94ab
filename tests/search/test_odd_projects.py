"""Projects at which the search itself fails: they are left out, and take no search away.

Replaced here: the function that finds the facts of a project, which fails at some, since it should fail at none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from quire.access.authorization import AccessRules
from quire.access.decisions import AccessState
from quire.access.document import AccessDocument
from quire.access.principals import ANONYMOUS
from quire.catalog.served import IndexPolicy, ServedIndex
from quire.catalog.sources import ListedFile
from quire.domain.project import Status
from quire.index.index import Index
from quire.observe.metrics.tally import BarrierTally
from quire.process.budget import Budget
from quire.process.threads import Threads
from quire.search import places
from quire.search.catalog import Catalog
from quire.search.facts import Facts
from quire.search.keeping import Keeper
from quire.search.query import Query
from quire.search.results import Reader, Searching
from quire.store.memory import MemoryStore
from tests.index.test_index import staged_wheel

facts_of = places.facts_of


def odd_facts(name: str, display: str | None, status: Status | None, listed: Sequence[ListedFile]) -> Facts:
    """Some cannot be read; the facts of others cannot be written."""
    if name.startswith("unread"):
        raise RuntimeError("odd")
    found = facts_of(name, display, status, listed)
    return msgspec.structs.replace(found, requires_python="\ud800") if name.startswith("unwritten") else found


def test_odd_projects_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass reads the others to the end, a new project is found at once, and nothing is read again at each search."""
    monkeypatch.setattr(places, "facts_of", odd_facts)
    store, threads = MemoryStore(), Threads()
    index = Index(store)

    def publish(*names: str) -> None:
        for name in names:
            index.publish([staged_wheel(store, name, "1.0")])

    served = ServedIndex(
        index,
        [],
        IndexPolicy(),
        budget=Budget(2**20),
        threads=threads,
        tallies={"project": BarrierTally(), "projects": BarrierTally()},
    )
    keeper = Keeper(Catalog(tmp_path), threads.catalogers, waits=False)

    async def run(function: Callable[..., Any], *values: Any) -> Any:
        return await asyncio.to_thread(function, *values)

    searching = Searching(lambda name, _: served if name == "main" else None, "main", AccessRules(), keeper, run)
    reader = Reader(ANONYMOUS, AccessState(AccessDocument()))

    async def found() -> list[str]:
        await asyncio.sleep(0)
        return sorted(hit.name for hit in (await searching.search(reader, Query(), None)).hits)

    async def scenario() -> None:
        publish("one", "unread", "unwritten", "two")
        assert await found() == ["one", "two", "unwritten"]
        (progress,) = keeper.catalog.progress(["hosted/main"]).values()
        assert (progress.total, progress.done, bool(progress.checked)) == (4, 4, True)
        publish("three", "unread-too", "unwritten-too")
        assert await found() == ["one", "three", "two", "unwritten"]
        reads = list[str]()
        monkeypatch.setattr(places.Place, "read", lambda _, name, known=None: reads.append(name))
        assert "one" in await found()
        assert reads == []

    try:
        with capture_logs() as lines:
            asyncio.run(scenario())
    finally:
        searching.close()
        threads.close()
    assert {line["project"] for line in lines} == {"unread", "unread-too", "unwritten", "unwritten-too"}
