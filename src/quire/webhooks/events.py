"""An event as receivers get it, made of an entry of the audit log."""

from __future__ import annotations

from typing import Any

import msgspec

from quire.index.audit.entries import timestamp
from quire.index.audit.reading import Logged


class EventFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a change is about."""

    filename: str
    version: str | None
    sha256: str | None
    path: str | None
    """Below the address of the index; None for a file that was deleted."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a delivery. Fields are in this order; later versions add some at the end."""

    id: str
    """The same in every delivery of the event, to every webhook."""
    type: str
    at: str
    """When the change was made: RFC 3339, UTC."""
    index: str | None
    project: str | None
    """The normalized name."""
    version: str | None
    """That of all files; None when they are of several, or there are none."""
    revision: int | None
    """The number of the change in the log of the project; greater for a later change."""
    files: list[EventFile]
    more_files: int
    """How many files are not in `files`, which has a thousand at most."""
    status: str | None
    """The project's status, if the change set it."""
    reason: str | None
    owners: list[str] | None
    """All owners of the project, if the change set them."""
    user: str | None
    token: str | None
    """The id of the token by which the user was known."""
    job: dict[str, str] | None
    """The CI job of a trusted publisher."""

    def encode(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)


def event_of(index: str, logged: Logged) -> Event:
    """The event of an entry, whose fields may be of any type (the record was edited by hand)."""
    entry, action = logged.entry, str(logged.entry.get("action", ""))
    described = [each for each in _list(entry.get("files")) if isinstance(each, dict)]
    files = [_file(each, logged.project, is_gone=action == "delete") for each in described]
    versions = {each.version for each in files}
    more, job = entry.get("more_files"), entry.get("job")
    return Event(
        id=event_id(index, logged),
        type=action,
        at=logged.at,
        index=index,
        project=logged.project,
        version=versions.pop() if len(versions) == 1 else None,
        revision=logged.revision,
        files=files,
        more_files=more if isinstance(more, int) else 0,
        status=_text(entry.get("status")),
        reason=_text(entry.get("reason")),
        owners=list(map(str, entry["owners"])) if isinstance(entry.get("owners"), list) else None,
        user=_text(entry.get("user")),
        token=_text(entry.get("by_token")),
        job={str(name): str(value) for name, value in job.items()} if isinstance(job, dict) else None,
    )


def event_id(index: str, logged: Logged) -> str:
    """The id of an event."""
    identity = logged.entry.get("id")
    return f"evt_{identity}" if isinstance(identity, str) else f"evt_{index}.{logged.project}.{logged.revision}"


def ping(identity: str) -> Event:
    """The event that `quire webhook test` sends. `identity`: of its own."""
    return Event(
        id=f"evt_{identity}",
        type="ping",
        at=timestamp(),
        index=None,
        project=None,
        version=None,
        revision=None,
        files=[],
        more_files=0,
        status=None,
        reason=None,
        owners=None,
        user=None,
        token=None,
        job=None,
    )


def _file(described: dict[str, Any], project: str, *, is_gone: bool) -> EventFile:
    filename, sha256 = str(described.get("filename")), _text(described.get("sha256"))
    return EventFile(
        filename=filename,
        version=_text(described.get("version")),
        sha256=sha256,
        path=None if is_gone or sha256 is None else f"packages/{project}/{sha256}/{filename}",
    )


def _list(found: object) -> list[Any]:
    return found if isinstance(found, list) else []


def _text(found: object) -> str | None:
    return found if isinstance(found, str) else None
