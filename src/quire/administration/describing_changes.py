"""Documents of changes of projects, the same for servers and commands."""

from __future__ import annotations

from quire.administration.documents import Deleted, ProjectStatus, Yanked, YankedFile
from quire.domain.changes import Selection
from quire.domain.project import Project, Status
from quire.index.commits import Change
from quire.operations.selecting import Deletion


def yanked_of(change: Change, selection: Selection) -> Yanked:
    """The effect of a yank, or of taking it back."""
    files = [file for file in change.after.files.values() if selection.includes(file)] if change.after else []
    return Yanked(
        project=change.name,
        selection=str(selection),
        changed=change.changed,
        files=[YankedFile(filename=each.filename, version=each.version, yanked=each.yanked) for each in files],
    )


def deletion_of(
    project: str, selection: Selection, done: Deletion, *, dry_run: bool, freed: bool, trash_days: float
) -> Deleted:
    """The effect of a deletion. `freed`: whether the space of what is not in the trash is given back without gc."""
    return Deleted(
        project=project,
        selection=str(selection),
        changed=done.changed,
        deleted=[file.filename for file in done.files],
        bytes=sum(file.size for file in done.files),
        freed=freed and not done.is_in_trash and len(done.removed) == len(done.files),
        in_trash=done.is_in_trash,
        trash_days=trash_days if done.is_in_trash else None,
        dry_run=dry_run,
    )


def status_of(name: str, project: Project | None, *, changed: bool) -> ProjectStatus:
    """The status of a project."""
    status = project.status if project is not None else Status.ACTIVE
    reason = project.status_reason if project is not None else None
    return ProjectStatus(project=name, status=str(status), reason=reason, changed=changed)
