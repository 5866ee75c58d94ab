"""The pages of another index, kept in the store, where all workers share them.

`quire.upstream.mirrored` has the document and its rules. This module reads and swaps the record, and asks: in each
worker at most one task for each project, whatever the number of requests, and of all workers the one with the lease.

A name that was never found has no record: clients choose names, and records are for good. So of such a name each worker
remembers for some minutes that the other index does not know it, which counts only while there is no record: once a
worker has found the project, all others serve it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, ParamSpec, Protocol, TypeVar

import structlog

from quire.domain.errors import BlobMissing, Conflict, DamagedRecord, StoreError, UpstreamBusy, UpstreamError
from quire.domain.reserved import MIRROR
from quire.observe.metrics.tally import MirrorTally
from quire.store.contracts import Record, Store
from quire.upstream import mirrored
from quire.upstream.fresh import FreshPages
from quire.upstream.mirrored import Ages, Content, MirroredPage, Need, Validators
from quire.upstream.pages import UpstreamFile, UpstreamPage
from quire.upstream.renderings import Rendering, Renderings

P = ParamSpec("P")
T = TypeVar("T")

ASK_SECONDS: Final = 30.0
"""Within which the other index must have given its answer; shorter than a lease."""
MOST_UNKNOWN: Final = 20_000
"""Names of which a worker remembers that the other index does not know them."""
NO_VALIDATORS: Final = Validators()
LONGEST_PAUSE: Final = timedelta(minutes=2)
"""For which a worker asks nothing at all after failures, if the other index does not want longer."""
_FIRST_PAUSE: Final = timedelta(seconds=1)
_POLL: Final = 0.5
MOST_ROUNDS: Final = 60
"""Of reading a record again, before a request is given up."""
_READ_AGAIN: Final = 5
_MADE_ATTEMPTS: Final = 60
_MOST_UNREADABLE: Final = 1000
_FOR_EVER: Final = datetime.max.replace(tzinfo=UTC)

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("quire.mirror")


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer of the other index."""

    page: UpstreamPage | Callable[[], UpstreamPage] | None
    """None: it has no such project, or, if `unchanged`, the page is the one that was confirmed. A function reads the
    answer's bytes, in a thread; it raises UpstreamError when they are no page."""
    unchanged: bool = False
    validators: Validators = NO_VALIDATORS

    def read(self) -> Answered:
        """The answer with its page. Blocks. Raises UpstreamError."""
        return replace(self, page=self.page()) if callable(self.page) else self


class Ask(Protocol):
    """Asks the other index for a page."""

    async def __call__(self, name: str, known: Validators) -> Answered:
        """`known`: of the page that is kept; empty to get the page in any case. Raises UpstreamError."""
        ...


class Mirrored:
    """A project of the other index as it is kept, or its absence. One object stands for one content: it is given again
    as long as the content is the same, with newer times."""

    __slots__ = ("_content", "_mirror", "name", "page", "record", "serial", "until")

    def __init__(
        self,
        name: str,
        record: Record,
        page: MirroredPage | None,
        content: UpstreamPage | None,
        mirror: Mirror | None = None,
    ) -> None:
        """`mirror`: reads a large page when it is needed; None where `content` is the page."""
        self.name = name
        self.record = record
        """The validator of the record."""
        self.page = page
        """None for a name that was never found."""
        self._content = content
        self._mirror = mirror
        self.until: datetime | None = None
        """Until when it is true as long as the record is unchanged; None: not known to be true at all."""
        self.serial: int | None = None
        """Of a page that was kept and cannot be read any more, if it had one: no older one takes its place."""

    @property
    def exists(self) -> bool:
        """Whether the other index has such a project."""
        return self.page is not None and self.page.content is not None

    @property
    def is_unread(self) -> bool:
        """Whether `content` has to be read each time. The project has the status `active` then."""
        return self._mirror is not None

    @property
    def content(self) -> UpstreamPage | None:
        """The page; None where the other index has no such project. Blocks, of an unread one.

        Raises BlobMissing when it was replaced since it was validated, DamagedRecord, StoreError.
        """
        return self._content if self._mirror is None else self._mirror.read(self.name, self.page)

    def find(self, filename: str) -> UpstreamFile | None:
        """A file of an unread page. Blocks. Raises as `content`."""
        if self._mirror is None or self.page is None:
            return None
        return self._mirror.read_file(self.name, self.page, filename)

    def rendering(self, form: str, make: Callable[[], Rendering]) -> Rendering:
        """The page in a form (`quire.upstream.renderings`), of an unread one. Blocks. Raises as `content`.

        A page with metadata that was made here changes with each of them: it is not kept.
        """
        if self._mirror is None or self.page is None or self.page.content is None or self.page.made:
            return make()
        return self._mirror.renderings.get(self.name, self.page.content, form, make)


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
        tally: MirrorTally | None = None,
        now: Callable[[], datetime] = mirrored.now_utc,
    ) -> None:
        """`upstream`: names the other index in keys; `executor`: for work that blocks; `makers`: for work that also
        takes the processor, reading large pages, None for the same; `asks`: whether the other index
        is asked, by a server that may write; else what is kept is served, however old; `durable`: whether new pages
        survive a loss of power, as those of a command whose end says that they are here."""
        self._durable = durable
        self._records = store.records
        self._blobs = store.blobs
        self._reads_inline = store.validates_inline
        self._asks = asks and store.writable
        self._prefix = f"{MIRROR}/{upstream}"
        self.renderings = Renderings(store.blobs, self._prefix, writable=store.writable)
        self._ask = ask
        self._ages = ages
        self._tally = tally or MirrorTally()
        self._executor = executor
        self._makers = makers or executor
        self._fresh = FreshPages()
        self._now = now
        self._tasks: dict[str, asyncio.Task[Mirrored | None]] = {}
        self._unknown: OrderedDict[str, datetime] = OrderedDict()
        self._unreadable: set[str] = set()
        """The blobs of pages that could not be read: they were replaced, or are lost."""
        self._failures = 0
        """Since the last answer."""
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
        else:
            result = "kept" if self._now() - page.confirmed <= self._ages.fresh else "stale"
        self._tally.pages[result] += 1

    async def _get(self, name: str, known: Mirrored | None) -> Mirrored:
        was_asked = False
        for _ in range(MOST_ROUNDS):
            current = await self._stored(name, known)
            if not self._asks:
                current.until = _FOR_EVER
                return current
            now, page = self._now(), current.page
            current.until = self._unknown_until(name) if page is None else mirrored.fresh_until(page, self._ages, now)
            if was_asked and page is not None:
                return current
            needed = self._need(current, now)
            if needed is Need.NOTHING:
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
            record = self._records.read(f"{self._prefix}/{name}", before)
            if known is not None and record is before:
                return known
            with suppress(DamagedRecord):
                found = self._by_record(name, known, record)
                if found is not None:
                    return found
        return await self._in_thread(self._load, name, known, record)

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
            if await self._in_thread(self.enter_made, name, file, digest):
                return
            await asyncio.sleep(1.0)

    def enter_made(self, name: str, file: str, digest: str | None) -> bool:
        """One attempt of `record_made`; whether nothing is left to do. Blocks. Raises StoreError."""
        record = self._records.read(f"{self._prefix}/{name}")
        if record.data is None:
            return True
        try:
            page = mirrored.decode_page(record.data)
            if mirrored.is_leased(page, self._now()):
                return False
            after = mirrored.with_made(page, file, digest)
            if after is not page:
                self._write(record, after)
        except DamagedRecord:
            return True
        except Conflict:
            return False
        return True

    async def close(self) -> None:
        """End what is being asked. A lease that was taken ends by its time."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- without asking: these block ----------------------------------------------------------------------------------

    def stored(self, name: str) -> Mirrored:
        """The project (normalized name) as it is kept, with its page. Raises StoreError."""
        return self._load(name, None, may_be_unread=False)

    def take(self, name: str, page: UpstreamPage | None, confirmed: datetime) -> bool:
        """Keep a page that another mirror of the same index had, which was confirmed then; whether it was taken, and
        the one that is here is not newer. `page`: None where the other index has no such project.

        Raises Conflict where other writers are always faster, StoreError.
        """
        for attempt in range(_READ_AGAIN):
            current = self._load(name, None)
            if not mirrored.is_newer(current.page, page.serial if page is not None else None, confirmed):
                return False
            try:
                self._keep(name, current.record, current.page, Answered(page), confirmed)
            except Conflict:
                if attempt == _READ_AGAIN - 1:
                    raise
            else:
                break
        return True

    # -- asking -------------------------------------------------------------------------------------------------------

    def _asking(self, current: Mirrored) -> tuple[asyncio.Task[Mirrored | None], bool]:
        """The task that asks for a project: the one under way, or a new one; whether it is new. Its result is the
        project as it was just written, or its absence; None: it is to be read."""
        name = current.name
        task = self._tasks.get(name)
        if task is not None:
            return task, False
        page, record = current.page, current.record
        work = self._find(current) if page is None else self._renew(name, record, page)
        task = self._tasks[name] = asyncio.get_running_loop().create_task(work)
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

    async def _find(self, current: Mirrored) -> Mirrored | None:
        """Ask for a project that has no record; it gets one if it is found."""
        name = current.name
        answer = await self._answer(name, NO_VALIDATORS)
        if answer.page is None:
            self._remember_unknown(name)
            return current
        with suppress(Conflict):  # another worker has found it as well
            found = await self._in_maker(self._keep, name, current.record, mirrored.lost(current.serial), answer)
            if found is not None and found.page is not None:
                found.until = mirrored.fresh_until(found.page, self._ages, self._now())
            return found
        return None

    async def _renew(self, name: str, record: Record, page: MirroredPage) -> None:
        """Ask for a project that has a record, unless another worker has changed it meanwhile."""
        try:
            leased = mirrored.with_lease(page, secrets.token_hex(8), self._now())
            record = await self._in_thread(self._write, record, leased)
            answer = await self._answer(name, page.validators if page.content is not None else NO_VALIDATORS)
            await self._in_maker(self._keep, name, record, page, answer)
        except Conflict:
            log.debug("mirrored page was changed meanwhile", project=name)
        except UpstreamError as error:
            wait = error.wait if isinstance(error, UpstreamBusy) else 0.0
            await self._in_thread(self._write, record, mirrored.failed(page, str(error), wait, self._now()))
            raise

    async def _answer(self, name: str, known: Validators) -> Answered:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                answer = await self._ask(name, known)
        except UpstreamBusy as error:
            self._pause(error.wait)
            raise
        except TimeoutError:
            self._pause(0.0)
            raise UpstreamBusy(f"The index gives no page of {name} within {ASK_SECONDS:.0f} seconds.") from None
        if not callable(answer.page):
            self._failures, self._again = 0, None
        return answer

    def _pause(self, wait: float) -> None:
        """Ask nothing for a while, after a failure. `wait`: seconds that the other index asked for."""
        pause = min(_FIRST_PAUSE * 2 ** min(self._failures, 10), LONGEST_PAUSE)
        self._failures += 1
        self._tally.pauses += 1
        self._again = self._now() + max(pause, timedelta(seconds=min(wait, 3600.0)))

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

    # -- the store: these block ---------------------------------------------------------------------------------------

    def _load(
        self, name: str, known: Mirrored | None, record: Record | None = None, *, may_be_unread: bool = True
    ) -> Mirrored:
        """The project as it is stored. `record`: as it was just read, if it was."""
        before = known.record if known is not None else None
        if record is None:
            record = self._records.read(f"{self._prefix}/{name}", before)
        page = None
        for _ in range(_READ_AGAIN):
            if known is not None and record is before:
                return known
            try:
                found = self._by_record(name, known, record, may_be_unread=may_be_unread)
                if found is not None:
                    return found
                page = mirrored.decode_page(record.data) if record.data is not None else None
                return Mirrored(name, _validator_of(record), page, self.read(name, page))
            except BlobMissing:
                again = self._records.read(record.key, record)
                if again is record:
                    break
                record = again
                continue
            except DamagedRecord as error:
                log.warning("mirrored page is damaged", project=name, error=str(error))
                break
        else:
            raise StoreError(f"The page of {name} changes faster than it can be read; repeat.")
        lost = Mirrored(name, Record(record.key, None, record.tag, record.validation), None, None)
        lost.serial = page.serial if page is not None else None
        return lost

    def _by_record(
        self, name: str, known: Mirrored | None, record: Record, *, may_be_unread: bool = True
    ) -> Mirrored | None:
        """The project by its record alone; None where its blob has to be read. Raises DamagedRecord."""
        page = mirrored.decode_page(record.data) if record.data is not None else None
        if (
            known is not None
            and known.page is not None
            and page is not None
            and (known.page.content, known.page.made) == (page.content, page.made)
        ):
            known.record, known.page = _validator_of(record), page
            return known
        if may_be_unread and self._serves_unread(page):
            return Mirrored(name, _validator_of(record), page, None, self)
        if page is not None and page.content is not None and page.blob is not None:
            return None
        return Mirrored(name, _validator_of(record), page, self.read(name, page))

    def read(self, name: str, page: MirroredPage | None) -> UpstreamPage | None:
        """The page of a record. Blocks. Raises BlobMissing when it was replaced, DamagedRecord, StoreError."""
        if page is None:
            return None
        fresh = self._fresh.take(page.content)
        if fresh is not None:
            return fresh
        with self._refusing(page):
            return mirrored.read_content(self._blobs, f"{self._prefix}/{name}", page)

    def read_file(self, name: str, page: MirroredPage, filename: str) -> UpstreamFile | None:
        """One file of a page in a blob; None when it has none of this name. Blocks. Raises as `read`."""
        with self._refusing(page):
            return mirrored.read_file(self._blobs, f"{self._prefix}/{name}", page, filename)

    @contextmanager
    def _refusing(self, page: MirroredPage) -> Iterator[None]:
        """A record that names a blob which cannot be read is not served without reading it from then on, so that the
        page is asked for again."""
        try:
            yield
        except (BlobMissing, DamagedRecord):
            if page.blob is not None:
                if len(self._unreadable) >= _MOST_UNREADABLE:
                    self._unreadable.clear()
                self._unreadable.add(page.blob)
            raise

    def _serves_unread(self, page: MirroredPage | None) -> bool:
        return page is not None and page.is_unread and page.blob not in self._unreadable

    def _keep(
        self,
        name: str,
        record: Record,
        before: MirroredPage | None,
        answer: Answered,
        confirmed: datetime | None = None,
    ) -> Mirrored | None:
        """Write the record that an answer makes of the one before; the project as it is then, if the answer has a page.

        `confirmed`: when another mirror got the answer; None: now, and then the first record of a name need not
        survive a loss of power: the name is asked for again. Raises Conflict, StoreError, UpstreamError."""
        now, durable = confirmed or self._now(), self._durable or confirmed is not None or before is not None
        content = None
        try:
            answer = answer.read()
        except UpstreamBusy as error:
            self._pause(error.wait)
            raise
        self._failures, self._again = 0, None
        assert not callable(answer.page)
        if answer.unchanged and before is not None:
            after = mirrored.confirmed(before, answer.validators, now)
        elif answer.page is None:
            after = mirrored.gone(before, now)
        elif mirrored.is_older(before, answer.page.serial):
            raise UpstreamBusy(f"The index gives an older page of {name} than before.")
        else:
            content, blob = Content.of(answer.page), None
            if not content.is_small and (before is None or before.content != content.name):
                blob = self._put(name, content, durable=durable)
            after = mirrored.found(before, content, blob, answer.validators, now)
        record = self._write(record, after, durable=durable)
        if before is not None and before.blob is not None and before.blob != after.blob:
            self._blobs.remove(self._blob(name, before.blob))  # a reader that finds none reads the record again
            if before.content is not None:
                self.renderings.remove(name, before.content)
        if content is None:
            return None
        if not self._serves_unread(after):
            return Mirrored(name, _validator_of(record), after, content.page)
        if confirmed is None:
            self._fresh.put(content.name, content.page)
        return Mirrored(name, _validator_of(record), after, None, self)

    def _put(self, name: str, content: Content, *, durable: bool) -> str:
        """Store the bytes of a large page; the name of its blob."""
        blob = f"{content.name[:16]}-{secrets.token_hex(8)}"
        staging = self._blobs.stage(self._blob(name, blob), None)
        try:
            staging.write(mirrored.pack(content))
            self._blobs.publish(staging.finish(durable=False), durable=durable)
        except BaseException:
            staging.discard()
            raise
        return blob

    def _write(self, record: Record, page: MirroredPage, *, durable: bool = True) -> Record:
        return self._records.write(record.key, mirrored.encode_page(page), record, durable=durable)

    def _blob(self, name: str, blob: str) -> str:
        return f"{self._prefix}/{name}/{blob}"

    async def _in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        work = partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._executor(), work)

    async def _in_maker(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        work = partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._makers(), work)


def _validator_of(record: Record) -> Record:
    """The record without its document, which is kept in another form."""
    return Record(record.key, None if record.data is None else b"", record.tag, record.validation)
