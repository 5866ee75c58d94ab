"""The read side: hosted projects and drop-in files composed into what is served.

A view is everything known of one project (or of the list of projects) at one moment: the record, the drop-in files,
the merged listing, and the pages rendered from it so far. It is immutable but for its pages, which are pure functions
of it. A hosted file comes before a drop-in file of the same name.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import getsizeof
from urllib.parse import quote

import msgspec

from quire.catalog.freshness import Source
from quire.domain.errors import NotFound
from quire.domain.project import File, Project, Status
from quire.dropin.drop_in import DropIn
from quire.dropin.folder import Folder, FolderProject
from quire.dropin.listing import Listing
from quire.index.index import Index
from quire.render.negotiation import MediaType
from quire.render.simple import Links, Page, ProjectListing, patch_projects, render_project, render_projects, sort_files
from quire.store.contracts import Names, Record

# The memory of a view in bytes; tests/process/test_budget.py compares it with what Python really allocates.
_VIEW_BYTES = 700  # of a project that is not there: the view, its record's validator, its empty tables
_HOSTED_BYTES = 900
_NAMES_BYTES = 1600
_PAGE_BYTES = 750  # beside the bytes of its forms
_PREPARED_BYTES = 1500  # an answer ready to be sent, beside the body that it shares with its page
_FILE_BYTES = 600  # a File and its places in tables, beside the text in it
_DROPIN_BYTES = 350  # what the folder adds to that
_STRING_BYTES = 57  # beside its characters

_SAFE = "/!+"  # legal in a path (RFC 3986, 3.3), and some clients quote once more what is quoted without need
_PATCHED_NAMES = 2000  # fewer are rendered in a millisecond or two
_FEW_FILES = 200  # merged and sorted in a millisecond
_SMALL_RECORD = 50_000  # bytes; decoded and merged in a few milliseconds, for which a thread is not worth its while


class Listed(msgspec.Struct, frozen=True, gc=False):
    """One file of a listing, and where it is. Like its File never part of a cycle."""

    file: File
    dropin: DropIn | None
    """None for a hosted file: its blob is in the store."""


class Pages:
    """The pages rendered so far."""

    def __init__(self) -> None:
        self._pages: dict[object, Page] = {}

    def known(self, key: object) -> Page | None:
        return self._pages.get(key)

    def get(self, key: object, render: Callable[[], Page]) -> Page:
        page = self._pages.get(key)
        if page is None:
            page = self._pages[key] = render()
        return page

    def put(self, key: object, page: Page, most: int) -> None:
        """Keep a page of a kind whose keys clients choose: at most so many of this kind, which is the key's type."""
        kind = [other for other in tuple(self._pages) if type(other) is type(key)]
        if len(kind) >= most:
            self._pages.pop(kind[0], None)
        self._pages[key] = page

    @property
    def bytes_in_memory(self) -> int:
        return sum(_PAGE_BYTES + page.size_in_memory for page in tuple(self._pages.values()))


class ProjectView:
    """A project as it was at one moment, or its absence."""

    def __init__(self, name: str, record: Record, hosted: Project | None, folder: FolderProject | None) -> None:
        """`record`: the one that `hosted` was decoded from, or its validator."""
        self.name = name
        self.record = record
        self.hosted = hosted
        self.folder = folder
        self.pages = Pages()
        self.prepared: dict[object, object] = {}
        """Prepared responses of the fast path; dropped when the project changes."""
        files: dict[str, Listed] = {}
        if folder is not None:
            files = {dropin.file.filename: Listed(dropin.file, dropin) for dropin in folder.files}
        if hosted is not None:
            files |= {file.filename: Listed(file, None) for file in hosted.files.values()}
        self.files = {
            file.filename: files[file.filename] for file in sort_files([each.file for each in files.values()])
        }
        """Every listed file by filename, sorted; also those that a quarantined project does not offer."""
        self._fixed_bytes = _VIEW_BYTES + 2 * len(name) + sum(map(_bytes_of, self.files.values()))
        if hosted is not None:
            self._fixed_bytes += _HOSTED_BYTES + hosted.deleted.bytes_in_memory
            self._fixed_bytes += 4 * len(repr(hosted.unknown)) if hosted.unknown else 0

    @property
    def exists(self) -> bool:
        """Whether there is such a project: one with files, or with a status."""
        return bool(self.files) or self.hosted is not None

    @property
    def had_record(self) -> bool:
        """Whether something is, or ever was, published under this name: true for good, also when all of it is gone."""
        return self.record.was_written

    @property
    def status(self) -> Status:
        return self.hosted.status if self.hosted is not None else Status.ACTIVE

    @property
    def status_reason(self) -> str | None:
        return self.hosted.status_reason if self.hosted is not None else None

    @property
    def offered(self) -> dict[str, Listed]:
        """The files that may be downloaded (PEP 792: none of a quarantined project)."""
        return self.files if self.status.offers_files else {}

    @property
    def existing(self) -> dict[str, str]:
        """sha256 by filename of the drop-in files, which an upload must not contradict."""
        return {name: each.file.sha256 for name, each in self.files.items() if each.dropin is not None}

    @property
    def bytes_in_memory(self) -> int:
        return self._fixed_bytes + _PREPARED_BYTES * len(self.prepared) + self.pages.bytes_in_memory

    def page(self, media_type: MediaType, hash_algorithm: str | None) -> Page:
        """The simple API's page of the project, with file URLs relative to `/simple/<name>/`."""
        return self.pages.get((media_type, hash_algorithm), lambda: self._render(media_type, hash_algorithm))

    def rendered(self, media_type: MediaType, hash_algorithm: str | None) -> Page | None:
        """What `page` returns if that has nothing left to do; else None."""
        return self.pages.known((media_type, hash_algorithm))

    def _render(self, media_type: MediaType, hash_algorithm: str | None) -> Page:
        listing = ProjectListing(
            name=self.name,
            status=self.status,
            status_reason=self.status_reason,
            files=Links(
                files=[each.file for each in self.files.values()],
                urls=[f"../../{file_path(self.name, each)}" for each in self.files.values()],
            ),
        )
        return render_project(listing, media_type, hash_algorithm)


class NamesView:
    """The list of projects as it was at one moment."""

    def __init__(self, hosted: Names, folder: tuple[str, ...], before: NamesView | None = None) -> None:
        """`before`: an earlier list, whose pages may be patched into those of this one."""
        self.hosted = hosted
        self.folder = folder
        self.names = tuple(sorted({*hosted.names, *folder})) if folder else hosted.names
        self.pages = Pages()
        for media_type in MediaType if before is not None and len(self.names) >= _PATCHED_NAMES else ():
            assert before is not None
            page = before.rendered(media_type)
            patched = None if page is None else patch_projects(page, media_type, before.names, self.names)
            if patched is not None:
                self.pages.get(media_type, lambda patched=patched: patched)  # type: ignore[misc]
        self.prepared: dict[object, object] = {}
        """As in ProjectView."""
        texts = sum(map(len, self.names)) + _STRING_BYTES * len(self.names)
        tables = {id(table): getsizeof(table) for table in (self.names, hosted.names, folder)}
        self._fixed_bytes = _NAMES_BYTES + texts + sum(tables.values())

    @property
    def bytes_in_memory(self) -> int:
        return self._fixed_bytes + _PREPARED_BYTES * len(self.prepared) + self.pages.bytes_in_memory

    def page(self, media_type: MediaType) -> Page:
        """The simple API's project list."""
        return self.pages.get(media_type, lambda: render_projects(self.names, media_type))

    def rendered(self, media_type: MediaType) -> Page | None:
        """What `page` returns if that has nothing left to do; else None."""
        return self.pages.known(media_type)


def file_path(project: str, listed: Listed) -> str:
    """The path of a file's URL below the base URL.

    A hosted file's path has its sha256: another content is another URL, so it may be cached for ever. A drop-in
    file's is its relative path, as pypiserver has it.
    """
    if listed.dropin is not None:
        return f"packages/{quote(listed.dropin.relative_path, safe=_SAFE)}"
    return f"packages/{project}/{listed.file.sha256}/{quote(listed.file.filename, safe=_SAFE)}"


def _bytes_of(listed: Listed) -> int:
    """About what a file takes in memory."""
    file = listed.file
    texts = (file.version, file.uploaded, file.requires_python, file.metadata_sha256, file.uploader, file.blob)
    total = _FILE_BYTES + len(file.filename) + sum(_STRING_BYTES + len(text) for text in texts if text is not None)
    total += sum(_STRING_BYTES + len(digest) for digest in file.hashes.values())
    if isinstance(file.yanked, str):
        total += getsizeof(file.yanked)
    if file.unknown:
        total += 4 * len(repr(file.unknown))
    return total + (_DROPIN_BYTES if listed.dropin is not None else 0)


def _validator(record: Record) -> Record:
    """The record without its document, to validate against."""
    return Record(record.key, None if record.data is None else b"", record.tag, record.validation)


class Projects(Source[ProjectView]):
    """Loads and validates views of single projects; the key is the normalized name."""

    def __init__(self, index: Index, folder: Folder | None) -> None:
        self._index = index
        self._folder = folder
        self._listing: Listing | None = None  # of the folder, from this tick's first request

    def begin_tick(self) -> None:
        self._listing = None

    def load_inline(self, key: str, known: ProjectView | None) -> ProjectView | None:
        if known is None:
            return None
        if self._folder is not None and known.folder is not None:
            self._listing = self._listing or self._folder.current()
            if self._listing is None or not self._folder.unchanged(key, known.folder, self._listing):
                return None
        records = self._index.store.records
        if records.unchanged(known.record):
            return known
        return None if len(known.files) > _FEW_FILES else self._load_small_record(key, known)

    def _load_small_record(self, key: str, known: ProjectView) -> ProjectView | None:
        """What is stored now beside a folder that has not changed; None when decoding that takes a thread."""
        record = self._index.store.records.read(known.record.key, known.record)
        if record is known.record:
            return known
        if len(record.data or b"") > _SMALL_RECORD:
            return None
        return ProjectView(key, _validator(record), self._index.decode(record), known.folder)

    def load(self, key: str, known: ProjectView | None) -> ProjectView:
        # The folder first: a file that is moved into the store is published before it leaves the folder, so in this
        # order it is seen in one of them at least.
        folder = self._folder.project(key, known.folder if known is not None else None) if self._folder else None
        record = self._index.store.records.read(self._index.key(key), known.record if known is not None else None)
        if known is not None and record is known.record and folder is known.folder:
            return known
        if known is not None and record is known.record:
            return ProjectView(key, record, known.hosted, folder)
        return ProjectView(key, _validator(record), self._index.decode(record), folder)


class ProjectNames(Source[NamesView]):
    """Loads and validates the list of projects; there is one key, the empty one."""

    def __init__(self, index: Index, folder: Folder | None) -> None:
        self._index = index
        self._folder = folder

    def begin_tick(self) -> None:
        """Nothing is kept: there is one key, and the barrier shares its value."""

    def load_inline(self, key: str, known: NamesView | None) -> NamesView | None:
        if known is None:
            return None
        if self._folder is not None and not self._folder.names_unchanged(known.folder):
            return None
        return known if self._index.store.records.names_unchanged(known.hosted) else None

    def load(self, key: str, known: NamesView | None) -> NamesView:
        # the folder first, as for a project
        folder = self._folder.names(known.folder if known is not None else None) if self._folder is not None else ()
        hosted = self._index.store.records.names(self._index.prefix, known.hosted if known is not None else None)
        if known is not None and hosted is known.hosted and folder is known.folder:
            return known
        return NamesView(hosted, folder, known)


def require(view: ProjectView) -> ProjectView:
    """The view, if there is such a project; else raises NotFound."""
    if not view.exists:
        raise NotFound(f"The project {view.name} does not exist.")
    return view
