"""Puts the searches of a worker together: indexes composed as all others are, of which no upstream is ever asked."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from functools import cache
from typing import Final

from quire.access.authorization import AccessRules
from quire.access.decisions import AccessState
from quire.catalog.mirroring import Mirrors, Reach
from quire.catalog.served import ServedIndex
from quire.domain.advisories import Advisories
from quire.domain.upstreams import Upstreams
from quire.http.app.composed import ComposedIndexes
from quire.process.budget import Budget
from quire.process.siblings import folder_of, make_folder, remove_folder
from quire.process.threads import Threads
from quire.search.catalog import Catalog, SearchUnavailable
from quire.search.keeping import Keeper
from quire.search.results import Run, Searching

VIEW_BYTES: Final = 8 * 1024**2
"""For the projects that results were checked by, apart from those of pages."""


def make_searching(
    default: ServedIndex,
    make: Callable[[str], ServedIndex],
    *,
    upstreams: Upstreams,
    advisories: Callable[[AccessState], Advisories | None],
    rules: AccessRules,
    threads: Threads,
    run: Run,
) -> Searching:
    """The searches of a worker. `default`, `make`, `upstreams`, `advisories`: see `ComposedIndexes`.

    Raises SearchUnavailable where there is no place for the catalog.
    """
    budget, store = Budget(VIEW_BYTES), default.store

    @cache
    def mirrors() -> Mirrors:
        return Mirrors(store, threads, Reach(offline=True))

    composed = ComposedIndexes(
        default.apart(budget), lambda name: make(name).apart(budget), mirrors, upstreams, advisories=advisories
    )
    folder = folder_of(os.environ)
    is_shared = folder is not None
    folder = folder or make_folder()
    if folder is None:
        raise SearchUnavailable("Search is not available: there is no temporary directory for its catalog.")
    keeper = Keeper(Catalog(folder), threads.catalogers, waits=not store.validates_inline)
    searching = Searching(composed.at, default.name, rules, keeper, run, upstreams=upstreams)
    if not is_shared:
        weakref.finalize(searching, remove_folder, folder)
    weakref.finalize(searching, keeper.close)  # for a worker that is dropped before it was closed; runs first
    return searching
