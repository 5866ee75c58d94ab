"""An index as it was at a moment, for installers that cannot leave out later files themselves.

Theory of operation. A view of the past is made of the present view of the same project, so whatever decides about
that one - which index a name belongs to, which upstream may be asked - decides about the past, too: it is decided as it
is now. Of each source only the files that were there at the moment stay. Of hosted files the log of changes says
which (`quire.domain.past`); all others are those whose upload time is before the moment, and a file without
one is left out.

A view of the past is true as long as the present view is the same object, and the records that the log and the trash
are in are unchanged. Nothing of it is immutable: what the trash has is removed in time, old entries of the log are
removed by `quire gc`, and an import brings files that are older than the index.

Clients choose the moments, so these views have a budget of their own, in which they only displace each other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar
from weakref import WeakKeyDictionary, ref

import msgspec

from quire.catalog import freshness
from quire.catalog.filtering import Filter
from quire.catalog.freshness import Barrier
from quire.catalog.hosted import Hosted, HostedFile, HostedProject
from quire.catalog.served import ServedIndex
from quire.catalog.sources import AnySource, ListedFile, SourceProject, at_hand, file_path
from quire.catalog.views import NamesView, ProjectPart, ProjectView
from quire.domain.errors import NotFound, StoreError
from quire.domain.moments import is_before
from quire.domain.names import is_normalized
from quire.domain.project import Status
from quire.index.index import Index
from quire.index.past import ReadPast, is_unchanged, read_past
from quire.process.budget import Budget
from quire.process.in_thread import in_thread
from quire.process.threads import Threads
from quire.store.contracts import Store

T = TypeVar("T")


class Executing(Protocol):
    """Runs a function in a thread, and raises QuireError when too much of its kind waits."""

    async def __call__(self, function: Callable[..., T], /, *args: Any) -> T: ...


PAST_BYTES: Final = 32 * 1024 * 1024
"""The memory of a worker for views of the past."""
_FEW_FILES: Final = 200  # read and merged in some milliseconds
_PART_BYTES: Final = 200
_TAG_BYTES: Final = 180  # of the tag of one record, with its place in a table


class PastProject:
    """A project as one source had it."""

    __slots__ = ("_files", "display_name", "exists", "owners", "status", "status_reason", "was_written")

    bytes_in_memory = _PART_BYTES

    def __init__(
        self, part: SourceProject, files: Sequence[ListedFile], status: Status | None, status_reason: str | None
    ) -> None:
        """`part`: what the source has of it now."""
        self.exists = part.exists
        self.was_written = part.was_written
        self.display_name = part.display_name
        self.owners = part.owners
        self.status = status
        self.status_reason = status_reason
        self._files = tuple(files)

    def files(self) -> Iterator[ListedFile]:
        return iter(self._files)


class PastView(ProjectView):
    """A project as it was at a moment. Its page is at `/@MOMENT/simple/<name>/`, below the address of its index."""

    def __init__(
        self,
        now: ProjectView,
        parts: Sequence[ProjectPart],
        known_by: Sequence[tuple[Index, ReadPast]],
        policies: Filter | None,
        looked_up: ProjectView,
    ) -> None:
        """`now`: the project as it is; `known_by`: what was read for it; `policies`: those of the present;
        `looked_up`: see `_past_view`."""
        super().__init__(now.name, parts, now.integrity, policies)
        self.now = ref(looked_up)
        self.known_by = tuple(known_by)
        self._of_now = now.namespaces
        offered = {each.place for each in now.offered.values()}
        self._gone = frozenset(
            name for name, each in self.files.items() if isinstance(each, HostedFile) and each.place not in offered
        )
        """The files that are not offered any more."""
        for name in self._gone:
            self.files[name] = _without_provenance(self.files[name])

    @property
    def namespaces(self) -> list[tuple[str, bool]] | None:
        """Those of the present."""
        return self._of_now

    @property
    def bytes_in_memory(self) -> int:
        return super().bytes_in_memory + _PART_BYTES * (1 + len(self.known_by)) + 100 * len(self._gone)

    def link(self, listed: ListedFile) -> str:
        """Its usual address, so that caches and lock files have one for it; below that of the moment for a file that
        is not there any more."""
        up = "../.." if listed.file.filename in self._gone else "../../.."
        return f"{up}/{file_path(listed)}"


def _without_provenance(listed: ListedFile) -> ListedFile:
    """The file without its provenance object, which is only at the address of a file that is listed."""
    assert isinstance(listed, HostedFile)
    file = msgspec.structs.replace(listed.file, provenance_sha256=None)
    return msgspec.structs.replace(listed, file=file)


class PastNames(NamesView):
    """The names of the projects that had a file at a moment."""

    def __init__(self, names: Sequence[str], tags: Mapping[tuple[AnySource, str], _Had]) -> None:
        """`tags`: of each hosted project, how it was found."""
        super().__init__([])
        self.names = tuple(names)
        self.tags = tags
        self._further = sum(map(len, names)) + (_TAG_BYTES + 8) * (len(tags) + 1)

    @property
    def bytes_in_memory(self) -> int:
        return super().bytes_in_memory + self._further


class _Had(NamedTuple):
    """Whether a hosted project had a file, by the record with this tag."""

    tag: str
    had_files: bool


class PastIndexes:
    """The indexes of a worker, at any moment. Belongs to one event loop."""

    def __init__(self, threads: Threads, in_large: Executing, most_bytes: int = PAST_BYTES) -> None:
        """`in_large`: runs a function that reads much, or raises QuireError when too many wait; `most_bytes`: the
        memory for the views of all of them."""
        self.budget = Budget(most_bytes)
        self.listing = 0
        """Requests for a list of names that are under way."""
        self._threads = threads
        self._in_large = in_large
        self._known: WeakKeyDictionary[ServedIndex, PastIndex] = WeakKeyDictionary()

    def of(self, index: ServedIndex) -> PastIndex:
        """The past of an index."""
        found = self._known.get(index)
        if found is None:
            found = self._known[index] = PastIndex(index, self.budget, self._threads, self._in_large)
        return found


class PastIndex:
    """One index of a worker, at any moment. It does not keep the index: a request does, which asks both."""

    def __init__(self, index: ServedIndex, budget: Budget, threads: Threads, in_large: Executing) -> None:
        """`budget`: of the views of the past of all indexes of the worker; `in_large`: see `PastIndexes`."""
        pacing = index.store.pacing
        self.projects: Barrier[PastView] = Barrier(
            _PastProjects(index, threads, in_large),
            inline=False,
            pacing=pacing,
            budget=budget,
            executor=threads.readers,
        )
        self.project_names: Barrier[PastNames] = Barrier(
            _PastNames(index, in_large), inline=False, pacing=pacing, budget=budget, executor=threads.readers
        )

    async def project(self, name: str, moment: str, hidden: Collection[str] = ()) -> PastView:
        """The project of a normalized name at a moment (see `quire.domain.moments`), as is known now. Raises NotFound
        for a bad name; else as `ServedIndex.project`. `hidden`: the indexes whose trash is not shown."""
        if not is_normalized(name):
            raise NotFound(f"{name[:200]!r} is not a normalized project name.")
        return await self.projects.get(key_of(name, moment, hidden))

    async def names(self, moment: str, hidden: Collection[str] = ()) -> PastNames:
        """The names of the projects that had a file at a moment, as is known now. `hidden`: as of `project`."""
        return await self.project_names.get(key_of("", moment, hidden))


def key_of(name: str, moment: str, hidden: Collection[str] = ()) -> str:
    """The key of a project at a moment, or by an empty name of the list. `hidden`: see `PastIndex.project`."""
    return " ".join((moment, name, *sorted(hidden)))


class _Asked(NamedTuple):
    """See `key_of`."""

    moment: str
    name: str
    hidden: frozenset[str]


def _parsed(key: str) -> _Asked:
    moment, name, *hidden = key.split(" ")
    return _Asked(moment, name, frozenset(hidden))


class _PastProjects(freshness.Source[PastView]):
    def __init__(self, index: ServedIndex, threads: Threads, in_large: Executing) -> None:
        self._index = ref(index)
        self._threads = threads
        self._in_large = in_large

    def begin_tick(self) -> None:
        """Nothing is kept."""

    def load_inline(self, key: str, known: PastView | None) -> None:
        """None: the log is read in a thread."""

    def load(self, key: str, known: PastView | None) -> Coroutine[None, None, PastView]:
        return self._load(key, known)

    async def _load(self, key: str, known: PastView | None) -> PastView:
        asked = _parsed(key)
        index = _there(self._index())
        looked_up = await index.look_up(asked.name)
        is_right = index.policies is None or known is None or index.policies.is_true(known.held)
        known = known if is_right and known is not None and known.now() is looked_up else None
        now = await index.project(asked.name) if looked_up.is_unread and known is None else looked_up
        work = now, asked, index.policies, known, looked_up
        if known is None and len(now.files) > _FEW_FILES:
            return await self._in_large(_past_view, *work)
        return await in_thread(self._threads.readers(), _past_view, *work)


def _there(index: ServedIndex | None) -> ServedIndex:
    """Raises StoreError when it was composed otherwise since, and no request waits for it any more."""
    if index is None:
        raise StoreError("The definition of the index has changed; repeat the request.")
    return index


def _past_view(
    now: ProjectView, asked: _Asked, policies: Filter | None, known: PastView | None, looked_up: ProjectView
) -> PastView:
    """Blocks. `known`: an earlier view of the past, made of the same present one; `looked_up`: the present one as it
    stays in memory, perhaps without the files that `now` has, and not later than that."""
    moment = asked.moment
    if known is not None and all(is_unchanged(index, read) for index, read in known.known_by):
        return known
    parts, known_by = list[ProjectPart](), list[tuple[Index, ReadPast]]()
    for (source, part), (_, files) in zip(now.parts, now.listed, strict=True):
        if isinstance(source, Hosted) and isinstance(part, HostedProject):
            read = read_past(source.index, now.name, moment, with_trash=source.index.name not in asked.hidden)
            known_by.append((source.index, read))
            parts.append((source, _hosted_then(part, read, source.index.store)))
        else:
            parts.append((source, _others_then(part, files, moment)))
    return PastView(now, parts, known_by, policies, looked_up)


def _hosted_then(part: HostedProject, read: ReadPast, store: Store) -> PastProject:
    files = [HostedFile(file, part.name, store) for file in read.past.files.values()]
    return PastProject(part, files, read.past.status if part.was_written else None, read.past.status_reason)


def _others_then(part: SourceProject, files: Sequence[ListedFile], moment: str) -> PastProject:
    """`files`: those of the part."""
    there = [each for each in files if is_before(each.file.uploaded, moment)]
    return PastProject(part, there, part.status, part.status_reason)


class _PastNames(freshness.Source[PastNames]):
    """The key is that of a project with an empty name."""

    def __init__(self, index: ServedIndex, in_large: Executing) -> None:
        self._index = ref(index)
        self._in_large = in_large

    def begin_tick(self) -> None:
        """Nothing is kept."""

    def load_inline(self, key: str, known: PastNames | None) -> None:
        """None: each load takes a while."""

    def load(self, key: str, known: PastNames | None) -> Coroutine[None, None, PastNames]:
        return self._load(key, known)

    async def _load(self, key: str, known: PastNames | None) -> PastNames:
        now = await _there(self._index()).names()
        return await self._in_large(_past_names, now, key, known)


def _past_names(now: NamesView, key: str, known: PastNames | None) -> PastNames:
    """Blocks, for each project. One that cannot be read is left out, unless it is not that one alone."""
    moment, _, hidden = _parsed(key)
    before = known.tags if known is not None else {}
    tags: dict[tuple[AnySource, str], _Had] = {}
    names = set[str]()
    for source, part in now.parts:
        if isinstance(source, Hosted):
            shows = source.index.name not in hidden
            for name in {*part.names, *(source.index.trash.names().names if shows else ())}:
                try:
                    had = _had_files(source, name, moment, before.get((source, name)), with_trash=shows)
                except StoreError:
                    source.names(None)  # raises if it is not this project alone
                    continue
                tags[source, name] = had
                if had.had_files:
                    names.add(name)
        else:
            names |= {name for name in part.names if name not in names and _dropped_before(source, name, moment)}
    if known is not None and known.tags == tags and known.names == tuple(sorted(names)):
        return known
    return PastNames(sorted(names), tags)


def _had_files(source: Hosted, name: str, moment: str, known: _Had | None, *, with_trash: bool) -> _Had:
    if known is not None and source.has_tag(name, known.tag):
        return known
    read = read_past(source.index, name, moment, with_trash=with_trash)
    return _Had(read.tag, bool(read.past.files))


def _dropped_before(source: AnySource, name: str, moment: str) -> bool:
    part: SourceProject = at_hand(source.project(name, None))
    return any(is_before(each.file.uploaded, moment) for each in part.files())
