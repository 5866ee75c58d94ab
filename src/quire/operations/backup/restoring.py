"""Restoring a backup into an empty store. The package's text says why no part of it is served."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import structlog

from quire.access.document import KEY
from quire.domain.advisory_sources import is_advisories
from quire.domain.errors import BlobMissing, InvalidName, InvalidRequest, StoreError
from quire.operations.backup.manifest import Bytes, Document, Manifest, StoredFile
from quire.operations.backup.place import Backups, each_of, publish_pieces
from quire.process.progress import Progress
from quire.store.contracts import Store, check_record_key
from quire.store.purposes import Purpose

_OTHER: Final = "Its bytes in the backup have another digest."
_PLACEHOLDER: Final = b"{}"
"""The first document of a record that is deleted. (`null` is how a store in a directory writes a deletion.)"""
_KEY_PARTS: Final = 3
_NO_RULES: Final = b'{"lost": true}'
"""In place of the access document: it cannot be read as one, so that no server serves without its grants and claims."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Restored:
    """The result."""

    manifest: Manifest
    damaged: dict[str, str]
    """By key, a sentence about each record or file whose bytes the backup does not have; of those that the store could
    not give to it, the records."""
    is_complete: bool
    """Whether the store can be served."""


class _Damaged(Exception):
    """The backup does not have the bytes of an object; the message is a sentence."""


def restore(
    manifest: Manifest, backups: Backups, store: Store, *, skip_damaged: bool = False, progress: Progress | None = None
) -> Restored:
    """Fill an empty store, or go on with one that is marked. `skip_damaged`: let it be served also when the backup does
    not have all bytes. Raises InvalidRequest for a store that has something else, StoreError."""
    progress = progress or Progress()
    _check_empty(store, manifest)
    store.dedicate(Purpose.RESTORE)
    run = _Run(backups, store, progress)
    run.files(manifest.files)
    run.records(manifest.records)
    for key, why in _lost(manifest).items():
        run.lose(key, f"The store could not give it to the backup. {why}")
    is_complete = skip_damaged or not run.damaged
    if is_complete:
        run.close_lost()  # before anything is served
        store.dedicate(Purpose.INDEX)
        log.info("restored", moment=manifest.moment, records=len(manifest.records), files=len(manifest.files))
    return Restored(manifest, run.damaged, is_complete)


def _check_empty(store: Store, manifest: Manifest) -> None:
    """Raises InvalidRequest when the store has what a restore of this backup has not put there."""
    allowed: set[str] = set()
    if store.purpose is Purpose.RESTORE:
        allowed = {record.key for record in manifest.records} | {f"blobs/{file.key}" for file in manifest.files}
        allowed |= _lost(manifest).keys()
    other = next((key for key in _keys(store) if key not in allowed), None)
    if other is None:
        return
    if store.purpose is Purpose.RESTORE:
        raise InvalidRequest(
            f"{store.place} has {other}, which is not of the backup {manifest.moment}; go on with the backup with "
            "which the restore began (--at), or begin in an empty place."
        )
    raise InvalidRequest(f"{store.place} is not empty: it has {other}; a backup is restored into an empty place only.")


def _lost(manifest: Manifest) -> dict[str, str]:
    """By key, a sentence about each record that the backup does not have because the store could not give it."""
    there = {record.key for record in manifest.records}  # also those of which the store gave bytes that are no document
    return {each.key: each.why for each in manifest.missing if each.key not in there and _is_record(each.key)}


def _is_record(key: str) -> bool:
    """Whether this key of the list of what is missing is that of a record: others end with the name of a file."""
    try:
        return len(check_record_key(key)) == _KEY_PARTS and not is_advisories(key)
    except InvalidName:
        return False


def _is_project(key: str) -> bool:
    return key.split("/")[1] == "projects"


def _keys(store: Store) -> Iterator[str]:
    """The keys of all records, and of all blobs behind `blobs/`."""
    for folder in store.records.prefixes():
        for name in store.records.written(folder):
            yield f"{folder}/{name}"
    for blob in store.blobs.list():
        yield f"blobs/{blob.key}"


class _Run:
    """One restore. Use once."""

    def __init__(self, backups: Backups, store: Store, progress: Progress) -> None:
        self._backups = backups
        self._store = store
        self._progress = progress
        self._begin_present: set[str] = set()
        """The keys of records that are written once before they are deleted."""
        self.damaged: dict[str, str] = {}
        self._lost: set[str] = set()
        """The keys of records among the damaged."""

    def files(self, files: tuple[StoredFile, ...]) -> None:
        """Publish all that are not there. Those that are there are whole: a blob gets its key with its last byte. They
        are made durable, which an interrupted restore may not have done."""
        there = {blob.key: blob.size for blob in self._store.blobs.list()}
        absent = [file for file in files if there.get(file.key) != file.content.size]
        each_of((file.key for file in files if there.get(file.key) == file.content.size), self._store.blobs.confirm)
        self._progress.step("restoring files", sum(file.content.size for file in absent))
        each_of(absent, self._file)

    def records(self, records: tuple[Document, ...]) -> None:
        """Write all that are not as they should be."""
        self._progress.step("restoring records", len(records))
        listed = {_folder(each.key) for each in records if each.data is not None}
        for each in records:
            # A folder is known by a name that was once present, and a store may write no deletion of what never was.
            if each.data is None and (each.note is None or _folder(each.key) not in listed):
                listed.add(_folder(each.key))
                self._begin_present.add(each.key)
        each_of(records, self._record)

    def _file(self, file: StoredFile) -> None:
        def counted() -> Iterator[bytes]:
            for piece in self._pieces(file.content):
                yield piece
                self._progress.advance(len(piece))

        try:
            if not publish_pieces(self._store.blobs, file.key, counted(), file.content.sha256):
                raise _Damaged(_OTHER)
        except _Damaged as error:
            self.damaged[f"blobs/{file.key}"] = str(error)

    def _record(self, document: Document) -> None:
        self._progress.advance(1)
        try:
            data, note = self._bytes(document.data), self._bytes(document.note)
        except _Damaged as error:
            self.lose(document.key, str(error))
            return
        self._write(document.key, data, note)

    def lose(self, key: str, why: str) -> None:
        """Note a record that the backup does not have."""
        self._lost.add(key)
        self.damaged[key] = why

    def close_lost(self) -> None:
        """Write something in place of each lost record whose absence would open what it had closed: a name that was
        never written may be asked upstream, and without grants the settings decide."""
        for key in self._lost:
            if key == KEY:
                self._write(key, _NO_RULES, None)
                self.damaged[key] += " It is restored as a damaged one, with which no server starts."
            elif _is_project(key):
                self._begin_present.add(key)
                self._write(key, None, None)
                self.damaged[key] += " It is restored as deleted, without owners and the digests of its files."

    def _write(self, key: str, data: bytes | None, note: bytes | None) -> None:
        found = self._store.records.read(key)
        if not found.was_written and key in self._begin_present:
            found = self._store.records.write(key, _PLACEHOLDER, found)
        if not found.was_written or (found.data, found.note) != (data, note):
            self._store.records.write(key, data, found, note)
        else:
            self._store.records.confirm(found)

    def _bytes(self, content: Bytes | None) -> bytes | None:
        if content is None:
            return None
        data = b"".join(self._pieces(content))
        if hashlib.sha256(data).hexdigest() != content.sha256:
            raise _Damaged(_OTHER)
        return data

    def _pieces(self, content: Bytes) -> Iterator[bytes]:
        """Raises _Damaged."""
        try:
            with self._backups.open(content.sha256) as opened:
                if opened.size != content.size:
                    raise _Damaged(_OTHER)
                yield from opened.pieces()
        except BlobMissing:
            raise _Damaged("Its bytes are missing in the backup.") from None
        except StoreError as error:
            raise _Damaged(str(error)) from None


def _folder(key: str) -> str:
    return key.rpartition("/")[0]
