"""A project as clients see it: one object with writes that change it and reads that tell of it.

The object is the whole project, not each of its files: a page shows all files at once, so two pages may contradict
each other although each file for itself could be explained (one shows the new first file and the old second, the
other the reverse). The list of projects, on the other hand, promises nothing about two names at one instant, so of
each list every project gets its own part: whether it was listed. That is the same state seen from afar (a project is
listed while it has files), and is judged together with the pages.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from tests.linearizability.objects import Action, Read, Write

UNSEEN = "(never seen)"
"""Stands for every digest or reason that no observation of a history mentions; see `blurred`."""


class Entry(NamedTuple):
    """One file of a project."""

    filename: str
    sha256: str
    reason: str | None
    """Why it is yanked; None when it is not."""


State: TypeAlias = frozenset[Entry]
"""The files of a project; empty when there is no such project."""
NOTHING: State = frozenset()
Filenames: TypeAlias = frozenset[str] | None
"""Which files are meant; None for all of the project."""


# -- writes -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Publish(Write):
    """Add files or replace them (overwriting is on), in one step. One with the same content stays as it is."""

    files: tuple[tuple[str, str], ...]
    """(filename, sha256)"""

    def apply(self, state: State) -> State | None:
        present = {entry.filename: entry for entry in state}
        for filename, sha256 in self.files:
            before = present.get(filename)
            if before is None or before.sha256 != sha256 or sha256 == UNSEEN:
                present[filename] = Entry(filename, sha256, None)
        return frozenset(present.values())


@dataclass(frozen=True, slots=True)
class Delete(Write):
    """Take files out. It succeeds only where at least one of them is."""

    filenames: Filenames

    def apply(self, state: State) -> State | None:
        left = frozenset(entry for entry in state if not _means(self.filenames, entry))
        return left if left != state else None


@dataclass(frozen=True, slots=True)
class Mark(Write):
    """Yank files for a reason, or take the mark away (None). It succeeds only where at least one of them is."""

    filenames: Filenames
    reason: str | None

    def apply(self, state: State) -> State | None:
        if not any(_means(self.filenames, entry) for entry in state):
            return None
        return frozenset(
            entry._replace(reason=self.reason) if _means(self.filenames, entry) else entry for entry in state
        )


# -- observations -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page(Read):
    """The project's page: exactly these files."""

    files: State

    def holds(self, state: State) -> bool:
        return self.files == state


@dataclass(frozen=True, slots=True)
class Listed(Read):
    """The project was in the list of projects, or was not."""

    present: bool

    def holds(self, state: State) -> bool:
        return self.present == bool(state)


@dataclass(frozen=True, slots=True)
class Holds(Read):
    """A download gave this content."""

    filename: str
    sha256: str

    def holds(self, state: State) -> bool:
        return any(entry.filename == self.filename and entry.sha256 == self.sha256 for entry in state)


@dataclass(frozen=True, slots=True)
class Lacks(Read):
    """A download of this content was answered: there is none."""

    filename: str
    sha256: str

    def holds(self, state: State) -> bool:
        return not any(entry.filename == self.filename and entry.sha256 == self.sha256 for entry in state)


@dataclass(frozen=True, slots=True)
class Missing(Read):
    """A change or a download was refused because none of these files was there."""

    filenames: Filenames

    def holds(self, state: State) -> bool:
        return not any(_means(self.filenames, entry) for entry in state)


ProjectWrite: TypeAlias = Publish | Delete | Mark


def _means(filenames: Filenames, entry: Entry) -> bool:
    return filenames is None or entry.filename in filenames


# -- states that are equal for clients
# --------------------------------------------------------------------------------------


def mentioned(actions: Iterable[Action], initial: State = NOTHING) -> set[str]:
    """Every digest and reason that some observation (or the state at the beginning) mentions."""
    found: set[str] = set()
    for action in actions:
        if isinstance(action, Page):
            _mention(action.files, found)
        elif isinstance(action, Holds | Lacks):
            found.add(action.sha256)
    _mention(initial, found)
    return found


def _mention(state: State, found: set[str]) -> None:
    for entry in state:
        found.add(entry.sha256)
        if entry.reason is not None:
            found.add(entry.reason)


def blurred(action: Action, seen: set[str]) -> Action:
    """The same action with UNSEEN for unobserved values. Writes that no observation distinguishes become equal."""
    if isinstance(action, Publish):
        return Publish(tuple((filename, sha256 if sha256 in seen else UNSEEN) for filename, sha256 in action.files))
    if isinstance(action, Mark) and action.reason is not None and action.reason not in seen:
        return replace(action, reason=UNSEEN)
    return action
