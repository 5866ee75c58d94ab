"""Decisions by the grants of a store, and which token a text is."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Final

from quire.access.document import AccessDocument, Token, decides, moment, scope_of, scope_of_publisher, subject_of
from quire.access.grants import ANONYMOUS, AUTHENTICATED, Permission, Scope, Subject, SubjectKind
from quire.access.principals import Principal
from quire.domain.indexes import DEFAULT, IndexDefinition

WARNED_BEFORE: Final = timedelta(days=14)
"""At most so long before a token expires its holder is warned."""
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

    @cached_property
    def decides(self) -> bool:
        """Whether grants decide, and not the settings."""
        return decides(self.document)

    def definition(self, index: str) -> IndexDefinition:
        """The definition of an index; the defaults for one without."""
        return self.document.indexes.get(index, DEFAULT)

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

    def find_token(self, identity: str, digest: str, now: datetime) -> Token | TokenFault:
        """The token with this id, if it has this digest (`TokenText.digest`).

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
        if token.has_expired(now):
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

    def permits(self, principal: Principal, permission: Permission, index: str, project: str | None) -> bool:
        """Whether grants give a permission on a project of an index; see `Scope.covers` for None.

        A token whose id is not in the document has no rights.
        """
        if _any_covers(self._scopes.get(ANONYMOUS, ()), permission, index, project):
            return True
        if principal.token is None:
            return _any_covers(self._of_user(principal), permission, index, project)
        if not self.token_permits(principal.token, permission, index, project):
            return False
        token = self.document.tokens[principal.token]
        own = self._scopes.get(Subject(SubjectKind.TOKEN, principal.token), ())
        if token.user is None or _any_covers(own, permission, index, project):
            return True
        return _any_covers(self._of_user(Principal(token.user)), permission, index, project)

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


def _any_covers(scopes: Iterable[Scope], permission: Permission, index: str, project: str | None) -> bool:
    return any(scope.covers(permission, index, project) for scope in scopes)
