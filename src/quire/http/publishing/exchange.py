"""The exchange of a CI job's token for one that may upload; everything that a worker keeps for it.

Only the issuers of configured publishers are ever asked for keys, and an address that sends bad tokens has to wait, as
one that guesses passwords has.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import structlog

from quire.access.decisions import AccessState, TokenFault
from quire.access.login_limits import Limits, Throttle, attempt_at
from quire.access.minting import MintRefused
from quire.access.records import AccessRecords
from quire.access.settings_alone import SettingsState
from quire.access.tokens import parse_token as parse_own_token
from quire.identity.fetching import IdentityUnavailable
from quire.identity.keys import IssuerKeys
from quire.identity.tokens import BadToken, VerifiedToken, is_available, parse_token, verify_token
from quire.index.audit.entries import Origin
from quire.operations import trusted_publishing
from quire.operations.trusted_publishing import Minted

LIMITS: Final = Limits(failures=20, address_failures=20, network_failures=200)
"""Of tokens that were refused, within a minute."""
UNKNOWN_ISSUER: Final = (
    "The token is of an issuer that no publisher of this index has; 'quire publisher add' makes a publisher."
)

log = structlog.stdlib.get_logger(__name__)


class InWriter(Protocol):
    """`Worker.in_writer`."""

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Awaitable[Any]: ...


class TokenExchange:
    """Of one worker."""

    def __init__(
        self,
        access: AccessRecords,
        state: Callable[[], Awaitable[AccessState]],
        in_writer: InWriter,
        *,
        read_only: bool,
    ) -> None:
        """`state`: the grants, tokens and publishers now. `in_writer`: runs blocking work that writes."""
        self._access = access
        self._state = state
        self._in_writer = in_writer
        self._read_only = read_only
        self._keys = IssuerKeys()
        self._throttle = Throttle(LIMITS)

    async def audience(self) -> str:
        """The audience that tokens of jobs must have. Raises MintRefused 403, 404, StoreError."""
        state = await self._state()
        if isinstance(state, SettingsState):
            raise MintRefused("not-enabled", str(TokenFault.NOT_TAKEN), 403)
        if not state.document.publishers or state.document.audience is None:
            raise MintRefused(
                "not-enabled", "This index has no trusted publishers; 'quire publisher add' makes one.", 404
            )
        if self._read_only:
            raise MintRefused("not-enabled", "This index is served read-only; publish to the one that is not.", 403)
        if not is_available():
            log.error("tokens of CI jobs cannot be verified", needs="quire-index[oidc]")
            raise MintRefused("not-enabled", "This server cannot verify tokens; it lacks quire-index[oidc].", 403)
        return state.document.audience

    async def mint(self, text: str, address: str, origin: Origin) -> Minted:
        """A token for the job whose token this is. `address`: the client's.

        Raises MintRefused, StoreError.
        """
        audience = await self.audience()
        attempt = attempt_at(address)
        if (wait := self._throttle.wait(attempt)) is not None:
            raise MintRefused("too-many-requests", f"Too many bad tokens; try again in {wait[0]} seconds.", 429)
        try:
            proven = await self._prove(text, audience)
            document = (await self._state()).document
            minted: Minted = await self._in_writer(trusted_publishing.mint, self._access, document, proven, origin)
        except MintRefused as error:
            # Not before the work, as for passwords: a token cannot be guessed, and all jobs of a build that publishes
            # many projects come from one address at once. Where the issuer is in trouble, the token may be good.
            if error.status == 422:
                self._throttle.take(attempt)
            raise
        return minted

    async def burn(self, text: str, address: str, origin: Origin) -> None:
        """End a minted token. Whether it was one is not said. Raises MintRefused 429, StoreError."""
        attempt = attempt_at(address)
        if (wait := self._throttle.wait(attempt)) is not None:
            raise MintRefused("too-many-requests", f"Too many bad tokens; try again in {wait[0]} seconds.", 429)
        token = parse_own_token(text)
        found = None
        if token is not None:
            found = (await self._state()).find_token(token.identity, token.digest, datetime.now(UTC))
        if token is None or found is None or isinstance(found, TokenFault) or not found.publishers:
            self._throttle.take(attempt)
        elif not self._read_only:
            await self._in_writer(trusted_publishing.burn, self._access, token, origin)

    async def _prove(self, text: str, audience: str) -> VerifiedToken:
        """The proven claims of a token. Raises MintRefused."""
        try:
            token = parse_token(text)
        except BadToken as error:
            raise MintRefused("invalid-payload", str(error)) from error
        document = (await self._state()).document
        if not any(publisher.issuer == token.issuer for publisher in document.publishers.values()):
            raise MintRefused("invalid-payload", UNKNOWN_ISSUER)
        try:
            return await verify_token(token, self._keys, audience)
        except BadToken as error:
            raise MintRefused("invalid-token", str(error)) from error
        except IdentityUnavailable as error:
            log.warning("token not verified", issuer=token.issuer, error=str(error))
            raise MintRefused(
                "issuer-unavailable", f"The keys of {token.issuer} cannot be read now; try again in a minute.", 503
            ) from error
