"""The latest deliveries to a webhook, for people: one record per webhook, which no delivery depends on.

Workers write it some seconds after an attempt, several attempts at once; a worker that is killed loses its last ones.
Events that are given up are written before the delivery goes on, so that they can be found and delivered again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from quire.domain.errors import Conflict
from quire.domain.structs import decode_as
from quire.store.contracts import Record, Records

MOST_RECENT: Final = 50
MOST_GIVEN_UP: Final = 100
MOST_WAITING: Final = 500
_ATTEMPTS: Final = 8

Result = Literal["delivered", "failed", "given-up"]


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt to deliver an event."""

    event: str
    """The id."""
    type: str
    index: str
    project: str
    version: str | None
    revision: int
    at: str
    """When it was: RFC 3339, UTC."""
    attempt: int
    """The number of the attempt at this event."""
    result: Result
    status: int | None
    error: str | None
    milliseconds: int
    next: str | None = None
    """When the event is tried again: RFC 3339, UTC."""

    @property
    def target(self) -> str:
        return f"{self.index}/{self.project}"


class Deliveries(msgspec.Struct, frozen=True, kw_only=True):
    """The record."""

    format: int = 1
    recent: list[Attempt] = []
    """The oldest first."""
    waiting: dict[str, Attempt] = {}
    """The last attempt at the event that a project waits with, by `<index>/<project>`."""
    given_up: list[Attempt] = []


class AttemptRecords:
    """The records of all webhooks of a store. May be used from any thread."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def read(self, webhook: str) -> Deliveries:
        """Empty when there is none, or it is damaged. Raises StoreError."""
        return _decode(self._records.read(_key(webhook)))

    def add(self, webhook: str, attempts: Sequence[Attempt]) -> None:
        """Add attempts, in their order. Raises StoreError: Conflict when others were faster too often."""
        for number in range(_ATTEMPTS):
            record = self._records.read(_key(webhook))
            data = msgspec.json.encode(_with(_decode(record), attempts)) + b"\n"
            try:
                self._records.write(_key(webhook), data, record)
            except Conflict:
                if number == _ATTEMPTS - 1:
                    raise
                continue
            return


def _with(before: Deliveries, attempts: Sequence[Attempt]) -> Deliveries:
    waiting, given_up = dict(before.waiting), {each.event: each for each in before.given_up}
    for each in attempts:
        earlier = waiting.get(each.target)
        if each.result == "failed":
            waiting[each.target] = each
        elif earlier is not None and earlier.revision <= each.revision:
            del waiting[each.target]
        if each.result == "given-up":
            given_up[each.event] = each
        elif each.result == "delivered":
            given_up.pop(each.event, None)
    return Deliveries(
        recent=[*before.recent, *attempts][-MOST_RECENT:],
        waiting=dict(list(waiting.items())[-MOST_WAITING:]),
        given_up=list(given_up.values())[-MOST_GIVEN_UP:],
    )


def _decode(record: Record) -> Deliveries:
    try:
        return decode_as(record.data or b"{}", Deliveries)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Deliveries()


def _key(webhook: str) -> str:
    return f"access/deliveries/{webhook}"
