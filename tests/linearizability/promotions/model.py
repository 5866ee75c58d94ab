"""All projects of an index as one object: what a promotion publishes must be seen in all of them at one moment.

Linearizability is local, so the judge of `tests.linearizability` takes each project for itself. A promotion is one
operation on several: here the object is the index. Each page is a read of a part of it. An order of all operations that
explains every answer shows no part of a promotion to anyone, neither in one project nor across them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from tests.linearizability.objects import Read, State, Write


class Listed(NamedTuple):
    """One file of the index."""

    project: str
    filename: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Promote(Write):
    """Add files of several projects in one step. Those that are there already stay as they are."""

    files: frozenset[Listed]

    def apply(self, state: State) -> State | None:
        return state | self.files


@dataclass(frozen=True, slots=True)
class Remove(Write):
    """Delete a release. It succeeds only where the file is."""

    file: Listed

    def apply(self, state: State) -> State | None:
        return state - {self.file} if self.file in state else None


@dataclass(frozen=True, slots=True)
class PageOf(Read):
    """A project's page: exactly these files."""

    project: str
    files: frozenset[Listed]

    def holds(self, state: State) -> bool:
        return _part(state, self.project) == self.files


@dataclass(frozen=True, slots=True)
class InList(Read):
    """The projects that the list of projects has, or has not: each name is right for itself."""

    project: str
    present: bool

    def holds(self, state: State) -> bool:
        return bool(_part(state, self.project)) == self.present


@dataclass(frozen=True, slots=True)
class Got(Read):
    """A download gave this file."""

    file: Listed

    def holds(self, state: State) -> bool:
        return self.file in state


@cache
def _part(state: State, project: str) -> State:
    return frozenset(file for file in state if file.project == project)
