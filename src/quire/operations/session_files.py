"""The files of publishing sessions (PEP 694) in their stages. For requests. All of it blocks and raises StoreError."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence

import msgspec

from quire.domain.changes import Selection, present
from quire.domain.errors import ChangedMeanwhile, NotFound, SessionConflict
from quire.domain.project import File, Project
from quire.domain.publishing_sessions import SessionFile
from quire.index.audit.entries import Origin
from quire.index.commits import Change
from quire.index.index import Index
from quire.operations import changing
from quire.operations.copying import Unreadable, copy_file

Wanted = Callable[[], bool]
"""Whether an upload of the session has the content of a file, as its record is now."""


def check_staged(stage: Index, project: str, filename: str, sha256: str | None) -> File:
    """The file as the stage of a session lists it. Raises SessionConflict where that has not this content under this
    name."""
    stored = stage.project(project)
    listed = None if stored is None else stored.files.get(filename)
    if listed is None or listed.sha256 != sha256:
        raise SessionConflict(_gone(filename))
    return listed


def _gone(filename: str) -> str:
    return f"{filename} is not as it was uploaded any more; delete it and upload it again."


def attest(stage: Index, project: str, file: SessionFile, provenance: bytes) -> None:
    """Put the provenance object of a file beside its bytes, where it is not there yet: both are stored once more, by a
    link where the store can make one, since what a record names never changes. Raises SessionConflict."""
    listed, gone = check_staged(stage, project, file.filename, file.sha256), _gone(file.filename)
    digest = hashlib.sha256(provenance).hexdigest()

    def is_done(found: Project | None) -> bool:
        """Also by another request to complete the upload, as of a client that repeats it after a time-out."""
        now = None if found is None else found.files.get(file.filename)
        return now is not None and (now.sha256, now.provenance_sha256) == (file.sha256, digest)

    if listed.provenance_sha256 == digest:
        return
    blobs = stage.store.blobs
    try:
        copy = copy_file(blobs, blobs, project, listed, lambda _: None, provenance=provenance)
    except Unreadable as error:
        if is_done(stage.project(project)):
            return
        raise SessionConflict(gone) from error

    def transition(found: Project | None) -> Project:
        if found is not None and is_done(found):
            return found
        if found is None or found.files.get(file.filename) != listed:
            raise ChangedMeanwhile(gone)
        return msgspec.structs.replace(found, files={**found.files, file.filename: copy})

    try:
        change = changing.repair(stage, project, transition)
    except ChangedMeanwhile as error:
        stage.remove_blobs([copy])
        raise SessionConflict(str(error)) from error
    now = None if change.after is None else change.after.files.get(file.filename)
    stage.remove_blobs(change.removed if now is not None and now.blob == copy.blob else [copy])


def put_back(stage: Index, project: str, file: SessionFile, replaced: Sequence[File], wanted: Wanted) -> bool:
    """Put the files that another one `replaced` back into the stage of a session, if that one has still its content, or
    was taken out; whether they are there. `wanted`: see `_let_go`. Raises StoreError."""

    def transition(stored: Project | None) -> Project:
        found = Project(name=project) if stored is None else stored
        listed = found.files.get(file.filename)
        if listed is not None and listed.sha256 != file.sha256:
            raise ChangedMeanwhile("The file is another one by now.")
        files = {name: each for name, each in found.files.items() if name != file.filename}
        return msgspec.structs.replace(found, files={**files, **{each.filename: each for each in replaced}})

    try:
        _let_go(stage, project, changing.repair(stage, project, transition), wanted)
    except ChangedMeanwhile:
        return False
    return True


def remove_staged(
    stage: Index, project: str, file: SessionFile, origin: Origin, wanted: Wanted = lambda: False
) -> None:
    """Delete a file from the stage of a session, if it has its content. `wanted`: see `_let_go`. Raises StoreError."""

    def unchanged(stored: Project | None) -> None:
        found = present(stored)
        listed = None if found is None else found.files.get(file.filename)
        if listed is None or listed.sha256 != file.sha256:
            raise ChangedMeanwhile("The file is another one by now.")

    with contextlib.suppress(NotFound, ChangedMeanwhile):
        selection = Selection(filename=file.filename)
        change = changing.delete(stage, project, selection, (), to_trash=False, origin=origin, guard=unchanged)
        _let_go(stage, project, change, wanted)


def _let_go(stage: Index, project: str, change: Change, wanted: Wanted) -> None:
    """Remove the blobs of files that were taken out of a stage; where one is `wanted` by now, list it again.

    An upload of the same content that arrived meanwhile found it in the stage, and stored nothing. One that arrives
    after this question finds that the stage has it no more (`check_staged`, after the swap of the session's record).
    """
    if not (change.unlisted and wanted()):
        stage.remove_blobs(change.removed)
        return
    left = {} if change.after is None else change.after.files

    def transition(stored: Project | None) -> Project:
        found = Project(name=project) if stored is None else stored
        if any(found.files.get(each.filename) != left.get(each.filename) for each in change.unlisted):
            raise ChangedMeanwhile("The file is another one by now.")
        again = {each.filename: each for each in change.unlisted}
        return msgspec.structs.replace(found, files={**found.files, **again})

    with contextlib.suppress(ChangedMeanwhile):
        stage.remove_blobs(changing.repair(stage, project, transition).removed)
