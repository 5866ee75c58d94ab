"""The list of names of a folder as documents: a root, and segments of names under it. Pure.

A root lists its segments in order, each with its first name. Beside them it carries what changed since they were
written: names that came or went (`settled`), and names that writers are changing at this moment (`changing`), each with
a token for each of these writers. `quire.store.bucket.names` has the protocol.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from typing import Final

import msgspec

MOST_SETTLED: Final = 256
"""Settled names that a root carries before a segment is rewritten; some 40 bytes each."""
SEGMENT_NAMES: Final = 4096
"""Names of a segment that is full; a longer one is split into halves."""


class Segment(msgspec.Struct, frozen=True, array_like=True):
    """An immutable object with names, sorted."""

    first: str
    """Every name from this one on, up to the next segment's, is in this segment; "" in the first one."""
    identity: str


class Root(msgspec.Struct, frozen=True, omit_defaults=True):
    """The list of names at one moment."""

    segments: tuple[Segment, ...] = ()
    settled: dict[str, bool] = {}
    """Whether a name is present, where that may differ from its segment."""
    changing: dict[str, tuple[str, ...]] = {}
    """Tokens of the writers that may change whether a name is present."""

    def with_token(self, name: str, token: str) -> Root:
        return self.with_tokens((name,), token)

    def with_tokens(self, names: Iterable[str], token: str) -> Root:
        """For several names that one writer changes."""
        added = {name: (*self.changing.get(name, ()), token) for name in names}
        return msgspec.structs.replace(self, changing=self.changing | added)

    def holds(self, name: str, token: str) -> bool:
        return token in self.changing.get(name, ())

    def others(self, name: str, token: str) -> tuple[str, ...]:
        """The tokens of other writers of a name."""
        return tuple(each for each in self.changing.get(name, ()) if each != token)

    def without_token(self, name: str, token: str) -> Root:
        """For a name that other writers are changing as well."""
        return msgspec.structs.replace(self, changing=self.changing | {name: self.others(name, token)})

    def with_settled(self, name: str, *, is_present: bool) -> Root:
        """For a name without writers, which is known to be present or not."""
        changing = {other: tokens for other, tokens in self.changing.items() if other != name}
        return msgspec.structs.replace(self, settled=self.settled | {name: is_present}, changing=changing)

    def segment_of(self, name: str) -> int:
        """The number of the segment that a name belongs to; -1 when there is none."""
        return bisect.bisect_right(self.segments, name, key=lambda segment: segment.first) - 1

    def fullest(self) -> tuple[int, dict[str, bool]]:
        """The segment that most of the settled names belong to, and these names."""
        groups: dict[int, dict[str, bool]] = {}
        for name, is_present in self.settled.items():
            groups.setdefault(self.segment_of(name), {})[name] = is_present
        return max(groups.items(), key=lambda group: len(group[1]))

    def rewritten(self, number: int, replacement: tuple[Segment, ...], folded: dict[str, bool]) -> Root:
        """New segments in the place of one (-1: of none), which hold these settled names."""
        settled = {name: is_present for name, is_present in self.settled.items() if name not in folded}
        if number < 0:
            return msgspec.structs.replace(self, segments=replacement, settled=settled)
        segments = (*self.segments[:number], *replacement, *self.segments[number + 1 :])
        return msgspec.structs.replace(self, segments=segments, settled=settled)


def apply(names: tuple[str, ...], changes: dict[str, bool]) -> tuple[str, ...]:
    """Sorted names, with some that came or went."""
    found = list(names)
    for name, is_present in changes.items():
        at = bisect.bisect_left(found, name)
        was_present = at < len(found) and found[at] == name
        if is_present and not was_present:
            found.insert(at, name)
        elif was_present and not is_present:
            del found[at]
    return tuple(found)


def split(names: tuple[str, ...], first: str) -> list[tuple[str, tuple[str, ...]]]:
    """The names as the content of one segment that begins with `first`, or of several: (first, names) of each."""
    if len(names) <= SEGMENT_NAMES:
        return [(first, names)]
    count = 2 if len(names) <= 2 * SEGMENT_NAMES else -(-2 * len(names) // SEGMENT_NAMES)
    size = -(-len(names) // count)
    pieces = [names[start : start + size] for start in range(0, len(names), size)]
    return [(piece[0] if number else first, piece) for number, piece in enumerate(pieces)]


def compose(root: Root, segments: list[tuple[str, ...]], resolved: dict[str, bool]) -> tuple[str, ...]:
    """All names, sorted. `segments`: the names of each of the root's; `resolved`: those that are being changed."""
    groups: dict[int, dict[str, bool]] = {}
    for changes in (root.settled, resolved):
        for name, is_present in changes.items():
            groups.setdefault(root.segment_of(name), {})[name] = is_present
    if -1 in groups:
        return apply((), groups[-1])
    found: list[str] = []
    for number, names in enumerate(segments):
        found += apply(names, groups[number]) if number in groups else names
    return tuple(found)
