"""The number of all files, for the home page; the bytes of an index, for its quota, come of the same count.

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
URGENT_SHARE = 4
"""The same where a request is about to be refused by the last one."""
PATIENCE = 1.0
"""Seconds that a page waits for a count; after that it says the last number."""

InThread = Callable[[Callable[[], int]], Awaitable[int]]
"""Runs blocking work in a thread."""

log = structlog.get_logger(__name__)


class FileCount:
    """How many files there are: for people, so a few seconds old, and cheap however often it is asked for.

    Health checks ask for the home page every few seconds. So there is one count at a time in a process.
    """

    def __init__(self, sources: Sequence[AnySource], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._sources = sources
        self._clock = clock
        self._number: int | None = None
        self._due = self._urgent_due = clock()
        self._task: asyncio.Task[None] | None = None

    def begin(self, in_thread: InThread, *, at_once: bool = False) -> None:
        """Begin to count, if it is time or `at_once`, and no count is under way."""
        if self._task is None and (at_once or self._clock() >= self._due):
            self._task = asyncio.create_task(self._refresh(in_thread))

    async def get(self, in_thread: InThread, *, is_urgent: bool = False) -> int | None:
        """The number, as it was a moment ago; None while it is not known yet. Never raises QuireError.

        `is_urgent`: of a shorter moment, see URGENT_SHARE.
        """
        self.begin(in_thread, at_once=is_urgent and self._clock() >= self._urgent_due)
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=PATIENCE)
        return self._number

    async def _refresh(self, in_thread: InThread) -> None:
        begun = self._clock()
        try:
            self._number = await in_thread(self.count)
        except QuireError as error:
            log.warning("files not counted", error=str(error))
        finally:
            ended = self._clock()
            self._due = ended + max(INTERVAL_SECONDS, SHARE * (ended - begun))
            self._urgent_due = ended + URGENT_SHARE * (ended - begun)
            self._task = None

    def count(self) -> int:
        """Count now. Blocks; one at a time. Raises StoreError."""
        return sum(source.count() for source in self._sources)
