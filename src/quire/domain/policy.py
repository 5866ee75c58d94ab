"""The policy of an index: which of the files that it could serve it holds back, and which it warns of.

It is a part of the definition of the index (`quire.domain.indexes`), so a change of it counts for the next request of
every worker. `quire.domain.rulings` decides by it. Times are RFC 3339 in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, TypeVar

import msgspec

from quire.domain.advisories import Severity
from quire.domain.errors import InvalidName, InvalidRequest, NotFound
from quire.domain.names import normalize_name, same_version, version_sort_key
from quire.domain.reserved import normalize_pattern
from quire.domain.structs import convert_to
from quire.domain.times import moment

LONGEST_AGE: Final = 3650 * 86_400
MOST_RULES: Final = 10_000
"""Patterns, digests and exemptions of one policy, each."""
MOST_REASON: Final = 200
"""Characters of a reason."""
_SHORTEST_DIGEST: Final = 8
"""Digits of the beginning of a digest that is to be unblocked."""
_MOST_TEXT: Final = 200


class Effect(StrEnum):
    """The effect of an advisory."""

    BLOCK = "block"
    WARN = "warn"
    IGNORE = "ignore"


class Denied(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Projects of which no file is served."""

    pattern: str
    """See `quire.domain.reserved`."""
    reason: str | None = None
    since: str | None = None
    by: str | None = None
    """The user that denied them."""
    unknown: dict[str, Any] = {}
    """Fields of the stored document that this version does not know."""


class Blocked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Bytes that are not served, under whatever name."""

    sha256: str
    reason: str | None = None
    since: str | None = None
    by: str | None = None
    unknown: dict[str, Any] = {}


class Exemption(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A release that all rules let pass but that of blocked digests."""

    project: str
    """Normalized name."""
    version: str
    """Any spelling of it."""
    reason: str | None = None
    since: str | None = None
    until: str | None = None
    """When it ends; None for never."""
    by: str | None = None
    unknown: dict[str, Any] = {}


class Policy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Immutable: a change makes a new one. The default one holds nothing back."""

    allow: tuple[str, ...] = ()
    """Patterns of the only projects that are served of upstreams; none for all."""
    allow_since: str | None = None
    deny: tuple[Denied, ...] = ()
    min_age: int = 0
    """Seconds after its upload for which a file of an upstream is held back."""
    min_age_since: str | None = None
    min_age_except: tuple[str, ...] = ()
    """Patterns of projects whose files are not held back for their age."""
    min_age_except_fixes: bool = False
    """Whether a release that an advisory names as fixed is not held back for its age."""
    blocked: tuple[Blocked, ...] = ()
    exempt: tuple[Exemption, ...] = ()
    malicious: Effect = Effect.IGNORE
    """Of an advisory that says a package was made to do harm."""
    block_severity: Severity | None = None
    """Releases with an advisory at least so severe are held back; None for none."""
    warn_severity: Severity | None = None
    """Releases with an advisory at least so severe are warned of; None for none."""
    advisories_since: str | None = None
    """When the effect of advisories was set last."""
    unknown: dict[str, Any] = {}
    """Fields of the stored document that this version does not know."""

    @property
    def reads_advisories(self) -> bool:
        """Whether a decision by it may depend on advisories."""
        is_read = self.malicious is not Effect.IGNORE or self.min_age_except_fixes
        return is_read or self.block_severity is not None or self.warn_severity is not None

    @property
    def is_empty(self) -> bool:
        """Whether it holds nothing back and warns of nothing; exemptions alone do neither."""
        return not (self.allow or self.deny or self.min_age or self.blocked or self._reads_severities)

    @property
    def _reads_severities(self) -> bool:
        is_read = self.block_severity is not None or self.warn_severity is not None
        return is_read or self.malicious is not Effect.IGNORE


NO_POLICY: Final = Policy()

_PLAIN: Final = ("min_age_except_fixes", "malicious", "block_severity", "warn_severity")
_Rule = TypeVar("_Rule", bound=Denied | Blocked | Exemption)
_KINDS: Final[Mapping[str, type[Any]]] = {"deny": Denied, "blocked": Blocked, "exempt": Exemption}


def with_changes(policy: Policy, changes: Mapping[str, Any], *, at: str, by: str | None) -> Policy:
    """A policy with changes, of which each names what it changes; the very policy where it has all of it already.

    `changes`: `allow`, `deny`, `min_age_except`: patterns to add, and `not_allow`, `not_deny`, `not_min_age_except` to
    take away; `block`, `unblock`: digests, of which the beginning is enough for the latter; `exempt`, `not_exempt`:
    releases such as `six==1.17.0`; `until`: of the exemptions; `reason`: of denials, digests and exemptions; other
    fields of Policy by name. `at`: the time of the change. Raises InvalidRequest, NotFound.
    """
    asked = dict(changes)
    reason, until = checked_reason(asked.pop("reason", None)), checked_time(asked.pop("until", None))
    note: dict[str, Any] = {"reason": reason, "since": at, "by": by}
    fields: dict[str, Any] = {name: _plain(name, asked.pop(name)) for name in _PLAIN if name in asked}
    fields["min_age"] = min_age = asked.pop("min_age", policy.min_age)
    if not 0 <= min_age <= LONGEST_AGE:
        raise InvalidRequest(f"The minimum age is seconds, up to {LONGEST_AGE}.")
    fields["allow"] = _patterns(policy.allow, asked.pop("allow", ()), asked.pop("not_allow", ()))
    excepted = asked.pop("min_age_except", ()), asked.pop("not_min_age_except", ())
    fields["min_age_except"] = _patterns(policy.min_age_except, *excepted)
    denied = {parse_pattern(each): Denied(pattern=parse_pattern(each), **note) for each in asked.pop("deny", ())}
    not_denied = {parse_pattern(each) for each in asked.pop("not_deny", ())}
    fields["deny"] = _changed(policy.deny, denied, not_denied, _BY_KEY["deny"])
    blocked = {parse_digest(each): Blocked(sha256=parse_digest(each), **note) for each in asked.pop("block", ())}
    unblocked = {_known_digest(policy, each) for each in asked.pop("unblock", ())}
    fields["blocked"] = _changed(policy.blocked, blocked, unblocked, _BY_KEY["blocked"])
    exempt = {}
    for project, version in map(parse_release, asked.pop("exempt", ())):
        known = _known_exemption(policy, project, version)
        exempt[known] = Exemption(project=project, version=version, until=until, **note)
    ended = {_known_exemption(policy, *parse_release(each)) for each in asked.pop("not_exempt", ())}
    fields["exempt"] = _changed(policy.exempt, exempt, ended, _release_of)
    if asked:
        raise InvalidRequest(f"A policy has no setting {min(asked)[:_MOST_TEXT]!r}.")
    return _with_fields(policy, fields, at)


def with_rules(policy: Policy, wanted: Mapping[str, Any], *, at: str, by: str | None) -> Policy:
    """A policy with these values of fields, checked ones; the very policy where it has all of them already.

    Rules that are there and say the same keep their times and users, whatever those of `wanted`, and their order.
    """
    fields = dict(wanted)
    for name in ("allow", "min_age_except"):
        if name in fields:
            before, kept = getattr(policy, name), {*fields[name]}
            fields[name] = _patterns(before, fields[name], [each for each in before if each not in kept])
    if "exempt" in fields:
        spelled = {_canonical(each): each.version for each in policy.exempt}
        fields["exempt"] = [
            msgspec.structs.replace(each, version=spelled.get(_canonical(each), each.version))
            for each in fields["exempt"]
        ]
    for name, key in _BY_KEY.items():
        if name in fields:
            rules = {key(each): msgspec.structs.replace(each, since=at, by=by) for each in fields[name]}
            before = getattr(policy, name)
            fields[name] = _changed(before, rules, {*map(key, before)} - rules.keys(), key)
    return _with_fields(policy, fields, at)


def _with_fields(policy: Policy, fields: Mapping[str, Any], at: str) -> Policy:
    """With fields, and the times at which they were set. Raises InvalidRequest for too many rules."""
    changed = msgspec.structs.replace(policy, **fields)
    for name, kinds in (("allow_since", ("allow",)), ("min_age_since", ("min_age",)), ("advisories_since", _PLAIN[1:])):
        if any(getattr(changed, kind) != getattr(policy, kind) for kind in kinds):
            changed = msgspec.structs.replace(changed, **{name: at})
    _check_size(changed)
    return policy if changed == policy else changed


def parse_release(text: str) -> tuple[str, str]:
    """The normalized name and the version of `NAME==VERSION`. Raises InvalidRequest."""
    name, separator, version = text.partition("==")
    try:
        project = normalize_name(name.strip())
    except InvalidName as error:
        raise InvalidRequest(f"{text[:_MOST_TEXT]!r} is no release such as six==1.17.0: {error}") from None
    version = version.strip()
    if not separator or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,99}", version):
        raise InvalidRequest(f"{text[:_MOST_TEXT]!r} is no release; write it like six==1.17.0.")
    return project, version


def stored_policy(policy: Policy) -> dict[str, Any]:
    """As the record of the store has it, with the fields that this version does not know."""
    stored: dict[str, Any] = msgspec.to_builtins(policy)
    stored.pop("unknown", None)
    for name in _KINDS.keys() & stored.keys():
        stored[name] = [_stored(each) for each in getattr(policy, name)]
    return stored | policy.unknown


def loaded_policy(entry: Mapping[str, Any]) -> Policy:
    """The policy of a part of the record. Raises msgspec.ValidationError, TypeError, ValueError."""
    kinds = {name: tuple(_loaded(each, kind) for each in entry.get(name, ())) for name, kind in _KINDS.items()}
    known = {name: value for name, value in entry.items() if name in Policy.__struct_fields__ and name not in _KINDS}
    policy = msgspec.structs.replace(
        convert_to(known, Policy),
        unknown={name: value for name, value in entry.items() if name not in Policy.__struct_fields__},
        **kinds,
    )
    for each in policy.exempt:
        if each.until is not None:
            moment(each.until)
    return policy


def _stored(rule: Denied | Blocked | Exemption) -> dict[str, Any]:
    stored: dict[str, Any] = msgspec.to_builtins(rule)
    stored.pop("unknown", None)
    return stored | rule.unknown


def _loaded(entry: Mapping[str, Any], kind: type[_Rule]) -> _Rule:
    known = {name: value for name, value in entry.items() if name in kind.__struct_fields__}
    unknown = {name: value for name, value in entry.items() if name not in kind.__struct_fields__}
    return msgspec.structs.replace(convert_to(known, kind), unknown=unknown)


def _changed(
    rules: Sequence[_Rule], added: Mapping[Any, _Rule], removed: set[Any], key: Callable[[Any], Any]
) -> tuple[_Rule, ...]:
    """The rules without those removed, and with those added; one that is there and says the same stays as it is."""
    kept: list[_Rule] = []
    for each in rules:
        replacement = added.get(key(each))
        is_same = replacement is None or _without_note(replacement) == _without_note(each)
        if is_same and key(each) not in removed:
            kept.append(each)
    have = {key(each) for each in kept}
    return (*kept, *(each for name, each in added.items() if name not in have and name not in removed))


def _release_of(exemption: Exemption) -> tuple[str, str]:
    return exemption.project, exemption.version


_BY_KEY: Final[Mapping[str, Callable[[Any], Any]]] = {
    "deny": lambda each: each.pattern,
    "blocked": lambda each: each.sha256,
    "exempt": _release_of,
}
"""By field with rules, the part of a rule that no other rule has."""


def _canonical(exemption: Exemption) -> tuple[str, object]:
    """The same for every spelling of its version."""
    return exemption.project, version_sort_key(exemption.version)


def _without_note(rule: _Rule) -> _Rule:
    return msgspec.structs.replace(rule, since=None, by=None, unknown={})


def _known_exemption(policy: Policy, project: str, version: str) -> tuple[str, str]:
    """A release as the policy spells it."""
    for each in policy.exempt:
        if each.project == project and same_version(each.version, version):
            return _release_of(each)
    return project, version


def _known_digest(policy: Policy, text: str) -> str:
    wanted = text.strip().lower()
    found = [each.sha256 for each in policy.blocked if each.sha256.startswith(wanted)]
    if len(wanted) < _SHORTEST_DIGEST or len(found) != 1:
        raise NotFound(
            f"The policy blocks no digest {text[:_MOST_TEXT]!r}, or several; 'quire policy show' lists them."
        )
    return found[0]


def _patterns(before: Sequence[str], added: Sequence[str], removed: Sequence[str]) -> tuple[str, ...]:
    without = set(map(parse_pattern, removed))
    return tuple(dict.fromkeys(each for each in (*before, *map(parse_pattern, added)) if each not in without))


def parse_pattern(text: str) -> str:
    """A name or a pattern, normalized. Raises InvalidRequest."""
    try:
        return normalize_pattern(text)
    except ValueError as error:
        raise InvalidRequest(f"{str(error)[:_MOST_TEXT]}.") from None


def parse_digest(text: str) -> str:
    """A SHA-256 in lower case, of one that may have `sha256:` before it. Raises InvalidRequest."""
    digest = text.strip().lower().removeprefix("sha256:")
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise InvalidRequest(
            f"{text[:_MOST_TEXT]!r} is no SHA-256; it has 64 hexadecimal digits. "
            "'quire show PROJECT VERSION --json' has those of files."
        )
    return digest


def _plain(name: str, value: Any) -> Any:
    try:
        if name == "malicious":
            return Effect(value)
        return value if name == "min_age_except_fixes" or value is None else Severity(value)
    except ValueError:
        raise InvalidRequest(f"{str(value)[:_MOST_TEXT]!r} is no value of {name}.") from None


def checked_time(text: str | None) -> str | None:
    """The end of an exemption. Raises InvalidRequest."""
    if text is None:
        return None
    try:
        moment(text)
    except ValueError:
        raise InvalidRequest(f"{text[:_MOST_TEXT]!r} is no time such as 2026-11-23T12:00:00Z.") from None
    return text


def checked_reason(text: str | None) -> str | None:
    """A reason in one line, without a full stop. Raises InvalidRequest."""
    if text is None:
        return None
    reason = " ".join(text.split())
    if len(reason) > MOST_REASON or not reason.isprintable():
        raise InvalidRequest(f"A reason has up to {MOST_REASON} printable characters in one line.")
    return reason.rstrip(".") or None


def _check_size(policy: Policy) -> None:
    for name in ("allow", "deny", "min_age_except", "blocked", "exempt"):
        if len(getattr(policy, name)) > MOST_RULES:
            raise InvalidRequest(f"A policy has at most {MOST_RULES} entries of {name}; use patterns.")
