"""Which files of a project a command line means, and whether they can be changed."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence

from quire.domain.changes import Selection
from quire.domain.errors import NotFound, ReadOnlyFile
from quire.domain.names import same_version
from quire.domain.project import Project
from quire.dropin.listing import Candidate


def select(
    name: str,
    hosted: Project | None,
    dropins: Sequence[Candidate],
    wanted: str | None,
    *,
    root: str,
    uncovers: bool = False,
) -> Selection:
    """What a change may be made to.

    `wanted`: a filename, a version, or None for all of the project. `root`: the directory of the store, for advice.
    `uncovers`: whether a drop-in file behind a hosted one of its name would be seen afterwards, as after deleting.
    Raises NotFound; ReadOnlyFile when a drop-in file is among what is meant: nothing of it is changed then.
    """
    files = hosted.files if hosted is not None else {}
    if not files and not dropins:
        raise NotFound(f"The project {name} does not exist." if hosted is None else f"The project {name} has no files.")
    selection = _selection(name, files, dropins, wanted)
    for dropin in dropins:
        parsed = dropin.parsed
        is_meant = selection.filename in {None, parsed.filename} and (
            selection.version is None or same_version(selection.version, parsed.version)
        )
        if is_meant and (uncovers or parsed.filename not in files):
            folder = dropin.path.removesuffix(f"/{dropin.relative}")
            raise ReadOnlyFile(
                f"{parsed.filename} is a drop-in file; change it where it lies ({dropin.path}), or take all files of "
                f"that directory into the store first: "
                f"quire import --move {shlex.quote(folder)} --into {shlex.quote(root)}"
            )
    return selection


def _selection(name: str, files: Collection[str], dropins: Sequence[Candidate], wanted: str | None) -> Selection:
    if wanted is None:
        return Selection()
    if wanted in files or any(dropin.parsed.filename == wanted for dropin in dropins):
        return Selection(filename=wanted)
    return Selection(version=wanted)
