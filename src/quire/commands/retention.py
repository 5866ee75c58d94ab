"""`quire retention`: the releases that the rules of an index let go, before `quire gc` deletes them.

JSON: {"index": str, "keep": [str], "projects": [{"project": str, "versions": [str], "files": int, "bytes": int}]}.
"""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from quire.commands.administering import add_place_flags, open_administration
from quire.commands.common import count, print_json, print_table
from quire.domain.sizes import in_words

_SHOWN = 5
"""Versions of a project."""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `retention`."""
    parser = subparsers.add_parser(
        "retention",
        help="show which releases the rules of an index let go",
        description="Show which releases the rules of an index (quire index set --keep) let go; 'quire gc' deletes "
        "them. This command deletes nothing.",
    )
    parser.add_argument(
        "--keep", action="append", metavar="RULE", help="try this rule in place of those of the index; repeat it"
    )
    add_place_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show it. Raises InvalidRequest, NotFound, StoreError, UpstreamError."""
    found = open_administration(arguments, writes=False).retention(arguments.keep)
    if arguments.json:
        document = msgspec.to_builtins(found)
        del document["next"]
        print_json(document)
        return 0
    if not found.keep:
        print(f"The index {found.index} has no rules of retention; 'quire index set {found.index} --keep' makes some.")
        return 0
    rows = [
        (each.project, _shown(each.versions), count(each.files, "file"), in_words(each.bytes))
        for each in found.projects
    ]
    print_table(("project", "releases", "", ""), rows)
    files, size = sum(each.files for each in found.projects), sum(each.bytes for each in found.projects)
    print(
        f"'quire gc' would delete {count(files, 'file')} ({in_words(size)}) of the index {found.index}, by "
        f"{', '.join(found.keep)}."
    )
    return 0


def _shown(versions: list[str]) -> str:
    more = len(versions) - _SHOWN
    return ", ".join(versions[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
