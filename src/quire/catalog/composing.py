"""The answers of the sources of an index, composed: the barriers' sources of views.

Of files with the same name that of the first source is listed: a hosted file comes before a drop-in.

The sources of an index itself are merged so. Behind them there may be others, in groups, which are not: a project's
name belongs to the first group that has, or ever had, something of it, and no later group is asked. So a file of
another index never joins a project of this one, and no name of this one is told to another (dependency confusion).
A name that a source claims without a file belongs to its group, and one that the operator reserved to no server
elsewhere. Groups are read one after the other; when all were, those before the last are looked at once more. If they
have not changed, all that was found was true together, at the moment before that look. So it is with the sources of
one group: those before the one that was read last are looked at once more, unless that one is as it was before.
Only of a project that was merged by name the upstreams are asked as well; their files come after its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from itertools import pairwise

from quire.catalog import freshness
from quire.catalog.filtering import Filter
from quire.catalog.sources import AnySource, SourceNames, SourceProject, at_hand
from quire.catalog.views import NO_NAMES, NamesView, ProjectPart, ProjectView
from quire.domain.errors import BlobMissing, StoreError
from quire.domain.namespaces import Namespaces
from quire.domain.reserved import Reserved
from quire.process.in_thread import in_thread

_FEW_FILES = 200  # merged and sorted in a millisecond
_MOST_ROUNDS = 20  # of reading groups that change meanwhile


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
        if known is None:
            return self._first_inline(key)
        if self._policies is not None and not self._is_true(known):
            return None
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
                part = source.first_inline(key, self._tick)
                if part is None or part.exists or part.was_written:
                    return None
                parts.append((source, part))
            if not _is_disclaimed(group, key):
                return None
        theirs = [(source, source.first_inline(key, self._tick)) for source in last]
        found = [(source, part) for source, part in theirs if part is not None]
        return self._view(key, None, [*found, *parts]) if len(found) == len(last) else None

    def _merge_inline(self, key: str, known: ProjectView, changed: AnySource, now: SourceProject) -> ProjectView | None:
        """The view with what a source has now, where the sources before it have not changed; None when merging that
        takes a thread, or one of them changed meanwhile."""
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
        again = object()  # another tick: looked at after all were read
        if any(source.project_inline(key, part, again) is not part for source, part in parts[:-1]):
            return None
        return ProjectView(key, parts, self._integrity, self._policies, self._namespaces)

    def _is_true(self, known: ProjectView) -> bool:
        """Whether the time has changed no decision of a policy."""
        return self._policies is None or self._policies.is_true(known.held)

    def load(self, key: str, known: ProjectView | None) -> ProjectView | Awaitable[ProjectView]:
        before = dict(known.parts) if known is not None else {}
        for _ in range(_MOST_ROUNDS):
            groups, passed, awaited = self._read(key, before)
            parts = [part for found in groups for part in found.items()]
            if awaited is not None and self._is_unchanged(key, parts, before):
                return self._load_awaited(key, known, groups, awaited)
            if awaited is None and self._is_of_one_moment(key, groups, passed, before):
                return self._view(key, known, parts)
            before = dict(parts)
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
        before: Mapping[AnySource, SourceProject],
    ) -> bool:
        """Whether the groups before the last one have not changed since they were read, and claim the name no more
        than then; and the sources of the last one (`_is_unchanged`)."""
        return (
            all(at_hand(source.project(key, part)) is part for found in groups[:-1] for source, part in found.items())
            and self._is_unchanged(key, [*groups[-1].items()], before)
            and not any(
                not _is_disclaimed(group, key) and _is_claimed(group, key) for group in passed[: len(groups) - 1]
            )
        )

    @staticmethod
    def _is_unchanged(key: str, parts: Sequence[ProjectPart], before: Mapping[AnySource, SourceProject]) -> bool:
        """Whether parts that were read one after the other, each at hand, were true together. `before`: the parts that
        were known when the first one was read."""
        if parts and parts[-1][1] is before.get(parts[-1][0]):
            parts = parts[:-1]  # it was true all the time
        return all(at_hand(source.project(key, part)) is part for source, part in parts[:-1])

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
                return await in_thread(self._executor(), self._view, key, known, parts)
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
