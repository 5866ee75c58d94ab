"""`quire status`: show or set a project's status (PEP 792).

JSON: {"project": str, "status": "active" | "archived" | "deprecated" | "quarantined", "reason": str | null,
"changed": bool}.
"""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from quire.commands.administering import add_place_flags, open_administration
from quire.commands.common import add_user_flag, plain, print_json
from quire.domain.changes import check_reason
from quire.domain.errors import InvalidRequest
from quire.domain.names import normalize_name
from quire.domain.project import Status


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `status`."""
    parser = subparsers.add_parser(
        "status",
        help="show or set a project's status",
        description="Show or set a project's status: active; archived (no more uploads); deprecated (others are "
        "better); quarantined (no files are offered, no uploads are taken).",
    )
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("status", nargs="?", choices=[str(status) for status in Status], metavar="STATUS")
    parser.add_argument("--reason", metavar="TEXT", help="why; people see it")
    add_place_flags(parser)
    add_user_flag(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show or set it. Raises NotFound, ReadOnlyFile, StoreError, UpstreamError."""
    name = normalize_name(arguments.project)
    if arguments.status is None and arguments.reason is not None:
        raise InvalidRequest("A reason goes with a status; name the status as well.")
    reason = check_reason(arguments.reason)
    administration = open_administration(arguments, writes=arguments.status is not None, required=False)
    if arguments.status is None:
        found = administration.status(name)
    else:
        found = administration.set_status(name, Status(arguments.status), reason)
    if arguments.json:
        print_json(msgspec.to_builtins(found))
    else:
        print(f"{name}: {plain(found.status)}{f' ({plain(found.reason)})' if found.reason else ''}")
    return 0
