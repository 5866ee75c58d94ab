"""The read barrier: linearizable reads at the price of cached ones.

Theory of operation
-------------------
An answer is fresh for a request if the validation behind it began after the request arrived (the argument of Raft's
ReadIndex). Nothing says that every request needs a validation of its own. So per key at most one validation is under
way and at most one is waiting. A request that finds one under way must not share it - it may have read before an
upload that this client has seen acknowledged - but it may share the waiting one, with all requests that arrive
until that one begins. Ten thousand requests a second then cost as many validations as fit one after the other into a
second; and a cold burst of five hundred clients causes one load, or two.

On a file system that answers in microseconds the validation runs inline, on the event loop, and nothing of this is
needed unless something changed: then a thread loads (reads, hashes, merges), through the same barrier.

Even inline validations are coalesced. An event loop runs its callbacks in the order in which they were queued. So
before the first validation of a tick a callback is queued that ends the tick. A request that runs before that callback
was queued before it, and so arrived before the validation began: the result is fresh for it too. A later request runs
later, in a new tick. (A request that waited for a change in a thread was queued after the change: if that was before
the end of the tick was queued, the change was made before the validation. So all work in threads goes through
`quire.process.in_thread`: what awaits it is queued in any case.)

This holds for queued callbacks. A protocol that a loop calls directly when bytes arrive, as uvloop does, may run before
older callbacks in the queue, the end of the tick among them. So a protocol does not ask there. It collects the
requests, and asks for all of them from a callback, between a `begin_tick` and an `end_tick` of its own.

Over a network a validation is so short that under load each one would serve two or three requests, and the file server
would be asked nearly as often as the workers. So where validations run in threads, those of a busy key are
batched, as the store asks for it (`quire.store.contracts.Pacing`): when `busy_waiters` requests or more waited
together, the next validation begins as soon as `batch_size` requests wait for it, and at the latest `seconds` after the
one before began. Waiting longer can only make an answer fresher. A single request, or one after a moment without
requests, does not wait.

Remembered values may be dropped at any time, to stay within the worker's budget (`quire.process.budget`). Dropping one
is never wrong: the next request loads it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Generic, Protocol, TypeVar

from quire.observe.metrics.tally import BarrierTally
from quire.process.budget import Budget, Memory, Sized
from quire.process.in_thread import in_thread
from quire.store.contracts import Pacing

V = TypeVar("V", bound=Sized)


class Source(Protocol[V]):
    """A source of values. Both methods may be called from any thread, and raise QuireError."""

    def begin_tick(self) -> None:
        """Drop results of `load_inline`: only calls between two calls of this method may share them."""
        ...

    def load_inline(self, key: str, known: V | None) -> V | None:
        """The value now, if it can be had without waiting: `known` if it is still true; None when it takes a `load`."""
        ...

    def load(self, key: str, known: V | None) -> V | Awaitable[V]:
        """The value now: the very object `known` when it is still true. An awaitable is awaited on the event loop."""
        ...


class _Validations(Generic[V]):
    """The validations of one key: one under way, or just over, and perhaps one that waits for it."""

    __slots__ = ("_pacing", "batch_full", "next_value", "next_waiters", "running", "running_waiters")

    def __init__(self, running: asyncio.Future[V], requests: int, pacing: Pacing | None) -> None:
        self._pacing = pacing
        self.running = running
        self.running_waiters = requests
        """How many requests wait for the one under way."""
        self.next_value: asyncio.Future[V] | None = None
        self.next_waiters = 0
        """How many wait for `next_value`."""
        self.batch_full: asyncio.Future[None] | None = None
        """Done when `next_value` should begin; None while one is under way."""

    def join_next(self, requests: int) -> asyncio.Future[V]:
        """The result of the next one, for so many requests."""
        if self.next_value is None:
            self.next_value = _new_future()
        self.next_waiters += requests
        if self.batch_full is not None and self._has_batch():
            _resolve(self.batch_full)
        return self.next_value

    def _has_batch(self) -> bool:
        return self._pacing is None or self.next_waiters >= self._pacing.batch_size

    async def fill_batch(self, begun: float) -> None:
        """Wait for a batch, where the value is in demand. `begun`: when the last one did, by the loop's clock."""
        pacing = self._pacing
        if pacing is None or max(self.running_waiters, self.next_waiters) < pacing.busy_waiters or self._has_batch():
            return
        loop = asyncio.get_running_loop()
        self.batch_full = loop.create_future()
        timer = loop.call_at(begun + pacing.seconds, _resolve, self.batch_full)
        try:
            await self.batch_full
        finally:
            timer.cancel()
            self.batch_full = None

    def start_next(self) -> None:
        """The next one is under way."""
        assert self.next_value is not None
        self.running, self.next_value = self.next_value, None
        self.running_waiters, self.next_waiters = self.next_waiters, 0


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
        pacing: Pacing | None = None,
    ) -> None:
        """`inline`: try `source.load_inline` on the event loop first. `budget`: what remembered values are charged to.
        `executor`: where loads run; asked when needed. `pacing`: what the store asks for; inline barriers need
        none.
        """
        self._source = source
        self.is_inline = inline
        self._executor = executor
        self._pacing = None if inline else pacing
        self.memory: Memory[V] = Memory(budget)
        self._validations: dict[str, _Validations[V]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._tally = tally or BarrierTally()
        self._tick_values: dict[str, V | None] = {}
        """The values of this tick; None for a key that takes a load, and is not validated twice."""
        self._tick_has_begun = False

    def get_inline(self, key: str) -> V | None:
        """The value as it was at some moment after the present request arrived, if it can be had without waiting.

        To be called from a callback or task of the event loop, which is what "the present request" means.
        """
        if not self.is_inline or key in self._validations:
            return None  # it takes a load, which `get` begins or joins
        if key in self._tick_values:
            shared = self._tick_values[key]
            if shared is not None:
                self._tally.asked += 1
            return shared
        if not self._tick_has_begun:
            self._tick_has_begun = True
            asyncio.get_running_loop().call_soon(self.end_tick)  # before any validation
            self._source.begin_tick()
        known = self.memory.get(key)
        self._tally.validated += 1
        fresh = self._source.load_inline(key, known)
        if fresh is not None:
            self._tally.asked += 1
            if fresh is not known:
                self.memory.put(key, fresh)
        self._tick_values[key] = fresh
        return fresh

    def begin_tick(self) -> None:
        """From here to `end_tick` validations are shared, and none that began before."""
        self._tick_values.clear()
        self._tick_has_begun = True
        self._source.begin_tick()

    def end_tick(self) -> None:
        """From here on nothing is shared with earlier calls of `get_inline`."""
        self._tick_has_begun = False
        self._tick_values.clear()

    async def get(self, key: str, requests: int = 1) -> V:
        """The value as it was at some moment after this call began. Raises what the source raises.

        `requests`: how many of them the call is for.
        """
        fresh = self.get_inline(key)
        return fresh if fresh is not None else await asyncio.shield(self.begin(key, requests))

    def begin(self, key: str, requests: int = 1) -> asyncio.Future[V]:
        """As `get`, without waiting: for a caller that asks several barriers at once. The future is shared with other
        requests: await it shielded."""
        self._tally.asked += requests
        validations = self._validations.get(key)
        if validations is not None:
            return validations.join_next(requests)
        validations = self._validations[key] = _Validations(_new_future(), requests, self._pacing)
        task = asyncio.create_task(self._run_validations(key, validations))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return validations.running

    async def _run_validations(self, key: str, validations: _Validations[V]) -> None:
        clock = asyncio.get_running_loop().time
        try:
            while True:
                begun = clock()
                await self._validate(key, validations.running)
                await validations.fill_batch(begun)
                if validations.next_value is None:
                    return
                validations.start_next()
        except BaseException as error:  # the event loop ends
            for future in (validations.running, validations.next_value):
                if future is not None and not future.done():
                    future.set_exception(error)
            raise
        finally:
            del self._validations[key]

    async def _validate(self, key: str, answer: asyncio.Future[V]) -> None:
        """Ask the source, cache the value, and resolve the future, also with an error."""
        known = self.memory.get(key)
        self._tally.validated += 1
        self._tally.loaded += 1
        try:
            loaded = await in_thread(self._executor(), self._source.load, key, known)
            value = await loaded if isinstance(loaded, Awaitable) else loaded
        except Exception as error:  # noqa: BLE001 - raised in the waiting requests
            answer.set_exception(error)
        else:
            self.memory.put(key, value)
            answer.set_result(value)


def _resolve(next_value: asyncio.Future[None]) -> None:
    if not next_value.done():
        next_value.set_result(None)


def _new_future() -> asyncio.Future[V]:
    future: asyncio.Future[V] = asyncio.get_running_loop().create_future()
    # All waiting requests may have been cancelled: then no code retrieves the exception, which is no error.
    future.add_done_callback(lambda done: None if done.cancelled() else done.exception() and None)
    return future
