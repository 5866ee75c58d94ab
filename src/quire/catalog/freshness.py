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

That is the order of the queue. What a loop calls directly when bytes arrive, as uvloop does, may run before older
callbacks that wait in the queue, the end of the turn among them. So a protocol does not ask from there. It collects
what has arrived, and asks for all of it from a callback, between a `begin_turn` and an `end_turn` of its own.

Over a network a validation is so short that under load each one would serve two or three requests, and the file server
would be asked nearly as often as the workers. So where validations run in threads, a busy key gathers company: when
`BUSY` requests or more came together, the next validation begins as soon as `CROWD` requests wait for it, and at the
latest `PAUSE` after the one before began. Waiting longer can only make an answer fresher. Who comes alone, or after a
moment in which nobody came, waits for nothing.

Remembered values may be dropped at any time, to stay within the worker's budget (`quire.process.budget`). Dropping one
is never wrong: the next request loads it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Generic, Protocol, TypeVar

from quire.observe.metrics.tally import BarrierTally
from quire.process.budget import Budget, Memory, Sized

BUSY = 3
"""Requests for one value, on the way together, by which it is known to be in demand: one client asks for one thing
after the other."""
CROWD = 12
"""Requests that wait for a validation and for which it is not held back for more: with two round trips a validation, as
a project has them beside a drop-in folder, that is a sixth of one for each request."""
PAUSE = 0.0125
"""Seconds between the beginnings of two validations of a busy key for which no crowd waits: two workers then ask about
320 times a second, which is a sixth of 2,000."""

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


class _Flight(Generic[V]):
    """The validations of one key: one under way, or just over, and perhaps one that waits for it."""

    __slots__ = ("gathering", "joined", "shared", "under_way", "waiting")

    def __init__(self, under_way: asyncio.Future[V]) -> None:
        self.under_way = under_way
        self.shared = 1
        """How many requests wait for the one under way."""
        self.waiting: asyncio.Future[V] | None = None
        self.joined = 0
        """How many wait for `waiting`."""
        self.gathering: asyncio.Future[None] | None = None
        """Done when `waiting` should begin; None while one is under way."""

    def join(self) -> asyncio.Future[V]:
        """The result of the next one."""
        if self.waiting is None:
            self.waiting = _future()
        self.joined += 1
        if self.joined >= CROWD and self.gathering is not None:
            _finish(self.gathering)
        return self.waiting

    @property
    def is_busy(self) -> bool:
        return max(self.shared, self.joined) >= BUSY

    async def gather(self, until: float) -> None:
        """Wait for a crowd, but not beyond this moment of the loop's clock; at least for those who are here already."""
        if self.joined >= CROWD:
            return
        loop = asyncio.get_running_loop()
        self.gathering = loop.create_future()
        timer = loop.call_at(until, _finish, self.gathering)
        try:
            await self.gathering
        finally:
            timer.cancel()
            self.gathering = None

    def advance(self) -> None:
        """The next one is under way."""
        assert self.waiting is not None
        self.under_way, self.waiting = self.waiting, None
        self.shared, self.joined = self.joined, 0


class Barrier(Generic[V]):
    """Fresh values by key. Belongs to one event loop."""

    def __init__(
        self,
        source: Source[V],
        *,
        inline: bool,
        budget: Budget,
        executor: Callable[[], Executor],
        tally: BarrierTally | None = None,
        pause: float = PAUSE,
    ) -> None:
        """`inline`: try `source.quick` on the event loop first. `budget`: what remembered values are charged to.
        `executor`: where loads run; asked when needed. `pause`: as PAUSE, which is for others than inline barriers.
        """
        self._source = source
        self.is_inline = inline
        self._executor = executor
        self._pause = pause
        self.memory: Memory[V] = Memory(budget)
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
        if not self.is_inline or key in self._flights or key in self._missed:
            return None  # it takes a load, which `get` begins or joins
        fresh = self._turn.get(key)
        if fresh is not None:
            self._tally.asked += 1
            return fresh
        if not self._turn_has_begun:
            self._turn_has_begun = True
            asyncio.get_running_loop().call_soon(self.end_turn)  # before anything is looked at
            self._source.begin_turn()
        fresh = self._look(key)
        if fresh is not None:
            self._turn[key] = fresh
        else:
            self._missed.add(key)
        return fresh

    def begin_turn(self) -> None:
        """From here to `end_turn` looks are shared, and none that began before."""
        self._turn.clear()
        self._missed.clear()
        self._turn_has_begun = True
        self._source.begin_turn()

    def end_turn(self) -> None:
        """From here on nothing is shared with whoever asked `at_once` before."""
        self._turn_has_begun = False
        self._turn.clear()
        self._missed.clear()

    def _look(self, key: str) -> V | None:
        """Ask the source for what can be had at once, and remember it."""
        known = self.memory.get(key)
        self._tally.validated += 1
        fresh = self._source.quick(key, known)
        if fresh is not None:
            self._tally.asked += 1
            if fresh is not known:
                self.memory.put(key, fresh)
        return fresh

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
        return await asyncio.shield(flight.join())

    async def _fly(self, key: str, flight: _Flight[V]) -> None:
        clock = asyncio.get_running_loop().time
        try:
            while True:
                begun = clock()
                await self._validate(key, flight.under_way)
                if not self.is_inline and flight.is_busy:
                    await flight.gather(begun + self._pause)
                if flight.waiting is None:
                    return
                flight.advance()
        except BaseException as error:  # the event loop ends
            for future in (flight.under_way, flight.waiting):
                if future is not None and not future.done():
                    future.set_exception(error)
            raise
        finally:
            del self._flights[key]

    async def _validate(self, key: str, answer: asyncio.Future[V]) -> None:
        """Ask the source, remember what it says, and tell those who wait, also when it fails."""
        known = self.memory.get(key)
        self._tally.validated += 1
        self._tally.loaded += 1
        loop = asyncio.get_running_loop()
        try:
            value = await loop.run_in_executor(self._executor(), self._source.load, key, known)
        except Exception as error:  # noqa: BLE001 - raised by those who wait
            answer.set_exception(error)
        else:
            self.memory.put(key, value)
            answer.set_result(value)


def _finish(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _future() -> asyncio.Future[V]:
    future: asyncio.Future[V] = asyncio.get_running_loop().create_future()
    # Every request that waited may have gone away: its failure then belongs to nobody, which is no error.
    future.add_done_callback(lambda done: None if done.cancelled() else done.exception() and None)
    return future
