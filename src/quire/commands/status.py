"""`quire status`: show or set a project's status (PEP 792).

JSON: {"project": str, "status": "active" | "archived" | "deprecated" | "quarantined", "reason": str | null,
"changed": bool}.
"""

from __future__ import annotations

import argparse
from typing import Any

from quire.commands.common import add_store_flags, add_user_flag, no_project, open_store, plain, print_json
from quire.domain.errors import InvalidRequest, ReadOnlyFile
from quire.domain.names import normalize_name
from quire.domain.project import Status
from quire.operations import changing


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
    add_store_flags(parser)
    add_user_flag(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show or set it. Raises NotFound, ReadOnlyFile, StoreError."""
    name = normalize_name(arguments.project)
    if arguments.status is None and arguments.reason is not None:
        raise InvalidRequest("A reason goes with a status; name the status as well.")
    opened = open_store(arguments, writes=arguments.status is not None, required=False)
    project = opened.index.project(name)
    if project is None:
        if not opened.candidates(name):
            raise no_project(opened, name)
        if arguments.status is not None:
            raise ReadOnlyFile(f"The project {name} has drop-in files only; import them first ('quire import').")
    changed = False
    if arguments.status is not None:
        change = changing.set_status(opened.index, name, Status(arguments.status), arguments.reason)
        project, changed = change.after, change.changed
    status = project.status if project is not None else Status.ACTIVE
    reason = project.status_reason if project is not None else None
    if arguments.json:
        print_json({"project": name, "status": str(status), "reason": reason, "changed": changed})
    else:
        print(f"{name}: {status}{f' ({plain(reason)})' if reason else ''}")
    return 0
