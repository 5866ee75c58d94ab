"""Retention: which releases of a project the rules of its index let go. Pure.

A rule is `[NAMES/]KIND:LIMIT`. NAMES is a pattern of projects; without it the rule is for all. KIND is `dev`
(development releases of PEP 440), `pre` (its other pre-releases), `final`, or `any`. LIMIT is a number of releases, the
newest by their upload, or an age such as `30d`.

A release stays when one rule keeps it, or none is about it. Where rules name a project, only those that name it count
for it. Whatever the rules say, four things stay: the newest final release of a project, or its newest release where it
has no final one; releases whose version PEP 440 does not know; files whose time of upload is not known; and all of a
quarantined project.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from quire.domain.errors import InvalidRequest
from quire.domain.names import is_version, version_sort_key
from quire.domain.project import File, Project, Status
from quire.domain.reserved import matching, normalize_pattern

KINDS: Final = ("dev", "pre", "final", "any")
MOST_RULES: Final = 100
LONGEST_DAYS: Final = 36_500
MOST_RELEASES: Final = 1_000_000
_RULE: Final = re.compile(r"(?:(?P<names>[^/\s]+)\s*/\s*)?(?P<kind>[a-z]+)\s*:\s*(?P<limit>[0-9]{1,9})(?P<unit>d?)")
_MOST_TEXT: Final = 200


@dataclass(frozen=True, slots=True)
class Rule:
    """Releases of a kind that are kept, and no others of it."""

    kind: str
    """One of KINDS."""
    names: str | None = None
    """A pattern of projects (`quire.domain.reserved`); None for all."""
    releases: int | None = None
    """How many; None where an age is the limit."""
    days: int | None = None

    def __str__(self) -> str:
        limit = f"{self.days}d" if self.days is not None else self.releases
        return f"{self.names + '/' if self.names else ''}{self.kind}:{limit}"

    def is_about(self, kind: str) -> bool:
        """Whether it is about releases of a kind."""
        return self.kind in {kind, "any"}


@dataclass(frozen=True, slots=True)
class Release:
    """The files of a project of one version."""

    version: str
    kind: str
    files: tuple[File, ...]
    newest: datetime
    """The time of its last upload."""


def parse_rule(text: str) -> Rule:
    """The rule that a text means. Raises InvalidRequest."""
    match = _RULE.fullmatch(text.strip())
    if match is None or match["kind"] not in KINDS:
        raise InvalidRequest(
            f"{text[:_MOST_TEXT]!r} is no rule of retention; use KIND:LIMIT or NAMES/KIND:LIMIT, where KIND is "
            f"{', '.join(KINDS[:-1])} or {KINDS[-1]}, and LIMIT a number of releases or an age, such as dev:10, "
            "pre:30d or acme-nightly/any:20."
        )
    limit, names = int(match["limit"]), match["names"]
    if not 1 <= limit <= (LONGEST_DAYS if match["unit"] else MOST_RELEASES):
        raise InvalidRequest(f"The limit of {text[:_MOST_TEXT]!r} is too small or too large.")
    if names is None and match["kind"] in {"final", "any"}:
        raise InvalidRequest(
            f"{text[:_MOST_TEXT]!r} would remove final releases of every project; name the projects it is for, such as "
            f"acme-nightly/{text.strip()[:_MOST_TEXT]}."
        )
    try:
        pattern = None if names is None else normalize_pattern(names)
    except ValueError as error:
        raise InvalidRequest(f"{error}.") from None
    return Rule(match["kind"], pattern, None if match["unit"] else limit, limit if match["unit"] else None)


def parse_rules(texts: Iterable[str]) -> tuple[str, ...]:
    """Rules as a definition has them. Raises InvalidRequest."""
    rules = tuple(dict.fromkeys(str(parse_rule(each)) for each in texts))
    if len(rules) > MOST_RULES:
        raise InvalidRequest(f"An index has at most {MOST_RULES} rules of retention; use patterns of names.")
    return rules


def rules_for(rules: Iterable[Rule], project: str) -> tuple[Rule, ...]:
    """Those that count for a project (normalized name): those that name it, if any does."""
    rules = tuple(rules)
    named = tuple(each for each in rules if each.names is not None and project in matching((each.names,)))
    return named or tuple(each for each in rules if each.names is None)


def expired(project: Project, rules: Sequence[Rule], now: datetime) -> list[Release]:
    """The releases that the rules let go, oldest upload first. `rules`: those for the project (`rules_for`)."""
    if not rules or project.status is Status.QUARANTINED:
        return []
    releases = _releases(project)
    protected = _protected(releases)
    kept = {id(each) for rule in rules for each in _kept(rule, releases, now)}
    return [
        each
        for each in releases
        if id(each) not in kept and each is not protected and any(rule.is_about(each.kind) for rule in rules)
    ]


def _kept(rule: Rule, releases: Sequence[Release], now: datetime) -> list[Release]:
    about = [each for each in releases if rule.is_about(each.kind)]
    if rule.releases is not None:
        return about[-rule.releases :]
    oldest = now - timedelta(days=rule.days or 0)
    return [each for each in about if each.newest > oldest]


def _releases(project: Project) -> list[Release]:
    """Those that rules can be about, oldest upload first."""
    by_version: dict[object, list[File]] = {}
    for file in project.files.values():
        if is_version(file.version):
            by_version.setdefault(version_sort_key(file.version)[1], []).append(file)
    found = []
    for version, files in by_version.items():
        times = [_moment(file.uploaded) for file in files]
        if None not in times:
            newest = max(time for time in times if time is not None)
            found.append(Release(str(version), _kind(version), tuple(files), newest))
    return sorted(found, key=lambda each: (each.newest, version_sort_key(each.version)))


def _protected(releases: Sequence[Release]) -> Release | None:
    """The release that stays in any case: the newest by its version, of the final ones that are not yanked, else of
    the final ones, else of all."""
    final = [each for each in releases if each.kind == "final"]
    offered = [each for each in final if not all(file.yanked is not False for file in each.files)]
    return max(offered or final or releases, key=lambda each: version_sort_key(each.version), default=None)


def _kind(version: object) -> str:
    if getattr(version, "is_devrelease", False):
        return "dev"
    return "pre" if getattr(version, "is_prerelease", False) else "final"


def _moment(text: str | None) -> datetime | None:
    try:
        found = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found is None or found.tzinfo is not None else found.replace(tzinfo=UTC)
