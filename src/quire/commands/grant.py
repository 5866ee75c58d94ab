"""`quire grant`, `revoke`, `grants`, `group` and `access init`: which principal has which right.

JSON of grants: {"decide": bool, "grants": [{"id": str, "subject": str, "rights": [str], "index": str, "projects":
[str], "created": str, "by": str or null}], "groups": {group: [user]}}; with --explain {"subject": str, "index": str,
"project": str or null, "rights": {right: bool}}. Of grant: {"id": str, "changed": bool}. Of revoke: {"revoked": [str]}.
"""

from __future__ import annotations

import argparse
from typing import Any

from quire.access.changing import explain
from quire.access.decisions import AccessState
from quire.access.document import Grant
from quire.access.grants import ANY, Permission, SubjectKind, parse_index, parse_subject
from quire.access.principals import ANONYMOUS, Principal
from quire.access.records import AccessRecords
from quire.commands.common import (
    Opened,
    add_store_flags,
    add_user_flag,
    count,
    open_store,
    origin_of,
    plain,
    print_json,
    print_table,
)
from quire.config import values
from quire.domain.errors import ConfigurationError, InvalidRequest
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
    grants.add_argument("project", nargs="?", metavar="PROJECT", help="with --explain: the project")
    group = subparsers.add_parser(
        "group",
        help="say which users are a group",
        description="Make a group of exactly these users; of none: remove it.",
    )
    group.add_argument("group", metavar="GROUP")
    group.add_argument("users", nargs="*", metavar="USER")
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
    for each in (grant, revoke, grants, group, init):
        add_store_flags(each)
    for each in (grant, revoke, group, init):
        add_user_flag(each)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises NotFound, InvalidRequest, StoreError."""
    opened = open_store(arguments, writes=arguments.command != "grants")
    access = AccessRecords(opened.store)
    index = parse_index(arguments.index or ANY)
    actions = {"grant": _grant, "revoke": _revoke, "grants": _grants, "group": _group, "access": _init}
    return actions[arguments.command](arguments, opened, access, index)


def _grant(arguments: argparse.Namespace, _: Opened, access: AccessRecords, index: str) -> int:
    words = [word.strip() for word in arguments.rights.split(",") if word.strip()]
    identity, grant, is_new = granting.give(
        access, arguments.subject, words, index, arguments.project, origin=origin_of(arguments)
    )
    if arguments.json:
        print_json({"id": identity, "changed": is_new})
    elif is_new:
        print(f"Granted {_in_words(grant)} to {plain(grant.subject)} (grant {identity}).")
    else:
        print(f"Nothing to do: {plain(grant.subject)} had {_in_words(grant)} before (grant {identity}).")
    return 0


def _revoke(arguments: argparse.Namespace, _: Opened, access: AccessRecords, __: str) -> int:
    taken = granting.take_back(access, arguments.ids, origin_of(arguments))
    if arguments.json:
        print_json({"revoked": arguments.ids})
        return 0
    for grant in taken:
        print(f"Took {_in_words(grant)} from {plain(grant.subject)}.")
    return 0


def _grants(arguments: argparse.Namespace, opened: Opened, access: AccessRecords, index: str) -> int:
    state = access.read().state
    if arguments.explain is not None:
        return _explain(arguments, state, opened.settings.index if index == ANY else index)
    if arguments.project is not None:
        raise InvalidRequest("A project goes with --explain.")
    document = state.document
    if arguments.json:
        entries = [
            {
                "id": identity,
                "subject": grant.subject,
                "rights": list(grant.permissions),
                "index": grant.index,
                "projects": list(grant.projects),
                "created": grant.created,
                "by": grant.by,
            }
            for identity, grant in document.grants.items()
        ]
        print_json({"decide": state.decides, "grants": entries, "groups": document.groups})
        return 0
    if not state.decides:
        print("There are no grants for people: the settings decide (-a, -P). 'quire access init' begins with grants.")
    if document.grants:
        rows = [
            (
                identity,
                grant.subject,
                ",".join(grant.permissions),
                grant.index,
                " ".join(grant.projects),
                grant.by or "",
            )
            for identity, grant in document.grants.items()
        ]
        print_table(("id", "subject", "rights", "index", "projects", "by"), rows)
    for group, users in document.groups.items():
        print(f"The group {plain(group)}: {', '.join(map(plain, users))}.")
    return 0


def _explain(arguments: argparse.Namespace, state: AccessState, index: str) -> int:
    project = None if arguments.project is None else normalize_name(arguments.project)
    given = explain(state, _principal(arguments.explain, state), index, project)
    if arguments.json:
        rights = {str(each): is_given for each, is_given in given.items()}
        print_json({"subject": arguments.explain, "index": index, "project": project, "rights": rights})
        return 0
    place = f"the index {index}" if project is None else f"{project} on the index {index}"
    allowed = [str(each) for each, is_given in given.items() if is_given]
    print(f"{plain(arguments.explain)} may {', '.join(allowed) if allowed else 'do nothing'} on {place}.")
    if not state.decides:
        print("But there are no grants for people yet: the settings decide (-a, -P).")
    return 0


def _principal(text: str, state: AccessState) -> Principal:
    subject = parse_subject(text if ":" in text or text in set(SubjectKind) else f"{SubjectKind.USER}:{text}")
    if subject.kind is SubjectKind.USER:
        return Principal(subject.name)
    if subject.kind is SubjectKind.TOKEN:
        token = state.document.tokens.get(subject.name)
        return Principal(token.user if token is not None else None, token=subject.name)
    if subject.kind is SubjectKind.ANONYMOUS:
        return ANONYMOUS
    raise InvalidRequest("Rights are explained for a user, a token or anonymous.")


def _group(arguments: argparse.Namespace, _: Opened, access: AccessRecords, __: str) -> int:
    changed = granting.set_group(access, arguments.group, arguments.users, origin_of(arguments))
    if arguments.json:
        print_json({"group": arguments.group, "users": arguments.users, "changed": changed})
    elif not changed:
        print("Nothing to do: the group is like that.")
    elif arguments.users:
        print(f"The group {plain(arguments.group)} has {count(len(arguments.users), 'user')}.")
    else:
        print(f"There is no group {plain(arguments.group)} any more.")
    return 0


def _init(arguments: argparse.Namespace, _: Opened, access: AccessRecords, __: str) -> int:
    try:
        needed = values.actions(arguments.authenticate)
    except ValueError as error:
        raise ConfigurationError(f"-a: {error}.") from None
    grants, notes = granting.begin(access, arguments.admin, needed, origin_of(arguments))
    if arguments.json:
        print_json({"grants": [{"subject": each.subject, "rights": list(each.permissions)} for each in grants]})
        return 0
    for grant in grants:
        print(f"Granted {_in_words(grant)} to {plain(grant.subject)}.")
    print("Grants decide from now on, on every server of this store; -a no longer does.")
    for note in notes:
        print(note)
    return 0


def _in_words(grant: Grant) -> str:
    place = "every index" if grant.index == ANY else f"the index {grant.index}"
    projects = "" if grant.projects == (ANY,) else f" of {', '.join(grant.projects)}"
    return f"{' and '.join(grant.permissions)}{projects} on {place}"
