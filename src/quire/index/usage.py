"""How many bytes the files of an index have together, as one process knows it, for the quota of the index.

No record has this sum: all uploads to an index would wait for each other to write it. It is counted now and then
(`quire.catalog.hosted`), and from one count to the next this process adds its own changes. So the only thing that it
does not know is what other processes have changed since the last count began: by so much, and no more, an index can
get over its quota.

Theory of operation. A count reads one project after the other, while changes are made; it may read the project of a
change before that change or after it. Every project counts once all the same: with the bytes that the last change left
it, if that change was made or ended after the count began, else with those that the count found. Changes that are under
way reserve the bytes that they add, so that two of them never take the same free space.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Self

from quire.domain.project import Project
from quire.domain.quotas import UNLIMITED, Quotas, check_project, index_is_full, size_of
from quire.index.commits import Change


class Counted(NamedTuple):
    """The bytes of an index."""

    bytes: int
    at: float
    """When the count began, by the clock of the Usage."""


class Usage:
    """The bytes of one index. May be used from any thread. Costs changes nothing until it is followed."""

    def __init__(self, index: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._index = index
        self._lock = threading.Lock()
        self.is_followed = self._was_begun = False
        """Whether changes are added up."""
        self._known: Counted | None = None
        self._begun = 0.0
        self._changed: dict[str, int] | None = None
        """The bytes of each project that was changed since the count under way began; None without a count."""
        self._under_way: set[Room] = set()

    @property
    def known(self) -> Counted | None:
        """The bytes as they were counted, with the later changes of this process; None before the first count."""
        return self._known

    @property
    def needs_count(self) -> bool:
        """Whether changes are followed, and no count has begun since."""
        return self.is_followed and not self._was_begun

    def follow(self) -> None:
        """Add up changes from now on. Idempotent."""
        self.is_followed = True

    def begin_count(self) -> None:
        """A count begins: what it reads of any project is at least as new as now. One count at a time."""
        with self._lock:
            self._was_begun = self.is_followed
            self._begun, self._changed = self.clock(), ({} if self.is_followed else None)

    def end_count(self, total: int, found: Callable[[str], int]) -> None:
        """The count is over. `found`: the bytes that it found of a project, by its normalized name."""
        with self._lock:
            changed, self._changed = self._changed, None
            if changed is None:  # it began before changes were followed
                return
            self._known = Counted(total + sum(size - found(name) for name, size in changed.items()), self._begun)
            for room in self._under_way:
                room.counted = changed.get(room.project, found(room.project))

    def begin(self, room: Room) -> None:
        """A change begins."""
        with self._lock:
            self._under_way.add(room)

    def end(self, room: Room) -> None:
        """The change has ended, perhaps with an error."""
        with self._lock:
            self._under_way.discard(room)

    def reserve(self, room: Room, added: int, quota: int) -> None:
        """Keep room for a change that adds bytes. Raises QuotaExceeded."""
        with self._lock:
            room.reserved = 0
            if added <= 0 or self._known is None:
                return
            used = self._known.bytes + sum(each.reserved for each in self._under_way)
            if used + added > quota:
                raise index_is_full(self._index, used, added, quota)
            room.reserved = added

    def settle(self, room: Room, change: Change) -> None:
        """The change was made: add it up, in place of what was reserved for it."""
        with self._lock:
            room.reserved = 0
            after = size_of(change.after)
            if self._changed is not None:
                self._changed[change.name] = after
            if self._known is not None:
                before = size_of(change.before) if room.counted is None else room.counted
                self._known = self._known._replace(bytes=self._known.bytes + after - before)
            for other in self._under_way:
                if other.counted is not None and other.project == room.project:
                    other.counted = after


class Room:
    """One change: the bytes that it adds, checked against the quotas. It is made in a `with` block of this."""

    __slots__ = ("_is_begun", "_quotas", "_usage", "counted", "is_limited", "project", "reserved")

    def __init__(self, usage: Usage, project: str, quotas: Quotas = UNLIMITED) -> None:
        """`project`: its normalized name."""
        self.project = project
        self.reserved = 0
        self.counted: int | None = None
        """The bytes of the project that a count found which ended during the change, or later changes left."""
        self.is_limited = quotas is not UNLIMITED
        """Whether there is anything to check."""
        self._usage = usage
        self._quotas = quotas

    def __enter__(self) -> Self:
        self._is_begun = self._usage.is_followed
        if self._is_begun:
            self._usage.begin(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_begun:
            self._usage.end(self)

    def check(self, before: Project | None, after: Project) -> Project:
        """`after`, if it fits. May be called several times, each time with what is stored by then.

        Raises QuotaExceeded.
        """
        if after is not before:
            if self._quotas.project is not None:
                check_project(before, after, self._quotas.project)
            if self._quotas.index is not None:
                self._usage.reserve(self, size_of(after) - size_of(before), self._quotas.index)
        return after

    def settle(self, change: Change) -> Change:
        """`change`, when it was made."""
        if self._usage.is_followed:
            self._usage.settle(self, change)
        return change
