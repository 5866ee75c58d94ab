"""Functions that one event loop has threads run for it, and their results.

Theory of operation. `run_in_executor` makes two futures, a condition and a chain of callbacks for each call, and its
pool counts idle threads with a semaphore in Python: together a fifteenth of the processor time of an upload. Here a
call is one future of the event loop and one entry in a queue. A thread takes entries until none has come for `LINGER`
seconds, and ends. All counts belong to the event loop, so they need no lock.

The threads are those of an executor, which lets a process end only when what they have begun is done. A thread that
waits for entries holds that up for as long as it lingers at most, and not at all after `close`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple, TypeVar

LINGER: Final = 1.0

T = TypeVar("T")


class _Entry(NamedTuple):
    """A function that waits for a thread."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    function: Callable[[], Any]


class Handover:
    """At most so many threads. Belongs to one event loop; nothing is started before it is needed."""

    def __init__(self, size: int, name: str) -> None:
        """`name`: of the threads."""
        self._size = size
        self._name = name
        self._executor: ThreadPoolExecutor | None = None
        self._queue: SimpleQueue[_Entry | None] = SimpleQueue()
        self._unfinished = 0
        self._threads = 0
        self._is_closed = False

    def run(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Run it in a thread. A function whose future is cancelled before is left out. Raises RuntimeError when closed.

        A call that finds no thread idle starts one more, up to their number.
        """
        if self._is_closed:
            raise RuntimeError("no function is run after the end")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._unfinished += 1
        self._queue.put(_Entry(loop, future, function))
        self._start_thread(loop)
        return future

    def close(self) -> None:
        """Begin nothing more, and drop what waits. For the end of the process."""
        self._is_closed = True
        with contextlib.suppress(Empty):
            while (entry := self._queue.get_nowait()) is not None:
                entry.future.cancel()
        for _ in range(self._threads):
            self._queue.put(None)
        if self._executor is not None:
            self._executor.shutdown(wait=False)

    def _start_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start one where there are fewer than functions to run."""
        if self._unfinished <= self._threads or self._threads >= self._size or self._is_closed:
            return
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self._size, thread_name_prefix=self._name)
        self._threads += 1
        self._executor.submit(self._serve, loop)

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take entries, in a thread."""
        with contextlib.suppress(Empty):
            while (entry := self._queue.get(timeout=LINGER)) is not None:
                self._run(entry)
                entry = None  # what it refers to must not live until the next one
        _call(loop, self._note_end, loop)

    def _run(self, entry: _Entry) -> None:
        result, problem = None, None
        if not entry.future.cancelled():
            try:
                result = entry.function()
            except BaseException as error:  # noqa: BLE001 - the awaiting task raises it
                problem = error
        try:
            _call(entry.loop, self._finish, entry.future, result, problem)
        finally:
            problem = None  # else the frame and the traceback would hold each other

    def _finish(self, future: asyncio.Future[Any], result: object, problem: BaseException | None) -> None:
        self._unfinished -= 1
        if future.cancelled():
            return
        if problem is None:
            future.set_result(result)
        else:
            future.set_exception(problem)

    def _note_end(self, loop: asyncio.AbstractEventLoop) -> None:
        """A thread has ended. An entry that came while it did gets another one."""
        self._threads -= 1
        self._start_thread(loop)


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: object) -> None:
    """Have the event loop call it, if it still runs."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *args)
