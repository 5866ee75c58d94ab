"""The addresses of services that clouds have for their machines, and the forms in which one address means another.

Such a service gives credentials to the machine that asks it. So no request goes there that a client of a mirror, a page
of another index, or the administrator of an index has caused.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NETWORKS: Final = tuple(
    ipaddress.ip_network(each) for each in ("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::/32")
)
"""Those that are not link-local: of Alibaba, Azure, Oracle, AWS."""
_EMBEDDING: Final = tuple(
    ipaddress.IPv6Network(each) for each in ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96")
)
"""Networks of IPv6 addresses that end in an IPv4 address: NAT64 (RFC 6052), NAT64 of one's own network (RFC 8215),
translated addresses (RFC 2765), and those that were for tunnels once (RFC 4291, 2.5.5.1)."""


def is_of_a_cloud(address: Address) -> bool:
    """Whether it is that of a service of a cloud: a link-local one, or one of those that are not. `address`: see
    `within` for other forms of it."""
    return address.is_link_local or any(address in network for network in _NETWORKS)


def within(address: Address) -> Iterator[ipaddress.IPv4Address]:
    """The IPv4 addresses that an IPv6 address leads to: mapped ones, those at its end, and through 6to4 (RFC 3056)."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if not (address.is_loopback or address.is_unspecified) and any(address in each for each in _EMBEDDING):
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.sixtofour is not None:
        yield address.sixtofour
