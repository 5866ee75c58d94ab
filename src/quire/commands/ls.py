"""`quire ls`: the projects, or the files of one; drop-in files included.

JSON without a project: {"index": str, "projects": [{"name": str, "stored": bool, "drop_in": bool}]}; with one:
{"project": str, "status": str, "status_reason": str | null, "files": [...]}, each file as `describe` has it.
"""

from __future__ import annotations

import argparse
from typing import Any

from quire.commands.common import Opened, add_store_flags, in_words, open_store, print_json, print_table
from quire.names import normalize_name
from quire.repository import Listed, Projects, ProjectView, require


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `ls`."""
    text = "list the projects, or the files of one"
    parser = subparsers.add_parser("ls", help=text, description=f"{text[:1].upper()}{text[1:]}.")
    parser.add_argument("project", metavar="PROJECT", nargs="?")
    add_store_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """List. Raises NotFound, StoreError."""
    opened = open_store(arguments, writes=False, required=False)
    if arguments.project is None:
        return _projects(opened, as_json=arguments.json)
    view = require(project_view(opened, normalize_name(arguments.project)))
    if arguments.json:
        print_json(
            {
                "project": view.name,
                "status": str(view.status),
                "status_reason": view.status_reason,
                "files": [describe(each) for each in view.files.values()],
            }
        )
        return 0
    print_table(
        ("File", "Version", "Size", "Uploaded", "Note"),
        [
            (
                each.file.filename,
                each.file.version,
                in_words(each.file.size),
                (each.file.uploaded or "")[:10],
                _note(each),
            )
            for each in view.files.values()
        ],
    )
    return 0


def project_view(opened: Opened, name: str) -> ProjectView:
    """A project as servers see it, or its absence."""
    return Projects(opened.index, opened.folder()).load(name, None)


def describe(listed: Listed) -> dict[str, Any]:
    """A file for JSON: what is recorded of it, and where it is."""
    file, dropin = listed.file, listed.dropin
    return {
        "filename": file.filename,
        "version": file.version,
        "size": file.size,
        "hashes": file.hashes,
        "uploaded": file.uploaded,
        "uploader": file.uploader,
        "requires_python": file.requires_python,
        "yanked": file.yanked,
        "metadata_sha256": file.metadata_sha256,
        "signed": file.signed,
        "attested": file.attested,
        "drop_in": dropin is not None,
        "path": dropin.path if dropin is not None else None,
    }


def _projects(opened: Opened, *, as_json: bool) -> int:
    stored, dropped = set(opened.index.names()), set(opened.folder().names())
    names = sorted(stored | dropped)
    if as_json:
        projects = [{"name": name, "stored": name in stored, "drop_in": name in dropped} for name in names]
        print_json({"index": opened.index.name, "projects": projects})
        return 0
    print_table(
        ("Project", "Note"),
        [
            (name, "" if name not in dropped else "drop-in and stored" if name in stored else "drop-in")
            for name in names
        ],
    )
    return 0


def _note(listed: Listed) -> str:
    notes = []
    if listed.dropin is not None:
        notes.append(f"drop-in: {listed.dropin.relative_path}")
    if listed.file.yanked is not False:
        notes.append("yanked" if listed.file.yanked is True else f"yanked: {listed.file.yanked}")
    return "; ".join(notes)
