"""Model of a promotion of two projects at once: every order of the steps of a promoter, an aborter, a folder and a
reader, with stalls anywhere. See `quire.domain.promotions` for the protocol.

Records, each swapped alone: the entry in the journal (missing, open, committed, aborted), and two projects. A project
shows the new file when it is in its files, or pending while the entry is committed. A reader reads the project, and the
entry after it when there are pending files.

At every moment both projects show the file or neither does; once shown it stays shown; a reader that began after it was
shown shows it. With a safeguard left out, some order of steps breaks this.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, NamedTuple


class Broken(StrEnum):
    """A safeguard that is left out."""

    NONE = "none"
    FENCE = "fence"
    """The aborter removes pending files without aborting the entry first."""
    GC = "gc"
    """The entry of a committed promotion is removed before every project is folded."""
    REREAD = "reread"
    """A reader takes a missing entry for an aborted promotion at once."""


class Project(NamedTuple):
    """A project's record."""

    version: int
    file: str
    """none, pending or listed."""


class Entry(NamedTuple):
    """The journal's entry of the promotion."""

    version: int
    state: str


class Step(NamedTuple):
    """The next step of an actor, and its knowledge."""

    name: str
    known: Any = None


class World(NamedTuple):
    """Everything at one moment."""

    entry: Entry
    projects: tuple[Project, Project]
    promoter: Step = Step("create")
    aborter: Step = Step("idle")
    folder: Step = Step("idle")
    reader: Step = Step("idle")
    was_shown: bool = False

    @property
    def shown(self) -> tuple[bool, bool]:
        """Whether each project shows the file."""
        committed = self.entry.state == "committed"
        first, second = (each.file == "listed" or (each.file == "pending" and committed) for each in self.projects)
        return first, second

    @property
    def is_wrong(self) -> bool:
        """Whether something is seen that must not be."""
        is_stale = self.reader.name == "answer" and self.reader.known == (True, False)
        return len(set(self.shown)) > 1 or (self.was_shown and not self.shown[0]) or is_stale

    def with_project(self, place: int, file: str, **steps: Any) -> World:
        """With another state of a project."""
        projects = list(self.projects)
        projects[place] = Project(projects[place].version + 1, file)
        return self._replace(projects=(projects[0], projects[1]), **steps)

    def with_entry(self, state: str, **steps: Any) -> World:
        """With another state of the entry."""
        return self._replace(entry=Entry(self.entry.version + 1, state), **steps)


_MOST_VERSIONS = 9
START = World(Entry(0, "missing"), (Project(0, "none"), Project(0, "none")))


def _promoter(world: World) -> Iterator[World]:
    name, known = world.promoter
    if name == "create":
        yield world.with_entry("open", promoter=Step("read", 0))
    elif name == "read":
        yield world._replace(promoter=Step("prepare", (known, world.projects[known])))
    elif name == "prepare":
        place, before = known
        if world.projects[place] == before and before.file == "none":
            yield world.with_project(place, "pending", promoter=Step("look") if place else Step("read", 1))
        else:
            yield world._replace(promoter=Step("read", place) if before.file == "none" else Step("done"))
    elif name == "look":
        yield world._replace(promoter=Step("commit", world.entry))
    elif name == "commit":
        if world.entry == known and known.state == "open":
            yield world.with_entry("committed", promoter=Step("done"))
        else:
            yield world._replace(promoter=Step("done"))


def _aborter(world: World, broken: Broken) -> Iterator[World]:
    name, known = world.aborter
    if name == "idle" and world.entry.state == "open":
        yield world._replace(aborter=Step("abort", world.entry))
    elif name == "abort":
        if broken is Broken.FENCE:
            yield world._replace(aborter=Step("read", 0))
        elif world.entry == known:
            yield world.with_entry("aborted", aborter=Step("read", 0))
        else:
            yield world._replace(aborter=Step("done"))
    elif name == "read":
        yield world._replace(aborter=Step("remove", (known, world.projects[known])))
    elif name == "remove":
        place, before = known
        after = Step("end") if place else Step("read", 1)
        if world.projects[place] != before:
            yield world._replace(aborter=Step("read", place))
        elif before.file == "pending":
            yield world.with_project(place, "none", aborter=after)
        else:
            yield world._replace(aborter=after)
    elif name == "end" and world.entry.state == "aborted":
        yield world.with_entry("missing", aborter=Step("done"))


def _folder(world: World, broken: Broken) -> Iterator[World]:
    name, known = world.folder
    if name == "idle" and world.entry.state == "committed":
        yield world._replace(folder=Step("read", 0))
    elif name == "read":
        yield world._replace(folder=Step("fold", (known, world.projects[known])))
    elif name == "fold":
        place, before = known
        after = Step("read", 1) if place == 0 and broken is not Broken.GC else Step("end")
        if world.projects[place] != before:
            yield world._replace(folder=Step("read", place))
        elif before.file == "pending":
            yield world.with_project(place, "listed", folder=after)
        else:
            yield world._replace(folder=after)
    elif name == "end":
        yield world.with_entry("missing", folder=Step("done"))


def _reader(world: World, broken: Broken) -> Iterator[World]:
    name, known = world.reader
    project = world.projects[0]
    if name == "idle":
        yield world._replace(reader=Step("project", world.was_shown))
    elif name == "project":
        if project.file == "pending":
            yield world._replace(reader=Step("entry", (known, project)))
        else:
            yield world._replace(reader=Step("answer", (known, project.file == "listed")))
    elif name == "entry":
        began, _ = known
        if world.entry.state == "missing" and broken is not Broken.REREAD:
            yield world._replace(reader=Step("again", known))
        else:
            yield world._replace(reader=Step("answer", (began, world.entry.state == "committed")))
    elif name == "again":
        began, before = known
        yield world._replace(reader=Step("answer", (began, False)) if project == before else Step("project", began))


def explore(broken: Broken = Broken.NONE) -> tuple[int, list[World]]:
    """How many states there are, and the shortest way to a wrong one; empty for none."""
    before: dict[World, World | None] = {START: None}
    queue = deque([START])
    while queue:
        world = queue.popleft()
        if world.is_wrong:
            return len(before), _way(world, before)
        for moved in (*_promoter(world), *_aborter(world, broken), *_folder(world, broken), *_reader(world, broken)):
            after = moved._replace(was_shown=moved.was_shown or all(moved.shown))
            if after.projects[0].version < _MOST_VERSIONS and after not in before:
                before[after] = world
                queue.append(after)
    return len(before), []


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
    count, way = explore(parser.parse_args().broken)
    if not way:
        print(f"{count:,} states, no violation")
        return 0
    print(f"A violation after {len(way) - 1} steps:")
    for world in way:
        steps = [each.name for each in (world.promoter, world.aborter, world.folder, world.reader)]
        print(f"  entry {world.entry.state} projects {[each.file for each in world.projects]} steps {steps}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
