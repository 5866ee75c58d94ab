"""Documents of indexes, the same for servers and commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from quire.access.decisions import AccessState
from quire.administration.documents import IndexBody, IndexEntry
from quire.domain.indexes import IndexDefinition, NewProjects


def index_entries(
    state: AccessState, default: str, *, read_only: bool, used: Mapping[str, int | None] | None = None
) -> list[IndexEntry]:
    """All indexes, by name. `default`: the one at the server's root. `used`: the bytes of those that were counted."""
    used = used or {}
    names = sorted({default, *state.document.indexes})
    return [
        index_entry(name, state.definition(name), default, read_only=read_only, used=used.get(name)) for name in names
    ]


def index_entry(
    name: str, definition: IndexDefinition, default: str, *, read_only: bool, used: int | None = None
) -> IndexEntry:
    """An index."""
    return IndexEntry(
        name=name,
        is_default=name == default,
        read_only=read_only,
        uploads=definition.uploads,
        overwrite=definition.overwrite,
        new_projects=str(definition.new_projects),
        quota=definition.quota,
        project_quota=definition.project_quota,
        used=used,
    )


def settings_of(body: IndexBody) -> dict[str, Any]:
    """The fields of a definition that a request changes, with their new values."""
    fields: dict[str, Any] = {
        "uploads": body.uploads,
        "overwrite": body.overwrite,
        "new_projects": NewProjects(body.new_projects) if body.new_projects is not msgspec.UNSET else msgspec.UNSET,
        "quota": body.quota,
        "project_quota": body.project_quota,
    }
    return {name: value for name, value in fields.items() if value is not msgspec.UNSET}
