"""To which addresses webhooks are delivered.

A webhook makes the server send requests, and an administrator of the index need not be one of the network. So the
addresses that only the server itself can reach are refused: those of its own machine, and link-local ones, where clouds
give out credentials. Only the operator of the server opens them, by a setting. Private networks are allowed: that is
where the receivers of a private index are. The address of the connection itself is checked, so a name cannot mean
another address in between.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

from quire.domain.cloud_addresses import Address, is_of_a_cloud, within
from quire.domain.errors import QuireError


class ReceiverRefused(QuireError):
    """Nothing is sent to this receiver."""


class AllowedAddresses:
    """The rule of one server."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        """`networks`: those that are allowed though they would be refused, in CIDR notation."""
        self._networks = [ipaddress.ip_network(each) for each in networks]

    def includes(self, address: Address) -> bool:
        """Whether webhooks are delivered there."""
        address = next(within(address), address)  # the IPv4 address instead of the IPv6 one that means it
        if any(address in network for network in self._networks):
            return True
        return not (
            address.is_loopback
            or address.is_multicast
            or address.is_unspecified
            or address.is_reserved
            or is_of_a_cloud(address)
        )

    def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a host to which webhooks are delivered, in the resolver's order. Blocks.

        Raises ReceiverRefused when it has none of them; OSError when the name cannot be resolved.
        """
        found = [
            ipaddress.ip_address(str(sockaddr[0]).partition("%")[0])
            for *_, sockaddr in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        ]
        allowed = [str(each) for each in dict.fromkeys(found) if self.includes(each)]
        if not allowed:
            raise ReceiverRefused(
                f"No webhook is delivered to {host if host == str(found[0]) else f'{host} ({found[0]})'}: it is this "
                "machine, or a link-local or reserved address; the server's setting webhook-networks allows it."
            )
        return allowed
