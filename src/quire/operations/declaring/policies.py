"""The declared policy of an index.

    [indexes.main.policy]
    min-age = "7d"
    min-age-except = ["acme-*"]
    deny = ["leftpad", { pattern = "evil-*", reason = "stolen names" }]
    exempt = [{ release = "six==1.17.0", until = "2026-12-24T00:00:00Z" }]
    block-severity = "critical"

The keys are the fields of `Policy`, without the times and users that the store has of each rule: a rule that is in the
store and says the same keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from quire.config.suggestions import did_you_mean
from quire.domain.advisories import Severity
from quire.domain.durations import as_setting, parse_duration
from quire.domain.errors import InvalidRequest
from quire.domain.policy import (
    LONGEST_AGE,
    NO_POLICY,
    Blocked,
    Denied,
    Effect,
    Exemption,
    Policy,
    checked_reason,
    checked_time,
    parse_digest,
    parse_pattern,
    parse_release,
)
from quire.domain.structs import convert_to
from quire.operations.declaring.tables import SHOWN, fields_of, key_of

_OFF: Final = "off"
"""In place of a severity: none counts."""
_NOTES: Final = {"unknown", "allow_since", "min_age_since", "advisories_since"}
POLICY_FIELDS: Final = tuple(name for name in Policy.__struct_fields__ if name not in _NOTES)
_KEYS: Final = {key_of(name): name for name in POLICY_FIELDS}


class _Release(msgspec.Struct, kw_only=True):
    """An exemption as a file has it."""

    release: str
    reason: str | None = None
    until: str | None = None


def parse_policy(raw: Any) -> dict[str, Any]:
    """The declared fields of a policy. Raises InvalidRequest, ValueError, msgspec.ValidationError."""
    found = {}
    for key, value in convert_to(raw, dict[str, Any]).items():
        name = _KEYS.get(key_of(key))
        if name is None:
            raise InvalidRequest(
                f"{key[:SHOWN]} is no rule of a policy{did_you_mean(key, _KEYS)}; they are {', '.join(_KEYS)}"
            )
        try:
            found[name] = _READ[name](value)
        except (InvalidRequest, ValueError, msgspec.ValidationError) as error:
            raise InvalidRequest(f"{key[:SHOWN]}: {error}") from None
    return found


def policy_settings(policy: Policy) -> dict[str, Any]:
    """All rules of a policy, as a file has them."""
    return {
        "allow": list(policy.allow),
        "deny": [_noted("pattern", each.pattern, reason=each.reason) for each in policy.deny],
        "min-age": as_setting(policy.min_age),
        "min-age-except": list(policy.min_age_except),
        "min-age-except-fixes": policy.min_age_except_fixes,
        "blocked": [_noted("sha256", each.sha256, reason=each.reason) for each in policy.blocked],
        "exempt": [
            _noted("release", f"{each.project}=={each.version}", reason=each.reason, until=each.until)
            for each in policy.exempt
        ],
        "malicious": str(policy.malicious),
        "block-severity": _OFF if policy.block_severity is None else str(policy.block_severity),
        "warn-severity": _OFF if policy.warn_severity is None else str(policy.warn_severity),
    }


def usual_policy() -> dict[str, Any]:
    """The fields of a policy that holds nothing back."""
    return {name: getattr(NO_POLICY, name) for name in POLICY_FIELDS}


def _noted(key: str, what: str, **notes: str | None) -> str | dict[str, str]:
    """A rule as a file has it: its text alone where there is no more to say."""
    said = {name: value for name, value in notes.items() if value is not None}
    return {key: what, **said} if said else what


def _rules(kind: type[Any], key: str, raw: Any, what: str) -> list[dict[str, Any]]:
    """The fields of each rule of a list, which may be a text or a table."""
    tables = [{key: each} if isinstance(each, str) else each for each in convert_to(raw, list[Any])]
    found = fields_of(tables, kind, what)
    for each in found:
        if key not in each:
            raise InvalidRequest(f"{what} has no {key}")
        if "reason" in each:
            each["reason"] = checked_reason(each["reason"])
    return found


def _denied(raw: Any) -> tuple[Denied, ...]:
    found = _rules(_DeniedTable, "pattern", raw, "a denial")
    return tuple(Denied(pattern=parse_pattern(each.pop("pattern")), **each) for each in found)


def _blocked(raw: Any) -> tuple[Blocked, ...]:
    found = _rules(_BlockedTable, "sha256", raw, "a blocked digest")
    return tuple(Blocked(sha256=parse_digest(each.pop("sha256")), **each) for each in found)


def _exempt(raw: Any) -> tuple[Exemption, ...]:
    exempt = []
    for each in _rules(_Release, "release", raw, "an exemption"):
        project, version = parse_release(each.pop("release"))
        exempt.append(Exemption(project=project, version=version, **each | {"until": checked_time(each.get("until"))}))
    return tuple(exempt)


class _DeniedTable(msgspec.Struct, kw_only=True):
    """A denial as a file has it."""

    pattern: str
    reason: str | None = None


class _BlockedTable(msgspec.Struct, kw_only=True):
    """A blocked digest as a file has it."""

    sha256: str
    reason: str | None = None


def _patterns(raw: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(parse_pattern, convert_to(raw, list[str]))))


def _age(raw: Any) -> int:
    seconds = int(parse_duration(raw)) if isinstance(raw, str) else convert_to(raw, int)
    if not 0 <= seconds <= LONGEST_AGE:
        raise ValueError(f"the minimum age is up to {as_setting(LONGEST_AGE)}")
    return seconds


def _severity(raw: Any) -> Severity | None:
    return None if raw == _OFF else convert_to(raw, Severity)


_READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "allow": _patterns,
    "deny": _denied,
    "min_age": _age,
    "min_age_except": _patterns,
    "min_age_except_fixes": lambda raw: convert_to(raw, bool),
    "blocked": _blocked,
    "exempt": _exempt,
    "malicious": lambda raw: convert_to(raw, Effect),
    "block_severity": _severity,
    "warn_severity": _severity,
}
