"""The space that the mirrors of one worker take: it notes which files are used and how much is fetched, and removes
files in time (`quire.upstream.evicting`).

Theory of operation. No record has the exact sum of the bytes, which each fetch would have to write. A run counts all
that is kept, and leaves the sum in a record. From then on a worker adds what it fetches itself, and begins a run of its
own when that is a sixty-fourth of the bound. A run frees a sixteenth. So with up to four workers the bound is exceeded
by files that arrive while a worker removes others, and each further worker may add a sixty-fourth. Once an hour one
worker makes a run for all: the others see in the record that it was done.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import structlog

from quire.domain.errors import QuireError
from quire.observe.metrics.tally import MirrorTally
from quire.process.in_thread import in_thread
from quire.store.contracts import Store
from quire.upstream.evicting import counted, evict
from quire.upstream.uses import FileUses

PART: Final = 64
"""A worker that has fetched this part of the bound makes a run."""
WRITE_SECONDS: Final = 300.0
"""Seconds, at the most, after which the uses that a worker has noted are written."""
COUNT_SECONDS: Final = 3600.0
"""Seconds between two counts, of all workers together."""
COUNT_SECONDS_UNBOUNDED: Final = 86_400.0
"""The same where no bound depends on them."""

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("quire.mirror")


class _Count(NamedTuple):
    bytes: int
    at: datetime
    fetched: int
    """Bytes that this worker had fetched by then."""


class MirrorSpace:
    """Belongs to an event loop, but for `run`."""

    def __init__(
        self,
        store: Store,
        bound: int | None,
        executor: Callable[[], Executor],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        tally: MirrorTally | None = None,
    ) -> None:
        """`bound`: bytes; None without one. `executor`: threads for work that writes."""
        self.bound = bound
        self.tally = tally or MirrorTally()
        self.tally.bound = bound
        self._store = store
        self._executor = executor
        self._now = now
        self._uses = FileUses(store.records, now)
        self._fetched = 0
        """Bytes, by this worker."""
        self._count: _Count | None = None
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def kept(self) -> int | None:
        """Bytes, as counted last, and those that this worker has fetched since; None before the first count."""
        count = self._count
        return None if count is None else count.bytes + self._fetched - count.fetched

    def used(self, key: str) -> None:
        """A file is given to a client."""
        if self._store.writable:
            self._uses.note(key)
            self._begin()

    def takes(self, size: int) -> bool:
        """Whether a file of this size may be kept at all."""
        return self._store.writable and (self.bound is None or size <= self.bound)

    def added(self, size: int) -> None:
        """A file was kept."""
        self._fetched += size
        self.tally.kept = self.kept
        if self._is_due:
            self._wake.set()

    async def close(self) -> None:
        """Write the uses that are noted. For the end of the process."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        try:
            await in_thread(self._executor(), self._uses.write)
        except QuireError as error:
            log.warning("uses of mirrored files not written", error=str(error))

    @property
    def _is_due(self) -> bool:
        fetched = self._fetched - (self._count.fetched if self._count is not None else 0)
        return self.bound is not None and fetched >= max(1, self.bound // PART)

    def _begin(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._keep_house())

    async def _keep_house(self) -> None:
        while True:
            try:
                async with asyncio.timeout(WRITE_SECONDS * random.uniform(0.5, 1)):  # noqa: S311 - spreads the workers
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await in_thread(self._executor(), self.run)
            except QuireError as error:
                log.warning("space of the mirror not looked after", error=str(error))

    def run(self) -> None:
        """Write the uses that are noted; count and remove, if it is time for it. Blocks. Raises StoreError."""
        self._uses.write()
        now, fetched = self._now(), self._fetched
        last = counted(self._store)
        every = COUNT_SECONDS if self.bound is not None else COUNT_SECONDS_UNBOUNDED
        is_recent = last is not None and abs(now - last.at) < timedelta(seconds=every)
        if last is not None and is_recent and not self._is_due:
            if self._count is None or self._count.at < last.at:
                self._count = _Count(last.bytes, last.at, fetched)
                self.tally.kept = self.kept
            return
        done = evict(self._store, self.bound, now)
        self._count = _Count(done.left, now, fetched)
        self.tally.kept = self.kept
        self.tally.removed += len(done.removed)
        self.tally.removed_bytes += done.bytes
        if done.removed:
            log.info(
                "files of the mirror removed",
                files=len(done.removed),
                bytes=done.bytes,
                last_copies=done.last_copies,
                kept=done.left,
                bound=self.bound,
            )
