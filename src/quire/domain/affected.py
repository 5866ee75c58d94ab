"""The advisories of one project, arranged so that those of a version are found fast.

Theory of operation. The bounds of all intervals (`quire.domain.osv`) are sorted once. A version then has a place among
them: on the n-th bound (2n + 1), or in the gap before it (2n). An interval is a pair of places, so whether it has the
version is a comparison of numbers. Versions that are listed one by one are found by their canonical text.

A build of a version (`2.0.1+cu118`) has its own place in the order; besides it is affected wherever the version that it
is a build of is named by itself, in a list or as the last one that is affected.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from packaging.version import Version

from quire.domain.osv import Entry, canonical, version


class Affected:
    """Immutable; any thread may ask."""

    __slots__ = ("_bounds", "_exact", "_fixed", "_places", "entries")

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        bounds = {bound for entry in entries for each in entry.intervals for bound in (each.start, each.end) if bound}
        self._bounds = sorted({version(bound) for bound in bounds})
        numbers = {bound: number for number, bound in enumerate(self._bounds)}
        places = {bound: 2 * numbers[version(bound)] + 1 for bound in bounds}
        end = 2 * len(self._bounds)
        self._places: list[tuple[int, int, int]] = []
        """The number of an entry, and the first and the last place of one of its intervals."""
        self._exact: dict[str, list[int]] = {}
        self._fixed: dict[str, list[int]] = {}
        for number, entry in enumerate(entries):
            for each in entry.intervals:
                first = places[each.start] if each.start else 0
                last = places[each.end] - (not each.has_end) if each.end else end
                self._places.append((number, first, last))
                if each.has_end:
                    self._exact.setdefault(canonical(each.end), []).append(number)
            for text in entry.versions:
                self._exact.setdefault(text, []).append(number)
            for text in entry.fixed:
                self._fixed.setdefault(canonical(text), []).append(number)

    def of(self, text: str) -> list[Entry]:
        """The entries by which a version is affected, in their order. One that PEP 440 does not know is in no
        interval."""
        found = set(self._exact.get(canonical(text), ()))
        try:
            asked = Version(text)
        except ValueError:  # as in `version`; a client's text is not remembered as those of advisories are
            pass
        else:
            if asked.local is not None:
                found.update(self._exact.get(canonical(asked.public), ()))
            place = self._place(asked)
            found.update(number for number, first, last in self._places if first <= place <= last)
        return [self.entries[number] for number in sorted(found)]

    def fixed_by(self, text: str) -> list[Entry]:
        """The entries that name a version as one that ends them."""
        return [self.entries[number] for number in sorted(set(self._fixed.get(canonical(text), ())))]

    def _place(self, asked: Version) -> int:
        at = bisect_left(self._bounds, asked)
        return 2 * at + (at < len(self._bounds) and self._bounds[at] == asked)
