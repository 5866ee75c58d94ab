"""The pages of the Simple API 1.4: lists of projects and of a project's files, in HTML and in JSON.

A page is a pure function of its entries and of its media type. It has the same bytes in every process, and so the
same ETag, so that a client may revalidate with any worker behind any load balancer.

HTML has the content of API version 1.4 and gets nothing newer (PEP 833). JSON has everything. A project's page is of
version 1.5 (PEP 752) where its index has namespaces: clients warn of versions that are newer than they know.

A page of very many entries is made some hundred at a time: one call of an encoder holds Python's lock to its end, and
no other request is answered meanwhile.

Sources: PEP 503 (HTML, names), 592 (yanked), 629 (versions of the API), 658 and 714 (core metadata), 691 (JSON),
700 (versions, size, upload-time), 740 (provenance), 752 (namespaces), 792 (status); the living text of all of them is
the "Simple repository API" specification.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from io import BytesIO
from itertools import chain, islice
from operator import attrgetter
from typing import Final, TypeVar
from urllib.parse import quote

import msgspec
import zstandard

from quire.domain.names import version_sort_key
from quire.domain.project import UNKNOWN_SIZE, File, Status
from quire.render.negotiation import Encoding, MediaType

T = TypeVar("T")

API_VERSION: Final = "1.4"
_WITH_NAMESPACES: Final = "1.5"
_WITHOUT_SIZES: Final = "1.0"
"""PEP 700: a page of a later version has the size of each file."""

_MIN_COMPRESSED_BYTES: Final = 1024  # a page that fits into one packet is not worth a decompressor
_ZSTD_LEVEL: Final = 1  # half of a page are digests, of which higher levels make no less: 8 ms for 10,000 files
_GZIP_LEVEL: Final = 6
_LARGE_BYTES: Final = 1_000_000  # of a page that each new project changes: time counts for more than bytes
_MOST_PATCHED: Final = 64
_COMPARED_AT_ONCE: Final = 4096
_SAFE: Final = "!+"  # legal in a segment of a path, and frequent in versions
_AT_ONCE: Final = 256  # entries that are encoded in one call


# -- pages ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """A response body with its validators. Made by `make_page`; shared freely between threads.

    The compressed forms are made when first asked for and kept. Two threads that ask at once may both compress; they
    get equal bytes, and one result is kept.
    """

    content_type: str
    body: bytes
    etag: str
    """Strong validator, in its quotes: a digest of the content type and the bytes."""
    _compressed: dict[str, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def length(self) -> int:
        """Bytes of `body`."""
        return len(self.body)

    def encoding_for(self, accepted: Encoding) -> Encoding:
        """The coding worth serving to a client that prefers `accepted`: identity when the page is 1 KiB or less."""
        return accepted if self.length > _MIN_COMPRESSED_BYTES else "identity"

    def encoded(self, encoding: Encoding) -> tuple[bytes, str]:
        """The body in this coding, and the ETag of that representation.

        A small page comes back as it is, with its own ETag; `encoding_for` names the coding that is really used, for
        the Content-Encoding header. RFC 9110 8.8.3 asks for different strong ETags. They differ by a suffix instead
        of a digest of the compressed bytes, so that a 304 needs no compression and another version of a compression
        library makes no other ETag.
        """
        encoding = self.encoding_for(encoding)
        if encoding == "identity":
            return self.body, self.etag
        compressed = self._compressed.get(encoding)
        if compressed is None:
            compressed = self._compressed[encoding] = _compress(self.body, encoding)
        return compressed, f'{self.etag[:-1]}-{encoding}"'

    def has(self, encoding: Encoding) -> bool:
        """Whether `encoded` has nothing left to do."""
        encoding = self.encoding_for(encoding)
        return encoding == "identity" or encoding in self._compressed

    @property
    def size_in_memory(self) -> int:
        """Bytes held by the body and the compressed forms made so far; it grows when one is made."""
        return len(self.body) + sum(len(self._compressed.get(encoding, b"")) for encoding in ("zstd", "gzip"))


def make_page(content_type: str, body: bytes) -> Page:
    """The page of this content type and body."""
    return _page(content_type, _exact(body))


def _page(content_type: str, body: bytes) -> Page:
    """The same, of a body that takes no more memory than it needs."""
    digest = hashlib.sha256(content_type.encode() + b"\0")
    digest.update(body)
    return Page(content_type, body, f'"{digest.hexdigest()[:32]}"')


def _compress(body: bytes, encoding: Encoding) -> bytes:
    is_large = len(body) > _LARGE_BYTES
    if encoding == "zstd":
        # a compressor is not for sharing by threads
        return _exact(zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(body))
    return gzip.compress(body, 1 if is_large else _GZIP_LEVEL, mtime=0)


def _exact(data: bytes) -> bytes:
    """The same bytes in as much memory as they need: encoders and compressors leave room behind them that stays taken,
    for a compressed page several times its size.
    """
    return memoryview(data).tobytes()


def _joined(parts: Iterable[bytes]) -> bytes:
    """All parts after each other, in as much memory as they need. It grows with each: `join` copies them in one step,
    of a large page for several milliseconds.
    """
    whole = BytesIO()
    for part in parts:
        whole.write(part)
    return whole.getvalue()


def _by_slices(entries: Iterable[T]) -> Iterator[list[T]]:
    entries = iter(entries)
    while some := list(islice(entries, _AT_ONCE)):
        yield some


# -- the entries ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Links:
    """Files with their URLs, which are made to pairs when they are asked for: many thousands of those, kept, would set
    the garbage collector going.
    """

    files: Sequence[File]
    urls: Sequence[str]
    """As many."""

    def __iter__(self) -> Iterator[tuple[File, str]]:
        return zip(self.files, self.urls, strict=True)


@dataclass(frozen=True, slots=True)
class ProjectListing:
    """The content of one project page."""

    name: str
    """Normalized (PEP 503)."""
    status: Status
    status_reason: str | None
    files: Links | Sequence[tuple[File, str]]
    """Each file with its URL: relative to the page, percent-encoded, without a fragment. In the order to show."""
    integrity: str | None = None
    """Absolute URL of all provenance objects (see `quire.http.simple.provenance`), ended by a slash; PEP 740 has it
    fully qualified. None where that is not known: then the page names none of them."""
    namespaces: Sequence[tuple[str, bool]] | None = None
    """The namespaces that its name is below (PEP 752), each with whether one of its owners has the project. None in an
    index without any. JSON alone has them."""

    def provenance(self, file: File) -> str | None:
        """URL of the file's provenance object; None when there is none to name."""
        if file.provenance_sha256 is None or self.integrity is None:
            return None
        return provenance_url(self.integrity, self.name, file.version, file.filename)


def provenance_url(integrity: str, project: str, version: str, filename: str) -> str:
    """URL of a file's provenance object. `integrity`: see `ProjectListing`."""
    return f"{integrity}{project}/{quote(version, _SAFE)}/{quote(filename, _SAFE)}/provenance"


def sort_files(files: Iterable[File]) -> list[File]:
    """The files in the order pages show them: by version (PEP 440), then by filename."""
    files = list(files)
    releases: dict[tuple[int, object], list[File]] = {}
    release_of = {
        version: releases.setdefault(version_sort_key(version), []) for version in {file.version for file in files}
    }
    for file in files:
        release_of[file.version].append(file)
    # Each release by itself: one call that sorts all files goes on for a while.
    return [file for key in sorted(releases) for file in sorted(releases[key], key=attrgetter("filename"))]


def release_versions(files: Iterable[File]) -> list[str]:
    """The versions that have files, oldest first, each once (`1.0` and `1.0.0` are one), normalized where PEP 440
    knows them. A file without a version (a drop-in `tool.zip`) adds none.
    """
    keys = dict.fromkeys(version_sort_key(version) for version in sorted({file.version for file in files} - {""}))
    return [str(key[1]) for key in sorted(keys)]


def render_project(listing: ProjectListing, media_type: MediaType, hash_algorithm: str | None = "sha256") -> Page:
    """The page of one project.

    `hash_algorithm`: the hashlib name of the digest in the fragment of HTML links; sha256 where a file lacks it;
    None for no fragment. JSON always has all known digests. A quarantined project's files are left out (PEP 792).
    """
    if media_type is MediaType.JSON_V1:
        return _page(media_type, _project_json(listing))
    return _page(_content_type(media_type), _project_html(listing, hash_algorithm))


def render_entries(
    name: str, namespaces: Sequence[tuple[str, bool]] | None, versions: list[str], entries: Sequence[FileEntry]
) -> Page:
    """The page in JSON of an active project whose entries are made already, for those that have very many.

    `namespaces`: as in `ProjectListing`; `versions`: as of `release_versions`.
    """
    status = _ProjectStatus(Status.ACTIVE, msgspec.UNSET)
    has_sizes = all(entry.size is not msgspec.UNSET for entry in entries)
    return _page(MediaType.JSON_V1, _detail(name, status, namespaces, versions, entries, has_sizes=has_sizes))


def render_projects(names: Sequence[str], media_type: MediaType) -> Page:
    """The page of all projects. `names`: normalized, in the order to show."""
    if media_type is MediaType.JSON_V1:
        return _page(media_type, _projects_json(names))
    return _page(_content_type(media_type), _projects_html(names))


def patch_projects(page: Page, media_type: MediaType, before: Sequence[str], after: Sequence[str]) -> Page | None:
    """The page that `render_projects(after, ...)` gives, made from that of `before`; None where that is not worth it.

    Both are sorted, and of one type. The difference lies between their common beginning and common end; one name of
    these is exchanged as well, so that neither side of the exchange is empty. A list of 100,000 to which one is added
    costs a quarter of rendering it.
    """
    shortest = min(len(before), len(after))
    start = _common_beginning(before, after, shortest)
    end = _common_beginning(before[::-1], after[::-1], shortest - start)
    if start:
        start -= 1
    elif end:
        end -= 1
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    if not old or not new or len(old) + len(new) > _MOST_PATCHED:
        return None
    is_json = media_type is MediaType.JSON_V1
    replaced = _project_entries(old, is_json=is_json)
    place = page.body.index(replaced)
    body = b"".join((page.body[:place], _project_entries(new, is_json=is_json), page.body[place + len(replaced) :]))
    return make_page(_content_type(media_type), body)


def _common_beginning(one: Sequence[str], other: Sequence[str], most: int) -> int:
    """How many of the first `most` names are the same."""
    for start in range(0, most, _COMPARED_AT_ONCE):
        stop = min(start + _COMPARED_AT_ONCE, most)
        if one[start:stop] != other[start:stop]:
            return next(place for place in range(start, stop) if one[place] != other[place])
    return most


def _project_entries(names: Sequence[str], *, is_json: bool) -> bytes:
    if is_json:
        return b",".join(msgspec.json.encode(_ProjectEntry(name)) for name in names)
    return "".join(map(_project_link, names)).encode()


# -- HTML -------------------------------------------------------------------------------------------------------------


def _content_type(media_type: MediaType) -> str:
    return "text/html; charset=utf-8" if media_type is MediaType.HTML else str(media_type)


def _project_html(listing: ProjectListing, hash_algorithm: str | None) -> bytes:
    meta = []
    if listing.status is not Status.ACTIVE:
        meta.append(_meta("pypi:project-status", listing.status))
        if listing.status_reason:
            meta.append(_meta("pypi:project-status-reason", listing.status_reason))
    files = listing.files if listing.status.offers_files else ()
    links = (_file_link(file, url, hash_algorithm, listing.provenance(file)) for file, url in files)
    return _document(f"Links for {listing.name}", meta, links)


def _projects_html(names: Sequence[str]) -> bytes:
    return _document("Simple index", [], map(_project_link, names))


def _project_link(name: str) -> str:
    name = escape(name)
    return f'    <a href="{name}/">{name}</a><br>\n'


def _document(title: str, meta: list[str], links: Iterable[str]) -> bytes:
    title = escape(title)
    slices = _by_slices(links)
    first = next(slices, [])
    head = [
        '<!DOCTYPE html>\n<html lang="en">\n  <head>\n    <meta charset="utf-8">\n',
        _meta("pypi:repository-version", API_VERSION),
        *meta,
        f"    <title>{title}</title>\n  </head>\n  <body>\n    <h1>{title}</h1>\n",
    ]
    end = "  </body>\n</html>\n"
    if len(first) < _AT_ONCE:  # all there are
        return "".join([*head, *first, end]).encode()
    return _joined("".join(some).encode() for some in chain([head, first], slices, [[end]]))


def _meta(name: str, content: str) -> str:
    return f'    <meta name="{name}" content="{escape(content)}">\n'


def _file_link(file: File, url: str, hash_algorithm: str | None, provenance: str | None) -> str:
    attributes = ""
    if hash_algorithm is not None:
        algorithm = hash_algorithm if hash_algorithm in file.hashes else "sha256"
        url = f"{url}#{algorithm}={file.hashes[algorithm]}"
    if file.requires_python:
        attributes += f' data-requires-python="{escape(file.requires_python)}"'
    if file.metadata_sha256:
        # Clients from before PEP 714 read only the old spelling; in HTML, unlike in JSON, it breaks no client.
        digest = f'"sha256={escape(file.metadata_sha256)}"'
        attributes += f" data-core-metadata={digest} data-dist-info-metadata={digest}"
    if file.yanked is not False:
        reason = file.yanked if isinstance(file.yanked, str) else ""
        attributes += f' data-yanked="{escape(reason)}"'
    if file.signed:
        attributes += ' data-gpg-sig="true"'
    if provenance is not None:
        attributes += f' data-provenance="{escape(provenance)}"'
    return f'    <a href="{escape(url)}"{attributes}>{escape(file.filename)}</a><br>\n'


# -- JSON -------------------------------------------------------------------------------------------------------------


class _Meta(msgspec.Struct, rename="kebab"):
    api_version: str = API_VERSION


class _ProjectStatus(msgspec.Struct, rename="kebab"):
    status: str
    """The heading of PEP 792 calls this key `state` once; its example, the specification and all clients `status`."""
    reason: str | msgspec.UnsetType


class FileEntry(msgspec.Struct, rename="kebab", gc=False):
    """One entry of `files`.

    There is no `dist-info-metadata`: pip 22.3 to 23.1 crash on that key in JSON, with any value, which is why
    PEP 714 renamed it and says that servers should not send the old one.
    """

    filename: str
    url: str
    hashes: dict[str, str]
    requires_python: str | msgspec.UnsetType
    core_metadata: dict[str, str] | bool
    gpg_sig: bool
    yanked: bool | str
    size: int | msgspec.UnsetType
    upload_time: str | msgspec.UnsetType
    provenance: str | None


class _NamespaceEntry(msgspec.Struct):
    name: str
    owned: bool


class _ProjectDetail(msgspec.Struct, rename="kebab"):
    meta: _Meta
    name: str
    namespaces: list[_NamespaceEntry] | msgspec.UnsetType | None
    project_status: _ProjectStatus
    versions: list[str]
    files: list[FileEntry] = []
    """The last, for `_with_entries`."""


class _ProjectEntry(msgspec.Struct, gc=False):
    name: str


class _ProjectList(msgspec.Struct):
    meta: _Meta
    projects: list[_ProjectEntry] = []
    """As above."""


def _with_entries(document: _ProjectDetail | _ProjectList, entries: Iterable[FileEntry | _ProjectEntry]) -> bytes:
    """The document with these in its last field, which is an empty list in it."""
    slices = _by_slices(entries)
    first = next(slices, [])
    if len(first) < _AT_ONCE:  # all there are
        setattr(document, document.__struct_fields__[-1], first)
        return _exact(msgspec.json.encode(document))
    empty = msgspec.json.encode(document)
    begin = [empty[:-2], msgspec.json.encode(first)[1:-1]]
    return _joined(chain(begin, (b"," + msgspec.json.encode(some)[1:-1] for some in slices), [empty[-2:]]))


def _project_json(listing: ProjectListing) -> bytes:
    files = listing.files if listing.status.offers_files else ()
    has_sizes = all(file.size != UNKNOWN_SIZE for file, _ in files)
    status = _ProjectStatus(listing.status, listing.status_reason or msgspec.UNSET)
    # Of a quarantined project too, as in the example of PEP 792: the versions exist, none is offered.
    versions = release_versions(file for file, _ in listing.files)
    entries = (_file_entry(file, url, listing.provenance(file)) for file, url in files)
    return _detail(listing.name, status, listing.namespaces, versions, entries, has_sizes=has_sizes)


def _detail(
    name: str,
    status: _ProjectStatus,
    namespaces: Sequence[tuple[str, bool]] | None,
    versions: list[str],
    entries: Iterable[FileEntry],
    *,
    has_sizes: bool,
) -> bytes:
    version = API_VERSION if namespaces is None else _WITH_NAMESPACES
    detail = _ProjectDetail(
        meta=_Meta(version if has_sizes else _WITHOUT_SIZES),
        name=name,
        namespaces=_namespaces(namespaces),
        project_status=status,
        versions=versions,
    )
    return _with_entries(detail, entries)


def _namespaces(found: Sequence[tuple[str, bool]] | None) -> list[_NamespaceEntry] | msgspec.UnsetType | None:
    """PEP 752: null for a project below none."""
    return msgspec.UNSET if found is None else [_NamespaceEntry(*each) for each in found] or None


def _file_entry(file: File, url: str, provenance: str | None) -> FileEntry:
    return FileEntry(
        filename=file.filename,
        url=url,
        hashes=offered_hashes(file.hashes),
        requires_python=file.requires_python or msgspec.UNSET,
        core_metadata={"sha256": file.metadata_sha256} if file.metadata_sha256 else False,
        gpg_sig=file.signed,
        yanked=file.yanked,
        size=msgspec.UNSET if file.size == UNKNOWN_SIZE else file.size,
        upload_time=file.uploaded or msgspec.UNSET,
        provenance=provenance,
    )


# Lock files repeat the hashes of a page: `uv pip compile` all, `pip lock` the first. pip then refuses a file of
# requirements that has any other algorithm in it, so these three are all, and the one that is always there is first.
_OFFERED: Final = ("sha256", "sha384", "sha512")


def offered_hashes(hashes: dict[str, str]) -> dict[str, str]:
    """The digests of a file that its entry has."""
    return {name: hashes[name] for name in _OFFERED if name in hashes}


def _projects_json(names: Sequence[str]) -> bytes:
    return _with_entries(_ProjectList(_Meta()), map(_ProjectEntry, names))
