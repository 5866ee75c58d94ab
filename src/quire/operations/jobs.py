"""Long work that operators begin over the API: its record, which all workers read.

Theory of operation. The store has one record of the last jobs. The request that begins a job enters it there, in one
swap that fails where one of the same kind runs, so that of all servers of a store one runs it. The process that does
the work renews its entry every few seconds, with its progress. It is the child of one server and ends with it; where
nothing says how it ended, its entry is not renewed, and counts as interrupted after `LEASE`. No work depends on these
entries: both operations are safe beside servers, and safe to interrupt.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import msgspec

from quire.domain.errors import Conflict, NotFound
from quire.domain.names import encodable
from quire.domain.structs import decode_as
from quire.domain.times import moment, stamp
from quire.store.contracts import Record, Records

KEY: Final = "access/jobs/store"
LEASE: Final = timedelta(seconds=60)
"""An entry that was not renewed for so long is of a process that is gone."""
MOST_JOBS: Final = 20
MOST_LINES: Final = 50
_MOST_WORDS: Final = 500
_ATTEMPTS: Final = 20

Kind = Literal["check", "gc"]
State = Literal["running", "done", "failed", "interrupted"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One run of an operation."""

    id: str
    kind: Kind
    dry_run: bool
    """Whether it only says what it would remove."""
    quick: bool
    """Whether a check believes sizes, and reads no file."""
    by: str | None
    """The user that began it."""
    container: str
    started: str
    heard: str
    """When its process renewed this entry last."""
    state: State = "running"
    ended: str | None = None
    step: str = ""
    """The part of the work that is under way."""
    done: int = 0
    total: int = 0
    """Of this part, in bytes or pieces; 0 where it is not known."""
    counts: dict[str, int] = {}
    """The result in numbers, with the words of the command's JSON."""
    lines: tuple[str, ...] = ()
    """The first findings, removals, or the reason of a failure."""


class _Jobs(msgspec.Struct, frozen=True):
    format: int = 1
    jobs: tuple[Job, ...] = ()
    """The newest first."""


def jobs(records: Records, now: datetime) -> tuple[Job, ...]:
    """The last jobs, the newest first. Raises StoreError."""
    return tuple(_seen(each, now) for each in _decoded(records.read(KEY)))


def job(records: Records, identity: str, now: datetime) -> Job:
    """One of them. Raises NotFound, StoreError."""
    found = next((each for each in jobs(records, now) if each.id == identity), None)
    if found is None:
        raise NotFound(f"There is no job {identity[:100]!r}; the last {MOST_JOBS} are kept.")
    return found


def begin(records: Records, wanted: Job) -> Job | None:
    """Enter a job; the one of its kind that runs already, where there is one. Raises StoreError."""
    running: Job | None = None

    def enter(known: tuple[Job, ...]) -> tuple[Job, ...] | None:
        nonlocal running
        running = next((each for each in known if (each.kind, each.state) == (wanted.kind, "running")), None)
        return None if running is not None else (wanted, *known)

    _change(records, enter)
    return running


def renew(records: Records, changed: Job) -> None:
    """Put an entry in the place of the one with its id. Raises NotFound where that is gone, StoreError."""

    def replace(known: tuple[Job, ...]) -> tuple[Job, ...]:
        if all(each.id != changed.id for each in known):
            raise NotFound(f"The job {changed.id} is not kept any more.")
        return tuple(changed if each.id == changed.id else each for each in known)

    _change(records, replace)


def ended(running: Job, state: State, counts: dict[str, int], lines: list[str], now: datetime) -> Job:
    """The entry of a job at its end. Its result is cut to what a record may have."""
    return msgspec.structs.replace(
        running,
        state=state,
        ended=stamp(now),
        heard=stamp(now),
        counts=counts,
        lines=tuple(encodable(each)[:_MOST_WORDS] for each in lines[:MOST_LINES]),
    )


def _seen(known: Job, now: datetime) -> Job:
    """An entry as it counts now."""
    if known.state == "running" and not _is_heard(known, now):
        return msgspec.structs.replace(known, state="interrupted")
    return known


def _is_heard(known: Job, now: datetime) -> bool:
    try:
        return now - moment(known.heard) <= LEASE
    except ValueError:  # no time: the record was damaged, or edited by hand
        return False


def _change(records: Records, change: Callable[[tuple[Job, ...]], tuple[Job, ...] | None]) -> None:
    for attempt in range(_ATTEMPTS):
        record = records.read(KEY)
        now = datetime.now(UTC)
        after = change(tuple(_seen(each, now) for each in _decoded(record)))
        if after is None:
            return
        data = msgspec.json.format(msgspec.json.encode(_Jobs(jobs=after[:MOST_JOBS])), indent=1) + b"\n"
        try:
            records.write(KEY, data, record)
        except Conflict:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return


def _decoded(record: Record) -> tuple[Job, ...]:
    """None where the record is none that this version understands: no work depends on it."""
    try:
        found = decode_as(record.data or b"", _Jobs)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ()
    return found.jobs if found.format == 1 else ()
