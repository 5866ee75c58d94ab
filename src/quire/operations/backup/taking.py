"""Taking a backup. The package's text says why it is consistent."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import structlog

from quire import __version__
from quire.domain.errors import BlobMissing, DamagedRecord, StoreError
from quire.operations.backup.manifest import Bytes, Manifest, Missing, StoredFile, new_moment
from quire.operations.backup.place import UNNAMED_SECONDS, Backups, Fault, Trouble, each_of
from quire.operations.backup.snapshot import Captured, Reader, Wanted, bytes_of
from quire.process.progress import Progress
from quire.store.contracts import Store

_ROUNDS: Final = 20
_MOST_UNKNOWN_BYTES: Final = 64 * 1024 * 1024
"""Of a blob whose digest no record has: a signature, or attestations of an earlier version."""

log = structlog.stdlib.get_logger(__name__)


class ReadBack(StrEnum):
    """The objects of a backup that are read back from its place, and compared with their digests."""

    NONE = "none"
    NEW = "new"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup that was taken."""

    manifest: Manifest
    sha256: str
    """Of the manifest."""
    new: dict[str, int]
    """The sizes of the objects that were not there before, by digest."""


class _Unreadable(Exception):
    """The store cannot give the bytes of a blob; the message is a sentence."""


@dataclass(slots=True)
class _Known:
    """The objects that the backup may rely on, and where the bytes of blobs are."""

    sizes: dict[str, int]
    """By digest: those that are certain to stay."""
    unclaimed: dict[str, int]
    """The others that were there at the start."""
    files: dict[str, Bytes]
    """By the keys of blobs, whose bytes never change: those of the newest backup."""
    new: dict[str, int] = field(default_factory=dict)
    """Those that this backup has stored."""
    claimed: dict[str, int] = field(default_factory=dict)
    """Those that were unclaimed, and are used."""

    def forget(self, digests: Collection[str]) -> None:
        """Do not use these objects any more: they are damaged."""
        for known in (self.sizes, self.unclaimed, self.new, self.claimed):
            for digest in digests:
                known.pop(digest, None)
        self.files = {key: content for key, content in self.files.items() if content.sha256 not in digests}


def take(
    store: Store,
    backups: Backups,
    *,
    read_back: ReadBack = ReadBack.NEW,
    progress: Progress | None = None,
    now: datetime | None = None,
    unnamed_seconds: float = UNNAMED_SECONDS,
) -> Taken:
    """Back the store up. `now`: the time of the start, for the name of the backup. `unnamed_seconds`: so old is what
    interrupted ones have staged before it is removed.

    Raises StoreError when one of both cannot be used. Damaged and missing bytes are no error: the manifest lists them.
    An interrupted one is repeated, and copies only the bytes that are not there yet.
    """
    backups.sweep(unnamed_seconds)
    run = _Run(store, backups, progress or Progress(), now or datetime.now(UTC))
    taken = run.take(read_back)
    found = taken.manifest
    log.info(
        "backed up",
        moment=found.moment,
        target=backups.place,
        records=len(found.records),
        files=len(found.files),
        missing=len(found.missing),
        new_bytes=sum(taken.new.values()),
    )
    return taken


class _Run:
    """One backup. Use once."""

    def __init__(self, store: Store, backups: Backups, progress: Progress, now: datetime) -> None:
        self._store = store
        self._backups = backups
        self._progress = progress
        others = backups.moments()
        self._moment = new_moment(now, others)
        self._base = others[-1] if others else None
        self._known = self._known_objects()

    def take(self, read_back: ReadBack) -> Taken:
        reader = Reader(self._store.records, self._put)
        captured: dict[str, Captured] = {}
        failed: dict[str, str] = {}
        for _ in range(_ROUNDS):
            snapshot = reader.snapshot(captured, self._progress)
            captured = snapshot.captured
            before, failed = failed, self._copy(captured)
            faults = self._faults(captured, read_back)
            if faults:
                self._known.forget(faults)  # they are stored once more, and so are the records that they are of
                captured = {key: each for key, each in captured.items() if not faults & each.document.digests}
            elif not failed.keys() - before.keys():  # else those may be of files that are deleted by now
                return self._publish(captured, failed | snapshot.unreadable)
        raise StoreError("The store changes faster than it can be copied; repeat the backup, which goes on.")

    def _known_objects(self) -> _Known:
        there = self._backups.objects()
        if self._base is None:
            return _Known({}, there, {})
        try:
            base = self._backups.read(self._base)
        except DamagedRecord:
            return _Known({}, there, {})
        named = base.objects()
        for digest in [digest for digest, size in named.items() if there.get(digest, size) != size]:
            self._backups.discard(digest)
            del there[digest]
        named = {digest: size for digest, size in named.items() if digest in there}
        files = {file.key: file.content for file in base.files if file.content.sha256 in named}
        return _Known(named, {digest: size for digest, size in there.items() if digest not in named}, files)

    # -- copying ------------------------------------------------------------------------------------------------------

    def _put(self, data: bytes) -> Bytes:
        found = bytes_of(data)
        if not self._has(found.sha256):
            self._backups.put(found.sha256, [data])
            self._add(found)
        return found

    def _add(self, found: Bytes) -> None:
        self._known.sizes[found.sha256] = self._known.new[found.sha256] = found.size

    def _has(self, digest: str) -> bool:
        """Whether the object is there to stay."""
        if digest in self._known.sizes:
            return True
        if digest in self._known.unclaimed and self._backups.claim(digest):
            self._known.sizes[digest] = self._known.claimed[digest] = self._known.unclaimed[digest]
            return True
        return False

    def _copy(self, captured: Mapping[str, Captured]) -> dict[str, str]:
        """Copy the bytes that the records name and that are not there; a sentence about each blob that could not be
        copied, by its key."""
        wanted = [each for record in captured.values() for each in record.files if each.key not in self._known.files]
        self._progress.step("copying files", sum(each.size or 0 for each in wanted))
        failed: dict[str, str] = {}

        def work(each: Wanted) -> None:
            try:
                self._known.files[each.key] = self._copied(each)
            except _Unreadable as error:
                failed[each.key] = str(error)

        each_of(wanted, work)
        return failed

    def _copied(self, wanted: Wanted) -> Bytes:
        if wanted.sha256 is None:
            data = b"".join(self._pieces(wanted, _MOST_UNKNOWN_BYTES))
            return self._put(data)
        if self._has(wanted.sha256):
            self._progress.advance(wanted.size or 0)
            return Bytes(wanted.sha256, self._known.sizes[wanted.sha256])
        size = 0

        def counted() -> Iterator[bytes]:
            nonlocal size
            for piece in self._pieces(wanted):
                size += len(piece)
                yield piece

        if not self._backups.put(wanted.sha256, counted()):
            raise _Unreadable("Its bytes do not have the digest that its record has.")
        found = Bytes(wanted.sha256, size)
        self._add(found)
        return found

    def _pieces(self, wanted: Wanted, most: int | None = None) -> Iterator[bytes]:
        """Raises _Unreadable."""
        try:
            with self._store.blobs.open(wanted.key) as opened:
                if most is not None and opened.size > most:
                    raise _Unreadable("It is too large.")
                for piece in opened.pieces():
                    self._progress.advance(len(piece) if wanted.size is not None else 0)
                    yield piece
        except BlobMissing:
            raise _Unreadable("Its bytes are missing.") from None
        except StoreError as error:
            raise _Unreadable(str(error)) from None

    # -- the end ------------------------------------------------------------------------------------------------------

    def _faults(self, captured: Mapping[str, Captured], read_back: ReadBack) -> set[str]:
        """The objects of the backup that are missing or damaged in its place, as far as they are read back; damaged
        ones are removed. Raises StoreError when one cannot be read."""
        if read_back is ReadBack.NONE:
            return set()
        named, known = self._manifest(captured, {}).objects(), self._known
        if read_back is ReadBack.NEW:
            named = {digest: size for digest, size in named.items() if digest in known.new or digest in known.claimed}
        faults = faults_of(self._backups, named, self._progress)
        for digest, fault in sorted(faults.items()):
            # Not removed: it may be good, older backups may name it, and the store may not have its bytes any more.
            if fault.trouble is Trouble.UNREAD:
                raise StoreError(
                    f"The object {digest} in {self._backups.place} cannot be read back, so there is no new backup; "
                    f"repeat it. {fault.why}"
                )
        for digest, fault in faults.items():
            if fault.trouble is Trouble.DAMAGED:
                self._backups.discard(digest)
        return set(faults)

    def _manifest(self, captured: Mapping[str, Captured], missing: Mapping[str, str]) -> Manifest:
        keys = sorted({file.key for each in captured.values() for file in each.files})
        return Manifest(
            moment=self._moment,
            store=self._store.place,
            version=__version__,
            records=tuple(captured[key].document for key in sorted(captured)),
            files=tuple(StoredFile(key, self._known.files[key]) for key in keys if key in self._known.files),
            missing=tuple(Missing(key, missing[key]) for key in sorted(missing)),
        )

    def _publish(self, captured: Mapping[str, Captured], missing: dict[str, str]) -> Taken:
        damaged = {key: each.damage for key, each in captured.items() if each.damage is not None}
        manifest = self._manifest(captured, missing | damaged)
        digest = self._backups.publish(manifest)
        if self._base is not None and self._base not in self._backups.moments():
            self._backups.withdraw(self._moment)
            raise StoreError(
                f"Another command removed the backup {self._base}, on which this one relied; repeat it, and keep more "
                "backups."
            )
        if self._known.claimed and self._known.claimed.keys() - self._backups.objects().keys():
            # A removal that had found them old goes on though they were made young: a bucket removes an object
            # whatever became of it since.
            self._backups.withdraw(self._moment)
            raise StoreError("Another command removed objects on which this backup relied; repeat it.")
        return Taken(manifest, digest, self._known.new)


def faults_of(backups: Backups, objects: Mapping[str, int], progress: Progress) -> dict[str, Fault]:
    """Read objects back; by digest, what is wrong with each that is missing, damaged or cannot be read."""
    progress.step("reading back", sum(objects.values()))
    faults: dict[str, Fault] = {}

    def work(each: Bytes) -> None:
        fault = backups.fault(each, progress.advance)
        if fault is not None:
            faults[each.sha256] = fault

    each_of([Bytes(digest, size) for digest, size in objects.items()], work)
    return faults
