"""Small JSON documents of an identity provider, read with bounds on everything: size, time, and where the request goes.

The provider is configured by an operator, and still not trusted: it may hang, answer with a redirect to the inside of
the network, or never stop sending. A certificate authority of one's own is named by `SSL_CERT_FILE`, a proxy by
`HTTPS_PROXY`, as for every program that uses OpenSSL.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from quire import __version__
from quire.domain.errors import QuireError, reason_of

MAX_BYTES: Final = 512 * 1024
"""Longest document. The largest sets of keys in use have some 20 KB."""
SECONDS: Final = 8.0
"""Within which a document must be complete."""
MAX_URL: Final = 500
NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class IdentityUnavailable(QuireError):
    """A document of an identity provider cannot be read now, or is not what it should be."""


def check_url(url: str) -> str:
    """The URL itself. Raises IdentityUnavailable unless it is https, or http to this very machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise IdentityUnavailable(f"{url[:MAX_URL]!r} is not a URL.") from None
    is_plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= MAX_URL
    if not is_plain or not host or parts.username is not None or parts.fragment:
        raise IdentityUnavailable(f"{url[:MAX_URL]!r} is not a URL.")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise IdentityUnavailable(f"{url!r} is not read: identities need https.")
    return url


def address_in(document: Mapping[str, Any], name: str, issuer: str, source: str) -> str:
    """The address that an issuer's metadata have under a name. `source`: where the metadata are from.

    Raises IdentityUnavailable unless it is one that is read (see `check_url`), by https where the issuer is.
    """
    url = document.get(name)
    if not isinstance(url, str):
        raise IdentityUnavailable(f"{source} does not say where its {name} is.")
    if urlsplit(check_url(url)).scheme == "http" and urlsplit(issuer).scheme == "https":
        raise IdentityUnavailable(f"{source} names a {name} without https.")
    return url


async def fetch(
    url: str,
    *,
    method: str = "GET",
    content: bytes | None = None,
    headers: Mapping[str, str] = NO_HEADERS,
    seconds: float = SECONDS,
) -> tuple[int, bytes]:
    """The status and the body of an answer, of at most MAX_BYTES, read within so many seconds; redirects are not
    followed.

    Raises IdentityUnavailable, with a sentence that says which URL and why.
    """
    import httpx  # noqa: PLC0415 - most workers never fetch anything

    check_url(url)
    sent = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"quire/{__version__}",
        **headers,
    }
    body = bytearray()
    try:
        async with (
            asyncio.timeout(seconds),
            httpx.AsyncClient(timeout=seconds, follow_redirects=False) as client,
            client.stream(method, url, content=content, headers=sent) as response,
        ):
            if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
                raise IdentityUnavailable(f"{url} answered in a compressed form that was not asked for.")
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise IdentityUnavailable(f"{url} has more than {MAX_BYTES // 1024} KiB.")
    except TimeoutError:
        raise IdentityUnavailable(f"{url} was not read within {seconds:g} seconds.") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise IdentityUnavailable(f"{url} cannot be read ({reason_of(error)}).") from error
    return response.status_code, bytes(body)


async def fetch_json(url: str, *, headers: Mapping[str, str] = NO_HEADERS, seconds: float = SECONDS) -> dict[str, Any]:
    """The JSON object at a URL; see `fetch`. Raises IdentityUnavailable, also for any status but 200."""
    status, body = await fetch(url, headers=headers, seconds=seconds)
    if status != 200:
        raise IdentityUnavailable(f"{url} answered with status {status}.")
    return json_object(body, url)


def json_object(body: bytes, url: str) -> dict[str, Any]:
    """The JSON object that came from a URL. Raises IdentityUnavailable."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise IdentityUnavailable(f"{url} is no JSON object.")
    return document


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
