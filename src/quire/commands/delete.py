"""`quire delete`: a file, a release, or a project.

JSON: {"project": str, "selection": str, "deleted": [filename], "bytes": int, "freed": bool}; `freed` is false when
the space is given back by a later `quire gc`.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from quire.commands.common import (
    add_store_flags,
    add_user_flag,
    count,
    in_words,
    no_project,
    open_store,
    print_json,
)
from quire.commands.selecting import select
from quire.domain.errors import InvalidRequest
from quire.domain.names import normalize_name
from quire.operations import changing


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `delete`."""
    text = "delete a file, a release, or (with --all) a whole project"
    parser = subparsers.add_parser("delete", help=text, description=f"{text[:1].upper()}{text[1:]}. Yanking is kinder.")
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("what", metavar="VERSION-OR-FILENAME", nargs="?")
    parser.add_argument("--all", action="store_true", help="delete the whole project")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    add_store_flags(parser)
    add_user_flag(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it, or ask and do not. Raises InvalidRequest, NotFound, ReadOnlyFile, StoreError."""
    name = normalize_name(arguments.project)
    if (arguments.what is None) != arguments.all:
        raise InvalidRequest(
            "Say what to delete: a version or a filename, or --all for the whole project (but not both)."
        )
    opened = open_store(arguments, writes=True, required=False)
    hosted, dropins = opened.index.project(name), opened.candidates(name)
    if hosted is None and not dropins:
        raise no_project(opened, name)
    selection, fixed = select(name, hosted, dropins, arguments.what, root=opened.store.place)
    changing.check_selection(selection, fixed, removes=True)  # before anything is asked
    meant = [file for file in hosted.files.values() if selection.includes(file)] if hosted is not None else []
    if not arguments.yes:
        what = f"the whole project {name}" if arguments.all else f"{selection} of {name}"
        question = f"Delete {what} ({count(len(meant), 'file')}, {in_words(sum(file.size for file in meant))})?"
        if not sys.stdin.isatty():
            raise InvalidRequest(
                f"{question} There is no terminal to ask at: to delete without being asked, add --yes."
            )
        if not _confirmed(question):
            print("Nothing was deleted.", file=sys.stderr)
            return 1
    change = changing.delete(opened.index, name, selection, fixed)
    # An open file outlives its name on a local file system. Over NFS a download under way would break off, so there
    # the bytes stay until they are collected.
    frees = opened.store.validates_inline
    if frees:
        opened.index.remove_blobs(change.removed)
    size = sum(file.size for file in change.removed)
    if arguments.json:
        deleted = [file.filename for file in change.removed]
        print_json({"project": name, "selection": str(selection), "deleted": deleted, "bytes": size, "freed": frees})
        return 0
    later = "" if frees else " 'quire gc' gives the space back."
    what = f"the project {name}" if arguments.all else f"{selection} of {name}"
    print(f"Deleted {what}: {count(len(change.removed), 'file')}, {in_words(size)}.{later}")
    return 0


def _confirmed(question: str) -> bool:
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
