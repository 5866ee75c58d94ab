"""How far the events of one project were delivered, for each webhook: one record per project.

A position can be lost (the record was damaged): then the events since the webhook was made are delivered again.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from quire.domain.errors import Conflict, OutcomeUnknown, StoreError
from quire.domain.structs import decode_as
from quire.store.contracts import Record, Records

_ATTEMPTS: Final = 16


class Position(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far the events of a project were delivered to one webhook."""

    done: int = 0
    """The revision up to which they were."""
    at: str = ""
    """The time of that change, as the log has it."""
    attempts: int = 0
    """At the next event."""
    tried: float | None = None
    """When the last of these was: seconds since 1970."""
    next: float | None = None
    """When the next attempt is due: seconds since 1970. None for now."""
    lease: str | None = None
    """The delivery that is under way; see `quire.webhooks`."""


NONE: Final = Position()


class _Document(msgspec.Struct, frozen=True):
    format: int = 1
    webhooks: dict[str, Position] = {}
    """By id."""


class ProjectPositions:
    """The record of one project as it was read."""

    __slots__ = ("by_webhook", "record")

    def __init__(self, record: Record) -> None:
        self.record = record
        try:
            self.by_webhook = decode_as(record.data or b"{}", _Document).webhooks
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self.by_webhook = {}

    def of(self, webhook: str) -> Position:
        return self.by_webhook.get(webhook, NONE)


class Positions:
    """The positions of all projects. May be used from any thread."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def read(self, index: str, project: str) -> ProjectPositions:
        """Raises StoreError."""
        return ProjectPositions(self._records.read(f"{index}/deliveries/{project}"))

    def swap(
        self, seen: ProjectPositions, webhook: str, position: Position, webhooks: Collection[str]
    ) -> ProjectPositions | None:
        """Put a position in place of the one that was seen; what is stored then, or None when another worker was
        faster. Positions of webhooks that are not among `webhooks` are dropped. Raises StoreError.
        """
        key, expected = seen.record.key, seen.of(webhook)
        for _ in range(_ATTEMPTS):
            kept = {each: found for each, found in seen.by_webhook.items() if each in webhooks}
            kept[webhook] = position
            data = msgspec.json.encode(_Document(webhooks=kept)) + b"\n"
            try:
                return ProjectPositions(self._records.write(key, data, seen.record))
            except (Conflict, OutcomeUnknown):
                seen = ProjectPositions(self._records.read(key))
            found = seen.of(webhook)
            if found == position:  # our own write, whose outcome was not known
                self._records.confirm(seen.record)
                return seen
            if found != expected:
                return None
        raise StoreError(f"The record {key} has too many writers at once; repeat later.")
