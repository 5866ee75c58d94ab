"""Whether a read sees each change that was acknowledged before it began, through whichever connection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Final

from quire.doctor.bucket.checks import Check, Count, Result
from quire.doctor.bucket.site import Site, attempt, nonce, together
from quire.domain.errors import StoreError
from quire.store.bucket.objects import BlobBucket, Object, Unchanged, Version

_LANES: Final = 4
"""Keys that are changed at the same time, each seen through connections of its own."""
_DELETES_EVERY: Final = 5
_STALE: Final = (
    "Something answers with what was before: a proxy or a content network that caches, or copies of the bucket that "
    "follow later. Lead quire to the bucket itself, and switch caching off for it, for error answers and conditional "
    "requests as well."
)


class _Counts:
    """The counts of the questions, in the order of the report."""

    def __init__(self) -> None:
        self.changed = Count()
        self.unchanged = Count()
        self.plain = Count()
        self.gone = Count()
        self.appeared = Count()
        self.listed = Count()

    def merge(self, other: _Counts) -> None:
        for name, count in vars(other).items():
            getattr(self, name).merge(count)


def check_visibility(site: Site, rounds: int, advance: Callable[[int], object]) -> Iterator[Check]:
    """Change, replace and remove objects, and ask for them right after."""
    done, lock = [0], threading.Lock()

    def step() -> None:
        with lock:
            done[0] += 1
            advance(done[0])

    lanes = [_Lane(site, number, rounds // _LANES, step) for number in range(_LANES)]
    broken_off: StoreError | None = None
    try:
        together([lane.run for lane in lanes])
    except StoreError as error:  # the answers before it count all the same
        broken_off = error
    counts = _Counts()
    for lane in lanes:
        counts.merge(lane.counts)
    yield counts.changed.check("changed", "A conditional read of an object that changed has the new content", _STALE)
    yield counts.plain.check("read", "A read right after a write has what was written", _STALE)
    yield counts.appeared.check("appeared", "An object that was missing is there once it is written", _STALE)
    yield counts.gone.check("deleted", "An object that was removed is gone", _STALE)
    yield counts.unchanged.check(
        "unchanged",
        "A conditional read of an object that did not change is answered without its content (304)",
        "The answers are right, and each one costs more: the whole record is sent for each check of a page.",
        otherwise=Result.WARNING,
    )
    yield counts.listed.check(
        "listed",
        "A listing has exactly the objects that are there",
        "quire serves nothing by listings. 'quire gc' and 'quire check' may overlook objects; run them again later.",
        otherwise=Result.WARNING,
    )
    if broken_off is not None:
        raise broken_off


class _Lane:
    """One key, changed through one connection and read through two others."""

    def __init__(self, site: Site, number: int, rounds: int, step: Callable[[], None]) -> None:
        near, far = site.connections[2 * number], site.connections[2 * number + 1]
        self._site = site
        self._near, self._far = near, far
        self._third = site.connections[(2 * number + 3) % len(site.connections)]
        self._name = f"lane-{number}"
        self._key = site.key(f"{self._name}/object")
        self._rounds = max(1, rounds)
        self._step = step
        self.counts = _Counts()

    def run(self) -> None:
        """Count. Raises StoreError."""
        version = self._appear()
        for number in range(1, self._rounds + 1):
            if number % _DELETES_EVERY == 0:
                self._disappear(version)
                version = self._appear()
            version = self._change(version)
            self._step()

    def _appear(self) -> Version:
        data = nonce()
        for reader in (self._far, self._third):  # a cache may remember that it is missing
            reader.get(self._key)
        version = self._write(data, None)
        for reader in (self._far, self._third):
            self._ask(self.counts.appeared, reader, None, data)
        self.counts.listed.add("object" in self._site.listed(self._far, self._name), "a new object was not in it")
        return version

    def _disappear(self, version: Version) -> None:
        self._near.remove(self._key)
        self._ask(self.counts.gone, self._far, version, None)
        self._ask(self.counts.gone, self._third, None, None)
        self.counts.listed.add("object" not in self._site.listed(self._far, self._name), "a removed object was in it")

    def _change(self, version: Version) -> Version:
        data = nonce()
        written = self._write(data, version)
        self._ask(self.counts.changed, self._far, version, data)
        self._ask(self.counts.plain, self._third, None, data)
        found = self._far.get(self._key, written)
        if found is Unchanged.UNCHANGED or (found is not None and found.data == data):
            self.counts.unchanged.add(found is Unchanged.UNCHANGED, "the whole object was sent")
        else:
            self.counts.plain.add(False, "the answer had an earlier content")
        return written

    def _write(self, data: bytes, expected: Version | None) -> Version:
        _, written = attempt(self._near, self._key, data, expected)
        if written is None:  # reads are tried also where conditions of writes do not work
            self._near.overwrite(self._key, data)
            found = self._near.get(self._key)
            if not isinstance(found, Object):
                raise StoreError("An object that was written is not there.")
            written = found.version
        return written

    def _ask(self, count: Count, reader: BlobBucket, known: Version | None, expected: bytes | None) -> None:
        """Read, and compare. `expected`: None for no object."""
        found = reader.get(self._key, known)
        if found is Unchanged.UNCHANGED:
            count.add(False, "the answer was that it did not change (304)")
        elif found is None:
            count.add(expected is None, "the answer was that there is no such object")
        else:
            count.add(found.data == expected, "the answer had an earlier content")
