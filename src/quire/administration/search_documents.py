"""The JSON documents of searches. See `quire.administration.documents`."""

from __future__ import annotations

from typing import Final

import msgspec

from quire.administration.documents import Answer
from quire.search.facts import Facts
from quire.search.results import Dependents, Hit, Results


class FoundProject(Answer, frozen=True, kw_only=True):
    """A project that a search found, as its index has it now."""

    index: str
    project: str
    """Its normalized name."""
    name: str
    """As its publisher spells it."""
    version: str | None
    """The release to show: the newest final one that is not yanked, if any is."""
    summary: str | None
    released: str | None
    """When that release was uploaded."""
    updated: str | None
    """When any file of the project was uploaded last."""
    requires_python: str | None
    yanked: bool
    """Whether all of its releases are."""
    status: str
    origins: list[str]
    """`hosted`, `drop-in`, `upstream`."""
    dependents: int
    """How many projects need it, at most 1000."""


class CatalogProgress(Answer, frozen=True, kw_only=True):
    """How far the catalog of this machine is."""

    projects: int
    """The projects that it knows by name."""
    read: int
    """Of those, the ones that it knows with their summaries and all else."""


class SearchPage(Answer, frozen=True, kw_only=True):
    """A page of the results of a search, the best first."""

    projects: list[FoundProject]
    total: int
    """How many there are, about."""
    is_cut: bool
    """Whether there may be more than `total`."""
    next: str | None
    """The parameter `page` of the next page; None for the last one."""
    catalog: CatalogProgress


class Requirement(Answer, frozen=True, kw_only=True):
    """A requirement of a project."""

    versions: str
    """A specifier set; empty for any version."""
    condition: str
    """An environment marker; empty for none."""


class DependentProject(Answer, frozen=True, kw_only=True):
    """A project whose newest release needs another one."""

    index: str
    project: str
    name: str
    version: str | None
    requirements: list[Requirement]


class DependentPage(Answer, frozen=True, kw_only=True):
    """Some of the projects that need a project, in the order of their names."""

    project: str
    dependents: list[DependentProject]
    next: str | None
    """The cursor of the next page; None for the last one."""
    is_complete: bool
    """Whether the catalog of this machine has read all projects."""


SCHEMAS: Final[tuple[type[msgspec.Struct], ...]] = (
    FoundProject,
    CatalogProgress,
    SearchPage,
    Requirement,
    DependentProject,
    DependentPage,
)


def search_page(results: Results, page: int) -> SearchPage:
    """A page of results. `page`: its number."""
    return SearchPage(
        projects=[_found(each, each.facts) for each in results.hits],
        total=results.total,
        is_cut=results.is_cut,
        next=str(page + 1) if results.has_more else None,
        catalog=CatalogProgress(projects=results.projects, read=results.read),
    )


def dependent_page(name: str, found: Dependents) -> DependentPage:
    """The projects that need a project."""
    return DependentPage(
        project=name,
        dependents=[
            DependentProject(
                index=each.index,
                project=each.name,
                name=each.facts.display,
                version=each.facts.version or None,
                requirements=[Requirement(versions=need.versions, condition=need.condition) for need in each.needs],
            )
            for each in found.found
        ],
        next=found.next,
        is_complete=found.is_complete,
    )


def _found(hit: Hit, facts: Facts) -> FoundProject:
    return FoundProject(
        index=hit.index,
        project=hit.name,
        name=facts.display,
        version=facts.version or None,
        summary=facts.summary or None,
        released=facts.released or None,
        updated=facts.updated or None,
        requires_python=facts.requires_python or None,
        yanked=facts.yanked == 2,
        status=facts.status,
        origins=list(hit.origins),
        dependents=hit.used,
    )
