"""The sources of an index's projects: the questions that each source answers, and the properties of a file.

Theory of operation. A source answers two questions, `names` and `project`, and says of each answer whether it is still
true. An answer is a value of the source's own kind: the caller keeps it, asks with it again, and gets the very same
object while nothing has changed. `quire.catalog.composing` composes the answers of several sources.

Most sources block for a disk or a file server, so their questions are asked in threads. A source that waits for another
server says so (`needs_awaiting`); its questions are asked on the event loop, and its answers awaited.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple, Protocol, TypeVar
from urllib.parse import quote

from quire.domain.project import File, Status
from quire.store.open_blob import OpenBlob

_SAFE = "/!+"  # legal in a path (RFC 3986, 3.3), and some clients quote once more what is quoted without need
_UNQUOTED = re.compile(r"[A-Za-z0-9_.~/!+-]*")  # which has nothing to quote: nearly every place


class Content(NamedTuple):
    """The bytes of a file, or of a companion of it. The caller closes an open blob."""

    body: OpenBlob | bytes
    digest: str
    """Names these bytes among all that were ever under the same URL."""
    modified: float | None = None
    """When they were changed, in seconds since the epoch; None where the URL never means other bytes."""


class Opener(NamedTuple):
    """Opens the same bytes each time."""

    open: Callable[[], OpenBlob]
    """Raises as `ListedFile.open` does; blocks where that does."""
    digest: str
    """See `Content.digest`."""
    given: Callable[[int], object] | None = None
    """To be called with the size of bytes that were opened, when they are given to a client; None where no one counts
    them."""


class ListedFile(Protocol):
    """One file of a project, which knows where its bytes are.

    A companion is a document beside a file: `.metadata`, `.asc`, `.attestations` (its provenance object); "" is the
    file itself.
    """

    @property
    def file(self) -> File: ...

    @property
    def needs_awaiting(self) -> bool:
        """Whether it is a `FetchedFile`, of a source that needs awaiting."""
        ...

    @property
    def place(self) -> str:
        """Its path below `/packages/`, not quoted."""
        ...

    @property
    def label(self) -> str:
        """Its name in the list of all files."""
        ...

    @property
    def is_permanent(self) -> bool:
        """Whether its URL carries its digest, and so never means other bytes."""
        ...

    @property
    def removal_problem(self) -> str | None:
        """Why it cannot be removed through the index, in a sentence; None where it can."""
        ...

    @property
    def further_bytes(self) -> int:
        """About how much memory it takes beside `file`."""
        ...

    def opens_inline(self, companion: str) -> bool:
        """Whether `open` takes microseconds, so that it may run on an event loop."""
        ...

    def open(self, companion: str) -> Content:
        """Raises NotFound for a missing companion, NotFound or BlobMissing for a file that is gone, StoreError."""
        ...

    def opener(self, companion: str) -> Opener | None:
        """How the same bytes are opened again and again; None for those that may change, and where there are none."""
        ...

    def metadata_document(self) -> bytes | None:
        """The core metadata; None when none is offered, or it is gone. Blocks. Raises StoreError."""
        ...


class FetchedFile(ListedFile, Protocol):
    """A file whose bytes may still be at another server."""

    async def fetch(self, companion: str) -> Content:
        """As `open`, on the event loop. Raises UpstreamError, too."""
        ...

    async def open_here(self) -> OpenBlob:
        """Its bytes, if they are here: no other server is asked. Raises BlobMissing, StoreError."""
        ...

    async def keep(self, arrived: Callable[[int], object]) -> bool:
        """Keep its bytes in the store, with the metadata that is announced beside them; whether the bytes were fetched
        for that. `arrived`: called with the number of further bytes. Raises as `fetch`."""
        ...


class FoundFile(ListedFile, Protocol):
    """A file that was found by its place and is open: its properties are true of the bytes that it gives.

    It gives them once, by `open`, or is closed.
    """

    @property
    def project(self) -> str:
        """Normalized name."""
        ...

    def close(self) -> None: ...


class SourceProject(Protocol):
    """The part of a project in one source at one moment. Immutable to all but the source."""

    @property
    def exists(self) -> bool:
        """Whether it has files of it, or a status to tell."""
        ...

    @property
    def was_written(self) -> bool:
        """Whether the project is, or ever was, published here."""
        ...

    @property
    def display_name(self) -> str | None:
        """The name as its publisher spells it; None when that is not known."""
        ...

    @property
    def status(self) -> Status | None:
        """None when this source says nothing about it."""
        ...

    @property
    def status_reason(self) -> str | None: ...

    @property
    def owners(self) -> tuple[str, ...] | None:
        """The subjects that own it by its record; None for files that came to be here otherwise than by an upload."""
        ...

    @property
    def bytes_in_memory(self) -> int:
        """About how much memory it takes beside its files."""
        ...

    def files(self) -> Iterable[ListedFile]:
        """In any order; at most one of a filename."""
        ...


class SourceNames(Protocol):
    """The names of one source at one moment."""

    @property
    def names(self) -> tuple[str, ...]:
        """Normalized and sorted."""
        ...


P = TypeVar("P", bound=SourceProject)
N = TypeVar("N", bound=SourceNames)
T = TypeVar("T")


class Source(Protocol[P, N]):
    """A source of projects. May be called from any thread but where it says otherwise; raises QuireError."""

    @property
    def needs_awaiting(self) -> bool:
        """Whether `project` and `names` give awaitables, and are to be called on the event loop."""
        ...

    @property
    def validates_inline(self) -> bool:
        """Whether `project_inline` and `names_unchanged` take microseconds, so that they may run on an event loop."""
        ...

    @property
    def may_have_files(self) -> bool:
        """False for a source without files as long as the process lives: it only claims names."""
        ...

    def project(self, name: str, known: P | None) -> P | Awaitable[P]:
        """Its part of a project (normalized name) now: the very object `known` if that is still true."""
        ...

    def project_inline(self, name: str, known: P, tick: object) -> P | None:
        """The same, if it can be had at once; None when it takes a call of `project`, as it always may.

        The result may be shared with calls that have the very same `tick`, and with no others.
        """
        ...

    def first_inline(self, name: str, tick: object) -> P | None:
        """The same of a project that was not asked for before."""
        ...

    def names(self, known: N | None) -> N | Awaitable[N]:
        """The names of all its projects now: the very object `known` if that is still true."""
        ...

    def names_unchanged(self, known: N) -> bool:
        """Whether `names` would certainly return `known`. False when that takes longer to find out."""
        ...

    def claims(self, name: str) -> bool:
        """Whether a name belongs to it although it may have nothing of that project (any more). Blocks.

        Raises StoreError when that cannot be told.
        """
        ...

    def disclaims_inline(self, name: str) -> bool:
        """Whether `claims` would certainly be False of a name of which the source has nothing, and never had anything
        (`SourceProject.was_written`). False when that takes longer to find out: this never waits.
        """
        ...

    def find(self, place: str) -> FoundFile | None:
        """The file at this place (see `ListedFile.place`), also if its project lists another one of its name; None when
        there is none, or when the files of this source are found by their project alone. Blocks.

        The place is only compared with what is there; it never reaches a file system. Raises StoreError.
        """
        ...

    def count(self) -> int:
        """How many files it has, about. Blocks. Raises StoreError."""
        ...


AnySource = Source[Any, Any]
"""A source whose answers only itself understands."""


def at_hand(answer: T | Awaitable[T]) -> T:
    """The answer of a source that needs no awaiting, which is never an awaitable."""
    return answer  # type: ignore[return-value]  # callers leave out the sources that need awaiting


def file_path(listed: ListedFile) -> str:
    """The path of a file's URL below the base URL, quoted."""
    return f"packages/{quoted_place(listed.place)}"


def quoted_place(place: str) -> str:
    """The place of a file as it stands in a URL."""
    return place if _UNQUOTED.fullmatch(place) else quote(place, safe=_SAFE)
