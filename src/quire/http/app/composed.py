"""The indexes of one worker, composed as their definitions say.

Each is made at its first request, and made again when a definition changes that it depends on: an object stands for one
composition, so a request by one state of the definitions is never answered by the sources of another. All that is known
of the store is shared by them: only views are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import structlog

from quire.access.decisions import AccessState
from quire.catalog.filtering import Clock, RulesOf, utc_now
from quire.catalog.served import ServedIndex
from quire.domain.advisories import Advisories
from quire.domain.namespaces import Counting, Namespaces, counting
from quire.domain.policy import NO_POLICY, Policy
from quire.domain.reserved import Reserved
from quire.domain.rulings import Rules
from quire.domain.upstreams import UpstreamDefinition, Upstreams

if TYPE_CHECKING:
    from quire.catalog.mirroring import Mirrors

log = structlog.stdlib.get_logger(__name__)


class _Part(NamedTuple):
    """All that a composition has of one of its indexes."""

    name: str
    upstreams: Upstreams = ()
    """Of its definition."""
    claims: tuple[str, ...] = ()
    """With the names of its namespaces."""
    is_stage: bool = False
    """Whether it is a stage of the next one."""
    merged: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    """Names of those behind it."""
    policy: Policy = NO_POLICY
    namespaces: tuple[Counting, ...] = ()


class _Composed(NamedTuple):
    served: ServedIndex
    made_of: tuple[_Part, ...]
    """The index, and those behind it."""
    advisories: Advisories | None
    """Those that its policies read."""
    state: AccessState | None
    """The last one by which it is right; None before the first one."""


class ComposedIndexes:
    """Belongs to one event loop."""

    def __init__(
        self,
        default: ServedIndex,
        make: Callable[[str], ServedIndex],
        mirrors: Callable[[], Mirrors],
        settings_upstreams: Upstreams = (),
        *,
        advisories: Callable[[AccessState], Advisories | None] = lambda state: None,
        now: Clock = utc_now,
    ) -> None:
        """`default`: the index at the server's root without definitions; `make`: another one without sources behind it,
        by name; `mirrors`: those of the worker; `settings_upstreams`: of the default index, where its definition has
        none; `advisories`: what policies read of them, by a state of the definitions: another object for other data;
        `now`: the time by which policies decide.
        """
        self.advisories = advisories
        self.now = now
        self._bare = {default.name: default}
        self._root = default.name
        self._make = make
        self._mirrors = mirrors
        self._settings_upstreams = settings_upstreams
        self._reported: Upstreams = ()
        self._kept_by: AccessState | None = None
        """The last state by which only indexes that are there are kept."""
        made_of = (_Part(default.name),)
        self._composed = {default.name: _Composed(self._compose(made_of, None), made_of, None, None)}

    @property
    def default(self) -> ServedIndex:
        """The index at the server's root, by the definitions that were met last."""
        return self._composed[self._root].served

    def root(self, state: AccessState) -> ServedIndex:
        """The index at the server's root by this state of the definitions."""
        return self._at(self._root, state)

    def at(self, name: str, state: AccessState) -> ServedIndex | None:
        """The index of a name by this state of the definitions; None when there is none."""
        definition = state.document.indexes.get(name)
        is_there = definition is not None and not (definition.expires and definition.has_ended(self.now()))
        if name != self._root and not is_there:
            self._forget({name})
            return None
        return self._at(name, state)

    def _at(self, name: str, state: AccessState) -> ServedIndex:
        known = self._composed.get(name)
        if known is not None and known.state is state:
            return known.served
        if self._kept_by is not state:  # stages come and go, and no request names them again
            self._kept_by = state
            self._forget(self._bare.keys() - state.document.indexes.keys() - {self._root})
        made_of = tuple(_part(each, state) for each in (name, *state.behind(name)))
        reads = any(part.policy.reads_advisories for part in made_of)
        advisories = self.advisories(state) if reads else None
        is_same = known is not None and known.made_of == made_of and known.advisories is advisories
        served = known.served if known is not None and is_same else self._compose(made_of, advisories)
        self._composed[name] = _Composed(served, made_of, advisories, state)
        if known is not None and known.served.is_mirroring and not is_same:
            self._keep_mirrors()
        return served

    def _forget(self, names: Collection[str]) -> None:
        forgotten = [self._composed.pop(name, None) for name in names]
        for name in names:
            self._bare.pop(name, None)
        if any(each is not None and each.served.is_mirroring for each in forgotten):
            self._keep_mirrors()

    def _keep_mirrors(self) -> None:
        """Only those that an index has."""
        parts = chain.from_iterable(each.made_of for each in self._composed.values())
        self._mirrors().keep_only(chain.from_iterable(map(self._counting, parts)))

    def rules_with(self, name: str, state: AccessState, policy: Policy) -> RulesOf | None:
        """The rules of an index if it had another policy; None where no policy does anything then."""
        made_of = [_part(each, state) for each in (name, *state.behind(name))]
        made_of[0] = made_of[0]._replace(policy=policy)
        reads = any(part.policy.reads_advisories for part in made_of)
        return self._rules(made_of, self.advisories(state) if reads else None)

    def known(self, name: str) -> ServedIndex | None:
        """The index of a name, if this worker has made it."""
        composed = self._composed.get(name)
        return None if composed is None else composed.served

    def _compose(self, made_of: Sequence[_Part], advisories: Advisories | None) -> ServedIndex:
        """The first of these indexes, with the others behind it in their order, and behind all of them the upstreams:
        no name of any of them is asked for elsewhere. A stage is merged with the index that it is in front of."""
        index = self._bare_index(made_of[0].name)
        groups = [self._bare_index(each.name).own_sources for each in made_of[1:]]
        merged = groups.pop(0) if made_of[0].is_stage else ()
        counting = {part.name: self._counting(part) for part in made_of}
        upstreams: dict[str, UpstreamDefinition] = {}
        for each in chain.from_iterable(counting.values()):
            upstreams.setdefault(each.url, each)
        withheld = _withheld(made_of, {name: {each.url for each in found} for name, found in counting.items()})
        source = self._mirrors().behind([*upstreams.values()], withheld) if upstreams else None
        claims = [part.claims for part in made_of]
        rules = self._rules(made_of, advisories)
        if source is None and not groups and not any(claims) and not merged and rules is None:
            return index
        # Names that are reserved are asked nowhere, and clients are sent nowhere else for one that upstreams may have.
        fallback_url = index.policy.fallback_url if source is None else None
        local = self._bare[self._root].policy.reserved
        reserved = Reserved((*local.patterns, *chain.from_iterable(claims)))
        policy = replace(index.policy, fallback_url=fallback_url, reserved=reserved)
        joined = [frozenset(name for name in part.merged if name not in reserved) for part in made_of]
        namespaces = Namespaces(tuple(part.name for part in made_of), tuple(part.namespaces for part in made_of))
        if made_of[0].is_stage:
            joined[:2], claims[:2] = [joined[0] | joined[1]], [claims[0] + claims[1]]
        return index.with_behind(
            groups if source is None else [*groups, [source]],
            policy,
            merged,
            joined,
            [*map(Reserved, claims)],
            rules=rules,
            namespaces=namespaces,
        )

    def _rules(self, made_of: Sequence[_Part], advisories: Advisories | None) -> RulesOf | None:
        """The rules for the files of each index: of all indexes that serve them. None where no policy does anything."""
        if all(part.policy.is_empty for part in made_of):
            return None
        made = {part.name: Rules(part.name, part.policy) for part in made_of if not part.policy.is_empty}

        def serving(name: str) -> Iterator[str]:
            return (part.name for part in made_of if part.name == name or name in part.behind)

        groups = [tuple(made[each] for each in serving(part.name) if each in made) for part in made_of]
        upstreams: dict[str, dict[Rules, None]] = {}
        for part in made_of:
            for upstream in self._counting(part):
                found = upstreams.setdefault(self._mirrors().name_of(upstream.url), {})
                found |= dict.fromkeys(made[each] for each in serving(part.name) if each in made)
        behind = groups[1:]
        return RulesOf(
            own=groups[0],
            merged=behind.pop(0) if made_of[0].is_stage else (),
            behind=behind,
            upstreams={name: tuple(found) for name, found in upstreams.items()},
            advisories=advisories,
            now=self.now,
        )

    def _bare_index(self, name: str) -> ServedIndex:
        index = self._bare.get(name)
        if index is None:
            index = self._bare[name] = self._make(name)
        return index

    def _counting(self, part: _Part) -> Upstreams:
        """The upstreams of an index that count: those of its definition, or of the settings."""
        defined = part.upstreams
        if part.name != self._root or not self._settings_upstreams:
            return defined
        if defined != self._reported:
            self._reported = defined
            urls = {each.url for each in defined}
            for each in self._settings_upstreams:
                if defined and each.url not in urls:
                    log.warning("upstream not used", index=part.name, upstream=each.url)
        return defined or self._settings_upstreams


def _withheld(made_of: Sequence[_Part], urls: Mapping[str, Collection[str]]) -> dict[str, frozenset[str]]:
    """By URL of an upstream, the projects that it is not asked for: each merged one is joined by the upstreams of the
    index that merges it and of those behind it. Those of an index in front of it, whose administrators decide nothing
    about the project, give no file of it.

    `urls`: by index, those of its upstreams.
    """
    everywhere = {url for each in urls.values() for url in each}
    withheld: dict[str, set[str]] = {}
    decided: set[str] = set()
    for part in made_of:
        names = {*part.merged} - decided
        decided |= names
        joining = {url for each in (part.name, *part.behind) for url in urls.get(each, ())}
        for url in everywhere - joining if names else ():
            withheld.setdefault(url, set()).update(names)
    return {url: frozenset(names) for url, names in withheld.items()}


def _part(name: str, state: AccessState) -> _Part:
    definition = state.definition(name)
    return _Part(
        name,
        definition.upstreams,
        definition.kept,
        definition.in_front_of is not None,
        definition.merged,
        tuple(state.behind(name)),
        definition.policy,
        counting(definition.namespaces, state.document.groups),
    )
