"""The mirrored pages of another index, for one worker: when it is asked, and by which worker.

`quire.upstream.mirrored` has the document and its rules, `quire.upstream.page_store` reads and swaps it in the store,
where all workers share it. This module asks: in each worker at most one task for each project, whatever the number of
requests, and of all workers the one with the lease.

A name that was never found has no record: clients choose names, and records are for good. So of such a name each worker
remembers for some minutes that the other index does not know it, which counts only while there is no record: once a
worker has found the project, all others serve it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import structlog

from quire.domain.errors import Conflict, DamagedRecord, InvalidName, StoreError, UpstreamBusy, UpstreamError
from quire.observe.metrics.tally import UpstreamTally
from quire.process.in_thread import in_thread
from quire.store.contracts import Names, Record, Store
from quire.upstream import mirrored
from quire.upstream.answers import NO_VALIDATORS, Answered, Ask
from quire.upstream.mirrored import Ages, MirroredPage, Need
from quire.upstream.page_store import Mirrored, PageStore
from quire.upstream.places import Places
from quire.upstream.server import CONNECTIONS

ASK_SECONDS: Final = 30.0
"""Within which the other index must have given its answer; shorter than a lease."""
MOST_UNKNOWN: Final = 20_000
"""Names of which a worker remembers that the other index does not know them."""
LONGEST_PAUSE: Final = timedelta(minutes=2)
"""For which a worker asks nothing at all after failures, if the other index does not want longer."""
_FIRST_PAUSE: Final = timedelta(seconds=1)
_POLL: Final = 0.5
MOST_ROUNDS: Final = 60
"""Of reading a record again, before a request is given up."""
_MADE_ATTEMPTS: Final = 60
_FOR_EVER: Final = datetime.max.replace(tzinfo=UTC)

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("quire.mirror")


class Mirror:
    """The mirrored projects of one other index. Belongs to one event loop."""

    def __init__(
        self,
        store: Store,
        upstream: str,
        ask: Ask,
        ages: Ages,
        *,
        executor: Callable[[], Executor],
        makers: Callable[[], Executor] | None = None,
        asks: bool = True,
        durable: bool = False,
        tally: UpstreamTally | None = None,
        now: Callable[[], datetime] = mirrored.now_utc,
    ) -> None:
        """`upstream`: names the other index in keys; `executor`: for work that blocks; `makers`: for work that also
        takes the processor, reading large pages, None for the same; `asks`: whether the other index
        is asked, by a server that may write; else what is kept is served, however old; `durable`: whether new pages
        survive a loss of power, as those of a command whose end says that they are here."""
        self._records = store.records
        self._reads_inline = store.validates_inline
        self._asks = asks and store.writable
        self._pages = PageStore(store, upstream, durable=durable, now=now)
        self._ask = ask
        self._ages = ages
        self._tally = tally or UpstreamTally()
        self._executor = executor
        self._makers = makers or executor
        self._now = now
        self._places = Places(CONNECTIONS)
        self._tasks: dict[str, asyncio.Task[Mirrored | None]] = {}
        self._unknown: OrderedDict[str, datetime] = OrderedDict()
        self._failures = 0
        """Since the last answer, one for each pause."""
        self._paused = 0
        """How often a pause was begun. A request that began before the last one says nothing of the time since."""
        self._again: datetime | None = None
        """When the other index may be asked again, after a failure."""

    def inline(self, known: Mirrored) -> Mirrored | None:
        """The same, if that is known without waiting; None when it takes a call of `get`.

        A record that was written a moment ago is read: it takes less than the way of `get`.
        """
        if known.until is None or self._now() >= known.until:
            return None
        before = known.record
        if not self._records.unchanged(before):
            is_same = self._reads_inline and self._records.read(before.key, before) is before
            if not is_same:
                return None
        self._count(known, None)
        return known

    def first_inline(self, name: str) -> Mirrored | None:
        """A project that this worker did not know, if its record is here and says all; None when it takes a call of
        `get`. Raises StoreError."""
        if not self._reads_inline:
            return None
        try:
            record = self._records.read(self._pages.key(name))
            found = None if record.data is None else self._pages.by_record(name, None, record)
        except (DamagedRecord, InvalidName):
            return None
        if found is None or found.page is None:
            return None
        now = self._now()
        if not self._asks:
            found.until = _FOR_EVER
        elif self._need(found, now) is Need.NOTHING:
            found.until = mirrored.fresh_until(found.page, self._ages, now)
        else:
            return None
        self._count(found, None)
        return found

    async def get(self, name: str, known: Mirrored | None) -> Mirrored:
        """The project (normalized name) as it may be served now: the very object `known` if its content is the same.

        Raises UpstreamError when nothing can be served, StoreError.
        """
        begun = self._now()
        try:
            found = await self._get(name, known)
        except UpstreamError:
            self._tally.pages["failed"] += 1
            raise
        self._count(found, begun)
        return found

    def _count(self, found: Mirrored, begun: datetime | None) -> None:
        """`begun`: before the other index may have been asked for it; None if it was not."""
        page = found.page
        if page is None or page.content is None:
            result = "missing"
        elif begun is not None and page.confirmed >= begun:
            result = "asked"
        elif (now := self._now()) - page.confirmed <= self._ages.fresh:
            result = "kept"
        else:
            result = "stale"
            if self._asks and (page.trouble is not None or self._pause_ends(now) is not None):
                self._tally.stale.add(page.confirmed.timestamp())
        self._tally.pages[result] += 1

    async def _get(self, name: str, known: Mirrored | None) -> Mirrored:
        was_asked, begun = False, self._now()
        for _ in range(MOST_ROUNDS):
            current = await self._stored(name, known)
            if not self._asks:
                current.until = _FOR_EVER
                return current
            now, page = self._now(), current.page
            current.until = self._unknown_until(name) if page is None else mirrored.fresh_until(page, self._ages, now)
            needed = self._need(current, now)
            if needed is Need.NOTHING:
                return current
            # Another worker may have taken the lease first: then the page that is here is still too old.
            if was_asked and page is not None and (page.confirmed >= begun or needed is not Need.UNUSABLE):
                return current
            if page is not None and needed is Need.UNUSABLE and mirrored.is_leased(page, now):
                await asyncio.sleep(_POLL)
            elif needed is Need.UNUSABLE:
                self._check_pause(page, now)
                written = await self._written(current)
                if written is not None:
                    return written
                was_asked = True
            else:
                task, _ = self._asking(current)
                if needed is Need.BEHIND:
                    return current
                done, _ = await asyncio.wait({task}, timeout=self._ages.patience)
                if not done or task.cancelled() or task.exception() is not None:
                    return current
                was_asked = True
            known = current
        raise UpstreamBusy(f"The page of {name} changes faster than it can be read; repeat later.")

    async def _stored(self, name: str, known: Mirrored | None) -> Mirrored:
        """As `_load`. On a local disk it takes no thread to read the record, a folder with a small file."""
        record = None
        if self._reads_inline:
            before = known.record if known is not None else None
            record = self._records.read(self._pages.key(name), before)
            if known is not None and record is before:
                return known
            with suppress(DamagedRecord):
                found = self._pages.by_record(name, known, record)
                if found is not None:
                    return found
        return await in_thread(self._executor(), self._pages.load, name, known, record)

    async def _written(self, current: Mirrored) -> Mirrored | None:
        """Ask for a project; the project as it was just written, or its absence. None: it is to be read.

        A call that joined a task which was under way reads what that wrote: since then, and before this call began,
        another worker may have written and given a newer page.
        """
        task, is_own = self._asking(current)
        written = await asyncio.shield(task)
        if written is None or written.page is not None:
            return written if is_own else None
        if current.page is not None:
            return None
        current.until = self._unknown_until(current.name)
        return current

    def _need(self, current: Mirrored, now: datetime) -> Need:
        """The step before a project is served: as `mirrored.need`, with what this worker knows."""
        if current.page is None:
            return Need.NOTHING if current.until is not None else Need.UNUSABLE
        needed = mirrored.need(current.page, self._ages, now)
        return Need.NOTHING if needed in {Need.BEHIND, Need.AHEAD} and self._pause_ends(now) is not None else needed

    async def record_made(self, name: str, file: str, digest: str | None) -> None:
        """Enter metadata that was made here into the record of a page; None takes the entry out. `file`: the SHA-256 of
        the file. Raises StoreError; an entry that others prevent is left out.

        Not while a worker has the lease: its result would be discarded.
        """
        for _ in range(_MADE_ATTEMPTS):
            if await in_thread(self._executor(), self._pages.enter_made, name, file, digest):
                return
            await asyncio.sleep(1.0)

    def kept_names(self, known: Names | None) -> Names:
        """The names of which anything is kept: the very `known` when they are unchanged. Blocks. Raises StoreError."""
        return self._records.names(self._pages.folder, known)

    def kept(self, name: str) -> Mirrored:
        """A project as it is kept, however old it is. Blocks. Raises StoreError."""
        return self._pages.load(name, None)

    async def close(self) -> None:
        """End what is being asked. A lease that was taken ends by its time."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- asking -------------------------------------------------------------------------------------------------------

    def _asking(self, current: Mirrored) -> tuple[asyncio.Task[Mirrored | None], bool]:
        """The task that asks for a project: the one under way, or a new one; whether it is new. Its result is the
        project as it was just written, or its absence; None: it is to be read."""
        name = current.name
        task = self._tasks.get(name)
        if task is not None:
            return task, False
        page, record = current.page, current.record
        work = partial(self._find, current) if page is None else partial(self._renew, name, record, page)
        task = self._tasks[name] = asyncio.get_running_loop().create_task(self._ask_when_free(work))
        task.add_done_callback(lambda done: self._asked(name, done))
        return task, True

    def _asked(self, name: str, task: asyncio.Task[Mirrored | None]) -> None:
        self._tasks.pop(name, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.log(
                logging.WARNING if isinstance(error, UpstreamError | StoreError) else logging.ERROR,
                "mirror failed",
                project=name,
                error=str(error) or type(error).__name__,
            )

    async def _ask_when_free(self, work: Callable[[int], Awaitable[Mirrored | None]]) -> Mirrored | None:
        """`work`: asks; called with the pauses so far, for `_pause`. Raises UpstreamBusy in a pause, which may have
        begun while it waited for others, and when those take too long, which is no failure of the other index."""
        async with self._places.take():
            self._check_pause(None, self._now())
            return await work(self._paused)

    async def _find(self, current: Mirrored, paused: int) -> Mirrored | None:
        """Ask for a project that has no record; it gets one if it is found."""
        name = current.name
        answer = await self._answer(name, NO_VALIDATORS, paused)
        if answer.page is None:
            self._remember_unknown(name)
            return current
        with suppress(Conflict):  # another worker has found it as well
            before = mirrored.lost(current.serial)
            found = await in_thread(self._makers(), self._keep, name, current.record, before, answer, paused)
            if found is not None and found.page is not None:
                found.until = mirrored.fresh_until(found.page, self._ages, self._now())
            return found
        return None

    async def _renew(self, name: str, record: Record, page: MirroredPage, paused: int) -> None:
        """Ask for a project that has a record, unless another worker has changed it meanwhile."""
        try:
            leased = mirrored.with_lease(page, secrets.token_hex(8), self._now())
            record = await in_thread(self._executor(), self._pages.write, record, leased)
            known = page.validators if page.content is not None else NO_VALIDATORS
            answer = await self._answer(name, known, paused)
            await in_thread(self._makers(), self._keep, name, record, page, answer, paused)
        except Conflict:
            log.debug("mirrored page was changed meanwhile", project=name)
        except UpstreamError as error:
            wait = error.wait if isinstance(error, UpstreamBusy) else 0.0
            await in_thread(
                self._executor(), self._pages.write, record, mirrored.failed(page, str(error), wait, self._now())
            )
            raise

    async def _answer(self, name: str, known: mirrored.Validators, paused: int) -> Answered:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                answer = await self._ask(name, known)
        except UpstreamBusy as error:
            self._pause(error.wait, paused)
            raise
        except TimeoutError:
            self._pause(0.0, paused)
            raise UpstreamBusy(f"The index gives no page of {name} within {ASK_SECONDS:.0f} seconds.") from None
        if not callable(answer.page):
            self._resume()
        return answer

    def _pause(self, wait: float, paused: int) -> None:
        """Ask nothing for a while, after a failure. `wait`: seconds that the other index asked for; `paused`: as it was
        when the request began. Requests that fail together are one failure: they only lengthen the pause."""
        now = self._now()
        wanted = now + timedelta(seconds=min(wait, 3600.0))
        if paused == self._paused:
            pause = min(_FIRST_PAUSE * 2 ** min(self._failures, 10), LONGEST_PAUSE)
            self._failures += 1
            self._paused += 1
            self._tally.pauses += 1
            self._again = max(now + pause, wanted)
        elif wait > 0:
            self._again = max(self._again or wanted, wanted)
        self._tally.paused_until = 0.0 if self._again is None else self._again.timestamp()

    def _resume(self) -> None:
        self._failures, self._again, self._tally.paused_until = 0, None, 0.0

    def _pause_ends(self, now: datetime) -> datetime | None:
        """When the other index may be asked again; None: now."""
        return self._again if self._again is not None and now < self._again else None

    def _check_pause(self, page: MirroredPage | None, now: datetime) -> None:
        """Raises UpstreamBusy while the other index is not to be asked."""
        if page is not None and page.trouble is not None and mirrored.is_pausing(page, now):
            raise UpstreamBusy(page.trouble.said, (page.trouble.again - now).total_seconds())
        ends = self._pause_ends(now)
        if ends is not None:
            raise UpstreamBusy("The index could not be reached just now; repeat later.", (ends - now).total_seconds())

    def _unknown_until(self, name: str) -> datetime | None:
        until = self._unknown.get(name)
        return until if until is not None and until > self._now() else None

    def _remember_unknown(self, name: str) -> None:
        self._unknown[name] = self._now() + self._ages.fresh
        self._unknown.move_to_end(name)
        while len(self._unknown) > MOST_UNKNOWN:
            self._unknown.popitem(last=False)

    # -- in threads ---------------------------------------------------------------------------------------------------

    def _keep(
        self, name: str, record: Record, before: MirroredPage | None, answer: Answered, paused: int
    ) -> Mirrored | None:
        """Read an answer and keep it. Raises as `PageStore.keep`, and UpstreamError."""
        now = self._now()
        try:
            answer = answer.read()
        except UpstreamBusy as error:
            self._pause(error.wait, paused)
            raise
        self._resume()
        return self._pages.keep(name, record, before, answer, now)
