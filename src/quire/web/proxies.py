"""Who is asking, and under which address they know us: directly, or as a trusted proxy tells it.

X-Forwarded-For, -Proto, -Host and -Prefix are believed only from the configured networks; from anybody else they are
what an attacker wrote.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from starlette.requests import Request

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class TrustedProxies:
    """The networks whose forwarding headers are believed."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._everybody = "*" in networks
        self._networks: tuple[_Network, ...] = tuple(
            ipaddress.ip_network(network, strict=False) for network in networks if network != "*"
        )

    def trusts(self, address: str) -> bool:
        if self._everybody:
            return True
        if not self._networks:
            return False
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)

    def client_address(self, request: Request) -> str:
        """The address of whoever asks: the last one in X-Forwarded-For that is not itself a trusted proxy."""
        address = request.client.host if request.client is not None else ""
        return self.address(address, request.headers.get("x-forwarded-for", ""))

    def address(self, address: str, forwarded: str) -> str:
        """The same, of the address that is connected and the header's value."""
        if not self.trusts(address):
            return address
        for hop in reversed(forwarded.split(",")):
            if not hop.strip():
                continue
            address = hop.strip()[:64]
            if self._everybody or not self.trusts(address):
                break
        return address

    def base_url(self, request: Request, prefix: str) -> str:
        """The absolute URL of the index as the client knows it, ended by a slash."""
        scheme, host = request.url.scheme, request.headers.get("host", "localhost")
        if self.trusts(request.client.host if request.client is not None else ""):
            scheme = _first(request, "x-forwarded-proto") or scheme
            host = _first(request, "x-forwarded-host") or host
            outer = _first(request, "x-forwarded-prefix").strip("/")
            prefix = f"/{outer}{prefix}" if outer else prefix
        if scheme not in {"http", "https"}:
            scheme = "http"
        return f"{scheme}://{host}{prefix}/"


def _first(request: Request, header: str) -> str:
    return request.headers.get(header, "").partition(",")[0].strip()
