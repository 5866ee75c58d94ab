"""Work on many items, on some of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from quire.domain.errors import QuireError

T = TypeVar("T")


async def each_of(items: Iterable[T], work: Callable[[T], Awaitable[None]], jobs: int) -> None:
    """Do the work on all items, on so many at once. The first error ends it."""
    remaining = iter(items)

    async def do() -> None:
        for item in remaining:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(jobs):
                group.create_task(do())
    except* QuireError as errors:
        raise errors.exceptions[0] from None
