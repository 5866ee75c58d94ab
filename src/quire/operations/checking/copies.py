"""Other copies of a file that the store has lost, and how it is restored from one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from quire.domain.errors import QuireError, StoreError
from quire.domain.names import ParsedFilename, guess_filename
from quire.domain.project import File, Project
from quire.dropin.facts import offered_metadata
from quire.dropin.files import open_regular
from quire.dropin.folder import Folder
from quire.index.index import Index
from quire.index.integrity import has_digest
from quire.index.upload import Upload, new_blob_key
from quire.operations import changing
from quire.store.contracts import Staged, Store, StoredBlob

_CHUNK: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Copy:
    """A file with the same content."""

    where: str
    """For people."""
    pieces: Callable[[], Iterator[bytes]]
    """Its bytes in order. Raises StoreError, OSError."""


class Copies:
    """Finds copies in the store itself and in the folders that are served with it."""

    def __init__(self, store: Store, blobs: Mapping[str, StoredBlob], folder: Folder | None) -> None:
        """`blobs`: all of the store, by key."""
        self._store = store
        self._folder = folder
        self._keys: dict[str, list[str]] = {}  # by filename: most have one
        for key in blobs:
            self._keys.setdefault(key.rpartition("/")[2], []).append(key)

    def of(self, project: str, file: File) -> Copy | None:
        """A copy of a file of a project (normalized name), read to be certain; None when there is none."""
        for key in sorted(self._keys.get(file.filename, ())):
            if key.startswith(f"{project}/") and key != f"{file.blob}/{file.filename}":
                try:
                    if has_digest(self._store.blobs, key, file.sha256, file.size):
                        return Copy(f"blobs/{key}", partial(_stored_pieces, self._store, key))
                except StoreError:
                    continue
        return self._drop_in(project, file)

    def _drop_in(self, project: str, file: File) -> Copy | None:
        try:
            dropins = self._folder.project(project).files if self._folder is not None else ()
        except StoreError:
            return None
        for dropin in dropins:
            if dropin.file.sha256 == file.sha256:
                return Copy(dropin.path, partial(_file_pieces, dropin.path))
        return None


def _stored_pieces(store: Store, key: str) -> Iterator[bytes]:
    with store.blobs.open(key) as opened:
        yield from opened.pieces()


def _file_pieces(path: str) -> Iterator[bytes]:
    with open(open_regular(path), "rb") as file:
        while piece := file.read(_CHUNK):
            yield piece


def restore(index: Index, project: Project, file: File, copy: Copy) -> str | None:
    """Publish a listed file once more from a copy of it; says what was done, or None when it could not be done."""
    parsed = guess_filename(file.filename)
    if parsed is None:
        return None
    try:
        staged = _staged(index.store, new_blob_key(parsed), copy)
        try:
            upload = _upload(project, file, parsed, staged)
            restored = upload is not None and file.filename in changing.publish(index, [upload], imported=True).restored
        finally:
            staged.discard()
    except (QuireError, OSError):
        return None
    return f"It was restored from {copy.where}." if restored else None


def _staged(store: Store, key: str, copy: Copy) -> Staged:
    staging = store.blobs.stage(key)
    try:
        for piece in copy.pieces():
            staging.write(piece)
        return staging.finish()
    except BaseException:
        staging.discard()
        raise


def _upload(project: Project, file: File, parsed: ParsedFilename, staged: Staged) -> Upload | None:
    """The upload to be published; None when the copy is another file by now."""
    if staged.digests.sha256 != file.sha256:
        return None
    document = None
    if file.metadata_sha256 is not None:
        with staged.open() as opened:
            document, _ = offered_metadata(opened, parsed)
    return Upload(
        parsed=parsed,
        staged=staged,
        project_name=project.name,
        metadata=document,
        requires_python=file.requires_python,
    )
