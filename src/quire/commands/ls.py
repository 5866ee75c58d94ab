"""`quire ls`: the projects, or the files of one; drop-in files included.

JSON without a project: {"index": str, "projects": [{"name": str, "stored": bool, "drop_in": bool, "latest": str | null,
"versions": [str], "files": int, "size": int (bytes), "error": str | null (why its record cannot be read)}]}; with one:
{"project": str, "status": str, "status_reason": str | null, "files": [...]}, each file as `describe` has it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from quire.catalog.drop_ins import DropInFile, DropIns
from quire.catalog.hosted import Hosted
from quire.catalog.sources import ListedFile
from quire.catalog.views import Projects, ProjectView
from quire.commands.common import Opened, add_store_flags, in_words, no_project, open_store, print_json, print_table
from quire.domain.errors import DamagedRecord
from quire.domain.names import normalize_name, version_sort_key
from quire.dropin.listing import Candidate

_READERS = 16
"""Threads: over a network each record is some round trips."""


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
    view = project_view(opened, normalize_name(arguments.project))
    if not view.exists:
        raise no_project(opened, view.name)
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
    return Projects([Hosted(opened.index), DropIns(opened.folder())]).load_blocking(name)


def describe(listed: ListedFile) -> dict[str, Any]:
    """A file for JSON: its recorded facts, and where it is."""
    file = listed.file
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
        "attested": file.provenance_sha256 is not None,
        "drop_in": isinstance(listed, DropInFile),
        "path": listed.drop_in.path if isinstance(listed, DropInFile) else None,
    }


def _projects(opened: Opened, *, as_json: bool) -> int:
    stored, dropped = set(opened.index.names()), opened.all_candidates()
    with ThreadPoolExecutor(_READERS) as pool:

        def described(name: str) -> dict[str, Any]:
            return _project(opened, name, name in stored, dropped.get(name, ()))

        projects = list(pool.map(described, sorted({*stored, *dropped})))
    if as_json:
        print_json({"index": opened.index.name, "projects": projects})
        return 0
    print_table(
        ("Project", "Latest", "Releases", "Files", "Size", "Note"),
        [
            (
                each["name"],
                each["latest"] or "",
                str(len(each["versions"])),
                str(each["files"]),
                in_words(each["size"]),
                each["error"] or _kind(each),
            )
            for each in projects
        ],
    )
    return 0


def _project(opened: Opened, name: str, stored: bool, dropins: Sequence[Candidate]) -> dict[str, Any]:
    """A project for JSON, by its record and by the names of its drop-in files, none of which is read."""
    files: dict[str, tuple[str, int]] = {}
    for dropin in dropins:
        with contextlib.suppress(OSError):  # it has just gone
            files[dropin.parsed.filename] = (dropin.parsed.version, os.stat(dropin.path).st_size)
    error = None
    try:
        hosted = opened.index.project(name) if stored else None
        files |= {file.filename: (file.version, file.size) for file in (hosted.files.values() if hosted else ())}
    except DamagedRecord as damaged:
        error = str(damaged)
    versions = sorted({version for version, _ in files.values() if version}, key=version_sort_key)
    return {
        "name": name,
        "stored": stored,
        "drop_in": bool(dropins),
        "latest": versions[-1] if versions else None,
        "versions": versions,
        "files": len(files),
        "size": sum(size for _, size in files.values()),
        "error": error,
    }


def _kind(project: Mapping[str, Any]) -> str:
    return "" if not project["drop_in"] else "drop-in and stored" if project["stored"] else "drop-in"


def _note(listed: ListedFile) -> str:
    notes = []
    if isinstance(listed, DropInFile):
        notes.append(f"drop-in: {listed.place}")
    if listed.file.yanked is not False:
        notes.append("yanked" if listed.file.yanked is True else f"yanked: {listed.file.yanked}")
    return "; ".join(notes)
