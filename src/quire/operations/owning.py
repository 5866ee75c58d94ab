"""Changes of the owners of a project: the one door for commands and requests, with the same checks and log lines."""

from __future__ import annotations

import structlog

from quire.access.grants import parse_owner
from quire.index.audit.entries import Origin
from quire.index.index import Guard, Index

log = structlog.stdlib.get_logger(__name__)


def add_owner(
    index: Index, project: str, owner: str, *, origin: Origin | None = None, guard: Guard | None = None
) -> tuple[str, ...]:
    """Add an owner to a project; all that it has then. `owner`: see `parse_owner`.

    Raises InvalidRequest, NotFound, StoreError.
    """
    subject = str(parse_owner(owner))
    owners = index.add_owner(project, subject, origin=origin, guard=guard)
    log.info("owner added", project=project, subject=subject, user=(origin or index.origin).user)
    return owners


def remove_owner(
    index: Index,
    project: str,
    owner: str,
    *,
    may_be_last: bool,
    origin: Origin | None = None,
    guard: Guard | None = None,
) -> tuple[str, ...]:
    """Remove an owner from a project; those that are left. `may_be_last`: whether none may be left.

    Raises InvalidRequest, NotFound, StoreError.
    """
    subject = str(parse_owner(owner))
    owners = index.remove_owner(project, subject, may_be_last=may_be_last, origin=origin, guard=guard)
    log.info("owner removed", project=project, subject=subject, user=(origin or index.origin).user)
    return owners
