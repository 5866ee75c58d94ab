"""Changes of grants, groups and tokens: the one door for commands and requests, with the same checks and log lines."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from quire.access import changing
from quire.access.document import AccessDocument, Grant, Token, decides
from quire.access.grants import ANY, Permission
from quire.access.records import AccessRecords
from quire.access.tokens import new_identity
from quire.domain.errors import InvalidRequest
from quire.index.audit.entries import Origin

GRACE: Final = timedelta(hours=24)
"""For this long the old secret of a rotated token counts beside the new one, unless told otherwise."""

log = structlog.stdlib.get_logger(__name__)


def create_token(
    access: AccessRecords,
    permissions: Collection[str],
    index: str,
    projects: Collection[str],
    *,
    identity: str,
    digest: str,
    user: str | None,
    note: str | None,
    lifetime: timedelta | None,
    origin: Origin,
    rate: int | None = None,
    is_own: bool = False,
) -> tuple[Token, bool]:
    """Make a token of this id and digest (`TokenText`): the token, and whether it is new. `is_own`: whether its user
    makes it itself.

    Repeated, it changes nothing. Raises InvalidRequest, StoreError.
    """
    now = datetime.now(UTC)
    token = changing.make_token(
        digest,
        permissions,
        index,
        projects,
        user=user,
        note=note,
        lifetime=lifetime,
        now=now,
        by=origin.user,
        rate=rate,
    )
    details = {
        "token": identity,
        "for": user,
        "rights": list(token.permissions),
        "index": token.index,
        "projects": list(token.projects),
        "expires": token.expires,
        **({} if token.rate is None else {"rate": token.rate}),
    }
    add = changing.with_own_token if is_own else changing.with_token
    before, after = access.change(lambda document: add(document, identity, token, now), "token-create", details, origin)
    if before is not after:
        log.info("token created", token=identity, user=origin.user)
    return after.tokens[identity], before is not after


def revoke_tokens(access: AccessRecords, identities: Collection[str], origin: Origin) -> bool:
    """Revoke tokens, all of them or none: requests that arrive later are refused. Whether any counted until then.

    Raises NotFound, StoreError.
    """
    now = datetime.now(UTC)
    identities = list(dict.fromkeys(identities))  # the log says each once, however often a request does

    def revoke(document: AccessDocument) -> AccessDocument:
        for identity in identities:
            document = changing.with_revoked(document, identity, now)
        return document

    before, after = access.change(revoke, "token-revoke", {"tokens": identities}, origin)
    for identity in identities if before is not after else ():
        log.info("token revoked", token=identity, user=origin.user)
    return before is not after


def rotate_token(
    access: AccessRecords, identity: str, digest: str, grace: timedelta, origin: Origin
) -> tuple[Token, bool]:
    """Give a token a new secret, by its digest: the token, and whether it has not had it before.

    The old one counts for `grace` longer. Raises NotFound, InvalidRequest, StoreError.
    """
    now = datetime.now(UTC)
    before, after = access.change(
        lambda document: changing.with_rotated(document, identity, digest, grace, now),
        "token-rotate",
        {"token": identity},
        origin,
    )
    if before is not after:
        log.info("token rotated", token=identity, user=origin.user)
    return after.tokens[identity], before is not after


def give(
    access: AccessRecords,
    subject: str,
    permissions: Collection[str],
    index: str,
    projects: Collection[str],
    *,
    origin: Origin,
) -> tuple[str, Grant, bool]:
    """Give a right: the grant's id, the grant, and whether it is new.

    The first grant for people takes the decision from the settings, so it has to be one of admin, and is refused
    otherwise: see `begin`. Raises InvalidRequest, NotFound, StoreError.
    """
    grant = changing.make_grant(subject, permissions, index, projects, now=datetime.now(UTC), by=origin.user)
    identity = new_identity()

    def add(document: AccessDocument) -> AccessDocument:
        after = changing.with_grant(document, identity, grant)
        if changing.begins_to_decide(document, after):
            raise InvalidRequest(
                "This store has no grants yet, so its settings decide (-a, -P), and a first grant would take every "
                "other right away; run 'quire access init' first, which keeps what is allowed now."
            )
        return after

    before, after = access.change(add, "grant", {"grant": identity, **_described(grant)}, origin)
    if before is after:
        known = changing.same_grants(before, grant)[0]
        return known, before.grants[known], False
    log.info("right granted", subject=grant.subject, rights=",".join(grant.permissions), user=origin.user)
    return identity, grant, True


def take_back(access: AccessRecords, identities: Collection[str], origin: Origin) -> list[Grant]:
    """Take grants back, all of them or none; they give nothing to requests that arrive later.

    Raises NotFound, InvalidRequest, StoreError.
    """
    named = list(dict.fromkeys(identities))  # as in `revoke_tokens`
    before, _ = access.change(
        lambda document: changing.without_grants(document, identities),
        "revoke",
        lambda document: {"grants": [{"grant": each, **_described(document.grants[each])} for each in named]},
        origin,
    )
    taken = [before.grants[identity] for identity in identities]
    for grant in taken:
        log.info("right revoked", subject=grant.subject, rights=",".join(grant.permissions), user=origin.user)
    return taken


def set_group(access: AccessRecords, group: str, users: Collection[str], origin: Origin) -> bool:
    """Make a group of exactly these users, or remove it; whether that changed it. Raises InvalidRequest, StoreError."""
    before, after = access.change(
        lambda document: changing.with_group(document, group, users),
        "group",
        {"group": group, "users": [*users]},
        origin,
    )
    return before is not after


def begin(
    access: AccessRecords, admin: str, login_needed: Collection[str], origin: Origin
) -> tuple[list[Grant], list[str]]:
    """Give the store its first grants: what the settings allow now, and admin to `admin`.

    `login_needed`: the setting `authenticate`. Returns the grants, and sentences on what to look at.
    Raises InvalidRequest when there are grants already, StoreError.
    """
    reading = {"list", "download"} & set(login_needed)
    reader = "authenticated" if reading else "anonymous"
    writer = "authenticated" if "update" in login_needed else "anonymous"
    rights = [
        (f"user:{admin}", [Permission.ADMIN]),
        (reader, [Permission.READ]),
        (writer, [Permission.UPLOAD, Permission.MANAGE]),
    ]
    now = datetime.now(UTC)
    grants = [changing.make_grant(subject, words, ANY, [], now=now, by=origin.user) for subject, words in rights]

    def add(document: AccessDocument) -> AccessDocument:
        if decides(document):
            raise InvalidRequest("This store has grants already; 'quire grants' lists them.")
        for grant in grants:
            document = changing.with_grant(document, new_identity(), grant)
        return document

    access.change(add, "access-init", {"grants": [_described(grant) for grant in grants]}, origin)
    log.info("grants decide from now on", admin=admin, user=origin.user)
    notes = []
    if reading and len(reading) < 2:
        (other,) = {"list", "download"} - reading
        notes.append(f"To {other} needed no login; list and download are one right now, and need one.")
    writers = "every user" if writer == "authenticated" else "every client, without a login,"
    notes.append(f"Still, {writers} may upload to, change and delete every project; give that to those that need it.")
    return grants, notes


def _described(grant: Grant) -> dict[str, object]:
    return {
        "subject": grant.subject,
        "rights": list(grant.permissions),
        "index": grant.index,
        "projects": list(grant.projects),
    }
