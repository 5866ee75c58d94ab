"""Exports what is kept of upstreams, for a store behind an air gap."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import zstandard

from quire.domain.errors import BlobMissing, ConfigurationError, DigestMismatch, StoreError
from quire.domain.reserved import MIRROR
from quire.locks.locked import LockedRelease
from quire.locks.selecting import Selection
from quire.operations.mirroring.carriers import FILES, PAGES, Writer
from quire.operations.mirroring.manifest import FileEntry, Head, Manifest, PageEntry, blob_key, encode
from quire.operations.mirroring.report import Missing, Report
from quire.operations.mirroring.wanted import releases_by_project, wanted_of
from quire.process.progress import Progress
from quire.store.contracts import Store
from quire.upstream.documents import METADATA
from quire.upstream.kept import upstreams
from quire.upstream.page_documents import page_document
from quire.upstream.page_store import PageStore
from quire.upstream.pages import UpstreamFile, UpstreamPage

_LEVEL: Final = 3
_FILE_PARTS: Final = 5
"""Of the key of a file: mirror, upstream, project, SHA-256, name."""
NOT_KEPT: Final = "It is not in the mirror; 'quire mirror fetch' gets it."


@dataclass(slots=True)
class Exported:
    """The outcome of an export."""

    digest: str
    """The SHA-256 of the list."""
    pages: int
    files: int
    bytes: int
    missing: list[Missing] = field(default_factory=list)
    """Files of the locks that are not in the mirror."""
    own: list[str] = field(default_factory=list)
    """Projects of the locks that are of the store's own."""


def export(
    store: Store,
    urls: Mapping[str, str],
    writer: Writer,
    progress: Progress,
    *,
    locked: tuple[Sequence[LockedRelease], Selection] | None = None,
    skips_unknown: bool = False,
    is_own: Callable[[str], bool] = lambda _: False,
) -> Exported:
    """Write the mirrors of a store; with `locked`, only what is wanted of these releases, with the pages of their
    projects.

    `urls`: of the upstreams, by their names in keys; an upstream with another name is left out (`skips_unknown`), or
    refused: a server inside names it by its URL. `is_own`: whether a project is the store's own. Raises
    ConfigurationError for that, DigestMismatch for kept bytes that are damaged, StoreError.
    """
    with tempfile.TemporaryFile() as spool:
        planning = _Planning(store, locked)
        progress.step("pages", 0)
        names = dict[str, str | None]()
        places = list[tuple[int, int]]()
        for upstream in upstreams(store.records):
            if upstream not in urls and skips_unknown:
                continue
            before = len(planning.pages)
            for packed in planning.read(upstream):
                places.append((spool.tell(), len(packed)))
                spool.write(packed)
            if upstream in urls:
                names[upstream] = urls[upstream]
            elif len(planning.pages) > before:
                raise ConfigurationError(_unknown(upstream))
        head = Head(made=datetime.now(UTC), upstreams=names)
        manifest = Manifest(head, tuple(planning.pages), tuple(planning.files))
        data = encode(manifest)
        progress.step("files", sum(file.size for file in manifest.files))
        if writer.list_comes_first:
            writer.add_list(data)
        contents = (page for page in manifest.pages if page.sha256 is not None)
        done = set[tuple[str, str]]()
        for page, (begin, size) in zip(contents, places, strict=True):
            sha256 = str(page.sha256)
            if (PAGES, sha256) not in done and not writer.has(PAGES, sha256, size):
                spool.seek(begin)
                writer.add(PAGES, sha256, size, (spool.read(size),))
            done.add((PAGES, sha256))
    for file in manifest.files:
        if (FILES, file.sha256) not in done and not writer.has(FILES, file.sha256, file.size):
            writer.add(FILES, file.sha256, file.size, _verified(store, file))
        done.add((FILES, file.sha256))
        progress.advance(file.size)
    if not writer.list_comes_first:
        writer.add_list(data)
    missing, own = planning.lacking(is_own)
    sizes = {file.sha256: file.size for file in manifest.files}
    return Exported(
        hashlib.sha256(data).hexdigest(), len(manifest.pages), len(sizes), sum(sizes.values()), missing, own
    )


def _unknown(upstream: str) -> str:
    return (
        f"The URL of the upstream {upstream} is not known here: no index has it in its definition. Name it with "
        "--upstream, as the servers have it, or leave out what is kept of such upstreams with --skip-unknown."
    )


class _Planning:
    """Finds the pages and files to export, one upstream after the other."""

    def __init__(self, store: Store, locked: tuple[Sequence[LockedRelease], Selection] | None) -> None:
        self._store = store
        self._locked = None if locked is None else releases_by_project(locked[0])
        self._selection = Selection() if locked is None else locked[1]
        self.pages: list[PageEntry] = []
        self.files: list[FileEntry] = []
        self._missing: dict[str, list[set[Missing]]] = {}
        """By project: the missing files of each upstream that has it."""

    def read(self, upstream: str) -> Iterator[bytes]:
        """The packed contents of an upstream's pages, in the order of their entries. Raises StoreError."""
        stored, packer = PageStore(self._store, upstream), zstandard.ZstdCompressor(level=_LEVEL)
        kept = self._kept(upstream)
        for project in self._store.records.names(f"{MIRROR}/{upstream}").names:
            if self._locked is not None and project not in self._locked:
                continue
            found = stored.get(project)
            if found.page is None:
                continue
            content, packed = found.content, None
            if content is not None:
                packed = packer.compress(page_document(project, content))
                self._add_files(upstream, project, content, kept.get(project, {}))
            self.pages.append(
                PageEntry(
                    upstream=upstream,
                    project=project,
                    confirmed=found.page.confirmed,
                    serial=found.page.serial,
                    sha256=None if packed is None else hashlib.sha256(packed).hexdigest(),
                    size=0 if packed is None else len(packed),
                )
            )
            if packed is not None:
                yield packed

    def lacking(self, is_own: Callable[[str], bool]) -> tuple[list[Missing], list[str]]:
        """The files of the locks that no upstream's mirror has, and the projects of the store's own."""
        missing, own = list[Missing](), list[str]()
        for project, releases in sorted((self._locked or {}).items()):
            if is_own(project):
                own.append(project)
            elif project not in self._missing:
                missing += [Missing(project, each.version, "", NOT_KEPT) for each in releases]
            else:
                everywhere = set.intersection(*self._missing[project])
                missing += sorted(everywhere, key=lambda each: (each.version, each.file))
        return missing, own

    def _kept(self, upstream: str) -> dict[str, dict[tuple[str, str], int]]:
        """The sizes of the kept blobs of an upstream: by project, then by SHA-256 and name."""
        found: dict[str, dict[tuple[str, str], int]] = {}
        for blob in self._store.blobs.list(f"{MIRROR}/{upstream}"):
            parts = blob.key.split("/")
            if len(parts) == _FILE_PARTS:
                found.setdefault(parts[2], {})[parts[3], parts[4]] = blob.size
        return found

    def _add_files(self, upstream: str, project: str, page: UpstreamPage, kept: Mapping[tuple[str, str], int]) -> None:
        listed = {file.filename: file for file in page.files if "sha256" in file.hashes}
        names = list(listed)
        if self._locked is not None:
            report = Report()
            names = [each.filename for each in wanted_of(self._locked[project], listed, self._selection, report)]
            report.missing += [
                Missing(project, listed[name].version, name, NOT_KEPT)
                for name in names
                if (listed[name].hashes["sha256"], name) not in kept
            ]
            self._missing.setdefault(project, []).append(set(report.missing))
        for name in names:
            self.files += _entries(upstream, project, listed[name], kept)


def _entries(
    upstream: str, project: str, file: UpstreamFile, kept: Mapping[tuple[str, str], int]
) -> Iterator[FileEntry]:
    """Of a file and its metadata, as far as they are kept."""
    digest = file.hashes["sha256"]
    announced = file.metadata if isinstance(file.metadata, str) else None
    for name, sha256 in ((file.filename, digest), (f"{file.filename}{METADATA}", announced)):
        size = kept.get((digest, name))
        if size is not None and sha256 is not None:
            yield FileEntry(upstream=upstream, project=project, name=name, of=digest, sha256=sha256, size=size)


def _verified(store: Store, file: FileEntry) -> Iterator[bytes]:
    """The bytes of a file. Raises DigestMismatch for damaged ones, StoreError."""
    key, digest = blob_key(file), hashlib.sha256()
    try:
        with store.blobs.open(key) as blob:
            for piece in blob.pieces():
                digest.update(piece)
                yield piece
    except BlobMissing:
        raise StoreError(f"The file {file.name} was removed from the mirror meanwhile; export once more.") from None
    if digest.hexdigest() != file.sha256:
        raise DigestMismatch(f"The kept file {key} is damaged: remove it, and fetch it again.")
