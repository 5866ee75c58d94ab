"""The definition of an index: what people said about it, as a part of the store's access document.

All workers read it there, so a change of it counts for the next request of every worker. Settings that belong to one
server (its port, its threads) are no part of it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

from quire.domain.upstreams import Upstreams


class NewProjects(StrEnum):
    """The rights on a project that an upload created."""

    SHARED = "shared"
    """Every principal that may upload to the index may upload to it."""
    OWNED = "owned"
    """The principal that created it owns it: it may upload to the project and manage it, and admits others."""


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
    unknown: dict[str, Any] = {}
    """Fields of the stored document that this version does not know."""


DEFAULT: Final = IndexDefinition()

RESERVED: Final = frozenset(
    {
        *("simple", "packages", "pypi", "legacy", "upload", "integrity", "health", "ready", "metrics", "rpc2"),
        *(
            "account",
            "admin",
            "api",
            "help",
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
