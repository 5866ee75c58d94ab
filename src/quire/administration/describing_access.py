"""Documents of grants, groups and tokens, the same for servers and commands."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from quire.access.changing import explain, principal_of, reasons
from quire.access.decisions import AccessState
from quire.access.document import Grant, Token
from quire.administration.access_documents import Explanation, GrantEntry, GrantList, TokenEntry
from quire.administration.documents import State


def token_entry(identity: str, token: Token, now: datetime, last_used: str | None = None) -> TokenEntry:
    """A token without its secret. `last_used`: see `quire.access.uses`."""
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
        last_used=last_used,
        rate=token.rate,
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


def explanation(
    state: AccessState, subject: str, index: str, project: str | None, owners: Collection[str] = ()
) -> Explanation:
    """The rights of a user (also without `user:`), a token or an anonymous sender. `owners`: of the project.

    Raises InvalidRequest, NotFound.
    """
    principal = principal_of(subject, state)
    given = explain(state, principal, index, project, now=datetime.now(UTC), owners=owners)
    return Explanation(
        subject=subject,
        index=index,
        project=project,
        rights={str(each): is_given for each, is_given in given.items()},
        decide=state.decides,
        by={
            str(each): reasons(state, principal, each, index, project, owners=owners)
            for each, is_given in given.items()
            if is_given
        },
    )


def _state(token: Token, now: datetime) -> State:
    if token.revoked is not None:
        return "revoked"
    return "expired" if token.has_expired(now) else "valid"
