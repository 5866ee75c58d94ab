"""Anomalies of a POSIX store: names that do not belong, and files that writers left when they died.

The store is in use. A name that is found is checked a second time before it is reported, so that a change under way is
not taken for a remnant. A name that may still belong to a change has an age, by the clock of the files' times, for the
caller to judge.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from quire.domain.errors import InvalidName, StoreReadOnly
from quire.store.contracts import check_record_key
from quire.store.posix.errors import if_there, store_errors
from quire.store.posix.files import DurableDirectories, create_durable, is_same_file, sync_directory
from quire.store.posix.records import mode_of, split_tombstone
from quire.store.posix.store import PosixStore

DAMAGED = "damaged"
"""The folder of the store in which repairs keep what they take out of use. Nothing reads it; people may empty it."""

_FOLDERS = {"records", "blobs", "incoming", DAMAGED}
_REVISION = re.compile(r"([0-9]{8,18})\.json")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_MARKER = re.compile(r"([a-z0-9][a-z0-9_-]*)\.deleted")
_INTENT = re.compile(r"([a-z0-9][a-z0-9_-]*)\.[0-9a-f]+\.changing")


class Kind(StrEnum):
    """The kind of an anomaly."""

    INCOMING = "incoming"
    """Staged bytes, of an upload under way or of one that ended without tidying up."""
    INTENT = "announcement"
    """A change of the list of names, under way or left by a writer that died. The list is right all the same."""
    MARKER = "marker"
    """A marker that does not match its record: the list of names has a deleted one, or lacks one that is there."""
    NO_REVISION = "no-revision"
    """The directory of a record without any revision."""
    EMPTY_DIRECTORY = "empty-directory"
    """A directory in which a file was, or was about to be."""
    FOREIGN = "foreign"
    """Not made by quire."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One anomaly."""

    kind: Kind
    path: str
    """Relative to the store's folder."""
    age: float
    """Seconds since it was last touched."""
    size: int
    """Bytes of the files there."""
    key: str | None = None
    """The record that it is about."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One stored revision of a record."""

    number: int
    data: bytes | None
    """None when it says that the record is deleted."""


class PosixInspector:
    """Looks into one store, and repairs what a store can repair by itself."""

    def __init__(self, store: PosixStore) -> None:
        self._store = store
        self._home = store.home

    def revisions(self, key: str) -> Iterator[Revision]:
        """The stored revisions of a record, the newest first. One that is pruned meanwhile is left out."""
        check_record_key(key)
        directory = f"{self._home}/records/{key}"
        with store_errors(f"read the record {key}"):
            numbers = sorted(
                (int(m[1]) for name in os.listdir(directory) if (m := _REVISION.fullmatch(name))), reverse=True
            )
            for number in numbers:
                with if_there(), open(f"{directory}/{number:08d}.json", "rb") as file:
                    yield Revision(number, split_tombstone(file.read())[0])

    # -- anomalies -----------------------------------------------------------------------------------------------------

    def anomalies(self) -> list[Anomaly]:
        """All names that do not belong, or are remnants. Raises StoreError when they cannot be read."""
        with store_errors("list its own folders"):
            now = self._store.blobs.now()
            found = [*self._in_home(now), *self._in_incoming(now), *self._in_records(now), *self._in_blobs(now)]
            return [anomaly for anomaly in found if self._is_still_there(anomaly)]

    def _is_still_there(self, anomaly: Anomaly) -> bool:
        if anomaly.kind is Kind.MARKER:
            assert anomaly.key is not None
            return self._marker_is_wrong(anomaly.key)
        if anomaly.kind is Kind.EMPTY_DIRECTORY:
            return self._is_empty(f"{self._home}/{anomaly.path}")
        return os.path.lexists(f"{self._home}/{anomaly.path}")

    def _anomaly(self, kind: Kind, path: str, now: float, key: str | None = None) -> Iterator[Anomaly]:
        """One, or none when it has gone meanwhile."""
        with if_there():
            status = os.stat(path, follow_symlinks=False)
            size = status.st_size if stat.S_ISREG(status.st_mode) else 0
            yield Anomaly(kind, path.removeprefix(f"{self._home}/"), max(0.0, now - status.st_ctime), size, key)

    def _in_home(self, now: float) -> Iterator[Anomaly]:
        for entry in _entries(self._home):
            expected = entry.is_dir(follow_symlinks=False) if entry.name in _FOLDERS else entry.name == "format"
            if not expected:
                yield from self._anomaly(Kind.FOREIGN, entry.path, now)

    def _in_incoming(self, now: float) -> Iterator[Anomaly]:
        for entry in _entries(f"{self._home}/incoming"):
            yield from self._anomaly(Kind.INCOMING, entry.path, now)

    def _in_records(self, now: float) -> Iterator[Anomaly]:
        for index in _entries(f"{self._home}/records"):
            if not _is_folder(index):
                yield from self._anomaly(Kind.FOREIGN, index.path, now)
                continue
            for kind in _entries(index.path):
                if not _is_folder(kind):
                    yield from self._anomaly(Kind.FOREIGN, kind.path, now)
                    continue
                yield from self._in_prefix(f"{index.name}/{kind.name}", kind.path, now)

    def _in_prefix(self, prefix: str, path: str, now: float) -> Iterator[Anomaly]:
        entries = _entries(path)
        with_intent = {match[1] for entry in entries if (match := _INTENT.fullmatch(entry.name))}
        for entry in entries:
            marker = _MARKER.fullmatch(entry.name)
            if _is_folder(entry):
                yield from self._in_record(
                    f"{prefix}/{entry.name}", entry.path, now, has_intent=entry.name in with_intent
                )
            elif _INTENT.fullmatch(entry.name):
                yield from self._anomaly(Kind.INTENT, entry.path, now)
            elif marker is None or not os.path.isdir(f"{path}/{marker[1]}"):
                yield from self._anomaly(Kind.FOREIGN, entry.path, now)

    def _in_record(self, key: str, path: str, now: float, *, has_intent: bool) -> Iterator[Anomaly]:
        entries = _entries(path)
        for entry in entries:
            if not (_REVISION.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)):
                yield from self._anomaly(Kind.FOREIGN, entry.path, now)
        if not any(_REVISION.fullmatch(entry.name) for entry in entries):
            if not os.path.exists(f"{path}.deleted"):
                yield from self._anomaly(Kind.NO_REVISION, path, now, key)
        elif not has_intent and self._marker_is_wrong(key):
            yield from self._anomaly(Kind.MARKER, path, now, key)

    def _marker_is_wrong(self, key: str) -> bool:
        """Whether marker and record disagree, and did not just change."""
        try:
            record = self._store.records.read(key)
        except InvalidName:
            return False
        marker = f"{self._home}/records/{key}.deleted"
        is_marked = os.path.exists(marker)
        if is_marked == (record.data is None):
            return False
        folder, _, name = f"{self._home}/records/{key}".rpartition("/")
        if any(match[1] == name for entry in _entries(folder) if (match := _INTENT.fullmatch(entry.name))):
            return False  # a writer is about to correct it
        return self._store.records.read(key, record) is record and os.path.exists(marker) is is_marked

    def _in_blobs(self, now: float) -> Iterator[Anomaly]:
        for project in _entries(f"{self._home}/blobs"):
            if project.is_dir(follow_symlinks=False):
                for publication in _entries(project.path):
                    if publication.is_dir(follow_symlinks=False) and self._is_empty(publication.path):
                        yield from self._anomaly(Kind.EMPTY_DIRECTORY, publication.path, now)

    @staticmethod
    def _is_empty(path: str) -> bool:
        try:
            with os.scandir(path) as entries:
                return next(entries, None) is None
        except (FileNotFoundError, NotADirectoryError):
            return False

    # -- repairs ------------------------------------------------------------------------------------------------------

    def tidy(self, anomaly: Anomaly) -> str | None:
        """Correct one; returns what was done, or None when an operator has to decide. Sweeping is the store's work."""
        if anomaly.kind in {Kind.MARKER, Kind.NO_REVISION}:
            assert anomaly.key is not None
            self._store.records.listing.repair_marker(anomaly.key)
            return "The list of names agrees with the record now."
        if anomaly.kind is Kind.EMPTY_DIRECTORY:
            with contextlib.suppress(OSError):  # it has a file again, or it is gone: either is fine
                os.rmdir(f"{self._home}/{anomaly.path}")
            return "The empty directory was removed."
        return None

    def keep_blob(self, key: str) -> str | None:
        """Give a blob a second name below `damaged/`; where, relative to the store's folder. None when it is gone."""
        target = f"{self._home}/{DAMAGED}/blobs/{key}"
        self._check_writable()
        with store_errors("keep a damaged file aside"):
            DurableDirectories(self._home).ensure(target.rpartition("/")[0])
            try:
                os.link(f"{self._home}/blobs/{key}", target, follow_symlinks=False)
            except FileExistsError:
                if not is_same_file(f"{self._home}/blobs/{key}", target):
                    raise
            except (FileNotFoundError, NotADirectoryError):
                return None
            sync_directory(target.rpartition("/")[0])
        return target.removeprefix(f"{self._home}/")

    def keep_revision(self, key: str, number: int, data: bytes) -> str:
        """Keep a copy of a damaged revision below `damaged/`; where, relative to the store's folder."""
        target = f"{self._home}/{DAMAGED}/records/{key}/{number:08d}.json"
        self._check_writable()
        with store_errors("keep a damaged record aside"):
            DurableDirectories(self._home).ensure(target.rpartition("/")[0])
            with contextlib.suppress(FileExistsError):  # an earlier repair was interrupted after this
                create_durable(target, data, mode_of(key, 0o666))
            sync_directory(target.rpartition("/")[0])
        return target.removeprefix(f"{self._home}/")

    def _check_writable(self) -> None:
        if not self._store.writable:
            raise StoreReadOnly("The store cannot be repaired: it cannot be written.")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and _NAME.fullmatch(entry.name) is not None


def _entries(path: str) -> list[os.DirEntry[str]]:
    """The entries of a directory, sorted, but for dot names, which are the file system's; none when it is gone."""
    try:
        with os.scandir(path) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
