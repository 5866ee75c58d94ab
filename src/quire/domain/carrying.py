"""A project of another store, carried into this one: what is missing here, and what the project is then. Pure.

A project that only imports from that store have changed here follows its source: files that were deleted there go, and
yanks, statuses and all other fields are those of the source. Where others have changed the project here as well, it is
theirs now: files that it lacks are added, and nothing else changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from quire.domain.project import File, Project
from quire.domain.tombstones import NONE


def conflict_of(target: Project | None, file: File) -> str | None:
    """Why a file of the source may not be listed in the target, in a sentence; None when it may, or is."""
    if target is None:
        return None
    listed = target.files.get(file.filename)
    if listed is not None:
        if listed.sha256 == file.sha256:
            return None
        return f"Other content is published under this name (sha256 {listed.sha256[:12]}...); nothing changed."
    deleted = target.deleted.get(file.filename)
    if deleted in {None, file.sha256}:
        return None
    return (
        f"The filename was used before, for other content that was deleted (sha256 {str(deleted)[:12]}...); "
        f"a filename never comes back with other content."
    )


def missing_files(target: Project | None, source: Project, *, follows: bool) -> list[File]:
    """The files of the source that have to be copied, in its order. Raises DamagedRecord.

    `follows`: whether the target is what imports made of it. If not, a file that was deleted there stays deleted.
    """
    return [
        file
        for file in source.files.values()
        if (target is None or file.filename not in target.files)
        and conflict_of(target, file) is None
        and (follows or not was_deleted(target, file))
    ]


def was_deleted(target: Project | None, file: File) -> bool:
    """Whether this very file was deleted from the target. Raises DamagedRecord."""
    return target is not None and file.filename not in target.files and target.deleted.get(file.filename) == file.sha256


def carry(target: Project | None, source: Project, copied: Iterable[File], *, follows: bool) -> Project:
    """The target with everything of the source; the very target when that is all there. Raises DamagedRecord.

    `copied`: files of the source, as they are stored in the target.
    """
    present = dict(target.files) if target is not None else {}
    present |= {file.filename: file for file in copied}
    files = _followed(present, source) if follows else present
    deleted = target.deleted if target is not None else NONE
    known = deleted.entries()
    gone = source.deleted.entries().items()
    deleted = deleted.with_deleted({name: sha256 for name, sha256 in gone if name not in files and name not in known})
    deleted = deleted.with_listed(files)
    if follows or target is None:
        owners = target.owners if target is not None and target.owners else source.owners
        after = msgspec.structs.replace(source, files=files, deleted=deleted, owners=owners)
    else:
        after = msgspec.structs.replace(target, files=files, deleted=deleted)
    return target if target is not None and after == target else after


def _followed(present: Mapping[str, File], source: Project) -> dict[str, File]:
    """The files of the target as the source has them, in its order."""
    files = {}
    for name, theirs in source.files.items():
        ours = present.get(name)
        if ours is not None:
            files[name] = _as_stored(theirs, ours) if ours.sha256 == theirs.sha256 else ours
    for name, ours in present.items():
        if name not in files and source.deleted.get(name) != ours.sha256:
            files[name] = ours
    return files


def _as_stored(theirs: File, ours: File) -> File:
    """An entry of the source, with what is stored here."""
    return msgspec.structs.replace(
        theirs,
        blob=ours.blob,
        metadata_sha256=ours.metadata_sha256,
        signed=ours.signed,
        attested=ours.attested,
        provenance_sha256=ours.provenance_sha256,
    )
