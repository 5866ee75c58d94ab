"""`quire grant`, `revoke`, `grants`, `group` and `access init`: which principal has which right.

JSON of grants: {"decide": bool, "grants": [{"id": str, "subject": str, "rights": [str], "index": str, "projects":
[str], "created": str, "by": str or null}], "groups": {group: [user]}}; with --explain {"subject": str, "index": str,
"project": str or null, "rights": {right: bool}, "by": {right: [the id of a grant, or "owner SUBJECT"]}}. Of grant:
{"id": str, "changed": bool}. Of revoke: {"revoked": [str]}.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import msgspec

from quire.access.grants import ANY, Permission, parse_index
from quire.access.records import AccessRecords
from quire.administration.access_documents import GrantBody, GrantEntry
from quire.administration.contract import Administration
from quire.administration.describing_access import grant_entry
from quire.commands.administering import add_place_flags, open_administration, url_of
from quire.commands.common import (
    add_store_flags,
    add_user_flag,
    count,
    open_store,
    origin_of,
    plain,
    print_json,
    print_table,
)
from quire.commands.unknown_names import add_passwords_flag, users_of, warn_of_unknown
from quire.config import values
from quire.domain.errors import ConfigurationError, InvalidRequest, NotFound
from quire.domain.names import normalize_name
from quire.operations import granting

_SUBJECTS = "user:NAME, group:NAME, token:ID, authenticated (every login) or anonymous (without a login)"


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add all of them."""
    rights = ", ".join(Permission)
    grant = subparsers.add_parser(
        "grant",
        help="give a right to a user, a group, a token, or without a login",
        description="Give rights, on every index or one (--index), and perhaps on some projects only.",
    )
    grant.add_argument("subject", metavar="SUBJECT", help=_SUBJECTS)
    grant.add_argument("rights", metavar="RIGHTS", help=f"with commas: {rights}")
    grant.add_argument(
        "--project",
        action="append",
        default=[],
        metavar="PATTERN",
        help="only these projects, e.g. 'acme-*'; repeat it",
    )
    revoke = subparsers.add_parser("revoke", help="take grants back", description="Take grants back, by their ids.")
    revoke.add_argument("ids", nargs="+", metavar="GRANT", help="as 'quire grants' lists them")
    grants = subparsers.add_parser(
        "grants", help="list the grants, or explain what they give", description="List the grants, or explain them."
    )
    grants.add_argument(
        "--explain", metavar="SUBJECT", help="which rights a user, a token or anonymous has, on --index and PROJECT"
    )
    grants.add_argument(
        "--check",
        action="store_true",
        dest="verdict",
        help="list the grants that give nothing, and why; the exit code is 1 then, and 2 when that is not known",
    )
    grants.add_argument(
        "-P", "--passwords", metavar="FILE", help="with --check or --explain: the password file of the servers"
    )
    grants.add_argument("project", nargs="?", metavar="PROJECT", help="with --explain: the project")
    group = subparsers.add_parser(
        "group",
        help="show a group, or say which users are in it",
        description="Make a group of exactly these users; without users, show it.",
    )
    group.add_argument("group", metavar="GROUP")
    group.add_argument("users", nargs="*", metavar="USER")
    group.add_argument("--remove", action="store_true", help="remove the group")
    access = subparsers.add_parser(
        "access", help="let grants decide, from what is allowed now", description="Begin with grants."
    )
    actions = access.add_subparsers(dest="action", metavar="ACTION", required=True)
    init = actions.add_parser(
        "init",
        help="make grants of what the settings allow",
        description="Give the store its first grants: they allow what -a and -P allow now, and make one user the "
        "administrator. From then on grants decide, and -a no longer does.",
    )
    init.add_argument("--admin", required=True, metavar="USER", help="the user that gets the right admin")
    init.add_argument("-a", "--authenticate", required=True, metavar="ACTIONS", help="as the servers have it now")
    for each in (grant, revoke, grants, group):
        add_place_flags(each, of_all=each is grant)
    add_store_flags(init)
    for each in (grant, revoke, group, init):
        add_user_flag(each)
    for each in (grant, group):
        add_passwords_flag(each)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises NotFound, InvalidRequest, StoreError, UpstreamError."""
    if arguments.command == "access":
        return _init(arguments, AccessRecords(open_store(arguments, writes=True).store))
    index = parse_index(arguments.index or ANY)
    if arguments.command == "grant":
        arguments.index = None  # it is of the grant
    administration = open_administration(arguments, writes=arguments.command != "grants")
    if arguments.command == "grants" and arguments.verdict:
        return _check(arguments, administration)
    actions = {"grant": _grant, "revoke": _revoke, "grants": _grants, "group": _group}
    return actions[arguments.command](arguments, administration, index)


def _grant(arguments: argparse.Namespace, administration: Administration, index: str) -> int:
    words = [word.strip() for word in arguments.rights.split(",") if word.strip()]
    users = users_of(arguments.passwords)
    made = administration.grant(
        GrantBody(subject=arguments.subject, rights=words, index=index, projects=arguments.project)
    )
    grant = made.grant
    warn_of_unknown(administration, [grant.subject], users, index=index)
    if arguments.json:
        print_json({"id": grant.id, "changed": made.changed})
    elif made.changed:
        print(f"Granted {_in_words(grant)} to {plain(grant.subject)} (grant {grant.id}).")
    else:
        print(f"Nothing to do: {plain(grant.subject)} had {_in_words(grant)} before (grant {grant.id}).")
    return 0


def _revoke(arguments: argparse.Namespace, administration: Administration, _: str) -> int:
    taken = administration.revoke_grants(arguments.ids)
    if arguments.json:
        print_json({"revoked": arguments.ids})
        return 0
    for grant in taken.grants:
        print(f"Took {_in_words(grant)} from {plain(grant.subject)}.")
    return 0


def _grants(arguments: argparse.Namespace, administration: Administration, index: str) -> int:
    if arguments.explain is not None:
        return _explain(arguments, administration, None if index == ANY else index)
    if arguments.project is not None:
        raise InvalidRequest("A project goes with --explain.")
    found = administration.grants()
    if arguments.json:
        print_json(msgspec.to_builtins(found))
        return 0
    if not found.decide:
        print("There are no grants for people: the settings decide (-a, -P). 'quire access init' begins with grants.")
    if found.grants:
        rows = [
            (each.id, each.subject, ",".join(each.rights), each.index, " ".join(each.projects), each.by or "")
            for each in found.grants
        ]
        print_table(("id", "subject", "rights", "index", "projects", "by"), rows)
    for group, users in found.groups.items():
        print(f"The group {plain(group)}: {', '.join(map(plain, users))}.")
    return 0


def _check(arguments: argparse.Namespace, administration: Administration) -> int:
    found = administration.check_grants(arguments.passwords)
    if arguments.json:
        print_json({"unmatched": [{"id": each.id, "problem": each.problem} for each in found.unmatched]})
        return 1 if found.unmatched else 0
    for each in found.unmatched:
        print(f"{each.id}\t{plain(each.subject)}\t{plain(each.problem)}")
    how = "the server has no list of all users" if url_of(arguments) else "name the password file with -P"
    without = "" if found.users_known else f"Users were not looked for: {how}."
    if not found.unmatched:
        print(f"Each grant gives something. {without}".rstrip())
    elif without:
        print(without, file=sys.stderr)
    return 1 if found.unmatched else 0


def _explain(arguments: argparse.Namespace, administration: Administration, index: str | None) -> int:
    project = None if arguments.project is None else normalize_name(arguments.project)
    found = administration.explain(arguments.explain, index, project)
    allowed = [right for right, is_given in found.rights.items() if is_given]
    users = users_of(arguments.passwords)
    tokens = administration.tokens() if users is not None or not allowed else []
    token = next((each for each in tokens if each.id == arguments.explain.removeprefix("token:")), None)
    if token is None:
        name = arguments.explain
        warn_of_unknown(administration, [name if ":" in name or name == "anonymous" else f"user:{name}"], users)
    if arguments.json:
        shown = {"subject": found.subject, "index": found.index, "project": project, "rights": found.rights}
        print_json({**shown, "by": found.by})
        return 0
    place = f"the index {found.index}" if project is None else f"{project} on the index {found.index}"
    print(f"{plain(found.subject)} may {', '.join(allowed) if allowed else 'do nothing'} on {plain(place)}.")
    for right in allowed:
        if found.by.get(right):
            giving = [each if each.startswith("owner ") else f"grant {each}" for each in found.by[right]]
            print(f"{right}: by {plain(', '.join(giving))}")
    if token is not None and token.state != "valid":
        ended = f"was revoked at {token.revoked}" if token.revoked else f"expired at {token.expires}"
        print(f"The token {plain(token.id)} {ended}.")
    if not found.decide:
        print("But there are no grants for people yet: the settings decide (-a, -P).")
    return 0


def _group(arguments: argparse.Namespace, administration: Administration, _: str) -> int:
    if not arguments.users and not arguments.remove:
        return _show_group(arguments, administration)
    if arguments.users and arguments.remove:
        raise InvalidRequest("With --remove the whole group goes; name no users, or leave --remove out.")
    users = users_of(arguments.passwords)
    changed = administration.set_group(arguments.group, arguments.users).changed
    if arguments.remove:
        _warn_of_grants_to(arguments.group, administration)
    warn_of_unknown(administration, [f"user:{each}" for each in arguments.users], users)
    if arguments.json:
        print_json({"group": arguments.group, "users": arguments.users, "changed": changed})
    elif not changed:
        print("Nothing to do: the group is like that.")
    elif arguments.users:
        print(f"The group {plain(arguments.group)} has {count(len(arguments.users), 'user')}.")
    else:
        print(f"There is no group {plain(arguments.group)} any more.")
    return 0


def _warn_of_grants_to(group: str, administration: Administration) -> None:
    """Name the grants to a group that is removed: they count for the next group of this name."""
    left = [each.id for each in administration.grants().grants if each.subject == f"group:{group}"]
    if left:
        revoke = f"'quire revoke {' '.join(left)}'"
        print(
            f"quire: warning: The store still has grants to the group {plain(group)} ({', '.join(left)}): they "
            f"count for a group of this name that is made later, or that a proxy names. {revoke} takes them back.",
            file=sys.stderr,
        )


def _show_group(arguments: argparse.Namespace, administration: Administration) -> int:
    users = administration.grants().groups.get(arguments.group)
    if users is None:
        raise NotFound(f"There is no group {plain(arguments.group)}; name its users to make it.")
    if arguments.json:
        print_json({"group": arguments.group, "users": users, "changed": False})
        return 0
    for user in users:
        print(plain(user))
    return 0


def _init(arguments: argparse.Namespace, access: AccessRecords) -> int:
    try:
        needed = values.actions(arguments.authenticate)
    except ValueError as error:
        raise ConfigurationError(f"-a: {error}.") from None
    grants, notes = granting.begin(access, arguments.admin, needed, origin_of(arguments))
    if arguments.json:
        print_json({"grants": [{"subject": each.subject, "rights": list(each.permissions)} for each in grants]})
        return 0
    for grant in grants:
        print(f"Granted {_in_words(grant_entry('', grant))} to {plain(grant.subject)}.")
    print("Grants decide from now on, on every server of this store; -a no longer does.")
    for note in notes:
        print(note)
    return 0


def _in_words(grant: GrantEntry) -> str:
    place = "every index" if grant.index == ANY else f"the index {grant.index}"
    projects = "" if grant.projects == [ANY] else f" of {', '.join(grant.projects)}"
    return f"{' and '.join(grant.rights)}{projects} on {place}"
