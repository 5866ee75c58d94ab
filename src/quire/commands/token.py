"""`quire token`: make, list, revoke and rotate tokens.

JSON of create and rotate: {"id": str, "token": str, "expires": str or null}. Of list: {"tokens": [{"id": str, "rights":
[str], "index": str, "projects": [str], "user": str or null, "note": str or null, "created": str, "by": str or null,
"expires": str or null, "rate": int (requests a minute, 0 for any number) or null, "revoked": str or null, "state":
"valid" | "expired" | "revoked"}]}. Of revoke: {"revoked": [str]}.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from quire.access.grants import ANY, Permission, parse_index
from quire.access.tokens import new_identity, new_token
from quire.administration.access_documents import RotateBody, TokenBody, TokenEntry
from quire.administration.contract import Administration
from quire.commands.administering import add_place_flags, open_administration, url_of
from quire.commands.common import add_user_flag, count, plain, print_json, print_table, span
from quire.commands.unknown_names import add_passwords_flag, users_of, warn_of_unknown
from quire.config import values
from quire.domain.errors import ConfigurationError
from quire.operations import granting

if TYPE_CHECKING:
    from quire.administration.own_tokens import OwnTokens

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
        default=[],
        metavar="RIGHT",
        help=f"what it may do, with commas: {', '.join(Permission)}; or repeat it",
    )
    add(
        "--project",
        action="append",
        default=[],
        metavar="PATTERN",
        help="only these projects, e.g. 'acme-*'; repeat it",
    )
    add("--admin", action="store_true", help="the right to everything: the way in for an operator of the store")
    add("--user", dest="holder", metavar="USER", help="the user for whom it stands; without it, it stands for itself")
    add("--expires", type=_lifetime, default=timedelta(days=365), metavar="AGE", help="e.g. 90d, 12h, never (365d)")
    add(
        "--rate",
        type=_rate,
        metavar="RATE",
        help="requests that it may make of each worker: 600/m, 10/s, none (as the servers' --token-rate says)",
    )
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
        type=span,
        default=granting.GRACE,
        metavar="AGE",
        help="how long the old secret still counts (24h); 0 ends it at once",
    )
    for each in (create, listing, revoke, rotate):
        add_place_flags(each, of_all=each is create)
    for each in (create, listing, revoke):
        each.add_argument(
            "--own",
            action="store_true",
            help="of the user that logs in to a server (--url), who need be no administrator",
        )
    for each in (revoke, rotate):
        add_user_flag(each)
    add_passwords_flag(create)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises ConfigurationError, NotFound, InvalidRequest, StoreError, UpstreamError."""
    index = parse_index(arguments.index or ANY) if arguments.action == "create" else ANY
    if arguments.action == "create":
        arguments.index = None  # it is of the token
    is_own = getattr(arguments, "own", False)
    administration = None if is_own else open_administration(arguments, writes=arguments.action != "list")
    of = administration or _own_tokens(arguments)
    if arguments.action == "create":
        users = users_of(arguments.passwords)
        token = _create(arguments, of, index)
        if administration is not None:
            holder = [] if token.user is None else [f"user:{token.user}"]
            warn_of_unknown(administration, holder, users, index=index)
    elif arguments.action == "rotate":
        assert administration is not None
        _rotate(arguments, administration)
    elif arguments.action == "revoke":
        of.revoke_tokens(arguments.ids)
        if arguments.json:
            print_json({"revoked": arguments.ids})
        else:
            print(
                f"Revoked {count(len(arguments.ids), 'token')}: no further request is served by {_them(arguments.ids)}."
            )
    else:
        _list(of.tokens(), all_of_them=arguments.all, as_json=arguments.json)
    return 0


def _own_tokens(arguments: argparse.Namespace) -> OwnTokens:
    url = url_of(arguments)
    if url is None:
        raise ConfigurationError("--own is for the user of a server: give its --url.")
    names = {"admin": "--admin", "holder": "--user", "log_user": "--user", "rate": "--rate", "passwords": "--passwords"}
    for name, flag in names.items():
        if getattr(arguments, name, None):
            raise ConfigurationError(f"{flag} is for administrators: leave it out with --own.")
    from quire.administration.own_tokens import OwnTokens  # noqa: PLC0415 - an HTTP client, for this only

    return OwnTokens(url, os.environ)


def _create(arguments: argparse.Namespace, tokens: Administration | OwnTokens, index: str) -> TokenEntry:
    text = new_token(new_identity())
    body = TokenBody(
        rights=[*_words(arguments.right), *([Permission.ADMIN] if arguments.admin else [])],
        index=index,
        projects=arguments.project,
        user=arguments.holder,
        note=arguments.note,
        expires_in=None if arguments.expires is None else arguments.expires.total_seconds(),
        rate=arguments.rate,
        id=text.identity,
        digest=text.digest,
    )
    token = tokens.create_token(body).token
    _show(text.text, token, as_json=arguments.json)
    return token


def _rotate(arguments: argparse.Namespace, tokens: Administration) -> None:
    text = new_token(arguments.id)
    body = RotateBody(grace=arguments.grace.total_seconds(), digest=text.digest)
    rotated = tokens.rotate_token(arguments.id, body)
    _show(text.text, rotated.token, as_json=arguments.json)
    if not arguments.json:
        until = (datetime.now(UTC) + arguments.grace).strftime("%Y-%m-%dT%H:%M:%SZ")
        old = f"counts until {until}" if arguments.grace else "does not count any more"
        print(f"The old secret {old}.", file=sys.stderr)


def _list(tokens: Sequence[TokenEntry], *, all_of_them: bool, as_json: bool) -> None:
    found = [token for token in tokens if all_of_them or token.state == "valid"]
    if as_json:
        print_json({"tokens": msgspec.to_builtins(found)})
        return
    if not found:
        print("There are no tokens." if all_of_them else "There are no valid tokens.")
        return
    rows = [
        (
            each.id,
            each.state,
            _reach(each),
            each.user or "",
            each.expires or "never",
            each.last_used or "-",
            "" if each.rate is None else f"{each.rate}/m" if each.rate else "none",
            each.created or "",
            each.by or "",
            plain(each.note or ""),
        )
        for each in found
    ]
    print_table(("id", "state", "may", "for", "expires", "last used", "rate", "created", "by", "note"), rows)


def _show(text: str, token: TokenEntry, *, as_json: bool) -> None:
    if as_json:
        print_json({"id": token.id, "token": text, "expires": token.expires})
        return
    print(text)  # alone on standard output, for TOKEN=$(quire token create ...)
    ends = "does not expire" if token.expires is None else f"expires {token.expires}"
    holder = "" if token.user is None else f" for the user {plain(token.user)}, within the rights of that user"
    sys.stdout.flush()
    print(f"It is shown once. The token {token.id} may {_reach(token)}{holder}; it {ends}.", file=sys.stderr)
    print("Use it as the password of the user __token__, or as a Bearer token.", file=sys.stderr)


def _reach(token: TokenEntry) -> str:
    index = "every index" if token.index == ANY else token.index
    rights = [each for each in token.rights if each != Permission.READ]
    projects = "" if token.projects == [ANY] else f" {', '.join(token.projects)}"
    parts = [f"read {index}"] if Permission.READ in token.rights else []
    if rights:
        parts.append(f"{', '.join(rights)}{projects} on {index}")
    return " and ".join(parts)


def _lifetime(text: str) -> timedelta | None:
    if text.strip().isdecimal():  # seconds elsewhere; of a token it is meant as days
        raise argparse.ArgumentTypeError(f"{text!r} has no unit; for days write {text.strip()}d")
    return None if text == "never" else span(text)


def _words(given: Sequence[str]) -> list[str]:
    """`a,b` is `a` and `b`, as for `quire grant`."""
    return [word.strip() for each in given for word in each.split(",") if word.strip()]


def _rate(text: str) -> int:
    try:
        return values.rate(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _them(identities: list[str]) -> str:
    return "it" if len(identities) == 1 else "them"
