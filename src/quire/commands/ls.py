"""`quire ls`: the projects, or the files of one; drop-in files included.

JSON without a project: {"index": str, "projects": [{"name": str, "stored": bool, "drop_in": bool, "mirrored": bool,
"latest": str | null, "versions": [str], "files": int, "size": int (bytes), "error": str | null (why its record cannot
be read)}]}; with one: {"project": str, "status": str, "status_reason": str | null, "files": [...]}, each file as
`quire.administration.documents.FileEntry` has it.
"""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from quire.administration.documents import FileEntry, ProjectEntry, ProjectPage
from quire.commands.administering import OFFERED, OWN, add_place_flags, open_administration, say_what_is_behind, url_of
from quire.commands.common import print_json, print_table
from quire.domain.errors import NotFound
from quire.domain.names import normalize_name
from quire.domain.sizes import in_words


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `ls`."""
    text = "list the projects, or the files of one"
    parser = subparsers.add_parser("ls", help=text, description=f"{text[:1].upper()}{text[1:]}.")
    parser.add_argument("project", metavar="PROJECT", nargs="?")
    add_place_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """List. Raises NotFound, StoreError, UpstreamError."""
    administration = open_administration(arguments, writes=False, required=False)
    if arguments.project is None:
        page = administration.projects()
        _projects(page, as_json=arguments.json)
        say_what_is_behind(
            arguments, administration, page.index, "Not listed: what {index} offers of {behind}, behind it."
        )
        return 0
    name = normalize_name(arguments.project)
    found = administration.project(name)
    if not found.exists:
        raise NotFound(f"The project {name} does not exist.")
    if arguments.json:
        print_json(
            {
                "project": name,
                "status": found.status,
                "status_reason": found.status_reason,
                "files": msgspec.to_builtins(found.files),
            }
        )
        return 0
    print_table(
        ("File", "Version", "Size", "Uploaded", "Note"),
        [
            (each.filename, each.version, in_words(each.size), (each.uploaded or "")[:10], note_of(each))
            for each in found.files
        ],
    )
    say_what_is_behind(arguments, administration, found.index, OFFERED if url_of(arguments) else OWN)
    return 0


def _projects(found: ProjectPage, *, as_json: bool) -> None:
    if as_json:
        print_json({"index": found.index, "projects": msgspec.to_builtins(found.projects)})
        return
    print_table(
        ("Project", "Latest", "Releases", "Files", "Size", "Note"),
        [
            (
                each.name,
                each.latest or "",
                str(len(each.versions)),
                str(each.files),
                in_words(each.size),
                each.error or _kind(each),
            )
            for each in found.projects
        ],
    )


def _kind(project: ProjectEntry) -> str:
    kinds = ["drop-in"] if project.drop_in else []
    kinds += ["mirrored"] if project.mirrored else []
    return " and ".join([*kinds, "stored"] if kinds and project.stored else kinds)


def note_of(file: FileEntry) -> str:
    """The source of a file other than an upload, and its yank; empty where there is neither."""
    notes = [f"drop-in: {file.place}"] if file.drop_in else ["mirrored"] if file.mirrored else []
    if file.yanked is not False:
        notes.append("yanked" if file.yanked is True else f"yanked: {file.yanked}")
    return "; ".join(notes)
