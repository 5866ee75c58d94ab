"""`quire yank` and `quire unyank`: PEP 592.

JSON: {"project": str, "selection": str, "changed": bool, "files": [{"filename": str, "version": str, "yanked":
false | true | reason}]}; the files are those that were meant, as they are now.
"""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from quire.commands.administering import add_place_flags, open_administration
from quire.commands.common import add_user_flag, count, print_json
from quire.domain.changes import Selection, check_reason
from quire.domain.names import normalize_name


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
        add_place_flags(parser)
        add_user_flag(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises NotFound, ReadOnlyFile, StoreError, UpstreamError."""
    name, selection = normalize_name(arguments.project), Selection.of(arguments.what)
    reason = check_reason(arguments.reason) if arguments.command == "yank" else None
    administration = open_administration(arguments, writes=True, required=False)
    if arguments.command == "yank":
        done = administration.yank(name, selection, reason)
    else:
        done = administration.unyank(name, selection)
    if arguments.json:
        print_json(msgspec.to_builtins(done))
        return 0
    what = f"{selection} of {name} ({count(len(done.files), 'file')})"
    if arguments.command == "yank":
        changed, unchanged = f"Yanked {what}: installers take it only when it is pinned.", f"{what} was yanked before"
    else:
        changed, unchanged = f"Unyanked {what}: installers take it again.", f"{what} was not yanked"
    print(changed if done.changed else f"Nothing to do: {unchanged}.")
    return 0
