"""The definition of an index: what people said about it, as a part of the store's access document.

All workers read it there, so a change of it counts for the next request of every worker. Settings that belong to one
server (its port, its threads) are no part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from quire.domain.namespaces import Grants
from quire.domain.policy import NO_POLICY, Policy
from quire.domain.publishing_sessions import OpenSession
from quire.domain.upstreams import Upstreams


class NewProjects(StrEnum):
    """The rights on a project that an upload created."""

    SHARED = "shared"
    """Every principal that may upload to the index may upload to it."""
    OWNED = "owned"
    """The principal that created it owns it: it may upload to the project and manage it, and admits others."""


class PastTrash(StrEnum):
    """Which readers get files at a past moment that were deleted since, and are in the trash."""

    SHOWN = "shown"
    """Each reader of the index gets them, as they were there then."""
    HIDDEN = "hidden"
    """Only principals that may manage the project get them."""


class IndexDefinition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Immutable: a change makes a new one. An index without a definition has the defaults."""

    uploads: bool = True
    """Whether it takes uploads."""
    overwrite: bool = False
    """Whether an upload may replace a published file."""
    new_projects: NewProjects = NewProjects.SHARED
    quota: int | None = None
    """Bytes that all files of the index may have together; None for no limit."""
    project_quota: int | None = None
    """Bytes that the files of one project may have together; None for no limit."""
    upstreams: Upstreams = ()
    """The indexes that are mirrored behind its own projects, in the order in which they are asked for a name."""
    in_front_of: str | None = None
    """The index that it is a stage of: its files are promoted into it. None for an index that is no stage."""
    expires: str | None = None
    """When a stage ends, in RFC 3339, UTC; None for one that does not."""
    behind: tuple[str, ...] = ()
    """The names of the indexes whose projects it offers as well, in their order; see `chain`."""
    claims: tuple[str, ...] = ()
    """Patterns of the names that belong to the index also without files (`quire.domain.reserved`)."""
    merged: tuple[str, ...] = ()
    """Projects (normalized names, sorted) whose files are listed together with those of the upstream that has the same
    name. Of a filename in both, the index's own file is listed."""
    policy: Policy = NO_POLICY
    """The files that it holds back, and those that it warns of; see there."""
    keep: tuple[str, ...] = ()
    """Rules of retention (`quire.domain.retention`), which `quire gc` obeys; none lets nothing go."""
    namespaces: Grants = ()
    """Prefixes of names that were granted to owners (PEP 752), by name; a document with one has format 3."""
    past_trash: PastTrash = PastTrash.SHOWN
    """A document with an index that hides them has format 5."""
    session: OpenSession | None = None
    """The publishing session that it is the stage of; None for every other index. A document with one has format 4."""
    unknown: dict[str, Any] = {}
    """Fields of the stored document that this version does not know."""

    @property
    def kept(self) -> tuple[str, ...]:
        """Patterns of all names that belong to the index also without files: its claims, and its namespaces."""
        return (*self.claims, *(pattern for each in self.namespaces for pattern in each.patterns))

    @property
    def ends_at(self) -> datetime | None:
        """`expires` as a time; None where it has none."""
        try:
            return None if self.expires is None else datetime.strptime(self.expires, "%Y-%m-%dT%H:%M:%S%z")
        except ValueError:
            return None

    def has_ended(self, now: datetime) -> bool:
        """Whether it is a stage whose time is over."""
        ends = self.ends_at
        return ends is not None and ends <= now


DEFAULT: Final = IndexDefinition()

MOST_CLAIMS: Final = 10_000
MOST_WILD: Final = 200
"""Claims that are neither names nor beginnings of names: each is tried for each name."""
MOST_MERGED: Final = 1000
MOST_BEHIND: Final = 20
"""Indexes behind one, with those behind them: each is read for a name that none of them has."""


def chain(definitions: Mapping[str, IndexDefinition], name: str) -> tuple[str, ...]:
    """The indexes behind one, nearest first: each with those behind it, before the next one; every index once.

    A name belongs to the first of them that has it. A stage has the index that it is in front of first behind it. The
    index itself is not among them, also not where definitions form a circle.
    """
    found: dict[str, None] = {name: None}

    def visit(front: str) -> None:
        definition = definitions.get(front, DEFAULT)
        for each in (*((definition.in_front_of,) if definition.in_front_of else ()), *definition.behind):
            if each not in found:
                found[each] = None
                visit(each)

    visit(name)
    return tuple(found)[1:]


RESERVED: Final = frozenset(
    {
        *("simple", "packages", "pypi", "legacy", "none", "upload", "integrity", "health", "ready", "metrics", "rpc2"),
        *(
            "account",
            "admin",
            "api",
            "help",
            "index",
            "indexes",
            "json",
            "login",
            "logout",
            "namespace",
            "namespaces",
            "project",
            "projects",
        ),
        *("search", "stages", "static"),
    }
)
"""Names that no new index has: first parts of addresses that are taken, or that later versions may take."""
