"""The address of a client, and the address by which a client knows the index: as seen here, or as a proxy reports it.

This is the only module that reads addresses and forwarding headers, for every server and for the fast path.

Theory of operation. Each proxy appends the address of its own client to X-Forwarded-For (or to Forwarded, RFC 7239), in
the same line or in a line of its own; several lines are one list (RFC 9110, 5.3). So the list is read from its end: the
last value is what the connected peer reports; if that address is a trusted proxy too, the value before it is what
that proxy reports, and so on. The first address that is no trusted proxy is the client. Everything before it was
written by the client itself. After a value that is no address (`unknown`, `_hidden`, garbage) the client counts as the
proxy that reported it.

The other headers are lists of the same kind, and the value of the proxy that the client was connected to is the one
that counts: as many places from the end as proxies were passed. A proxy that replaces a header instead of
appending to it leaves a shorter list, of which the first value counts.

A header is believed if the peer is trusted (`--trusted-proxies`) and if the operator says that the proxies set or clear
it (`--trusted-headers`): most proxies pass a header on that they do not know, as their client wrote it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final, NamedTuple
from urllib.parse import quote

from starlette.requests import HTTPConnection
from starlette.types import Scope

from quire.http.app.routes import mount_of

UNIX: Final = "unix"
"""The text in place of an address for a peer that is connected by a Unix socket; in `--trusted-proxies`, too."""
MAX_HOPS: Final = 32
"""Proxies in a row; more values of a list are ignored."""

_MAX_TRUSTED: Final = 4096
"""Addresses of which it is remembered whether they are trusted."""

_FOR, _PROTO = "x-forwarded-for", "x-forwarded-proto"
_HOST, _PREFIX, _FORWARDED = "x-forwarded-host", "x-forwarded-prefix", "forwarded"

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Lines = Callable[[str], Sequence[str]]
"""The values of all lines of a header, by its lower-case name."""

_PORT = re.compile(r":(?:[0-9]{1,5}|_[A-Za-z0-9._-]{1,64})")  # RFC 7239, 6: a port may be obfuscated
_PAIR = re.compile(r"""[ \t]*(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^\s,;"]+)[ \t]*)?([;,]|\Z)""")
"""RFC 7239, 4: a parameter, perhaps with an unquoted address as some proxies send it, and its end."""
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._~-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_PATH = re.compile(r"/?(?:[A-Za-z0-9_~-][A-Za-z0-9_.~-]*(?:/|\Z)){0,32}")


class Outside(NamedTuple):
    """How the client addresses the index."""

    scheme: str
    """`http` or `https`."""
    host: str
    """With the port if one was given; the empty text for a client that names no host (HTTP/1.0)."""
    prefix: str
    """The part of the path that a proxy takes away: begun by a slash and not ended by one, or empty."""


def parse_address(text: str) -> str | None:
    """The IP address in `ADDRESS`, `ADDRESS:PORT`, `[V6]` or `[V6]:PORT`, in its canonical form; else None.

    An IPv4 address that is mapped into IPv6 (RFC 4291, 2.5.5.2), as dual-stack sockets report it, is the IPv4 address.
    The zone of an IPv6 address is left out.
    """
    return _canonical(text) if len(text) <= 128 else None


@lru_cache(maxsize=4096)
def _canonical(text: str) -> str | None:
    address = _parsed(text)
    return None if address is None else str(address)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> _Address | None:
    text = text.strip(" \t")
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        is_readable = bool(bracket) and ":" in host
    else:
        host, colon, port = text.partition(":") if text.count(":") == 1 else (text, "", "")
        port = colon + port
        is_readable = True
    if not is_readable or (port and _PORT.fullmatch(port) is None):
        return None
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def peer_address(client: object, server: object) -> str:
    """The address of a connection's other end: an IP address, `unix`, or the empty text when the server knows none.

    `client`, `server`: the two ends as ASGI has them, (host, port); for a Unix socket the server's port is no number.
    """
    if isinstance(client, tuple | list) and client and client[0]:
        return parse_address(str(client[0])) or str(client[0])
    is_unix = isinstance(server, tuple | list) and len(server) == 2 and not isinstance(server[1], int)
    return UNIX if is_unix else ""


def peer_of(scope: Scope) -> str:
    """`peer_address` of a request."""
    environ: Mapping[str, str] | None = scope.get("wsgi_environ")
    if environ is None:
        return peer_address(scope.get("client"), scope.get("server"))
    # the WSGI adapter knows no client without a port, which PEP 3333 does not ask for
    remote = environ.get("REMOTE_ADDR")
    return UNIX if remote == "" else parse_address(remote or "") or remote or ""


class TrustedProxies:
    """The trusted peers, and the forwarding headers that are trusted from them."""

    def __init__(self, networks: Sequence[str], headers: Sequence[str] = (_FOR, _PROTO)) -> None:
        """`networks`: as the setting has them, with `unix` and `*`. `headers`: lower-case names."""
        self._everybody = "*" in networks
        self._unix = UNIX in networks
        self._networks: tuple[_Network, ...] = tuple(
            ipaddress.ip_network(network, strict=False) for network in networks if network not in {"*", UNIX}
        )
        self._headers = frozenset(headers)
        self._reports = next((name for name in (_FORWARDED, _FOR) if name in self._headers), None)
        """The header with the clients' addresses, if any is trusted."""
        self._trusted: dict[str, bool] = {}

    @property
    def reports_hosts(self) -> bool:
        """Whether a header other than Host may name the host that the client addressed."""
        return bool(self._headers & {_HOST, _FORWARDED})

    def trusts(self, peer: str) -> bool:
        """Whether a peer (of `peer_address`) is a trusted proxy."""
        trusted = self._trusted.get(peer)
        if trusted is None:
            if len(self._trusted) >= _MAX_TRUSTED:
                self._trusted.clear()
            trusted = self._trusted[peer] = self._is_among_them(peer)
        return trusted

    def _is_among_them(self, peer: str) -> bool:
        if self._everybody:
            return True
        if peer == UNIX:
            return self._unix
        if not self._networks:
            return False
        address = _parsed(peer)
        return address is not None and any(address in network for network in self._networks)

    def address(self, peer: str, lines: Lines) -> str:
        """The client's address, for a request from this peer with these headers."""
        return peer if self._reports is None or not lines(self._reports) else self._walk(peer, lines)[0]

    def client_address(self, request: HTTPConnection) -> str:
        """The same."""
        return self.address(peer_of(request.scope), request.headers.getlist)

    def outside(self, request: HTTPConnection) -> Outside:
        """How the client addresses the index. Reported values that cannot be addresses are left out."""
        scope, headers = request.scope, request.headers
        return self.outside_of(scope["scheme"], headers.get("host", ""), peer_of(scope), headers.getlist)

    def outside_of(self, scheme: str, host: str, peer: str, lines: Lines) -> Outside:
        """The same, for a request by this scheme, with this Host, from this peer."""
        host, prefix = host.strip(), ""
        _, hops = self._walk(peer, lines)
        if hops:
            proto, reported = self._value(_PROTO, lines, hops), self._value(_HOST, lines, hops)
            if _FORWARDED in self._headers:
                elements = _elements(lines(_FORWARDED))
                element = elements[max(len(elements) - hops, 0)] if elements else {}
                proto, reported = element.get("proto", ""), element.get("host", "")
            scheme = proto.lower() if proto.lower() in {"http", "https"} else scheme
            host = reported if _AUTHORITY.fullmatch(reported) else host
            path = self._value(_PREFIX, lines, hops)
            prefix = path.strip("/") if len(path) < 1024 and _PATH.fullmatch(path) else ""
        return Outside("https" if scheme == "https" else "http", host, f"/{prefix}" if prefix else "")

    def base_url(self, request: HTTPConnection, prefix: str) -> str:
        """The absolute URL of the index as the client knows it, ended by a slash; `prefix` is of its own paths.

        Percent-encoded. Before the prefix comes where another application has mounted this one.
        """
        outside = self.outside(request)
        mount = quote(mount_of(request.scope))
        return f"{outside.scheme}://{outside.host or 'localhost'}{outside.prefix}{mount}{prefix}/"

    def _walk(self, peer: str, lines: Lines) -> tuple[str, int]:
        """The client's address, and how many proxies were passed: 0 when the peer is none."""
        if not self.trusts(peer):
            return peer, 0
        address, hops = peer, 0
        for value in islice(reversed(self._reported(lines)), MAX_HOPS):
            hops += 1
            found = parse_address(value)
            if found is None:
                break
            address = found
            if self._everybody or not self.trusts(address):
                break
        return address, max(hops, 1)

    def _reported(self, lines: Lines) -> Sequence[str]:
        if self._reports == _FORWARDED:
            return [element.get("for", "") for element in _elements(lines(_FORWARDED))]
        return () if self._reports is None else _values(lines(self._reports))

    def _value(self, name: str, lines: Lines, hops: int) -> str:
        """The value that the proxy reports which is so many hops away; empty when there is none to believe."""
        values = _values(lines(name)) if name in self._headers else ()
        return values[max(len(values) - hops, 0)] if values else ""


def _values(lines: Sequence[str]) -> list[str]:
    """The values of a list header, without empty ones (RFC 9110, 5.6.1.2)."""
    return [value for line in lines for each in line.split(",") if (value := each.strip(" \t"))]


def _elements(lines: Sequence[str]) -> list[dict[str, str]]:
    """The elements of Forwarded, each with its parameters by lower-case name (RFC 7239, 4).

    A malformed header is one element without a value: the beginnings of its elements are not known.
    """
    text = ", ".join(lines)
    elements: list[dict[str, str]] = []
    element: dict[str, str] = {}
    place = 0
    while place < len(text):
        match = _PAIR.match(text, place)
        name = "" if match is None else (match[1] or "").lower()
        if match is None or name in element:
            return [{}]
        if name:
            value = match[2]
            element[name] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        if match[3] != ";" and element:
            elements.append(element)
            element = {}
        place = match.end()
    return [*elements, element] if element else elements
