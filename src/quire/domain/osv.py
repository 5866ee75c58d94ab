"""Advisories in the Open Source Vulnerability format, reduced to what decisions about Python projects need.

Theory of operation. A document names packages, and for each the versions that it affects: in a list, in ranges of
events, or in both, of which either is enough. The evaluation of a range that the format defines walks along its events
in the order of versions; here it is done once, when a document is taken in, and leaves intervals of versions. A version
of the list that an interval has as well is dropped, which most are: lists repeat what the ranges say. So an entry has a
few versions, and a lookup compares places in an order (`quire.domain.affected`).

Source: https://ossf.github.io/osv-schema/ (1.7), section "Evaluation".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from packaging.utils import InvalidName, canonicalize_name, canonicalize_version
from packaging.version import Version

from quire.domain.advisories import Severity
from quire.domain.cvss import rating_of

ECOSYSTEM: Final = "PyPI"
MALICIOUS_PREFIX: Final = "MAL-"
"""Of the ids of reports of malicious packages (https://github.com/ossf/malicious-packages)."""
SUMMARY_CHARS: Final = 200
MOST_VERSIONS: Final = 20_000
"""Versions and events that one document may have of one package; the largest real ones have some thousand."""
_ID_CHARS: Final = 200
_ORDERED: Final = frozenset({"ECOSYSTEM", "SEMVER"})
"""The types of ranges whose events are versions; of GIT they are commits."""
_EVENTS: Final = frozenset({"introduced", "fixed", "last_affected"})
_BEGIN: Final = "0"
_LOWEST: Final = Version("0.dev0")
_NO_LIMIT: Final = "*"
_RATINGS: Final = {
    "NONE": Severity.NONE,
    "LOW": Severity.LOW,
    "MODERATE": Severity.MEDIUM,
    "MEDIUM": Severity.MEDIUM,
    "IMPORTANT": Severity.HIGH,
    "HIGH": Severity.HIGH,
    "CRITICAL": Severity.CRITICAL,
}


class Interval(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Versions in the order of PEP 440."""

    start: str
    """The first one; empty for all up to the end."""
    end: str
    """Empty for all from the start on."""
    has_end: bool = False
    """Whether `end` itself is one of them."""


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One advisory, as far as it concerns one project."""

    id: str
    modified: str
    """RFC 3339, as the document has it."""
    severity: Severity | None
    is_malicious: bool
    summary: str
    published: str | None
    fixed: tuple[str, ...]
    intervals: tuple[Interval, ...]
    versions: tuple[str, ...]
    """Affected versions that are in no interval, as `canonical` spells them."""


class Taken(NamedTuple):
    """A document, reduced."""

    id: str
    modified: str
    is_withdrawn: bool
    entries: dict[str, Entry]
    """By normalized name of the project. Empty for a document that names no project of PyPI."""


class _Package(msgspec.Struct):
    ecosystem: str = ""
    name: str = ""


class _Severity(msgspec.Struct):
    type: str = ""
    score: str = ""


class _Range(msgspec.Struct):
    type: str = ""
    events: list[dict[str, str]] = []


class _Affected(msgspec.Struct):
    package: _Package | None = None
    severity: list[_Severity] | None = None
    ranges: list[_Range] | None = None
    versions: list[str] | None = None
    database_specific: dict[str, Any] | None = None


class _Document(msgspec.Struct):
    id: str
    modified: str
    summary: str | None = None
    details: str | None = None
    published: str | None = None
    withdrawn: str | None = None
    severity: list[_Severity] | None = None
    affected: list[_Affected] | None = None
    database_specific: dict[str, Any] | None = None


_decode: Final = msgspec.json.Decoder(_Document).decode


def take(data: bytes) -> Taken:
    """A document, reduced to projects of PyPI. Raises ValueError in words for one that is not of the format."""
    try:
        document = _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"it is no OSV document ({str(error)[:120]})") from None
    if not document.id or len(document.id) > _ID_CHARS or not document.id.isprintable() or "/" in document.id:
        raise ValueError("it has no usable id")
    entries: dict[str, Entry] = {}
    for affected in document.affected or ():
        name = _project(affected.package)
        if name is None:
            continue
        entry = _entry(document, affected)
        known = entries.get(name)
        entries[name] = entry if known is None else _joined(known, entry)
    return Taken(document.id, document.modified, document.withdrawn is not None, entries)


def _project(package: _Package | None) -> str | None:
    if package is None or package.ecosystem.partition(":")[0] != ECOSYSTEM:
        return None
    try:
        return canonicalize_name(package.name, validate=True)
    except InvalidName:
        raise ValueError(f"{package.name[:80]!r} is no name of a project") from None


def _entry(document: _Document, affected: _Affected) -> Entry:
    is_malicious = document.id.startswith(MALICIOUS_PREFIX)
    ranges = [each for each in affected.ranges or () if each.type in _ORDERED]
    versions = affected.versions or []
    if len(versions) + sum(len(each.events) for each in ranges) > MOST_VERSIONS:
        raise ValueError(f"it has more than {MOST_VERSIONS} versions of a project")
    intervals = tuple(dict.fromkeys(_intervals(affected)))
    if is_malicious and not (intervals or versions or ranges):
        intervals = (Interval("", ""),)  # a report of a package as such
    events = [event for each in ranges for event in each.events]
    return Entry(
        id=document.id,
        modified=document.modified,
        severity=_severity(document, affected),
        is_malicious=is_malicious,
        summary=_summary(document),
        published=document.published,
        fixed=tuple(dict.fromkeys(event["fixed"] for event in events if "fixed" in event)),
        intervals=intervals,
        versions=tuple(dict.fromkeys(map(canonical, _outside(versions, intervals)))),
    )


def _joined(known: Entry, other: Entry) -> Entry:
    """Of a project that a document names twice."""
    severities = [each.severity for each in (known, other) if each.severity is not None]
    return msgspec.structs.replace(
        known,
        severity=max(severities, key=lambda each: each.rank, default=None),
        fixed=tuple(dict.fromkeys((*known.fixed, *other.fixed))),
        intervals=tuple(dict.fromkeys((*known.intervals, *other.intervals))),
        versions=tuple(dict.fromkeys((*known.versions, *other.versions))),
    )


def _summary(document: _Document) -> str:
    text = (document.summary or document.details or "").strip()
    line = " ".join(text.partition("\n")[0].split())
    return line if len(line) <= SUMMARY_CHARS else f"{line[: SUMMARY_CHARS - 1]}…"


def _severity(document: _Document, affected: _Affected) -> Severity | None:
    """The highest of all ratings: those of the vectors, and the words of the database."""
    found = [rating_of(each.score) for each in (*(document.severity or ()), *(affected.severity or ()))]
    for specific in (document.database_specific, affected.database_specific):
        word = (specific or {}).get("severity")
        found.append(_RATINGS.get(word.upper()) if isinstance(word, str) else None)
    return max((each for each in found if each is not None), key=lambda each: each.rank, default=None)


def intervals_of(events: Sequence[dict[str, str]]) -> Iterator[Interval]:
    """The affected versions of one range.

    Raises ValueError for a version that has no place in the order of PEP 440: without it, the range says something
    else.
    """
    ordered: list[tuple[Version | None, str, str]] = []
    limits: list[str] = []
    for event in events:
        for kind, text in event.items():
            if kind == "limit":
                limits.append(text)
            elif kind in _EVENTS:
                is_begin = text == _BEGIN and kind == "introduced"
                ordered.append((None if is_begin else version(text), kind, text))
    limit = None if not limits or _NO_LIMIT in limits else max(limits, key=version)
    ordered.sort(key=lambda each: (each[0] is not None, each[0] or _LOWEST))  # equal ones stay as they are
    start: tuple[Version | None, str] | None = None
    for at, kind, text in ordered:
        if kind == "introduced":
            start = start or (at, "" if at is None else text)
        elif start is not None:
            yield from _limited(start, text, has_end=kind == "last_affected", limit=limit)
            start = None
    if start is not None:
        yield from _limited(start, "", has_end=False, limit=limit)


def _limited(start: tuple[Version | None, str], end: str, *, has_end: bool, limit: str | None) -> Iterator[Interval]:
    """The interval as far as the limit lets it be; nothing when it is empty."""
    if limit is not None and (not end or version(end) >= version(limit)):
        end, has_end = limit, False
    first, text = start
    if first is not None and end and (first > version(end) or (first == version(end) and not has_end)):
        return
    yield Interval(text, end, has_end)


def _intervals(affected: _Affected) -> Iterator[Interval]:
    """Of all ranges. One that cannot be read is left out where the affected versions are listed as well.

    Raises ValueError.
    """
    for each in affected.ranges or ():
        if each.type in _ORDERED:
            try:
                yield from list(intervals_of(each.events))
            except ValueError:
                if not affected.versions:
                    raise


def _outside(versions: Iterable[str], intervals: Sequence[Interval]) -> Iterator[str]:
    """Those of the versions that no interval has. A version that PEP 440 does not know is in none."""
    bounds = [
        (version(each.start) if each.start else None, version(each.end) if each.end else None, each.has_end)
        for each in intervals
    ]
    for text in versions:
        try:
            found = version(text)
        except ValueError:
            yield text
            continue
        if not any(
            (start is None or found >= start) and (end is None or found < end or (has_end and found == end))
            for start, end, has_end in bounds
        ):
            yield text


@lru_cache(maxsize=50_000)
def version(text: str) -> Version:
    """A version. Raises ValueError for a text that PEP 440 does not know."""
    try:
        return Version(text)
    except ValueError:  # it may be no version, or have more digits than int() takes
        raise ValueError(f"{text[:80]!r} is no version that PEP 440 knows") from None


def canonical(text: str) -> str:
    """One spelling of each version; a text that is none stays as it is."""
    try:
        return canonicalize_version(text.strip())
    except ValueError:  # more digits than int() takes
        return text.strip()
