"""Blocking work in a thread, for code of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def in_thread(
    executor: Executor | None, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> asyncio.Future[T]:
    """The result of the function, which runs in a thread of the executor; None for the event loop's own.

    Code that awaits it goes on in a later callback of the event loop, however fast the thread is. The read barrier
    depends on that (`quire.catalog.freshness`). `run_in_executor` does so up to Python 3.12: from 3.13 on it returns a
    future that is done where the thread was faster, and to await that does not leave the callback.
    """
    loop = asyncio.get_running_loop()
    future = loop.run_in_executor(executor, partial(function, *args, **kwargs))
    return loop.create_task(_result(future)) if future.done() else future


async def _result(future: asyncio.Future[T]) -> T:
    return await future
