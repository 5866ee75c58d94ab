"""Which events of a project a webhook has still to get, by the project's log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from quire.domain.webhooks import Webhook
from quire.index.audit.archive import archive_key, read_archive
from quire.index.audit.entries import Entry, entries_of
from quire.index.audit.reading import Logged
from quire.store.contracts import Record, Records
from quire.webhooks.positions import Position

FAR_BEHIND: Final = 16
"""Revisions that a position may be behind though no event is pending: of more, the older ones are in the archive, which
would be read each time."""


@dataclass(frozen=True, slots=True)
class Pending:
    """The events of one project that one webhook has still to get."""

    events: list[Logged]
    """In the order of the revisions."""
    position: Position
    """From which they were found."""
    passed: Position | None
    """The position behind the last change, where none of many is an event; None: leave it."""


def pending_events(records: Records, index: str, record: Record, webhook: Webhook, position: Position) -> Pending:
    """The events behind a position. `record`: of the project, just read. Raises StoreError."""
    project = record.key.rpartition("/")[2]
    entries = entries_of(record)
    if not entries:
        return Pending([], position, None)
    first, last = Logged(project, entries[0]), Logged(project, entries[-1])
    begin = webhook.begins()
    is_another = _is_another_log(project, entries, position)
    if is_another:  # as after a restoration from a backup: revisions tell nothing, times do
        begin = max(begin, position.at)
        if position.done != 0:  # else it was found before, and the attempts since then count
            position = Position(done=0, at=position.at, lease=position.lease)
    if first.revision > position.done + 1 and first.at >= begin:
        entries = [*read_archive(records, archive_key(index, project)), *entries]
    if is_another:
        entries = [each for each in entries if Logged(project, each).at > begin]
    behind = [each for each in _ordered(project, entries) if each.revision > position.done]
    events = [each for each in behind if webhook.wants(str(each.entry.get("action"))) and each.at >= begin]
    is_far = not events and last.revision - position.done > FAR_BEHIND
    return Pending(events, position, Position(done=last.revision, at=last.at) if is_far else None)


def _is_another_log(project: str, entries: list[Entry], position: Position) -> bool:
    """Whether the log began once more since the last delivery: it ends before that, or has another change of that
    revision. Of a position that has a time alone this was found before, and nothing was delivered since."""
    if position.done == 0:
        return position.at != ""
    logged = [Logged(project, entry) for entry in entries]
    return logged[-1].revision < position.done or any(
        each.revision == position.done and each.at != position.at for each in logged
    )


def _ordered(project: str, entries: list[Entry]) -> list[Logged]:
    by_id = {str(entry.get("id")): entry for entry in entries}
    return sorted((Logged(project, entry) for entry in by_id.values()), key=lambda logged: logged.revision)
