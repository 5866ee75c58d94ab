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
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


def is_of_a_cloud(address: Address) -> bool:
    """Whether it is that of a service of a cloud: a link-local one, or one of those that are not. `address`: see
    `within` for other forms of it."""
    return address.is_link_local or any(address in network for network in _NETWORKS)


def within(address: Address) -> Iterator[ipaddress.IPv4Address]:
    """The IPv4 addresses that an IPv6 address leads to: mapped ones, and through NAT64 (RFC 6052), 6to4 (RFC 3056)."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address in _NAT64:
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.sixtofour is not None:
        yield address.sixtofour
