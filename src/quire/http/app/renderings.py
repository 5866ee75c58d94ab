"""Pages that are being rendered: several requests for the same one share it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Renderings(Generic[T]):
    """Work under way, by key. For pure functions of the key: a result is right for each request that has this key,
    also when the work began before the request came. Belongs to one event loop.
    """

    def __init__(self) -> None:
        self._under_way: dict[object, asyncio.Future[T]] = {}

    async def get(self, key: object, render: Callable[[], Awaitable[T]]) -> T:
        """The result of `render`, which is begun only where none of this key is under way. Raises its errors.

        A request that is cancelled does not cancel the work, for which others may wait.
        """
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.ensure_future(render())
            task.add_done_callback(lambda done: self._remove(key, done))
        return await asyncio.shield(task)

    def _remove(self, key: object, done: asyncio.Future[T]) -> None:
        del self._under_way[key]
        if not done.cancelled():
            done.exception()  # all waiting requests may have been cancelled: then no code retrieves the exception
