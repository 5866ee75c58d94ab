"""`quire owner`: the owners of a project, in an index of which each project belongs to the principal that created it.

JSON: {"project": str, "owners": [str], "changed": bool, "count": bool}; `count`: whether the index has owned projects.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import msgspec

from quire.access.grants import parse_owner
from quire.administration.documents import Owners
from quire.commands.administering import add_place_flags, open_administration
from quire.commands.common import add_user_flag, plain, print_json
from quire.domain.names import normalize_name

_SUBJECTS = "user:NAME (or NAME), group:NAME, token:ID or publisher:ID"


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `owner`."""
    text = "list and change the owners of a project"
    parser = subparsers.add_parser("owner", help=text, description=f"{text[:1].upper()}{text[1:]}.")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list the owners", description="List the owners of a project.")
    add = actions.add_parser("add", help="add an owner", description="Add an owner to a project.")
    remove = actions.add_parser("remove", help="remove an owner", description="Remove an owner from a project.")
    for each in (listing, add, remove):
        each.add_argument("project", metavar="PROJECT")
    for each in (add, remove):
        each.add_argument("subject", metavar="SUBJECT", help=_SUBJECTS)
    remove.add_argument("--force", action="store_true", help="also the last owner")
    for each in (listing, add, remove):
        add_place_flags(each)
    for each in (add, remove):
        add_user_flag(each)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises InvalidRequest, NotFound, StoreError, UpstreamError."""
    name = normalize_name(arguments.project)
    subject = None if arguments.action == "list" else str(parse_owner(arguments.subject))
    administration = open_administration(arguments, writes=subject is not None)
    if subject is None:
        found = administration.owners(name)
    elif arguments.action == "add":
        found = administration.add_owner(name, subject)
    else:
        found = administration.remove_owner(name, subject, force=arguments.force)
    if arguments.json:
        print_json(msgspec.to_builtins(found))
        return 0
    for line in [*found.owners] if subject is None else [_done(arguments.action, subject, found)]:
        print(plain(line))
    if subject is None and not found.owners:
        print(f"{found.project} has no owners.", file=sys.stderr)
    if not found.count:
        print(
            "Owners have no effect in this index: 'quire index set INDEX --new-projects owned' gives them one.",
            file=sys.stderr,
        )
    return 0


def _done(action: str, subject: str, found: Owners) -> str:
    if not found.changed:
        return f"Nothing to do: {subject} {'owned' if action == 'add' else 'did not own'} {found.project} before."
    if action == "add":
        return f"{subject} owns {found.project}."
    left = f"its owners are {', '.join(found.owners)}" if found.owners else "it has no owners"
    return f"{subject} does not own {found.project} any more; {left}."
