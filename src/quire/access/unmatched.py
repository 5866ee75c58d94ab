"""Grants that give nothing: to a subject that is not there, on an index that is not there, or by another grant already.

They do no harm by themselves. But a user that gets a name later gets its grants as well, and a grant of which an
administrator believes that it works is a fault.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime

from quire.access.document import AccessDocument, Grant, scope_of, subject_of
from quire.access.grants import ANONYMOUS, ANY, AUTHENTICATED, Permission, Scope, Subject, SubjectKind
from quire.domain.reserved import Reserved


def unmatched_grants(
    document: AccessDocument, users: Collection[str] | None, indexes: Collection[str], now: datetime
) -> Iterator[tuple[str, str]]:
    """The id of each such grant, and a sentence. `users`: those that can log in; None when that is not known."""
    for identity, grant in document.grants.items():
        problem = _problem(document, grant, users, indexes, now) or _shadow(document, identity, grant)
        if problem is not None:
            yield identity, problem


def missing_owners(
    document: AccessDocument, owners: Collection[str], users: Collection[str] | None
) -> Iterator[tuple[str, str]]:
    """Each owner of a project that is not there, and a sentence. `users`: see `unmatched_grants`."""
    for owner in owners:
        kind, _, name = owner.partition(":")
        problem = unknown_subject(owner, document.groups, users)
        if problem is not None:
            yield owner, problem
        elif kind == SubjectKind.TOKEN and (name not in document.tokens or document.tokens[name].revoked is not None):
            yield owner, f"The token {name} has ended."
        elif kind == SubjectKind.PUBLISHER and name not in document.publishers:
            yield owner, f"There is no publisher {name}."


def unknown_subject(subject: str, groups: Mapping[str, Collection[str]], users: Collection[str] | None) -> str | None:
    """A sentence on a user or a group (`user:ann`) that is not there. `users`: see `unmatched_grants`."""
    kind, _, name = subject.partition(":")
    if kind == SubjectKind.USER and users is not None and name not in users:
        return f"The password file has no user {name}."
    if kind == SubjectKind.GROUP and not groups.get(name):
        return f"The group {name} has no users here; only a proxy or an identity provider could name it."
    return None


def _problem(
    document: AccessDocument, grant: Grant, users: Collection[str] | None, indexes: Collection[str], now: datetime
) -> str | None:
    subject = subject_of(grant)
    if subject is None or not scope_of(grant).permissions:
        return "This version of quire does not know its subject or its rights."
    unknown = unknown_subject(grant.subject, document.groups, users)
    if unknown is not None:
        return unknown
    if subject.kind is SubjectKind.TOKEN:
        token = document.tokens.get(subject.name)
        if token is None or token.revoked is not None or token.has_expired(now):
            return f"The token {subject.name} has ended."
    if grant.index != ANY and grant.index not in indexes:
        return f"The store has no index {grant.index}."
    return None


def _shadow(document: AccessDocument, identity: str, grant: Grant) -> str | None:
    """Of two grants that give the same, the later one."""
    scope, subject, is_later = scope_of(grant), subject_of(grant), False
    for other, each in document.grants.items():
        if other == identity:
            is_later = True
            continue
        wider = scope_of(each)
        if not _includes(subject_of(each), subject) or not _covers(wider, scope):
            continue
        if not is_later or not (_includes(subject, subject_of(each)) and _covers(scope, wider)):
            return f"The grant {other} gives the same and perhaps more."
    return None


def _includes(wider: Subject | None, subject: Subject | None) -> bool:
    if wider is None or subject is None:
        return False
    if wider in {subject, ANONYMOUS}:
        return True
    return wider == AUTHENTICATED and subject.kind in {SubjectKind.USER, SubjectKind.GROUP}


def _covers(wider: Scope, scope: Scope) -> bool:
    if wider.index not in {ANY, scope.index}:
        return False
    if Permission.ADMIN not in wider.permissions and not scope.permissions <= wider.permissions:
        return False
    # a name that a pattern matches is one of its projects; of two patterns only equal ones are compared
    reserved = Reserved(wider.projects)
    return wider.projects == (ANY,) or all(
        each in wider.projects or (not (set(each) & set("*?")) and each in reserved) for each in scope.projects
    )
