"""Imports the mirrors of another store, which an export carried over an air gap.

Theory of operation
-------------------
The export is trusted no further than its bytes prove. Its pages are read as strictly as answers of the upstream, and
decide about its files: each must be listed on a page of the export with its digest, and metadata must have the digest
that the page announces. Each file is published by itself once its bytes are verified, so an import that ended half-way
is repeated, and skips what is here; the export has to be whole all the same. The pages are written after all files,
each in one step, and never over a newer one: so a server of this store never lists a file of the export that is not
here, and never goes back.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hmac import compare_digest
from typing import BinaryIO, Final

import msgspec
import zstandard

from quire.domain.errors import BlobMissing, Conflict, DigestMismatch, InvalidRequest, UpstreamError
from quire.domain.reserved import MIRROR
from quire.operations.mirroring.carriers import FILES, PAGES, Pieces, Reader
from quire.operations.mirroring.manifest import FileEntry, Manifest, PageEntry, blob_key, decode, sizes
from quire.process.progress import Progress
from quire.store.contracts import Staging, Store
from quire.upstream.making import make_of_kept
from quire.upstream.mirrored import MAX_CONTENT_BYTES
from quire.upstream.page_documents import read_document
from quire.upstream.page_store import PageStore
from quire.upstream.pages import UpstreamFile, UpstreamPage

_MOST_WINDOW: Final = 2**27
"""Bytes that unpacking a page may need beside its result; quire's own pages need 8 MiB."""


@dataclass(slots=True)
class Imported:
    """The outcome of an import."""

    digest: str
    """The SHA-256 of the list."""
    upstreams: dict[str, str | None]
    """The URL of each, by its name in keys."""
    pages: int = 0
    """That were taken."""
    kept_pages: int = 0
    """Of which this store has the same one, or a newer one."""
    files: int = 0
    bytes: int = 0
    present: int = 0
    """Files that were here."""


def import_mirror(store: Store, reader: Reader, progress: Progress, digest: str | None = None) -> Imported:
    """Take in an export. `digest`: the SHA-256 that its list must have; None where that is not known.

    Raises InvalidRequest and DigestMismatch for an export that is not whole, or not as an export is; the files before
    the fault are kept then, and no page is. Raises StoreError.
    """
    data = reader.read_list()
    found = hashlib.sha256(data).hexdigest()
    if digest is not None and not compare_digest(found, digest):
        raise DigestMismatch(f"The list of the export has the SHA-256 {found}, and not {digest}; nothing was imported.")
    manifest = decode(data)
    result = Imported(found, dict(manifest.head.upstreams))
    with tempfile.TemporaryFile() as spool:
        pages = _Pages(manifest, spool)
        progress.step("pages", len(manifest.pages))
        for sha256, pieces in reader.read(PAGES, sizes(manifest.pages)):
            progress.advance(pages.add(sha256, pieces))
        pages.check_files()
        wanted = [file for file in manifest.files if not _is_here(store, file)]
        result.present = len(manifest.files) - len(wanted)
        progress.step("files", sum(sizes(wanted).values()))
        by_digest: dict[str, list[FileEntry]] = {}
        for file in wanted:
            by_digest.setdefault(file.sha256, []).append(file)
        for sha256, pieces in reader.read(FILES, sizes(wanted)):
            result.bytes += _publish(store, by_digest[sha256], pieces, progress)
        reader.finish(sizes(manifest.files))
        result.files = len(wanted)
        for upstream in manifest.head.upstreams:
            stored = PageStore(store, upstream)
            for entry in manifest.pages:
                if entry.upstream == upstream:
                    taken = _take(stored, entry, pages)
                    result.pages += taken
                    result.kept_pages += not taken
            _make_metadata(store, stored, upstream, [file for file in wanted if file.upstream == upstream])
    return result


def _make_metadata(store: Store, stored: PageStore, upstream: str, files: Sequence[FileEntry]) -> None:
    """Make the metadata of files whose upstream offers none beside them: a server that asks no upstream cannot."""
    listed: dict[str, dict[str, UpstreamFile]] = {}
    for entry in files:
        if entry.is_metadata:
            continue
        if entry.project not in listed:
            content = stored.get(entry.project).content
            listed[entry.project] = {file.filename: file for file in content.files} if content is not None else {}
        file = listed[entry.project].get(entry.name)
        if file is None or file.hashes.get("sha256") != entry.of:
            continue
        made = make_of_kept(store.blobs, f"{MIRROR}/{upstream}", entry.project, file, blob_key(entry))
        if made is not None:
            stored.enter_made(entry.project, entry.of, made)


class _Pages:
    """The contents of the pages: checked, and spooled until all files are here."""

    def __init__(self, manifest: Manifest, spool: BinaryIO) -> None:
        self._spool = spool
        self._entries: dict[str, list[PageEntry]] = {}
        self._places: dict[str, tuple[int, int]] = {}
        """Where each content begins in the spool, and how long it is, by digest."""
        self._files: dict[tuple[str, str], list[FileEntry]] = {}
        """By upstream and project: those that were not found on a page yet."""
        for page in manifest.pages:
            if page.sha256 is not None:
                self._entries.setdefault(page.sha256, []).append(page)
        for file in manifest.files:
            self._files.setdefault((file.upstream, file.project), []).append(file)

    def add(self, sha256: str, pieces: Pieces) -> int:
        """Take in a content; the number of its pages. Raises InvalidRequest, DigestMismatch."""
        packed = b"".join(pieces)
        _check(sha256, hashlib.sha256(packed).hexdigest(), PAGES)
        entries = self._entries[sha256]
        for entry in entries:
            page = _unpacked(entry.project, packed)
            listed = {(file.filename, file.hashes.get("sha256")): file.metadata for file in page.files}
            place = entry.upstream, entry.project
            left = [file for file in self._files.pop(place, []) if not _is_listed(file, listed)]
            if left:
                raise InvalidRequest(f"The export has a file {left[0].name} that its page does not list.")
        self._places[sha256] = self._spool.tell(), len(packed)
        self._spool.write(packed)
        return len(entries)

    def check_files(self) -> None:
        """Raises InvalidRequest for files of projects without a page."""
        left = next((file for files in self._files.values() for file in files), None)
        if left is not None:
            raise InvalidRequest(f"The export has a file {left.name} that no page lists.")

    def content(self, entry: PageEntry) -> UpstreamPage | None:
        """The page of an entry."""
        if entry.sha256 is None:
            return None
        begin, size = self._places[entry.sha256]
        self._spool.seek(begin)
        return msgspec.structs.replace(_unpacked(entry.project, self._spool.read(size)), serial=entry.serial)


def _is_listed(file: FileEntry, listed: dict[tuple[str, str | None], bool | str]) -> bool:
    announced = listed.get((file.filename, file.of))
    return announced is not None and (not file.is_metadata or announced == file.sha256)


def _unpacked(project: str, packed: bytes) -> UpstreamPage:
    """Raises InvalidRequest for bytes that are no page of the project, or too many."""
    try:
        with zstandard.ZstdDecompressor(max_window_size=_MOST_WINDOW).stream_reader(packed) as reader:
            data = reader.read(MAX_CONTENT_BYTES + 1)
        if len(data) > MAX_CONTENT_BYTES:
            raise InvalidRequest(f"The page of {project} in the export is longer than {MAX_CONTENT_BYTES} bytes.")
        return read_document(project, data)
    except (zstandard.ZstdError, UpstreamError) as error:
        raise InvalidRequest(f"The page of {project} in the export is not readable ({str(error)[:200]}).") from None


def _take(stored: PageStore, entry: PageEntry, pages: _Pages) -> bool:
    """Whether the page was taken. A time of confirmation that lies ahead, by a wrong clock, counts as now."""
    return stored.take(entry.project, pages.content(entry), min(entry.confirmed, datetime.now(UTC)))


def _is_here(store: Store, file: FileEntry) -> bool:
    try:
        store.blobs.open(blob_key(file)).close()
    except BlobMissing:
        return False
    return True


def _publish(store: Store, files: Sequence[FileEntry], pieces: Pieces, progress: Progress) -> int:
    """Store the same bytes for each of some files; how many bytes. Raises DigestMismatch, StoreError."""
    stagings = list[Staging]()
    digest, size = hashlib.sha256(), 0
    try:
        for file in files:
            stagings.append(store.blobs.stage(blob_key(file)))
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
            for staging in stagings:
                staging.write(piece)
            progress.advance(len(piece))
        _check(files[0].sha256, digest.hexdigest(), FILES)
        for staging in stagings:
            staged = staging.finish(durable=False)
            try:
                store.blobs.publish(staged)
            except Conflict:  # a server has fetched it meanwhile
                staged.discard()
    except BaseException:
        for staging in stagings:
            staging.discard()
        raise
    return size


def _check(announced: str, found: str, folder: str) -> None:
    if not compare_digest(announced, found):
        raise DigestMismatch(
            f"The export is damaged: the bytes of {folder}/{announced} have the SHA-256 {found}. Copy it again, and "
            "repeat: files that are here stay here."
        )
