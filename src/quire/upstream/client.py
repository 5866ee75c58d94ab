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
import re
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Protocol, Self, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx

from quire import __version__
from quire.domain.errors import DigestMismatch, TooLarge, UpstreamError
from quire.domain.names import normalize_name
from quire.upstream.pages import ACCEPT, UpstreamFile, parse_page

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

_DIGESTS = ("sha256", "sha384", "sha512")
_TIMEOUT = httpx.Timeout(30.0, connect=10.0, pool=None)
_CHUNK = 64 * 1024

T = TypeVar("T")


class Sink(Protocol):
    """Takes the bytes of one file."""

    def write(self, chunk: bytes) -> None: ...

    def discard(self) -> None:
        """Discard the bytes."""
        ...


S = TypeVar("S", bound=Sink)


class _Passing(Exception):
    """Something that may be gone at the next attempt; the text is the sentence for the case that it is not."""

    def __init__(self, sentence: str, wait: float = 0.0) -> None:
        super().__init__(sentence)
        self.wait = wait


class Upstream:
    """One index, asked over few connections. Use it as an async context manager, in one event loop."""

    def __init__(self, index_url: str, *, pause: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        """`index_url`: of its project list, ended by a slash, perhaps with a login; `pause`: waits between attempts.

        Raises UpstreamError when proxies or certificates are so configured that nothing can be asked.
        """
        parts = urlsplit(index_url)
        host = parts.netloc.rpartition("@")[2]
        self.url = urlunsplit((parts.scheme, host, parts.path, "", ""))
        """Without the login."""
        self.reached = False
        """Whether the index ever answered anything."""
        self._origin = _origin(self.url)
        self._auth = (
            httpx.BasicAuth(unquote(parts.username or ""), unquote(parts.password or ""))
            if "@" in parts.netloc
            else None
        )
        self._pause = pause
        self._connections = asyncio.Semaphore(CONNECTIONS)
        try:
            self._client = httpx.AsyncClient(
                headers={"User-Agent": f"quire/{__version__}"},
                timeout=_TIMEOUT,
                limits=httpx.Limits(max_connections=CONNECTIONS),
                follow_redirects=True,
                max_redirects=5,
            )
        except (ValueError, ImportError, OSError) as error:
            raise UpstreamError(
                f"No connection can be made with the proxies and certificates in the environment ({error})."
            ) from error

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, traceback)

    async def project(self, name: str) -> tuple[UpstreamFile, ...] | None:
        """The files of a project; None when the index does not know it. Raises UpstreamError."""
        name = normalize_name(name)
        return await self._attempts(lambda: self._read_page(name))

    async def download(
        self,
        file: UpstreamFile,
        open_sink: Callable[[], S],
        *,
        limit: int,
    ) -> S:
        """Read a file into a sink, and check its size and digest. Each attempt opens a new sink, of which the last is
        returned; the others are discarded.

        `limit`: the most bytes. Raises UpstreamError, DigestMismatch, TooLarge, and the errors of the sink.
        """
        filename = file.filename
        if not any(algorithm in file.hashes for algorithm in _DIGESTS):
            raise UpstreamError(
                f"The index announces no sha256 of {filename}, so it cannot be verified; get it by hand."
            )
        if (file.size or 0) > limit:
            raise TooLarge(f"The file {filename} has {file.size} bytes; the limit is {limit}, see --max-upload-size.")
        return await self._attempts(lambda: self._read_file(file, open_sink, limit))

    async def _attempts(self, ask: Callable[[], Awaitable[T]]) -> T:
        attempt = 0
        while True:
            attempt += 1
            try:
                async with self._connections:
                    return await ask()
            except _Passing as error:
                if attempt >= ATTEMPTS:
                    raise UpstreamError(str(error)) from error.__cause__
                await self._pause(min(MAX_PAUSE, max(error.wait, 0.5 * 2 ** (attempt - 1))))

    async def _read_page(self, name: str) -> tuple[UpstreamFile, ...] | None:
        async with self._asking(f"{self.url}{name}/", PAGE_SECONDS, ACCEPT, "gzip") as response:
            if response.status_code in {404, 410}:
                return None
            _check_status(response)
            body = await _read_body(response)
            page = parse_page(name, response.headers.get("Content-Type", ""), body, str(response.url))
            return tuple(file for file in page.files if file.is_upload)

    async def _read_file(self, file: UpstreamFile, open_sink: Callable[[], S], limit: int) -> S:
        filename = file.filename
        algorithm = next(name for name in _DIGESTS if name in file.hashes)
        digest, size, sink = hashlib.new(algorithm), 0, open_sink()
        try:
            # Raw: some servers announce the gzip of a .tar.gz as a Content-Encoding, and the digest is of the file.
            async with self._asking(file.url, FILE_SECONDS, "*/*", "identity") as response:
                _check_status(response)
                async for chunk in response.aiter_raw(_CHUNK):
                    size += len(chunk)
                    if size > (limit if file.size is None else file.size):
                        raise _wrong_size(file, limit)
                    digest.update(chunk)
                    sink.write(chunk)
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
    async def _asking(self, url: str, seconds: float, accept: str, encoding: str) -> AsyncIterator[httpx.Response]:
        """GET. Raises _Passing and UpstreamError instead of what httpx raises, also within the block."""
        auth = self._auth if _origin(url) == self._origin else None
        headers = {"Accept": accept, "Accept-Encoding": encoding}
        host = urlsplit(url).hostname
        try:
            async with (
                asyncio.timeout(seconds),
                self._client.stream("GET", url, headers=headers, auth=auth) as response,
            ):
                self.reached = True
                yield response
        except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL) as error:
            raise UpstreamError(f"The redirect of the index cannot be followed ({error}).") from error
        except (httpx.TimeoutException, TimeoutError) as error:
            raise _Passing(f"The server {host} does not answer in time; repeat later, or check --index-url.") from error
        except httpx.TransportError as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise _Passing(f"The server {host} cannot be reached: {reason}.") from error
        except httpx.RequestError as error:
            raise UpstreamError(f"The server {host} gives an answer that cannot be read ({error}).") from error


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _check_status(response: httpx.Response) -> None:
    status, host = response.status_code, response.url.host
    if status == 200:
        return
    sentence = f"The server {host} answers {status} {response.reason_phrase}".rstrip()
    if status == 429 or status >= 500:
        after = response.headers.get("Retry-After", "")
        raise _Passing(f"{sentence}; repeat later.", float(after) if re.fullmatch(r"\d{1,5}", after) else 0.0)
    if status in {401, 403}:
        raise UpstreamError(f"{sentence}; give a login that may read it in --index-url (https://user:password@...).")
    raise UpstreamError(f"{sentence}.")


async def _read_body(response: httpx.Response) -> bytes:
    """The body, unpacked, within MAX_PAGE_BYTES.

    httpx would unpack too, but as far as a chunk goes: a thousand times its size for a hostile one.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"identity", "", "gzip"}:
        raise UpstreamError(f"The index answers in the encoding {encoding[:40]!a}, which it was not asked for.")
    unpacker = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    body = bytearray()
    async for chunk in response.aiter_raw(_CHUNK):
        try:
            body += chunk if unpacker is None else unpacker.decompress(chunk, MAX_PAGE_BYTES - len(body) + 1)
        except zlib.error as error:
            raise UpstreamError(f"The index answers with damaged gzip data ({error}).") from error
        if unpacker is not None and unpacker.unused_data:  # zlib would keep all that follows
            raise UpstreamError("The index answers with other data behind its gzip data.")
        if len(body) > MAX_PAGE_BYTES:
            raise UpstreamError(f"The index answers with a page longer than {MAX_PAGE_BYTES} bytes.")
    if unpacker is not None and not unpacker.eof:
        raise _Passing("The index answers with an incomplete page; repeat later.")
    return bytes(body)


def _wrong_size(file: UpstreamFile, limit: int) -> DigestMismatch | TooLarge:
    filename = file.filename
    if file.size is None:
        return TooLarge(f"The file {filename} has more than {limit} bytes, the limit; see --max-upload-size.")
    return DigestMismatch(
        f"The file {filename} has not the {file.size} bytes that the index announced; nothing was kept."
    )
