"""An event loop whose clock does not wait: where no callback is ready, the time of the next timer has come."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

T = TypeVar("T")


class _NoWaiting(selectors.SelectSelector):
    """In place of waiting for sockets, of which there are none, it lets the time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        """Seconds since the loop began."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Raises RuntimeError when no timer is left, so that the loop would wait for ever."""
        if timeout is None:
            raise RuntimeError("the simulation waits for what never comes")
        self.now += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time."""

    def __init__(self) -> None:
        self._clock = _NoWaiting()
        super().__init__(self._clock)

    def time(self) -> float:
        """Seconds of virtual time since the loop began."""
        return self._clock.now


class AtOnce(Executor):
    """In place of threads: what is handed over is done before the hand-over returns."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        done: Future[T] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


def in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine on a loop of its own. Raises RuntimeError when it waits for what never comes."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
