"""The documents beside a file of another index, kept in the store: its metadata (PEP 658) and its provenance (PEP 740).

They are small: fetched whole, checked, and then given to the client and kept. Requests at one time each fetch it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from hmac import compare_digest
from types import MappingProxyType
from typing import Final

import msgspec
import structlog

from quire.domain.errors import BlobMissing, Conflict, NotFound, StoreError, UpstreamBusy, UpstreamError
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
    ) -> None:
        self._blobs = store.blobs
        self._writable = store.writable
        self._server = server
        self._space = space
        self._readers = readers
        self._writers = writers

    async def metadata(self, key: str, file: UpstreamFile) -> OpenBlob | bytes:
        """The metadata of a file, which the other index announced with its SHA-256. `key`: of the file's blob.

        Raises NotFound when the other index has it no more, UpstreamBusy, UpstreamError, StoreError.
        """

        def check(body: bytes) -> None:
            if not compare_digest(sha256(body).hexdigest(), str(file.metadata)):
                raise UpstreamError(f"The metadata of {file.filename} has another digest than its page announces.")

        url = beside(file.url, METADATA)
        wanted = _Wanted("metadata", f"metadata of {file.filename}", url, MOST_METADATA, WITHOUT_CODING)
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
        loop = asyncio.get_running_loop()
        try:
            kept = await loop.run_in_executor(self._readers(), self._blobs.open, key)
        except BlobMissing:
            pass
        else:
            self._space.used(key)
            self._space.tally.files[wanted.kind, "kept"] += 1
            return kept
        if self._server.offline:
            raise NotFound(f"The {wanted.what} is not here, and this server asks no other index (--upstream-offline).")
        try:
            async with asyncio.timeout(SECONDS), self._server.get(wanted.url, wanted.headers) as response:
                check_there(response, wanted.what)
                body = await response.body(wanted.limit)
        except TimeoutError:
            raise UpstreamBusy(f"The {wanted.what} does not arrive; repeat later.") from None
        check(body)
        self._space.tally.files[wanted.kind, "fetched"] += 1
        if self._writable:
            await loop.run_in_executor(self._writers(), partial(self._keep, key, body))
            self._space.used(key)
            self._space.added(len(body))
        return body

    def _keep(self, key: str, body: bytes) -> None:
        staging = self._blobs.stage(key)
        try:
            staging.write(body)
            publish(self._blobs, staging)
        except StoreError as error:
            staging.discard()
            log.warning("document not kept", key=key, error=str(error))


def publish(blobs: Blobs, staging: Staging) -> None:
    """Publish staged bytes, unless another worker has. Blocks. Raises StoreError."""
    staged = staging.finish(durable=False)
    try:
        blobs.publish(staged)
    except Conflict:  # another worker has fetched the same bytes
        staged.discard()


class _Provenance(msgspec.Struct):
    version: int
    attestation_bundles: list[msgspec.Raw]


def check_provenance(what: str, body: bytes) -> None:
    """Raises UpstreamError for bytes that are no provenance object of version 1 (PEP 740).

    The signatures in it are the client's to verify: they bind it to the file, whichever server it comes from.
    """
    try:
        found = msgspec.json.decode(body, type=_Provenance)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError(f"The {what} is no provenance object ({error}).") from error
    if found.version != 1:
        raise UpstreamError(f"The {what} has the version {found.version}; this quire understands version 1.")


def beside(url: str, companion: str) -> str:
    """The URL of a companion of a file: the suffix belongs to the path (PEP 658)."""
    path, mark, query = url.partition("?")
    return f"{path}{companion}{mark}{query}"
