"""The pages of one other index as they are kept in the store. Nothing is asked here.

A small page stands in its record, a large one in a blob, which is stored before the record names it. A reader that
finds no blob reads the record again: another one took its place. `quire.upstream.mirrored` has the document and its
rules, `quire.upstream.mirror` asks for pages.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import structlog

from quire.domain.errors import BlobMissing, Conflict, DamagedRecord, StoreError, UpstreamBusy
from quire.domain.reserved import MIRROR
from quire.store.contracts import Record, Store
from quire.upstream import mirrored
from quire.upstream.answers import Answered
from quire.upstream.fresh import FreshPages
from quire.upstream.mirrored import Content, MirroredPage
from quire.upstream.pages import UpstreamFile, UpstreamPage
from quire.upstream.renderings import Rendering, Renderings

_READ_AGAIN: Final = 5
_MOST_UNREADABLE: Final = 1000

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("quire.mirror")


class Mirrored:
    """A project of the other index as it is kept, or its absence. One object stands for one content: it is given again
    as long as the content is the same, with newer times."""

    __slots__ = ("_content", "_pages", "name", "page", "record", "serial", "until")

    def __init__(
        self,
        name: str,
        record: Record,
        page: MirroredPage | None,
        content: UpstreamPage | None,
        pages: PageStore | None = None,
    ) -> None:
        """`pages`: reads a large page when it is needed; None where `content` is the page."""
        self.name = name
        self.record = record
        """The validator of the record."""
        self.page = page
        """None for a name that was never found."""
        self._content = content
        self._pages = pages
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
        return self._pages is not None

    @property
    def content(self) -> UpstreamPage | None:
        """The page; None where the other index has no such project. Blocks, of an unread one.

        Raises BlobMissing when it was replaced since it was validated, DamagedRecord, StoreError.
        """
        return self._content if self._pages is None else self._pages.read(self.name, self.page)

    def find(self, filename: str, *, inline: bool = False) -> UpstreamFile | None:
        """A file of an unread page. Blocks. Raises as `content`. `inline`: if it is found in about a millisecond,
        without waiting; else None, too."""
        if self._pages is None or self.page is None:
            return None
        return self._pages.read_file(self.name, self.page, filename, inline=inline)

    def rendering(self, form: str, make: Callable[[], Rendering]) -> Rendering:
        """The page in a form (`quire.upstream.renderings`), of an unread one. Blocks. Raises as `content`.

        A page with metadata that was made here changes with each of them: it is not kept.
        """
        kept = self._renderings()
        return make() if kept is None else kept[0].get(self.name, kept[1], form, make)

    def rendering_inline(self, form: str) -> Rendering | None:
        """The same as it is kept, if that is read without waiting; else None."""
        kept = self._renderings()
        return None if kept is None else kept[0].get_inline(self.name, kept[1], form)

    def _renderings(self) -> tuple[Renderings, str] | None:
        """Where the page is kept in its forms, and the name of its content; None for one that is not kept so."""
        if self._pages is None or self.page is None or self.page.content is None or self.page.made:
            return None
        return self._pages.renderings, self.page.content


class PageStore:
    """The mirrored projects of one other index in the store. All methods block, and may be called in any thread."""

    def __init__(
        self,
        store: Store,
        upstream: str,
        *,
        durable: bool = False,
        now: Callable[[], datetime] = mirrored.now_utc,
    ) -> None:
        """`upstream`: names the other index in keys; `durable`: whether new pages survive a loss of power, as those of
        a command whose end says that they are here."""
        self.records = store.records
        self._blobs = store.blobs
        self._prefix = f"{MIRROR}/{upstream}"
        self._durable = durable
        self._now = now
        self.renderings = Renderings(store.blobs, self._prefix, writable=store.writable)
        self._fresh = FreshPages()
        self._unreadable: set[str] = set()
        """The blobs of pages that could not be read: they were replaced, or are lost."""

    @property
    def folder(self) -> str:
        """Of the records of all projects."""
        return self._prefix

    def key(self, name: str) -> str:
        """Of the record of a project (normalized name)."""
        return f"{self._prefix}/{name}"

    def get(self, name: str) -> Mirrored:
        """The project (normalized name) as it is kept, with its page. Raises StoreError."""
        return self.load(name, None, may_be_unread=False)

    def take(self, name: str, page: UpstreamPage | None, confirmed: datetime) -> bool:
        """Keep a page that another mirror of the same index had, which was confirmed then; whether it was taken, and
        the one that is here is not newer. `page`: None where the other index has no such project.

        Raises Conflict where other writers are always faster, StoreError.
        """
        for attempt in range(_READ_AGAIN):
            current = self.load(name, None)
            serial = page.serial if page is not None else None
            if not mirrored.is_newer(current.page, serial, confirmed, self._now()):
                return False
            try:
                self.keep(name, current.record, current.page, Answered(page), confirmed, imported=True)
            except Conflict:
                if attempt == _READ_AGAIN - 1:
                    raise
            else:
                break
        return True

    def enter_made(self, name: str, file: str, digest: str | None) -> bool:
        """Enter metadata that was made here into the record of a page; None takes the entry out. `file`: the SHA-256 of
        the file. Whether nothing is left to do: no entry is made while a worker has the lease, whose result would be
        discarded, or where another writer was faster. Raises StoreError."""
        record = self.records.read(self.key(name))
        if record.data is None:
            return True
        try:
            page = mirrored.decode_page(record.data)
            if mirrored.is_leased(page, self._now()):
                return False
            after = mirrored.with_made(page, file, digest)
            if after is not page:
                self.write(record, after)
        except DamagedRecord:
            return True
        except Conflict:
            return False
        return True

    def load(
        self, name: str, known: Mirrored | None, record: Record | None = None, *, may_be_unread: bool = True
    ) -> Mirrored:
        """The project as it is stored. `record`: as it was just read, if it was."""
        before = known.record if known is not None else None
        if record is None:
            record = self.records.read(self.key(name), before)
        page = None
        for _ in range(_READ_AGAIN):
            if known is not None and record is before:
                return known
            try:
                found = self.by_record(name, known, record, may_be_unread=may_be_unread)
                if found is not None:
                    return found
                page = mirrored.decode_page(record.data) if record.data is not None else None
                return Mirrored(name, _validator_of(record), page, self.read(name, page))
            except BlobMissing:
                again = self.records.read(record.key, record)
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

    def by_record(
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
            return mirrored.read_content(self._blobs, self.key(name), page)

    def read_file(self, name: str, page: MirroredPage, filename: str, *, inline: bool = False) -> UpstreamFile | None:
        """One file of a page in a blob; None when it has none of this name. Blocks. Raises as `read`. `inline`: see
        `Mirrored.find`."""
        with self._refusing(page):
            return mirrored.read_file(self._blobs, self.key(name), page, filename, inline=inline)

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

    def keep(
        self,
        name: str,
        record: Record,
        before: MirroredPage | None,
        answer: Answered,
        confirmed: datetime,
        *,
        imported: bool = False,
    ) -> Mirrored | None:
        """Write the record that an answer (which was read) makes of the one before; the project as it is then, if the
        answer has a page.

        `confirmed`: when the answer came; `imported`: to another mirror. If to this one, the first record of a name
        need not survive a loss of power: the name is asked for again. Raises Conflict, StoreError, UpstreamBusy.
        """
        durable = self._durable or imported or before is not None
        content = None
        assert not callable(answer.page)
        if answer.unchanged and before is not None:
            after = mirrored.confirmed(before, answer.validators, confirmed)
        elif answer.page is None:
            after = mirrored.gone(before, confirmed)
        elif mirrored.is_older(before, answer.page.serial) and not mirrored.distrusts_serial(before, confirmed):
            raise UpstreamBusy(mirrored.older_page(name))
        else:
            content, blob = Content.of(answer.page), None
            if not content.is_small and (before is None or before.content != content.name):
                blob = self._put(name, content, durable=durable)
            after = mirrored.found(before, content, blob, answer.validators, confirmed)
        record = self.write(record, after, durable=durable)
        if before is not None and before.blob is not None and before.blob != after.blob:
            self._blobs.remove(self._blob(name, before.blob))  # a reader that finds none reads the record again
            if before.content is not None:
                self.renderings.remove(name, before.content)
        if content is None:
            return None
        if not self._serves_unread(after):
            return Mirrored(name, _validator_of(record), after, content.page)
        if not imported:
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

    def write(self, record: Record, page: MirroredPage, *, durable: bool = True) -> Record:
        """Replace a record. Raises Conflict, StoreError."""
        return self.records.write(record.key, mirrored.encode_page(page), record, durable=durable)

    def _blob(self, name: str, blob: str) -> str:
        return f"{self.key(name)}/{blob}"


def _validator_of(record: Record) -> Record:
    """The record without its document, which is kept in another form."""
    return Record(record.key, None if record.data is None else b"", record.tag, record.validation)
