"""The hosted files of an index, as a source: one record for each project."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

import msgspec

from quire.catalog.sources import AnySource, Content, Opener, SourceProject
from quire.domain.errors import InvalidName, NotFound, StoreError
from quire.domain.project import File, Project, Status
from quire.domain.quotas import size_of
from quire.index.index import Index
from quire.index.journal import ListedNames
from quire.process.budget import Budget, Memory
from quire.store.contracts import Record, Store

if TYPE_CHECKING:
    from quire.catalog.views import ProjectView

_HOSTED_BYTES = 900  # of a project that is there
_FEW_FILES = 200  # decoded in a millisecond
_SMALL_RECORD = 50_000  # bytes; decoded and merged in a few milliseconds, for which a thread is not worth its while


class HostedFile(msgspec.Struct, frozen=True, gc=False):
    """A file whose blob is in the store. Like its File never part of a cycle."""

    file: File
    project: str
    """Normalized name."""
    store: Store

    is_permanent: ClassVar[bool] = True
    needs_awaiting: ClassVar[bool] = False
    removal_problem: ClassVar[str | None] = None
    further_bytes: ClassVar[int] = 0

    @property
    def place(self) -> str:
        """With the sha256: another content is another URL, so it may be cached for ever."""
        return f"{self.project}/{self.file.sha256}/{self.file.filename}"

    @property
    def label(self) -> str:
        return self.file.filename

    def opens_inline(self, companion: str) -> bool:
        return self.store.validates_inline

    def open(self, companion: str) -> Content:
        if not self._offers(companion):
            raise self._missing(companion)
        try:
            return Content(self.store.blobs.open(self._key(companion)), self._digest(companion))
        except InvalidName as error:
            raise self._missing(companion) from error

    def opener(self, companion: str) -> Opener | None:
        if not self._offers(companion):
            return None
        return Opener(partial(self.store.blobs.open, self._key(companion)), self._digest(companion))

    def metadata_document(self) -> bytes | None:
        if self.file.metadata_sha256 is None:
            return None
        with self.store.blobs.open(self._key(".metadata")) as document:
            return document.read()

    def _offers(self, companion: str) -> bool:
        file = self.file
        if companion == ".metadata":
            return file.metadata_sha256 is not None
        return not companion or (file.signed if companion == ".asc" else file.provenance_sha256 is not None)

    def _key(self, companion: str) -> str:
        return f"{self.file.blob}/{self.file.filename}{companion}"

    def _digest(self, companion: str) -> str:
        """Of a companion without a digest of its own, a signature, the folder of its file in the store: each upload has
        another one, and the same bytes can be uploaded once more with another signature."""
        file = self.file
        digests = {"": file.sha256, ".metadata": file.metadata_sha256, ".attestations": file.provenance_sha256}
        return digests.get(companion) or f"{str(file.blob).rpartition('/')[2]}{companion}"

    def _missing(self, companion: str) -> NotFound:
        return NotFound(f"The file {self.file.filename}{companion} does not exist.")


class HostedProject:
    """The record of a project at one moment, decoded, or its absence."""

    __slots__ = ("_store", "name", "project", "record", "watched")

    def __init__(
        self, name: str, record: Record, project: Project | None, store: Store, journal: Record | None = None
    ) -> None:
        """`record`: the one that `project` was decoded from, or its validator. `journal`: see
        `quire.index.journal.Seen`."""
        self.name = name
        self.watched = None if journal is None else (record, journal)
        """The records that it is true by, where the one is not enough: a promotion of the project is under way."""
        self.record = record if journal is None else Record(record.key, record.data, "")
        """Is never unchanged in the latter case, so that the usual one needs no further question."""
        self.project = project
        self._store = store

    @property
    def exists(self) -> bool:
        return self.project is not None

    @property
    def was_written(self) -> bool:
        """True for good, also when all of it is gone."""
        return self.record.was_written

    @property
    def display_name(self) -> str | None:
        return self.project.name if self.project is not None else None

    @property
    def status(self) -> Status | None:
        return self.project.status if self.project is not None else None

    @property
    def status_reason(self) -> str | None:
        return self.project.status_reason if self.project is not None else None

    @property
    def owners(self) -> tuple[str, ...]:
        return self.project.owners if self.project is not None else ()

    @property
    def bytes_in_memory(self) -> int:
        project = self.project
        if project is None:
            return 0
        unknown = 4 * len(repr(project.unknown)) if project.unknown else 0
        return _HOSTED_BYTES + project.deleted.bytes_in_memory + unknown

    def files(self) -> Iterator[HostedFile]:
        if self.project is not None:
            for file in self.project.files.values():
                yield HostedFile(file, self.name, self._store)


def record_of(view: ProjectView) -> Project | None:
    """The project of a view as the record of its own index has it: of a stage, before that of the index behind it."""
    return next((part.project for _, part in reversed(view.parts) if isinstance(part, HostedProject)), None)


class Hosted:
    """A `quire.catalog.sources.Source`: the projects that were published to an index."""

    needs_awaiting = False
    may_have_files = True

    def __init__(self, index: Index, budget: Budget | None = None) -> None:
        """`budget`: what is remembered from one count to the next is charged to it."""
        self.index = index
        self._store = index.store
        self._records = index.store.records
        self._journal = index.commits.journal
        self.validates_inline = index.store.validates_inline
        self.counted: Memory[_Counted] = Memory(budget or Budget(sys.maxsize))

    def project(self, name: str, known: HostedProject | None) -> HostedProject:
        if known is not None and known.watched is not None:
            record, journal = known.watched
            if self._records.read(record.key, record) is record and self._journal.read(journal) is journal:
                return known
            known = None
        record = self._records.read(self.index.key(name), known.record if known is not None else None)
        return known if known is not None and record is known.record else self._decoded(name, record)

    def first_inline(self, name: str, tick: object) -> HostedProject | None:
        """The absence of a project: one that is there may take long to decode."""
        absent = self._records.read(self.index.key(name))
        return None if absent.was_written else self._decoded(name, absent)

    def project_inline(self, name: str, known: HostedProject, tick: object) -> HostedProject | None:
        if self._records.unchanged(known.record):
            return known
        if known.watched is not None or (known.project is not None and len(known.project.files) > _FEW_FILES):
            return None
        record = self._records.read(known.record.key, known.record)
        if record is known.record:
            return known
        return None if len(record.data or b"") > _SMALL_RECORD else self._decoded(name, record)

    def names(self, known: ListedNames | None) -> ListedNames:
        return self._journal.names(known)

    def names_unchanged(self, known: ListedNames) -> bool:
        return self._records.names_unchanged(known.found)

    def claims(self, name: str) -> bool:
        return self._records.read(self.index.key(name)).was_written

    def disclaims_inline(self, name: str) -> bool:
        """True: each record that there ever was is said by its project."""
        return True

    def find(self, place: str) -> None:
        """None: a project's record has the digests that its places are made of."""
        return

    def has_tag(self, name: str, tag: str) -> bool:
        """Whether the record of a project still has this tag (`Record.tag`). Blocks; cheaper than `project`."""
        record = Record(self.index.key(name), b"", tag)
        found = self._records.read(record.key, record)
        return found is record or found.tag == tag

    def perhaps_changed(self, since: float) -> frozenset[str] | None:
        """See `contracts.Records`. Blocks. Raises StoreError."""
        return self._records.perhaps_changed(self.index.prefix, since)

    def tag(self, parts: Sequence[tuple[AnySource, SourceProject]]) -> str:
        """The tag of the record among these parts of a project; "" where another source has something of it, too,
        or a promotion of it is under way."""
        tag = ""
        for source, part in parts:
            if isinstance(part, HostedProject) and source is self:
                tag = part.record.tag
            elif part.exists:
                return ""
        return tag

    def count(self) -> int:
        """How many files are offered; one call at a time. An unchanged project costs a listing of its record's folder.

        A project that cannot be read counts as none. Raises StoreError when it is not that project alone.
        """
        self.index.usage.begin_count()
        before = self.counted.get("")
        names = self.names(before.names if before is not None else None)
        tags, numbers, sizes = [], array("L"), array("Q")
        for place, name in enumerate(names.names):
            try:
                found = self._count(name, before.of(place, name, names) if before is not None else _UNKNOWN)
            except StoreError:
                self.names(names)  # raises if it is not this project alone
                found = _UNKNOWN
            tags.append(found.tag)
            numbers.append(found.files)
            sizes.append(found.bytes)
        counted = _Counted(names, tags, numbers, sizes)
        self.counted.put("", counted)
        self.index.usage.end_count(sum(sizes), lambda name: counted.find(name).bytes)
        return sum(numbers)

    def _count(self, name: str, before: _Found) -> _Found:
        """A project's record now. `before`: at the count before."""
        key = self.index.key(name)
        known = Record(key, b"", before.tag) if before.tag else None
        record = self._records.read(key, known)
        if record is known:
            return before
        project = self.index.decode(record)
        offered = len(project.files) if project is not None and project.status.offers_files else 0
        return _Found(record.tag, offered, size_of(project))

    def _decoded(self, name: str, record: Record) -> HostedProject:
        project, record, journal = self._journal.see(record, self.index.decode(record))
        # The document was decoded; the rest is enough to tell whether the record is still the one that was read.
        validator = Record(record.key, None if record.data is None else b"", record.tag, record.validation)
        return HostedProject(name, validator, project, self._store, journal)


def count_bytes(index: Index) -> int | None:
    """Bytes of the hosted files of an index, as quotas count them. Blocks, for each project. Raises StoreError."""
    index.usage.follow()
    Hosted(index).count()
    return index.usage.known.bytes if index.usage.known is not None else None


class _Found(NamedTuple):
    """A project as a count found it."""

    tag: str
    """Of its record; empty if it could not be read."""
    files: int
    """How many are offered."""
    bytes: int
    """Of all files, as quotas count them."""


_UNKNOWN: Final = _Found("", 0, 0)


class _Counted:
    """The result of a count: of each project only a tag and two numbers, since there may be very many projects."""

    def __init__(self, names: ListedNames, tags: Sequence[str], numbers: Sequence[int], sizes: Sequence[int]) -> None:
        """`tags`, `numbers`, `sizes`: what was found of each name."""
        self.names = names
        self._tags = tags
        self._numbers = numbers
        self._sizes = sizes
        texts = sum(map(len, names.names)) + sum(map(len, tags))
        self.bytes_in_memory = 500 + texts + (57 + 8 + 57 + 8 + 8 + 8) * len(tags)

    def of(self, place: int, name: str, names: ListedNames) -> _Found:
        """The project of a name, which has this place in `names`; _UNKNOWN when it was not among them."""
        return self._at(place) if names is self.names else self.find(name)

    def find(self, name: str) -> _Found:
        """The same by the name alone."""
        known = self.names.names
        place = bisect_left(known, name)
        return self._at(place) if place < len(known) and known[place] == name else _UNKNOWN

    def _at(self, place: int) -> _Found:
        return _Found(self._tags[place], self._numbers[place], self._sizes[place])
