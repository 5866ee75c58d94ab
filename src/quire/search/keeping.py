"""Keeps the catalog like the store: what a search needs at once, and the rest in a thread of its own.

Theory of operation. Nothing happens before the first search. Each search asks every place for its names, which is one
look where nothing changed, and enters a few new ones with all their facts before it goes on: a project that was
published a moment ago is found. All else is work for the thread: a place that is new, or has many new names, is read
from its beginning to its end, first the names alone. Of the processes of a machine one does that, with a lock on a file
that ends with its process; all of them read the catalog meanwhile, and say how far it is.

That a known project has changed is found by passes through a place, which compare the tag of each project, and by each
result that is shown: the index was asked for it then, and gave another tag. Passes are made while there are searches,
and take a twentieth of the time at the most.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Final

import structlog

from quire.domain.errors import QuireError, StoreError
from quire.search.catalog import Catalog, Progress, SearchUnavailable, is_no_room, now
from quire.search.facts import Facts
from quire.search.places import UNCHANGED, Place, Read

FEW: Final = 20
"""New names that a search reads at once."""
PASS_SECONDS: Final = 60.0
"""Between two passes through a place, at least."""
_SHARE: Final = 20
"""A pass begins when so many times as long as the one before took has gone by."""
_BATCH: Final = 50
"""Projects of one transaction."""
_NAMES_BATCH: Final = 1000
_READERS: Final = 8
"""Threads where each project is a round trip or more."""
_SLICE: Final = 0.02
"""Seconds of work, after which as long a pause gives way to the requests of the worker."""

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("quire.search")


class Keeper:
    """The catalog of one process. Safe to use from several threads."""

    def __init__(self, catalog: Catalog, executor: Callable[[], Executor], *, waits: bool) -> None:
        """`executor`: a thread for long work; `waits`: whether the store is behind a network, so that several projects
        are read at a time."""
        self.catalog = catalog
        self._executor = executor
        self._waits = waits
        self._lock = threading.Lock()
        self._known: dict[str, tuple[str, ...]] = {}
        """By place, the names that were compared with the catalog last."""
        self._number = -1
        """Of the file that they were compared with."""
        self._under_way: dict[str, Future[None]] = {}
        self._full_until: dict[str, float] = {}
        """By place for which there was no room, when to try again."""
        self._forget_again: tuple[float, Callable[[str], bool]] | None = None
        """When to try again to remove the places that are no more, and whether one is."""
        self._is_closing = False

    def names(self, places: Sequence[Place]) -> list[tuple[str, ...]]:
        """The names of places now; where each is a round trip several at a time. Blocks. Raises StoreError."""
        if self._waits and len(places) > 1:
            with ThreadPoolExecutor(min(_READERS, len(places))) as pool:
                return list(pool.map(Place.names, places))
        return [place.names() for place in places]

    def look(self, places: Sequence[Place], names: Sequence[tuple[str, ...]] | None = None) -> list[Future[None]]:
        """Compare the names of places with the catalog, and begin what takes longer; what is under way. Blocks.

        `names`: those of the places, if they were read just now. Raises StoreError.
        """
        self._forget_names_of_other_file()
        again = self._forget_again
        if again is not None and now() >= again[0]:
            self.forget(again[1])
        progress = self.catalog.progress([place.key for place in places])
        for place, found in zip(places, self.names(places) if names is None else names, strict=True):
            known = progress[place.key]
            with self._lock:
                before = self._known.get(place.key)
            if not known.checked:
                self._begin(place)
            elif found is not before:
                self._compare_if_room(place, before, found)
            if known.checked and now() - known.checked > _pause(known.took):
                self._begin(place)
        with self._lock:
            return [self._under_way[place.key] for place in places if place.key in self._under_way]

    def forget(self, is_there: Callable[[str], bool]) -> None:
        """Begin to remove all places that are no more. `is_there`: whether one is, by its key."""
        with self._lock:
            self._known = {key: names for key, names in self._known.items() if is_there(key)}
            self._forget_again = None
            if not self._is_closing:
                self._executor().submit(self._forget, is_there)

    def learn(self, place: str, name: str, tag: str, facts: Facts) -> None:
        """Enter what was found of a project otherwise. Blocks. A catalog that cannot be written stays as it is."""
        try:
            self._enter(place, {name: (tag, facts)})
        except SearchUnavailable as error:
            log.warning("search catalog not written", project=name, error=str(error))

    def close(self) -> None:
        """End what is under way at its next step."""
        self._is_closing = True
        self.catalog.close()

    def _forget_names_of_other_file(self) -> None:
        number = self.catalog.number()
        with self._lock:
            if number != self._number:
                self._number = number
                self._known.clear()
                self._full_until.clear()

    def _compare(self, place: Place, before: tuple[str, ...] | None, found: tuple[str, ...]) -> None:
        """Enter a few changes of the names at once; more of them are work for the thread."""
        stored = set(before) if before is not None else set(self.catalog.tags(place.key))
        names = set(found)
        added, gone = names - stored, stored - names
        if len(added) <= FEW:
            if gone:
                self.catalog.remove(place.key, sorted(gone))
            self._read(place, sorted(added), {})
        elif not self._is_full(place.key):
            self._begin(place)
            return
        with self._lock:
            self._known[place.key] = found

    def _compare_if_room(self, place: Place, before: tuple[str, ...] | None, found: tuple[str, ...]) -> None:
        """Compare, but let the search go on without changes for which there is no room: the next pass enters them."""
        try:
            self._compare(place, before, found)
        except SearchUnavailable as error:
            if not is_no_room(error.__cause__):
                raise
            log.warning("search catalog not complete", place=place.key, error=str(error))
            with self._lock:
                self._known[place.key] = found

    # -- long work ----------------------------------------------------------------------------------------------------

    def _begin(self, place: Place) -> None:
        with self._lock:
            if place.key in self._under_way or self._is_closing or self._is_full(place.key):
                return
            self._under_way[place.key] = self._executor().submit(self._run, place)

    def _is_full(self, key: str) -> bool:
        """Whether there was no room for a place a while ago."""
        return now() < self._full_until.get(key, 0.0)

    def _run(self, place: Place) -> None:
        begun = now()
        try:
            with self._alone() as is_alone:
                if is_alone:
                    self._pass(place)
        except (QuireError, OSError) as error:
            log.warning("search catalog not complete", place=place.key, error=str(error))
            if is_no_room(error.__cause__):
                self._full_until[place.key] = now() + _pause(now() - begun)
        finally:
            with self._lock:
                self._under_way.pop(place.key, None)

    def _forget(self, is_there: Callable[[str], bool]) -> None:
        """Several processes may do it at a time."""
        pace = _Pace()
        try:
            for place in [each for each in self.catalog.places() if not is_there(each)]:
                for batch in _batches(list(self.catalog.tags(place)), _NAMES_BATCH):
                    if self._is_closing:
                        return
                    if is_there(place):  # it was made again
                        break
                    self.catalog.remove(place, batch)
                    pace.step()
                else:
                    self.catalog.forget(place)
        except (QuireError, OSError) as error:
            log.warning("search catalog has places that are no more", error=str(error))
            self._forget_again = now() + PASS_SECONDS, is_there

    def _pass(self, place: Place) -> None:
        """Make a place in the catalog like the store."""
        begun, pace = now(), _Pace()
        found, catalog = place.names(), self.catalog
        stored, number = catalog.tags(place.key), catalog.number()
        before = catalog.progress([place.key])[place.key]
        names = set(found)
        unread = [name for name in found if stored.get(name) is None]
        read = [name for name in found if stored.get(name) is not None]
        done = len(read)
        changed = place.perhaps_changed(before.checked - before.took) if before.checked and read else None
        if changed is not None:  # those without a tag are read each time
            read = [name for name in read if name in changed or not stored[name]]
        catalog.note(place.key, before._replace(total=len(found), done=done))
        for batch in _batches(sorted(stored.keys() - names), _NAMES_BATCH):
            catalog.remove(place.key, batch)
            pace.step()
        for batch in _batches([name for name in found if name not in stored], _NAMES_BATCH):
            catalog.add_names(place.key, batch)
            pace.step()
        with self._lock:
            self._known[place.key] = found
        for batch in chain(_batches(unread, _BATCH), _batches(read, _BATCH)):
            catalog.note(place.key, before._replace(total=len(found), done=done))
            self._read(place, batch, stored)
            if self._is_closing or catalog.number() != number:  # it was deleted
                return
            done = min(done + len(batch), len(found))
            pace.step()
        catalog.note(place.key, Progress(len(found), len(found), now(), now() - begun))

    def _read(self, place: Place, names: Sequence[str], tags: dict[str, str | None]) -> None:
        """Read these projects, and enter what is new of them. `tags`: those that the catalog has."""

        def read(name: str) -> Read | None:
            try:
                return place.read(name, tags.get(name))
            except StoreError as error:
                place.names()  # raises if it is not this project alone
                log.error("left out of the search catalog", project=name, error=str(error))
                return self._without_tag(place, name)
            except Exception:  # of this project alone; the others are read
                log.exception("left out of the search catalog", project=name)
                return self._without_tag(place, name)

        if self._waits and len(names) > 1:
            with ThreadPoolExecutor(_READERS) as pool:
                results = list(pool.map(read, names))
        else:
            results = [read(name) for name in names]
        found = dict(zip(names, results, strict=True))
        changed = {name: (each.tag, each.facts) for name, each in found.items() if each not in (None, UNCHANGED)}
        if changed:
            self._enter(place.key, changed)
        gone = [name for name, each in found.items() if each is None]
        if gone:
            self.catalog.remove(place.key, gone)

    def _without_tag(self, place: Place, name: str) -> Read:
        """A project that could not be read, as the catalog has it: without a tag each pass reads it again."""
        row = self.catalog.row(place.key, name)
        return Read("", row.facts) if row is not None and row.facts is not None and row.tag else UNCHANGED

    def _enter(self, place: str, found: Mapping[str, tuple[str, Facts]]) -> None:
        """Enter what was found of projects, but of those with facts that cannot be written."""
        try:
            self.catalog.put(place, found)
        except StoreError:
            raise
        except Exception:
            if len(found) > 1:
                for name, each in found.items():
                    self._enter(place, {name: each})
            else:
                log.exception("left out of the search catalog", project=next(iter(found), ""))

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether no other process of this machine reads a place meanwhile."""
        path = Path(f"{self.catalog.path}.lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
        finally:
            os.close(descriptor)


def _pause(took: float) -> float:
    """Seconds between two passes of which the first took so long."""
    return max(PASS_SECONDS, _SHARE * took)


class _Pace:
    """Works for a while, then pauses as long."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()

    def step(self) -> None:
        """Pause if it is time."""
        worked = time.perf_counter() - self._begun
        if worked >= _SLICE:
            time.sleep(worked)
            self._begun = time.perf_counter()


def _batches(names: Sequence[str], size: int) -> Iterator[list[str]]:
    remaining = iter(names)
    while batch := list(islice(remaining, size)):
        yield batch
