"""The read barrier: shared validations, and the bound of its cache.

Replaced here: `run_in_executor` of one event loop, to have a thread that is always faster than the loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from quire.catalog.freshness import Barrier
from quire.domain.errors import StoreError
from quire.process.budget import Budget
from quire.process.in_thread import in_thread
from quire.store.contracts import Pacing

DEADLINE = 30.0
HOURLY = Pacing(busy_waiters=3, batch_size=12, seconds=3600)
"""Seconds; reached only by what would wait for ever."""


class Number:
    """A value that knows its size."""

    def __init__(self, number: int, size: int = 1) -> None:
        self.number = number
        self.bytes_in_memory = size


class Source:
    """Counts loads; each waits until it is let go. It reads the value that was stored when the load began."""

    def __init__(self) -> None:
        self.stored = 0
        self.loads = 0
        self.begun = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.fail = False
        self.inline_value: Number | None = None
        self.turns = 0
        self.looks = 0

    def begin_tick(self) -> None:
        self.turns += 1

    def load_inline(self, key: str, known: Number | None) -> Number | None:
        self.looks += 1
        return self.inline_value

    def load(self, key: str, known: Number | None) -> Number:
        self.loads += 1
        read = self.stored
        failing = self.fail
        self.begun.release()
        self.gate.acquire()
        if failing:
            raise StoreError("The store is away.")
        return known if known is not None and known.number == read else Number(read)


@pytest.fixture
def executor() -> Iterator[Callable[[], ThreadPoolExecutor]]:
    with ThreadPoolExecutor(4) as pool:
        yield lambda: pool


async def begun(source: Source) -> None:
    await asyncio.get_running_loop().run_in_executor(None, source.begun.acquire)


async def queued() -> None:
    """Let every task that can run now run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_no_request_shares_a_validation_that_began_before(executor: Callable[[], ThreadPoolExecutor]) -> None:
    """A request during a validation waits for the next one, and sees what was stored when it came."""
    source = Source()

    async def scenario() -> None:
        barrier = Barrier(source, inline=False, budget=Budget(1_000_000), executor=executor)
        first = asyncio.create_task(barrier.get("k"))
        await begun(source)
        source.stored = 1  # acknowledged to a client now
        late = [asyncio.create_task(barrier.get("k")) for _ in range(500)]
        await queued()
        source.gate.release(2)
        assert (await first).number == 0
        assert {(await task).number for task in late} == {1}
        assert source.loads == 2  # one for the first, one for all the others

    asyncio.run(scenario())


def test_other_keys_do_not_wait(executor: Callable[[], ThreadPoolExecutor]) -> None:
    """A slow key delays no other key."""
    source = Source()

    async def scenario() -> None:
        barrier = Barrier(source, inline=False, budget=Budget(1_000_000), executor=executor)
        slow = asyncio.create_task(barrier.get("slow"))
        other = asyncio.create_task(barrier.get("other"))
        await begun(source)
        await begun(source)
        source.gate.release(2)
        await asyncio.gather(slow, other)

    asyncio.run(scenario())


def test_inline_answers_need_no_thread(executor: Callable[[], ThreadPoolExecutor]) -> None:
    """A value that can be had at once is returned at once; any other goes through a load."""
    source = Source()

    async def scenario() -> None:
        barrier = Barrier(source, inline=True, budget=Budget(1_000_000), executor=executor)
        source.inline_value = Number(7)
        assert await barrier.get("k") is source.inline_value
        assert source.loads == 0
        assert barrier.memory.get("k") is source.inline_value
        source.inline_value = None
        await queued()
        source.gate.release()
        assert (await barrier.get("k")).number == 0
        assert source.loads == 1

    asyncio.run(scenario())


def test_requests_queued_before_a_validation_share_it_and_no_others(
    executor: Callable[[], ThreadPoolExecutor],
) -> None:
    """Requests of one turn of the event loop cost one look. One that comes after it looks again and sees the change."""
    source = Source()

    async def scenario() -> None:
        barrier = Barrier(source, inline=True, budget=Budget(1_000_000), executor=executor)
        old, new = Number(1), Number(2)
        source.inline_value = old
        seen: list[Number] = []

        async def ask() -> None:
            seen.append(await barrier.get("k"))

        async def ask_and_be_followed() -> None:
            await ask()
            source.inline_value = new  # a change, acknowledged now
            later.append(asyncio.create_task(ask()))  # by clients that know of it

        later: list[asyncio.Task[None]] = []
        await asyncio.gather(ask_and_be_followed(), ask(), ask())
        await asyncio.gather(*later)
        assert seen == [old, old, old, new]
        assert (source.looks, source.turns) == (2, 2)

    asyncio.run(scenario())


class _Fast(ThreadPoolExecutor):
    """A thread that is done before the event loop goes on."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future = super().submit(function, *arguments, **named)
        future.exception(DEADLINE)
        return future


def test_a_request_sees_its_own_change_however_fast_the_thread_was() -> None:
    """It is not in the turn any more in which it looked before. (From Python 3.13 on awaiting such a thread alone does
    not end the turn.)"""
    source = Source()

    async def scenario() -> None:
        with _Fast(1) as fast:
            barrier = Barrier(source, inline=True, budget=Budget(1_000_000), executor=lambda: fast)
            old, new = Number(1), Number(2)
            source.inline_value = old
            assert await barrier.get("k") is old
            await in_thread(fast, setattr, source, "inline_value", new)
            assert await barrier.get("k") is new

    asyncio.run(scenario())


def test_work_that_is_done_at_once_is_awaited_in_a_later_callback() -> None:
    """Its result, or its error, comes after what was queued before."""

    async def scenario() -> None:
        loop, order = asyncio.get_running_loop(), list[str]()

        def done_at_once(_: object, function: Callable[[], str]) -> asyncio.Future[str]:
            future: asyncio.Future[str] = loop.create_future()
            try:
                future.set_result(function())
            except StoreError as error:
                future.set_exception(error)
            return future

        with mock.patch.object(loop, "run_in_executor", done_at_once):
            loop.call_soon(order.append, "queued")
            order.append(await in_thread(None, str, "result"))
            with pytest.raises(StoreError):
                await in_thread(None, raise_error)
        assert order == ["queued", "result"]

    def raise_error() -> None:
        raise StoreError("The store is away.")

    asyncio.run(scenario())


def test_an_explicit_tick_shares_nothing_with_others(executor: Callable[[], ThreadPoolExecutor]) -> None:
    """A new tick validates everything again, and so does a request after its end; within it validations are shared."""

    async def scenario() -> None:
        source = Source()
        barrier = Barrier(source, inline=True, budget=Budget(1_000_000), executor=executor)

        def look_twice(answer: Number | None) -> None:
            source.inline_value = answer
            looks = source.looks
            assert [barrier.get_inline("demo") for _ in range(2)] == [answer] * 2
            assert source.looks == looks + 1

        look_twice(Number(1))
        barrier.begin_tick()
        look_twice(Number(2))
        barrier.begin_tick()
        look_twice(None)
        barrier.end_tick()
        look_twice(Number(3))
        assert source.turns == 4

    asyncio.run(scenario())


def test_a_missed_value_is_not_validated_again_in_the_tick(executor: Callable[[], ThreadPoolExecutor]) -> None:
    """Not in the same tick, nor while it is being loaded: a request then waits for a load that begins after it."""
    source = Source()

    async def scenario() -> None:
        barrier = Barrier(source, inline=True, budget=Budget(1_000_000), executor=executor)
        assert [barrier.get_inline("k"), barrier.get_inline("k"), source.looks] == [None, None, 1]
        asked = [asyncio.create_task(barrier.get("k")) for _ in range(3)]
        await begun(source)
        assert barrier.get_inline("k") is None
        asked.append(asyncio.create_task(barrier.get("k")))
        await queued()
        source.stored = 1
        source.gate.release(2)
        assert source.looks == 2  # once more in the tick of these requests
        assert [(await task).number for task in asked] == [0, 1, 1, 1]
        assert source.loads == 2

    asyncio.run(scenario())


def test_a_failure_reaches_waiting_requests_and_no_later_ones(executor: Callable[[], ThreadPoolExecutor]) -> None:
    """An error is an answer like any other: not remembered."""
    source = Source()

    async def scenario() -> None:
        barrier = Barrier(source, inline=False, budget=Budget(1_000_000), executor=executor)
        source.fail = True
        tasks = [asyncio.create_task(barrier.get("k")) for _ in range(3)]
        await begun(source)
        source.gate.release()
        await begun(source)
        source.fail = False
        late = asyncio.create_task(barrier.get("k"))
        await queued()
        source.gate.release(2)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [StoreError] * 3
        assert (await late).number == 0

    asyncio.run(scenario())


def test_a_cancelled_request_cancels_no_other(executor: Callable[[], ThreadPoolExecutor]) -> None:
    """A client that disconnects does not take the validation of the others with it."""
    source = Source()

    async def scenario() -> None:
        barrier = Barrier(source, inline=False, budget=Budget(1_000_000), executor=executor)
        first = asyncio.create_task(barrier.get("k"))
        await begun(source)
        second = asyncio.create_task(barrier.get("k"))
        third = asyncio.create_task(barrier.get("k"))
        await queued()
        first.cancel()
        second.cancel()
        source.gate.release(2)
        assert (await third).number == 0
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(scenario())


@pytest.mark.parametrize("is_one_call", [False, True])
def test_a_busy_key_waits_for_a_batch(executor: Callable[[], ThreadPoolExecutor], is_one_call: bool) -> None:
    """Once several requests came together, the next validation waits until it is worth its while, for all of them;
    a call may be for several requests."""
    source = Source()

    async def scenario() -> None:
        barrier = Barrier(source, inline=False, budget=Budget(1_000_000), executor=executor, pacing=HOURLY)

        def ask(requests: int) -> list[asyncio.Task[Number]]:
            calls = [requests] if is_one_call else [1] * requests
            return [asyncio.create_task(barrier.get("k", each)) for each in calls]

        first = ask(1)
        await begun(source)
        together = ask(HOURLY.busy_waiters)
        await queued()
        source.gate.release(100)
        await first[0]
        await queued()
        source.stored = 1  # acknowledged to a client before the others come
        together += ask(HOURLY.batch_size - HOURLY.busy_waiters)
        async with asyncio.timeout(DEADLINE):
            assert {(await task).number for task in together} == {1}
        assert source.loads == 2

    asyncio.run(scenario())


@pytest.mark.parametrize("together", range(1, HOURLY.busy_waiters))
def test_a_few_requests_do_not_wait_for_a_batch(executor: Callable[[], ThreadPoolExecutor], together: int) -> None:
    """One client asks for one thing after the other, and none of its questions is held back."""
    source = Source()
    source.gate.release(100)

    async def scenario() -> None:
        barrier = Barrier(source, inline=False, budget=Budget(1_000_000), executor=executor, pacing=HOURLY)
        async with asyncio.timeout(DEADLINE):
            for _ in range(10):
                await asyncio.gather(*(barrier.get("k") for _ in range(together)))

    asyncio.run(scenario())


def test_a_store_that_asks_for_no_batches_gets_none(executor: Callable[[], ThreadPoolExecutor]) -> None:
    """However many come together, the next validation begins when the one before has ended."""
    source = Source()
    source.gate.release(100)

    async def scenario() -> None:
        barrier = Barrier(source, inline=False, budget=Budget(1_000_000), executor=executor, pacing=None)
        async with asyncio.timeout(DEADLINE):
            for _ in range(10):
                await asyncio.gather(*(barrier.get("k") for _ in range(2 * HOURLY.batch_size)))

    asyncio.run(scenario())


def test_the_wait_for_a_batch_is_bounded(executor: Callable[[], ThreadPoolExecutor]) -> None:
    """The wait ends without a full batch; after a wait without requests a single one does not wait."""
    source = Source()
    source.gate.release(100)

    async def scenario() -> None:
        barrier = Barrier(
            source, inline=False, budget=Budget(1_000_000), executor=executor, pacing=replace(HOURLY, seconds=0.001)
        )
        async with asyncio.timeout(DEADLINE):
            for _ in range(5):
                await asyncio.gather(*(barrier.get("k") for _ in range(HOURLY.batch_size - 1)))
            await barrier.get("k")
        assert source.loads >= 6

    asyncio.run(scenario())


def test_the_end_of_the_event_loop_reaches_the_batch(executor: Callable[[], ThreadPoolExecutor]) -> None:
    """A worker that is stopped during the wait leaves no request waiting."""
    source = Source()
    source.gate.release(100)

    async def scenario() -> None:
        barrier = Barrier(source, inline=False, budget=Budget(1_000_000), executor=executor, pacing=HOURLY)
        ours = asyncio.all_tasks()
        first = asyncio.create_task(barrier.get("k"))
        together = [asyncio.create_task(barrier.get("k")) for _ in range(HOURLY.busy_waiters)]
        await first
        await queued()
        for task in asyncio.all_tasks() - ours - set(together):
            task.cancel()
        async with asyncio.timeout(DEADLINE):
            results = await asyncio.gather(*together, return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError] * HOURLY.busy_waiters

    asyncio.run(scenario())
