"""`quire session end`: end logins of the web interface, on every server at once."""

from __future__ import annotations

import argparse
from typing import Any

from quire.access.records import AccessRecords
from quire.commands.common import add_store_flags, add_user_flag, open_store, origin_of, plain
from quire.domain.errors import InvalidRequest
from quire.operations import sessions


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add it."""
    parser = subparsers.add_parser(
        "session", help="end logins of the web interface", description="End sessions of the web interface."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    end = actions.add_parser(
        "end",
        help="end the sessions of users, or all",
        description="End sessions: the next request of each needs a new login, on every server.",
    )
    end.add_argument("users", nargs="*", metavar="USER", help="whose sessions to end")
    end.add_argument("--all", action="store_true", help="end every session, by a new key")
    add_store_flags(end)
    add_user_flag(end)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises InvalidRequest, StoreError."""
    if bool(arguments.users) == arguments.all:
        raise InvalidRequest("Name the users whose sessions to end, or give --all to end every session.")
    access = AccessRecords(open_store(arguments, writes=True).store)
    if arguments.all:
        sessions.end_all_sessions(access, origin_of(arguments))
        print("Every session has ended.")
    else:
        sessions.end_sessions(access, arguments.users, origin_of(arguments))
        print(f"The sessions of {', '.join(map(plain, arguments.users))} have ended.")
    return 0
