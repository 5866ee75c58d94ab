"""One index as a worker serves it: its sources behind read barriers, and its policy.

Holds no truth of its own, starts no thread and opens no file before the first request.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TypeVar, cast

from quire.catalog.composing import GroupedProjects, ProjectNames, Projects
from quire.catalog.file_count import FileCount, InThread
from quire.catalog.file_list import FileList, FileLists
from quire.catalog.filtering import Filter, RulesOf
from quire.catalog.freshness import Barrier
from quire.catalog.hosted import Hosted
from quire.catalog.sources import AnySource, Content, FetchedFile, FoundFile, ListedFile, at_hand
from quire.catalog.views import NamesView, Pages, ProjectView, require
from quire.domain.errors import BlobMissing, DamagedRecord, NotFound, StoreError
from quire.domain.names import is_normalized
from quire.domain.namespaces import Namespaces
from quire.domain.project import File
from quire.domain.reserved import Reserved
from quire.index.index import Index
from quire.index.usage import Counted
from quire.observe.metrics.tally import BarrierTally
from quire.process.budget import Budget, Memory
from quire.process.in_thread import in_thread
from quire.process.threads import Threads
from quire.store.contracts import Store

T = TypeVar("T")

_READ_AGAIN = 20
"""Times that a project is read which changes meanwhile."""

SEARCHED_BYTES = 8 * 1024 * 1024
"""The memory for searches: some thousand projects with a few files each."""


@dataclass(frozen=True, slots=True)
class IndexPolicy:
    """The operator's decisions for one index."""

    overwrite: bool = False
    """Whether an upload may replace a published file."""
    fallback_url: str | None = None
    """The simple API of the index that has the projects this one lacks, ended by a slash; None for a 404."""
    reserved: Reserved = field(default_factory=lambda: Reserved(()))
    """Names for which clients are never sent to another index."""
    hash_algorithm: str | None = "sha256"
    """The hash in the fragment of HTML file links; None for no fragment."""
    integrity_url: str | None = None
    """Absolute URL of all provenance objects, ended by a slash; None where pages name none."""

    @property
    def further_algorithms(self) -> tuple[str, ...]:
        """The hash of file links, where it is none that every file has anyway."""
        algorithm = self.hash_algorithm
        return () if algorithm in {None, "sha256", "md5"} else (str(algorithm),)


class ServedIndex:
    """One index as one worker serves it. Belongs to one event loop."""

    def __init__(
        self,
        hosted: Index,
        others: Sequence[AnySource],
        policy: IndexPolicy,
        *,
        merged: Sequence[AnySource] = (),
        behind: Sequence[Sequence[AnySource]] = (),
        joined: Sequence[Collection[str]] = (),
        claims: Sequence[Reserved] = (),
        rules: RulesOf | None = None,
        namespaces: Namespaces | None = None,
        budget: Budget,
        threads: Threads,
        tallies: Mapping[str, BarrierTally],
    ) -> None:
        """`others`: the sources beside the hosted files, in their order; `merged`: those of another index, whose files
        are listed after them; `behind`: groups of those behind them, and `joined`, `claims`: by group, names of
        projects that are joined by the last one, and names that belong to it also without files (see
        `quire.catalog.composing`). `rules`: None where no policy holds files back; `namespaces`: those that pages name.
        `budget`: all memory but that of searches is charged to it. `tallies`: the counts of the barriers `project` and
        `projects`.
        """
        self.name = hosted.name
        self._budget = budget
        self._tallies = tallies
        self.hosted = hosted
        self.policy = policy
        published = Hosted(hosted, budget)
        sources: tuple[AnySource, ...] = (published, *others, *merged)
        self.own_sources = tuple(source for source in (published, *others) if not source.needs_awaiting)
        """Those that wait for no other server: their files are listed and counted for people, and searched."""
        self.counted = published.counted
        """The result of the last count of the files, for the next one."""
        self.sources = (*sources, *chain.from_iterable(behind))
        """All, also those of indexes behind it, and of upstreams."""
        self._others = tuple(others)
        """Of the index itself."""
        self._unhosted = (*sources[1:], *(each for group in behind for each in group if not each.needs_awaiting))
        beside = (*self.own_sources[1:], *merged)
        self._compared = tuple(source for source in reversed(beside) if source.may_have_files)
        self._threads = threads
        self._filter_of = partial(_filter_of, own=(published, *others), merged=merged, behind=behind)
        self.policies = None if rules is None else self._filter_of(rules)
        """None where no policy holds files back."""
        self.is_mirroring = any(source.needs_awaiting for source in self.sources)
        """Whether there are upstreams behind it."""
        inline = all(source.validates_inline for source in self.sources)
        self.projects: Barrier[ProjectView] = Barrier(
            GroupedProjects(
                sources,
                policy.integrity_url,
                behind=behind,
                reserved=policy.reserved,
                joined=joined,
                claims=claims,
                policies=self.policies,
                executor=threads.readers,
                namespaces=namespaces,
            )
            if behind
            else Projects(sources, policy.integrity_url, policies=self.policies, namespaces=namespaces),
            inline=inline,
            pacing=hosted.store.pacing,
            budget=budget,
            executor=threads.readers,
            tally=tallies["project"],
        )
        self.project_names: Barrier[NamesView] = Barrier(
            ProjectNames(self.sources),
            inline=inline,
            pacing=hosted.store.pacing,
            budget=budget,
            executor=threads.readers,
            tally=tallies["projects"],
        )
        self.file_list: Barrier[FileList] = Barrier(
            FileLists(published, self.own_sources, self.policies),
            inline=False,
            pacing=hosted.store.pacing,
            budget=budget,
            executor=threads.large_pages,
        )
        self.file_count = FileCount(self.own_sources)
        self.home_pages = Pages()
        self.searched: Memory[ProjectView] = Memory(Budget(SEARCHED_BYTES))
        """Views for searches, apart from those of pages."""

    def with_behind(
        self,
        behind: Sequence[Sequence[AnySource]],
        policy: IndexPolicy,
        merged: Sequence[AnySource] = (),
        joined: Sequence[Collection[str]] = (),
        claims: Sequence[Reserved] = (),
        *,
        rules: RulesOf | None = None,
        namespaces: Namespaces | None = None,
    ) -> ServedIndex:
        """The same index with other groups behind it, another policy and other rules. `merged`: of the index that it is
        a stage of: its projects are merged with those of that one, as they will be when it is promoted."""
        return ServedIndex(
            self.hosted,
            self._others,
            policy,
            merged=merged,
            behind=behind,
            joined=joined,
            claims=claims,
            rules=rules,
            namespaces=namespaces,
            budget=self._budget,
            threads=self._threads,
            tallies=self._tallies,
        )

    def apart(self, budget: Budget) -> ServedIndex:
        """The index of the same sources, without those behind it, whose views are charged to another budget, and whose
        requests are not counted."""
        tallies = {name: BarrierTally() for name in self._tallies}
        return ServedIndex(
            self.hosted, self._others, self.policy, budget=budget, threads=self._threads, tallies=tallies
        )

    def filter_by(self, rules: RulesOf | None) -> Filter | None:
        """The decisions by other rules about the files of this very composition."""
        return None if rules is None else self._filter_of(rules)

    @property
    def store(self) -> Store:
        """Where the hosted files are."""
        return self.hosted.store

    @property
    def read_only(self) -> bool:
        """Whether uploads and other changes are refused."""
        return not self.store.writable

    async def project(self, name: str) -> ProjectView:
        """The project of this normalized name as it is now; see ProjectView.exists. Raises NotFound for a bad name."""
        view = await self.look_up(name)
        return await self.read(view, lambda known: known.complete()) if view.is_unread else view

    async def look_up(self, name: str) -> ProjectView:
        """The same, perhaps one whose files are not read yet (`ProjectView.is_unread`)."""
        if not is_normalized(name):
            raise NotFound(f"{name[:200]!r} is not a normalized project name.")
        return await self.projects.get(name)

    async def offered(self, view: ProjectView, filename: str) -> ListedFile | None:
        """The file of a view that is not read yet, if it may be downloaded. Raises as `read`."""
        return view.offers_inline(filename) or await self.read(view, lambda known: known.offers(filename))

    async def read(self, view: ProjectView, function: Callable[[ProjectView], T]) -> T:
        """The result of a function of a view that is not read yet, in a thread; of a later view when that one cannot be
        read any more. Raises NotFound when the project is gone, StoreError.
        """
        for _ in range(_READ_AGAIN):
            try:
                return await in_thread(self._threads.large_pages(), function, view)
            except (BlobMissing, DamagedRecord):
                self.projects.memory.drop(view.name)
                view = require(await self.projects.get(view.name))
        raise StoreError(f"The project {view.name} changes faster than it can be read; repeat.")

    async def names(self) -> NamesView:
        """The list of projects as it is now."""
        return await self.project_names.get("")

    async def is_local(self, view: ProjectView) -> bool:
        """Whether a project's name belongs to this index, also without files: then no redirect to another index.

        Raises StoreError when that is not known.
        """
        if view.exists or view.had_record or view.name in self.policy.reserved:
            return True
        return await self._in_reader(lambda: any(source.claims(view.name) for source in self._unhosted))

    async def is_mirrored(self, name: str) -> bool:
        """Whether the project of this name is another server's: one of the upstreams has it, and no index of the chain.

        Raises UpstreamError when they cannot be asked, StoreError.
        """
        if name in self.policy.reserved:
            return False
        parts = (await self.look_up(name)).parts
        if any(part.exists or part.was_written for source, part in parts if not source.needs_awaiting):
            return False
        return any(part.exists for source, part in parts if source.needs_awaiting)

    def own(self, view: ProjectView) -> ProjectView:
        """A project without what indexes behind this one have of it: all that a change of this index concerns."""
        return view.of(lambda source: source in self.own_sources or source.needs_awaiting)

    def owners(self, view: ProjectView) -> tuple[str, ...]:
        """The subjects that own a project by the record of this index; none of one that it has not published."""
        return next((part.owners for source, part in view.parts if source in self.own_sources and part.owners), ())

    async def own_names(self) -> tuple[str, ...]:
        """The names of the projects of this index itself: those of indexes behind it are for their readers."""
        view = await self.names()
        lists = [part.names for source, part in view.parts if source in self.own_sources and part.names]
        if len(lists) == sum(bool(part.names) for _, part in view.parts):
            return view.names
        return lists[0] if len(lists) == 1 else tuple(sorted(set().union(*lists)))

    def existing_files(self, name: str) -> dict[str, File]:
        """By filename, the files that the sources beside the hosted index have of a project now, which an upload must
        not contradict. Blocks. Raises StoreError.
        """
        files = {}
        for source in self._compared:
            for each in at_hand(source.project(name, None)).files():
                files[each.file.filename] = each.file
        return files

    def follow_usage(self, in_thread: InThread) -> None:
        """Begin to count the bytes of the index, if it is time; `hosted.usage` has the result."""
        usage = self.hosted.usage
        usage.follow()
        self.file_count.begin(in_thread, at_once=usage.needs_count)

    async def usage(self, in_thread: InThread, *, is_urgent: bool) -> Counted | None:
        """The bytes of the index: a count that is under way or can begin is waited for, a second at the most.

        `is_urgent`: before a request is refused because of them. None while they are not known yet.
        """
        self.follow_usage(in_thread)
        await self.file_count.get(in_thread, is_urgent=is_urgent)
        return self.hosted.usage.known

    async def find(self, place: str) -> FoundFile | None:
        """The file at a place below `/packages/`; None when there is none, or it is found by its project alone.

        Raises HeldBack, StoreError.
        """
        found = ((source, source.find(place)) for source in self._unhosted)
        source, file = await self._in_reader(
            lambda: next((each for each in found if each[1] is not None), (None, None))
        )
        if file is None or source is None:
            return None
        try:
            is_own = source in self._others or any(
                each is source for each, _ in (await self.project(file.project)).parts
            )
            if is_own and self.policies is not None:
                await self._in_reader(partial(self.policies.check, file.project, source, file))
        except BaseException:
            file.close()
            raise
        if is_own:
            return file
        file.close()  # of an index behind, where a nearer one owns the name
        return None

    async def open(self, listed: ListedFile, companion: str) -> Content:
        """The bytes of a file, or of a companion of it. Raises as `FetchedFile.fetch` does."""
        if listed.needs_awaiting:
            return await cast(FetchedFile, listed).fetch(companion)
        if listed.opens_inline(companion):
            return listed.open(companion)
        return await self._in_reader(lambda: listed.open(companion))

    async def _in_reader(self, function: Callable[[], T]) -> T:
        return await in_thread(self._threads.readers(), function)


def _filter_of(
    rules: RulesOf, own: Sequence[AnySource], merged: Sequence[AnySource], behind: Sequence[Sequence[AnySource]]
) -> Filter:
    local = dict.fromkeys(own, rules.own) | dict.fromkeys(merged, rules.merged)
    for group, theirs in zip(behind, rules.behind, strict=False):  # the last group may be that of the upstreams
        local |= dict.fromkeys(group, theirs)
    return Filter(rules, local)
