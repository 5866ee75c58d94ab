"""The read barrier: linearizable reads at the price of cached ones.

Theory of operation
-------------------
An answer is fresh for a request if the validation behind it began after the request arrived (the argument of Raft's
ReadIndex). Nothing says that every request needs a validation of its own. So per key at most one validation is under
way and at most one is waiting. A request that finds one under way must not share it - it may have looked before an
upload that this client has seen acknowledged - but it may share the one that waits, with everybody else who arrives
until that one begins. Ten thousand requests a second then cost as many validations as fit one after the other into a
second; and a cold burst of five hundred clients causes one load, or two.

On a file system that answers in microseconds the validation runs inline, on the event loop, and nothing of this is
needed unless something changed: then loading (reading, hashing, merging) goes to a thread, through the same gate.

Even microseconds are shared. An event loop runs its callbacks in the order in which they were queued. So before the
first validation of a turn a callback is queued that ends the turn. Whoever runs before that callback was queued before
it, and so arrived before the validation began: what it found is fresh for them too. Whoever arrives later runs later,
and finds the turn over. (A request that itself waited for a change in a thread was queued when the change was through:
if that was before the end of the turn was queued, then the change was made before the validation.)

Remembered values are dropped, least recently used first, when together they exceed a number of bytes. Dropping one is
never wrong: the next request loads it again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Generic, Protocol, TypeVar

from quire.metrics.tally import BarrierTally


class Sized(Protocol):
    """A value that knows how much memory it takes; it may grow while it is remembered."""

    @property
    def bytes_in_memory(self) -> int: ...


V = TypeVar("V", bound=Sized)
V_co = TypeVar("V_co", bound=Sized, covariant=True)


class Source(Protocol[V]):
    """Where values come from. Both methods may be called from any thread, and raise QuireError."""

    def begin_turn(self) -> None:
        """Forget what earlier calls of `quick` found: only those between two calls of this may share it."""
        ...

    def quick(self, key: str, known: V | None) -> V | None:
        """The value now, if it can be had at once: `known` if it is still true; None when it takes a `load`."""
        ...

    def load(self, key: str, known: V | None) -> V:
        """The value now: the very object `known` when it is still true."""
        ...


class Memory(Generic[V]):
    """The most recently used values, together at most `limit` bytes (and always the last one)."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self._entries: OrderedDict[str, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> V | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def account(self, key: str, value: V) -> None:
        """Take notice that a value has grown. One that is not remembered any more stays forgotten."""
        entry = self._entries.get(key)
        if entry is not None and entry[0] is value:
            self.put(key, value)

    def put(self, key: str, value: V) -> None:
        """Remember, in place of what was remembered under this key."""
        before = self._entries.pop(key, None)
        size = value.bytes_in_memory
        self.bytes += size - (before[1] if before is not None else 0)
        self._entries[key] = (value, size)
        while self.bytes > self.limit and len(self._entries) > 1:
            _, (_, dropped) = self._entries.popitem(last=False)
            self.bytes -= dropped


class _Flight(Generic[V]):
    """The validations of one key: one under way, and perhaps one that waits for it."""

    __slots__ = ("under_way", "waiting")

    def __init__(self, under_way: asyncio.Future[V]) -> None:
        self.under_way = under_way
        self.waiting: asyncio.Future[V] | None = None


class Barrier(Generic[V]):
    """Fresh values by key. Belongs to one event loop."""

    def __init__(
        self,
        source: Source[V],
        *,
        inline: bool,
        memory_limit: int,
        executor: Callable[[], Executor],
        tally: BarrierTally | None = None,
    ) -> None:
        """`inline`: try `source.quick` on the event loop first. `executor`: where loads run; asked when needed."""
        self._source = source
        self._inline = inline
        self._executor = executor
        self.memory: Memory[V] = Memory(memory_limit)
        self._flights: dict[str, _Flight[V]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._tally = tally or BarrierTally()
        self._turn: dict[str, V] = {}
        self._missed: set[str] = set()  # in this turn: not to be looked at twice
        self._turn_has_begun = False

    def at_once(self, key: str) -> V | None:
        """The value as it was at some moment after the present request arrived, if it can be had without waiting.

        To be called from a callback or task of the event loop, which is what "the present request" means.
        """
        if not self._inline or key in self._flights or key in self._missed:
            return None  # it takes a load, which `get` begins or joins
        fresh = self._turn.get(key)
        if fresh is not None:
            self._tally.asked += 1
            return fresh
        if not self._turn_has_begun:
            self._turn_has_begun = True
            asyncio.get_running_loop().call_soon(self._end_turn)  # before anything is looked at
            self._source.begin_turn()
        known = self.memory.get(key)
        self._tally.validated += 1
        fresh = self._source.quick(key, known)
        if fresh is not None:
            self._tally.asked += 1
            if fresh is not known:
                self.memory.put(key, fresh)
            self._turn[key] = fresh
        else:
            self._missed.add(key)
        return fresh

    def _end_turn(self) -> None:
        self._turn_has_begun = False
        self._turn.clear()
        self._missed.clear()

    async def get(self, key: str) -> V:
        """The value as it was at some moment after this call began. Raises what the source raises."""
        fresh = self.at_once(key)
        if fresh is not None:
            return fresh
        self._tally.asked += 1
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(_future())
            task = asyncio.create_task(self._fly(key, flight))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return await asyncio.shield(flight.under_way)
        if flight.waiting is None:
            flight.waiting = _future()
        return await asyncio.shield(flight.waiting)

    async def _fly(self, key: str, flight: _Flight[V]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            known = self.memory.get(key)
            self._tally.validated += 1
            self._tally.loaded += 1
            try:
                value = await loop.run_in_executor(self._executor(), self._source.load, key, known)
            except BaseException as error:
                flight.under_way.set_exception(error)
                if not isinstance(error, Exception):
                    self._flights.pop(key, None)
                    if flight.waiting is not None:
                        flight.waiting.set_exception(error)
                    raise
            else:
                self.memory.put(key, value)
                flight.under_way.set_result(value)
            if flight.waiting is None:
                del self._flights[key]
                return
            flight.under_way, flight.waiting = flight.waiting, None


def _future() -> asyncio.Future[V]:
    future: asyncio.Future[V] = asyncio.get_running_loop().create_future()
    # Every request that waited may have gone away: its failure then belongs to nobody, which is no error.
    future.add_done_callback(lambda done: None if done.cancelled() else done.exception() and None)
    return future
