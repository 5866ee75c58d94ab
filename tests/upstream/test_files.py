"""Files of another index: fetched once, passed on while they arrive, and never complete unless they are verified.

Replaced here: `stage` of the store, to see which thread discards the bytes, and the number of connections and the times
after which a slow file, a reader that takes nothing and a wait are given up, which no setting changes.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any
from unittest.mock import Mock

import pytest

from quire.domain.errors import NotFound, StoreError, StoreFull, UpstreamBusy, UpstreamError
from quire.store.faults import Fault, Faults
from quire.store.memory import MemoryStore
from quire.store.open_blob import OpenBlob
from quire.upstream import files, places, reading
from quire.upstream import server as requests
from quire.upstream.documents import publish
from quire.upstream.files import MirroredFiles
from quire.upstream.pages import UpstreamFile
from quire.upstream.server import OtherServer

CONTENT = bytes(range(256)) * 20_000  # 5 MB
NAME = "foo-1.0.tar.gz"


class Place:
    """A server whose answer the test writes piece by piece, and the mirror of it."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.store = MemoryStore()
        self.faults = Faults()
        self.executor = executor
        self.requests: list[str] = []
        self.port = 0
        self.answer: Callable[[asyncio.StreamWriter], Awaitable[None]] = self.whole
        self._servers: list[OtherServer] = []
        self._mirrors: list[MirroredFiles] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head.split()[1].decode())
        await self.answer(writer)
        writer.close()

    async def whole(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(CONTENT) + CONTENT)
        await writer.drain()

    def mirror(self, *, writable: bool = True) -> MirroredFiles:
        """The mirror of one worker."""
        server = OtherServer(f"http://127.0.0.1:{self.port}/simple/")
        files = MirroredFiles(
            self.store.shared(self.faults, writable=writable),
            "public",
            server,
            readers=lambda: self.executor,
            writers=lambda: self.executor,
        )
        self._servers.append(server)
        self._mirrors.append(files)
        return files

    def file(
        self, content: bytes = CONTENT, *, size: int | None = len(CONTENT), metadata: bool | str = False
    ) -> UpstreamFile:
        return UpstreamFile(
            filename=NAME,
            url=f"http://127.0.0.1:{self.port}/files/{NAME}?sig=1",
            version="1.0",
            hashes={"sha256": hashlib.sha256(content).hexdigest()},
            size=size,
            metadata=metadata,
        )

    @property
    def kept(self) -> list[str]:
        return [blob.key for blob in self.store.blobs.list("mirror")]

    async def close(self) -> None:
        for mirror in self._mirrors:
            await mirror.close()
        for server in self._servers:
            await server.close()


@asynccontextmanager
async def place() -> AsyncIterator[Place]:
    with ThreadPoolExecutor(4) as executor:
        found = Place(executor)
        server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
        found.port = server.sockets[0].getsockname()[1]
        try:
            yield found
        finally:
            await found.close()
            server.close()


def in_two(more: asyncio.Event, size: int) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    """The other index sends the first bytes, so many, and the rest when there is `more`."""

    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(CONTENT) + CONTENT[:size])
        await writer.drain()
        await more.wait()
        writer.write(CONTENT[size:])
        await writer.drain()

    return send


async def opened(mirror: MirroredFiles, file: UpstreamFile) -> OpenBlob:
    """A file, all of which will be read."""
    blob = await mirror.open("foo", file)
    try:
        await blob.prepare(0, blob.size)
    except BaseException:
        blob.close()
        raise
    return blob


async def read(blob: OpenBlob, size: int | None = None, *, start: int = 0) -> bytes:
    """The bytes from a place on as a download reads them, of which there are `size` at least; None: all."""
    content = b""
    wanted = blob.size - start if size is None else size
    while len(content) < wanted:
        await blob.wait(start + len(content))
        content += await asyncio.to_thread(blob.read_at, start + len(content), 256 * 1024)
    return content


def test_a_file_is_fetched_once_and_kept() -> None:
    """The next request, also of another worker, gets it from the store."""

    async def main() -> None:
        async with place() as at:
            mirror = at.mirror()
            with await opened(mirror, at.file()) as blob:
                assert await read(blob) == CONTENT
            await mirror.close()
            for worker in (mirror, at.mirror()):
                with await opened(worker, at.file()) as blob:
                    assert await read(blob) == CONTENT
            assert at.requests == [f"/files/{NAME}?sig=1"]

    asyncio.run(main())


def test_bytes_are_passed_on_as_they_arrive_to_all_clients() -> None:
    """A client that comes later begins at the first byte; one that goes away ends nothing."""

    async def main() -> None:
        async with place() as at:
            more = asyncio.Event()
            at.answer = in_two(more, 3_000_000)
            mirror = at.mirror()
            first = await opened(mirror, at.file())
            assert CONTENT.startswith(await read(first, 1_000_000))
            first.close()
            second, third = await opened(mirror, at.file()), await opened(mirror, at.file())
            assert CONTENT.startswith(await read(second, 2_000_000))
            more.set()
            assert set(await asyncio.gather(read(second), read(third))) == {CONTENT}
            second.close()
            third.close()
            assert len(at.requests) == 1

    asyncio.run(main())


@pytest.mark.parametrize("start", [0, 1])
def test_a_file_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch, start: int) -> None:
    """It would hold a connection for hours. So would a part of one."""
    monkeypatch.setattr(reading, "_PATIENCE", 0.1)

    async def main() -> None:
        async with place() as at:
            ended = asyncio.Event()

            async def slowly(writer: asyncio.StreamWriter) -> None:
                writer.write(part_head(1) if start else b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(CONTENT))
                with suppress(OSError):
                    for each in CONTENT[:300]:
                        writer.write(bytes([each]))
                        await writer.drain()
                        await asyncio.sleep(0.02)
                ended.set()

            at.answer = slowly
            with await at.mirror().open("foo", at.file()) as blob:
                await blob.prepare(start, blob.size)
                with pytest.raises(StoreError, match="too slowly"):
                    await read(blob, start=start)
            await asyncio.wait_for(ended.wait(), 10)

    asyncio.run(main())


def part_head(start: int) -> bytes:
    """The head of an answer with all bytes from a place on."""
    size = len(CONTENT)
    said = f"bytes {start}-{size - 1}/{size}"
    return f"HTTP/1.1 206 OK\r\nContent-Range: {said}\r\nContent-Length: {size - start}\r\n\r\n".encode()


def test_slow_readers_of_parts_leave_connections_for_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many parts are read at once; one more waits, for a time."""

    async def main() -> None:
        async with place() as at:

            async def part(writer: asyncio.StreamWriter) -> None:
                with suppress(OSError):
                    writer.write(part_head(1) + CONTENT[1:])
                    await writer.drain()

            at.answer = part
            mirror, parts = at.mirror(), list[OpenBlob]()
            for _ in range(files.PARTS):
                parts.append(await mirror.open("foo", at.file()))
                await parts[-1].prepare(1, parts[-1].size)
            with await mirror.open("foo", at.file()) as blob:
                with monkeypatch.context() as patched:
                    patched.setattr(places, "WAIT_SECONDS", 0.01)
                    with pytest.raises(UpstreamBusy, match="at once"):
                        await blob.prepare(1, blob.size)
                assert len(at.requests) == files.PARTS
                parts.pop().close()
                await blob.prepare(1, blob.size)
                at.answer = at.whole
                with await opened(mirror, at.file()) as whole:
                    assert await read(whole) == CONTENT
                assert await read(blob, start=1) == CONTENT[1:]
            for each in parts:
                each.close()

    asyncio.run(main())


def test_a_file_that_waits_long_for_a_connection_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client may come again later, and is not kept waiting without an end."""
    monkeypatch.setattr(requests, "CONNECTIONS", 1)
    monkeypatch.setattr(requests, "WAIT_SECONDS", 2.0)

    async def main() -> None:
        async with place() as at:
            more = asyncio.Event()
            at.answer = in_two(more, 1)
            mirror = at.mirror()
            with await opened(mirror, at.file()) as blob:
                with pytest.raises(UpstreamBusy, match="in time"):
                    await opened(mirror, at.file(CONTENT[1:], size=len(CONTENT) - 1))
                more.set()
                assert await read(blob) == CONTENT

    asyncio.run(main())


def test_a_part_whose_reader_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would hold a connection; the reader gets the reason, and no bytes of another place."""
    monkeypatch.setattr(reading, "_READER_SECONDS", 0.1)

    async def main() -> None:
        async with place() as at:
            ended = asyncio.Event()

            async def part(writer: asyncio.StreamWriter) -> None:
                with suppress(OSError):
                    writer.write(part_head(1) + CONTENT[1:])
                    await writer.drain()
                    await asyncio.sleep(0.5)
                    writer.write(b"more")
                    await writer.drain()
                ended.set()

            at.answer = part
            with await at.mirror().open("foo", at.file()) as blob:
                await blob.prepare(1, blob.size)
                await asyncio.wait_for(ended.wait(), 10)
                await blob.wait(1)
                with pytest.raises(StoreError, match="not read in time"):
                    blob.read_at(1, 1000)

    asyncio.run(main())


def test_a_failed_fetch_discards_its_bytes_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a bucket that takes requests, for which no other client of the event loop is to wait."""
    threads: list[str] = []

    async def main() -> None:
        async with place() as at:
            mirror = at.mirror()
            blobs = type(at.store.shared(at.faults).blobs)
            stage = blobs.stage

            def staging(*arguments: Any) -> Any:
                made = Mock(wraps=stage(*arguments))
                made.discard.side_effect = lambda: threads.append(threading.current_thread().name)
                return made

            monkeypatch.setattr(blobs, "stage", staging)
            blob = await opened(mirror, at.file(CONTENT[:-1] + b"!"))
            with blob, pytest.raises(StoreError, match="SHA-256"):
                await read(blob)

    asyncio.run(main())
    assert threads
    assert threading.main_thread().name not in threads


def test_bytes_that_cannot_be_published_are_discarded() -> None:
    """Else they are left in the store until the next collection."""
    staged, blobs = Mock(), Mock()
    blobs.publish.side_effect = StoreError("Full.")
    with pytest.raises(StoreError, match="Full"):
        publish(blobs, Mock(finish=Mock(return_value=staged)))
    staged.discard.assert_called_once()


def test_the_fetch_goes_on_when_its_only_client_has_gone() -> None:
    """The next request finds the file."""

    async def main() -> None:
        async with place() as at:
            mirror = at.mirror()
            (await opened(mirror, at.file())).close()
            with await opened(mirror, at.file()) as blob:
                assert await read(blob) == CONTENT
            assert len(at.requests) == 1

    asyncio.run(main())


def test_wrong_bytes_never_make_a_complete_answer_and_are_not_kept() -> None:
    """The last byte is held back until all are verified; then the reader gets an error."""

    async def main() -> None:
        async with place() as at:
            other = CONTENT[:-1] + b"!"
            with await opened(at.mirror(), at.file(other)) as blob:
                with pytest.raises(StoreError, match="SHA-256"):
                    await read(blob)
                assert len(await read(blob, len(CONTENT) - 1)) == len(CONTENT) - 1
                await blob.wait(len(CONTENT) - 1)
                with pytest.raises(StoreError, match="SHA-256"):
                    blob.read_at(len(CONTENT) - 1, 1)
            await at.close()
            assert at.kept == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "size", "error", "match"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 10, NotFound, "gives it no more"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", 10, UpstreamBusy, "answers 500"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789", 10, UpstreamError, "announces 10"),
        (b"HTTP/1.1 200 OK\r\n\r\n123456789", None, UpstreamError, "does not say how many"),
        (b"nonsense\r\n\r\n", 10, UpstreamError, "cannot be read"),
        (b"", 10, UpstreamBusy, "cannot be reached"),
    ],
)
def test_an_answer_that_is_no_file_is_an_error_before_the_first_byte(
    answer: bytes, size: int | None, error: type[Exception], match: str
) -> None:
    """The client gets a status and a sentence; the next request asks again."""

    async def main() -> None:
        async with place() as at:

            async def wrong(writer: asyncio.StreamWriter) -> None:
                writer.write(answer)
                await writer.drain()

            at.answer = wrong
            mirror = at.mirror()
            with pytest.raises(error, match=match):
                await opened(mirror, at.file(size=size))
            at.answer = at.whole
            with await opened(mirror, at.file()) as blob:
                assert await read(blob) == CONTENT

    asyncio.run(main())


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(CONTENT), CONTENT[:-5]),
        (b"HTTP/1.1 200 OK\r\n\r\n", CONTENT[:-5]),
        (b"HTTP/1.1 200 OK\r\n\r\n", CONTENT + b"!"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"%x\r\n" % len(CONTENT) + CONTENT[:-5]),
    ],
)
def test_an_answer_that_ends_early_or_late_is_not_kept(head: bytes, body: bytes) -> None:
    """Readers get an error in place of the last byte; the next request asks again."""

    async def main() -> None:
        async with place() as at:

            async def broken(writer: asyncio.StreamWriter) -> None:
                writer.write(head + body)
                await writer.drain()

            at.answer = broken
            mirror = at.mirror()
            with await opened(mirror, at.file()) as blob, pytest.raises(StoreError):
                await read(blob)
            await mirror.close()
            assert at.kept == []
            at.answer = at.whole
            with await opened(mirror, at.file()) as blob:
                assert await read(blob) == CONTENT

    asyncio.run(main())


@pytest.mark.parametrize("operation", ["stage.write", "publish"])
def test_a_store_that_fails_breaks_off_or_costs_the_copy(operation: str) -> None:
    """The next request fetches again."""

    async def main() -> None:
        async with place() as at:
            mirror = at.mirror()
            at.faults.next(operation, Fault.FULL)  # type: ignore[arg-type]  # one of the two
            with await opened(mirror, at.file()) as blob:
                if operation == "publish":
                    assert await read(blob) == CONTENT
                else:
                    with pytest.raises(StoreError):
                        await read(blob)
            await mirror.close()
            assert at.kept == []
            with await opened(mirror, at.file()) as blob:
                assert await read(blob) == CONTENT

    asyncio.run(main())


class Ranges:
    """A server that gives parts, or says that it does."""

    def __init__(self, place: Place, content_range: str | None = None, status: str = "206 Partial") -> None:
        self._place = place
        self._content_range = content_range
        self._status = status

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        said = self._content_range or f"bytes 1000-2000999/{len(CONTENT)}"
        head = f"HTTP/1.1 {self._status}\r\nContent-Length: 2000000\r\nContent-Range: {said}\r\n\r\n"
        self._place.answer = self._place.whole
        writer.write(head.encode() + CONTENT[1000:2_001_000])
        await writer.drain()


async def read_part(mirror: MirroredFiles, file: UpstreamFile, start: int, stop: int) -> bytes:
    content = b""
    with await mirror.open("foo", file) as blob:
        await blob.prepare(start, stop)
        while start + len(content) < stop:
            await blob.wait(start + len(content))
            content += blob.read_at(start + len(content), min(100_000, stop - start - len(content)))
    return content


def test_a_part_of_a_file_that_is_not_here_is_passed_on() -> None:
    """And the file is not fetched; a request without bytes asks for nothing at all."""

    async def main() -> None:
        async with place() as at:
            mirror = at.mirror()
            with await mirror.open("foo", at.file()) as blob:
                assert blob.size == len(CONTENT)
            assert at.requests == []
            at.answer = Ranges(at)
            assert await read_part(mirror, at.file(), 1000, 2_001_000) == CONTENT[1000:2_001_000]
            await at.close()
            assert len(at.requests) == 1
            assert at.kept == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("content_range", "status"), [("bytes 0-1999999/5120000", "206 Partial"), (None, "200 OK"), (None, "416 No")]
)
def test_where_no_part_is_given_the_file_is_fetched(content_range: str | None, status: str) -> None:
    """Other bytes than those that were asked for are never passed on."""

    async def main() -> None:
        async with place() as at:
            at.answer = Ranges(at, content_range, status)
            mirror = at.mirror()
            assert await read_part(mirror, at.file(), 1000, 2_001_000) == CONTENT[1000:2_001_000]
            with await opened(mirror, at.file()) as blob:
                assert await read(blob) == CONTENT
            await at.close()
            assert len(at.requests) == 2
            assert len(at.kept) == 1

    asyncio.run(main())


def test_a_part_that_ends_early_is_an_error() -> None:
    """The client's connection ends before the announced length."""

    async def main() -> None:
        async with place() as at:

            async def short(writer: asyncio.StreamWriter) -> None:
                said = f"bytes 1000-2000999/{len(CONTENT)}"
                writer.write(f"HTTP/1.1 206 P\r\nContent-Length: 2000000\r\nContent-Range: {said}\r\n\r\n".encode())
                writer.write(CONTENT[1000:3000])
                await writer.drain()

            at.answer = short
            with pytest.raises(StoreError):
                await read_part(at.mirror(), at.file(), 1000, 2_001_000)

    asyncio.run(main())


def test_a_worker_that_may_not_write_passes_files_on() -> None:
    """And keeps nothing."""

    async def main() -> None:
        async with place() as at:
            with await opened(at.mirror(writable=False), at.file()) as blob:
                assert await read(blob) == CONTENT
            await at.close()
            assert at.kept == []

    asyncio.run(main())


def test_metadata_is_verified_and_kept() -> None:
    """It is asked for beside the file, with the query of the file's URL; other bytes are refused."""

    async def main() -> None:
        async with place() as at:
            mirror = at.mirror()
            digest = hashlib.sha256(CONTENT).hexdigest()
            assert await mirror.metadata("foo", at.file(metadata=digest)) == CONTENT
            kept = await at.mirror().metadata("foo", at.file(metadata=digest))
            assert isinstance(kept, OpenBlob)
            with kept:
                assert kept.read() == CONTENT
            assert at.requests == [f"/files/{NAME}.metadata?sig=1"]
            with pytest.raises(UpstreamError, match="another digest"):
                await mirror.metadata("foo", at.file(b"other", metadata="0" * 64))

    asyncio.run(main())


def test_metadata_that_cannot_be_kept_is_served() -> None:
    """A full disk stops no client that only reads."""

    async def main() -> None:
        async with place() as at:
            at.faults.next("stage", Fault.FULL)
            digest = hashlib.sha256(CONTENT).hexdigest()
            assert await at.mirror().metadata("foo", at.file(metadata=digest)) == CONTENT
            assert at.kept == []

    asyncio.run(main())


def test_a_file_that_cannot_be_kept_is_passed_on() -> None:
    """A full disk stops no client that only reads."""

    async def main() -> None:
        async with place() as at:
            at.faults.next("stage", Fault.FULL)
            with await opened(at.mirror(), at.file()) as blob:
                assert await read(blob) == CONTENT
            await at.close()
            assert at.kept == []

    asyncio.run(main())


def test_a_file_that_cannot_be_kept_was_not_kept() -> None:
    """A command that fetches files in order to keep them is told the reason."""

    async def main() -> None:
        async with place() as at:
            at.faults.next("stage", Fault.FULL)
            with pytest.raises(StoreFull):
                await at.mirror().keep("foo", at.file(), lambda size: None)
            assert at.kept == []

    asyncio.run(main())
