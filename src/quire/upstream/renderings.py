"""Rendered pages of mirrored projects, kept beside the page that they were made of.

A large page takes its worker some time to read, check, render and compress. The result is a pure function of the page's
content and of a form, so it is kept, named by both: every worker, and every later process, gives the same bytes without
that work. A rendering is never true by itself: it is given for a record that was validated, and that names its content.

All of it is derived. A rendering that cannot be read, or was written by another version (`RENDERING`), is as good as
none. That of a replaced content is removed with it, as far as the worker knows the form, and else by `quire gc`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec
import structlog

from quire.domain.errors import BlobMissing, Conflict, DamagedRecord, InvalidName, StoreError
from quire.domain.reserved import MIRROR
from quire.store.contracts import Blobs, Records, Staging, StoredBlob
from quire.upstream.mirrored import MirroredPage, decode_page

RENDERING: Final = 2
"""A part of every form; raised when the same content gives another page (tests/upstream/test_renderings.py)."""
MAX_BYTES: Final = 64 * 1024 * 1024
"""Of a rendering, compressed. A longer one is not kept."""
MOST_READ_INLINE: Final = 512 * 1024
"""Bytes of a rendering that are read and checked on an event loop, which takes less than a millisecond."""
_CONTENT: Final = 32
_PAGE: Final = re.compile(rf"(?P<record>{MIRROR}/[a-z0-9-]+/[a-z0-9-]+)/[0-9a-f]{{16,32}}-[0-9a-f]{{16}}")
_FORM: Final = 16

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("quire.mirror")


class Rendering(msgspec.Struct, frozen=True):
    """A page in one form."""

    content_type: str
    etag: str
    size: int
    """Bytes of the page before its compression."""
    body: bytes
    """Compressed."""


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Rendering).decode


def _pack(rendering: Rendering) -> bytes:
    """The bytes of its blob, behind their digest: a loss of power may damage them."""
    data = _encode(rendering)
    return hashlib.sha256(data).digest() + data


def _unpack(data: bytes) -> Rendering | None:
    """Raises MsgspecError; None for damaged bytes."""
    digest, data = data[: hashlib.sha256().digest_size], data[hashlib.sha256().digest_size :]
    return _decode(data) if hashlib.sha256(data).digest() == digest else None


def form_of(*parts: str | None) -> str:
    """The name of a form, by all that the page depends on beside its content, and its content coding."""
    return hashlib.sha256(repr((RENDERING, parts)).encode()).hexdigest()[:_FORM]


class Renderings:
    """Those of one mirror. All methods block, and may be called from any thread."""

    def __init__(self, blobs: Blobs, prefix: str, *, writable: bool) -> None:
        """`prefix`: of the keys of the mirror."""
        self._blobs = blobs
        self._prefix = prefix
        self._writable = writable
        self._forms: set[str] = set()
        """Those that this worker was asked for."""

    def get(self, name: str, content: str, form: str, make: Callable[[], Rendering]) -> Rendering:
        """The page of a project (normalized name) in this form: the one that is kept, or a new one, which is kept then.

        `content`: names the content (`quire.upstream.mirrored.MirroredPage.content`). Raises what `make` raises.
        """
        key = self._key(name, content, form)
        self._forms.add(form)
        found, is_damaged = self._read(key)
        if found is None:
            found = make()
            if self._writable and len(found.body) <= MAX_BYTES:
                self._keep(key, found, is_damaged=is_damaged)
        return found

    def get_inline(self, name: str, content: str, form: str) -> Rendering | None:
        """The kept page, if it is read without waiting; None when it takes a call of `get`. Raises StoreError."""
        try:
            with self._blobs.open(self._key(name, content, form)) as blob:
                data = blob.read_inline() if blob.size <= MOST_READ_INLINE else None
            return None if data is None else _unpack(data)
        except (BlobMissing, InvalidName, msgspec.MsgspecError, UnicodeDecodeError):
            return None

    def remove(self, name: str, content: str) -> None:
        """Remove those of a content that is replaced. Raises StoreError."""
        for form in tuple(self._forms):
            self._blobs.remove(self._key(name, content, form))

    def _read(self, key: str) -> tuple[Rendering | None, bool]:
        """The kept rendering, if it is readable; whether other bytes are there in its place."""
        try:
            with self._blobs.open(key) as blob:
                found = _unpack(blob.read()) if blob.size <= 2 * MAX_BYTES else None
        except BlobMissing:
            return None, False
        except (msgspec.MsgspecError, UnicodeDecodeError, StoreError) as error:
            log.warning("rendered page not readable", key=key, error=str(error))
            return None, not isinstance(error, StoreError)
        return found, found is None

    def _keep(self, key: str, rendering: Rendering, *, is_damaged: bool) -> None:
        staging: Staging | None = None
        try:
            staging = self._blobs.stage(key, None)
            if is_damaged:
                self._blobs.remove(key)
            staging.write(_pack(rendering))
            staged = staging.finish(durable=False)
            try:
                self._blobs.publish(staged, durable=False)
            except Conflict:  # another worker has made the same
                staged.discard()
        except (StoreError, InvalidName) as error:
            if staging is not None:
                staging.discard()
            log.warning("rendered page not kept", key=key, error=str(error))

    def _key(self, name: str, content: str, form: str) -> str:
        return f"{self._prefix}/{name}/{content[:_CONTENT]}-{form}"


def unused(blobs: Iterable[StoredBlob], records: Records) -> Iterator[StoredBlob]:
    """Those of these blobs that are pages, or renderings of pages, which no record names any more. Raises StoreError.

    Those of a record that this version does not understand are in use.
    """
    pages: dict[str, MirroredPage | None] = {}
    for blob in blobs:
        match = _PAGE.fullmatch(blob.key)
        if match is None:
            continue
        key = match["record"]
        if key not in pages:
            try:
                record = records.read(key)
                pages[key] = decode_page(record.data) if record.data is not None else None
            except DamagedRecord:
                continue
        page = pages[key]
        if page is None or not is_of(blob.key.rpartition("/")[2], page.content, page.blob):
            yield blob


def is_of(blob: str, content: str | None, page: str | None) -> bool:
    """Whether a blob in the folder of a project (its last part) is the page of its record, or a rendering of it.

    `content`, `page`: as the record has them (`MirroredPage.content`, `MirroredPage.blob`).
    """
    return blob == page or (content is not None and blob.startswith(f"{content[:_CONTENT]}-"))
