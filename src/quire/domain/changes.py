"""Every change to a project, as a pure function from document to document.

Each returns the very object it was given when there is nothing to change, so that repeating a change that was already
made succeeds and writes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from quire.domain.errors import FileExists, FilenameUsed, InvalidRequest, NotFound, ProjectClosed
from quire.domain.names import Kind, guess_filename, may_be_same_version, role_of, same_version
from quire.domain.project import File, Project, Status
from quire.domain.tombstones import NONE

MAX_REASON_CHARACTERS = 500
MOST_OWNERS = 100


@dataclass(frozen=True, slots=True)
class Selection:
    """Which files of a project are meant: one by filename, those of a release, several by their filenames, or (all
    None) all."""

    filename: str | None = None
    version: str | None = None
    filenames: frozenset[str] | None = None

    def __str__(self) -> str:
        if self.filename is not None:
            return f"the file {self.filename}"
        if self.filenames is not None:
            return f"{len(self.filenames)} files"
        return f"the release {self.version}" if self.version is not None else "all files"

    @classmethod
    def of(cls, wanted: str | None) -> Selection:
        """Of a filename, a version, or None for all: a text that can be the name of a distribution is one."""
        if wanted is None or guess_filename(wanted) is None:
            return cls(version=wanted)
        return cls(filename=wanted)

    def includes(self, file: File) -> bool:
        if self.filename is not None and file.filename != self.filename:
            return False
        if self.filenames is not None and file.filename not in self.filenames:
            return False
        return self.version is None or same_version(file.version, self.version)


def check_takes_uploads(project: Project | None) -> None:
    """Raises ProjectClosed for a project whose status refuses uploads."""
    if project is not None and not project.status.accepts_uploads:
        raise ProjectClosed(
            f"The project {project.name} is {project.status} and takes no uploads; "
            f"its status must be active or deprecated first."
        )


def publish(
    project: Project | None,
    name: str,
    files: Sequence[File],
    *,
    overwrite: bool = False,
    existing: Mapping[str, File] | None = None,
    imported: bool = False,
    lost: Collection[str | None] = (),
    owner: str | None = None,
) -> Project:
    """Add files, all or none. `name` is used when the project is new. `existing`: by filename the files that are listed
    beside the record (drop-in files). `imported`: the files were served before, and are kept as they are. `lost`: the
    blobs of listed files that are not in the store any more, or damaged. `owner`: the subject that owns the project if
    it is new; one that had owners before its files were deleted keeps them.

    A file that is there with the same content changes nothing, unless its blob is lost, or it has no provenance and the
    new one has: then it gets the new one's blob, and what is beside that.

    Raises FileExists when it is there with other content
    and `overwrite` is off, FilenameUsed when it was deleted and had other content; InvalidRequest when the release has
    a file for the same purpose under another name, unless it is imported; ProjectClosed when the project's status
    refuses uploads; DamagedRecord when the deleted files cannot be read.
    """
    check_takes_uploads(project)
    existing = existing or {}
    merged = dict(project.files) if project is not None else {}
    deleted = project.deleted if project is not None else NONE
    for file in files:
        present = merged.get(file.filename) or existing.get(file.filename)
        if present is not None and present.sha256 == file.sha256:
            if file.filename in merged and (present.blob in lost or adds_provenance(present, file)):
                merged[file.filename] = _restored(present, file)
            continue
        if present is not None and not overwrite:
            # Digests are said of files of this record alone: others may be of an index that the uploader cannot read.
            is_own = file.filename in merged
            digests = f" (sha256 {present.sha256[:12]}..., not {file.sha256[:12]}...)" if is_own else ""
            raise FileExists(
                f"The file {file.filename} already exists with other content{digests}; publish it under a new version."
            )
        earlier = deleted.get(file.filename) if present is None and not overwrite else None
        if earlier not in {None, file.sha256}:
            raise FilenameUsed(
                f"The filename {file.filename} has been used before, for other content that was deleted "
                f"(sha256 {str(earlier)[:12]}..., not {file.sha256[:12]}...); publish it under a new version."
            )
        if present is None and not imported:
            _check_role(file, merged)
            _check_role(file, existing)
        merged[file.filename] = file
    deleted = deleted.with_listed(merged)
    if project is None or is_empty(project):
        owners = project.owners if project is not None else ()
        if not owners and owner is not None and not existing:
            owners = (owner,)
        return Project(name=name, files=merged, deleted=deleted, owners=owners)
    return project if merged == project.files else msgspec.structs.replace(project, files=merged, deleted=deleted)


def adds_provenance(present: File, file: File) -> bool:
    """Whether another publication of the same content has provenance that the listed file lacks, and all that this
    has."""
    return (
        present.sha256 == file.sha256
        and present.provenance_sha256 is None
        and file.provenance_sha256 is not None
        and file.signed >= present.signed
        and (file.metadata_sha256 is not None or present.metadata_sha256 is None)
    )


def _restored(present: File, file: File) -> File:
    """A listed file with the bytes of another publication of the same content."""
    return msgspec.structs.replace(
        present,
        blob=file.blob,
        metadata_sha256=file.metadata_sha256,
        signed=file.signed,
        attested=file.attested,
        provenance_sha256=file.provenance_sha256,
    )


def remember(before: Project | None, after: Project) -> Project:
    """`after`, with a tombstone for every file of `before` that it lists no longer. Raises DamagedRecord."""
    files = before.files if before is not None else {}
    gone = {name: file.sha256 for name, file in files.items() if name not in after.files}
    return msgspec.structs.replace(after, deleted=after.deleted.with_deleted(gone)) if gone else after


def _check_role(file: File, others: Mapping[str, File]) -> None:
    """A release has one sdist, and one wheel for given tags, as on PyPI: else one name and version would mean two
    things, and it would depend on the installer which. Raises InvalidRequest.
    """
    other = same_role(file, others)
    if other is not None:
        role = _role(file)
        what = "sdist" if role is not None and role[0] is Kind.SDIST else "file for the same Python and platform"
        raise InvalidRequest(
            f"Release {other.version} has {other.filename}, and a release has only one {what}, so {file.filename} "
            f"is refused; publish it under a new version, or delete {other.filename} first."
        )


def same_role(file: File, others: Mapping[str, File]) -> File | None:
    """One of the others that is for the same purpose in the same release, under another name or this one."""
    for other in others.values():
        if (
            may_be_same_version(file.version, other.version)
            and same_version(file.version, other.version)
            and (role := _role(file)) is not None
            and _role(other) == role
        ):
            return other
    return None


def _role(file: File) -> tuple[object, ...] | None:
    parsed = guess_filename(file.filename)
    return None if parsed is None else role_of(parsed)


def delete(project: Project | None, selection: Selection) -> Project:
    """Take files out of the project. Raises NotFound when there is nothing to take out."""
    project = _existing(project, selection)
    return msgspec.structs.replace(
        project, files={name: file for name, file in project.files.items() if not selection.includes(file)}
    )


def clear(project: Project | None) -> Project:
    """Take out all that makes it a project: its files and its status. Raises NotFound when there is no such project."""
    if project is None or is_empty(project):
        raise NotFound("The project does not exist.")
    return msgspec.structs.replace(project, files={}, status=Status.ACTIVE, status_reason=None, unknown={})


def yank(project: Project | None, selection: Selection, reason: str | None = None) -> Project:
    """Mark files as yanked (PEP 592): installers take them only when pinned. `reason` is shown to people."""
    return _with_yanked(project, selection, check_reason(reason) or True)


def unyank(project: Project | None, selection: Selection) -> Project:
    """Take the yanked mark away."""
    return _with_yanked(project, selection, False)


def set_status(project: Project | None, name: str, status: Status, reason: str | None = None) -> Project:
    """Set the PEP 792 status. Raises NotFound when there is no such project."""
    if project is None or is_empty(project):
        raise NotFound(f"The project {name} does not exist.")
    reason = check_reason(reason)
    if (project.status, project.status_reason) == (status, reason):
        return project
    return msgspec.structs.replace(project, status=status, status_reason=reason)


def with_owner(project: Project | None, owner: str) -> Project:
    """With one more owner. Raises NotFound when there is no such project, and none was deleted."""
    if project is None:
        raise NotFound("The project does not exist.")
    if owner in project.owners:
        return project
    if len(project.owners) >= MOST_OWNERS:
        raise InvalidRequest(f"A project has at most {MOST_OWNERS} owners; make a group of them.")
    return msgspec.structs.replace(project, owners=(*project.owners, owner))


def without_owner(project: Project | None, owner: str, *, may_be_last: bool) -> Project:
    """Without an owner. Raises NotFound; InvalidRequest for the last one, unless `may_be_last` is on."""
    if project is None:
        raise NotFound("The project does not exist.")
    if owner not in project.owners:
        return project
    kept = tuple(each for each in project.owners if each != owner)
    if not kept and not may_be_last:
        raise InvalidRequest(
            f"{owner} is the last owner of {project.name}; without owners the project takes uploads from all that may "
            "upload to the index. Add another owner first, or use --force."
        )
    return msgspec.structs.replace(project, owners=kept)


def check_reason(reason: str | None) -> str | None:
    """A reason for people: one line, or None. Raises InvalidRequest when it is too long or has control characters."""
    reason = (reason or "").strip()
    if len(reason) > MAX_REASON_CHARACTERS:
        raise InvalidRequest(f"The reason is longer than {MAX_REASON_CHARACTERS} characters; shorten it.")
    if not reason.isprintable():
        raise InvalidRequest("The reason has characters that cannot be shown; write it in one line of plain text.")
    return reason or None


def is_empty(project: Project) -> bool:
    """Whether nothing is left but tombstones and owners, so that there is no such project any more."""
    return not project.files and project.status is Status.ACTIVE and not project.unknown


def present(project: Project | None) -> Project | None:
    """The project, if there is more of it than tombstones and owners."""
    return None if project is None or is_empty(project) else project


def _with_yanked(project: Project | None, selection: Selection, yanked: bool | str) -> Project:
    project = _existing(project, selection)
    files = {
        name: msgspec.structs.replace(file, yanked=yanked) if selection.includes(file) else file
        for name, file in project.files.items()
    }
    return project if files == project.files else msgspec.structs.replace(project, files=files)


def _existing(project: Project | None, selection: Selection) -> Project:
    if project is None or is_empty(project):
        raise NotFound("The project does not exist.")
    if not any(selection.includes(file) for file in project.files.values()):
        raise NotFound(f"The project {project.name} does not have {selection}.")
    return project
