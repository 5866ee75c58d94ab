"""Reading and changing the record of grants and tokens.

A change is one compare-and-swap of the whole document, and carries its own entry of the audit log (ADR 7): no change
without its entry, no entry without its change. By the id of its entry a writer recognises its own write when the store
could not say whether it took place.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from quire.access.decisions import AccessState
from quire.access.document import KEY, AccessDocument, decode_access, encode_access
from quire.domain.errors import Conflict, OutcomeUnknown, StoreError
from quire.index.audit.archive import archive_key, read_archive, rotate
from quire.index.audit.entries import Entry, Origin, describe_origin, entries_of, next_revision, timestamp
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


class AccessRecords:
    """The access record of one store. May be used from any thread and any number of processes."""

    def __init__(self, store: Store) -> None:
        self._records = store.records

    def read(self, known: StoredAccess | None = None) -> StoredAccess:
        """The state now: the very object `known` when it is unchanged. Raises StoreError."""
        record = self._records.read(KEY, known.record if known is not None else None)
        if known is not None and record is known.record:
            return known
        return StoredAccess(record, AccessState(decode_access(record.data)))

    def change(
        self, transition: Transition, action: str, details: Details, origin: Origin
    ) -> tuple[AccessDocument, AccessDocument]:
        """Change the document; it before and after. `details`: what the log's entry says beside the action.

        Raises what `transition` raises; StoreError when others are faster for too long, or the store cannot do it.
        """
        ends, pause = time.monotonic() + PATIENCE, _PAUSE
        entry: Entry = {"id": secrets.token_hex(8), "at": timestamp(), "action": action, **describe_origin(origin)}
        known, doubted = self.read(), None
        while True:
            log = entries_of(known.record)
            before = known.state.document
            if doubted is not None and any(each.get("id") == entry["id"] for each in log):
                self._records.confirm(known.record)
                return doubted
            after = transition(before)
            if after is before:
                self._records.confirm(known.record)
                return before, before
            try:
                said = details(before) if callable(details) else details
                self._write(known.record, after, log, {**entry, **said})
            except OutcomeUnknown:
                doubted = before, after
            except Conflict as error:
                if time.monotonic() > ends:
                    raise StoreError("The grants are being changed by too many at once; repeat later.") from error
            else:
                return before, after
            if doubted is not None and time.monotonic() > ends:
                raise OutcomeUnknown("It is not known whether the grants were changed; look, and repeat it if not.")
            time.sleep(random.uniform(0, pause))  # noqa: S311 - spreads writers, hides nothing
            pause = min(pause * 2, _LONGEST_PAUSE)
            known = self.read(known)

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

    def _write(self, record: Record, after: AccessDocument, log: Sequence[Entry], entry: Entry) -> None:
        kept = rotate(self._records, _ARCHIVE, record, list(log))
        kept.append(entry | {"revision": next_revision(kept)})
        self._records.write(KEY, encode_access(after, kept), record)
