"""The page of a project, or of one of its releases, as data: everything that its template shows.

Pure functions of a view, core metadata, and advisories. Nothing depends on the rights of a reader: a page is kept for
all that may list the index.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from quire.archives.metadata import CoreMetadata
from quire.catalog.sources import ListedFile
from quire.catalog.views import ProjectView
from quire.domain.advisories import Advisory
from quire.domain.errors import NotFound
from quire.domain.foreign_text import one_line
from quire.domain.names import is_prerelease, version_sort_key
from quire.domain.project import Status
from quire.http.ui.projects.described import NOT_DESCRIBED, Described, Exists, described
from quire.http.ui.projects.releases import (
    FileRow,
    HeldFile,
    Releases,
    When,
    files_of,
    held_files,
    origin_of,
    releases_of,
    when,
)
from quire.render.pypi_json import describing_file, select_release
from quire.render.simple import release_versions

MOST_HELD: Final = 50
_MOST_REASON: Final = 1000
_MOST_ADVISORIES: Final = 50
_MOST_NEAR: Final = 2
"""Older releases that are named in place of one that is not there, and as many newer ones."""


class NoSuchRelease(NotFound):
    """A release that is not there, with those that are next to it."""

    def __init__(self, project: str, version: str, near: tuple[str, ...]) -> None:
        super().__init__(f"{project} has no release {one_line(version[:100])}.")
        self.project = project
        self.near = near


@dataclass(frozen=True, slots=True)
class Banner:
    """The status of a project that is not active (PEP 792)."""

    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class Vulnerability:
    """An advisory by which the release is affected."""

    id: str
    severity: str
    """Empty where none is named."""
    is_malicious: bool
    summary: str
    fixed: tuple[str, ...]
    published: When | None


@dataclass(frozen=True, slots=True)
class ProjectPage:
    """All that the page shows, beside the README."""

    name: str
    """Normalized."""
    shown_name: str
    """As its publisher spells it."""
    version: str | None
    """Normalized; None for a project without releases."""
    is_newest: bool
    """Whether it is the release that the page of the project shows."""
    newest: str | None
    is_newer: bool
    """Than that one, as a pre-release or a yanked release may be."""
    is_prerelease: bool
    is_yanked: bool
    yank_reasons: tuple[str, ...]
    uploaded: When | None
    banner: Banner | None
    described: Described
    requires_python: str
    files: tuple[FileRow, ...]
    omitted_files: int
    unversioned: tuple[FileRow, ...]
    """Files of the project that are of no release."""
    held: tuple[HeldFile, ...]
    omitted_held: int
    held_releases: int
    """Those with files that are held back."""
    releases: Releases
    origins: tuple[str, ...]
    """Where the project's files come from: see `FileRow.origin`."""
    vulnerabilities: tuple[Vulnerability, ...]

    @property
    def is_attested(self) -> bool:
        """Whether all files of the release are."""
        return bool(self.files) and all(file.is_attested for file in self.files)


@dataclass(frozen=True, slots=True)
class Selected:
    """The release that a request is about."""

    version: str | None
    """Normalized; None for a project without releases."""
    newest: str | None
    """The one to show where none is asked for."""
    describing: ListedFile | None
    """The file whose core metadata describes it; None when none has metadata."""


def selected(view: ProjectView, version: str | None) -> Selected:
    """The release for this version, or the one to show for the project. Raises NotFound.

    Blocks for as long as it takes to sort all releases.
    """
    files = [each.file for each in view.files.values()]
    if version is None and not release_versions(files):
        return Selected(None, None, None)
    try:
        found = select_release(files, version)
    except NotFound:
        raise no_such_release(view.name, version or "", release_versions(files)) from None
    newest = select_release(files, None)
    file = describing_file(files, found)
    return Selected(found, newest, None if file is None else view.files[file.filename])


def no_such_release(project: str, version: str, versions: Sequence[str]) -> NoSuchRelease:
    """`versions`: those of the project, in their order."""
    place = bisect([version_sort_key(each) for each in versions], version_sort_key(version))
    near = versions[max(place - _MOST_NEAR, 0) : place + _MOST_NEAR]
    return NoSuchRelease(project, version, tuple(near[::-1]))


def project_page(
    view: ProjectView,
    release: Selected,
    metadata: CoreMetadata | None,
    *,
    exists: Exists,
    advisories: Sequence[Advisory] = (),
) -> ProjectPage:
    """The page of a release. `advisories`: those on it. Blocks as `selected`."""
    all_files = [each.file for each in view.files.values()]
    files, omitted = files_of(view, release.version) if release.version is not None else ([], 0)
    unversioned, _ = files_of(view, None)
    releases = releases_of(all_files)
    held = held_files(view)
    found = NOT_DESCRIBED if metadata is None else described(metadata, exists)
    stamps = sorted((each.uploaded for each in files if each.uploaded is not None), key=lambda each: each.stamp)
    is_yanked = bool(files) and all(each.is_yanked for each in files)
    return ProjectPage(
        name=view.name,
        shown_name=_shown_name(view, metadata),
        version=release.version,
        is_newest=release.version == release.newest,
        newest=release.newest,
        is_newer=_is_newer(release),
        is_prerelease=release.version is not None and is_prerelease(release.version),
        is_yanked=is_yanked,
        yank_reasons=tuple(dict.fromkeys(each.reason for each in files if each.reason))[:3] if is_yanked else (),
        uploaded=stamps[0] if stamps else None,
        banner=_banner(view),
        described=found,
        requires_python=found.requires_python or next((each.requires_python for each in files), ""),
        files=tuple(files),
        omitted_files=omitted,
        unversioned=tuple(unversioned),
        held=held[:MOST_HELD],
        omitted_held=max(len(held) - MOST_HELD, 0),
        held_releases=len({version_sort_key(each.version) for each in held}),
        releases=releases,
        origins=tuple(dict.fromkeys(sorted(origin_of(source, each) for source, each in view.sourced()))),
        vulnerabilities=tuple(_vulnerability(each) for each in advisories if each.withdrawn is None)[:_MOST_ADVISORIES],
    )


def _is_newer(release: Selected) -> bool:
    if release.version is None or release.newest is None:
        return False
    return version_sort_key(release.version) > version_sort_key(release.newest)


def _shown_name(view: ProjectView, metadata: CoreMetadata | None) -> str:
    spelled = view.display_name or (metadata.name if metadata is not None else None)
    return one_line(spelled) if spelled else view.name


def _banner(view: ProjectView) -> Banner | None:
    if view.status is Status.ACTIVE:
        return None
    return Banner(str(view.status), one_line((view.status_reason or "")[:_MOST_REASON]))


def _vulnerability(advisory: Advisory) -> Vulnerability:
    return Vulnerability(
        id=one_line(advisory.id),
        severity="" if advisory.severity is None else str(advisory.severity),
        is_malicious=advisory.is_malicious,
        summary=one_line(advisory.summary[:_MOST_REASON]),
        fixed=tuple(one_line(each) for each in advisory.fixed[:10]),
        published=when(advisory.published),
    )
