"""The public keys of issuers, found by OpenID discovery or at a fixed URL, and kept in memory.

Theory of operation. A key is found by its id (`kid`). Keys are read when there are none, when they are older than
MAX_AGE, and when a token names an id that is not among them, as after a rotation; but never more often than once in
MIN_INTERVAL, whether or not it worked, so that invented ids cost the issuer nothing. Requests that wait for the same
issuer share one reading, and none is answered from keys that are older than MAX_AGE while it is under way: a key that
the issuer took back counts no longer than that. A reading that fails leaves the keys in force that were there before,
for MAX_STALE at most: an issuer that took a key back is believed by then.

The sender of a token chooses the issuer that it names, among those that an operator named. So there is room for all of
them: were one forgotten for another, tokens that name them in turn would have each read again and again. Where all
together have more than MAX_KEYS_OF_ALL, the keys of the issuer with the most are let go, until it may be read again.

Only RSA keys of 2048 bits and more, for RS256, and keys on the curve P-256, for ES256, are taken.

Sources: OpenID Connect Discovery 1.0, sections 3 and 4; RFC 7517 (JSON Web Keys).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import structlog

from quire.identity.fetching import IdentityUnavailable, address_in, fetch_json

if TYPE_CHECKING:
    from jwt import PyJWK

MIN_INTERVAL: Final = 30.0
"""Seconds between two readings of the keys of one issuer."""
MAX_AGE: Final = 3600.0
"""Seconds after which keys are read again before they are used."""
MAX_STALE: Final = 24 * 3600.0
"""Seconds for which keys that cannot be read again go on being used."""
MAX_KEYS: Final = 100
"""Of one issuer."""
MAX_KEYS_OF_ALL: Final = 20_000
"""About 50 MB."""
MAX_ISSUERS: Final = 6000
"""More than there can be publishers (`quire.access.minting.MOST_PUBLISHERS`)."""
ALGORITHMS: Final = ("RS256", "ES256")
_LEAST_RSA_BITS: Final = 2048

Fetch = Callable[[str], Awaitable[dict[str, Any]]]
Keys = dict[tuple[str, str], "PyJWK"]
"""By id and algorithm."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class _Known:
    """The state of one issuer."""

    keys: Keys = field(default_factory=dict)
    read: float | None = None
    """The time of the last reading that worked; None for none."""
    tried: float | None = None
    problem: str | None = None
    """Why the last reading failed."""
    reading: asyncio.Task[None] | None = None
    """The one under way, for all requests that wait for it."""


class IssuerKeys:
    """The keys of issuers; used from one event loop. Ask it only for issuers that an operator named."""

    def __init__(self, fetch: Fetch = fetch_json, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._known: dict[str, _Known] = {}

    async def find(self, issuer: str, identity: str, algorithm: str, *, jwks_url: str | None = None) -> PyJWK | None:
        """The key with this id for this algorithm; None when the issuer has none.

        `jwks_url`: where the keys are; without it, discovery at the issuer says so.
        Raises IdentityUnavailable when the keys cannot be read and none are known.
        """
        known = self._known.get(issuer)
        if known is None:
            self._make_room(issuer)
            known = self._known[issuer] = _Known()
        wanted = identity, algorithm
        if known.reading is None and self._is_due(known, wanted):
            known.tried = self._clock()
            known.reading = asyncio.create_task(self._read(known, issuer, jwks_url))
        if known.reading is not None and (self._is_old(known) or wanted not in known.keys):
            await asyncio.shield(known.reading)  # a client that hangs up does not stop it for the others
        if self._is_stale(known):
            raise IdentityUnavailable(f"The keys of {issuer} cannot be read now: {known.problem}")
        return known.keys.get(wanted)

    def _make_room(self, issuer: str) -> None:
        """Forget an issuer that may be read again anyway, where there are too many: one that no publisher has any more.

        Raises IdentityUnavailable.
        """
        if len(self._known) < MAX_ISSUERS:
            return
        now = self._clock()
        tried = {name: known.tried or now for name, known in self._known.items() if known.reading is None}
        oldest = min(tried, key=tried.__getitem__, default=None)
        if oldest is None or now - tried[oldest] < MIN_INTERVAL:
            raise IdentityUnavailable(f"The keys of {issuer} cannot be read now: too many issuers were asked.")
        del self._known[oldest]

    def _keep(self, known: _Known, keys: Keys) -> None:
        """Keep keys that were read, within the bound for all issuers."""
        known.keys, known.read, known.problem = keys, known.tried, None
        while sum(len(each.keys) for each in self._known.values()) > MAX_KEYS_OF_ALL:
            largest = max(self._known.values(), key=lambda each: len(each.keys))
            largest.keys, largest.read, largest.problem = {}, None, "it has more keys than there is room for"

    def _is_old(self, known: _Known) -> bool:
        return known.read is None or self._clock() - known.read >= MAX_AGE

    def _is_stale(self, known: _Known) -> bool:
        return known.read is None or self._clock() - known.read > MAX_STALE

    def _is_due(self, known: _Known, wanted: tuple[str, str]) -> bool:
        now = self._clock()
        if known.tried is not None and now - known.tried < MIN_INTERVAL:
            return False
        return self._is_old(known) or wanted not in known.keys

    async def _read(self, known: _Known, issuer: str, jwks_url: str | None) -> None:
        try:
            url = jwks_url or await self._discover(issuer)
            keys = parse_keys(await self._fetch(url), url)
        except IdentityUnavailable as error:
            known.problem = str(error)
            log.warning("issuer keys not read", issuer=issuer, error=str(error))
        else:
            self._keep(known, keys)
            log.info("issuer keys read", issuer=issuer, count=len(keys))
        finally:
            known.reading = None

    async def _discover(self, issuer: str) -> str:
        """The address of an issuer's keys (OpenID Connect Discovery, section 4)."""
        address = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        document = await self._fetch(address)
        if document.get("issuer") != issuer:
            raise IdentityUnavailable(f"{address} is of another issuer, {str(document.get('issuer'))[:200]!r}.")
        return address_in(document, "jwks_uri", issuer, address)


def parse_keys(document: dict[str, Any], url: str) -> Keys:
    """The keys for signatures in a JSON Web Key Set. Keys of other kinds, and broken ones, are left out.

    Raises IdentityUnavailable when there is no usable one.
    """
    from jwt import PyJWK  # noqa: PLC0415 - of the extra `oidc`
    from jwt.exceptions import PyJWTError  # noqa: PLC0415

    entries = document.get("keys")
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise IdentityUnavailable(f"{url} is no set of keys (RFC 7517), or has more than {MAX_KEYS}.")
    found: Keys = {}
    for entry in entries:
        algorithm = _algorithm_of(entry)
        if algorithm is None:
            continue
        try:
            key = PyJWK(entry, algorithm)
        except (PyJWTError, ValueError, TypeError, OverflowError):
            continue
        if algorithm != "RS256" or getattr(key.key, "key_size", 0) >= _LEAST_RSA_BITS:
            found.setdefault((entry["kid"], algorithm), key)
    if not found:
        raise IdentityUnavailable(f"{url} has no key for {' or '.join(ALGORITHMS)}.")
    return found


def _algorithm_of(entry: object) -> str | None:
    """The algorithm that a public key is for; None for a key that is of no use here."""
    if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str) or entry.get("use", "sig") != "sig":
        return None
    kind, curve = entry.get("kty"), entry.get("crv")
    algorithm = "RS256" if kind == "RSA" else "ES256" if kind == "EC" and curve == "P-256" else None
    if "d" in entry or entry.get("alg", algorithm) != algorithm:  # a private key that is known proves nothing
        return None
    return algorithm
