"""The files of a project that a command line means, and those of them that cannot be changed."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence

from quire.domain.changes import Selection
from quire.domain.errors import NotFound
from quire.domain.project import Project
from quire.dropin.listing import Candidate
from quire.operations.changing import FixedFile


def select(
    name: str, hosted: Project | None, dropins: Sequence[Candidate], wanted: str | None, *, root: str
) -> tuple[Selection, list[FixedFile]]:
    """The files that are meant, and all those that cannot be changed.

    `wanted`: a filename, a version, or None for all of the project. `root`: the directory of the store, for advice.
    Raises NotFound.
    """
    files = hosted.files if hosted is not None else {}
    if not files and not dropins:
        raise NotFound(f"The project {name} does not exist." if hosted is None else f"The project {name} has no files.")
    return _selection(files, dropins, wanted), [_fixed(dropin, files, root) for dropin in dropins]


def _selection(files: Collection[str], dropins: Sequence[Candidate], wanted: str | None) -> Selection:
    if wanted is None:
        return Selection()
    if wanted in files or any(dropin.parsed.filename == wanted for dropin in dropins):
        return Selection(filename=wanted)
    return Selection(version=wanted)


def _fixed(dropin: Candidate, files: Collection[str], root: str) -> FixedFile:
    filename, folder = dropin.parsed.filename, dropin.path.removesuffix(f"/{dropin.relative}")
    problem = (
        f"{filename} is a drop-in file; change it where it lies ({dropin.path}), or take all files of that directory "
        f"into the store first: quire import --move {shlex.quote(folder)} --into {shlex.quote(root)}"
    )
    return FixedFile(filename, dropin.parsed.version, filename in files, problem)
