"""The releases and files of a project as a page shows them. Pure functions of a view."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Final

from packaging.version import Version

from quire.catalog.mirrored import MirroredFile
from quire.catalog.sources import AnySource, ListedFile, file_path
from quire.catalog.views import ProjectView
from quire.domain.foreign_text import one_line
from quire.domain.names import is_prerelease, is_version, same_version, version_sort_key
from quire.domain.project import UNKNOWN_SIZE, File
from quire.domain.rulings import Decision
from quire.domain.sizes import in_words
from quire.domain.times import moment
from quire.http.ui.projects.tags import Purpose, purpose_of
from quire.render.simple import release_versions

MOST_VERSIONS: Final = 100
"""That one page lists; the list of files has all."""
MOST_FILES: Final = 150
"""Of one release."""
_MOST_REASON: Final = 500


@dataclass(frozen=True, slots=True)
class When:
    """A time, for people and for programs."""

    day: str
    """Such as `12 Nov 2026`."""
    stamp: str
    """RFC 3339, UTC."""


@dataclass(frozen=True, slots=True)
class Job:
    """The CI job that published a file."""

    repository: str
    """With its platform."""
    run: str
    """Its number; empty where it is not known."""
    address: str | None
    """Of the page of the run, of https."""
    workflow: str
    commit: str


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file of a release."""

    filename: str
    path: str
    """Of its URL, below the address of the index; quoted."""
    purpose: Purpose
    size: str
    """In words; empty where it is not known."""
    sha256: str
    uploaded: When | None
    uploader: str
    job: Job | None
    upstream: str
    """The name of the mirror that it is of, for operators; empty for others."""
    origin: str
    """`hosted`, `dropped in` or `mirrored`."""
    is_attested: bool
    requires_python: str
    is_yanked: bool
    reason: str
    """Why it is yanked; empty where no reason is given."""
    warning: str
    """Of a policy."""


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A file that a policy holds back."""

    filename: str
    version: str
    rule: str
    sentence: str
    until: When | None


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One release in the list of all."""

    version: str
    uploaded: When | None
    is_prerelease: bool
    is_yanked: bool
    reasons: tuple[str, ...]
    files: int


@dataclass(frozen=True, slots=True)
class VersionGroup:
    """The releases with the same first number, newest first."""

    title: str
    versions: tuple[VersionRow, ...]


@dataclass(frozen=True, slots=True)
class Releases:
    """The releases of a project, newest first."""

    groups: tuple[VersionGroup, ...]
    number: int
    omitted: int
    """Older ones that are not in the groups."""


def releases_of(files: Sequence[File]) -> Releases:
    """The list of releases."""
    by_key: dict[object, list[File]] = {}
    for file in files:
        by_key.setdefault(version_sort_key(file.version), []).append(file)
    versions = list(reversed(release_versions(files)))
    groups: dict[str, list[VersionRow]] = {}
    for version in versions[:MOST_VERSIONS]:
        groups.setdefault(_series(version), []).append(_row(version, by_key[version_sort_key(version)]))
    return Releases(
        groups=tuple(VersionGroup(title, tuple(rows)) for title, rows in groups.items()),
        number=len(versions),
        omitted=max(len(versions) - MOST_VERSIONS, 0),
    )


def files_of(view: ProjectView, version: str | None) -> tuple[list[FileRow], int]:
    """The files of a release that may be downloaded, and how many more there are. None: those without a version."""
    found = [
        (source, each)
        for source, each in view.sourced()
        if each.file.filename in view.offered and _is_of(each.file, version)
    ]
    order = {filename: place for place, filename in enumerate(view.offered)}
    found.sort(key=lambda each: order[each[1].file.filename])
    rows = [file_row(source, each, view.held.decisions.get(each.file.filename)) for source, each in found[:MOST_FILES]]
    return rows, max(len(found) - MOST_FILES, 0)


def held_files(view: ProjectView) -> tuple[HeldFile, ...]:
    """The files that policies hold back, newest release first."""
    return tuple(
        HeldFile(
            filename=one_line(name),
            version=one_line(view.every[name].file.version),
            rule=str(decision.rule),
            sentence=one_line(f"{decision.sentence}."),
            until=when(decision.until),
        )
        for name, decision in reversed(tuple(view.held.decisions.items()))
        if decision.blocks and name in view.every
    )


def file_row(source: AnySource, listed: ListedFile, decision: Decision | None = None) -> FileRow:
    """One file. `decision`: of a policy that warns of it."""
    file = listed.file
    return FileRow(
        filename=one_line(file.filename),
        path=file_path(listed),
        purpose=purpose_of(file.filename),
        size="" if file.size == UNKNOWN_SIZE else in_words(file.size),
        sha256=file.sha256,
        uploaded=when(file.uploaded),
        uploader=one_line(file.uploader or ""),
        job=None if file.job is None else _job(file.job),
        upstream=one_line(listed.origin) if isinstance(listed, MirroredFile) else "",
        origin=origin_of(source, listed),
        is_attested=file.provenance_sha256 is not None,
        requires_python=one_line(file.requires_python or ""),
        is_yanked=file.yanked is not False,
        reason=_reason(file),
        warning="" if decision is None else one_line(f"{decision.sentence}."),
    )


def _job(job: Mapping[str, str]) -> Job:
    def fact(name: str) -> str:
        return one_line(job.get(name, ""))

    address = job.get("url", "")
    return Job(
        repository=f"{fact('platform')} {fact('repository')}".strip(),
        run=fact("run"),
        address=address if address.startswith("https://") else None,
        workflow=fact("workflow").partition("@")[0].rpartition("/")[2],
        commit=fact("commit")[:12],
    )


def origin_of(source: AnySource, listed: ListedFile) -> str:
    """Where a file comes from, in a word or two."""
    if source.needs_awaiting:
        return "mirrored"
    return "hosted" if listed.removal_problem is None else "dropped in"


def when(stamp: str | None) -> When | None:
    """A time of a document; None for one that no calendar has."""
    if not stamp:
        return None
    try:
        found = moment(stamp).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return When(f"{found.day} {found:%b} {found.year}", f"{found.replace(tzinfo=None).isoformat('T', 'seconds')}Z")


def _is_of(file: File, version: str | None) -> bool:
    return not file.version if version is None else same_version(file.version, version)


def _series(version: str) -> str:
    if not is_version(version):
        return "other"
    parsed = Version(version)
    epoch = f"{parsed.epoch}!" if parsed.epoch else ""
    return f"{epoch}{parsed.release[0]}.x"


def _row(version: str, files: Sequence[File]) -> VersionRow:
    stamps = sorted(file.uploaded for file in files if file.uploaded)
    return VersionRow(
        version=one_line(version),
        uploaded=when(stamps[0] if stamps else None),
        is_prerelease=is_prerelease(version),
        is_yanked=all(file.yanked is not False for file in files),
        reasons=_reasons(files),
        files=len(files),
    )


def _reasons(files: Iterable[File]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(reason for file in files if (reason := _reason(file))))[:3]


def _reason(file: File) -> str:
    return one_line(file.yanked[:_MOST_REASON]) if isinstance(file.yanked, str) else ""
