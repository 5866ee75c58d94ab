"""`quire yank` and `quire unyank`: PEP 592.

JSON: {"project": str, "selection": str, "changed": bool, "files": [{"filename": str, "version": str, "yanked":
false | true | reason}]}; the files are those that were meant, as they are now.
"""

from __future__ import annotations

import argparse
from typing import Any

from quire.commands.common import add_store_flags, add_user_flag, count, no_project, open_store, print_json
from quire.commands.selecting import select
from quire.domain.changes import check_reason
from quire.domain.names import normalize_name
from quire.operations import changing


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `yank` and `unyank`."""
    for name, text in (
        ("yank", "mark a release or a file as yanked: installers take it only when it is pinned"),
        ("unyank", "take the yanked mark away"),
    ):
        parser = subparsers.add_parser(name, help=text, description=f"{text[:1].upper()}{text[1:]}.")
        parser.add_argument("project", metavar="PROJECT")
        parser.add_argument("what", metavar="VERSION-OR-FILENAME")
        if name == "yank":
            parser.add_argument("--reason", metavar="TEXT", help="why; people see it")
        add_store_flags(parser)
        add_user_flag(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises NotFound, ReadOnlyFile, StoreError."""
    name = normalize_name(arguments.project)
    reason = check_reason(arguments.reason) if arguments.command == "yank" else None
    opened = open_store(arguments, writes=True, required=False)
    hosted, dropins = opened.index.project(name), opened.candidates(name)
    if hosted is None and not dropins:
        raise no_project(opened, name)
    selection, fixed = select(name, hosted, dropins, arguments.what, root=opened.store.place)
    if arguments.command == "yank":
        change = changing.yank(opened.index, name, selection, fixed, reason)
    else:
        change = changing.unyank(opened.index, name, selection, fixed)
    files = [file for file in change.after.files.values() if selection.includes(file)] if change.after else []
    if arguments.json:
        entries = [{"filename": file.filename, "version": file.version, "yanked": file.yanked} for file in files]
        print_json({"project": name, "selection": str(selection), "changed": change.changed, "files": entries})
        return 0
    what = f"{selection} of {name} ({count(len(files), 'file')})"
    if arguments.command == "yank":
        changed, unchanged = f"Yanked {what}: installers take it only when it is pinned.", f"{what} was yanked before"
    else:
        changed, unchanged = f"Unyanked {what}: installers take it again.", f"{what} was not yanked"
    print(changed if change.changed else f"Nothing to do: {unchanged}.")
    return 0
