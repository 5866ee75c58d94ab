"""The files in drop-in folders, as a source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import ClassVar, Final, NamedTuple

import msgspec

from quire.catalog.sources import Content, Opener
from quire.domain.errors import NotFound
from quire.domain.project import File, Status
from quire.dropin.drop_in import DropIn, OpenDropIn
from quire.dropin.folder import Folder, FolderProject
from quire.dropin.listing import Listing

_MOST_DISCLAIMED: Final = 10_000


class DropInFile(msgspec.Struct, frozen=True, gc=False):
    """A file that lies in a drop-in folder. Like its File never part of a cycle."""

    drop_in: DropIn
    folder: Folder

    is_permanent: ClassVar[bool] = False
    needs_awaiting: ClassVar[bool] = False
    further_bytes: ClassVar[int] = 350  # tests/process/test_budget.py compares it with what Python really allocates

    @property
    def file(self) -> File:
        return self.drop_in.file

    @property
    def place(self) -> str:
        """The path below its folder, as pypiserver has it."""
        return self.drop_in.relative_path

    @property
    def label(self) -> str:
        return self.drop_in.relative_path

    @property
    def removal_problem(self) -> str | None:
        return f"The file {self.file.filename} lies in a served directory; remove it there, or run 'quire import'."

    def opens_inline(self, companion: str) -> bool:
        return False

    def open(self, companion: str) -> Content:
        opened = self.folder.open(self.drop_in.relative_path)
        if opened is None:
            raise _missing(self.file, companion)
        found = FoundDropIn(opened.drop_in, self.folder, opened)
        if found.file.sha256 != self.file.sha256:  # replaced since it was listed
            found.close()
            raise _missing(self.file, companion)
        return found.open(companion)

    def opener(self, companion: str) -> Opener | None:
        return None

    def metadata_document(self) -> bytes | None:
        return self.folder.metadata_document(self.drop_in)


class FoundDropIn(DropInFile, frozen=True, gc=False):
    """A drop-in that was opened before it was judged: its properties are true of the open file."""

    opened: OpenDropIn

    @property
    def project(self) -> str:
        return self.drop_in.project

    def opens_inline(self, companion: str) -> bool:
        return not companion

    def open(self, companion: str) -> Content:
        drop_in, file = self.opened
        if not companion:
            # The path is for the log, and for a proxy, which opens it once more: by then it can be another file's.
            blob = self.opened.as_blob(drop_in.path)
            return Content(blob, drop_in.file.sha256, drop_in.fingerprint.mtime_ns / 1e9)
        with file:
            document = None
            if companion == ".metadata":
                document = self.folder.metadata_document(drop_in, file)
            elif companion == ".asc":
                document = self.folder.signature(drop_in)
        if document is None:
            raise _missing(drop_in.file, companion)
        return Content(document, hashlib.sha256(document).hexdigest())

    def close(self) -> None:
        self.opened.file.close()


class DropInProject:
    """The drop-ins of a project at one moment."""

    __slots__ = ("_folder", "found")

    was_written = False
    display_name = None
    status: Status | None = None
    status_reason = None
    owners = None
    bytes_in_memory = 0

    def __init__(self, found: FolderProject, folder: Folder) -> None:
        self.found = found
        self._folder = folder

    @property
    def exists(self) -> bool:
        return bool(self.found.files)

    def files(self) -> Iterator[DropInFile]:
        for drop_in in self.found.files:
            yield DropInFile(drop_in, self._folder)


class DropInNames(NamedTuple):
    """The names of all projects with a drop-in."""

    names: tuple[str, ...]


class DropIns:
    """A `quire.catalog.sources.Source`: the projects of the files that people copied into the drop-in folders."""

    needs_awaiting = False

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.validates_inline = folder.validates_inline
        self.may_have_files = bool(folder.roots)
        self._tick: object = None
        self._listing: Listing | None = None  # as the first call of this tick found it
        # The files at one moment, and names that were not claimed then. One pair, which threads replace as a whole.
        self._disclaimed: tuple[Listing | None, set[str]] = (None, set())

    def project(self, name: str, known: DropInProject | None) -> DropInProject:
        found = self.folder.project(name, known.found if known is not None else None)
        return known if known is not None and found is known.found else DropInProject(found, self.folder)

    def first_inline(self, name: str, tick: object) -> DropInProject | None:
        """The absence of a project, where that takes no listing of the folder, and no file has to be read."""
        is_listed = self.folder.current() is not None
        return self.project(name, None) if is_listed and not self.claims(name) else None

    def project_inline(self, name: str, known: DropInProject, tick: object) -> DropInProject | None:
        if tick is not self._tick:
            self._tick, self._listing = tick, self.folder.current()
        listing = self._listing
        return known if listing is not None and self.folder.unchanged(name, known.found, listing) else None

    def names(self, known: DropInNames | None) -> DropInNames:
        names = self.folder.names(known.names if known is not None else None)
        return known if known is not None and names is known.names else DropInNames(names)

    def names_unchanged(self, known: DropInNames) -> bool:
        return self.folder.names_unchanged(known.names)

    def claims(self, name: str) -> bool:
        listing = self.folder.current()  # before the question: the answer may be of a later moment
        is_claimed = self.folder.claims(name)
        if listing is not None and not is_claimed:
            before, names = self._disclaimed
            if before is not listing or len(names) >= _MOST_DISCLAIMED:
                names = set()
                self._disclaimed = (listing, names)
            names.add(name)
        return is_claimed

    def disclaims_inline(self, name: str) -> bool:
        listing, names = self._disclaimed
        return listing is not None and name in names and listing is self.folder.current()

    def find(self, place: str) -> FoundDropIn | None:
        opened = self.folder.open(place)
        return None if opened is None else FoundDropIn(opened.drop_in, self.folder, opened)

    def count(self) -> int:
        """Copies, and files that are hidden by a hosted one or are not complete yet, count as well."""
        return self.folder.count()


def _missing(file: File, companion: str) -> NotFound:
    return NotFound(f"The file {file.filename}{companion} does not exist.")
