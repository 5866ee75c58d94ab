"""Tokens for tests and benchmarks, made by the operation that commands and requests make them with."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from quire.access.grants import ANY
from quire.access.records import AccessRecords
from quire.access.tokens import TokenText, new_identity, new_token
from quire.index.audit.entries import Origin
from quire.operations import granting


def make_token(
    access: AccessRecords,
    rights: Collection[str],
    projects: Collection[str] = (),
    *,
    index: str = ANY,
    user: str | None = None,
    identity: str | None = None,
    note: str | None = None,
    lifetime: timedelta | None = None,
    rate: int | None = None,
    origin: Origin,
    is_own: bool = False,
) -> TokenText:
    """A new token; by default for every index."""
    text = new_token(identity or new_identity())
    granting.create_token(
        access,
        rights,
        index,
        projects,
        identity=text.identity,
        digest=text.digest,
        user=user,
        note=note,
        lifetime=lifetime,
        rate=rate,
        origin=origin,
        is_own=is_own,
    )
    return text
