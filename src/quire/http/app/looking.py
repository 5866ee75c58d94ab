"""The archives that one worker reads for people that look into them: one at a time, and the lists that it remembers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from threading import Lock
from typing import Final

from quire.archives.contents import Member
from quire.http.app.problems import HttpError

MOST_REMEMBERED: Final = 20_000
"""Members of all remembered lists together: some megabytes. Those of a larger archive are not remembered."""
MOST_WAITING: Final = 32
"""Readers that wait for an archive, more of which are sent away."""


class Looking:
    """One for each worker. Other large pages keep a thread, however many readers look into archives."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0
        self._lists: dict[str, Sequence[Member]] = {}
        self._lock = Lock()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Wait until no other archive is read. Raises HttpError 503 when too many readers wait."""
        if self._waiting >= MOST_WAITING:
            raise HttpError(503, "Too many archives are being read; try again in some seconds.")
        self._waiting += 1
        try:
            async with self._turn:
                yield
        finally:
            self._waiting -= 1

    def known(self, digest: str) -> Sequence[Member] | None:
        """The members of the archive with this digest, if they are remembered. In any thread."""
        return self._lists.get(digest)

    def remember(self, digest: str, members: Sequence[Member]) -> None:
        """Keep them, in place of the oldest ones. In any thread."""
        with self._lock:
            self._lists.pop(digest, None)
            kept = sum(map(len, self._lists.values()))
            while self._lists and kept + len(members) > MOST_REMEMBERED:
                kept -= len(self._lists.pop(next(iter(self._lists))))
            if len(members) <= MOST_REMEMBERED:
                self._lists[digest] = members
