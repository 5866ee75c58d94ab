"""Decisions about files by a policy: pure functions of the policy, the file, the advisories and the time.

Theory of operation. The rules are asked in a fixed order, and the first one that holds a file back decides: a blocked
digest, a denied project, a project of an upstream that is not allowed, an advisory, the minimum age. An exemption of
the release ends all of them but the first, which is about bytes and not about a release. A decision may change with
time alone: a file becomes old enough, an exemption ends. So each ruling says when it may change; a view of a project
is made again at the first such moment.

A file of an upstream that does not say when it was uploaded is held back as long as there is a minimum age: its age
could be that of an attack that began a minute ago.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from quire.domain.advisories import Advisories, Advisory, Severity
from quire.domain.names import version_sort_key
from quire.domain.policy import Denied, Effect, Exemption, Policy
from quire.domain.reserved import Reserved
from quire.domain.times import moment

RIGHT: Final = "admin"
"""The right on the index by which a decision is lifted."""
_MOST_IDS: Final = 3
"""Advisories that one sentence names."""


class Rule(StrEnum):
    """The rules, in the order in which they are asked."""

    BLOCKED = "blocked"
    DENIED = "denied"
    NOT_ALLOWED = "not-allowed"
    MALICIOUS = "malicious"
    VULNERABLE = "vulnerable"
    MIN_AGE = "min-age"


class Facts(NamedTuple):
    """Everything that a decision needs to know of a file."""

    project: str
    """Normalized name."""
    version: str
    filename: str
    sha256: str
    uploaded: str | None
    """RFC 3339; None where the upstream does not say."""
    is_upstream: bool
    """Whether it is of an upstream."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that concerns a file."""

    rule: Rule
    effect: Effect
    """BLOCK or WARN."""
    index: str
    """The index that has the policy."""
    sentence: str
    since: str | None
    """When the rule was made, in RFC 3339, UTC; None where that is not known."""
    until: str | None = None
    """When the file is served without a change of the policy; None for never."""
    lift: str
    """The command by which it is lifted."""
    right: str = RIGHT

    @property
    def blocks(self) -> bool:
        return self.effect is Effect.BLOCK


class Ruling(NamedTuple):
    """The decision about a file; None where nothing concerns it."""

    decision: Decision | None = None
    changes: datetime | None = None
    """When it may be another one, without a change of policy or advisories."""
    exemption: Exemption | None = None
    """The exemption of its release, by which no rule was asked."""


NO_RULING: Final = Ruling()


class Rules:
    """A policy, ready to decide. Immutable; may be used from any thread."""

    def __init__(self, index: str, policy: Policy) -> None:
        self.index = index
        self.policy = policy
        self._allowed = Reserved(policy.allow) if policy.allow else None
        self._denied = Reserved([each.pattern for each in policy.deny])
        self._denials = [(each, Reserved([each.pattern])) for each in policy.deny]
        self._ageless = Reserved(policy.min_age_except)
        self._blocked = {each.sha256: each for each in policy.blocked}
        self._exempt: dict[str, list[Exemption]] = {}
        for each in policy.exempt:
            self._exempt.setdefault(each.project, []).append(each)

    def bars(self, project: str) -> bool:
        """Whether no file of an upstream with this name is served: it is denied, or not allowed."""
        return project in self._denied or (self._allowed is not None and project not in self._allowed)

    @property
    def judges_releases(self) -> bool:
        """Whether files of upstreams are held back for more than their names and digests."""
        policy = self.policy
        return bool(policy.min_age) or policy.malicious is Effect.BLOCK or policy.block_severity is not None

    def of(self, project: str, advisories: Advisories | None) -> ProjectRules:
        """The rules for the files of one project (normalized name)."""
        return ProjectRules(self, project, advisories if advisories and self.policy.reads_advisories else None)


class ProjectRules:
    """The rules for the files of one project. For one thread."""

    def __init__(self, rules: Rules, project: str, advisories: Advisories | None) -> None:
        self._index = rules.index
        self._policy = policy = rules.policy
        self._project = project
        self._advisories = advisories
        self._blocked = rules._blocked
        self._denied = None
        if project in rules._denied:
            self._denied = next(each for each, names in rules._denials if project in names)
        self._is_allowed = rules._allowed is None or project in rules._allowed
        self._age = timedelta(seconds=0 if project in rules._ageless else policy.min_age)
        self._exempt = {version_sort_key(each.version): each for each in rules._exempt.get(project, ())}
        self._by_version: dict[str, Ruling] = {}

    def decide(self, facts: Facts, now: datetime) -> Ruling:
        """The ruling on a file of the project. `now`: the same one for all files of one view."""
        blocked = self._blocked.get(facts.sha256) if self._blocked else None
        if blocked is not None:
            short = facts.sha256[:12]
            return Ruling(
                self._decision(
                    Rule.BLOCKED,
                    f"blocks {facts.filename} by its digest{_since(blocked.since)} until that is lifted"
                    f"{_because(blocked.reason)}",
                    since=blocked.since,
                    lift=f"quire policy block {short} --remove",
                )
            )
        exemption = self._exempt.get(version_sort_key(facts.version)) if self._exempt else None
        ends = None if exemption is None or exemption.until is None else moment(exemption.until)
        if exemption is not None and (ends is None or ends > now):
            return Ruling(None, ends, exemption)
        if self._denied is not None or (facts.is_upstream and not self._is_allowed):
            return Ruling(self._disallowance() if self._denied is None else self._denial(self._denied))
        return self._decide_release(facts, now)

    def _decide_release(self, facts: Facts, now: datetime) -> Ruling:
        """By the rules that concern single releases, and files of them."""
        warned = None
        if self._advisories is not None:
            advised = self._advised(facts.version)
            if advised is not None and advised.blocks:
                return Ruling(advised)
            warned = advised
        if facts.is_upstream and self._age:
            young = self._young(facts, now)
            if young is not None:
                return young
        return NO_RULING if warned is None else Ruling(warned)

    def _denial(self, denied: Denied) -> Decision:
        pattern = denied.pattern if denied.pattern == self._project else f"'{denied.pattern}'"
        return self._decision(
            Rule.DENIED,
            f"denies {self._project}{_since(denied.since)} until that is lifted{_because(denied.reason)}",
            since=denied.since,
            lift=f"quire policy deny {pattern} --remove",
        )

    def _disallowance(self) -> Decision:
        since = self._policy.allow_since
        return self._decision(
            Rule.NOT_ALLOWED,
            f"allows the projects of upstreams that it names{_since(since)}, and {self._project} is none of them "
            "until it is named",
            since=since,
            lift=f"quire policy allow {self._project}",
        )

    def _young(self, facts: Facts, now: datetime) -> Ruling | None:
        """The ruling on a file of an upstream that is not old enough; None where it is."""
        uploaded = None if facts.uploaded is None else _moment_or_none(facts.uploaded)
        ends = None if uploaded is None else _later(uploaded, self._age)
        if ends is not None and ends <= now:
            return None
        if self._policy.min_age_except_fixes and self._fixes(facts.version):
            return None
        since = self._policy.min_age_since
        rule = f"files of upstreams have to be {age_text(self._age)} old{_since(since)}"
        lift = f"quire policy exempt {self._project}=={facts.version}"
        if ends is None:
            words = f"holds {facts.filename} back until that is lifted: {rule}, and the upstream does not say how old"
            return Ruling(self._decision(Rule.MIN_AGE, f"{words} it is", since=since, lift=lift))
        until = stamp(ends)
        words = f"holds {facts.filename} back until {until}: {rule}"
        return Ruling(self._decision(Rule.MIN_AGE, words, since=since, until=until, lift=lift), ends)

    def _fixes(self, version: str) -> bool:
        if self._advisories is None:
            return False
        return any(each.withdrawn is None for each in self._advisories.fixed_by(self._project, version))

    def _advised(self, version: str) -> Decision | None:
        """The decision by the advisories on a version: it is the same for all files of it."""
        known = self._by_version.get(version)
        if known is None:
            assert self._advisories is not None
            known = self._by_version[version] = Ruling(
                self._by_advisories(version, self._advisories.of(self._project, version))
            )
        return known.decision

    def _by_advisories(self, version: str, advisories: Sequence[Advisory]) -> Decision | None:
        policy, standing = self._policy, [each for each in advisories if each.withdrawn is None]
        malicious = [each for each in standing if each.is_malicious]
        severe, noted = _at_least(policy.block_severity, standing), _at_least(policy.warn_severity, standing)
        if malicious and policy.malicious is Effect.BLOCK:
            return self._advice(Rule.MALICIOUS, Effect.BLOCK, version, malicious)
        if severe:
            return self._advice(Rule.VULNERABLE, Effect.BLOCK, version, severe)
        if malicious and policy.malicious is Effect.WARN:
            return self._advice(Rule.MALICIOUS, Effect.WARN, version, malicious)
        return self._advice(Rule.VULNERABLE, Effect.WARN, version, noted) if noted else None

    def _advice(self, rule: Rule, effect: Effect, version: str, advisories: Sequence[Advisory]) -> Decision:
        since = self._policy.advisories_since
        ids = ", ".join(
            each.id if each.severity is None else f"{each.id}, {each.severity}" for each in advisories[:_MOST_IDS]
        )
        more = f" and {len(advisories) - _MOST_IDS} more" if len(advisories) > _MOST_IDS else ""
        verb = "blocks" if effect is Effect.BLOCK else "warns of"
        until = " until that is lifted" if effect is Effect.BLOCK else ""
        return self._decision(
            rule,
            f"{verb} {self._project} {version} as {rule}{_since(since)}{until} ({ids}{more})",
            effect=effect,
            since=since,
            lift=f"quire policy exempt {self._project}=={version}",
        )

    def _decision(
        self,
        rule: Rule,
        words: str,
        *,
        since: str | None,
        lift: str,
        until: str | None = None,
        effect: Effect = Effect.BLOCK,
    ) -> Decision:
        lift = f"{lift} --index {self._index}"
        sentence = f"The policy of the index {self._index} {words}; an administrator can lift it: {lift}"
        return Decision(
            rule=rule, effect=effect, index=self._index, sentence=sentence, since=since, until=until, lift=lift
        )


def decide(policies: Sequence[ProjectRules], facts: Facts, now: datetime) -> Ruling:
    """The ruling by the policies of several indexes, of which each may hold the file back: the first one that does."""
    if len(policies) == 1:
        return policies[0].decide(facts, now)
    warned, exemption, moments = None, None, list[datetime]()
    for each in policies:
        ruling = each.decide(facts, now)
        if ruling.changes is not None:
            moments.append(ruling.changes)
        if ruling.decision is not None and ruling.decision.blocks:
            return Ruling(ruling.decision, min(moments, default=None))
        warned, exemption = warned or ruling.decision, exemption or ruling.exemption
    return Ruling(warned, min(moments, default=None), exemption)


def _at_least(least: Severity | None, advisories: Sequence[Advisory]) -> list[Advisory]:
    if least is None:
        return []
    return [each for each in advisories if each.severity is not None and each.severity.rank >= least.rank]


def stamp(when: datetime) -> str:
    """A time in UTC in RFC 3339, of whole seconds, not before the moment."""
    whole = when
    if whole.microsecond:
        whole = whole.replace(microsecond=0) + timedelta(seconds=1)
    return whole.strftime("%Y-%m-%dT%H:%M:%SZ")


def age_text(age: timedelta) -> str:
    """`7 days`, `36 hours`, `90 seconds`."""
    seconds = int(age.total_seconds())
    for size, noun in ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds % size == 0:
            number = seconds // size
            return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
    raise AssertionError("seconds are whole")


def _moment_or_none(text: str) -> datetime | None:
    """In UTC; None for text that is no time, or one that no clock can have."""
    try:
        return moment(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _later(when: datetime, age: timedelta) -> datetime:
    """`when` and an age; the last moment there is where that is later than all moments."""
    try:
        return when + age
    except OverflowError:
        return datetime.max.replace(microsecond=0, tzinfo=UTC)


def _since(since: str | None) -> str:
    return "" if since is None else f" since {since}"


def _because(reason: str | None) -> str:
    return "" if reason is None else f" ({reason})"
