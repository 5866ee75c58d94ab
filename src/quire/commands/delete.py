"""`quire delete`: a file, a release, or a project.

JSON: {"project": str, "selection": str, "changed": bool (false when all of it was deleted before), "deleted":
[filename], "bytes": int, "in_trash": bool, "freed": bool}; `in_trash`: whether the files can be restored; `freed`:
false when they are, and when the space is given back by a later `quire gc`.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import msgspec

from quire.commands.administering import add_place_flags, open_administration
from quire.commands.common import add_user_flag, confirmed, count, print_json
from quire.domain.changes import Selection
from quire.domain.errors import InvalidRequest
from quire.domain.names import normalize_name
from quire.domain.sizes import in_words


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
    add_place_flags(parser)
    add_user_flag(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it, or ask and do not. Raises InvalidRequest, NotFound, ReadOnlyFile, StoreError, UpstreamError."""
    name = normalize_name(arguments.project)
    if (arguments.what is None) != arguments.all:
        raise InvalidRequest(
            "Say what to delete: a version or a filename, or --all for the whole project (but not both)."
        )
    selection = Selection.of(arguments.what)
    administration = open_administration(arguments, writes=True, required=False)
    what = f"the project {name}" if arguments.all else f"{selection} of {name}"
    if not arguments.yes:
        plan = administration.delete(name, selection, dry_run=True)
        whole = what.replace("the project", "the whole project", 1) if arguments.all else what
        question = f"Delete {whole} ({count(len(plan.deleted), 'file')}, {in_words(plan.bytes)})?"
        if plan.deleted and not confirmed(question):
            print("Nothing was deleted.", file=sys.stderr)
            return 1
    done = administration.delete(name, selection, dry_run=False, no_trash=arguments.no_trash)
    if arguments.json:
        hidden = {"dry_run", "trash_days"}
        print_json({field: value for field, value in msgspec.to_builtins(done).items() if field not in hidden})
        return 0
    if not done.changed:
        print(f"Nothing to do: {what} was deleted before.")
        return 0
    later = "" if done.freed else " 'quire gc' gives the space back."
    if done.in_trash and done.trash_days is not None:
        later = f" For {done.trash_days:g} days 'quire trash restore {name}' brings it back."
    print(f"Deleted {what}: {count(len(done.deleted), 'file')}, {in_words(done.bytes)}.{later}")
    return 0
