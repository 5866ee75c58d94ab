"""The changes of grants, groups and tokens, as pure functions from document to document."""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from quire.access.decisions import AccessState
from quire.access.document import (
    AccessDocument,
    Grant,
    Previous,
    Token,
    decides,
    scope_of,
    subject_of,
    token_bytes,
    with_fields,
)
from quire.access.grants import (
    ANY,
    Permission,
    Subject,
    SubjectKind,
    check_name,
    parse_index,
    parse_projects,
    parse_subject,
)
from quire.access.principals import Principal
from quire.domain.errors import InvalidRequest, NotFound
from quire.domain.times import moment, stamp

REVOKED_KEPT: Final = timedelta(days=90)
"""For this long a token that was revoked, or has expired, stays listed."""
MOST_OF_USER: Final = 50
"""Tokens that count, which a user has when it makes one itself."""
MOST_PATTERNS_OF_OWN: Final = 4000
"""Characters of the names and patterns of projects of a token that a user makes itself: the log has them, too."""
MAX_BYTES_OF_USER: Final = 64 * 1024
"""Of the tokens that a user has made itself, those that ended included: each user has so small a part of the record."""
_MOST_TEXT: Final = 200
_ENDED_LONG_AGO: Final = "1970-01-01T00:00:00Z"
"""For no clock of any worker is it still to come."""
_ORDER: Final = tuple(Permission)


def make_grant(
    subject: str, permissions: Collection[str], index: str, projects: Collection[str], *, now: datetime, by: str | None
) -> Grant:
    """A grant of these words, checked. Raises InvalidRequest."""
    given, patterns = parse_permissions(permissions), parse_projects(projects)
    whole = [each for each in given if each in {Permission.READ, Permission.ADMIN}]
    if whole and patterns != (ANY,):
        raise InvalidRequest(
            f"The right {whole[0]} is for a whole index; give it in a grant of its own, without projects."
        )
    receiver = parse_subject(subject)
    if receiver.kind is SubjectKind.ANONYMOUS and Permission.ADMIN in given:
        raise InvalidRequest("The right admin is not given without a login; name a user or a group.")
    return Grant(
        subject=str(receiver),
        permissions=tuple(given),
        index=parse_index(index),
        projects=patterns,
        created=stamp(now),
        by=by,
    )


def parse_permissions(words: Collection[str]) -> list[Permission]:
    """In their usual order. Raises InvalidRequest."""
    known = {each.value for each in Permission}
    for word in words:
        if word not in known:
            raise InvalidRequest(f"{word[:_MOST_TEXT]!r} is no right; use {', '.join(_ORDER[:-1])} or {_ORDER[-1]}.")
    if not words:
        raise InvalidRequest(f"No right was named; use {', '.join(_ORDER[:-1])} or {_ORDER[-1]}.")
    return [each for each in _ORDER if each.value in words]


def with_grant(document: AccessDocument, identity: str, grant: Grant) -> AccessDocument:
    """With one more grant; the very document when it has the same already."""
    if same_grants(document, grant):
        return document
    subject = subject_of(grant)
    if subject is not None and subject.kind is SubjectKind.TOKEN and subject.name not in document.tokens:
        raise NotFound(f"There is no token {subject.name[:_MOST_TEXT]!r}.")
    return with_fields(document, grants={**document.grants, identity: grant})


def same_grants(document: AccessDocument, grant: Grant) -> list[str]:
    """The ids of the grants that give the same to the same."""
    wanted = meaning(grant)
    return [identity for identity, each in document.grants.items() if meaning(each) == wanted]


def begins_to_decide(before: AccessDocument, after: AccessDocument) -> bool:
    """Whether a change takes the decision from the settings."""
    return decides(after) and not decides(before)


def without_grants(document: AccessDocument, identities: Collection[str]) -> AccessDocument:
    """Without some grants. Raises NotFound, and InvalidRequest when the last right to change grants would go."""
    for identity in identities:
        if identity not in document.grants:
            raise NotFound(f"There is no grant {identity[:_MOST_TEXT]!r}; 'quire grants' lists them.")
    kept = {identity: grant for identity, grant in document.grants.items() if identity not in identities}
    after = with_fields(document, grants=kept)
    return _with_an_admin(document, after)


def _with_an_admin(before: AccessDocument, after: AccessDocument) -> AccessDocument:
    """The document after a change. Raises InvalidRequest when the change takes the last right admin away."""
    if has_admin(before) and not has_admin(after):
        raise InvalidRequest("This would take the last right admin away; give it to another user first.")
    return after


def has_admin(document: AccessDocument) -> bool:
    """Whether a principal has `admin` on every index by a grant: of one index it does not change grants."""
    return any(
        Permission.ADMIN in grant.permissions
        and grant.index == ANY
        and (subject := subject_of(grant)) is not None
        and _can_be(subject, document)
        for grant in document.grants.values()
    )


def with_group(document: AccessDocument, group: str, users: Collection[str]) -> AccessDocument:
    """With a group of exactly these users; without it when there are none."""
    check_name(SubjectKind.GROUP, group)
    for user in users:
        check_name(SubjectKind.USER, user)
    groups = {name: members for name, members in document.groups.items() if name != group}
    if users:
        groups[group] = tuple(dict.fromkeys(users))
    if groups == document.groups:
        return document
    return _with_an_admin(document, with_fields(document, groups=groups))


def make_token(
    digest: str,
    permissions: Collection[str],
    index: str,
    projects: Collection[str],
    *,
    user: str | None,
    note: str | None,
    lifetime: timedelta | None,
    now: datetime,
    by: str | None,
    rate: int | None = None,
) -> Token:
    """A token of these words, checked. `digest`: as TokenText has it. `lifetime`: None for one that does not expire.
    `rate`: see `Token`.

    Raises InvalidRequest.
    """
    if user is not None:
        check_name(SubjectKind.USER, user)
    given, patterns = parse_permissions(permissions), parse_projects(projects)
    if patterns != (ANY,) and given == [Permission.READ]:
        raise InvalidRequest("The right read is for a whole index; leave the projects out.")
    if Permission.ADMIN in given and patterns != (ANY,):
        raise InvalidRequest("The right admin is for a whole index; leave the projects out.")
    if note is not None and (len(note) > _MOST_TEXT or not note.isprintable()):
        raise InvalidRequest(f"A note is one line of at most {_MOST_TEXT} characters.")
    if lifetime is not None and lifetime <= timedelta():
        raise InvalidRequest("A token has to be valid for some time.")
    return Token(
        digest=digest,
        permissions=tuple(given),
        index=parse_index(index),
        projects=patterns,
        user=user,
        note=note,
        created=stamp(now),
        by=by,
        expires=None if lifetime is None else _end(now, lifetime),
        rate=rate,
    )


def with_token(document: AccessDocument, identity: str, token: Token, now: datetime) -> AccessDocument:
    """With one more token, and without those that ended long ago; the very document when it has the same digest under
    this id already. Raises InvalidRequest when the id is another token's.
    """
    known = document.tokens.get(identity)
    if known is not None and hmac.compare_digest(known.digest, token.digest):
        return document
    if known is not None:
        raise InvalidRequest(f"The id {identity} is another token's; make a new one.")
    return with_fields(document, tokens={**_recent(document.tokens, now), identity: token})


def with_own_token(document: AccessDocument, identity: str, token: Token, now: datetime) -> AccessDocument:
    """As `with_token`, for one that its user makes itself: bounded, so that no user fills the record. Where there is no
    room, those that it has made itself and that have ended are left out, the oldest ones first. Raises InvalidRequest.
    """
    if identity in document.tokens:
        return with_token(document, identity, token, now)
    if identity in _with_rights(document):  # of a token that was dropped: ids are no secrets, and clients choose them
        raise InvalidRequest(f"The id {identity} is another token's; make a new one.")
    live = sum(each.user == token.user and each.counts(now) for each in document.tokens.values())
    if live >= MOST_OF_USER:
        raise InvalidRequest(f"The user has {live} tokens that count; revoke some that are of no use any more.")
    if sum(map(len, token.projects)) > MOST_PATTERNS_OF_OWN:
        raise InvalidRequest(
            f"A token that you make for yourself names projects in at most {MOST_PATTERNS_OF_OWN:,} characters; name "
            "fewer of them, or use a pattern such as 'acme-*'."
        )
    return with_token(_with_room_for(document, token, now), identity, token, now)


def _with_room_for(document: AccessDocument, token: Token, now: datetime) -> AccessDocument:
    """Without as many of the tokens that its user has made and that have ended as `token` needs. Those that a right was
    given to stay: another token of the same id would have it. Raises InvalidRequest."""
    made = {
        identity: each
        for identity, each in document.tokens.items()
        if each.user == token.user and each.by == token.by and not each.publishers
    }
    missing = token_bytes(token) + sum(map(token_bytes, made.values())) - MAX_BYTES_OF_USER
    granted, dropped = _with_rights(document), set()
    for identity, each in made.items():
        if missing > 0 and not each.counts(now) and identity not in granted:
            dropped.add(identity)
            missing -= token_bytes(each)
    if missing > 0:
        raise InvalidRequest(
            f"Your tokens together have at most {MAX_BYTES_OF_USER >> 10} KiB in the store; revoke some that are of no "
            "use any more, or name fewer projects."
        )
    kept = {identity: each for identity, each in document.tokens.items() if identity not in dropped}
    return with_fields(document, tokens=kept) if dropped else document


def _with_rights(document: AccessDocument) -> set[str]:
    """The ids of the tokens that have grants or namespaces themselves."""
    granted = (grant.subject for grant in document.grants.values())
    owners = (each for index in document.indexes.values() for space in index.namespaces for each in space.owners)
    prefix = f"{SubjectKind.TOKEN}:"
    return {each.removeprefix(prefix) for each in (*granted, *owners) if each.startswith(prefix)}


def with_revoked(document: AccessDocument, identity: str, now: datetime) -> AccessDocument:
    """With a token revoked, at once and for good; the very document when it is already. Raises NotFound."""
    token = find(document, identity)
    if token.revoked is not None:
        return document
    revoked = msgspec.structs.replace(token, revoked=stamp(now))
    return _with_an_admin(document, with_fields(document, tokens={**document.tokens, identity: revoked}))


def with_rotated(
    document: AccessDocument, identity: str, digest: str, grace: timedelta, now: datetime
) -> AccessDocument:
    """With a new secret for a token; the very document when it has that already. The old one counts for `grace` longer,
    one before that no more.

    Its time of expiry stays. Raises NotFound, InvalidRequest.
    """
    token = find(document, identity)
    if token.revoked is not None or token.has_expired(now):
        raise InvalidRequest(f"The token {identity} has ended; make a new one.")
    if hmac.compare_digest(token.digest, digest):
        return document
    until = _end(now, grace) if grace > timedelta() else _ENDED_LONG_AGO
    previous = Previous(digest=token.digest, until=until)  # also one that has ended: its holder is told
    rotated = msgspec.structs.replace(token, digest=digest, previous=previous)
    return with_fields(document, tokens={**document.tokens, identity: rotated})


def find(document: AccessDocument, identity: str) -> Token:
    """The token with this id. Raises NotFound."""
    token = document.tokens.get(identity)
    if token is None:
        raise NotFound(f"There is no token {identity[:_MOST_TEXT]!r}; 'quire token list' lists them.")
    return token


def _end(now: datetime, after: timedelta) -> str:
    try:
        return stamp(now + after)
    except OverflowError:
        raise InvalidRequest("The time is too long; leave it out for a token that does not expire.") from None


def explain(
    state: AccessState,
    principal: Principal,
    index: str,
    project: str | None,
    *,
    now: datetime,
    owners: Collection[str] = (),
) -> Mapping[Permission, bool]:
    """Which permissions grants and ownership give, in their usual order. A token that has expired has none; to read
    takes the same on every index behind."""
    token = state.document.tokens.get(principal.token or "")
    counts = token is None or not token.has_expired(now)
    given = {each: counts and state.permits(principal, each, index, project, owners) for each in _ORDER}
    behind = state.behind(index)
    given[Permission.READ] &= all(state.permits(principal, Permission.READ, each, project) for each in behind)
    return given


def reasons(
    state: AccessState,
    principal: Principal,
    permission: Permission,
    index: str,
    project: str | None,
    *,
    owners: Collection[str] = (),
) -> list[str]:
    """The ids of the grants that give a permission, and the owner that has it. Of a right that the principal has; one
    that a token has by itself has none."""
    is_user = principal.username is not None
    mine = {*state.may_own(principal), "anonymous", *(["authenticated"] if is_user else [])}
    giving = {
        identity: scope_of(grant)
        for identity, grant in state.document.grants.items()
        if grant.subject in mine and scope_of(grant).covers(permission, index, project)
    }
    if project is None or not state.is_owned(permission, index, owners):
        return list(giving)
    manages = any(
        scope_of(grant).projects == (ANY,) and scope_of(grant).covers(Permission.MANAGE, index, project)
        for grant in state.document.grants.values()
        if grant.subject in mine
    )
    named = [identity for identity, scope in giving.items() if manages or scope.projects != (ANY,)]
    return [*named, *(f"owner {each}" for each in owners if each in mine)]


def principal_of(text: str, state: AccessState) -> Principal:
    """The principal that a text names: a subject, a token's id, or the name of a user. Raises InvalidRequest."""
    if text in state.document.tokens:
        text = f"{SubjectKind.TOKEN}:{text}"
    subject = parse_subject(text if ":" in text or text in set(SubjectKind) else f"{SubjectKind.USER}:{text}")
    if subject.kind is SubjectKind.USER:
        return Principal(subject.name)
    if subject.kind is SubjectKind.TOKEN:
        return Principal(find(state.document, subject.name).user, token=subject.name)
    if subject.kind is SubjectKind.ANONYMOUS:
        return Principal()
    raise InvalidRequest("Rights are explained for a user, a token or anonymous.")


def _recent(tokens: Mapping[str, Token], now: datetime) -> dict[str, Token]:
    def is_recent(token: Token) -> bool:
        if token.publishers and token.has_expired(now):
            return False
        ends = [text for text in (token.revoked, token.expires) if text is not None]
        return all(moment(text) + REVOKED_KEPT > now for text in ends)

    return {identity: token for identity, token in tokens.items() if is_recent(token)}


def _can_be(subject: Subject, document: AccessDocument) -> bool:
    """Whether there is such a principal that stays, as far as the document tells."""
    if subject.kind is SubjectKind.GROUP:
        return bool(document.groups.get(subject.name))
    if subject.kind is SubjectKind.TOKEN:
        token = document.tokens.get(subject.name)
        return token is not None and token.revoked is None and token.expires is None
    return subject.kind is not SubjectKind.PUBLISHER  # no person, and removed without a question


def meaning(grant: Grant) -> tuple[object, ...]:
    """Its subject, rights, index and projects: two grants with the same ones are the same."""
    return grant.subject, grant.permissions, grant.index, grant.projects
