"""Sessions of the web interface: the key that they need, and their end. For commands and requests."""

from __future__ import annotations

from collections.abc import Collection

import structlog

from quire.access import sessions
from quire.access.records import AccessRecords
from quire.index.audit.entries import Origin

log = structlog.stdlib.get_logger(__name__)


def make_key(access: AccessRecords, origin: Origin) -> None:
    """Give the store a key for sessions, once. Raises StoreError."""
    before, after = access.change(sessions.with_key, "session-key", {}, origin)
    if before is not after:
        log.info("key for sessions made")


def end_sessions(access: AccessRecords, users: Collection[str], origin: Origin) -> None:
    """End the sessions of users: requests that arrive later need a new login. Raises InvalidRequest, StoreError."""
    access.change(lambda document: sessions.with_ended(document, users), "session-end", {"users": list(users)}, origin)
    for user in users:
        log.info("sessions ended", of=user, user=origin.user)


def end_all_sessions(access: AccessRecords, origin: Origin) -> None:
    """End every session, by a new key. Raises StoreError."""
    access.change(sessions.with_all_ended, "session-end", {"users": None}, origin)
    log.info("all sessions ended", user=origin.user)
