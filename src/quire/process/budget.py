"""One bound for everything a worker remembers: several memories that share a number of bytes.

Theory of operation
-------------------
The memory of a worker - views of projects with their pages, the list of projects, facts of drop-in files - grows with
the requests that come, useful or not. So all of it is counted against one `Budget`, and when that is exceeded,
the least recently used goes, whichever memory it is in: a worker that is asked for many projects keeps projects, one
that only lists keeps the list. Dropping is never wrong: everything here can be had again from the store.

A bound is worth as much as its measure. So a value counts all that it holds, strings, containers and compressed
forms included (`bytes_in_memory`), and each entry is charged for its key and its place in the tables as well. A value
that grows while it is remembered is charged again when the code that enlarged it calls `Memory.account`.

The value put last is kept at any size: a project larger than the whole budget must be served, too. So the bound
is the limit, or the largest value if that is more.

`Memory.get` is a step of every answer and takes no lock: its two steps are atomic each, and an entry that another
thread drops between them is still a right answer. Every change of the sums takes the lock.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from sys import getsizeof
from typing import Generic, Protocol, TypeVar

_ENTRY_BYTES = 300
"""The bytes of an entry beside key and value: itself, and its places in two tables, as measured with thousands."""


class Sized(Protocol):
    """A value that knows how much memory it takes; it may grow while it is remembered."""

    @property
    def bytes_in_memory(self) -> int: ...


V = TypeVar("V", bound=Sized)


class _Entry:
    __slots__ = ("key", "memory", "size", "value")

    def __init__(self, memory: Memory[Sized], key: str, value: Sized) -> None:
        self.memory = memory
        self.key = key
        self.value = value
        self.size = 0


class Budget:
    """A number of bytes that several memories share. Safe to use from several threads."""

    def __init__(self, limit: int) -> None:
        """`limit`: bytes."""
        self.limit = limit
        self.bytes = 0
        """The bytes that all memories hold together."""
        self._lock = threading.Lock()
        self._used: OrderedDict[_Entry, None] = OrderedDict()  # the least recently used first


class Memory(Generic[V]):
    """Values of one kind by key, within a budget. Safe to use from several threads."""

    def __init__(self, budget: Budget) -> None:
        self.bytes = 0
        """The bytes that the values of this memory hold together, with their keys."""
        self._budget = budget
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> V | None:
        """The value that is remembered under this key; the call counts as a use of it."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        try:  # noqa: SIM105 - the innermost step of every answer
            self._budget._used.move_to_end(entry)
        except KeyError:  # dropped by another thread just now
            pass
        return entry.value  # type: ignore[return-value]  # only `put` makes entries

    def account(self, key: str, value: V) -> None:
        """Take notice that a value has grown. One that is not remembered any more stays forgotten."""
        with self._budget._lock:
            entry = self._entries.get(key)
            if entry is not None and entry.value is value:
                self._charge(entry)

    def put(self, key: str, value: V) -> None:
        """Remember, in place of the old value under this key; this drops others if need be."""
        with self._budget._lock:
            self._remove(key)
            entry = _Entry(self, key, value)  # type: ignore[arg-type]  # of values it is only asked what they hold
            self._entries[key] = entry
            self._budget._used[entry] = None
            self._charge(entry)

    def drop(self, key: str) -> None:
        """Drop the value of this key, if there is one."""
        with self._budget._lock:
            self._remove(key)

    # -- under the lock -----------------------------------------------------------------------------------------------

    def _charge(self, entry: _Entry) -> None:
        budget = self._budget
        budget._used.move_to_end(entry)
        size = _ENTRY_BYTES + getsizeof(entry.key) + entry.value.bytes_in_memory
        self._add(size - entry.size)
        entry.size = size
        while budget.bytes > budget.limit and len(budget._used) > 1:
            oldest, _ = budget._used.popitem(last=False)  # one step: `get` moves entries meanwhile
            oldest.memory._remove(oldest.key)

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._budget._used.pop(entry, None)
            self._add(-entry.size)

    def _add(self, size: int) -> None:
        self.bytes += size
        self._budget.bytes += size
