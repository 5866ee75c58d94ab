"""Documents of grants, groups and tokens, the same for servers and commands."""

from __future__ import annotations

from datetime import datetime

from quire.access.changing import explain
from quire.access.decisions import AccessState
from quire.access.document import Grant, Token
from quire.access.grants import SubjectKind, parse_subject
from quire.access.principals import ANONYMOUS, Principal
from quire.administration.documents import Explanation, GrantEntry, GrantList, State, TokenEntry
from quire.domain.errors import InvalidRequest


def token_entry(identity: str, token: Token, now: datetime) -> TokenEntry:
    """A token without its secret."""
    return TokenEntry(
        id=identity,
        rights=list(token.permissions),
        index=token.index,
        projects=list(token.projects),
        user=token.user,
        note=token.note,
        created=token.created,
        by=token.by,
        expires=token.expires,
        revoked=token.revoked,
        state=_state(token, now),
    )


def grant_entry(identity: str, grant: Grant) -> GrantEntry:
    """A grant."""
    return GrantEntry(
        id=identity,
        subject=grant.subject,
        rights=list(grant.permissions),
        index=grant.index,
        projects=list(grant.projects),
        created=grant.created,
        by=grant.by,
    )


def grant_list(state: AccessState) -> GrantList:
    """All grants and groups."""
    document = state.document
    return GrantList(
        decide=state.decides,
        grants=[grant_entry(identity, grant) for identity, grant in document.grants.items()],
        groups={group: list(users) for group, users in document.groups.items()},
    )


def explanation(state: AccessState, subject: str, index: str, project: str | None) -> Explanation:
    """The rights of a user (also without `user:`), a token or an anonymous sender. Raises InvalidRequest."""
    given = explain(state, _principal(subject, state), index, project)
    return Explanation(
        subject=subject,
        index=index,
        project=project,
        rights={str(each): is_given for each, is_given in given.items()},
        decide=state.decides,
    )


def _principal(text: str, state: AccessState) -> Principal:
    subject = parse_subject(text if ":" in text or text in set(SubjectKind) else f"{SubjectKind.USER}:{text}")
    if subject.kind is SubjectKind.USER:
        return Principal(subject.name)
    if subject.kind is SubjectKind.TOKEN:
        token = state.document.tokens.get(subject.name)
        return Principal(token.user if token is not None else None, token=subject.name)
    if subject.kind is SubjectKind.ANONYMOUS:
        return ANONYMOUS
    raise InvalidRequest("Rights are explained for a user, a token or anonymous.")


def _state(token: Token, now: datetime) -> State:
    if token.revoked is not None:
        return "revoked"
    return "expired" if token.has_expired(now) else "valid"
