"""Promotion of a stage: all of its files are published into the index that it is in front of, in one step.

The files are checked first, then stored once more under keys of the target (by hard links where the store is a
directory), then published together (`quire.index.promoting`), and then deleted from the stage: the target has this
very content. A promotion that was interrupted is repeated: files that the target has already are only deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import msgspec
import structlog

from quire.access import defining
from quire.access.document import AccessDocument
from quire.access.records import AccessRecords
from quire.domain.changes import Selection, present
from quire.domain.errors import (
    DamagedRecord,
    InvalidDistribution,
    InvalidRequest,
    NotFound,
    ProjectClosed,
    QuireError,
    StoreError,
)
from quire.domain.indexes import IndexDefinition
from quire.domain.names import normalize_name
from quire.domain.project import File, Project
from quire.domain.quotas import UNLIMITED, Quotas
from quire.domain.rulings import Facts
from quire.domain.times import moment
from quire.index import commits
from quire.index.audit.entries import Origin, timestamp
from quire.index.index import PUBLICATION_SECONDS, Guard, Index
from quire.index.promoting import Part, Promoter
from quire.operations import changing
from quire.operations import defining as defining_operations
from quire.operations.copying import Unreadable, copy_file
from quire.process.progress import Progress
from quire.store.contracts import Store

MOST_PROJECTS: Final = 1000
"""Of one promotion: the journal names them, and each list of projects reads it meanwhile."""

_SLACK: Final = 3600.0
"""Seconds that files may be younger than the time since their upload."""
_MOST_AGE: Final = 30 * 86400.0
"""Seconds."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Permission:
    """The right to publish into one project of the target."""

    guard: Guard | None = None
    owner: str | None = None
    """The subject that owns the project if it is new."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a promotion publishes, and by which rules."""

    index: Index
    overwrite: bool = False
    quotas: Quotas = UNLIMITED
    existing: Callable[[str], Mapping[str, File]] = lambda name: {}
    """By project, the files that other sources of the index have. Blocks."""
    check: Callable[[Facts], None] = lambda facts: None
    """Raises HeldBack for a file that the policy of the index holds back."""
    permissions: Mapping[str, Permission] = field(default_factory=dict)
    """By project; none are needed on the store itself."""


@dataclass(frozen=True, slots=True)
class Promoted:
    """One project of a promotion."""

    project: str
    files: tuple[str, ...]
    """The filenames that are new in the target, or get the attestations there that they have in the stage."""
    present: tuple[str, ...]
    """Those that it had already, with the same content."""
    problem: str | None = None
    """Why the project cannot be promoted, in a sentence: only of a dry run."""


def target_of(document: AccessDocument, stage: str, default: str) -> str:
    """The index that a stage is in front of. Raises NotFound, and InvalidRequest for an index that is no stage."""
    definition = defining.find(document, stage, default)
    target = definition.in_front_of
    if definition.has_ended(datetime.now(UTC)):
        raise NotFound(f"The stage {stage} ended at {definition.expires}.")
    if target is None:
        raise InvalidRequest(f"The index {stage} is no stage; 'quire stage create' makes one.")
    if definition.session is not None:
        raise InvalidRequest(f"The index {stage} is the stage of a publishing session, by which it is published.")
    defining.find(document, target, default)
    return target


def end_stages(access: AccessRecords, store: Store, default: str, origin: Origin, now: datetime | None = None) -> int:
    """Delete the stages whose time is over, with their files, for good; how many. One with a record that cannot be read
    is left to the next time. Raises StoreError.

    `now`: a time that is certain. By default it is that of this machine, which may be wrong: then the store's clock has
    to agree that the files have been there for so long.
    """
    is_certain, now = now is not None, now or datetime.now(UTC)
    indexes = access.read().state.document.indexes
    ended = [name for name, definition in indexes.items() if name != default and definition.has_ended(now)]
    deleted = 0

    def has_ended(definition: IndexDefinition) -> bool:
        return definition.has_ended(now)

    for name in ended:
        stage, definition = Index(store, name, origin), indexes[name]
        end = _end_session if definition.session is not None else defining_operations.end_stage
        try:
            if not (is_certain or _have_been_there(stage, definition.ends_at or now)):
                log.warning("stage not deleted", index=name, error="its files are too young by the store's clock")
                continue
            end(access, stage, default=default, origin=origin, has_ended=has_ended)
        except NotFound:  # another worker was faster, or it was made again
            continue
        except (InvalidRequest, DamagedRecord) as error:  # such as: it got a file just then
            log.warning("stage not deleted", index=name, error=str(error))
        else:
            deleted += 1
    return deleted


def _end_session(
    access: AccessRecords, stage: Index, *, default: str, origin: Origin, has_ended: Callable[[IndexDefinition], bool]
) -> None:
    """Delete the stage of a publishing session that has expired, its definition first: the session can be extended
    until then. Files that are left are found by the record of the session."""
    defining_operations.delete_index(access, stage, with_files=True, default=default, origin=origin, still=has_ended)


def _have_been_there(stage: Index, ends: datetime) -> bool:
    """Whether the files of a stage have the age, by the store's clock, that they have at its end: from their upload to
    it, and of more than 30 days no more than these, as imported files bring upload times of years ago."""
    for name in stage.names():
        project = stage.project(name)
        if project is None or not project.files:
            continue
        ages = {blob.key: blob.age for blob in stage.store.blobs.list(name)}
        for file in project.files.values():
            there = _age_at(ends, file)
            if ages.get(f"{file.blob}/{file.filename}", there) + _SLACK < there:
                return False
    return True


def _age_at(ends: datetime, file: File) -> float:
    """The age that a file of a stage has at its end, in seconds; the greatest where its time of upload is not known."""
    try:
        return min((ends - moment(file.uploaded)).total_seconds(), _MOST_AGE) if file.uploaded else _MOST_AGE
    except ValueError:
        return _MOST_AGE


def projects_of(source: Index, only: Collection[str] = ()) -> dict[str, Project]:
    """The projects with files, by name. `only`: those of these names; empty for all.

    Raises NotFound when there is none, InvalidName, InvalidRequest for too many, StoreError.
    """
    if only:
        return dict(_with_files(source, normalize_name(name)) for name in only)
    found = {name: project for name in source.names() if (project := source.project(name)) is not None}
    found = {name: project for name, project in found.items() if project.files}
    if not found:
        raise NotFound(f"The index {source.name} has no files to promote.")
    if len(found) > MOST_PROJECTS:
        raise InvalidRequest(f"The index {source.name} has {len(found)} projects; a promotion has {MOST_PROJECTS}.")
    return found


def _with_files(source: Index, name: str) -> tuple[str, Project]:
    found = source.project(name)
    if found is None or not found.files:
        raise NotFound(f"The index {source.name} has no files of {name} to promote.")
    return name, found


def promote(
    source: Index,
    projects: Mapping[str, Project],
    target: Target,
    *,
    dry_run: bool = False,
    origin: Origin | None = None,
    progress: Progress | None = None,
    on_promotion: Callable[[], None] = lambda: None,
) -> list[Promoted]:
    """Publish all files of these projects of `source` into the target, in one step, and delete them from `source`.

    `dry_run`: say only what would be published, and what stands against it. `on_promotion`: called when the files are
    copied, before the first step after which they may be published, whatever is raised.
    Raises what an upload of any of the files would raise, with nothing published; InvalidDistribution for one whose
    bytes are damaged; StoreError.
    """
    progress = progress or Progress()
    promoter = Promoter(target.index)
    planned = [_plan(promoter, project, target, keeps_going=dry_run) for project in projects.values()]
    if dry_run:
        return planned
    new = {each.project: set(each.files) for each in planned}
    wanted = {
        name: [file for file in project.files.values() if file.filename in new[name]]
        for name, project in projects.items()
    }
    progress.step(f"{source.name}, copying", sum(file.size for files in wanted.values() for file in files))
    until, at = commits.now() + PUBLICATION_SECONDS, timestamp()
    stored: list[File] = []
    is_begun = False
    try:
        parts = []
        for name, files in wanted.items():
            copied = []
            for file in files:
                copy = _copy(source, target.index, name, file, progress)
                stored.append(copy)
                copied.append(msgspec.structs.replace(copy, uploaded=at))
            if copied:
                parts.append(_part(projects[name], copied, target))
        if parts:
            is_begun = True
            on_promotion()
            promoter.promote(
                source.name,
                parts,
                overwrite=target.overwrite,
                quotas=target.quotas,
                origin=origin,
                until=until,
            )
    except BaseException as error:
        # From its beginning on only a refusal says that nothing was published. After anything else, an interruption
        # too, it may have been: blobs that no record names are left to collect_garbage.
        if not is_begun or (isinstance(error, QuireError) and not isinstance(error, StoreError)):
            target.index.remove_blobs(stored)
        raise
    log.info(
        "promoted",
        source=source.name,
        index=target.index.name,
        projects=len(planned),
        files=len(stored),
        user=(origin or target.index.origin).user,
    )
    _clear(source, {each.project: _to_clear(each, projects[each.project], target) for each in planned}, origin)
    return planned


def _plan(promoter: Promoter, project: Project, target: Target, *, keeps_going: bool) -> Promoted:
    part = _part(project, list(project.files.values()), target)
    try:
        if not project.status.offers_files:
            raise ProjectClosed(f"The project {project.name} is {project.status}; its files are not promoted.")
        for file in project.files.values():
            target.check(Facts(part.key, file.version, file.filename, file.sha256, file.uploaded, is_upstream=False))
        new = promoter.check(part, overwrite=target.overwrite, quotas=target.quotas)
    except QuireError as error:
        if not keeps_going or isinstance(error, StoreError):
            raise
        return Promoted(part.key, (), (), str(error))
    return Promoted(part.key, new, tuple(name for name in project.files if name not in set(new)))


def _part(project: Project, files: Sequence[File], target: Target) -> Part:
    name = normalize_name(project.name)
    permission = target.permissions.get(name, Permission())
    return Part(project.name, files, target.existing(name), permission.guard, permission.owner)


def _copy(source: Index, target: Index, name: str, file: File, progress: Progress) -> File:
    try:
        return copy_file(source.store.blobs, target.store.blobs, name, file, progress.advance)
    except Unreadable as error:
        raise InvalidDistribution(f"{file.filename} of {source.name} cannot be promoted: {error}") from error


def _to_clear(promoted: Promoted, project: Project, target: Target) -> list[File]:
    """The files of the source that the target has: not those with attestations that it could not add to its own."""
    attested = {name for name in promoted.present if project.files[name].provenance_sha256 is not None}
    kept, reason = attested, "their attestations are not kept"
    try:
        has = target.index.project(promoted.project) if attested else None
    except StoreError as error:  # they are published all the same
        reason = str(error)
    else:
        there = {} if has is None else has.files
        kept = {name for name in attested if name not in there or there[name].provenance_sha256 is None}
    if kept:
        log.warning("promoted files not deleted", project=promoted.project, error=reason)
    return [file for name, file in project.files.items() if name not in kept]


def _clear(source: Index, promoted: Mapping[str, Sequence[File]], origin: Origin | None) -> None:
    """Delete the promoted files from the source, but none that was published there meanwhile."""
    for name, files in promoted.items():
        for file in files:

            def unchanged(stored: Project | None, file: File = file) -> None:
                now = present(stored)
                listed = now.files.get(file.filename) if now is not None else None
                if listed is None or listed.sha256 != file.sha256:
                    raise NotFound(f"The file {file.filename} is not there any more.")

            try:
                selection = Selection(filename=file.filename)
                change = changing.delete(source, name, selection, (), to_trash=False, origin=origin, guard=unchanged)
            except NotFound:
                continue
            except StoreError as error:
                log.warning("promoted files not deleted", index=source.name, project=name, error=str(error))
                return
            source.remove_blobs(change.removed)
