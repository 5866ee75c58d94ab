"""The JSON documents of advisories, for the API and `--json`. See `quire.administration.documents`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from quire.administration.documents import Answer
from quire.domain.advisory_sources import AdvisorySource
from quire.domain.osv import Entry, Interval
from quire.operations.advisories import Updated


class LeftOutDocument(Answer, frozen=True, kw_only=True):
    """A document that was not taken in."""

    document: str
    """Its name in the archive or folder."""
    problem: str


class AdvisoriesUpdated(Answer, frozen=True, kw_only=True):
    """The state of a source after its documents were taken in."""

    source: str
    advisories: int
    malicious: int
    """How many of them are about malicious packages."""
    projects: int
    withdrawn: int
    newest: str | None
    """When an advisory of it was changed last, as it says."""
    changed: bool
    """Whether the data is other data than before."""
    others: int
    """Documents about no project of PyPI."""
    bad: int
    """Documents that were left out."""
    problems: list[LeftOutDocument]
    """The first of these."""


class AdvisorySourceEntry(Answer, frozen=True, kw_only=True):
    """A source of advisories."""

    source: str
    advisories: int
    malicious: int
    projects: int
    updated: str
    by: str | None
    """The user that took it in."""
    origin: str
    """The name of the file or folder."""
    newest: str | None
    size: int
    sha256: str


class AdvisorySources(Answer, frozen=True, kw_only=True):
    """All sources of advisories."""

    sources: list[AdvisorySourceEntry]


class AdvisoryEntry(Answer, frozen=True, kw_only=True):
    """An advisory, as far as it concerns one project."""

    id: str
    severity: str | None
    malicious: bool
    summary: str
    published: str | None
    modified: str
    fixed: list[str]
    affected: list[str]
    """Ranges of versions, and versions."""


class ProjectAdvisories(Answer, frozen=True, kw_only=True):
    """The advisories of a project, or those by which a release is affected."""

    project: str
    version: str | None
    advisories: list[AdvisoryEntry]


class AdvisoriesRemoved(Answer, frozen=True, kw_only=True):
    """A source that was removed."""

    source: str
    removed: bool


SCHEMAS: Final[tuple[type[msgspec.Struct], ...]] = (
    *(LeftOutDocument, AdvisoriesUpdated, AdvisorySourceEntry, AdvisorySources),
    *(AdvisoryEntry, ProjectAdvisories, AdvisoriesRemoved),
)
"""Of the OpenAPI document."""


def updated_of(name: str, done: Updated) -> AdvisoriesUpdated:
    """The document of an update of the source `name`."""
    source, read = done.source, done.read
    return AdvisoriesUpdated(
        source=name,
        advisories=source.advisories,
        malicious=source.malicious,
        projects=source.projects,
        withdrawn=read.withdrawn,
        newest=source.newest,
        changed=done.changed,
        others=read.others,
        bad=read.bad,
        problems=[LeftOutDocument(document=each, problem=problem) for each, problem in read.problems],
    )


def sources_of(sources: Mapping[str, AdvisorySource]) -> AdvisorySources:
    """The document of these sources."""
    return AdvisorySources(
        sources=[
            AdvisorySourceEntry(
                source=name,
                advisories=each.advisories,
                malicious=each.malicious,
                projects=each.projects,
                updated=each.updated,
                by=each.by,
                origin=each.origin,
                newest=each.newest,
                size=each.size,
                sha256=each.digest,
            )
            for name, each in sources.items()
        ]
    )


def advisories_about(project: str, version: str | None, entries: Iterable[Entry]) -> ProjectAdvisories:
    """The document of these advisories."""
    return ProjectAdvisories(
        project=project,
        version=version,
        advisories=[
            AdvisoryEntry(
                id=each.id,
                severity=None if each.severity is None else str(each.severity),
                malicious=each.is_malicious,
                summary=each.summary,
                published=each.published,
                modified=each.modified,
                fixed=list(each.fixed),
                affected=[*map(_interval, each.intervals), *each.versions],
            )
            for each in entries
        ],
    )


def _interval(interval: Interval) -> str:
    end = f"<{'=' * interval.has_end}{interval.end}" if interval.end else ""
    return ",".join(filter(None, (f">={interval.start}" if interval.start else "", end))) or "all"
