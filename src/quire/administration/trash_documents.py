"""The JSON documents of the trash, for the API and `--json`. See `quire.administration.documents`."""

from __future__ import annotations

from typing import Final

import msgspec

from quire.administration.documents import Answer, Body, Short


class TrashEntry(Answer, frozen=True, kw_only=True):
    """A file in the trash."""

    project: str
    filename: str
    version: str
    size: int
    sha256: str
    deleted: str
    deleted_by: str | None
    until: str
    """When it leaves the trash."""
    taken: bool
    """Whether other content is published under its name, so that it cannot be restored."""
    published: bool
    """Whether the same content is published, so that there is nothing to restore."""


class TrashPage(Answer, frozen=True, kw_only=True):
    """A page of the files in the trash, by project and filename."""

    index: str
    files: list[TrashEntry]
    next: str | None = None


class TrashBody(Body, frozen=True, kw_only=True):
    """Which files of a project's trash are meant: all, or those for which each field that is given holds."""

    version: Short | None = None
    filename: Short | None = None
    by: Short | None = None
    """The user that deleted them."""
    before: Short | None = None
    """Deleted until then: RFC 3339."""
    since: Short | None = None
    """Deleted from then on."""
    dry_run: bool = False
    """Change nothing; answer what would be changed."""


class Restored(Answer, frozen=True, kw_only=True):
    """The effect of a restoration."""

    project: str
    dry_run: bool
    restored: list[str]
    """Filenames."""
    changed: bool
    """False when the same content is published already, and for a dry run."""


class RemovedFile(Answer, frozen=True, kw_only=True):
    """A file that was removed from the trash."""

    project: str
    filename: str
    size: int


class Emptied(Answer, frozen=True, kw_only=True):
    """The files that were removed from the trash of a project for good."""

    project: str
    dry_run: bool
    removed: list[RemovedFile]
    bytes: int
    changed: bool
    """False when the trash had none of them any more, and for a dry run."""


SCHEMAS: Final[tuple[type[msgspec.Struct], ...]] = (TrashPage, TrashBody, Restored, Emptied)
"""Those that the OpenAPI document names."""
