"""The views that are served: the answers of the sources of an index, composed.

A view is everything known of one project (or of the list of projects) at one moment: what each source has of it, the
merged listing, and the pages rendered from it so far. It is immutable but for its pages, which are pure functions of
it. Of files with the same name that of the first source is listed: a hosted file comes before a drop-in.

The sources of an index itself are merged so. Behind them there may be others, in groups, which are not: a project's
name belongs to the first group that has, or ever had, something of it, and no later group is asked. So a file of
another index never joins a project of this one, and no name of this one is told to another (dependency confusion).
A name that a source claims without a file belongs to its group, and one that the operator reserved to no server
elsewhere. Groups are read one after the other; when all were, those before the last are looked at once more. If they
have not changed, all that was found was true together, at the moment before that look.
Only of a project that was merged by name the upstreams are asked as well; their files come after its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from itertools import pairwise
from sys import getsizeof
from typing import ClassVar, Final

from quire.catalog import freshness
from quire.catalog.filtering import NOTHING_HELD, Filter, Held
from quire.catalog.sources import AnySource, ListedFile, SourceNames, SourceProject, at_hand, file_path
from quire.domain.errors import BlobMissing, HeldBack, NotFound, StoreError
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
_FEW_FILES = 200  # merged and sorted in a millisecond
RENDERED_INLINE: Final = 200
"""Files of a project, or projects: fewer are rendered on the event loop, which takes less than handing them over."""
COMPRESSED_INLINE: Final = 64 * 1024
"""Bytes of a page that is compressed on the event loop: a millisecond or two."""
_MOST_ROUNDS = 20  # of reading groups that change meanwhile

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


class Projects(freshness.Source[ProjectView]):
    """Loads and validates views of single projects; the key is the normalized name."""

    def __init__(
        self,
        sources: Sequence[AnySource],
        integrity: str | None = None,
        *,
        behind: Sequence[Sequence[AnySource]] = (),
        reserved: Reserved = NO_NAMES,
        joined: Sequence[Collection[str]] = (),
        claims: Sequence[Reserved] = (),
        policies: Filter | None = None,
        executor: Callable[[], Executor] | None = None,
        namespaces: Namespaces | None = None,
    ) -> None:
        """`sources`: of files with the same name the first source's is listed; `behind`: groups of further ones, see
        above. Only the last group may have sources that need awaiting, and is not asked for the names in `reserved`
        when it has. `joined`: by group, names for which the last one is asked in any case; `claims`: by group,
        names that belong to it although it has nothing of them. `integrity`: see `ProjectListing.integrity`.
        `policies`: None where none holds files back; `executor`: threads in which they decide about the files of
        other servers.
        """
        self._executor = executor
        self._integrity = integrity
        self._policies = policies
        self._namespaces = namespaces
        self._groups = tuple(_in_reading_order(group) for group in (sources, *behind))
        self._reserved = reserved
        has_upstreams = any(source.needs_awaiting for source in self._groups[-1])
        self._joined = tuple(joined) if has_upstreams else ()
        self._claims = tuple(claims)
        self._tick = object()

    def begin_tick(self) -> None:
        self._tick = object()

    def load_inline(self, key: str, known: ProjectView | None) -> ProjectView | None:
        if known is None or (self._policies is not None and not self._is_true(known)):
            return self._first_inline(key) if known is None else None
        tick = self._tick
        for source, part in known.parts:
            now = source.project_inline(key, part, tick)
            if now is not part:
                return None if now is None else self._merge_inline(key, known, source, now)
        return known

    def _first_inline(self, key: str) -> ProjectView | None:
        """The view of a project of other servers that was never asked for, from what the store keeps of it; None when
        that takes a thread, or is to be awaited, and of all other projects."""
        *passed, last = self._groups
        is_kept = any(source.needs_awaiting for source in last) and self._policies is None
        if not is_kept or (passed and (key in self._reserved or any(key in claims for claims in self._claims))):
            return None
        parts = list[ProjectPart]()
        for group in passed:
            for source in group:
                part = source.project_inline(key, None, self._tick)
                if part is None or part.exists or part.was_written:
                    return None
                parts.append((source, part))
            if not _is_disclaimed(group, key):
                return None
        theirs = [(source, source.project_inline(key, None, self._tick)) for source in last]
        found = [(source, part) for source, part in theirs if part is not None]
        return self._view(key, None, [*found, *parts]) if len(found) == len(last) else None

    def _merge_inline(self, key: str, known: ProjectView, changed: AnySource, now: SourceProject) -> ProjectView | None:
        """The view with what a source has now, where the sources before it have not changed; None when merging that
        takes a thread."""
        if len(known.files) > _FEW_FILES:
            return None
        parts, is_before = list[ProjectPart](), True
        for source, part in known.parts:
            if source is changed:
                parts.append((source, now))
                is_before = False
                continue
            current = part if is_before else source.project_inline(key, part, self._tick)
            if current is None:
                return None
            parts.append((source, current))
        return ProjectView(key, parts, self._integrity, self._policies, self._namespaces)

    def _is_true(self, known: ProjectView) -> bool:
        """Whether the time has changed no decision of a policy."""
        return self._policies is None or self._policies.is_true(known.held)

    def load(self, key: str, known: ProjectView | None) -> ProjectView | Awaitable[ProjectView]:
        before = dict(known.parts) if known is not None else {}
        for _ in range(_MOST_ROUNDS):
            groups, passed, awaited = self._read(key, before)
            before = {source: part for found in groups for source, part in found.items()}
            if awaited is not None:
                return self._load_awaited(key, known, groups, awaited)
            if self._is_of_one_moment(key, groups, passed):
                return self._view(key, known, [*before.items()])
        raise StoreError(f"The project {key} changes faster than it can be read; repeat.")

    def _read(
        self, key: str, before: Mapping[AnySource, SourceProject]
    ) -> tuple[list[dict[AnySource, SourceProject]], list[Sequence[AnySource]], Sequence[AnySource] | None]:
        """The parts of each group up to the one that the name belongs to; the groups before it, to which it does not
        belong; and that group, where sources of it must be awaited yet."""
        groups: list[dict[AnySource, SourceProject]] = []
        passed: list[Sequence[AnySource]] = []
        was_owned = False
        for place, group in enumerate(self._groups):
            if was_owned and group is not self._groups[-1]:
                continue
            if place and not was_owned and key in self._reserved and any(source.needs_awaiting for source in group):
                break
            found = {
                source: at_hand(source.project(key, before.get(source)))
                for source in group
                if not source.needs_awaiting
            }
            groups.append(found)
            if len(found) < len(group):
                return groups, passed, group
            is_owned = any(part.exists or part.was_written for part in found.values())
            is_owned = is_owned or (place < len(self._claims) and key in self._claims[place])
            if not is_owned and place + 1 < len(self._groups):
                is_owned = not _is_disclaimed(group, key) and _is_claimed(group, key)
            if is_owned and not (place < len(self._joined) and key in self._joined[place]):
                break
            was_owned = was_owned or is_owned
            if not is_owned:
                passed.append(group)
        return groups, passed, None

    def _is_of_one_moment(
        self,
        key: str,
        groups: Sequence[Mapping[AnySource, SourceProject]],
        passed: Sequence[Sequence[AnySource]],
    ) -> bool:
        """Whether the groups before the last one have not changed since they were read, and claim the name no more
        than then."""
        return all(
            at_hand(source.project(key, part)) is part for found in groups[:-1] for source, part in found.items()
        ) and not any(not _is_disclaimed(group, key) and _is_claimed(group, key) for group in passed[: len(groups) - 1])

    def load_blocking(self, key: str, known: ProjectView | None = None) -> ProjectView:
        """`load`, for compositions of sources none of which needs awaiting."""
        return at_hand(self.load(key, known))

    async def _load_awaited(
        self,
        key: str,
        known: ProjectView | None,
        groups: Sequence[Mapping[AnySource, SourceProject]],
        last: Sequence[AnySource],
    ) -> ProjectView:
        """`last`: the last of the groups, with all of its sources."""
        before = dict(known.parts) if known is not None else {}
        for _ in range(_MOST_ROUNDS):
            parts = list[ProjectPart]()  # of other servers first: of files with the same name the last one is listed
            for source in last:
                if source.needs_awaiting:
                    parts.append((source, await source.project(key, before.get(source))))
                else:
                    parts.append((source, groups[-1][source]))
            parts += [part for found in groups[:-1] for part in found.items()]
            try:
                if self._policies is None or self._executor is None:
                    return self._view(key, known, parts)
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._executor(), self._view, key, known, parts)
            except BlobMissing:  # a page of another server was replaced since its record was read
                before = {}
        raise StoreError(f"The project {key} changes faster than it can be read; repeat.")

    def _view(self, name: str, known: ProjectView | None, parts: Sequence[ProjectPart]) -> ProjectView:
        if known is not None and _is_same(parts, known.parts) and self._is_true(known):
            return known
        unread = _unread_view(name, parts, self._integrity, self._namespaces) if self._policies is None else None
        return unread or ProjectView(name, parts, self._integrity, self._policies, self._namespaces)


class GroupedProjects(Projects):
    """The same where there are groups behind the index itself."""

    def load_inline(self, key: str, known: ProjectView | None) -> ProjectView | None:
        view = super().load_inline(key, known)
        if view is None:
            return None
        read = {source for source, _ in view.parts}
        for group, following in pairwise(self._groups):
            if not read.issuperset(following) or not following:
                break
            if not _is_disclaimed(group, key):
                return None
        return view

    def _merge_inline(self, key: str, known: ProjectView, changed: AnySource, now: SourceProject) -> None:
        """None: the name may belong to another group now."""


class ProjectNames(freshness.Source[NamesView]):
    """Loads and validates the list of projects; there is one key, the empty one."""

    def __init__(self, sources: Sequence[AnySource]) -> None:
        self._sources = _in_reading_order(sources)
        self._is_awaited = any(source.needs_awaiting for source in sources)

    def begin_tick(self) -> None:
        """Nothing is kept: there is one key, and the barrier shares its value."""

    def load_inline(self, key: str, known: NamesView | None) -> NamesView | None:
        if known is None:
            return None
        for source, part in known.parts:
            if not source.names_unchanged(part):
                return None
        return known

    def load(self, key: str, known: NamesView | None) -> NamesView | Awaitable[NamesView]:
        before = dict(known.parts) if known is not None else {}
        found = {
            source: at_hand(source.names(before.get(source))) for source in self._sources if not source.needs_awaiting
        }
        return self._load_awaited(known, found) if self._is_awaited else self._view(known, found)

    def load_blocking(self, known: NamesView | None = None) -> NamesView:
        """`load`, for compositions of sources none of which needs awaiting."""
        return at_hand(self.load("", known))

    async def _load_awaited(self, known: NamesView | None, found: dict[AnySource, SourceNames]) -> NamesView:
        before = dict(known.parts) if known is not None else {}
        for source in self._sources:
            if source.needs_awaiting:
                found[source] = await source.names(before.get(source))
        return self._view(known, found)

    def _view(self, known: NamesView | None, found: Mapping[AnySource, SourceNames]) -> NamesView:
        parts = [(source, found[source]) for source in self._sources]
        return known if known is not None and _is_same(parts, known.parts) else NamesView(parts, known)


def _unread_view(
    name: str, parts: Sequence[ProjectPart], integrity: str | None, namespaces: Namespaces | None
) -> ProjectView | None:
    """A view that reads its files when they are needed, where one source alone has something of the project and its
    answer can make one (`quire.catalog.unread`)."""
    there = [part for _, part in parts if part.exists]
    make = getattr(there[0], "unread_view", None) if len(there) == 1 else None
    view: ProjectView | None = None if make is None else make(name, parts, integrity, namespaces)
    return view


def _is_claimed(group: Sequence[AnySource], key: str) -> bool:
    """Whether a name belongs to a group although it has nothing of it. Blocks."""
    return any(source.claims(key) for source in group)


def _is_disclaimed(group: Sequence[AnySource], key: str) -> bool:
    """Whether it is known without waiting that a group does not claim the name."""
    return all(source.disclaims_inline(key) for source in group)


def _in_reading_order(sources: Sequence[AnySource]) -> tuple[AnySource, ...]:
    """The sources that may have files, from the last to the first.

    A file that moves from one source to an earlier one, as an imported one does, is published there before it leaves
    its place: in this order it is seen in one of them at least.
    """
    return tuple(source for source in reversed(sources) if source.may_have_files)


def _is_same(parts: Sequence[tuple[AnySource, object]], others: Sequence[tuple[AnySource, object]]) -> bool:
    return len(parts) == len(others) and all(part is other for (_, part), (_, other) in zip(parts, others, strict=True))


def require(view: ProjectView) -> ProjectView:
    """The view, if there is such a project; else raises NotFound."""
    if not view.exists:
        raise NotFound(f"The project {view.name} does not exist.")
    return view
