"""The promotions of an index: publications of several projects in one atomic step. Pure.

Theory of operation. The projects are records of their own, so one document has to say for all of them whether they show
the new files: the journal of the index (the design of Percolator's transactions).

1. The promotion is added to the journal, open.
2. Each project's record gets the new files as pending. They reserve their names and show nothing.
3. The journal's entry is swapped from open to committed. THIS IS THE COMMIT: from here on all projects show them.
4. Each project's record is folded: its pending files become its files. Then the entry is removed.

A reader that finds pending files reads the journal after the record: the entry says whether they are shown. Any worker
can do the rest of a promotion whose worker died. One that is still open is aborted first, by a swap of its entry,
so that a promoter that was only slow can no longer commit; then its pending files are removed. An aborted entry stays
for longer than a promoter may go on, so that what it prepares late is found.

A finished promotion (committed or aborted) is folded by a write that does nothing else before any other change of the
project is made, and a change that would leave a project with nothing but pending files is refused. So a project
with nothing but pending files gets or loses its files only by a change of the journal or of the list of names: the list
is still true when these two are as they were (`quire.index.journal`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from quire.domain.changes import is_empty, same_role
from quire.domain.errors import DamagedRecord, FileExists, ProjectClosed
from quire.domain.project import Pending, Project
from quire.domain.structs import decode_as

JOURNAL: Final = "promotions_"
"""The name of the journal's record among those of the projects, which is no project's: a normalized name has no `_`.
It is there so that one validation of the list of names tells whether there are promotions."""
FORMAT: Final = 1


class State(StrEnum):
    """How far a promotion is."""

    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the journal."""

    state: State
    source: str
    """The index that the files come from."""
    projects: tuple[str, ...]
    """Normalized names."""
    begun: str
    """RFC 3339, UTC, by the clock of the promoter's machine."""
    origin: dict[str, Any] = {}
    """For the audit log: the fields of `quire.index.audit.entries.Origin` that are known."""


Promotions = Mapping[str, Promotion]
"""Those of one index, by id."""


class _Document(msgspec.Struct, frozen=True):
    format: int
    promotions: dict[str, Promotion]


def encode_journal(promotions: Promotions) -> bytes | None:
    """The document; None where there are no promotions."""
    if not promotions:
        return None
    return msgspec.json.format(msgspec.json.encode(_Document(FORMAT, dict(promotions))), indent=1) + b"\n"


def decode_journal(data: bytes | None, key: str = "?") -> Promotions:
    """Raises DamagedRecord."""
    if data is None:
        return {}
    try:
        document = decode_as(data, _Document)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamagedRecord(f"The journal of promotions {key} cannot be read ({error}).") from error
    if document.format > FORMAT:
        raise DamagedRecord(f"The journal of promotions {key} was written by a newer quire; upgrade this one.")
    return document.promotions


def folded(project: Project) -> Project:
    """With its pending files as files: the promotion is committed."""
    pending = project.pending
    if pending is None:
        return project
    files = project.files | pending.files
    is_new = is_empty(project)
    owners = (pending.owner,) if is_new and not project.owners and pending.owner is not None else project.owners
    return msgspec.structs.replace(
        project,
        name=pending.name if is_new else project.name,
        files=files,
        deleted=project.deleted.with_listed(files),
        owners=owners,
        pending=None,
    )


def without_pending(project: Project) -> Project:
    """Without its pending files: the promotion is open, or aborted."""
    return project if project.pending is None else msgspec.structs.replace(project, pending=None)


def prepared(project: Project | None, after: Project, promotion: str) -> Project:
    """The project with what a publication adds as pending. `after`: the result of that publication.

    Raises ProjectClosed while another promotion is under way.
    """
    if project is not None and project.pending is not None:
        if project.pending.promotion == promotion:
            return project
        raise is_busy(project)
    before = project.files if project is not None else {}
    files = {name: file for name, file in after.files.items() if before.get(name) != file}
    if not files:
        return project if project is not None else after
    is_new = project is None or is_empty(project)
    owner = after.owners[0] if is_new and after.owners and not (project and project.owners) else None
    pending = Pending(promotion=promotion, name=after.name, files=files, owner=owner)
    base = project if project is not None else Project(name=after.name)
    return msgspec.structs.replace(base, pending=pending)


def beside_pending(before: Project | None, after: Project) -> Project:
    """The result of another change while the promotion of the pending files is open: it keeps them.

    Raises FileExists for a file whose name they reserve, or its purpose in a release (`quire.domain.changes.publish`);
    ProjectClosed where the project has, or had, nothing else.
    """
    if before is None or before.pending is None:
        return after
    if is_empty(before) or is_empty(after):
        raise is_busy(before)
    if before.status.accepts_uploads and after.status.offers_files and not after.status.accepts_uploads:
        raise is_busy(before)  # or files would be published into an archived project
    for name in before.pending.files:
        if name in after.files and after.files[name] != before.files.get(name):
            raise FileExists(
                f"The file {name} already exists in a promotion that is under way; repeat this when it has ended, or "
                "publish it under a new version."
            )
    for name in after.files.keys() - before.files.keys():
        other = same_role(after.files[name], before.pending.files)
        if other is not None:
            raise FileExists(
                f"Release {other.version} gets {other.filename} by a promotion that is under way, and {name} is for "
                "the same purpose; repeat this when it has ended, or publish it under a new version."
            )
    return msgspec.structs.replace(after, pending=before.pending)


def is_busy(project: Project) -> ProjectClosed:
    """The error for a change that has to wait for a promotion."""
    return ProjectClosed(
        f"A promotion of {project.name} is under way; repeat this in a moment. If its server was stopped, 'quire gc' "
        "ends it ten minutes after it began, and the other servers do within the hour."
    )
