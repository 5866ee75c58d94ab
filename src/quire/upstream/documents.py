"""The documents beside a file of another index, kept in the store: its metadata (PEP 658) and its provenance (PEP 740).

They are small: fetched whole, checked, and then given to the client and kept. Requests at one time each fetch it.

Metadata can be fetched again, so it is kept without waiting for the disk; a loss of power may damage it. So each worker
compares a document with its digest before it gives it for the first time. A provenance object has no digest, and is
durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from types import MappingProxyType
from typing import Final

import msgspec
import structlog

from quire.domain.errors import (
    BlobMissing,
    Conflict,
    NotFound,
    StoreError,
    UpstreamBusy,
    UpstreamError,
    UpstreamMismatch,
)
from quire.domain.structs import decode_as
from quire.process.in_thread import in_thread
from quire.store.contracts import Blobs, Staging, Store
from quire.store.open_blob import OpenBlob
from quire.upstream.pages import UpstreamFile
from quire.upstream.reading import WITHOUT_CODING, check_there
from quire.upstream.server import OtherServer
from quire.upstream.space import MirrorSpace

METADATA: Final = ".metadata"
PROVENANCE: Final = ".provenance"
MOST_METADATA: Final = 16 * 1024 * 1024
"""Bytes of the metadata beside a file."""
MOST_PROVENANCE: Final = 4 * 1024 * 1024
"""Bytes of a provenance object."""
MOST_INLINE: Final = 128 * 1024
"""Bytes that are read and compared on the event loop, once: a tenth of a millisecond."""
_MOST_CHECKED: Final = 50_000
SECONDS: Final = 60.0
"""Within which a document must have arrived."""
_AS_PROVENANCE: Final = MappingProxyType(
    {**WITHOUT_CODING, "Accept": "application/vnd.pypi.integrity.v1+json, application/json;q=0.9"}
)

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("quire.mirror")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A document at the other index."""

    kind: str
    """See `MIRROR_KINDS` of the metrics."""
    what: str
    """For sentences."""
    url: str
    limit: int
    """Bytes."""
    headers: Mapping[str, str]
    digest: str | None = None
    """The SHA-256; None: not known."""


class _NotCompared(BlobMissing):
    """A document that is too large to be compared on an event loop."""


class MirroredDocuments:
    """The documents of one other index. Belongs to one event loop."""

    def __init__(
        self,
        store: Store,
        server: OtherServer,
        space: MirrorSpace,
        *,
        readers: Callable[[], Executor],
        writers: Callable[[], Executor],
        durable: bool = False,
    ) -> None:
        """`durable`: whether new metadata survives a loss of power."""
        self._blobs = store.blobs
        self._writable = store.writable
        self._server = server
        self._space = space
        self._readers = readers
        self._writers = writers
        self._durable = durable
        self._may_be_damaged = store.validates_inline
        """Whether a loss of power may have damaged kept documents: on a local disk, which is read on the event loop."""
        self._checked: set[str] = set()
        """The keys of documents that were compared with their digests, which nothing damages while the machine runs."""

    async def metadata(self, key: str, file: UpstreamFile) -> OpenBlob | bytes:
        """The metadata of a file, which the other index announced with its SHA-256. `key`: of the file's blob.

        Raises NotFound when the other index has it no more, UpstreamBusy, UpstreamError, StoreError.
        """

        def check(body: bytes) -> None:
            if not is_of(body, str(file.metadata)):
                raise UpstreamMismatch(f"The metadata of {file.filename} has another digest than its page announces.")

        url = beside(file.url, METADATA)
        assert isinstance(file.metadata, str)
        wanted = _Wanted("metadata", f"metadata of {file.filename}", url, MOST_METADATA, WITHOUT_CODING, file.metadata)
        return await self._get(f"{key}{METADATA}", wanted, check)

    async def provenance(self, key: str, file: UpstreamFile) -> OpenBlob | bytes:
        """The provenance object of a file, at the URL that the other index announced. It is not asked for again while
        it is kept: the attestations of a file do not change. Raises as `metadata`.
        """
        what = f"provenance of {file.filename}"
        wanted = _Wanted("provenance", what, file.provenance or "", MOST_PROVENANCE, _AS_PROVENANCE)
        return await self._get(f"{key}{PROVENANCE}", wanted, lambda body: check_provenance(what, body))

    async def _get(self, key: str, wanted: _Wanted, check: Callable[[bytes], None]) -> OpenBlob | bytes:
        """The kept document, or a new one, which `check` accepts before it is kept."""
        try:
            kept = await self._kept(key, wanted.digest)
        except BlobMissing:
            pass
        else:
            self._space.used(key)
            self._server.tally.files[wanted.kind, "kept"] += 1
            return kept
        if self._server.offline:
            raise NotFound(f"The {wanted.what} is not here, and this server asks no other index (--upstream-offline).")
        try:
            async with asyncio.timeout(SECONDS), self._server.get(wanted.url, wanted.headers) as response:
                check_there(response, wanted.what)
                body = await response.body(wanted.limit)
        except TimeoutError:
            raise UpstreamBusy(f"The {wanted.what} does not arrive; repeat later.") from None
        try:
            check(body)
        except UpstreamError:
            self._server.tally.refused[wanted.kind] += 1
            raise
        self._server.tally.files[wanted.kind, "fetched"] += 1
        if self._writable:
            await in_thread(self._writers(), self._keep, key, body, wanted.digest)
            self._space.used(key)
            self._space.added(len(body))
        return body

    async def _kept(self, key: str, digest: str | None) -> OpenBlob:
        """The kept document. Raises BlobMissing, StoreError."""
        if self._may_be_damaged:
            with suppress(_NotCompared):
                return self._open(key, digest, MOST_INLINE)
        return await in_thread(self._readers(), self._open, key, digest)

    def open_kept(self, key: str, digest: str) -> OpenBlob:
        """Metadata that is here, on an event loop, where the store is a local disk. `digest`: its SHA-256.

        Raises BlobMissing, also for a large document that no one compared yet: `metadata` does; StoreError.
        """
        return self._open(key, digest, MOST_INLINE)

    def _open(self, key: str, digest: str | None, most: int = MOST_METADATA) -> OpenBlob:
        """The kept document. `most`: bytes that may be read for a comparison. Blocks. Raises BlobMissing also for
        another document, StoreError."""
        opened = self._blobs.open(key)
        if digest is None or not self._may_be_damaged or key in self._checked:
            return opened
        try:
            if opened.size <= most and is_of(opened.read(), digest):
                self._note_checked(key)
                return opened
        except StoreError:
            opened.close()
            raise
        opened.close()
        if opened.size > most:
            raise _NotCompared("This document was not compared with its digest yet.")
        if self._writable:
            self._blobs.remove(key)
            log.warning("damaged document removed", key=key)
        raise BlobMissing("This document is not here (any more).")

    def _note_checked(self, key: str) -> None:
        if len(self._checked) >= _MOST_CHECKED:
            self._checked.clear()
        self._checked.add(key)

    def _keep(self, key: str, body: bytes, digest: str | None) -> None:
        staging: Staging | None = None
        try:
            staging = self._blobs.stage(key, None)
            staging.write(body)
            publish(self._blobs, staging, durable=self._durable or digest is None)
            self._note_checked(key)
        except StoreError as error:
            if staging is not None:
                staging.discard()
            log.warning("document not kept", key=key, error=str(error))


def publish(blobs: Blobs, staging: Staging, *, durable: bool = True) -> None:
    """Publish staged bytes, unless another worker has. Blocks. Raises StoreError."""
    staged = staging.finish(durable=False)
    try:
        blobs.publish(staged, durable=durable)
    except Conflict:  # another worker has fetched the same bytes
        staged.discard()
    except BaseException:
        staged.discard()
        raise


def is_of(body: bytes, digest: str) -> bool:
    """Whether these are the bytes of this SHA-256."""
    return compare_digest(sha256(body).hexdigest(), digest)


class _Provenance(msgspec.Struct):
    version: int
    attestation_bundles: list[msgspec.Raw]


def check_provenance(what: str, body: bytes) -> None:
    """Raises UpstreamError for bytes that are no provenance object of version 1 (PEP 740).

    The signatures in it are the client's to verify: they bind it to the file, whichever server it comes from.
    """
    try:
        found = decode_as(body, _Provenance)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError(f"The {what} is no provenance object ({error}).") from error
    if found.version != 1:
        raise UpstreamError(f"The {what} has the version {found.version}; this quire understands version 1.")


def beside(url: str, companion: str) -> str:
    """The URL of a companion of a file: the suffix belongs to the path (PEP 658)."""
    path, mark, query = url.partition("?")
    return f"{path}{companion}{mark}{query}"
