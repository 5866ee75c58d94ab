"""`quire token`: make, list, revoke and rotate tokens.

JSON of create and rotate: {"id": str, "token": str, "expires": str or null}. Of list: {"tokens": [{"id": str, "rights":
[str], "index": str, "projects": [str], "user": str or null, "note": str or null, "created": str, "by": str or null,
"expires": str or null, "revoked": str or null, "state": "valid" | "expired" | "revoked"}]}. Of revoke: {"revoked":
[str]}.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from quire.access.document import Token
from quire.access.grants import ANY, Permission
from quire.access.records import AccessRecords
from quire.access.tokens import new_identity, new_token
from quire.commands.common import (
    add_store_flags,
    add_user_flag,
    count,
    duration,
    open_store,
    origin_of,
    plain,
    print_json,
    print_table,
)
from quire.operations import granting

_DESCRIPTION = """\
Tokens for people's tools and for CI jobs: sent as the password of the user __token__, or as a Bearer token. A token
does what its rights allow, on the projects that it names, until it expires or is revoked; for a user's token, no more
than its user may do. It is shown once, when it is made: the store keeps a digest.
"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `token`."""
    parser = subparsers.add_parser("token", help="make, list, revoke and rotate tokens", description=_DESCRIPTION)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a token, and show it once", description="Make a token.")
    add = create.add_argument
    add(
        "--right",
        action="append",
        required=True,
        choices=[str(each) for each in Permission],
        metavar="RIGHT",
        help=f"what it may do: {', '.join(Permission)}; repeat it",
    )
    add(
        "--project",
        action="append",
        default=[],
        metavar="PATTERN",
        help="only these projects, e.g. 'acme-*'; repeat it",
    )
    add("--user", dest="holder", metavar="USER", help="the user for whom it stands; without it, it stands for itself")
    add("--expires", type=_lifetime, default=timedelta(days=365), metavar="AGE", help="e.g. 90d, 12h, never (365d)")
    add("--note", metavar="TEXT", help="what it is for; lists show it")
    listing = actions.add_parser("list", help="list the tokens", description="List the tokens, without their secrets.")
    listing.add_argument("--all", action="store_true", help="also those that ended")
    revoke = actions.add_parser("revoke", help="end tokens at once", description="End tokens at once, on every worker.")
    revoke.add_argument("ids", nargs="+", metavar="ID")
    rotate = actions.add_parser(
        "rotate", help="give a token a new secret", description="Give a token a new secret, and show it once."
    )
    rotate.add_argument("id", metavar="ID")
    rotate.add_argument(
        "--grace",
        type=lambda text: timedelta(seconds=duration(text)),
        default=granting.GRACE,
        metavar="AGE",
        help="how long the old secret still counts (24h); 0 ends it at once",
    )
    for each in (create, listing, revoke, rotate):
        add_store_flags(each)
    for each in (revoke, rotate):
        add_user_flag(each)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises NotFound, InvalidRequest, StoreError."""
    writes = arguments.action != "list"
    opened = open_store(arguments, writes=writes)
    access, origin = AccessRecords(opened.store), origin_of(arguments)
    if arguments.action == "create":
        text = new_token(new_identity())
        token, _ = granting.create_token(
            access,
            arguments.right,
            arguments.index or ANY,
            arguments.project,
            identity=text.identity,
            digest=text.digest,
            user=arguments.holder,
            note=arguments.note,
            lifetime=arguments.expires,
            origin=origin,
        )
        _show(text.text, text.identity, token, as_json=arguments.json)
    elif arguments.action == "rotate":
        text = new_token(arguments.id)
        token, _ = granting.rotate_token(access, text.identity, text.digest, arguments.grace, origin)
        _show(text.text, text.identity, token, as_json=arguments.json)
    elif arguments.action == "revoke":
        granting.revoke_tokens(access, arguments.ids, origin)
        if arguments.json:
            print_json({"revoked": arguments.ids})
        else:
            print(
                f"Revoked {count(len(arguments.ids), 'token')}: no further request is served by {_them(arguments.ids)}."
            )
    else:
        _list(access, all_of_them=arguments.all, as_json=arguments.json)
    return 0


def _list(access: AccessRecords, *, all_of_them: bool, as_json: bool) -> None:
    now = datetime.now(UTC)
    tokens = access.read().state.document.tokens
    found = {identity: (token, _state(token, now)) for identity, token in tokens.items()}
    found = {identity: each for identity, each in found.items() if all_of_them or each[1] == "valid"}
    if as_json:
        print_json(
            {
                "tokens": [
                    {
                        "id": identity,
                        "rights": list(token.permissions),
                        "index": token.index,
                        "projects": list(token.projects),
                        "user": token.user,
                        "note": token.note,
                        "created": token.created,
                        "by": token.by,
                        "expires": token.expires,
                        "revoked": token.revoked,
                        "state": state,
                    }
                    for identity, (token, state) in found.items()
                ]
            }
        )
        return
    if not found:
        print("There are no tokens." if all_of_them else "There are no valid tokens.")
        return
    rows = [
        (identity, state, _reach(token), token.user or "", token.expires or "never", plain(token.note or ""))
        for identity, (token, state) in found.items()
    ]
    print_table(("id", "state", "may", "for", "expires", "note"), rows)


def _show(text: str, identity: str, token: Token, *, as_json: bool) -> None:
    if as_json:
        print_json({"id": identity, "token": text, "expires": token.expires})
        return
    print(text)  # alone on standard output, for TOKEN=$(quire token create ...)
    ends = "does not expire" if token.expires is None else f"expires {token.expires}"
    holder = "" if token.user is None else f" for the user {plain(token.user)}, within the rights of that user"
    sys.stdout.flush()
    print(f"It is shown once. The token {identity} may {_reach(token)}{holder}; it {ends}.", file=sys.stderr)
    print("Use it as the password of the user __token__, or as a Bearer token.", file=sys.stderr)


def _reach(token: Token) -> str:
    index = "every index" if token.index == ANY else token.index
    rights = [each for each in token.permissions if each != Permission.READ]
    projects = "" if token.projects == (ANY,) else f" {', '.join(token.projects)}"
    parts = [f"read {index}"] if Permission.READ in token.permissions else []
    if rights:
        parts.append(f"{', '.join(rights)}{projects} on {index}")
    return " and ".join(parts)


def _state(token: Token, now: datetime) -> str:
    if token.revoked is not None:
        return "revoked"
    return "expired" if token.has_expired(now) else "valid"


def _lifetime(text: str) -> timedelta | None:
    return None if text == "never" else timedelta(seconds=duration(text))


def _them(identities: list[str]) -> str:
    return "it" if len(identities) == 1 else "them"
