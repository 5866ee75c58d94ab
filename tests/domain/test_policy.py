"""Changes of policies, and the form in which they are stored."""

from __future__ import annotations

from typing import Any

import pytest

from quire.domain.advisories import Severity
from quire.domain.errors import InvalidRequest, NotFound
from quire.domain.policy import (
    NO_POLICY,
    Denied,
    Effect,
    Policy,
    loaded_policy,
    parse_release,
    stored_policy,
    with_changes,
)

AT, LATER = "2026-11-29T12:00:00Z", "2026-11-30T12:00:00Z"
DIGEST = "0123456789abcdef" * 4


def changed(policy: Policy, at: str = AT, **changes: Any) -> Policy:
    return with_changes(policy, changes, at=at, by="ann")


def test_changes_add_and_take_away() -> None:
    policy = changed(NO_POLICY, deny=["Evil_*"], reason="no. ", block=[f"sha256:{DIGEST.upper()}"], allow=["A.b"])
    assert policy.deny == (Denied(pattern="evil-*", reason="no", since=AT, by="ann"),)
    assert (policy.blocked[0].sha256, policy.allow, policy.allow_since) == (DIGEST, ("a-b",), AT)
    assert changed(policy, LATER, deny=["evil-*"], reason="no") is policy
    assert changed(policy, LATER, deny=["evil-*"], reason="other").deny[0].since == LATER
    policy = changed(policy, not_deny=["EVIL-*"], unblock=[DIGEST[:8]], not_allow=["a-b"])
    assert policy.is_empty
    policy = changed(NO_POLICY, exempt=["Six==1.17"], until=LATER, reason="a fix")
    assert (policy.exempt[0].project, policy.exempt[0].until, policy.is_empty) == ("six", LATER, True)
    assert changed(policy, exempt=["six==1.17.0"]).exempt[0].until is None
    assert changed(policy, not_exempt=["six==1.17.0"]) == NO_POLICY
    policy = changed(NO_POLICY, min_age=60, malicious=Effect.BLOCK)
    assert (policy.min_age_since, policy.advisories_since) == (AT, AT)
    assert changed(policy, LATER, min_age=60, block_severity=Severity.HIGH).min_age_since == AT


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"deny": ["-"]}, InvalidRequest, "no name or pattern"),
        ({"block": ["abc"]}, InvalidRequest, "no SHA-256"),
        ({"unblock": [DIGEST]}, NotFound, "blocks no digest"),
        ({"exempt": ["six"]}, InvalidRequest, "six==1.17.0"),
        ({"exempt": ["-==1"]}, InvalidRequest, "no release"),
        ({"exempt": ["six==1"], "until": "soon"}, InvalidRequest, "no time"),
        ({"min_age": -1}, InvalidRequest, "minimum age"),
        ({"reason": "x" * 201, "deny": ["a"]}, InvalidRequest, "200"),
        ({"deny": [f"a{each}" for each in range(10_001)]}, InvalidRequest, "at most 10000"),
        ({"colour": 1}, InvalidRequest, "colour"),
    ],
)
def test_bad_changes_are_refused_with_a_sentence(changes: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        changed(NO_POLICY, **changes)


def test_fields_of_later_versions_are_kept() -> None:
    policy = changed(NO_POLICY, deny=["a"], exempt=["six==1"], block=[DIGEST], min_age=5, malicious=Effect.WARN)
    stored = stored_policy(policy)
    assert loaded_policy(stored) == policy
    stored["colour"] = "red"
    stored["deny"][0]["shade"] = "dark"
    kept = stored_policy(changed(loaded_policy(stored), min_age=6))
    assert kept["colour"] == "red"
    assert kept["deny"][0]["shade"] == "dark"
    with pytest.raises(ValueError, match="soon"):
        loaded_policy({"exempt": [{"project": "six", "version": "1", "until": "soon"}]})


def test_releases_are_parsed() -> None:
    assert parse_release(" A_b == 1.0+local ") == ("a-b", "1.0+local")
