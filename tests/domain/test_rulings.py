"""Decisions by policies: which rule decides, in which order, until when.

Replaced here: the translation of a pattern, by one that counts, since no decision tells how much work it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from quire.access.grants import Permission, Scope
from quire.domain.advisories import Advisory, Severity
from quire.domain.policy import Blocked, Denied, Effect, Exemption, Policy
from quire.domain.retention import parse_rule, rules_for
from quire.domain.rulings import Facts, Rule, Rules, Ruling, decide
from quire.domain.webhooks import Webhook

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
DAY = timedelta(days=1)
DIGEST = "ab" * 32
OLD, YOUNG = "2026-11-01T00:00:00Z", "2026-11-28T12:00:00.5Z"

BLOCKED = Blocked(sha256=DIGEST, reason="a stolen key", since="2026-11-02T00:00:00Z")
DENIED = Denied(pattern="si*", reason="use seven", since="2026-11-03T00:00:00Z", by="ann")
EXEMPT = Exemption(project="six", version="1.17", since="2026-11-04T00:00:00Z", by="ann")
BAD = Advisory(id="MAL-1", is_malicious=True)
GRAVE = Advisory(id="GHSA-1", severity=Severity.CRITICAL, fixed=("1.17.0",))
LIGHT = Advisory(id="GHSA-2", severity=Severity.LOW)


@dataclass
class Known:
    """Advisories on every version, and those that every version ends."""

    affecting: Sequence[Advisory] = ()
    ended: Sequence[Advisory] = ()
    asked: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.affecting or self.ended)

    def of(self, project: str, version: str) -> Sequence[Advisory]:
        self.asked.append(version)
        return self.affecting

    def fixed_by(self, project: str, version: str) -> Sequence[Advisory]:
        return self.ended


def facts(
    uploaded: str | None = OLD, *, is_upstream: bool = True, version: str = "1.17.0", sha256: str = DIGEST
) -> Facts:
    return Facts("six", version, f"six-{version}-py3-none-any.whl", sha256, uploaded, is_upstream)


def ruled(policy: Policy, file: Facts, known: Known | None = None, now: datetime = NOW) -> Ruling:
    return decide([Rules("main", policy).of(file.project, known)], file, now)


PRIVATE = facts(is_upstream=False)
FRESH = facts(YOUNG)


@pytest.mark.parametrize(
    ("policy", "file", "known", "rule"),
    [
        (Policy(), facts(), None, None),
        (Policy(blocked=(BLOCKED,)), facts(), None, Rule.BLOCKED),
        (Policy(blocked=(BLOCKED,)), PRIVATE, None, Rule.BLOCKED),
        (Policy(blocked=(BLOCKED,)), facts(sha256="cd" * 32), None, None),
        (Policy(blocked=(BLOCKED,), exempt=(EXEMPT,), deny=(DENIED,)), facts(), None, Rule.BLOCKED),
        (Policy(deny=(DENIED,)), facts(), None, Rule.DENIED),
        (Policy(deny=(DENIED,)), PRIVATE, None, Rule.DENIED),
        (Policy(deny=(Denied(pattern="sixes"),)), facts(), None, None),
        (Policy(deny=(DENIED,), exempt=(EXEMPT,)), facts(), None, None),
        (Policy(deny=(DENIED,), exempt=(EXEMPT,)), facts(version="1.16"), None, Rule.DENIED),
        (Policy(allow=("acme-*",)), facts(), None, Rule.NOT_ALLOWED),
        (Policy(allow=("acme-*",)), PRIVATE, None, None),
        (Policy(allow=("acme-*", "six")), facts(), None, None),
        (Policy(min_age=7 * 86400), FRESH, None, Rule.MIN_AGE),
        (Policy(min_age=7 * 86400), facts(), None, None),
        (Policy(min_age=7 * 86400), facts(None), None, Rule.MIN_AGE),
        (Policy(min_age=7 * 86400), facts("yesterday"), None, Rule.MIN_AGE),
        (Policy(min_age=7 * 86400), facts("2027-01-01T00:00:00Z"), None, Rule.MIN_AGE),
        (Policy(min_age=7 * 86400), facts("9999-12-31T23:59:59Z"), None, Rule.MIN_AGE),
        (Policy(min_age=7 * 86400), facts("9999-12-31T23:59:59-12:00"), None, Rule.MIN_AGE),
        (Policy(min_age=7 * 86400), facts("0001-01-01T00:00:00+12:00"), None, Rule.MIN_AGE),
        (Policy(min_age=7 * 86400), facts("2026-11-28T12:00:00"), None, Rule.MIN_AGE),
        (Policy(min_age=7 * 86400), facts(None, is_upstream=False), None, None),
        (Policy(min_age=7 * 86400, min_age_except=("s?x",)), FRESH, None, None),
        (Policy(min_age=7 * 86400, exempt=(EXEMPT,)), FRESH, None, None),
        (Policy(min_age=7 * 86400, min_age_except_fixes=True), FRESH, Known(ended=[GRAVE]), None),
        (Policy(min_age=7 * 86400, min_age_except_fixes=True), FRESH, None, Rule.MIN_AGE),
        (Policy(min_age=7 * 86400), FRESH, Known(ended=[GRAVE]), Rule.MIN_AGE),
        (
            Policy(min_age=7 * 86400, min_age_except_fixes=True),
            FRESH,
            Known(ended=[Advisory(id="GHSA-3", withdrawn=OLD)]),
            Rule.MIN_AGE,
        ),
        (Policy(malicious=Effect.BLOCK), facts(), Known([BAD]), Rule.MALICIOUS),
        (Policy(malicious=Effect.BLOCK), PRIVATE, Known([BAD]), Rule.MALICIOUS),
        (Policy(malicious=Effect.BLOCK, exempt=(EXEMPT,)), facts(), Known([BAD]), None),
        (Policy(malicious=Effect.BLOCK), facts(), Known([GRAVE]), None),
        (Policy(malicious=Effect.BLOCK), facts(), Known([Advisory(id="M", is_malicious=True, withdrawn=OLD)]), None),
        (Policy(block_severity=Severity.HIGH), facts(), Known([LIGHT, GRAVE]), Rule.VULNERABLE),
        (Policy(block_severity=Severity.HIGH), facts(), Known([LIGHT]), None),
        (Policy(block_severity=Severity.NONE), facts(), Known([BAD]), None),
        (Policy(malicious=Effect.BLOCK, min_age=7 * 86400), FRESH, Known([BAD]), Rule.MALICIOUS),
        (Policy(malicious=Effect.WARN, min_age=7 * 86400), FRESH, Known([BAD]), Rule.MIN_AGE),
    ],
)
def test_the_first_rule_that_holds_a_file_back_decides(
    policy: Policy, file: Facts, known: Known | None, rule: Rule | None
) -> None:
    decision = ruled(policy, file, known).decision
    assert (None if decision is None else decision.rule) == rule
    assert decision is None or (decision.blocks and decision.index == "main" and len(decision.sentence) < 300)


@pytest.mark.parametrize(
    ("policy", "known", "rule"),
    [
        (Policy(malicious=Effect.WARN), Known([BAD]), Rule.MALICIOUS),
        (Policy(warn_severity=Severity.LOW, block_severity=Severity.CRITICAL), Known([LIGHT]), Rule.VULNERABLE),
    ],
)
def test_a_warning_blocks_nothing(policy: Policy, known: Known, rule: Rule) -> None:
    decision = ruled(policy, facts(), known).decision
    assert decision is not None
    assert (decision.rule, decision.effect, decision.until) == (rule, Effect.WARN, None)


def test_a_sentence_says_which_rule_since_when_until_when_and_how_it_is_lifted() -> None:
    policy = Policy(min_age=7 * 86400, min_age_since="2026-11-01T00:00:00Z", deny=())
    held = ruled(policy, FRESH).decision
    assert held is not None
    assert (held.since, held.until, held.right) == ("2026-11-01T00:00:00Z", "2026-12-05T12:00:01Z", "admin")
    assert held.sentence == (
        "The policy of the index main holds six-1.17.0-py3-none-any.whl back until 2026-12-05T12:00:01Z: files of "
        "upstreams have to be 7 days old since 2026-11-01T00:00:00Z; an administrator can lift it: "
        "quire policy exempt six==1.17.0 --index main"
    )
    denied = ruled(Policy(deny=(DENIED,)), facts()).decision
    assert denied is not None
    assert denied.sentence == (
        "The policy of the index main denies six since 2026-11-03T00:00:00Z until that is lifted (use seven); an "
        "administrator can lift it: quire policy deny 'si*' --remove --index main"
    )


def test_a_ruling_says_when_it_changes() -> None:
    """At that very moment it is another one, and not before."""
    policy = Policy(min_age=7 * 86400)
    held = ruled(policy, FRESH)
    ends = datetime(2026, 12, 5, 12, 0, 0, 500_000, tzinfo=UTC)
    assert held.changes == ends
    assert ruled(policy, FRESH, now=ends - timedelta(microseconds=1)).decision is not None
    assert ruled(policy, FRESH, now=ends) == Ruling()
    until = "2026-12-01T00:00:00Z"
    exempt = Policy(deny=(DENIED,), exempt=(Exemption(project="six", version="1.17.0", until=until),))
    exempted = ruled(exempt, FRESH)
    end = NOW.replace(month=12, day=1, hour=0)
    assert (exempted.decision, exempted.changes) == (None, end)
    after = ruled(exempt, FRESH, now=end)
    assert after.decision is not None
    assert after.changes is None
    assert ruled(policy, facts(None)).changes is None


def test_each_of_several_policies_can_hold_a_file_back() -> None:
    """An exemption of one of them does not lift what another one says; the earliest change counts."""
    front = Rules("front", Policy(exempt=(EXEMPT,), min_age=86400 * 30))
    behind = Rules("behind", Policy(min_age=86400 * 2))
    ruling = decide([front.of("six", None), behind.of("six", None)], FRESH, NOW)
    assert ruling.decision is not None
    assert ruling.decision.index == "behind"
    assert ruling.changes == datetime(2026, 11, 30, 12, 0, 0, 500_000, tzinfo=UTC)
    warned = Rules("front", Policy(malicious=Effect.WARN)).of("six", Known([BAD]))
    assert decide([warned, Rules("behind", Policy()).of("six", None)], FRESH, NOW).decision is not None


def test_advisories_are_asked_for_once_a_version_and_only_if_a_rule_reads_them() -> None:
    known = Known([GRAVE])
    rules = Rules("main", Policy(block_severity=Severity.CRITICAL)).of("six", known)
    assert all(rules.decide(facts(), NOW).decision is not None for _ in range(3))
    assert known.asked == ["1.17.0"]
    ruled(Policy(deny=(Denied(pattern="x"),)), facts(), known)
    assert known.asked == ["1.17.0"]


def test_patterns_are_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a policy, whatever the number of projects that it is asked about; for a grant and a webhook likewise."""
    rules = Rules("main", Policy(deny=(Denied(pattern="q?x-*-a"), DENIED)))
    grant = Scope(frozenset({Permission.UPLOAD}), projects=("q?x-*-b",))
    webhook = Webhook(url="https://x.example/", secret="", created=OLD, projects=("q?x-*-c",))

    def ask(name: str) -> list[bool]:
        covered = grant.covers(Permission.UPLOAD, "main", name), webhook.covers("main", name)
        named = rules_for([parse_rule("q?x-*-d/dev:1")], name)
        denied = rules.of(name, None).decide(Facts(name, "1.0", "x", "", None, is_upstream=False), NOW).decision
        return [denied is not None, *covered, bool(named)]

    assert ask("qux-1-a") == [True, False, False, False]
    compiled = list[str]()

    def translate(pattern: str) -> str:
        compiled.append(pattern)
        return pattern

    monkeypatch.setattr("quire.domain.reserved.translate", translate)
    assert ask("qux-2-a") == [True, False, False, False]
    assert ask("qux-2-b") == [False, True, False, False]
    assert ask("qux-2-c") == [False, False, True, False]
    assert ask("qux-2-d") == [False, False, False, True]
    assert compiled == []
