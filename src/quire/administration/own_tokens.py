"""The tokens of the user that logs in to a server, which makes and revokes them without an administrator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from quire.administration.access_documents import (
    AccountTokens,
    Ended,
    IdsBody,
    NewToken,
    OwnTokenBody,
    TokenBody,
    TokenEntry,
)
from quire.administration.client import Client
from quire.domain.errors import InvalidRequest

_AT: Final = ("account", "tokens")
_MOST: Final = timedelta(days=366)


class OwnTokens:
    """The methods of `quire.administration.contract.Administration` for tokens, for those of the user."""

    def __init__(self, url: str, environ: Mapping[str, str]) -> None:
        """`url`: see `Client`. Raises ConfigurationError."""
        self._client = Client(url, environ)

    def tokens(self) -> list[TokenEntry]:
        return self._client.get(AccountTokens, *_AT).tokens

    def create_token(self, body: TokenBody) -> NewToken:
        """`body`: with `id` and `digest`. Raises InvalidRequest for one that does not expire within a year."""
        if body.expires_in is None or body.expires_in > _MOST.total_seconds():
            raise InvalidRequest(
                "A token that you make for yourself expires within a year; give --expires 365d or less."
            )
        own = OwnTokenBody(
            rights=body.rights,
            index=body.index,
            projects=body.projects,
            note=body.note,
            expires_in=body.expires_in,
            id=body.id,
            digest=body.digest,
        )
        return self._client.post(NewToken, own, *_AT)

    def revoke_tokens(self, ids: Sequence[str]) -> Ended:
        return self._client.post(Ended, IdsBody(ids=list(ids)), *_AT, "revoke")
