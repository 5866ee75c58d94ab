"""The files of another index, kept in the store once a client has asked for them.

A file that is not here is fetched by the first request for it. All requests of a worker share the fetch, and get the
bytes as they arrive (`quire.upstream.arriving`); meanwhile they are staged, and published to the store when they have
the announced SHA-256, else discarded. A fetch goes on to its end when its clients have gone away.

A request that reads no bytes, or a part of a file that is not here, fetches nothing: the part is passed on. Installers
read the metadata of a wheel so, where the other index does not offer it beside the file.

A file that is here may be removed at any time, for space (`quire.upstream.evicting`). The next request fetches it
again, and a download that is under way goes on with the bytes of such a fetch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from hashlib import sha256
from hmac import compare_digest
from typing import Final

import structlog

from quire.domain.errors import BlobMissing, NotFound, StoreError, UpstreamBusy, UpstreamError, UpstreamMismatch
from quire.domain.reserved import MIRROR
from quire.process.in_thread import in_thread
from quire.store.contracts import Staging, Store
from quire.store.open_blob import OpenBlob
from quire.upstream.arriving import PIECE, Arrival
from quire.upstream.documents import METADATA, MOST_METADATA, MirroredDocuments, is_of, publish
from quire.upstream.making import MetadataMaker, Record, made_key
from quire.upstream.pages import UpstreamFile
from quire.upstream.places import Places
from quire.upstream.reading import WITHOUT_CODING, KeptBlob, Pace, Part, check_there
from quire.upstream.server import OtherServer, Response
from quire.upstream.space import MirrorSpace

PARTS: Final = 16
"""At once: readers may be slow, and whole files need connections as well."""

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("quire.mirror")


class MirroredFiles:
    """The files of one other index. Belongs to one event loop."""

    def __init__(
        self,
        store: Store,
        upstream: str,
        server: OtherServer,
        *,
        documents: OtherServer | None = None,
        readers: Callable[[], Executor],
        writers: Callable[[], Executor],
        examiners: Callable[[], Executor] | None = None,
        space: MirrorSpace | None = None,
        record: Record | None = None,
        spool: str | None = None,
        durable: bool = False,
    ) -> None:
        """`upstream`: names the other index in keys; `documents`: asked for the documents beside files, None for
        `server`, whose connections large files may take; `readers`, `writers`: threads for work that blocks;
        `examiners`: for archives that are read for their metadata, None for the writers; `space`: of all mirrors of
        this worker, None for one without a bound; `record`: enters metadata that was made into the record of a page,
        None to make none; `spool`: the directory for files that arrive, None for the system's; `durable`: whether
        metadata that is fetched survives a loss of power, as files do.
        """
        self.upstream = upstream
        self._blobs = store.blobs
        self._space = space or MirrorSpace(store, None, writers)
        self._documents = MirroredDocuments(
            store, documents or server, self._space, readers=readers, writers=writers, durable=durable
        )
        self._maker = None
        if record is not None:
            self._maker = MetadataMaker(
                store,
                f"{MIRROR}/{upstream}",
                server,
                record,
                readers=readers,
                writers=writers,
                examiners=examiners or writers,
            )
        self._survives = store.validates_inline
        """Whether the bytes of an open file can be read to their end after its removal."""
        self._writable = store.writable
        self._prefix = f"{MIRROR}/{upstream}"
        self._server = server
        self._readers = readers
        self._writers = writers
        self._spool = spool
        self._parts = Places(PARTS)
        self._fetches: dict[str, asyncio.Future[Arrival]] = {}
        """By key: done once the size is known, and the first bytes arrive."""
        self._under_way: dict[str, asyncio.Task[Exception | None]] = {}
        """By key; the result is the reason why the file was not kept, None for one that was."""
        self._complete: set[str] = set()
        """The keys of fetches whose bytes are all there, and are being kept."""

    async def open(self, project: str, file: UpstreamFile) -> OpenBlob:
        """The bytes of a file. Those that are not here are asked for once they are to be read (`OpenBlob.prepare`);
        where the other index does not say how many there are, at once.

        Raises NotFound when the other index has it no more, UpstreamBusy, UpstreamError, StoreError.
        """
        key = self._key(project, file)
        try:
            opened = await in_thread(self._readers(), self._blobs.open, key)
        except BlobMissing:
            self._check_asks(file.filename)
        else:
            self._space.used(key)
            self.count("file", "kept")
            return self._kept(opened, project, file)
        if file.size is None:
            self.count("file", "fetched")
            return await self.arriving(project, file)
        return RemoteBlob(self, project, file, file.size)

    def _kept(self, opened: OpenBlob, project: str, file: UpstreamFile) -> OpenBlob:
        """A file that is here, as it is given to a client: where there is a bound, so that its removal does no harm."""
        if self._space.bound is None or self._server.offline:
            return KeptBlob(opened, lambda: self.arriving(project, file), self.sent, is_permanent=True)
        return KeptBlob(opened, lambda: self.arriving(project, file), self.sent, by_descriptor=self._survives)

    def count(self, kind: str, result: str, number: int = 1) -> None:
        """Count a request."""
        self._server.tally.files[kind, result] += number

    def sent(self, size: int) -> None:
        """So many bytes are being given to a client."""
        self._server.tally.sent += size

    def part(self, file: UpstreamFile, start: int, stop: int) -> Part:
        """A part of a file that is not here, which is asked for. `file`: its page says its size."""
        return Part(self._server, self._parts, file, start, stop)

    def is_arriving(self, project: str, file: UpstreamFile) -> bool:
        """Whether this worker fetches a file at this moment."""
        return self._key(project, file) in self._fetches

    async def arriving(self, project: str, file: UpstreamFile) -> OpenBlob:
        """The bytes of a file that is not here: of the fetch under way, or of a new one. Raises as `open`."""
        return (await asyncio.shield(self._fetching(self._key(project, file), file)[0])).reader()

    async def keep(self, project: str, file: UpstreamFile, arrived: Callable[[int], object]) -> bool:
        """Keep the bytes of a file; whether they were fetched for that, and not here already.

        `arrived`: called with the number of further bytes. Raises as `open`, and for bytes that are not the announced
        ones.
        """
        key = self._key(project, file)
        try:
            (await in_thread(self._readers(), self._blobs.open, key)).close()
        except BlobMissing:
            self._check_asks(file.filename)
        else:
            self.make_metadata(project, file, key)
            await self._made()
            return False
        begun, fetch = self._fetching(key, file)
        blob, counted = (await asyncio.shield(begun)).reader(), 0
        try:
            while counted < blob.size and not fetch.done():
                await blob.wait(counted)
                piece = min(PIECE, blob.size - counted)
                counted += piece
                arrived(piece)
        finally:
            blob.close()
        error = await asyncio.shield(fetch)
        if error is not None:
            raise error
        await self._made()
        return True

    def open_kept(self, project: str, file: UpstreamFile, companion: str) -> OpenBlob:
        """The bytes of a file, or of the metadata beside it, that are here, to be given whole. On the event loop, where
        the store is a local disk. They count as given only once the caller says so (`gave_kept`): bytes that are not in
        the system's memory it leaves to `open`. Raises BlobMissing, StoreError."""
        key = f"{self._key(project, file)}{companion}"
        if companion:
            opened = self._documents.open_kept(key, str(file.metadata))
            self._space.used(key)
            return opened
        opened = self._blobs.open(key)
        self._space.used(key)
        return self._kept(opened, project, file)

    def gave_kept(self, companion: str, size: int) -> None:
        """Count a request that is answered with the bytes of `open_kept`."""
        if companion:
            self.count("metadata", "kept")
        else:
            self.count("file", "kept")
            self.sent(size)

    async def open_here(self, project: str, file: UpstreamFile) -> OpenBlob:
        """The bytes of a file that are here. It counts as no use of the file. Raises BlobMissing, StoreError."""
        return await in_thread(self._readers(), self._blobs.open, self._key(project, file))

    def kept_metadata(self, project: str, file: UpstreamFile, digest: str) -> bytes | None:
        """The metadata of a file, announced or made here, with this SHA-256; None where it is not here. Blocks.

        It counts as no use of it. Raises StoreError.
        """
        key = f"{self._key(project, file)}{METADATA}"
        if not isinstance(file.metadata, str):
            key = made_key(self._prefix, project, digest)
        try:
            with self._blobs.open(key) as opened:
                document = opened.read() if opened.size <= MOST_METADATA else b""
        except BlobMissing:
            return None
        return document if is_of(document, digest) else None

    async def _made(self) -> None:
        if self._maker is not None:
            await self._maker.settle()

    async def metadata(self, project: str, file: UpstreamFile) -> OpenBlob | bytes:
        """See `MirroredDocuments`."""
        return await self._documents.metadata(self._key(project, file), file)

    async def made_metadata(self, project: str, file: UpstreamFile, digest: str) -> OpenBlob:
        """Metadata that was made here; see `MetadataMaker`."""
        if self._maker is None:
            raise NotFound(f"The metadata of {file.filename} is not here.")
        return await self._maker.open(project, file, digest)

    def make_metadata(self, project: str, file: UpstreamFile, key: str | None = None) -> None:
        """Make the metadata of a file that clients want; see `MetadataMaker`."""
        if self._maker is not None:
            self._maker.begin(project, file, key)

    async def provenance(self, project: str, file: UpstreamFile) -> OpenBlob | bytes:
        """See `MirroredDocuments`."""
        return await self._documents.provenance(self._key(project, file), file)

    async def close(self) -> None:
        """End all fetches, but keep the files that are complete. For the end of the process."""
        tasks = dict(self._under_way)
        for key, task in tasks.items():
            if key not in self._complete:
                task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        if self._maker is not None:
            await self._maker.close()

    # -- fetching -----------------------------------------------------------------------------------------------------

    def _fetching(self, key: str, file: UpstreamFile) -> tuple[asyncio.Future[Arrival], asyncio.Task[Exception | None]]:
        """The beginning and the whole of a fetch: the one under way, or a new one."""
        begun = self._fetches.get(key)
        if begun is None:
            begun = self._fetches[key] = asyncio.get_running_loop().create_future()
            self._under_way[key] = asyncio.get_running_loop().create_task(self._fetch(key, file, begun))
        return begun, self._under_way[key]

    async def _fetch(self, key: str, file: UpstreamFile, begun: asyncio.Future[Arrival]) -> Exception | None:
        """Fetch a file to its end. `begun`: gets the arrival, or the reason why there is none."""
        staging, arrival, refused = None, None, None
        try:
            async with self._server.get(file.url, WITHOUT_CODING) as response:
                check_there(response, f"file {file.filename}")
                size, loop = _size(file, response), asyncio.get_running_loop()
                if self._space.takes(size):
                    staging, refused = await self._stage(key)
                arrival = await in_thread(self._writers(), _arrival, size, loop, self._spool, staging)
                begun.set_result(arrival)
                await self._receive(file, response, arrival, staging)
            self._complete.add(key)
            if staging is not None:
                await in_thread(self._writers(), publish, self._blobs, staging)
                self._space.used(key)
                self._space.added(arrival.size)
                self.make_metadata(key.split("/")[2], file, key)
            log.info("fetched", filename=file.filename, bytes=arrival.size)
        except BaseException as error:
            sentence = str(error) or f"The fetch of {file.filename} was ended."
            if staging is not None:
                await in_thread(self._writers(), staging.discard)
            if isinstance(error, UpstreamMismatch):
                self._server.tally.refused["file"] += 1
            # Last: a reader that learns of the failure may ask again at once, and must not meet this fetch then.
            if arrival is not None and not arrival.is_over:
                arrival.fail(sentence)
            if isinstance(error, Exception):
                log.warning("fetch failed", filename=file.filename, error=sentence)
            if not begun.done():
                begun.set_exception(error if isinstance(error, Exception) else UpstreamError(sentence))
                begun.exception()  # its clients may have gone away
            if not isinstance(error, UpstreamError | StoreError | NotFound):
                raise
            return error
        else:
            return refused
        finally:
            del self._fetches[key], self._under_way[key]
            self._complete.discard(key)
            if arrival is not None:
                arrival.release()

    async def _stage(self, key: str) -> tuple[Staging | None, StoreError | None]:
        """Where a file is kept, or why it is not: the store may have no room, which keeps no client from the bytes."""
        try:
            return await in_thread(self._writers(), self._blobs.stage, key, None), None
        except StoreError as error:
            log.warning("file not kept", key=key, error=str(error))
            return None, error

    async def _receive(self, file: UpstreamFile, response: Response, arrival: Arrival, staging: Staging | None) -> None:
        """All bytes, verified. Raises UpstreamError, StoreError."""
        digest, received, buffer = sha256(), 0, bytearray()
        pace = Pace(file.filename)
        taking: asyncio.Future[None] | None = None
        """The one piece that a thread takes in while the next one arrives."""
        try:
            async for piece in response.pieces():
                received += len(piece)
                pace.check(received)
                if received > arrival.size:
                    raise UpstreamMismatch(
                        f"The file {file.filename} has more than the {arrival.size} bytes that it should."
                    )
                if received == len(piece):
                    arrival.begin(piece)
                buffer += piece
                if len(buffer) >= PIECE or received - len(buffer) == 0:
                    if taking is not None:
                        await taking
                    taken, buffer = buffer, bytearray()
                    taking = in_thread(self._writers(), _take, taken, arrival, staging, digest.update)
        finally:
            if taking is not None:
                await taking
        await in_thread(self._writers(), _take, buffer, arrival, staging, digest.update)
        if received != arrival.size:
            raise UpstreamBusy(f"The file {file.filename} ended after {received} of {arrival.size} bytes.")
        if not compare_digest(digest.hexdigest(), file.hashes["sha256"]):
            raise UpstreamMismatch(
                f"The file {file.filename} has the SHA-256 {digest.hexdigest()}, but its page announces "
                f"{file.hashes['sha256']}; nothing was kept."
            )
        arrival.verify()

    def _check_asks(self, name: str) -> None:
        if self._server.offline:
            raise NotFound(f"The file {name} is not here, and this server asks no other index (--upstream-offline).")

    def _key(self, project: str, file: UpstreamFile) -> str:
        return f"{self._prefix}/{project}/{file.hashes['sha256']}/{file.filename}"


class RemoteBlob(OpenBlob):
    """A file that is not here, for one reader. Belongs to one event loop until bytes are read."""

    __slots__ = ("_file", "_files", "_part", "_project", "_whole")

    def __init__(self, files: MirroredFiles, project: str, file: UpstreamFile, size: int) -> None:
        super().__init__(size)
        self._files = files
        self._project = project
        self._file = file
        self._whole: OpenBlob | None = None
        self._part: Part | None = None

    async def prepare(self, start: int, stop: int) -> None:
        self._files.sent(stop - start)
        if (start, stop) != (0, self.size) and not self._files.is_arriving(self._project, self._file):
            part = self._files.part(self._file, start, stop)
            if await part.begin():
                self._part = part
                self._files.count("file", "passed")
                self._files.make_metadata(self._project, self._file)
                return
        self._files.count("file", "fetched")
        self._whole = await self._files.arriving(self._project, self._file)

    @property
    def is_verified(self) -> bool:
        return self._part is None

    async def wait(self, offset: int) -> None:
        if self._part is not None:
            await self._part.wait(offset)
        elif self._whole is not None:
            await self._whole.wait(offset)

    def read_at(self, offset: int, size: int) -> bytes:
        if self._part is not None:
            return self._part.read_at(offset, size)
        if self._whole is None:
            raise StoreError(f"The file {self._file.filename} is not here.")
        return self._whole.read_at(offset, size)

    def close(self) -> None:
        if self._part is not None:
            self._part.close()
        if self._whole is not None:
            self._whole.close()


def _arrival(size: int, loop: asyncio.AbstractEventLoop, spool: str | None, staging: Staging | None) -> Arrival:
    """An arrival whose bytes are where they are staged, else in a spool. Blocks. Raises StoreError."""
    return Arrival(size, loop, spool, None if staging is None else staging.descriptor())


def _take(data: bytearray, arrival: Arrival, staging: Staging | None, update: Callable[[bytearray], None]) -> None:
    """Take in a piece. Blocks. Raises StoreError."""
    if data:
        update(data)
        if staging is not None:
            staging.write(data)
        arrival.append(data)


def _size(file: UpstreamFile, response: Response) -> int:
    """The bytes of a file, by its page or by the answer. Raises UpstreamError when neither says, or they differ."""
    said = response.headers.get("Content-Length", "")
    length = int(said) if said.isascii() and said.isdigit() and len(said) < 19 else None
    if file.size is not None and length is not None and file.size != length:
        raise UpstreamMismatch(
            f"The file {file.filename} has {length} bytes, but its page announces {file.size}; it is not fetched."
        )
    size = length if file.size is None else file.size
    if size is None:
        raise UpstreamError(f"The index does not say how many bytes the file {file.filename} has; it is not fetched.")
    return size
