"""Bounds how much is asked of another index at once: what is above the bound waits here, and not for a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from quire.domain.errors import UpstreamBusy

WAIT_SECONDS: Final = 30.0
"""For a place, or for a connection."""


class Places:
    """So many at once. Belongs to one event loop."""

    def __init__(self, number: int) -> None:
        self._free = asyncio.Semaphore(number)

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """A place for the time of the block. Raises UpstreamBusy when none gets free in time."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise UpstreamBusy("This server asks the index for as much as it may at once; repeat later.") from None
        try:
            yield
        finally:
            self._free.release()
