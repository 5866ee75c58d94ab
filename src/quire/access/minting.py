"""The changes of trusted publishers and of the tokens that are minted for their jobs, as pure functions of a document.

A token of a CI job is exchanged once: its digest, the memory of the publisher's ids, and the token that it is exchanged
for are written by one swap of the document. So either all of it has happened or nothing, and of two servers that are
sent the same token at once one finds the other's.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from quire.access.ci_identities import CiIdentity
from quire.access.document import AccessDocument, Token, with_fields
from quire.access.grants import ANY
from quire.access.tokens import TokenText
from quire.domain.errors import InvalidRequest, NotFound, QuireError
from quire.domain.times import moment, stamp
from quire.publishing.publishers import Publisher, mismatch, remember

if TYPE_CHECKING:
    from quire.identity.tokens import VerifiedToken

LIFETIME: Final = timedelta(minutes=15)
"""Of a minted token. PEP 807 allows no less, and PyPI gives no more."""
MOST_LIVE: Final = 2000
"""Minted tokens that are valid at one time, of all publishers."""
MOST_OF_ONE: Final = 100
"""The same, of one publisher: one that goes wild leaves room for the others. Those that it has ended itself count."""
MOST_USED: Final = 20_000
MOST_PUBLISHERS: Final = 5000
_AUDIENCE_LETTERS: Final = string.ascii_letters + string.digits + "._:/-"
_SHOWN: Final = 200


_SKEW: Final = timedelta(minutes=10)
"""A token of a job is remembered for so long after its end, for workers whose clocks are behind."""


class MintRefused(QuireError):
    """A proven token that is not exchanged. `code`: the word for it, as PyPI has it."""

    def __init__(self, code: str, sentence: str, status: int = 422) -> None:
        super().__init__(sentence)
        self.code = code
        self.status = status


def with_publisher(document: AccessDocument, identity: str, publisher: Publisher) -> AccessDocument:
    """With one more publisher; the very document when it has the same already. The first one brings an audience."""
    if same_publisher(document, publisher) is not None:
        return document
    if len(document.publishers) >= MOST_PUBLISHERS:
        raise InvalidRequest(f"There are {MOST_PUBLISHERS} publishers; remove some that are of no use any more.")
    publishers = {**document.publishers, identity: publisher}
    return with_fields(document, publishers=publishers, audience=document.audience or new_audience())


def same_publisher(document: AccessDocument, publisher: Publisher) -> str | None:
    """The id of the publisher that is the same, for the same projects."""

    def meaning(each: Publisher) -> tuple[object, ...]:
        return each.platform, each.issuer, each.settings, each.claims, each.index, each.projects

    return next((key for key, each in document.publishers.items() if meaning(each) == meaning(publisher)), None)


def without_publishers(document: AccessDocument, identities: Collection[str]) -> AccessDocument:
    """Without some publishers, and without the tokens that have their rights of these alone. Raises NotFound."""
    for identity in identities:
        if identity not in document.publishers:
            raise NotFound(f"There is no publisher {identity[:_SHOWN]!r}; 'quire publisher list' lists them.")
    publishers = {key: publisher for key, publisher in document.publishers.items() if key not in identities}
    tokens = {
        key: token
        for key, token in document.tokens.items()
        if not token.publishers or any(each in publishers for each in token.publishers)
    }
    return with_fields(document, publishers=publishers, tokens=tokens)


def new_audience() -> str:
    """An audience that no other store has: a token that a job made for another index is worth nothing here."""
    return f"quire-{''.join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(12))}"


def with_audience(document: AccessDocument, audience: str) -> AccessDocument:
    """With another audience; the very document when it is the same. Raises InvalidRequest."""
    if not 3 <= len(audience) <= _SHOWN or not set(audience) <= set(_AUDIENCE_LETTERS):
        raise InvalidRequest("An audience has 3 to 200 letters, digits and signs of '._:/-', such as a host name.")
    return document if document.audience == audience else with_fields(document, audience=audience)


def matching(document: AccessDocument, claims: Mapping[str, Any]) -> tuple[dict[str, Publisher], dict[str, str]]:
    """The publishers that claims are of, by id; and why they are of none of the others of the same issuer."""
    found, reasons = {}, {}
    for identity, publisher in document.publishers.items():
        if publisher.issuer == claims.get("iss"):
            reason = mismatch(publisher, claims)
            if reason is None:
                found[identity] = publisher
            else:
                reasons[identity] = reason
    return found, reasons


def with_minted(
    document: AccessDocument, proven: VerifiedToken, text: TokenText, identity: CiIdentity, now: datetime
) -> AccessDocument:
    """With a token of LIFETIME for the job, and with its own noted as used; what has ended is left out.

    Raises MintRefused.
    """
    if proven.expires <= now.timestamp():  # it was valid when it was verified: this write is late, or tried again
        raise MintRefused("invalid-token", "The token has expired; ask the CI for a new one.")
    publishers, _ = matching(document, proven.claims)
    if not publishers:
        raise MintRefused("invalid-publisher", NO_PUBLISHER)
    used = {digest: until for digest, until in document.used.items() if moment(until) > now}
    if proven.identity in used:
        raise MintRefused("invalid-reuse-token", "The token was exchanged before; each is good for one exchange.")
    tokens = {
        key: token for key, token in document.tokens.items() if not token.publishers or not token.has_expired(now)
    }
    live = [token for token in tokens.values() if token.publishers]
    of_these = max(sum(key in token.publishers for token in live) for key in publishers)
    if of_these >= MOST_OF_ONE or len(live) >= MOST_LIVE or len(used) >= MOST_USED:
        raise MintRefused("too-many-tokens", "Too many tokens were minted in the last minutes; try again later.", 429)
    expires = _rounded_up(now + LIFETIME)
    token = Token(
        digest=text.digest,
        permissions=(),  # its rights are those of its publishers
        index=ANY,
        created=_rounded_up(now),
        expires=expires,
        publisher=identity,
        publishers=tuple(publishers),
    )
    return with_fields(
        document,
        tokens={**tokens, text.identity: token},
        used={**used, proven.identity: _rounded_up(datetime.fromtimestamp(proven.expires, UTC) + _SKEW)},
        publishers={
            **document.publishers,
            **{key: remember(publisher, proven.claims) for key, publisher in publishers.items()},
        },
    )


NO_PUBLISHER: Final = (
    "The token is valid, but of no publisher of this index; compare its claims with 'quire publisher list'."
)


def with_burned(document: AccessDocument, text: TokenText, now: datetime) -> AccessDocument:
    """With a minted token ended; the very document when this is none, has ended, or its secret is wrong.

    It stays in the document until its time is over: it counts as one of its publisher's (MOST_OF_ONE), and the token
    that it was exchanged for is remembered for no shorter time.
    """
    token = document.tokens.get(text.identity)
    if token is None or not token.publishers or not secrets.compare_digest(token.digest, text.digest):
        return document
    if token.revoked is not None:
        return document
    ended = msgspec.structs.replace(token, revoked=stamp(now.astimezone(UTC)))
    return with_fields(document, tokens={**document.tokens, text.identity: ended})


def _rounded_up(when: datetime) -> str:
    """A time in whole seconds, rounded up: a token is valid for no less than its time."""
    whole = when.replace(microsecond=0) + timedelta(seconds=bool(when.microsecond))
    return stamp(whole.astimezone(UTC))
