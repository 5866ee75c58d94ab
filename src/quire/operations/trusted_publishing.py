"""Changes of trusted publishers, and the exchange of their jobs' tokens: the one door for commands and requests."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

from quire.access import minting
from quire.access.ci_identities import CiIdentity
from quire.access.document import AccessDocument
from quire.access.grants import parse_index, parse_projects
from quire.access.minting import MintRefused
from quire.access.records import AccessRecords
from quire.access.tokens import TokenText, new_identity, new_token
from quire.domain.times import moment, stamp
from quire.index.audit.entries import Origin
from quire.publishing.platforms import Claims, Platform, text_of
from quire.publishing.publishers import MAX_SETTING, Publisher, facts, make_publisher

if TYPE_CHECKING:
    from quire.identity.tokens import VerifiedToken

MOST_CLAIMS: Final = 60
"""Claims of a job that are kept beside its token."""
MOST_TEXT: Final = 4000
"""Characters of all of them, with their names: so as many tokens as may be valid at once fit the document."""
_NOT_KEPT: Final = {"iss", "aud", "exp", "iat", "nbf", "jti"}

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Minted:
    """A token that was minted; its text is nowhere else."""

    text: TokenText
    expires: int
    """Seconds since 1970."""


def add_publisher(
    access: AccessRecords,
    platform: str,
    settings: Mapping[str, str],
    claims: Mapping[str, str],
    *,
    issuer: str | None,
    index: str,
    projects: Collection[str],
    origin: Origin,
) -> tuple[str, AccessDocument, bool]:
    """Add a publisher of these words: its id, the document with it, and whether it is new.

    The same one once more changes nothing. Raises InvalidRequest, StoreError.
    """
    publisher = make_publisher(
        platform,
        settings,
        claims,
        issuer=issuer,
        index=parse_index(index),
        projects=parse_projects(projects),
        created=stamp(datetime.now(UTC)),
        by=origin.user,
    )
    identity = new_identity()
    before, after = access.change(
        lambda document: minting.with_publisher(document, identity, publisher),
        "publisher-add",
        {"publisher": identity, **described(publisher)},
        origin,
    )
    if before is after:
        return minting.same_publisher(after, publisher) or identity, after, False
    log.info("publisher added", publisher=identity, name=publisher.name, user=origin.user)
    return identity, after, True


def remove_publishers(access: AccessRecords, identities: Collection[str], origin: Origin) -> None:
    """Remove publishers, all of them or none; their tokens are refused from the next request on.

    Raises NotFound, StoreError.
    """
    access.change(
        lambda document: minting.without_publishers(document, identities),
        "publisher-remove",
        {"publishers": list(identities)},
        origin,
    )
    for identity in identities:
        log.info("publisher removed", publisher=identity, user=origin.user)


def set_audience(access: AccessRecords, audience: str, origin: Origin) -> bool:
    """Set the audience that tokens of jobs must have; whether that changed it. Raises InvalidRequest, StoreError."""
    before, after = access.change(
        lambda document: minting.with_audience(document, audience), "audience", {"audience": audience}, origin
    )
    return before is not after


def mint(access: AccessRecords, document: AccessDocument, proven: VerifiedToken, origin: Origin) -> Minted:
    """Exchange a proven token of a CI job for one that may upload what its publishers say.

    `document`: as it was a moment ago; the change decides by the one that it replaces.
    Raises MintRefused, StoreError.
    """
    publishers, reasons = minting.matching(document, proven.claims)
    if not publishers:
        log.info("no publisher matches", issuer=text_of(proven.claims.get("iss")), reasons=reasons)
        raise MintRefused("invalid-publisher", minting.NO_PUBLISHER)
    identity, publisher = next(iter(publishers.items()))
    kind = publisher.kind
    assert kind is not None, "it has matched"
    job = CiIdentity(id=identity, kind=kind.title, issuer=publisher.issuer, claims=_kept(kind, proven.claims))
    text, now = new_token(new_identity()), datetime.now(UTC)
    details = {"token": text.identity, "publishers": list(publishers), "job": facts(kind.title, job.claims)}
    _, after = access.change(
        lambda current: minting.with_minted(current, proven, text, job, now),
        "token-mint",
        details,
        replace(origin, user=f"publisher:{identity}"),
    )
    log.info("token minted", token=text.identity, publisher=identity, **facts(kind.title, job.claims))
    expires = after.tokens[text.identity].expires
    assert expires is not None, "minted tokens expire"
    return Minted(text, int(moment(expires).timestamp()))


def _kept(kind: Platform, claims: Claims) -> dict[str, str]:
    """The claims that are kept: first those by which jobs are told apart and that logs name, then others that fit."""
    first, kept, room = {*kind.ids, *kind.facts.values()}, dict[str, str](), MOST_TEXT
    for name in sorted(claims.keys() - _NOT_KEPT, key=lambda each: (each not in first, each)):
        text = text_of(claims[name])
        if text and len(text) <= MAX_SETTING and len(name) + len(text) <= room and len(kept) < MOST_CLAIMS:
            kept[name], room = text, room - len(name) - len(text)
    return kept


def burn(access: AccessRecords, text: TokenText, origin: Origin) -> None:
    """End a minted token before its time; anything else is left as it is. Raises StoreError."""
    now = datetime.now(UTC)
    before, after = access.change(
        lambda document: minting.with_burned(document, text, now), "token-burn", {"token": text.identity}, origin
    )
    if before is not after:
        log.info("token burned", token=text.identity)


def described(publisher: Publisher) -> dict[str, object]:
    """A publisher as logs and lists have it."""
    return {
        "platform": publisher.platform,
        "issuer": publisher.issuer,
        "settings": publisher.settings,
        "claims": publisher.claims,
        "index": publisher.index,
        "projects": list(publisher.projects),
    }
