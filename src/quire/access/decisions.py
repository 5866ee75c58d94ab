"""Decisions by the grants of a store, and which token a text is."""

from __future__ import annotations

import hmac
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Final

from quire.access.document import AccessDocument, Token, decides, scope_of, scope_of_publisher, subject_of
from quire.access.grants import ANONYMOUS, ANY, AUTHENTICATED, Permission, Scope, Subject, SubjectKind
from quire.access.principals import Principal
from quire.access.publishing_sessions import reserves
from quire.domain.indexes import DEFAULT, IndexDefinition, NewProjects, chain
from quire.domain.namespaces import Namespace, deciding
from quire.domain.publishing_sessions import OpenSession
from quire.domain.times import moment

_OF_OWNERS: Final = frozenset({Permission.UPLOAD, Permission.MANAGE})
"""The permissions that an owner of a project has on it."""
WARNED_BEFORE: Final = timedelta(days=14)
"""At most so long before a token expires its holder is warned."""
COUNTED_BEFORE: Final = timedelta(days=7)
"""At most so long before a token expires it counts as one that is about to."""
_NO_DIGEST: Final = "0" * 64
"""No text has it."""
_NO_DIGESTS: Final = _NO_DIGEST, _NO_DIGEST


class TokenFault(StrEnum):
    """Why a token does not count; the value is a sentence for its holder."""

    UNKNOWN = "The token is wrong, or was removed."
    REVOKED = "The token was revoked; ask for a new one."
    EXPIRED = "The token has expired; ask for a new one."
    ROTATED = "The token was replaced by a new one; use that."
    NOT_TAKEN = (
        "This server takes no tokens: its settings alone decide on rights (--rights settings). Give a user name and a "
        "password, or ask a server that takes tokens."
    )


class AccessState:
    """One state of the document, and what follows from it. Immutable; may be used from any thread."""

    def __init__(self, document: AccessDocument) -> None:
        self.document = document

    def prepare(self) -> None:
        """Find what decisions need of the whole document. Of a large one that takes a while, which is better spent in
        the thread that has read it than at the first decision."""
        _ = self.decides, self._chains, self._scopes, self._groups, self._digests, self._warnings, self._endings

    @cached_property
    def decides(self) -> bool:
        """Whether grants decide, and not the settings."""
        return decides(self.document)

    def definition(self, index: str) -> IndexDefinition:
        """The definition of an index; the defaults for one without."""
        return self.document.indexes.get(index, DEFAULT)

    def behind(self, index: str) -> tuple[str, ...]:
        """The indexes whose projects an index offers beside its own; see `quire.domain.indexes.chain`."""
        return self._chains.get(index, ())

    @cached_property
    def _chains(self) -> dict[str, tuple[str, ...]]:
        definitions = self.document.indexes
        return {name: chain(definitions, name) for name, each in definitions.items() if each.behind or each.in_front_of}

    @cached_property
    def _scopes(self) -> dict[Subject, tuple[Scope, ...]]:
        found: dict[Subject, tuple[Scope, ...]] = {}
        for grant in self.document.grants.values():
            subject = subject_of(grant)
            if subject is not None:
                found[subject] = (*found.get(subject, ()), scope_of(grant))
        return found

    @cached_property
    def _groups(self) -> dict[str, frozenset[str]]:
        """The groups of each user."""
        found: dict[str, set[str]] = {}
        for group, users in self.document.groups.items():
            for user in users:
                found.setdefault(user, set()).add(group)
        return {user: frozenset(groups) for user, groups in found.items()}

    @cached_property
    def _digests(self) -> dict[str, tuple[str, str]]:
        """The digests of the secrets of each token: the current one, and the one before it."""
        return {
            identity: (token.digest, token.previous.digest if token.previous is not None else _NO_DIGEST)
            for identity, token in self.document.tokens.items()
        }

    def find_token(
        self, identity: str, digest: str, now: datetime, began: datetime | None = None
    ) -> Token | TokenFault:
        """The token with this id, if it has this digest (`TokenText.digest`). `began`: of a request that is decided
        on again; a token that has expired since counts, one that was replaced or revoked does not.

        A wrong secret is told nothing about the token, and an id that does not exist costs the same steps as one that
        does.
        """
        current, replaced = self._digests.get(identity, _NO_DIGESTS)
        is_current, is_previous = hmac.compare_digest(digest, current), hmac.compare_digest(digest, replaced)
        if not (is_current or is_previous):
            return TokenFault.UNKNOWN
        token = self.document.tokens[identity]
        if token.revoked is not None:
            return TokenFault.REVOKED
        if token.has_expired(began or now):
            return TokenFault.EXPIRED
        if not is_current and (token.previous is None or moment(token.previous.until) <= now):
            return TokenFault.ROTATED
        return token

    def expires_soon(self, identity: str, now: datetime) -> bool:
        """Whether it is time to replace a token; never for one that was made for less than a day."""
        begins = self.warned_from(identity)
        return begins is not None and now >= begins

    def warned_from(self, identity: str) -> datetime | None:
        """From when on `expires_soon` is true; None for never."""
        return self._warnings.get(identity)

    @cached_property
    def _warnings(self) -> dict[str, datetime]:
        """From when on the holder of a token is warned: in the last quarter of its time, and the last two weeks."""
        found = {}
        for identity, token in self.document.tokens.items():
            if token.expires is None or token.created is None or token.revoked is not None:
                continue
            expires = moment(token.expires)
            lifetime = expires - moment(token.created)
            if lifetime >= timedelta(days=1):
                found[identity] = expires - min(WARNED_BEFORE, lifetime / 4)
        return found

    def count_expiring(self, now: datetime) -> int:
        """How many tokens are about to expire: see `_endings`."""
        begins, ends = self._endings
        return bisect_right(begins, now) - bisect_right(ends, now)

    @cached_property
    def _endings(self) -> tuple[list[datetime], list[datetime]]:
        """From when on the tokens with a warning are about to expire, and when they do, both sorted. Tokens of CI jobs,
        which are made for each job, are none of them."""
        begins, ends = [], []
        for identity, warned in self._warnings.items():
            token = self.document.tokens[identity]
            if token.expires is not None and token.publisher is None and not token.publishers:
                ends.append(moment(token.expires))
                begins.append(max(warned, ends[-1] - COUNTED_BEFORE))
        return sorted(begins), sorted(ends)

    def permits(
        self,
        principal: Principal,
        permission: Permission,
        index: str,
        project: str | None,
        owners: Collection[str] = (),
    ) -> bool:
        """Whether grants, or that it is an owner, give a permission on a project; see `Scope.covers` for None.

        `owners`: of the project, by its record; they count where the index has owned projects. A token whose id is not
        in the document has no rights.
        """
        is_owned = self.is_owned(permission, index, owners)
        needs_more = is_owned and project is not None
        of_all = self._scopes.get(ANONYMOUS, ())
        if _any_gives(of_all, permission, index, project, needs_more=needs_more):
            return True
        if principal.token is None:
            scopes = self._of_user(principal)
        elif not self.token_permits(principal.token, permission, index, project):
            return False
        else:
            token = self.document.tokens[principal.token]
            own = self._scopes.get(Subject(SubjectKind.TOKEN, principal.token), ())
            itself = own if token.user is not None else (token.scope, *self._of_publishers(token), *own)
            if _any_gives(itself, permission, index, project, needs_more=needs_more):
                return True
            scopes = self._of_user(Principal(token.user))
        if _any_gives((*of_all, *scopes), permission, index, project, needs_more=needs_more):
            return True
        return is_owned and not self.may_own(principal).isdisjoint(owners)

    def is_owned(self, permission: Permission, index: str, owners: Collection[str]) -> bool:
        """Whether a permission on a project with these owners is given to them first."""
        return bool(owners) and permission in _OF_OWNERS and self.has_owned_projects(index)

    def has_owned_projects(self, index: str) -> bool:
        """Whether the principal that creates a project in an index owns it."""
        return self.definition(index).new_projects is NewProjects.OWNED

    def owner_of_new(self, principal: Principal, index: str, project: str) -> str | None:
        """The subject that owns a project which `principal` creates; None where projects have no owners, and for an
        anonymous sender."""
        return self.subject_of(principal, index, project) if self.has_owned_projects(index) else None

    def subject_of(self, principal: Principal, index: str, project: str) -> str | None:
        """The subject that a sender is for what it makes of a project; None for an anonymous one."""
        if principal.is_anonymous:
            return None
        if principal.token is None:
            return str(Subject(SubjectKind.USER, principal.name))
        token = self.document.tokens.get(principal.token)
        if token is not None and token.user is not None:
            return str(Subject(SubjectKind.USER, token.user))
        for identity in token.publishers if token is not None else ():
            publisher = self.document.publishers.get(identity)
            if publisher is not None and scope_of_publisher(publisher).covers(Permission.UPLOAD, index, project):
                return str(Subject(SubjectKind.PUBLISHER, identity))
        return str(Subject(SubjectKind.TOKEN, principal.token))

    def namespace_against(self, principal: Principal, index: str, project: str) -> Namespace | None:
        """The namespace by which a principal may not upload to a project of an index: one of the index, or else of the
        nearest behind it. None where there is none."""
        for each in (index, *self.behind(index)):
            found = deciding(self.definition(each).namespaces, project)
            if found is not None:
                is_exempt = f"{index}/{project}" in found.exempt
                return None if is_exempt or not self.may_own(principal).isdisjoint(found.owners) else found
        return None

    def reads_as(self, index: str) -> str:
        """The index whose readers may read an index: of the stage of a publishing session the one it is in front of."""
        definition = self.document.indexes.get(index)
        if definition is None or definition.session is None or definition.in_front_of is None:
            return index
        return definition.in_front_of

    def reserved_for(self, index: str, project: str, now: datetime) -> frozenset[str]:
        """The subjects for which publishing sessions reserve the name of a project, as long as that has no release;
        none where it is free."""
        found = self._reserved.get((index, project), ())
        return frozenset(
            str(session.by)
            for session, definition in found
            if not definition.has_ended(now) and reserves(self.document, session, now)
        )

    def is_reserved_against(self, principal: Principal, index: str, project: str, now: datetime) -> bool:
        """Whether the name of a new project is reserved for the publishing session of another sender."""
        subjects = self.reserved_for(index, project, now)
        return bool(subjects) and subjects.isdisjoint(self.may_own(principal))

    @cached_property
    def _reserved(self) -> dict[tuple[str, str], tuple[tuple[OpenSession, IndexDefinition], ...]]:
        """By index and project the reservations of publishing sessions."""
        found: dict[tuple[str, str], tuple[tuple[OpenSession, IndexDefinition], ...]] = {}
        for definition in self.document.indexes.values():
            session = definition.session
            if session is not None and session.is_first and session.by is not None:
                key = str(definition.in_front_of), session.project
                found[key] = (*found.get(key, ()), (session, definition))
        return found

    def may_own(self, principal: Principal) -> frozenset[str]:
        """The subjects as which a principal can be an owner."""
        return frozenset(map(str, self._subjects(principal)))

    def _subjects(self, principal: Principal) -> Iterator[Subject]:
        """Those with a name that a principal is."""
        user = principal
        if principal.token is not None:
            token = self.document.tokens.get(principal.token)
            if token is None or token.user is None:  # users choose the ids of their tokens, also that of a dropped one
                yield Subject(SubjectKind.TOKEN, principal.token)
            for each in token.publishers if token is not None else ():
                if each in self.document.publishers:  # one that was removed owns nothing, as it gives no right
                    yield Subject(SubjectKind.PUBLISHER, each)
            user = Principal(token.user if token is not None else None)
        if user.username is not None:
            yield Subject(SubjectKind.USER, user.username)
            yield from (Subject(SubjectKind.GROUP, each) for each in user.groups | self.groups_of(user))

    def token_permits(self, identity: str, permission: Permission, index: str, project: str | None) -> bool:
        """Whether a token may be used for this: by its scope, or because the right was given to the token."""
        token = self.document.tokens.get(identity)
        if token is None or token.revoked is not None:
            return False
        if token.scope.covers(permission, index, project):
            return True
        if token.publishers and _any_covers(self._of_publishers(token), permission, index, project):
            return True
        return _any_covers(self._scopes.get(Subject(SubjectKind.TOKEN, identity), ()), permission, index, project)

    def groups_of(self, principal: Principal) -> frozenset[str]:
        """The groups of the store that a user is in."""
        return self._groups.get(principal.username or "", frozenset())

    def _of_publishers(self, token: Token) -> Iterable[Scope]:
        """The rights of a token's publishers as they are now: one that was removed gives none."""
        for identity in token.publishers:
            publisher = self.document.publishers.get(identity)
            if publisher is not None:
                yield scope_of_publisher(publisher)
                yield from self._scopes.get(Subject(SubjectKind.PUBLISHER, identity), ())

    def _of_user(self, principal: Principal) -> Iterable[Scope]:
        if principal.username is None:
            return
        yield from self._scopes.get(AUTHENTICATED, ())
        yield from self._scopes.get(Subject(SubjectKind.USER, principal.username), ())
        for group in principal.groups | self.groups_of(principal):
            yield from self._scopes.get(Subject(SubjectKind.GROUP, group), ())


def _any_gives(
    scopes: Iterable[Scope], permission: Permission, index: str, project: str | None, *, needs_more: bool
) -> bool:
    """Whether rights give a permission; `needs_more`: on a project that others own.

    Such a project is given by a right that names it, alone or by a pattern, and to a principal that manages the whole
    index; a right to upload to all projects is the right to make new ones.
    """
    if not needs_more:
        return _any_covers(scopes, permission, index, project)
    scopes = tuple(scopes)
    wide = (each for each in scopes if each.projects == (ANY,))
    manages = _any_covers(wide, Permission.MANAGE, index, project)
    return any(each.covers(permission, index, project) and (manages or each.projects != (ANY,)) for each in scopes)


def _any_covers(scopes: Iterable[Scope], permission: Permission, index: str, project: str | None) -> bool:
    return any(scope.covers(permission, index, project) for scope in scopes)
