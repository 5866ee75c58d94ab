"""The searches of one worker in one index that anyone may read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from quire.access.authorization import AccessRules
from quire.access.decisions import AccessState
from quire.access.document import AccessDocument
from quire.access.principals import ANONYMOUS
from quire.catalog.served import IndexPolicy, ServedIndex
from quire.domain.indexes import IndexDefinition
from quire.index.index import Index
from quire.index.upload import examine, upload_key
from quire.observe.metrics.tally import BarrierTally
from quire.process.budget import Budget
from quire.process.threads import Threads
from quire.search.catalog import Catalog
from quire.search.keeping import Keeper
from quire.search.places import Place, places_of
from quire.search.query import Query
from quire.search.results import Hit, Reader, Searching
from quire.store.contracts import Store
from tests.distributions import make_wheel, metadata_text, wheel_name


class Rig(NamedTuple):
    """One worker."""

    store: Store
    served: Mapping[str, ServedIndex]
    keeper: Keeper
    searching: Searching
    reader: Reader
    threads: Threads

    @property
    def place(self) -> Place:
        """The projects that were published to `main`."""
        (place,) = places_of(self.served["main"].own_sources)
        return place

    def publish(self, name: str, version: str = "1.0", *, index: str = "main", keywords: str = "") -> None:
        """Publish a wheel of a project."""
        staging = self.store.blobs.stage(upload_key(wheel_name(name, version)))
        text = metadata_text(name, version, extra=f"Keywords: {keywords}\n" if keywords else "")
        staging.write(make_wheel(name, version, metadata=text))
        self.served[index].hosted.publish([examine(staging.finish(), wheel_name(name, version))])

    async def hits(self, text: str = "") -> list[Hit]:
        """The results of a search in all indexes."""
        return (await self.searching.search(self.reader, Query(text), None)).hits

    async def names(self, text: str = "") -> list[str]:
        """The names of their projects, sorted."""
        return sorted(hit.name for hit in await self.hits(text))

    def version(self, name: str) -> str:
        """Of a project that was published to `main`, as the catalog has it; "" where it does not know."""
        row = self.keeper.catalog.row(self.place.key, name)
        return row.facts.version if row is not None and row.facts is not None else ""

    def make_pass(self, hours: float = 1.0) -> None:
        """Make a pass through all that was published to `main`, as if so much time had gone by since the one before."""
        catalog, key = self.keeper.catalog, self.place.key
        before = catalog.progress([key])[key]
        if before.checked:
            catalog.note(key, before._replace(checked=before.checked - 3600 * hours))
        wait(self.keeper.look([self.place]))

    def finish_work(self) -> None:
        """Wait for the long work that was begun: it has one thread."""
        self.threads.catalogers().submit(int).result()


@contextmanager
def rig(folder: Path, store: Store, *indexes: str, waits: bool = False) -> Iterator[Rig]:
    """A worker with the index `main` and these; its catalog is in a folder. `waits`: see `Keeper`."""
    threads = Threads()
    served = {
        name: ServedIndex(
            Index(store, name),
            [],
            IndexPolicy(),
            budget=Budget(2**22),
            threads=threads,
            tallies={"project": BarrierTally(), "projects": BarrierTally()},
        )
        for name in ("main", *indexes)
    }
    keeper = Keeper(Catalog(folder), threads.catalogers, waits=waits)

    async def run(function: Callable[..., Any], *values: Any) -> Any:
        return await asyncio.to_thread(function, *values)

    searching = Searching(lambda name, _: served.get(name), "main", AccessRules(), keeper, run)
    document = AccessDocument(indexes={name: IndexDefinition() for name in indexes})
    try:
        yield Rig(store, served, keeper, searching, Reader(ANONYMOUS, AccessState(document)), threads)
    finally:
        searching.close()
        threads.close()
        keeper.catalog.close()  # of the looks since
