"""The repairs of damage that a check may make. No stored data is ever lost by them: data out of use is kept aside."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import msgspec

from quire.archives.metadata import read_metadata
from quire.domain.errors import (
    BlobMissing,
    Conflict,
    DamagedRecord,
    InvalidDistribution,
    InvalidName,
    NotFound,
    StoreError,
)
from quire.domain.names import guess_filename
from quire.domain.project import File, Project, decode_project, encode_project
from quire.domain.tombstones import NONE, Tombstones
from quire.index.audit.entries import encode_note, entries_of, owners_of_note
from quire.index.commits import blob_keys
from quire.index.index import Index
from quire.operations import changing
from quire.operations.checking.copies import Copy, restore
from quire.store.contracts import Record, Store
from quire.store.posix.inspector import PosixInspector, Revision


@dataclass(frozen=True, slots=True)
class Restored:
    """The result of restoring a record."""

    revision: int
    """The revision that is in force again."""
    damaged: int
    kept: str
    """Where the damaged one is kept."""
    unlisted: tuple[str, ...]
    """Filenames that are stored and that the restored record does not list."""

    def __str__(self) -> str:
        sentence = (
            f"Revision {self.revision} is in force again, so the changes of revision {self.damaged} are lost; "
            f"the damaged document is kept as {self.kept}."
        )
        if self.unlisted:
            sentence += (
                f" Stored, but not listed any more, and kept in damaged/blobs: {', '.join(self.unlisted)}; "
                "publish again what of it belongs there."
            )
        return sentence


class Repairs:
    """Repairs in one store. Each returns what it did as a sentence, or None when nothing was or could be done."""

    def __init__(self, store: Store, inspector: PosixInspector) -> None:
        self._store = store
        self._inspector = inspector

    def restore_file(self, index: Index, name: str, file: File, copy: Copy | None) -> str | None:
        """Bring a file that cannot be served back from a copy of it; without one, take it out of the listing."""
        project = index.project(name)
        if copy is None or project is None:
            return self.withdraw(index, name, file)
        for key in blob_keys(file):
            self._keep(key)
        restored = restore(index, project, file, copy)
        if restored is not None:
            self._remove(blob_keys(file))
        return restored

    def withdraw(self, index: Index, name: str, file: File) -> str | None:
        """Take a file that cannot be served out of the listing; keep its remaining blobs."""
        kept = [where for key in blob_keys(file) if (where := self._keep(key)) is not None]
        if not self._amend(index, name, file, lambda _: None):
            return None
        self._remove(blob_keys(file))
        left = f"what is left of it is kept: {', '.join(kept)}" if kept else "nothing is left of it"
        return f"It was taken out of the listing; {left}. Publish the file again."

    def renew_metadata(self, index: Index, name: str, file: File) -> str | None:
        """Read the core metadata out of the distribution again; where that gives something else, offer none."""
        key = f"{file.blob}/{file.filename}.metadata"
        try:
            document = self._metadata(file)
        except StoreError:  # the distribution may be well, and its metadata can be read at another time
            return None
        if document is None or hashlib.sha256(document).hexdigest() != file.metadata_sha256:
            kept = self._keep(key)
            if not self._amend(index, name, file, lambda entry: msgspec.structs.replace(entry, metadata_sha256=None)):
                return None
            self._remove([key])
            return "It is not offered any more; " + (f"what was there is kept as {kept}." if kept else "it is lost.")
        self._keep(key)
        self._remove([key])
        staging = self._store.blobs.stage(key)
        try:
            staging.write(document)
            self._store.blobs.publish(staging.finish())
        finally:
            staging.discard()
        return "It was read out of the distribution again, byte for byte as it was published."

    def drop_signature(self, index: Index, name: str, file: File) -> str | None:
        """Stop offering a signature that is gone."""
        if not self._amend(index, name, file, lambda entry: msgspec.structs.replace(entry, signed=False)):
            return None
        return "It is not offered any more."

    def drop_attestations(self, index: Index, name: str, file: File) -> str | None:
        """Stop listing attestations that are gone, damaged, or were never verified; keep what there is of them."""
        key = f"{file.blob}/{file.filename}.attestations"
        kept = self._keep(key)
        without = partial(msgspec.structs.replace, attested=False, provenance_sha256=None)
        if not self._amend(index, name, file, without):
            return None
        self._remove([key])
        return "They are not listed any more; " + (f"what was there is kept as {kept}." if kept else "they are lost.")

    def rename(self, index: Index, name: str) -> str | None:
        """Give the project its normalized name for a display name."""

        def transition(project: Project | None) -> Project:
            if project is None:
                raise NotFound(f"The project {name} does not exist.")
            return msgspec.structs.replace(project, name=name)

        try:
            return f"Its name is {name} now." if changing.repair(index, name, transition).changed else None
        except NotFound:
            return None

    def restore(self, key: str, record: Record, stored: Iterable[str]) -> Restored | None:
        """Put the newest good revision in force again. `stored`: the keys of the project's blobs that no other record
        names.

        None when there is none, when the project was absent before, or when another writer changed it meanwhile.
        """
        revisions = list(self._inspector.revisions(key))
        if not revisions or revisions[0].data is None or revisions[0].data != record.data:
            return None
        damaged, good = revisions[0], _newest_good(revisions[1:])
        if good is None or good.data is None:
            return None
        kept = self._inspector.keep_revision(key, damaged.number, record.data)
        listed = {name for file in decode_project(good.data).files.values() for name in blob_keys(file)}
        unlisted = sorted(set(stored) - listed)
        for blob in unlisted:
            self._keep(blob)
        try:
            self._store.records.write(key, good.data, record)
        except Conflict:
            return None
        return Restored(good.number, damaged.number, kept, tuple(blob.rpartition("/")[2] for blob in unlisted))

    def take_out(self, record: Record) -> str | None:
        """Delete a record of which nothing can be read. None when another writer was faster."""
        newest = next(iter(self._inspector.revisions(record.key)), None)
        if newest is None or record.data is None or newest.data != record.data:
            return None
        kept = self._inspector.keep_revision(record.key, newest.number, record.data)
        try:
            self._store.records.write(record.key, None, record)
        except Conflict:
            return None
        return f"It is out of use; the damaged document is kept as {kept}."

    def mend_tombstones(self, record: Record) -> str | None:
        """Keep the readable names and digests of deleted files. None when another writer was faster."""
        newest = next(iter(self._inspector.revisions(record.key)), None)
        if newest is None or newest.data != record.data:
            return None
        kept = self._inspector.keep_revision(record.key, newest.number, record.data or record.note or b"")
        log = entries_of(record)
        try:
            if record.data is not None:
                project = decode_project(record.data, record.key)
                project = msgspec.structs.replace(project, deleted=project.deleted.legible())
                self._store.records.write(record.key, encode_project(project, log), record)
            else:
                self._store.records.write(record.key, None, record, encode_note(log, _legible(record), _owners(record)))
        except Conflict:
            return None
        return (
            f"The names that can be read are in force again, the others may get other content; "
            f"the damaged document is kept as {kept}."
        )

    def _amend(self, index: Index, name: str, file: File, edit: Callable[[File], File | None]) -> bool:
        """Replace an entry if it is still this one; None takes it out."""
        try:
            return changing.repair(index, name, partial(_edited, file, edit)).changed
        except NotFound:
            return False

    def _metadata(self, file: File) -> bytes | None:
        parsed = guess_filename(file.filename)
        if parsed is None:
            return None
        try:
            opened = self._store.blobs.open(f"{file.blob}/{file.filename}")
        except BlobMissing:
            return None
        with opened:
            try:
                return read_metadata(opened.as_file(), parsed)
            except InvalidDistribution:
                return None

    def _keep(self, key: str) -> str | None:
        try:
            return self._inspector.keep_blob(key)
        except InvalidName:
            return None

    def _remove(self, keys: Iterable[str]) -> None:
        for key in keys:
            try:
                self._store.blobs.remove(key)
            except (StoreError, InvalidName):
                return  # blobs that no record lists are garbage, and collected as such


def _edited(file: File, edit: Callable[[File], File | None], project: Project | None) -> Project:
    if project is None:
        raise NotFound("The project does not exist.")
    present = project.files.get(file.filename)
    if present is None or present.blob != file.blob:
        return project
    entry = edit(present)
    files = {name: entry if name == file.filename else other for name, other in project.files.items()}
    return msgspec.structs.replace(project, files={name: each for name, each in files.items() if each is not None})


def _legible(record: Record) -> Tombstones:
    try:
        return Tombstones.of_note(record.note, record.key).legible()
    except DamagedRecord:
        return NONE


def _owners(record: Record) -> tuple[str, ...]:
    try:
        return owners_of_note(record.note, record.key) if record.note is not None else ()
    except DamagedRecord:
        return ()


def _newest_good(revisions: Iterable[Revision]) -> Revision | None:
    for revision in revisions:
        if revision.data is None:
            return revision
        try:
            decode_project(revision.data)
        except DamagedRecord:
            continue
        return revision
    return None
