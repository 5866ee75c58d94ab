"""Removing kept files of other indexes when they have more bytes than they may, those first that were not used longest.

Theory of operation. A run lists all that is kept, and removes files until a sixteenth of the bound is free again. Any
number of workers may run at the same time, and any of them may be killed: a removal is one step, all of them choose the
same files, and a removed file is fetched again by the next request for it. A download that is under way goes on: from
the open file where the store is a local disk, else with bytes from the other index (`quire.upstream.reading.KeptBlob`).

Some files cannot be fetched again: the other index lists them no more, or could not be asked when its page was wanted
last. They are removed only when the bound does not hold after all others are gone.

Pages, and metadata that was made here, are not removed, and count all the same: the files have the rest of the bound.
Where that would be less than a quarter of it, they have a quarter: with pages alone a mirror would be of no use. Pages
say which index a name belongs to, and they are needed while the other index cannot be reached.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from quire.domain.errors import BlobMissing, Conflict, DamagedRecord
from quire.domain.reserved import MIRROR
from quire.domain.structs import decode_as
from quire.store.contracts import Record, Store, StoredBlob
from quire.upstream.kept import FileKey, Kept, kept_files
from quire.upstream.mirrored import decode_page, read_content
from quire.upstream.uses import FOLDER, Uses, read_uses

FREE: Final = 16
"""After a run this part of the bound is free."""
LEAST: Final = 4
"""Files have at least this part of the bound, however much pages take."""
KEPT_KEY: Final = f"{FOLDER}/kept"
_MOST_PAGES: Final = 100


class UpstreamCount(msgspec.Struct, frozen=True, kw_only=True):
    """The part of one upstream in such a count."""

    files: int
    bytes: int


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """The count of the last run: a record that all workers read, so that each does not count by itself."""

    format: int = 1
    at: datetime
    files: int
    bytes: int
    bound: int | None = None
    """Bytes, of the servers; None without one."""
    upstreams: dict[str, UpstreamCount] | None = None
    """By name; None in a count of an earlier version."""


@dataclass(slots=True)
class Evicted:
    """The result of a run."""

    bound: int | None
    removed: list[StoredBlob] = field(default_factory=list)
    """The files that were removed, or would be."""
    last_copies: int = 0
    """Those among them that the other index may not have any more."""
    kept: Kept = field(default_factory=Kept)
    """All that was there before."""
    oldest: float | None = None
    """Seconds since the epoch: the last use of the file that is the next to go; None without files."""

    @property
    def bytes(self) -> int:
        return sum(blob.size for blob in self.removed)

    @property
    def left(self) -> int:
        """The bytes that are kept after it, with those of pages."""
        return self.kept.bytes + self.kept.page_bytes - self.bytes


def evict(
    store: Store, bound: int | None, now: datetime, *, dry_run: bool = False, is_of_servers: bool = True
) -> Evicted:
    """Remove files of other indexes until all that is kept of them has at most `bound` bytes; None: only count.

    `is_of_servers`: whether servers keep to this bound, too; else the record keeps the one that it has. Blocks, for
    as long as a walk through all of it takes. Raises StoreError.
    """
    kept, of_upstreams = Kept(), kept_files(store.blobs)
    for each in of_upstreams.values():
        kept.add(each)
    done = Evicted(bound, kept=kept)
    ordered = in_order(kept.blobs, read_uses(store.records, now), now) if kept.blobs else []
    if bound is not None and done.left > (limit := max(bound, kept.page_bytes + bound // LEAST)):
        _remove(store, ordered, limit, limit - bound // FREE, done, dry_run=dry_run)
    gone = {blob.key for blob in done.removed}
    done.oldest = next((used for used, blob in ordered if blob.key not in gone), None)
    if not dry_run and store.writable:
        if not is_of_servers:
            bound = None if (last := counted(store)) is None else last.bound
        upstreams = {name: _left(each, gone) for name, each in of_upstreams.items()}
        _record(
            store,
            Counted(at=now, files=kept.files - len(gone), bytes=done.left, bound=bound, upstreams=upstreams),
        )
    return done


def _left(kept: Kept, gone: Collection[str]) -> UpstreamCount:
    removed = [blob.size for blob in kept.blobs if blob.key in gone]
    return UpstreamCount(files=kept.files - len(removed), bytes=kept.bytes + kept.page_bytes - sum(removed))


def in_order(blobs: Iterable[StoredBlob], uses: Uses, now: datetime) -> list[tuple[float, StoredBlob]]:
    """The files with the times of their last use, seconds since the epoch, the oldest first."""
    seconds = now.timestamp()
    found = [(max(uses.last(blob.key) or 0.0, seconds - blob.age), blob) for blob in blobs]
    return sorted(found, key=lambda each: (each[0], -each[1].age, each[1].key))


def counted(store: Store) -> Counted | None:
    """The count of the last run; None when there was none that this version understands. Raises StoreError."""
    return _decoded(store.records.read(KEPT_KEY))


def _remove(
    store: Store, ordered: Iterable[tuple[float, StoredBlob]], limit: int, target: int, done: Evicted, *, dry_run: bool
) -> None:
    """Remove files down to `target` bytes, and last copies down to `limit`."""
    offers, last_copies, left = _Offers(store), list[StoredBlob](), done.left
    for _, blob in ordered:
        if left <= target:
            return
        if not offers.has(blob.key):
            last_copies.append(blob)
            continue
        left -= _removed(store, blob, done, dry_run=dry_run)
    for blob in last_copies:
        if left <= limit:
            return
        left -= _removed(store, blob, done, dry_run=dry_run)
        done.last_copies += 1


def _removed(store: Store, blob: StoredBlob, done: Evicted, *, dry_run: bool) -> int:
    if not dry_run:
        store.blobs.remove(blob.key)
    done.removed.append(blob)
    return blob.size


class _Offers:
    """The files that other indexes offer, by the kept pages."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, frozenset[tuple[str, str]]] = {}

    def has(self, key: str) -> bool:
        """Whether the file of a blob, or the file that it belongs to, can probably be fetched again."""
        file = FileKey.of(key)
        if file is None:
            return True
        folder = f"{MIRROR}/{file.upstream}/{file.project}"
        offered = self._known.get(folder)
        if offered is None:
            if len(self._known) >= _MOST_PAGES:
                self._known.clear()
            offered = self._known[folder] = self._read(folder)
        return (file.sha256, file.filename) in offered

    def _read(self, folder: str) -> frozenset[tuple[str, str]]:
        try:
            record = self._store.records.read(folder)
            page = decode_page(record.data) if record.data is not None else None
            if page is None or page.trouble is not None:
                return frozenset()
            content = read_content(self._store.blobs, folder, page)
        except (BlobMissing, DamagedRecord):  # it is asked for again before any file of it is
            return frozenset()
        files = content.files if content is not None else ()
        return frozenset((each.hashes.get("sha256", ""), each.filename) for each in files)


def _record(store: Store, now: Counted) -> None:
    record = store.records.read(KEPT_KEY)
    try:
        store.records.write(KEPT_KEY, msgspec.json.format(msgspec.json.encode(now), indent=1) + b"\n", record)
    except Conflict:  # another worker counted at the same time
        return


def _decoded(record: Record) -> Counted | None:
    try:
        found = decode_as(record.data or b"", Counted)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return found if found.format == 1 and found.at.tzinfo is not None else None
