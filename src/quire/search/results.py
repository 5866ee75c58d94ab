"""The results of searches: candidates of the catalog, of each of which the index was asked before it is shown."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import structlog

from quire.access.authorization import ALLOWED, AccessRules, Right
from quire.access.decisions import AccessState
from quire.access.document import AccessDocument
from quire.access.principals import Principal
from quire.catalog.mirroring import mirror_name
from quire.catalog.served import ServedIndex
from quire.catalog.views import ProjectView
from quire.domain.errors import NotFound, QuireError
from quire.domain.upstreams import Upstreams
from quire.search import finding
from quire.search.catalog import Progress, Row, SearchUnavailable
from quire.search.facts import Facts, Needed, python_bit
from quire.search.keeping import Keeper
from quire.search.places import (
    DROP_INS,
    Place,
    is_of,
    origins_of,
    place_of_index,
    place_of_mirror,
    place_of_view,
    places_of,
    places_of_view,
    read_view,
)
from quire.search.query import PAGE_SIZE, Query

T = TypeVar("T")

MOST_COUNTED: Final = 1000
"""Dependents of a project that are counted."""
PATIENCE: Final = 1.0
"""Seconds that the first search waits for the catalog."""

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("quire.search")


@dataclass(frozen=True, slots=True)
class Hit:
    """A project as its index has it now."""

    index: str
    name: str
    facts: Facts
    origins: tuple[str, ...]
    """Some of `quire.search.query.ORIGINS`."""
    used: int
    """How many projects need it, up to MOST_COUNTED."""


class Results(NamedTuple):
    """One page of the results of a query."""

    hits: list[Hit]
    total: int
    """How many there are, about."""
    is_cut: bool
    """Whether there may be more than `total`."""
    has_more: bool
    """Whether there is a next page."""
    projects: int
    """How many the catalog knows by name."""
    read: int
    """How many of those with their words."""
    indexes: tuple[str, ...]
    """That the reader can choose among."""


@dataclass(frozen=True, slots=True)
class Dependent:
    """A project that needs another one."""

    index: str
    name: str
    facts: Facts
    needs: tuple[Needed, ...]
    """The requirements that name the other one."""


class Dependents(NamedTuple):
    """Some of the projects that need another one."""

    found: list[Dependent]
    next: str | None
    """The cursor of the next ones; None for the end."""
    is_complete: bool
    """Whether the catalog has read all projects."""
    is_known: bool
    """Whether there is such a project, as far as that is known without asking an upstream."""


class Listing(NamedTuple):
    """Some of the projects of an index, by name."""

    hits: list[Hit]
    next: str | None
    """The cursor of the next ones; None for the end."""
    names: int
    """How many there are; one that several places have counts for each."""


class _Looked(NamedTuple):
    """The part of the catalog that one page of a query needs."""

    rows: list[Row]
    total: int
    is_cut: bool
    counts: dict[str, int]
    """By name, the number of dependents."""
    progress: list[Progress]


class Reader(NamedTuple):
    """The sender of a search."""

    principal: Principal
    state: AccessState


class Run(Protocol):
    """Runs work that blocks in a thread."""

    def __call__(self, function: Callable[..., T], *args: Any) -> Awaitable[T]: ...


class _Scope:
    """The indexes that one search is about, and their places."""

    def __init__(self, indexes: Mapping[str, ServedIndex], known: dict[str, tuple[object, Place]]) -> None:
        """`known`: places by key, with the source that they are of."""
        self.indexes = dict(indexes)
        self.places: dict[str, Place] = {}
        self.owner: dict[str, str] = {}
        """By place, the index that its projects are shown in: their own one, if it is among these."""
        self.names: dict[str, tuple[str, ...]] = {}
        """By place, its names at this search."""
        for is_own in (True, False):
            for name, index in self.indexes.items():
                for place in places_of(index.own_sources if is_own else index.sources):
                    if place.key not in self.places:
                        kept = known.get(place.key)
                        self.places[place.key] = kept[1] if kept is not None and kept[0] is place.source else place
                        self.owner[place.key] = name
        for key, place in self.places.items():
            known[key] = place.source, place

    def indexes_with(self, project: str) -> list[str]:
        """The indexes of which a place has this name, at this search, each place's own one: those in front of that have
        the name as well, and there may be one for each pull request."""
        return list(dict.fromkeys(self.owner[key] for key, names in self.names.items() if _has(names, project)))

    def keys(self, origins: Sequence[str]) -> list[str]:
        return [key for key, place in self.places.items() if not origins or place.origin in origins]


class Searching:
    """The searches of one worker. Belongs to one event loop."""

    def __init__(
        self,
        served: Callable[[str, AccessState], ServedIndex | None],
        default: str,
        rules: AccessRules,
        keeper: Keeper,
        run: Run,
        *,
        upstreams: Upstreams = (),
    ) -> None:
        """`served`: an index by name, whose sources ask no upstream; `default`: the name of the one at the root;
        `upstreams`: of the settings."""
        self._served = served
        self._default = default
        self._rules = rules
        self._keeper = keeper
        self._run = run
        self._places: dict[str, tuple[object, Place]] = {}
        self._waited: set[str] = set()
        self._upstreams = upstreams
        self._defined: tuple[AccessDocument | None, frozenset[str]] = (None, frozenset())
        """The definitions that were met last, and the keys of all places that there are by them."""

    async def search(self, reader: Reader, query: Query, index: str | None) -> Results:
        """The results of a query among the indexes that its reader may read; `index`: in one alone, with those behind
        it. Raises SearchUnavailable, StoreError."""
        readable = self._readable(reader, index)
        chosen = {name: each for name, each in readable.items() if not query.indexes or name in query.indexes}
        scope = _Scope(chosen, self._places)
        looked = await self._look(scope, partial(self._looked, query, scope))
        asked = [(scope.owner[row.place], row) for row in looked.rows]
        if query.page == 1 and query.name:
            known = {(index, row.name) for index, row in asked}
            typed = Row("", query.name, None, None)
            having = scope.indexes_with(query.name)
            asked = [*((name, typed) for name in having if (name, query.name) not in known), *asked]
        checked = await self._checked(reader, scope, query, asked)
        hits = {(each.index, each.name): each for each in reversed(checked)}
        return Results(
            hits=[replace(each, used=looked.counts.get(each.name, 0)) for each in reversed(hits.values())],
            total=max(looked.total, len(hits)),
            is_cut=looked.is_cut,
            has_more=looked.total > query.page * PAGE_SIZE,
            projects=sum(each.total for each in looked.progress),
            read=sum(each.done for each in looked.progress),
            indexes=tuple(readable),
        )

    def _looked(self, query: Query, scope: _Scope) -> _Looked:
        """The part of the catalog that a page of a query needs. Blocks."""
        catalog, keys = self._keeper.catalog, scope.keys(query.origins)
        found = finding.find(catalog, query, keys)
        # Where the catalog cannot be written it has projects that are gone.
        there = [each for each in found.candidates if _has(scope.names[each.place], each.name)]
        begin = (query.page - 1) * PAGE_SIZE
        wanted = [each.number for each in there[begin : begin + PAGE_SIZE]]
        rows = catalog.rows(wanted)
        names = {row.name for row in rows.values()} | ({query.name} if query.name else set())
        return _Looked(
            [rows[number] for number in wanted if number in rows],
            len(there),
            found.is_cut,
            finding.count_dependents(catalog, names, keys, MOST_COUNTED) if keys else {},
            list(catalog.progress(scope.places).values()),
        )

    async def newest(self, reader: Reader, index: str | None, number: int) -> list[Hit]:
        """The projects with the latest uploads. Raises SearchUnavailable, StoreError."""
        scope = _Scope(self._readable(reader, index), self._places)
        rows = await self._look(scope, partial(finding.newest, self._keeper.catalog, [*scope.places], number))
        found = await self._checked(reader, scope, Query(), [(scope.owner[row.place], row) for row in rows])
        return sorted(found, key=lambda hit: hit.facts.updated, reverse=True)

    async def listing(self, reader: Reader, index: str, after: str, number: int) -> Listing:
        """The projects of an index, of those behind it, and of what is kept of upstreams, whose names come after
        `after`. The catalog need not know them. Raises SearchUnavailable, StoreError."""
        scope = _Scope(self._readable(reader, index), self._places)

        def chosen() -> tuple[list[str], int]:
            lists = self._keeper.names([*scope.places.values()])
            begins = [bisect_right(names, after) for names in lists]
            following = {
                name for names, begin in zip(lists, begins, strict=True) for name in names[begin : begin + number + 1]
            }
            return sorted(following)[: number + 1], sum(map(len, lists))

        names, total = await self._run(chosen)
        asked = [(index, Row("", name, None, None)) for name in names[:number]]
        hits = await self._checked(reader, scope, Query(), asked)
        return Listing(hits, names[number - 1] if len(names) > number else None, total)

    async def dependents(self, reader: Reader, index: str, name: str, after: str = "", number: int = 20) -> Dependents:
        """Projects whose newest release needs a project of an index: of this index, and of those in front of it that
        the reader may read. `name`: normalized; `after`: the cursor. Raises SearchUnavailable, StoreError."""
        readable = self._readable(reader, None) | self._readable(reader, index)
        chosen = {
            each: served for each, served in readable.items() if each == index or index in reader.state.behind(each)
        }
        scope = _Scope(chosen, self._places)
        catalog, keys = self._keeper.catalog, [*scope.places]
        rows = await self._look(scope, partial(finding.dependents, catalog, name, keys, after, number + 1))
        progress = await self._run(catalog.progress, keys)
        names = list(dict.fromkeys(row.name for row in rows))
        last = names[number - 1] if len(names) > number else None
        shown = [row for row in rows if last is None or row.name <= last]
        hits = await self._checked(reader, scope, Query(), [(scope.owner[row.place], row) for row in shown])
        found: dict[tuple[str, str], Dependent] = {}
        for hit in hits:
            needs = tuple(each for each in hit.facts.needs if each.name == name)
            if needs:
                found.setdefault((hit.index, hit.name), Dependent(hit.index, hit.name, hit.facts, needs))
        return Dependents(
            list(found.values()),
            last,
            all(each.checked for each in progress.values()),
            index in chosen and (await chosen[index].look_up(name)).exists,
        )

    async def count_dependents(self, reader: Reader, index: str, name: str) -> int:
        """About how many projects need a project of an index, up to MOST_COUNTED. Raises as `dependents`."""
        scope = _Scope(self._readable(reader, index), self._places)
        catalog, keys = self._keeper.catalog, [*scope.places]
        return (await self._look(scope, partial(finding.count_dependents, catalog, [name], keys, MOST_COUNTED)))[name]

    def close(self) -> None:
        """End what is under way."""
        self._keeper.close()

    # -- steps --------------------------------------------------------------------------------------------------------

    def _readable(self, reader: Reader, index: str | None) -> dict[str, ServedIndex]:
        """The indexes that a reader may read, the one at the root first. A stage of a publishing session is named by
        those alone that know its name."""
        document = reader.state.document
        self._forget_others(document)
        names = [index] if index is not None else [self._default, *sorted(document.indexes)]
        found = {}
        for name in dict.fromkeys(names):
            if index is None and reader.state.definition(name).session is not None:
                continue
            if self._rules.authorize(reader.principal, Right.LIST, name, None, reader.state) is ALLOWED:
                served = self._served(name, reader.state)
                if served is not None:
                    found[name] = served
        return found

    def _forget_others(self, document: AccessDocument) -> None:
        """Forget the places of indexes and upstreams that the definitions do not have any more."""
        known, before = self._defined
        if document is known:
            return
        defined = document.indexes.values()
        upstreams = chain(self._upstreams, *(each.upstreams for each in defined))
        there = frozenset(place_of_index(name) for name in (self._default, *document.indexes))
        there |= {place_of_mirror(mirror_name(each.url)) for each in upstreams}
        self._defined = document, there
        if there != before:
            for gone in [key for key in self._places if not self._is_there(key)]:
                del self._places[gone]
                self._waited.discard(gone)
            self._keeper.forget(self._is_there)

    def _is_there(self, key: str) -> bool:
        return key in self._defined[1] or key == DROP_INS

    async def _look(self, scope: _Scope, function: Callable[[], T]) -> T:
        """The result of a function of the catalog, after that was compared with the places. The first search of a place
        waits for it for a moment."""
        places = list(scope.places.values())

        def look() -> tuple[Sequence[Future[None]], T]:
            names = self._keeper.names(places)
            scope.names = dict(zip(scope.places, names, strict=True))
            return self._keeper.look(places, names), function()

        under_way, found = await self._run(look)
        new = set(scope.places) - self._waited
        self._waited |= new
        if not under_way or not new:
            return found
        await asyncio.wait([asyncio.wrap_future(each) for each in under_way], timeout=PATIENCE)
        return await self._run(function)

    async def _checked(
        self, reader: Reader, scope: _Scope, query: Query, asked: Iterable[tuple[str, Row]]
    ) -> list[Hit]:
        found = await asyncio.gather(*(self._check(reader, scope, query, index, row) for index, row in asked))
        return [each for each in found if each is not None]

    async def _check(self, reader: Reader, scope: _Scope, query: Query, index: str, row: Row) -> Hit | None:
        """The project of a row as its index has it now; None when there is none that its reader may read, or that the
        filters keep. `row`: without a place for a name that was typed."""
        served = scope.indexes[index]
        try:
            view = await served.look_up(row.name)
            owners = [key for key in places_of_view(view) if key in scope.places]
            if not view.exists or not owners or (row.place and row.place not in owners):
                return None
            index = scope.owner[owners[0]]
            facts = await self._facts(served, view, row)
        except NotFound:
            return None
        except Exception as error:  # one odd project must not fail the searches of all readers
            is_expected = isinstance(error, QuireError)
            log.error("left out of a search", project=row.name, index=index, error=str(error), exc_info=not is_expected)
            return None
        if self._rules.authorize(reader.principal, Right.LIST, index, row.name, reader.state) is not ALLOWED:
            return None
        origins = origins_of(view)
        if not _fits(query, facts, origins) or (not facts.version and origins == ("upstream",)):
            return None
        return Hit(index, row.name, facts, origins, 0)

    async def _facts(self, served: ServedIndex, view: ProjectView, row: Row) -> Facts:
        """The facts of a project as it is now: those of the catalog, where they are of this state.

        The catalog saves work only: where it cannot be used just now, the project is read.
        """
        alone = place_of_view(view) if not view.held.blocks else None
        if alone is not None and not row.place:
            with suppress(SearchUnavailable):
                found = await self._run(self._keeper.catalog.row, alone[0], row.name)
                row = found or row
        if row.facts is not None and alone is not None and alone[0] == row.place and is_of(row.tag, alone[1]):
            return row.facts
        tag, facts = await served.read(view, read_view)
        if alone is not None and tag:
            with suppress(SearchUnavailable):
                await self._run(self._keeper.learn, alone[0], view.name, tag, facts)
        return facts


def _has(names: Sequence[str], name: str) -> bool:
    """Whether a name is among sorted ones."""
    place = bisect_left(names, name)
    return place < len(names) and names[place] == name


def _fits(query: Query, facts: Facts, origins: Sequence[str]) -> bool:
    """Whether the filters keep a project."""
    bit = python_bit(query.python) if query.python else None
    return not (
        (query.since and facts.updated < query.since)
        or (bit is not None and not facts.pythons >> bit & 1)
        or (query.yanked == "no" and facts.yanked == 2)
        or (query.yanked == "some" and not facts.yanked)
        or (query.uploader and query.uploader not in facts.uploaders)
        or (query.origins and not set(query.origins) & set(origins))
    )


__all__ = ["Dependents", "Hit", "Listing", "Reader", "Results", "SearchUnavailable", "Searching"]
