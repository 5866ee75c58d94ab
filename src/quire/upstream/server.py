"""Requests to another index and to the hosts of its files, over HTTP.

The other server is trusted no further than needed. A login is sent to the very origin of the index only, and never
shown in an error. Redirects are followed a few times, never from https to http. A page may name files on any
host; an address that is not public (of this machine, of the inside of the network) is asked only where the operator
named that host: the check is of the address that is connected to, so a name that resolves to another one later gains
nothing. Link-local addresses and others where clouds give their machines credentials are never asked. Behind a proxy,
which resolves names by itself, it is the proxy's part. Answers are read by pieces, up to a
limit; compressed ones are unpacked up to the same limit.

`quire.upstream.reach` has logins, proxies and certificates.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import zlib
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from quire import __version__
from quire.domain.cloud_addresses import Address, is_of_a_cloud, within
from quire.domain.errors import UpstreamBusy, UpstreamError, reason_of
from quire.domain.upstreams import without_login
from quire.observe.metrics.tally import UpstreamTally
from quire.upstream.places import WAIT_SECONDS
from quire.upstream.reach import AS_THE_ENVIRONMENT_SAYS, Reach, basic

CONNECTIONS: Final = 32
"""At once, to all hosts of one index."""
MOST_REDIRECTS: Final = 5
CONNECT_SECONDS: Final = 10.0
SILENT_SECONDS: Final = 30.0
"""Without a byte of an answer that has begun, or that is waited for."""
NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

Origin = tuple[str, str | None, int | None]
_SHORT_NUMBER: Final = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+))*\.?", re.IGNORECASE)
"""Further forms of an address that the C library takes, such as 127.1 and 2130706433."""


class Response:
    """An answer whose body is read by the caller."""

    def __init__(self, response: aiohttp.ClientResponse, url: str, tally: UpstreamTally) -> None:
        self._response = response
        self.tally = tally
        self.url = url
        """Where it came from, after redirects."""
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        """By name in any case."""

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def is_delimited(self) -> bool:
        """Whether its end can be told from a connection that broke off (RFC 9112, 8): by a length, or by chunks."""
        return "Content-Length" in self.headers or "Transfer-Encoding" in self.headers

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it was sent, in pieces as they arrive. Raises UpstreamBusy, UpstreamError."""
        content = self._response.content
        while True:
            with _sentences(self.url, self.tally):
                piece = await content.readany()
            if not piece:
                return
            self.tally.received += len(piece)
            yield piece

    def check(self, status: int = 200) -> None:
        """Raises UpstreamBusy or UpstreamError for any other status."""
        if self.status == status:
            return
        sentence = f"The server {self.host} answers {self.status} {self._response.reason or ''}".rstrip()
        if self.status == 429 or self.status >= 500:
            after = self.headers.get("Retry-After", "")
            raise UpstreamBusy(f"{sentence}; repeat later.", float(after) if re.fullmatch(r"\d{1,5}", after) else 0.0)
        if self.status in {401, 403}:
            raise UpstreamError(
                f"{sentence}; give a login that may read it, in the file of --upstream-netrc or the URL of --upstream "
                "(https://user:password@...)."
            )
        raise UpstreamError(f"{sentence}.")

    async def body(self, limit: int) -> bytes:
        """All of it, unpacked, of at most `limit` bytes. Raises UpstreamBusy, UpstreamError."""
        return (await self.packed(limit)).unpack()

    async def packed(self, limit: int) -> Packed:
        """All of it, as it was sent, of at most `limit` bytes. Raises UpstreamBusy, UpstreamError."""
        encoding = self.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in {"identity", "", "gzip"}:
            raise UpstreamError(f"The index answers in the encoding {encoding[:40]!a}, which it was not asked for.")
        pieces, size = list[bytes](), 0
        async for piece in self.pieces():
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise _too_long(limit)
        return Packed(pieces, limit, is_gzip=encoding == "gzip")


class Packed:
    """A body as it was sent. Unpacking a large one takes milliseconds, which may be another thread's."""

    def __init__(self, pieces: list[bytes], limit: int, *, is_gzip: bool) -> None:
        self._pieces = pieces
        self._limit = limit
        self._is_gzip = is_gzip

    def unpack(self) -> bytes:
        """The bytes. Raises UpstreamBusy when they are incomplete, UpstreamError when they are damaged, or more than
        the limit."""
        data = b"".join(self._pieces)
        if not self._is_gzip:
            return data
        unpacker = zlib.decompressobj(wbits=31)
        try:
            body = unpacker.decompress(data, self._limit + 1)
        except zlib.error as error:
            raise UpstreamError(f"The index answers with damaged gzip data ({error}).") from error
        if len(body) > self._limit:
            raise _too_long(self._limit)
        if unpacker.unused_data:
            raise UpstreamError("The index answers with other data behind its gzip data.")
        if not unpacker.eof:
            raise UpstreamBusy("The index answers with an incomplete page; repeat later.")
        return body


def _too_long(limit: int) -> UpstreamError:
    return UpstreamError(f"The index answers with a page longer than {limit} bytes.")


class OtherServer:
    """One index and the hosts of its files. Belongs to one event loop; connects when it is first asked."""

    def __init__(
        self,
        index_url: str,
        *,
        private_hosts: Collection[str] | None = (),
        reach: Reach = AS_THE_ENVIRONMENT_SAYS,
        tally: UpstreamTally | None = None,
    ) -> None:
        """`index_url`: of its project list, ended by a slash, perhaps with a login, which comes before that of `reach`;
        `private_hosts`: may have addresses that are not public, beside the index's own host; None: all may.
        """
        parts = urlsplit(index_url)
        self.url = without_login(index_url)
        """Without the login."""
        self.tally = tally or UpstreamTally()
        self.reached = False
        """Whether anything was ever answered."""
        self._origin = origin_of(self.url)
        self._host = parts.hostname or ""
        self._login = (
            basic(unquote(parts.username or ""), unquote(parts.password or "")) if "@" in parts.netloc else None
        )
        self._reach = reach
        self.offline = reach.offline
        """Whether it is never asked."""
        self._trusted = None if private_hosts is None else {*private_hosts, self._host}
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def get(self, url: str, headers: Mapping[str, str] = NO_HEADERS) -> AsyncIterator[Response]:
        """The answer to a GET, whatever its status. The caller sets a deadline.

        Raises UpstreamBusy and UpstreamError for all that can go wrong, also within the block.
        """
        if self.offline:
            raise UpstreamError("This server asks no other index (--upstream-offline).")
        first, session = url, self._connected()
        for _ in range(MOST_REDIRECTS + 1):
            self._check_address(url)
            sent, proxy = {**headers, **self._authorization(url)}, self._reach.proxy_for(url)
            for_proxy = {} if proxy is None or proxy.login is None else {"Proxy-Authorization": proxy.login}
            if urlsplit(url).scheme != "https":  # else the proxy gets them with its CONNECT
                sent |= for_proxy
            with _sentences(url, self.tally):
                response = await session.get(
                    URL(url, encoded=True),
                    headers=sent,
                    allow_redirects=False,
                    proxy=None if proxy is None else proxy.url,
                    proxy_headers=for_proxy,
                )
            self.reached = True
            self.tally.answered(response.status)
            try:
                if response.status not in {301, 302, 303, 307, 308}:
                    yield Response(response, url, self.tally)
                    return
                url = _redirected(url, response.headers.get("Location", ""))
            finally:
                response.close()
        raise UpstreamError(f"The server {urlsplit(first).hostname} redirects too often.")

    def _authorization(self, url: str) -> dict[str, str]:
        """The login, for the origin of the index."""
        login = (self._login or self._reach.login(self._host)) if origin_of(url) == self._origin else None
        return {} if login is None else {"Authorization": login}

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            try:
                resolver = _Resolver(self._trusted, self._reach)
                connector = aiohttp.TCPConnector(ssl=self._reach.tls(), resolver=resolver, limit=CONNECTIONS)
            except (ValueError, OSError) as error:
                raise UpstreamError(
                    f"No connection can be made with the certificates of this server ({reason_of(error)})."
                ) from error
            self._session = aiohttp.ClientSession(
                connector=connector,
                headers={"User-Agent": f"quire/{__version__}"},
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(
                    connect=WAIT_SECONDS,  # also for one of the connections to get free
                    sock_connect=CONNECT_SECONDS,
                    sock_read=SILENT_SECONDS,
                ),
                trust_env=False,  # it would send logins of ~/.netrc to any host
            )
        return self._session

    def _check_address(self, url: str) -> None:
        """Raises UpstreamError for a URL with a number for a host that may not be asked."""
        host = urlsplit(url).hostname or ""
        if self._trusted is not None and _SHORT_NUMBER.fullmatch(host) and not _is_number(host):
            raise UpstreamError(f"The server {host[:200]} is named by a number that is no address, which is not asked.")
        if self._trusted is not None and _is_number(host):
            is_trusted = host in self._trusted
            if not _may_ask(host, is_trusted=is_trusted):
                raise _NotPublic(host, is_trusted=is_trusted)


@contextmanager
def _sentences(url: str, tally: UpstreamTally) -> Iterator[None]:
    """Raises UpstreamBusy and UpstreamError instead of the errors of the library, and counts them."""
    try:
        with _as_sentences(url):
            yield
    except UpstreamError:
        tally.failed()
        raise


@contextmanager
def _as_sentences(url: str) -> Iterator[None]:
    host = urlsplit(url).hostname
    try:
        yield
    except TimeoutError as error:
        raise UpstreamBusy(f"The server {host} does not answer in time; repeat later.") from error
    except aiohttp.InvalidURL as error:
        raise UpstreamError(f"The server {host} is in a URL of the index that cannot be asked.") from error
    except aiohttp.ClientPayloadError as error:
        raise UpstreamBusy(f"The server {host} ended its answer before it was complete.") from error
    except (aiohttp.ClientConnectionError, OSError) as error:
        raise UpstreamBusy(f"The server {host} cannot be reached: {reason_of(error)}.") from error
    except (aiohttp.ClientError, ValueError) as error:
        raise UpstreamError(f"The server {host} gives an answer that cannot be read ({reason_of(error)}).") from error


class _NotPublic(UpstreamError):
    def __init__(self, host: str, *, is_trusted: bool) -> None:
        super().__init__(
            f"The server {host[:200]} has a link-local address, or one at which a cloud gives credentials to its "
            "machines, which is never asked."
            if is_trusted
            else f"The server {host[:200]} has an address that is not public; if its files are meant to be fetched, "
            "the operator finds its name in the log, for --upstream-hosts."
        )


class _Resolver(AbstractResolver):
    """Resolves names, and refuses those with an address that may not be asked."""

    def __init__(self, trusted: Collection[str] | None, reach: Reach) -> None:
        self._trusted = trusted
        self._reach = reach
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if self._trusted is not None and not self._reach.is_proxy(host, port):
            is_trusted = host in self._trusted
            if not all(_may_ask(each["host"], is_trusted=is_trusted) for each in found):
                raise _NotPublic(host, is_trusted=is_trusted)
        return found

    async def close(self) -> None:
        await self._resolver.close()


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _may_ask(address: str, *, is_trusted: bool) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    return all(_may_ask_one(each, is_trusted=is_trusted) for each in (found, *within(found)))


def _may_ask_one(found: Address, *, is_trusted: bool) -> bool:
    if found.is_multicast or is_of_a_cloud(found):
        return False
    if is_trusted or isinstance(found, ipaddress.IPv4Address):
        return is_trusted or found.is_global
    is_mapped = found.ipv4_mapped is not None  # judged by the address within
    return is_mapped or (found.is_global and not found.is_site_local)


def _redirected(url: str, location: str) -> str:
    """The URL that an answer leads to. Raises UpstreamError."""
    host = urlsplit(url).hostname
    try:
        target = urljoin(url, location).partition("#")[0]
        parts = urlsplit(target)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not location or not usable:
        raise UpstreamError(f"The server {host} redirects to an address that cannot be followed.")
    if urlsplit(url).scheme == "https" and parts.scheme != "https":
        raise UpstreamError(f"The server {host} redirects from https to http, which is not followed.")
    return target


def origin_of(url: str) -> Origin:
    """Scheme, host and port."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
