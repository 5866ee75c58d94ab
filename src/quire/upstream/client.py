"""Another index, read through its Simple API: which files it has of a project, and their bytes.

Theory of operation
-------------------
Pure functions (`quire.upstream.pages`) decide the meaning of an answer; `Upstream` sends the requests. The answers of
the other server are trusted no further than needed:

- answers are read up to a limit, compressed ones are unpacked up to the same limit, and each one has a deadline;
- a file counts only if its name is one that this index would take as an upload;
- a downloaded file must have the size and the digest that the page announced; without a digest it is not downloaded.

Failures that may pass (no connection, silence, 429, 5xx) are tried again a few times; others are not.
A login in the index's URL is sent to that very origin only, and never shown in an error.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Protocol, Self, TypeVar
from urllib.parse import urlsplit

from quire.domain.errors import DigestMismatch, TooLarge, UpstreamBusy, UpstreamError
from quire.domain.names import normalize_name
from quire.process.in_thread import in_thread
from quire.upstream.markup import ACCEPT
from quire.upstream.pages import UpstreamFile, UpstreamPage, parse_page
from quire.upstream.project_list import parse_project_list
from quire.upstream.reach import AS_THE_ENVIRONMENT_SAYS, Reach
from quire.upstream.server import OtherServer, Response

MAX_PAGE_BYTES = 64 * 1024 * 1024
"""Longest project page, unpacked. The largest public project has some 20 MB."""
PAGE_SECONDS = 120.0
"""Within which a page must be complete."""
FILE_SECONDS = 3600.0
"""Within which a file must be complete."""
ATTEMPTS = 3
MAX_PAUSE = 10.0
"""Seconds; a server that asks for a longer wait (Retry-After) is not waited for longer."""
CONNECTIONS = 8
_WRITTEN_AT_ONCE = 1024 * 1024
"""Bytes of a file that a thread hashes and writes in one step: a slow disk must not hold up the other connections."""

_DIGESTS = ("sha256", "sha384", "sha512")
WITH_OLD_DIGESTS = (*_DIGESTS, "sha224", "sha1", "md5")
"""Old servers announce no better one than the last of these."""

T = TypeVar("T")


class Sink(Protocol):
    """Takes the bytes of one file."""

    def write(self, chunk: bytes) -> None: ...

    def discard(self) -> None:
        """Discard the bytes."""
        ...


S = TypeVar("S", bound=Sink)


class Upstream:
    """One index, asked over few connections. Use it as an async context manager, in one event loop."""

    def __init__(
        self,
        index_url: str,
        *,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
        private_hosts: Collection[str] | None = None,
        reach: Reach = AS_THE_ENVIRONMENT_SAYS,
        connections: int = CONNECTIONS,
    ) -> None:
        """`index_url`: of its project list, ended by a slash, perhaps with a login; `pause`: waits between attempts;
        `private_hosts`, `reach`: see `OtherServer`; `connections`: requests at once.

        Raises UpstreamError when proxies or certificates are so configured that nothing can be asked.
        """
        self._server = OtherServer(index_url, private_hosts=private_hosts, reach=reach)
        self.url = self._server.url
        """Without the login."""
        self._pause = pause
        self._connections = asyncio.Semaphore(connections)

    @property
    def reached(self) -> bool:
        """Whether the index ever answered anything."""
        return self._server.reached

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._server.close()

    async def project(self, name: str) -> tuple[UpstreamFile, ...] | None:
        """The files of a project; None when the index does not know it. Raises UpstreamError."""
        page = await self.page(name)
        return None if page is None else tuple(file for file in page.files if file.is_upload)

    async def page(self, name: str, left_out: list[str] | None = None) -> UpstreamPage | None:
        """The page of a project; None when the index does not know it. `left_out`: see `parse_page`.

        Raises UpstreamError.
        """
        name = normalize_name(name)
        return await self._attempts(lambda: self._read_page(name, left_out))

    async def projects(self) -> tuple[str, ...]:
        """The normalized names of all projects of the index. Raises UpstreamError."""
        return await self._attempts(self._read_list)

    async def document(self, url: str, limit: int, accept: str) -> bytes:
        """A small document beside a file, of at most `limit` bytes. Raises UpstreamError."""

        async def read() -> bytes:
            async with self._asking(url, PAGE_SECONDS, accept, "identity") as response:
                response.check()
                return await response.body(limit)

        return await self._attempts(read)

    async def download(
        self,
        file: UpstreamFile,
        open_sink: Callable[[], S],
        *,
        limit: int,
        digests: Collection[str] = _DIGESTS,
        begun: Callable[[Mapping[str, str]], object] = lambda _: None,
    ) -> S:
        """Read a file into a sink, and check its size and digest. Each attempt opens a new sink, of which the last is
        returned; the others are discarded.

        `limit`: the most bytes; `digests`: the algorithms that count, the best first; `begun`: gets the headers of the
        answer. Raises UpstreamError, DigestMismatch, TooLarge, and the errors of the sink.
        """
        filename = file.filename
        algorithm = next((each for each in digests if each in file.hashes), None)
        if algorithm is None:
            raise UpstreamError(
                f"The index announces no sha256 of {filename}, so it cannot be verified; get it by hand."
            )
        if (file.size or 0) > limit:
            raise TooLarge(f"The file {filename} has {file.size} bytes; the limit is {limit}, see --max-upload-size.")
        return await self._attempts(lambda: self._read_file(file, algorithm, open_sink, limit, begun))

    async def _attempts(self, ask: Callable[[], Awaitable[T]]) -> T:
        attempt = 0
        while True:
            attempt += 1
            try:
                async with self._connections:
                    return await ask()
            except UpstreamBusy as error:
                if attempt >= ATTEMPTS:
                    raise
                await self._pause(min(MAX_PAUSE, max(error.wait, 0.5 * 2 ** (attempt - 1))))

    async def _read_list(self) -> tuple[str, ...]:
        async with self._asking(self.url, PAGE_SECONDS, ACCEPT, "gzip") as response:
            response.check()
            body = await response.body(MAX_PAGE_BYTES)
            return parse_project_list(response.headers.get("Content-Type", ""), body)

    async def _read_page(self, name: str, left_out: list[str] | None) -> UpstreamPage | None:
        async with self._asking(f"{self.url}{name}/", PAGE_SECONDS, ACCEPT, "gzip") as response:
            if response.status in {404, 410}:
                return None
            response.check()
            body = await response.body(MAX_PAGE_BYTES)
            return parse_page(name, response.headers.get("Content-Type", ""), body, response.url, left_out)

    async def _read_file(
        self,
        file: UpstreamFile,
        algorithm: str,
        open_sink: Callable[[], S],
        limit: int,
        begun: Callable[[Mapping[str, str]], object],
    ) -> S:
        filename = file.filename
        digest, size, sink = hashlib.new(algorithm, usedforsecurity=False), 0, open_sink()
        held, held_bytes = list[bytes](), 0

        def write(chunks: Sequence[bytes]) -> None:
            for chunk in chunks:
                digest.update(chunk)
                sink.write(chunk)

        try:
            # Raw: some servers announce the gzip of a .tar.gz as a Content-Encoding, and the digest is of the file.
            async with self._asking(file.url, FILE_SECONDS, "*/*", "identity") as response:
                response.check()
                begun(response.headers)
                async for chunk in response.pieces():
                    size += len(chunk)
                    if size > (limit if file.size is None else file.size):
                        raise _wrong_size(file, limit)
                    held.append(chunk)
                    held_bytes += len(chunk)
                    if held_bytes >= _WRITTEN_AT_ONCE:
                        await _to_its_end(partial(write, held))
                        held, held_bytes = [], 0
            await _to_its_end(partial(write, held))
            if file.size is not None and size != file.size:
                raise _wrong_size(file, limit)
            if not hmac.compare_digest(digest.hexdigest(), file.hashes[algorithm]):
                raise DigestMismatch(
                    f"The {algorithm} digest of {filename} is {digest.hexdigest()}, but the index announced "
                    f"{file.hashes[algorithm]}; nothing was kept."
                )
        except BaseException:
            sink.discard()
            raise
        return sink

    @asynccontextmanager
    async def _asking(self, url: str, seconds: float, accept: str, encoding: str) -> AsyncIterator[Response]:
        """GET, within so many seconds."""
        headers = {"Accept": accept, "Accept-Encoding": encoding}
        try:
            async with asyncio.timeout(seconds), self._server.get(url, headers) as response:
                yield response
        except TimeoutError as error:
            host = urlsplit(url).hostname
            raise UpstreamBusy(
                f"The server {host} does not answer in time; repeat later, or check the URL of the index."
            ) from error


async def _to_its_end(work: Callable[[], None]) -> None:
    """Run it in a thread, to its end also where the caller is cancelled: then nothing writes to a sink any more."""
    running = in_thread(None, work)
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


def _wrong_size(file: UpstreamFile, limit: int) -> DigestMismatch | TooLarge:
    filename = file.filename
    if file.size is None:
        return TooLarge(f"The file {filename} has more than {limit} bytes, the limit; see --max-upload-size.")
    return DigestMismatch(
        f"The file {filename} has not the {file.size} bytes that the index announced; nothing was kept."
    )
