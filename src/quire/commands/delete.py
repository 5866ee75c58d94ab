"""`quire delete`: a file, a release, or a project.

JSON: {"project": str, "selection": str, "deleted": [filename], "bytes": int, "in_trash": bool, "freed": bool};
`in_trash`: whether the files can be restored; `freed`: false when they are, and when the space is given back by a later
`quire gc`.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from quire.commands.common import (
    add_store_flags,
    add_user_flag,
    confirmed,
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
    parser.add_argument(
        "--no-trash",
        action="store_true",
        help="remove the bytes at once, for good: for a file that must not be kept, such as one with a secret in it; "
        "downloads under way may break off",
    )
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
        if not confirmed(question):
            print("Nothing was deleted.", file=sys.stderr)
            return 1
    change = changing.delete(opened.index, name, selection, fixed, to_trash=not arguments.no_trash)
    # An open file outlives its name on a local file system. Over NFS a download under way would break off, so there
    # the bytes stay until they are collected.
    frees = (opened.store.validates_inline or arguments.no_trash) and not change.is_in_trash
    if frees:
        opened.index.remove_blobs(change.removed)
    size = sum(file.size for file in change.unlisted)
    if arguments.json:
        deleted = [file.filename for file in change.unlisted]
        print_json(
            {
                "project": name,
                "selection": str(selection),
                "deleted": deleted,
                "bytes": size,
                "in_trash": change.is_in_trash,
                "freed": frees,
            }
        )
        return 0
    later = "" if frees else " 'quire gc' gives the space back."
    if change.is_in_trash:
        days = f"{opened.settings.trash_days:g}"
        later = f" For {days} days 'quire trash restore {name}' brings it back."
    what = f"the project {name}" if arguments.all else f"{selection} of {name}"
    print(f"Deleted {what}: {count(len(change.unlisted), 'file')}, {in_words(size)}.{later}")
    return 0
