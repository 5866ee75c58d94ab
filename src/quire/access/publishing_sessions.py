"""Publishing sessions in the access document: their stages, as pure functions from document to document."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from quire.access.defining import find, with_index
from quire.access.document import AccessDocument, with_fields
from quire.access.grants import SubjectKind
from quire.domain.errors import NameReserved, QuireError, SessionConflict
from quire.domain.indexes import IndexDefinition
from quire.domain.names import same_version
from quire.domain.publishing_sessions import OpenSession
from quire.domain.times import stamp

MOST_OPEN: Final = 1000
"""Open sessions of a store: each is a definition, which all workers read."""
MOST_OF_ONE: Final = 100
"""Open sessions of one subject; senders without a login are one."""


class SessionExists(QuireError):
    """There is an open session of the same project and version."""

    def __init__(self, token: str) -> None:
        super().__init__("There is an open session for this project and version; go on with that, or cancel it.")
        self.token = token


def open_sessions(document: AccessDocument, now: datetime) -> dict[str, IndexDefinition]:
    """The stages of sessions that have not expired, by name."""
    return {
        name: definition
        for name, definition in document.indexes.items()
        if definition.session is not None and not definition.has_ended(now)
    }


def with_session(
    document: AccessDocument,
    token: str,
    target: str,
    session: OpenSession,
    default: str,
    *,
    now: datetime,
    expires: datetime,
) -> AccessDocument:
    """With the stage of one more session in front of `target`; the very document when it is there already.

    Raises SessionExists, NameReserved where the project is reserved for others, SessionConflict when there are too many
    open ones, and what `with_index` raises.
    """
    known = document.indexes.get(token)
    if known is not None and known.session == session:
        return document
    there = open_sessions(document, now)
    of_target = {name: each for name, each in _sessions(there).items() if there[name].in_front_of == target}
    for name, each in of_target.items():
        if each.project == session.project and same_version(each.version, session.version):
            raise SessionExists(name)
    if session.is_first:
        for each in of_target.values():
            if each.project == session.project and each.by != session.by and reserves(document, each, now):
                raise NameReserved(
                    f"The name {session.project} is reserved for the first release of another sender, whose publishing "
                    "session is not finished; repeat this when it has ended, or choose another name."
                )
    if sum(each.by == session.by for each in _sessions(there).values()) >= MOST_OF_ONE:
        raise SessionConflict(f"You have {MOST_OF_ONE} open sessions; publish or cancel some of them.")
    if len(there) >= MOST_OPEN:
        raise SessionConflict(f"The store has {MOST_OPEN} open sessions; publish or cancel some of them.")
    definition = IndexDefinition(uploads=False, in_front_of=target, expires=stamp(expires), session=session)
    return with_index(document, token, definition, default)


def check_open(document: AccessDocument, token: str, now: datetime) -> None:
    """Raises SessionConflict where the stage of a session is gone, or has expired: nothing may be put into it then."""
    definition = document.indexes.get(token)
    if definition is None or definition.has_ended(now):
        raise SessionConflict("The session has ended, and its files are deleted; create another one.")


def with_expiry(
    document: AccessDocument, token: str, default: str, *, now: datetime, expires: datetime
) -> AccessDocument:
    """With a later end of an open session; the very document when it ends then or later. Raises NotFound."""
    definition = find(document, token, default)
    ends = definition.ends_at
    if definition.session is None or ends is None or ends <= now or ends >= expires:
        return document
    later = msgspec.structs.replace(definition, expires=stamp(expires))
    return with_fields(document, indexes={**document.indexes, token: later})


def without_reservation(document: AccessDocument, target: str, project: str) -> AccessDocument:
    """With a name that is not reserved any more: its project has a release. The very document when it was not."""
    changed = {
        name: msgspec.structs.replace(definition, session=msgspec.structs.replace(definition.session, is_first=False))
        for name, definition in document.indexes.items()
        if definition.session is not None
        and definition.session.is_first
        and (definition.in_front_of, definition.session.project) == (target, project)
    }
    return with_fields(document, indexes={**document.indexes, **changed}) if changed else document


def reserves(document: AccessDocument, session: OpenSession, now: datetime) -> bool:
    """Whether an open session reserves its name: for a sender that is known, and can still send."""
    if not session.is_first or session.by is None:
        return False
    kind, _, identity = session.by.partition(":")
    if kind == SubjectKind.TOKEN:
        token = document.tokens.get(identity)
        return token is not None and token.revoked is None and not token.has_expired(now)
    return kind != SubjectKind.PUBLISHER or identity in document.publishers


def _sessions(definitions: Mapping[str, IndexDefinition]) -> dict[str, OpenSession]:
    return {name: each.session for name, each in definitions.items() if each.session is not None}
