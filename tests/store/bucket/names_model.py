"""The protocol of the list of names as a model: every order of the steps of writers, of healers and of deaths.

This is the specification of `quire.store.bucket.names`, for one name. Two objects, each read and compare-and-swapped by
itself: the record, which is never removed, and the name's entry in the root: missing, present, or the tokens of those
that change it. Reading and swapping are two steps, so that any other step may come between. A writer may stop for good
after each of its steps: the states in which it takes no more are among those that are checked.

In every state a name that is settled must agree with its record. `tests.store.bucket.interleavings` is the same for the
real code, with fewer actors: `python -m tests.store.bucket.names_model` takes two minutes and 3 GB.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

WRITERS: Final = (True, False, True)
"""Whether each writer wants the record to be there."""
HEALS: Final = 2
_MOST_WRITES: Final = (9, 14)
"""Of the record and of the entry: a bound on retries."""


class Broken(StrEnum):
    """The safeguard that is left out."""

    NONE = "none"
    FENCE = "fence"
    """A healer settles a name without writing the record again first."""
    FRESH = "fresh"
    """A writer has one token for all its attempts, and believes one that it added before."""
    ORDER = "order"
    """A writer reads the record that it is going to replace after its token is there."""


Entry: TypeAlias = bool | frozenset[str]
"""Of a name in the root: whether it is present, or the tokens of its writers."""


class Record(NamedTuple):
    """A state of the record."""

    version: int
    is_there: bool


class Name(NamedTuple):
    """A state of the entry."""

    version: int
    entry: Entry


class Writer(NamedTuple):
    """A writer before its next step."""

    step: str
    record: Record | None = None
    """As it was read."""
    name: Name | None = None
    token: str | None = None


class Healer(NamedTuple):
    """A healer before its next step."""

    step: str
    left: int
    name: Name | None = None
    is_there: bool = False


class World(NamedTuple):
    """Everything."""

    record: Record
    name: Name
    writers: tuple[Writer, ...]
    healer: Healer

    @property
    def agrees(self) -> bool:
        return isinstance(self.name.entry, frozenset) or self.name.entry == self.record.is_there


def _swapped(name: Name, read: Name, entry: Entry) -> Name | None:
    return Name(name.version + 1, entry) if name.version == read.version else None


def _tokens(name: Name) -> frozenset[str]:
    return name.entry if isinstance(name.entry, frozenset) else frozenset()


Step: TypeAlias = tuple[Writer, Record, Name]


def _write(number: int, wants: bool, writer: Writer, record: Record, name: Name, broken: Broken) -> Step:
    """The next step of a writer."""
    step, read, seen, token = writer
    if step == "read":
        if record.is_there == wants:
            return Writer("leave" if token else "done", token=token), record, name
        return Writer("look", record, None, token), record, name
    if step == "look":
        return Writer("announce", read, name, token), record, name
    if step == "announce":
        assert seen is not None
        new = f"{number}" if broken is Broken.FRESH else f"{number}.{name.version}"
        if broken is Broken.FRESH and new in _tokens(seen):
            return Writer("commit", read, None, new), record, name
        announced = _swapped(name, seen, _tokens(seen) - {token or ""} | {new})
        if announced is None:
            return Writer("look", read, None, token), record, name
        return Writer("late" if broken is Broken.ORDER else "commit", read, None, new), record, announced
    if step == "late":
        return Writer("leave" if record.is_there == wants else "commit", record, None, token), record, name
    if step == "commit":
        if record == read:
            return Writer("leave", token=token), Record(record.version + 1, wants), name
        return Writer("read", token=token), record, name
    if step == "leave":
        if token not in _tokens(name):
            return Writer("done"), record, name  # healed meanwhile
        return Writer("settle", None, name, token), record, name
    if step == "settle":
        return Writer("finish", record, seen, token), record, name
    assert step == "finish"
    assert read is not None
    assert seen is not None
    settled = _swapped(name, seen, (_tokens(seen) - {token or ""}) or read.is_there)
    return (Writer("leave", token=token), record, name) if settled is None else (Writer("done"), record, settled)


def _heal(healer: Healer, record: Record, name: Name, broken: Broken) -> tuple[Healer, Record, Name] | None:
    """The next step of a healer, which takes each token for one of a dead writer; None where there is none."""
    if healer.step == "idle":
        if not healer.left or not _tokens(name):
            return None
        return Healer("fence", healer.left - 1, name), record, name
    assert healer.name is not None
    if healer.step == "fence":
        if broken is not Broken.FENCE:
            record = Record(record.version + 1, record.is_there)
        return Healer("settle", healer.left, healer.name, record.is_there), record, name
    settled = _swapped(name, healer.name, healer.is_there)
    return Healer("idle", healer.left), record, settled or name


def _next(world: World, wants: tuple[bool, ...], broken: Broken) -> Iterator[World]:
    record, name, writers, healer = world
    for number, writer in enumerate(writers):
        if writer.step != "done":
            moved, record_after, name_after = _write(number, wants[number], writer, record, name, broken)
            yield World(record_after, name_after, (*writers[:number], moved, *writers[number + 1 :]), healer)
    healed = _heal(healer, record, name, broken)
    if healed is not None:
        yield World(healed[1], healed[2], writers, healed[0])


def explore(
    wants: tuple[bool, ...] = WRITERS, heals: int = HEALS, broken: Broken = Broken.NONE
) -> tuple[int, list[World]]:
    """How many states there are, and the shortest way to one in which name and record disagree; empty for none."""
    count = 0
    for is_there in (False, True):
        start = World(Record(0, is_there), Name(0, is_there), (Writer("read"),) * len(wants), Healer("idle", heals))
        before: dict[World, World | None] = {start: None}
        queue = deque([start])
        while queue:
            world = queue.popleft()
            if not world.agrees:
                return count + len(before), _way(world, before)
            for after in _next(world, wants, broken):
                if after.record.version > _MOST_WRITES[0] or after.name.version > _MOST_WRITES[1]:
                    continue
                if after not in before:
                    before[after] = world
                    queue.append(after)
        count += len(before)
    return count, []


def _way(world: World | None, before: dict[World, World | None]) -> list[World]:
    way = []
    while world is not None:
        way.append(world)
        world = before[world]
    return way[::-1]


def main() -> int:
    """0: no state is wrong; 1: one is, and the way to it is printed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--break", dest="broken", type=Broken, choices=list(Broken), default=Broken.NONE)
    count, way = explore(broken=parser.parse_args().broken)
    if not way:
        print(f"{count:,} states, no violation")
        return 0
    print(f"A violation after {len(way) - 1} steps:")
    for record, name, writers, healer in way:
        entry = set(name.entry) if isinstance(name.entry, frozenset) else name.entry
        print(f"  record {record.is_there} name {entry} writers {[each.step for each in writers]} healer {healer.step}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
