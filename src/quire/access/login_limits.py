"""The limits of failed logins: token buckets of users, addresses and networks, in bounded memory."""

from __future__ import annotations

import hashlib
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of the time for which passwords are remembered, and of the work of one process that checks them.

    For "address" and "network" see `Origin`.
    """

    remember_seconds: float = 300
    """0 checks every request."""
    remember_users: int = 10_000
    failures: int = 10
    """Failed attempts of one user at one address before the next has to wait; they are forgiven one by one, evenly
    over `failure_seconds`."""
    address_failures: int = 100
    """The same, of all users at one address: above what a few broken jobs behind one router do."""
    network_failures: int = 400
    """The same, of all users in one network."""
    failure_seconds: float = 60
    failure_buckets: int = 10_000
    """Of each of these three kinds."""
    max_pending: int = 64
    """Checks that run or wait for a thread."""
    address_pending: int = 16
    """The share that one address may have of them."""
    network_pending: int = 32
    """The share that one network may have of them."""
    reserved_pending: int = 64
    """Further checks, for credentials that were right before."""
    threads: int = 2


class Origin(NamedTuple):
    """The origin of a login: an address, of which one client is assumed to have only one, and the network around it."""

    address: str
    """An IPv4 address, or an IPv6 network of 64 bits: a client can take any address within that."""
    network: str
    """An IPv4 network of 24 bits, or an IPv6 network of 48 bits: the usual parts of a site or a small provider."""


def origin_of(address: str) -> Origin:
    """The origin of a client's address; text that is no address stands for itself."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return Origin(address, address)
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return Origin(f"{parsed.packed[:8].hex()}/64", f"{parsed.packed[:6].hex()}/48")
        parsed = parsed.ipv4_mapped
    return Origin(str(parsed), f"{parsed.packed[:3].hex()}/24")


class Scope(StrEnum):
    """The scope that had too many failures, in the words of the answer."""

    USER = "of this user at this address"
    ADDRESS = "at this address"
    NETWORK = "in this network"


class _Buckets:
    """Token buckets, each kept as one number: the time at which all that was taken from it will be forgiven."""

    def __init__(self, failures: int, seconds: float, count: int, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._price = seconds / failures
        self._count = count
        self._clock = clock
        self._forgiven: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._forgiven)

    def wait(self, key: bytes) -> float:
        """Seconds until one more attempt can be paid for; 0 or less when it can be now."""
        debt = self._forgiven.get(key, 0.0) - self._clock()
        rounding = 1e-6  # limit times price may come out a hair above the whole
        return max(debt, 0.0) + self._price - self._seconds - rounding

    def take(self, key: bytes) -> None:
        now = self._clock()
        self._forgiven[key] = max(self._forgiven.get(key, now), now) + self._price
        self._forgiven.move_to_end(key)
        if len(self._forgiven) > self._count:
            self._forgiven.popitem(last=False)

    def refund(self, key: bytes) -> None:
        if key in self._forgiven:
            self._forgiven[key] -= self._price


class Attempt(NamedTuple):
    """The buckets that an attempt is charged to: a digest for each scope. A name itself is not kept, nor its length."""

    user: bytes
    address: bytes
    network: bytes


def attempt_at(address: str) -> Attempt:
    """The buckets of a client's address, for an attempt that names no user."""
    origin = origin_of(address)
    host, network = (hashlib.sha256(part.encode("utf-8", "replace")).digest() for part in origin)
    return Attempt(host, host, network)


class Throttle:
    """The failures of users at addresses, of addresses, and of networks.

    Each scope has buckets of its own, so that a flood of invented users pushes none but users out of memory, and is
    itself stopped by the bucket of its address long before that.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._scopes = tuple(
            (scope, _Buckets(failures, limits.failure_seconds, limits.failure_buckets, clock))
            for scope, failures in (
                (Scope.USER, limits.failures),
                (Scope.ADDRESS, limits.address_failures),
                (Scope.NETWORK, limits.network_failures),
            )
        )

    def __len__(self) -> int:
        """How many buckets there are."""
        return sum(len(buckets) for _, buckets in self._scopes)

    def wait(self, attempt: Attempt) -> tuple[int, Scope] | None:
        """Whole seconds until the attempt can be paid for, at least 1, and which scope has to wait so long.

        None when it can be paid for now.
        """
        seconds, scope = max((buckets.wait(key), scope) for (scope, buckets), key in self._with(attempt))
        return (max(1, math.ceil(seconds)), scope) if seconds > 0 else None

    def take(self, attempt: Attempt) -> None:
        for (_, buckets), key in self._with(attempt):
            buckets.take(key)

    def refund(self, attempt: Attempt) -> None:
        for (_, buckets), key in self._with(attempt):
            buckets.refund(key)

    def _with(self, attempt: Attempt) -> zip[tuple[tuple[Scope, _Buckets], bytes]]:
        return zip(self._scopes, attempt, strict=True)
