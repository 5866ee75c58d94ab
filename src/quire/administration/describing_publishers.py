"""Documents of trusted publishers, the same for servers and commands."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from quire.access.document import AccessDocument
from quire.access.grants import ANY
from quire.administration.publisher_documents import GrantsChecked, PublisherEntry, UnmatchedGrant
from quire.index.index import Index
from quire.publishing.publishers import Publisher

Projects = Mapping[str, Collection[str]]
"""The normalized names of the projects of each index, by the name of the index."""


def projects_of(indexes: Iterable[Index]) -> Projects:
    """Blocks. Raises StoreError."""
    return {each.name: set(each.names()) for each in indexes}


def publisher_entry(identity: str, publisher: Publisher, projects: Projects) -> PublisherEntry:
    """A publisher. Its projects that no index has are pending; patterns are left out."""
    names = [found for index, found in projects.items() if publisher.index in {ANY, index}]
    return PublisherEntry(
        id=identity,
        name=publisher.name,
        platform=publisher.platform,
        issuer=publisher.issuer,
        settings=publisher.settings,
        claims=publisher.claims,
        index=publisher.index,
        projects=list(publisher.projects),
        pending=[
            each for each in publisher.projects if not each.endswith(ANY) and not any(each in found for found in names)
        ],
        remembered=publisher.remembered,
        created=publisher.created,
        by=publisher.by,
    )


def grants_checked(
    document: AccessDocument,
    found: Iterable[tuple[str, str]],
    *,
    users_known: bool,
    owners: Iterable[UnmatchedGrant] = (),
) -> GrantsChecked:
    """The grants that give nothing. `found`: see `quire.access.unmatched`; `owners`: those that are missing."""
    unmatched = [
        UnmatchedGrant(id=identity, subject=document.grants[identity].subject, problem=problem)
        for identity, problem in found
    ]
    return GrantsChecked(unmatched=[*unmatched, *owners], users_known=users_known)
