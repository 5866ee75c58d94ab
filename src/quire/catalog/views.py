"""The views that are served: everything known of one project, or of the list of projects, at one moment.

A view has what each source has of it, the merged listing, and the pages rendered from it so far. It is immutable but
for its pages, which are pure functions of it. `quire.catalog.composing` makes views of what the sources have.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from sys import getsizeof
from typing import ClassVar, Final

from quire.catalog.filtering import NOTHING_HELD, Filter, Held
from quire.catalog.sources import AnySource, ListedFile, SourceNames, SourceProject, file_path
from quire.domain.errors import HeldBack, NotFound
from quire.domain.namespaces import Namespaces
from quire.domain.project import Status
from quire.domain.reserved import Reserved
from quire.render.negotiation import Encoding, MediaType
from quire.render.simple import Links, Page, ProjectListing, patch_projects, render_project, render_projects, sort_files

# The memory of a view in bytes; tests/process/test_budget.py compares it with what Python really allocates.
_VIEW_BYTES = 700  # of a project that is not there: the view, its record's validator, its empty tables
_NAMES_BYTES = 1600
_PAGE_BYTES = 750  # beside the bytes of its forms
_PREPARED_BYTES = 1500  # an answer ready to be sent, beside the body that it shares with its page
_FILE_BYTES = 600  # a File and its places in tables, beside the text in it
_STRING_BYTES = 57  # beside its characters
_DECISION_BYTES = 900  # with its sentence

_PATCHED_NAMES = 2000  # fewer are rendered in a millisecond or two
RENDERED_INLINE: Final = 200
"""Files of a project, or projects: fewer are rendered on the event loop, which takes less than handing them over."""
COMPRESSED_INLINE: Final = 64 * 1024
"""Bytes of a page that is compressed on the event loop: a millisecond or two."""

NO_NAMES: Final = Reserved(())
ProjectPart = tuple[AnySource, SourceProject]
"""A source, and what it has of a project."""
Listed = Sequence[tuple[AnySource, Sequence[ListedFile]]]
"""The files of each part, in the order of the parts."""
NamesPart = tuple[AnySource, SourceNames]
"""A source, and its names."""


class Pages:
    """The pages rendered so far."""

    def __init__(self) -> None:
        self._pages: dict[object, Page] = {}

    def known(self, key: object) -> Page | None:
        return self._pages.get(key)

    def has(self, page: Page) -> bool:
        """Whether it is kept: itself, and not one that is like it."""
        return any(each is page for each in tuple(self._pages.values()))

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

    is_unread: ClassVar[bool] = False
    """Whether it is a `quire.catalog.unread.UnreadView`, whose files are read when they are needed."""

    def __init__(
        self,
        name: str,
        parts: Sequence[ProjectPart],
        integrity: str | None = None,
        policies: Filter | None = None,
        namespaces: Namespaces | None = None,
        *,
        listed: Listed | None = None,
    ) -> None:
        """`parts`: what each source has; of files with the same name that of the last one is listed. `integrity`: see
        `ProjectListing.integrity`. `policies`: None where none holds files back. `namespaces`: of the index. `listed`:
        the files of the parts, if they were read already.

        Blocks, and raises as `UnreadView`, where a part is of a large project of another index.
        """
        self._namespaces = namespaces
        self.name = name
        self.integrity = integrity
        self.parts = tuple(parts)
        self.pages = Pages()
        self.prepared: dict[object, object] = {}
        """Prepared responses of the fast path; dropped when the project changes."""
        self.listed: Listed = (
            tuple((source, tuple(part.files())) for source, part in parts) if listed is None else listed
        )
        """The files of each part. They are read once: a part may read them from the store, where they are replaced."""
        files = {each.file.filename: each for _, found in self.listed for each in found}
        self.every: dict[str, ListedFile] = {
            file.filename: files[file.filename] for file in sort_files([each.file for each in files.values()])
        }
        """Every file by filename, sorted; also those that policies hold back, or a quarantined project does not
        offer."""
        self.held = NOTHING_HELD if policies is None else policies.hold(name, self.sourced())
        """The decisions of the policies, of this moment."""
        self.files = self.every if not self.held.blocks else _without(self.every, self.held)
        """Every listed file: those that are not held back."""
        self._fixed_bytes = _VIEW_BYTES + 2 * len(name) + sum(map(_bytes_of, self.every.values()))
        self._fixed_bytes += _DECISION_BYTES * len(self.held.decisions)
        self._fixed_bytes += sum(part.bytes_in_memory for _, part in parts)

    @property
    def exists(self) -> bool:
        """Whether there is such a project: one with files, or with a status."""
        return bool(self.every) or any(part.exists for _, part in self.parts)

    @property
    def had_record(self) -> bool:
        """Whether something is, or ever was, published under this name: true for good, also when all of it is gone."""
        return any(part.was_written for _, part in self.parts)

    @property
    def display_name(self) -> str | None:
        """The name as its publisher spells it; None when that is not known."""
        return next((part.display_name for _, part in reversed(self.parts) if part.display_name), None)

    @property
    def status(self) -> Status:
        found = self._status_part
        return Status.ACTIVE if found is None or found.status is None else found.status

    @property
    def status_reason(self) -> str | None:
        found = self._status_part
        return None if found is None else found.status_reason

    @property
    def _status_part(self) -> SourceProject | None:
        """The part whose status counts: that of the first source, but a project that one of them has quarantined is."""
        parts = [part for _, part in reversed(self.parts) if part.status is not None]
        return next((part for part in parts if part.status is Status.QUARANTINED), parts[0] if parts else None)

    def all_files(self) -> Iterator[ListedFile]:
        """Every file of every source, also those that another one of the same name hides."""
        return (each for _, found in self.listed for each in found)

    def sourced(self) -> Collection[tuple[AnySource, ListedFile]]:
        """The file of each name, also one that is held back, with its source."""
        return {each.file.filename: (source, each) for source, found in self.listed for each in found}.values()

    def of(self, is_wanted: Callable[[AnySource], bool]) -> ProjectView:
        """The project as some of its sources have it."""
        parts = [part for part in self.parts if is_wanted(part[0])]
        return ProjectView(self.name, parts, listed=tuple(each for each in self.listed if is_wanted(each[0])))

    @property
    def offered(self) -> dict[str, ListedFile]:
        """The files that may be downloaded (PEP 792: none of a quarantined project)."""
        return self.files if self.status.offers_files else {}

    def offers(self, filename: str) -> ListedFile | None:
        """The file of this name, if it may be downloaded. Raises HeldBack where a policy holds it back."""
        decision = self.held.decisions.get(filename)
        if decision is not None and decision.blocks and self.status.offers_files:
            raise HeldBack(f"{decision.sentence}.")
        return self.offered.get(filename)

    def offers_inline(self, filename: str, *, reads: bool = False) -> ListedFile | None:
        """The same, if it is known without waiting and no policy concerns it; None else, too. `reads`: whether it may
        be read from the system's memory. Raises as `offers`, if it may."""
        return None if filename in self.held.decisions else self.offered.get(filename)

    def complete(self) -> ProjectView:
        """The view with its files in memory."""
        return self

    @property
    def bytes_in_memory(self) -> int:
        return self._fixed_bytes + _PREPARED_BYTES * len(self.prepared) + self.pages.bytes_in_memory

    @property
    def namespaces(self) -> list[tuple[str, bool]] | None:
        """See `ProjectListing.namespaces`."""
        if self._namespaces is None:
            return None
        parts = [part for _, part in self.parts if part.exists]
        owners = {owner for part in parts for owner in part.owners or ()}
        was_uploaded = bool(parts) and all(part.owners is not None for part in parts)
        return self._namespaces.of(self.name, owners if was_uploaded else None)

    def page_in(self, media_type: MediaType, hash_algorithm: str | None, encoding: Encoding) -> Page:
        """`page`, which has this content coding."""
        page = self.page(media_type, hash_algorithm)
        page.encoded(encoding)
        return page

    def page_inline(self, media_type: MediaType, hash_algorithm: str | None, encoding: Encoding) -> Page | None:
        """The same, if it is made in about a millisecond; None when it takes a thread. Raises StoreError."""
        page = self.rendered(media_type, hash_algorithm)
        if page is None and len(self.files) <= RENDERED_INLINE:
            page = self.page(media_type, hash_algorithm)
        if page is None or (page.length > COMPRESSED_INLINE and not page.has(encoding)):
            return None
        page.encoded(encoding)
        return page

    def page(self, media_type: MediaType, hash_algorithm: str | None) -> Page:
        """The simple API's page of the project, with file URLs relative to `/simple/<name>/`."""
        return self.pages.get((media_type, hash_algorithm), lambda: self._render(media_type, hash_algorithm))

    def rendered(self, media_type: MediaType, hash_algorithm: str | None) -> Page | None:
        """The result of `page` if it is rendered already; else None."""
        return self.pages.known((media_type, hash_algorithm))

    def _render(self, media_type: MediaType, hash_algorithm: str | None) -> Page:
        listing = ProjectListing(
            name=self.name,
            status=self.status,
            status_reason=self.status_reason,
            integrity=self.integrity,
            namespaces=self.namespaces,
            files=Links(
                files=[each.file for each in self.files.values()],
                urls=[self.link(each) for each in self.files.values()],
            ),
        )
        return render_project(listing, media_type, hash_algorithm)

    def link(self, listed: ListedFile) -> str:
        """The URL of a file, relative to the page."""
        return f"../../{file_path(listed)}"


class NamesView:
    """The list of projects as it was at one moment."""

    def __init__(self, parts: Sequence[NamesPart], before: NamesView | None = None) -> None:
        """`parts`: what each source has. `before`: an earlier list, whose pages may become those of this one."""
        self.parts = tuple(parts)
        lists = [part.names for _, part in parts if part.names]
        self.names: tuple[str, ...] = lists[0] if len(lists) == 1 else tuple(sorted(set().union(*lists)))
        """Sorted."""
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
        tables = {id(table): getsizeof(table) for table in (self.names, *lists)}
        self._fixed_bytes = _NAMES_BYTES + texts + sum(tables.values())

    @property
    def bytes_in_memory(self) -> int:
        return self._fixed_bytes + _PREPARED_BYTES * len(self.prepared) + self.pages.bytes_in_memory

    def has(self, name: str) -> bool:
        """Whether there is a project of this name (normalized). It goes through few of the names."""
        place = bisect_left(self.names, name)
        return self.names[place : place + 1] == (name,)

    def page(self, media_type: MediaType) -> Page:
        """The simple API's project list."""
        return self.pages.get(media_type, lambda: render_projects(self.names, media_type))

    def rendered(self, media_type: MediaType) -> Page | None:
        """The result of `page` if it is rendered already; else None."""
        return self.pages.known(media_type)


def _without(files: Mapping[str, ListedFile], held: Held) -> dict[str, ListedFile]:
    blocked = {name for name, decision in held.decisions.items() if decision.blocks}
    return {name: each for name, each in files.items() if name not in blocked}


def _bytes_of(listed: ListedFile) -> int:
    """About what a file takes in memory."""
    file = listed.file
    digests = (file.metadata_sha256, file.provenance_sha256)
    texts = (file.version, file.uploaded, file.requires_python, file.uploader, file.blob, *digests)
    total = _FILE_BYTES + len(file.filename) + sum(_STRING_BYTES + len(text) for text in texts if text is not None)
    total += sum(_STRING_BYTES + len(digest) for digest in file.hashes.values())
    if isinstance(file.yanked, str):
        total += getsizeof(file.yanked)
    if file.unknown:
        total += 4 * len(repr(file.unknown))
    return total + listed.further_bytes


def require(view: ProjectView) -> ProjectView:
    """The view, if there is such a project; else raises NotFound."""
    if not view.exists:
        raise NotFound(f"The project {view.name} does not exist.")
    return view
