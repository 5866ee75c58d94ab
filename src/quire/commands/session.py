"""`quire session end`: end logins of the web interface, on every server at once.

JSON: {"users": [str], "all": bool}.
"""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from quire.commands.administering import add_place_flags, open_administration
from quire.commands.common import add_user_flag, plain, print_json
from quire.domain.errors import InvalidRequest


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
    add_place_flags(end)
    add_user_flag(end)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises InvalidRequest, StoreError, UpstreamError."""
    if bool(arguments.users) == arguments.all:
        raise InvalidRequest("Name the users whose sessions to end, or give --all to end every session.")
    done = open_administration(arguments, writes=True).end_sessions(arguments.users)
    if arguments.json:
        print_json(msgspec.to_builtins(done))
    elif done.all:
        print("Every session has ended.")
    else:
        print(f"The sessions of {', '.join(map(plain, done.users))} have ended.")
    return 0
