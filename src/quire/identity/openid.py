"""A login at an OpenID provider: the authorization code flow with PKCE.

Theory of operation. `begin` makes the address to which the browser goes, and what has to be remembered of the login
until it comes back; `finish` exchanges the code that it brings for an ID token, over a connection of our own, verifies
that, and has the user's claims. Claims that the ID token lacks are asked for at the provider's userinfo endpoint, since
providers may keep them out of it.

The addresses of the provider are found by discovery and kept for some minutes; requests that wait share one reading.
Whatever the provider does (hangs, answers nonsense, takes a key back), the result is a sentence.

Sources: OpenID Connect Core 1.0, 3.1 and 5.3; Discovery 1.0; RFC 6749, 4.1; RFC 7636 (PKCE); RFC 9207 (`iss`).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

from quire.domain.errors import QuireError
from quire.identity.fetching import IdentityUnavailable, address_in, fetch, fetch_json, json_object
from quire.identity.keys import IssuerKeys
from quire.identity.tokens import BadToken, parse_token, verify_token

_METADATA_SECONDS: Final = 600.0
_FAILURE_SECONDS: Final = 5.0
"""For this long a provider that failed is not asked again."""
_MAX_EXCHANGES: Final = 16
"""Exchanges of codes that run at once."""
MAX_CODE: Final = 4096


class LoginRefused(QuireError):
    """The provider did not accept a login, or has one that cannot be believed; another try may help."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """The addresses and abilities of a provider, by discovery."""

    authorization: str
    token: str
    keys: str
    userinfo: str | None
    takes_basic: bool
    """Whether the client authenticates by HTTP Basic, as by default; else in the form."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The secrets of a login that has begun, to be kept until the browser comes back."""

    state: str
    verifier: str
    nonce: str


def new_attempt() -> Attempt:
    """Of 256 random bits each."""
    return Attempt(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(32))


class OpenIdProvider:
    """One provider, and this server as its client. One per process, used from one event loop."""

    def __init__(
        self,
        issuer: str,
        client_id: str,
        secret: Callable[[], str | None],
        scopes: Sequence[str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`secret`: reads the client's secret; None for a public client, which has PKCE alone."""
        self.issuer = issuer
        self._client_id = client_id
        self._secret = secret
        self._scopes = " ".join(dict.fromkeys(("openid", *scopes)))
        self._keys = IssuerKeys(clock=clock)
        self._clock = clock
        self._metadata: Metadata | None = None
        self._until = 0.0
        self._problem = ""
        self._reading: asyncio.Task[Metadata] | None = None
        self._exchanges = 0

    async def begin(self, attempt: Attempt, redirect_uri: str) -> str:
        """The address at which the user logs in. Raises IdentityUnavailable."""
        metadata = await self._discovered()
        digest = hashlib.sha256(attempt.verifier.encode()).digest()
        fields = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "scope": self._scopes,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return f"{metadata.authorization}{'&' if '?' in metadata.authorization else '?'}{urlencode(fields)}"

    async def finish(self, attempt: Attempt, code: str, redirect_uri: str, wanted: Sequence[str]) -> Mapping[str, Any]:
        """The claims of the user that has logged in. `wanted`: the names of those that are needed.

        Raises LoginRefused, IdentityUnavailable.
        """
        if self._exchanges >= _MAX_EXCHANGES:
            raise IdentityUnavailable("Too many logins are being finished; try again in some seconds.")
        self._exchanges += 1
        try:
            metadata = await self._discovered()
            answer = await self._exchange(metadata, attempt, code, redirect_uri)
            claims = await self._verified(metadata, answer.get("id_token"), attempt)
            if metadata.userinfo is not None and any(name not in claims for name in wanted):
                claims = {**await self._userinfo(metadata.userinfo, answer, claims), **claims}
            return claims
        finally:
            self._exchanges -= 1

    async def _exchange(self, metadata: Metadata, attempt: Attempt, code: str, redirect_uri: str) -> Mapping[str, Any]:
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": attempt.verifier,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        secret = self._secret()
        if secret is not None and metadata.takes_basic:  # RFC 6749, 2.3.1: both are form-encoded first
            pair = f"{quote_plus(self._client_id)}:{quote_plus(secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            fields["client_id"] = self._client_id
            fields |= {} if secret is None else {"client_secret": secret}
        status, body = await fetch(metadata.token, method="POST", headers=headers, content=urlencode(fields).encode())
        if status == 200:
            return json_object(body, metadata.token)
        try:
            error = str(json_object(body, metadata.token).get("error", ""))[:60]
        except IdentityUnavailable:
            error = ""
        if error == "invalid_grant":
            raise LoginRefused("The login provider does not know this login any more; log in again.")
        raise IdentityUnavailable(
            f"The login provider refused the login with status {status} {ascii(error) if error else ''}".rstrip() + "."
        )

    async def _verified(self, metadata: Metadata, text: object, attempt: Attempt) -> Mapping[str, Any]:
        """The claims of the ID token (OpenID Connect Core 1.0, 3.1.3.7)."""
        if not isinstance(text, str):
            raise IdentityUnavailable("The login provider sent no ID token.")
        try:
            token = parse_token(text)
            if token.issuer != self.issuer:
                raise BadToken("The token is of another issuer.")
            verified = await verify_token(token, self._keys, self._client_id, jwks_url=metadata.keys)
        except BadToken as error:
            raise LoginRefused(f"The login provider's answer cannot be believed. {error}") from error
        nonce = verified.claims.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), attempt.nonce.encode()):
            raise LoginRefused("The login provider's answer is to another login (nonce); log in again.")
        return verified.claims

    @staticmethod
    async def _userinfo(url: str, answer: Mapping[str, Any], claims: Mapping[str, Any]) -> Mapping[str, Any]:
        """Further claims of the same user (OpenID Connect Core 1.0, 5.3.2)."""
        token = answer.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            return {}
        status, body = await fetch(url, headers={"Authorization": f"Bearer {token}"})
        if status != 200:
            raise IdentityUnavailable(f"{url} answered with status {status}.")
        found = json_object(body, url)
        if found.get("sub") != claims.get("sub"):
            raise LoginRefused("The login provider sent claims of another user (sub).")
        return found

    async def _discovered(self) -> Metadata:
        if self._clock() < self._until:
            if self._metadata is None:
                raise IdentityUnavailable(self._problem)
            return self._metadata
        if self._reading is None:
            self._reading = asyncio.create_task(self._discover())
        return await asyncio.shield(self._reading)  # a client that hangs up does not stop it for the others

    async def _discover(self) -> Metadata:
        address = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            found = parse_metadata(await fetch_json(address), self.issuer, address)
        except IdentityUnavailable as error:
            if self._metadata is None:
                self._problem, self._until = str(error), self._clock() + _FAILURE_SECONDS
                raise
            self._until = self._clock() + _FAILURE_SECONDS  # what was found before is as good
            return self._metadata
        else:
            self._metadata, self._until = found, self._clock() + _METADATA_SECONDS
            return found
        finally:
            self._reading = None


def parse_metadata(document: Mapping[str, Any], issuer: str, address: str) -> Metadata:
    """The document of discovery. Raises IdentityUnavailable."""
    if document.get("issuer") != issuer:
        raise IdentityUnavailable(f"{address} is of another issuer, {str(document.get('issuer'))[:200]!r}.")

    def endpoint(name: str) -> str:
        return address_in(document, name, issuer, address)

    methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return Metadata(
        endpoint("authorization_endpoint"),
        endpoint("token_endpoint"),
        endpoint("jwks_uri"),
        endpoint("userinfo_endpoint") if "userinfo_endpoint" in document else None,
        takes_basic=isinstance(methods, list) and "client_secret_basic" in methods,
    )
