"""The policies of the indexes that a composition is made of, asked about the files of each source.

A file is subject to the policy of each index that serves it: of the index that has its source, of the one that a
request names, and of every index between them. So no index in front of another one is a way around its policy.

A view asks once, when it is made. It says until when its answers stand (`Held.until`), and is made again then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

from quire.catalog.sources import AnySource, ListedFile
from quire.domain.advisories import Advisories
from quire.domain.errors import HeldBack
from quire.domain.policy import Effect
from quire.domain.rulings import Decision, Facts, ProjectRules, Rules, Ruling, decide

Clock = Callable[[], datetime]
"""The time, in UTC."""

NO_RULES: Final[tuple[Rules, ...]] = ()


def utc_now() -> datetime:
    """The time of this machine."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class RulesOf:
    """The rules for the sources of an index and of those behind it."""

    own: tuple[Rules, ...]
    """For the files of the index itself."""
    merged: tuple[Rules, ...] = NO_RULES
    """For those of the index that it is a stage of."""
    behind: Sequence[tuple[Rules, ...]] = ()
    """For those of each group behind it."""
    upstreams: Mapping[str, tuple[Rules, ...]] = field(default_factory=dict)
    """For those of each upstream, by the name of its mirror."""
    advisories: Advisories | None = None
    now: Clock = utc_now


class Held(NamedTuple):
    """The decisions about the files of one project."""

    decisions: Mapping[str, Decision] = {}
    """By filename, where there is one."""
    until: datetime | None = None
    """When one of them may be another one."""

    @property
    def blocks(self) -> bool:
        """Whether a file is held back."""
        return any(each.blocks for each in self.decisions.values())


NOTHING_HELD: Final = Held()


class Filter:
    """Decides about the files of one composition. May be used from any thread."""

    def __init__(self, rules: RulesOf, local: Mapping[AnySource, tuple[Rules, ...]]) -> None:
        """`local`: the rules for the files of each source that is no other server's."""
        self._local = local
        self._rules = rules
        self._all_upstreams = tuple(dict.fromkeys(each for found in rules.upstreams.values() for each in found))

    def is_true(self, held: Held) -> bool:
        """Whether decisions stand at this moment."""
        return held.until is None or self._rules.now() < held.until

    def hold(self, project: str, files: Iterable[tuple[AnySource, ListedFile]]) -> Held:
        """The decisions about files of a project (normalized name), of which each has a name of its own."""
        now, decisions, until = self._rules.now(), dict[str, Decision](), None
        prepared: dict[tuple[Rules, ...], tuple[ProjectRules, ...]] = {}
        for source, listed in files:
            rules = self._rules_of(source, listed)
            if not rules:
                continue
            policies = prepared.get(rules)
            if policies is None:
                policies = prepared[rules] = tuple(each.of(project, self._rules.advisories) for each in rules)
            ruling = decide(policies, _facts(project, source, listed), now)
            if ruling.decision is not None:
                decisions[listed.file.filename] = ruling.decision
            if ruling.changes is not None and (until is None or ruling.changes < until):
                until = ruling.changes
        return Held(decisions, until) if decisions or until is not None else NOTHING_HELD

    def check(self, project: str, source: AnySource, listed: ListedFile) -> Decision | None:
        """The decision about one file, where it warns. Raises HeldBack where it blocks."""
        decision = self.ruling(project, source, listed).decision
        if decision is not None and decision.blocks:
            raise HeldBack(f"{decision.sentence}.")
        return decision

    def ruling(self, project: str, source: AnySource, listed: ListedFile) -> Ruling:
        """The ruling on one file."""
        rules = (each.of(project, self._rules.advisories) for each in self._rules_of(source, listed))
        return decide(tuple(rules), _facts(project, source, listed), self._rules.now())

    def bars(self, project: str) -> bool:
        """Whether the index serves no file of an upstream with this name (normalized): then no client is sent to
        another server for it."""
        return any(each.bars(project) for each in self._rules.own)

    def check_elsewhere(self, project: str, url: str) -> None:
        """Raises HeldBack where rules are about releases, which could not be applied at another server."""
        for each in self._rules.own:
            if each.judges_releases:
                raise HeldBack(
                    f"The policy of the index {each.index} could not be applied to {project} at {url}, so no client is "
                    "sent there; an administrator can mirror it (quire index set --upstream) or end the fallback."
                )

    def check_upload(self, facts: Facts) -> None:
        """Raises HeldBack for a file that would be held back if it was published into the index itself."""
        check_upload(self._rules.own, facts, self._rules.advisories, self._rules.now())

    def _rules_of(self, source: AnySource, listed: ListedFile) -> tuple[Rules, ...]:
        if not source.needs_awaiting:
            return self._local[source]
        # A file of an upstream that no definition has any more obeys all of them.
        return self._rules.upstreams.get(getattr(listed, "origin", ""), self._all_upstreams)


def check_upload(rules: Sequence[Rules], facts: Facts, advisories: Advisories | None, now: datetime) -> None:
    """Raises HeldBack for a file that would be held back if it was published into an index with these rules."""
    decision = decide(tuple(each.of(facts.project, advisories) for each in rules), facts, now).decision
    if decision is not None and decision.effect is Effect.BLOCK:
        raise HeldBack(f"{decision.sentence}.")


def _facts(project: str, source: AnySource, listed: ListedFile) -> Facts:
    file = listed.file
    return Facts(project, file.version, file.filename, file.sha256, file.uploaded, source.needs_awaiting)
