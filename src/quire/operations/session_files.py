"""The files of publishing sessions (PEP 694) in their stages. For requests. All of it blocks and raises StoreError."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence

import msgspec

from quire.domain.changes import Selection, present
from quire.domain.errors import ChangedMeanwhile, NotFound, SessionConflict
from quire.domain.project import File, Project
from quire.domain.publishing_sessions import SessionFile
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.operations import changing
from quire.operations.copying import Unreadable, copy_file


def attest(stage: Index, project: str, file: SessionFile, provenance: bytes) -> None:
    """Put the provenance object of a file beside its bytes, where it is not there yet: both are stored once more, by a
    link where the store can make one, since what a record names never changes. Raises SessionConflict."""
    stored = stage.project(project)
    listed = None if stored is None else stored.files.get(file.filename)
    gone = f"{file.filename} is not as it was uploaded any more; delete it and upload it again."
    if listed is None or listed.sha256 != file.sha256:
        raise SessionConflict(gone)
    if listed.provenance_sha256 == hashlib.sha256(provenance).hexdigest():
        return
    blobs = stage.store.blobs
    try:
        copy = copy_file(blobs, blobs, project, listed, lambda _: None, provenance=provenance)
    except Unreadable as error:
        raise SessionConflict(gone) from error

    def transition(found: Project | None) -> Project:
        if found is None or found.files.get(file.filename) != listed:
            raise ChangedMeanwhile(gone)
        return msgspec.structs.replace(found, files={**found.files, file.filename: copy})

    try:
        stage.remove_blobs(changing.repair(stage, project, transition).removed)
    except ChangedMeanwhile as error:
        stage.remove_blobs([copy])
        raise SessionConflict(str(error)) from error


def put_back(stage: Index, project: str, file: SessionFile, replaced: Sequence[File]) -> None:
    """Put a file that another one `replaced` back into the stage of a session, if that one has still its content; where
    there is none, delete that one. Raises StoreError."""

    def transition(stored: Project | None) -> Project:
        listed = None if stored is None else stored.files.get(file.filename)
        if stored is None or listed is None or listed.sha256 != file.sha256:
            raise ChangedMeanwhile("The file is another one by now.")
        files = {name: each for name, each in stored.files.items() if name != file.filename}
        return msgspec.structs.replace(stored, files={**files, **{each.filename: each for each in replaced}})

    with contextlib.suppress(ChangedMeanwhile):
        stage.remove_blobs(changing.repair(stage, project, transition).removed)


def remove_staged(stage: Index, project: str, file: SessionFile, origin: Origin) -> None:
    """Delete a file from the stage of a session, if it has its content. Raises StoreError."""

    def unchanged(stored: Project | None) -> None:
        found = present(stored)
        listed = None if found is None else found.files.get(file.filename)
        if listed is None or listed.sha256 != file.sha256:
            raise ChangedMeanwhile("The file is another one by now.")

    with contextlib.suppress(NotFound, ChangedMeanwhile):
        selection = Selection(filename=file.filename)
        change = changing.delete(stage, project, selection, (), to_trash=False, origin=origin, guard=unchanged)
        stage.remove_blobs(change.removed)
