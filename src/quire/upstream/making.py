"""Metadata (PEP 658) of files whose upstream offers none beside them: made when clients want such a file.

Theory of operation. Clients trust a page that offers metadata: pip and uv give up when its URL answers with an error,
though they would find the metadata in the file itself otherwise. So a page offers what is made only once it is kept, by
an entry in the page's record (`MirroredPage.made`), and it is not removed for space.

It is made of the file, when that was fetched for a client and verified. When a client asked for a part of a wheel that
is not here, as installers do to read its metadata, it is made of further parts: the end of the archive, which has its
directory, and the member itself. Such parts cannot be verified, as those that the client got by itself; when the whole
file comes, its metadata takes the place of that. No file is fetched for its metadata.

The metadata of an sdist is offered only where it is that of each wheel built from it (PEP 643).
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from hashlib import sha256
from typing import BinaryIO, Final

import structlog

from quire.archives.metadata import is_static, parse_metadata, read_metadata
from quire.domain.errors import BlobMissing, InvalidDistribution, InvalidName, NotFound, StoreError, UpstreamError
from quire.domain.names import Kind, ParsedFilename
from quire.process.in_thread import in_thread
from quire.store.contracts import Blobs, Store
from quire.store.open_blob import OpenBlob, PositionReader
from quire.upstream.documents import MOST_METADATA, publish
from quire.upstream.pages import UpstreamFile
from quire.upstream.reading import WITHOUT_CODING
from quire.upstream.server import OtherServer

PART: Final = 128 * 1024
"""Bytes that are asked for at least: the directory of most wheels is in the last ones, and so is their metadata."""
MOST_PARTS: Final = 6
MOST_BYTES: Final = 8 * 1024 * 1024
"""Of all parts of a wheel."""
SECONDS: Final = 60.0
MOST_AT_ONCE: Final = 4
_MOST_TRIED: Final = 10_000

Record = Callable[[str, str, str | None], Awaitable[None]]
"""Enters the SHA-256 of the metadata of a file, by the file's SHA-256, into the record of a project's page; None takes
the entry out."""

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("quire.mirror")


class MetadataMaker:
    """Makes the metadata of the files of one other index. Belongs to one event loop."""

    def __init__(
        self,
        store: Store,
        folder: str,
        server: OtherServer,
        record: Record,
        *,
        readers: Callable[[], Executor],
        writers: Callable[[], Executor],
        examiners: Callable[[], Executor],
    ) -> None:
        """`folder`: of all keys of the other index; `examiners`: threads for reading whole archives, which may take
        long: a large sdist is unpacked up to its metadata."""
        self._blobs = store.blobs
        self._writable = store.writable
        self._folder = folder
        self._server = server
        self._record = record
        self._readers = readers
        self._writers = writers
        self._examiners = examiners
        self._tried: set[tuple[str, bool]] = set()
        """Digests of files, and whether their whole was there: these are not tried again."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(MOST_AT_ONCE)

    def begin(self, project: str, file: UpstreamFile, key: str | None) -> None:
        """Make the metadata of a file, behind the answer to a client, unless there is some already.

        `key`: of its blob, when it is here; None to read parts.
        """
        tried = (file.hashes["sha256"], key is not None)
        if isinstance(file.metadata, str):
            return
        if not self._writable or self._server.offline or tried in self._tried or not _is_wanted(file, key):
            return
        if len(self._tried) >= _MOST_TRIED:
            self._tried.clear()
        self._tried.add(tried)
        task = asyncio.get_running_loop().create_task(self._make(project, file, key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def open(self, project: str, file: UpstreamFile, digest: str) -> OpenBlob:
        """The kept metadata with this SHA-256. Raises NotFound, StoreError; the page offers it no more then."""
        try:
            return await in_thread(self._readers(), self._blobs.open, made_key(self._folder, project, digest))
        except BlobMissing:
            await self._record(project, file.hashes["sha256"], None)
            raise NotFound(f"The metadata of {file.filename} is lost; ask for its page once more.") from None

    async def settle(self) -> None:
        """Wait for all that is being made."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """End what is being made."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _make(self, project: str, file: UpstreamFile, key: str | None) -> None:
        try:
            async with self._places, asyncio.timeout(SECONDS):
                document = await (self._of_parts(file) if key is None else self._of_whole(file, key))
            if document is None:
                return
            digest = await in_thread(self._writers(), _keep, self._blobs, self._folder, project, document)
            await self._record(project, file.hashes["sha256"], digest)
        except (UpstreamError, StoreError, NotFound, InvalidDistribution, TimeoutError) as error:
            log.info("metadata not made", filename=file.filename, error=str(error) or type(error).__name__)
        else:
            log.info("metadata made", filename=file.filename)

    async def _of_whole(self, file: UpstreamFile, key: str) -> bytes | None:
        try:
            return await in_thread(self._examiners(), _of_blob, self._blobs, file, key)
        except BlobMissing:  # removed again
            return None

    async def _of_parts(self, file: UpstreamFile) -> bytes | None:
        """Of a wheel, from parts; None where they are not given, or would be too many."""
        assert file.size is not None
        parts = _Parts(file.size)
        missing = _Absent(max(0, file.size - PART), min(PART, file.size))
        for _ in range(MOST_PARTS):
            start = missing.offset
            stop = min(file.size, start + max(missing.size, PART))
            if parts.total + stop - start > MOST_BYTES:
                return None
            part = await self._part(file, start, stop)
            if part is None:
                return None
            parts.add(start, part)
            try:
                reader = io.BufferedReader(PositionReader(parts))
                return await in_thread(self._readers(), _document, reader, file.parsed)
            except _Absent as error:
                missing = error
        return None

    async def _part(self, file: UpstreamFile, start: int, stop: int) -> bytes | None:
        headers = {**WITHOUT_CODING, "Range": f"bytes={start}-{stop - 1}"}
        async with self._server.get(file.url, headers) as response:
            is_part = response.headers.get("Content-Range") == f"bytes {start}-{stop - 1}/{file.size}"
            if response.status != 206 or not is_part:
                return None
            body = await response.body(stop - start)
            return body if len(body) == stop - start else None


def make_of_kept(blobs: Blobs, folder: str, project: str, file: UpstreamFile, key: str) -> str | None:
    """Make the metadata of a file that is here; its SHA-256, which is to be entered into the record of the page. None
    where there is none to offer. Blocks. `folder`: see MetadataMaker; `key`: of the file's blob. Raises StoreError.
    """
    if isinstance(file.metadata, str) or not _is_wanted(file, key):
        return None
    try:
        document = _of_blob(blobs, file, key)
    except InvalidDistribution:
        return None
    return None if document is None else _keep(blobs, folder, project, document)


def _of_blob(blobs: Blobs, file: UpstreamFile, key: str) -> bytes | None:
    with blobs.open(key) as blob:
        return _document(blob.as_file(), file.parsed)


def _keep(blobs: Blobs, folder: str, project: str, document: bytes) -> str:
    """Store metadata; its SHA-256."""
    digest = sha256(document).hexdigest()
    staging = blobs.stage(made_key(folder, project, digest), None)
    try:
        staging.write(document)
        publish(blobs, staging)
    except BaseException:
        staging.discard()
        raise
    return digest


def made_key(folder: str, project: str, digest: str) -> str:
    """Of the blob of metadata that was made. `digest`: its SHA-256."""
    return f"{folder}/{project}/made-{digest}"


class _Absent(OSError):
    """Bytes are needed that have not been asked for."""

    def __init__(self, offset: int, size: int) -> None:
        super().__init__("These bytes of the file are not here.")
        self.offset = offset
        self.size = size


class _Parts:
    """Some bytes of a file. `read_at` raises _Absent for others."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._parts: list[tuple[int, bytes]] = []

    @property
    def total(self) -> int:
        """The number of these bytes."""
        return sum(len(part) for _, part in self._parts)

    def add(self, start: int, part: bytes) -> None:
        self._parts.append((start, part))

    def read_at(self, offset: int, size: int) -> bytes:
        stop = min(offset + size, self.size)
        for start, part in self._parts:
            if start <= offset < start + len(part):
                return part[offset - start : stop - start]
        if offset >= stop:
            return b""
        raise _Absent(offset, stop - offset)


def _is_wanted(file: UpstreamFile, key: str | None) -> bool:
    """Whether metadata can be made of this kind of file."""
    try:
        kind = file.parsed.kind
    except InvalidName:
        return False
    return kind is Kind.WHEEL and file.size is not None if key is None else kind in {Kind.WHEEL, Kind.SDIST}


def _document(file: BinaryIO, parsed: ParsedFilename) -> bytes | None:
    """The metadata that may be offered beside the file. Raises InvalidDistribution, _Absent, StoreError."""
    document = read_metadata(file, parsed)
    if document is None or len(document) > MOST_METADATA:
        return None
    metadata = parse_metadata(document, strict=False)
    return document if parsed.kind is Kind.WHEEL or is_static(metadata) else None
