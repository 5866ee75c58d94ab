"""Functions that an event loop hands over to threads.

Replaced here: LINGER of the module, a second: with none, threads end while the next function may be on its way.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from functools import partial

import pytest

from quire.process import handover
from quire.process.handover import Handover
from tests.serving import DEADLINE


def test_results_and_errors_come_back() -> None:
    async def main() -> None:
        threads = Handover(2, "test")
        assert await threads.run(threading.current_thread) is not threading.current_thread()
        with pytest.raises(ValueError, match="no number"):
            await threads.run(partial(_fail, ValueError("no number")))
        with pytest.raises(KeyboardInterrupt):
            await threads.run(partial(_fail, KeyboardInterrupt()))
        assert await threads.run(lambda: 3) == 3  # no error ends the thread for others
        threads.close()

    asyncio.run(main())


def test_functions_run_at_the_same_time_up_to_the_number_of_threads() -> None:
    async def main() -> None:
        threads = Handover(3, "test")
        meeting = threading.Barrier(3)
        await asyncio.gather(*(threads.run(partial(meeting.wait, DEADLINE)) for _ in range(3)))
        names = await asyncio.gather(*(threads.run(lambda: threading.current_thread().name) for _ in range(200)))
        assert 1 <= len(set(names)) <= 3
        threads.close()

    asyncio.run(main())


def test_a_function_whose_future_was_cancelled_is_left_out() -> None:
    async def main() -> list[str]:
        threads = Handover(1, "test")
        done: list[str] = []
        hold = threading.Event()
        first = threads.run(lambda: hold.wait(DEADLINE))
        left_out = threads.run(lambda: done.append("left out"))
        left_out.cancel()
        last = threads.run(lambda: done.append("last"))
        hold.set()
        await first
        await last
        threads.close()
        return done

    assert asyncio.run(main()) == ["last"]


def test_a_cancelled_function_that_has_begun_is_completed() -> None:
    async def main() -> list[str]:
        threads = Handover(1, "test")
        done: list[str] = []
        began, hold = threading.Event(), threading.Event()

        def work() -> None:
            began.set()
            hold.wait(DEADLINE)
            done.append("completed")

        future = threads.run(work)
        await asyncio.to_thread(began.wait, DEADLINE)
        future.cancel()
        hold.set()
        await threads.run(lambda: None)  # the only thread has done the other before
        threads.close()
        return done

    assert asyncio.run(main()) == ["completed"]


def test_threads_end_when_nothing_comes_and_start_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "LINGER", 0.0)

    async def main() -> None:
        threads = Handover(2, "test")
        for number in range(500):
            assert await asyncio.wait_for(threads.run(partial(int, number)), DEADLINE) == number
        await asyncio.gather(*(threads.run(partial(int, number)) for number in range(500)))
        threads.close()

    asyncio.run(main())


def test_close_drops_what_waits_and_takes_no_more() -> None:
    async def main() -> None:
        threads = Handover(1, "test")
        began, hold = threading.Event(), threading.Event()

        def work() -> str:
            began.set()
            hold.wait(DEADLINE)
            return "completed"

        first = threads.run(work)
        await asyncio.to_thread(began.wait, DEADLINE)
        waiting = threads.run(lambda: "never")
        threads.close()
        hold.set()
        assert await first == "completed"
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(RuntimeError):
            threads.run(lambda: None)

    asyncio.run(main())


def test_a_process_ends_only_when_what_was_begun_is_done() -> None:
    """Also without `close`, when the event loop is gone before the function is done."""
    code = """
import asyncio, threading
from quire.process.handover import Handover

began, hold = threading.Event(), threading.Event()

def work():
    began.set()
    hold.wait()
    print("completed", flush=True)

async def main():
    Handover(1, "test").run(work)
    await asyncio.to_thread(began.wait)

asyncio.run(main())
hold.set()
"""
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=DEADLINE)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "completed\n", "")


def _fail(error: BaseException) -> None:
    raise error
