"""The number of all files, for the home page.

It takes time that grows with the index, so it is worked out in a thread, and does not go through the memory of views:
the pages that installers ask for would be pushed out of it. `quire.catalog.file_list` does the same for the list of
files.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from quire.catalog.sources import AnySource
from quire.domain.errors import QuireError

INTERVAL_SECONDS = 2.0
"""Seconds between two counts, at least."""
SHARE = 20
"""A count that took long is not repeated before so many times its duration have passed."""
PATIENCE = 1.0
"""Seconds that a page waits for a count; after that it says the last number."""

log = structlog.get_logger(__name__)


class FileCount:
    """How many files there are: for people, so a few seconds old, and cheap however often it is asked for.

    Health checks ask for the home page every few seconds. So there is one count at a time in a process.
    """

    def __init__(self, sources: Sequence[AnySource], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._sources = sources
        self._clock = clock
        self._number: int | None = None
        self._due = clock()
        self._task: asyncio.Task[None] | None = None

    async def get(self, in_thread: Callable[[Callable[[], int]], Awaitable[int]]) -> int | None:
        """The number, as it was a moment ago; None while it is not known yet. Never raises QuireError."""
        if self._task is None and self._clock() >= self._due:
            self._task = asyncio.create_task(self._refresh(in_thread))
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=PATIENCE)
        return self._number

    async def _refresh(self, in_thread: Callable[[Callable[[], int]], Awaitable[int]]) -> None:
        begun = self._clock()
        try:
            self._number = await in_thread(self.count)
        except QuireError as error:
            log.warning("files not counted", error=str(error))
        finally:
            self._due = self._clock() + max(INTERVAL_SECONDS, SHARE * (self._clock() - begun))
            self._task = None

    def count(self) -> int:
        """Count now. Blocks; one at a time. Raises StoreError."""
        return sum(source.count() for source in self._sources)
