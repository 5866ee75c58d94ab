"""The blobs that are kept of other indexes: files with the documents beside them, and large pages.

    mirror/<upstream>/<project>/<sha256>/<filename>[.metadata]     a file (`quire.upstream.files`)
    mirror/<upstream>/<project>/<name>                             a page (`quire.upstream.page_store`)
    mirror/<upstream>/<project>/made-<sha256>                      metadata made here (`quire.upstream.making`)

Small pages stand in their records and have no blob.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Self

from quire.domain.reserved import MIRROR
from quire.store.contracts import Blobs, Records, Store, StoredBlob

_UPSTREAM: Final = re.compile(r"[a-z0-9-]+-[0-9a-f]{12}")
"""See `quire.catalog.mirroring.mirror_name`."""
_FILE: Final = re.compile(
    rf"{MIRROR}/(?P<upstream>[a-z0-9-]+)/(?P<project>[a-z0-9-]+)/(?P<sha256>[0-9a-f]{{64}})/(?P<name>[^/]+)"
)
_PAGE: Final = re.compile(rf"{MIRROR}/(?P<upstream>[a-z0-9-]+)/[a-z0-9-]+/(?:made|[0-9a-f]+)-[0-9a-f]+")
COMPANIONS: Final = (".metadata", ".provenance")
"""The suffixes of the documents beside a file."""


class FileKey(NamedTuple):
    """The key of a file, or of a document beside it."""

    upstream: str
    project: str
    """Normalized name."""
    sha256: str
    filename: str
    """Of the file, also for a document."""

    @classmethod
    def of(cls, key: str) -> Self | None:
        """None for the key of a page, and for others."""
        match = _FILE.fullmatch(key)
        if match is None:
            return None
        upstream, project, digest, name = match.groups()
        suffix = next((each for each in COMPANIONS if name.endswith(each)), "")
        return cls(upstream, project, digest, name.removesuffix(suffix))


@dataclass(slots=True)
class Kept:
    """The blobs and pages of one upstream, or of all."""

    files: int = 0
    """With the documents beside them."""
    bytes: int = 0
    """Of those."""
    pages: int = 0
    """Projects of which the upstream gave a page, or said later that there is none."""
    page_bytes: int = 0
    """Of the large pages, and of metadata that was made here."""
    blobs: list[StoredBlob] = field(default_factory=list)
    """The files."""

    def add(self, other: Self) -> None:
        """Count what the other one has as well."""
        self.files += other.files
        self.bytes += other.bytes
        self.pages += other.pages
        self.page_bytes += other.page_bytes
        self.blobs += other.blobs


def kept_of(store: Store) -> dict[str, Kept]:
    """The kept blobs and pages of each upstream, by its name in keys. A walk through all of it. Raises StoreError."""
    found = kept_files(store.blobs)
    for upstream in upstreams(store.records):
        pages = len(store.records.names(f"{MIRROR}/{upstream}").names)
        if pages or upstream in found:
            found.setdefault(upstream, Kept()).pages = pages
    return dict(sorted(found.items()))


def upstreams(records: Records) -> list[str]:
    """The names of the upstreams of which pages are, or were, kept. Raises StoreError."""
    names = (each.partition("/") for each in records.prefixes())
    return [name for folder, _, name in names if folder == MIRROR and _UPSTREAM.fullmatch(name)]


def kept_files(blobs: Blobs) -> dict[str, Kept]:
    """The same without the number of pages. Raises StoreError."""
    found: dict[str, Kept] = {}
    for blob in blobs.list(MIRROR):
        if file := _FILE.fullmatch(blob.key):
            kept = found.setdefault(file["upstream"], Kept())
            kept.files += 1
            kept.bytes += blob.size
            kept.blobs.append(blob)
        elif page := _PAGE.fullmatch(blob.key):
            found.setdefault(page["upstream"], Kept()).page_bytes += blob.size
    return found
