"""Reading and changing the record of grants and tokens.

A change is one compare-and-swap of the whole document, and carries its own entry of the audit log (ADR 7): no change
without its entry, no entry without its change. By the id of its entry a writer recognises its own write when the store
could not say whether it took place.

Threads of one process that change the document at the same time commit together (`quire.index.batches`): each change is
applied to the result of the one before it, and one write stores the last result with an entry for each. So they do not
conflict with each other, and other processes meet one writer. No change is answered before that write, a refusal
neither: it may follow from a change that is not stored yet.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from quire.access.decisions import AccessState
from quire.access.document import KEY, AccessDocument, decode_access, encode_access
from quire.access.room import check_room, exceeds_room
from quire.domain.errors import Conflict, InvalidRequest, OutcomeUnknown, StoreError
from quire.index.audit.archive import KEPT, archive_key, read_archive, rotate
from quire.index.audit.entries import Entry, Origin, describe_origin, entries_of, next_revision, timestamp
from quire.index.batches import Combiner
from quire.store.contracts import Record, Store

Transition = Callable[[AccessDocument], AccessDocument]
"""A change; it gives back the very document that it got when there is nothing to change. A conflict repeats it."""

Details = Mapping[str, Any] | Callable[[AccessDocument], Mapping[str, Any]]
"""The fields of an entry of the log beside the action; perhaps by the document before the change."""

PATIENCE: Final = 30.0
"""Seconds that a change keeps trying while others are faster."""
_ARCHIVE: Final = archive_key("access", "store")
_DECODED_INLINE: Final = 20_000
"""Bytes of a document that is decoded on the event loop, in about a millisecond."""
_DOUBT: Final = "It is not known whether the grants were changed; look, and repeat it if not."
_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.25


class StoredAccess:
    """The state of the document as it was read; `record` validates it."""

    __slots__ = ("record", "state")

    def __init__(self, record: Record, state: AccessState) -> None:
        self.record = record
        self.state = state

    @property
    def bytes_in_memory(self) -> int:
        """Bytes of memory, about."""
        return 500 + 4 * len(self.record.data or b"")


@dataclass(slots=True, eq=False)
class _Job:
    """A change on its way, and how it ended."""

    transition: Transition
    details: Details
    entry: Entry
    """Of the log, without its details and revision."""
    ends: float
    """The time after which it is not tried again."""
    pause: float = _PAUSE
    known: StoredAccess | None = None
    """As it was read last, where this job leads."""
    doubted: tuple[AccessDocument, AccessDocument] | None = None
    """The result of a write whose outcome is unknown."""
    result: tuple[AccessDocument, AccessDocument] | None = None
    error: Exception | None = None

    @property
    def done(self) -> bool:
        return self.result is not None or self.error is not None

    def fail(self, error: Exception, cause: Exception | None = None) -> None:
        """End it by an error; by another one where it may have taken place."""
        if self.doubted is not None:
            error, cause = OutcomeUnknown(_DOUBT), error
        self.error = error
        if cause is not None:
            error.__cause__ = cause


_combiner: Final[Combiner[_Job]] = Combiner()
"""By the identity of the store, which is alive as long as one of its jobs is."""


class AccessRecords:
    """The access record of one store. May be used from any thread and any number of processes."""

    def __init__(self, store: Store) -> None:
        self._store = store  # kept alive: its identity is the name of its queue
        self._records = store.records
        self._queue = str(id(store))

    def read(self, known: StoredAccess | None = None) -> StoredAccess:
        """The state now: the very object `known` when it is unchanged. Raises StoreError."""
        record = self._records.read(KEY, known.record if known is not None else None)
        if known is not None and record is known.record:
            return known
        state = AccessState(decode_access(record.data))
        if len(record.data or b"") > _DECODED_INLINE:
            state.prepare()
        return StoredAccess(record, state)

    def change(
        self, transition: Transition, action: str, details: Details, origin: Origin
    ) -> tuple[AccessDocument, AccessDocument]:
        """Change the document; it before and after. `details`: what the log's entry says beside the action.

        Raises what `transition` raises; StoreError when others are faster for too long, or the store cannot do it.
        """
        entry: Entry = {"id": secrets.token_hex(8), "at": timestamp(), "action": action, **describe_origin(origin)}
        job = _Job(transition, details, entry, time.monotonic() + PATIENCE)
        _combiner.run(self._queue, job, self._attempt)
        if job.error is not None:
            raise job.error
        assert job.result is not None
        return job.result

    @property
    def store(self) -> Store:
        """The store that it is of."""
        return self._store

    def waiting(self) -> int:
        """Changes that threads of this process have begun and not ended."""
        return _combiner.waiting(self._queue)

    def _attempt(self, jobs: Sequence[_Job]) -> None:
        """Read, apply, write. Finishes every job, unless the write has a conflict or its outcome is unknown."""
        try:
            self._commit(jobs)
        except (Conflict, OutcomeUnknown) as error:
            for job in jobs:
                if not job.done and time.monotonic() > job.ends:
                    job.fail(StoreError("The grants are being changed by too many at once; repeat later."), error)
            time.sleep(random.uniform(0, jobs[0].pause))  # noqa: S311 - spreads writers, hides nothing
            jobs[0].pause = min(jobs[0].pause * 2, _LONGEST_PAUSE)
        except InvalidRequest as error:  # the document would be too large
            if len(jobs) > 1:
                self._attempt(jobs[:1])  # one of the others may be the reason
            else:
                jobs[0].error = error
        except Exception as error:  # noqa: BLE001 - each thread raises its own job's error
            for job in jobs:
                if not job.done:
                    job.fail(error)

    def _commit(self, jobs: Sequence[_Job]) -> None:
        known = jobs[0].known = self.read(jobs[0].known)
        log = entries_of(known.record)
        stored = {each.get("id") for each in log}
        found = [job for job in jobs if job.doubted is not None and job.entry["id"] in stored]
        document = known.state.document
        applied: list[tuple[_Job, AccessDocument, AccessDocument]] = []
        refused: list[tuple[_Job, Exception]] = []
        entries: list[Entry] = []
        for job in jobs:
            if job in found:
                continue
            try:
                after = job.transition(document)
                said = job.details(document) if callable(job.details) else job.details
            except Exception as error:  # noqa: BLE001 - as above
                refused.append((job, error))
                continue
            applied.append((job, document, after))
            if after is not document:
                entries.append({**job.entry, **said})
            document = after
        if entries:
            try:
                self._write(known, document, log, entries)
            except OutcomeUnknown:
                for job, before, after in applied:
                    job.doubted = (before, after) if after is not before else None
                raise
        elif applied or found:
            self._records.confirm(known.record)
        for job in found:
            job.result = job.doubted
        for job, before, after in applied:
            job.result = before, after
        for job, refusal in refused:
            job.error = refusal

    # -- a source of the read barrier (`quire.catalog.freshness.Source`); there is one key ----------------------------

    def begin_tick(self) -> None:
        """See `Source`: nothing is kept from one call to the next."""

    def load_inline(self, _: str, known: StoredAccess | None) -> StoredAccess | None:
        """See `Source`."""
        if known is None:
            return None
        if self._records.unchanged(known.record):
            return known
        return None if len(known.record.data or b"") > _DECODED_INLINE else self.read(known)

    def load(self, _: str, known: StoredAccess | None) -> StoredAccess:
        """See `Source`."""
        return self.read(known)

    # -- the log ------------------------------------------------------------------------------------------------------

    def log(self) -> list[Entry]:
        """The entries of all changes, the oldest first. Raises StoreError."""
        carried = entries_of(self._records.read(KEY))  # first: entries that are archived after this are in it
        archived = read_archive(self._records, _ARCHIVE)
        seen = {entry.get("id") for entry in archived}
        return archived + [entry for entry in carried if entry.get("id") not in seen]

    def _write(
        self, known: StoredAccess, after: AccessDocument, log: Sequence[Entry], entries: Sequence[Entry]
    ) -> None:
        kept = rotate(self._records, _ARCHIVE, known.record, log)
        data = encode_access(after, _followed(kept, entries))
        if exceeds_room(len(data)):
            least = encode_access(after, _followed(log[-KEPT:], entries))
            check_room(known.state.document, after, len(least))
            if not exceeds_room(len(least)):  # entries take the room that the change needs
                kept = rotate(self._records, _ARCHIVE, known.record, log, most=KEPT + 1)
                data = encode_access(after, _followed(kept, entries))
        self._records.write(KEY, data, known.record)


def _followed(log: Sequence[Entry], entries: Sequence[Entry]) -> list[Entry]:
    """The entries of a log and then more, which get their revisions."""
    found = list(log)
    for entry in entries:
        found.append(entry | {"revision": next_revision(found)})
    return found
