"""`quire namespace`: prefixes of names that only their owners upload to (PEP 752).

JSON of list: {"index": str, "namespaces": [NAMESPACE]}, of show NAMESPACE, of grant and revoke {"index": str,
"namespace": NAMESPACE or null, "changed": bool}; NAMESPACE: {"name": str, "owners": [str], "exempt": [str]}.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import msgspec

from quire.access.grants import parse_owner
from quire.administration.documents import IndexBody, NamespaceBody, NamespaceEntry, RevokeNamespaceBody
from quire.commands.administering import add_place_flags, open_administration
from quire.commands.common import add_user_flag, plain, print_json, print_table
from quire.config.suggestions import did_you_mean
from quire.domain.errors import InvalidRequest, NotFound
from quire.domain.namespaces import parse_namespace

_SUBJECTS = "user:NAME (or NAME), group:NAME, token:ID or publisher:ID"


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `namespace` and its actions."""
    parser = subparsers.add_parser(
        "namespace",
        help="grant prefixes of names to owners, and list them",
        description="Grant prefixes of names to owners (PEP 752): below acme, only its owners upload to acme and to "
        "names that begin with acme-, and no other index is asked for them.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    granting = actions.add_parser(
        "grant", help="grant a namespace, or to more owners", description="Grant a namespace, or to more owners."
    )
    revoking = actions.add_parser(
        "revoke",
        help="end a namespace, or take it from an owner",
        description="End a namespace, or take it from some of its owners.",
    )
    listing = actions.add_parser("list", help="list the namespaces", description="List the namespaces of an index.")
    showing = actions.add_parser("show", help="show a namespace", description="Show a namespace.")
    for each in (granting, revoking, showing):
        each.add_argument("name", metavar="NAME", help="the prefix without a hyphen at its end, such as acme")
    granting.add_argument("owners", metavar="SUBJECT", nargs="+", help=_SUBJECTS)
    granting.add_argument(
        "--with-existing",
        action="store_true",
        help="also for the projects that are there already: without it, all that may upload to those still may",
    )
    revoking.add_argument("owners", metavar="SUBJECT", nargs="*", help="only from these owners")
    for each in (granting, revoking, listing, showing):
        add_place_flags(each)
    for each in (granting, revoking):
        add_user_flag(each)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises InvalidRequest, NotFound, StoreError, UpstreamError."""
    administration = open_administration(arguments, writes=arguments.action in {"grant", "revoke"})
    indexes = {each.name: each for each in administration.indexes()}
    index = arguments.index or next(each.name for each in indexes.values() if each.is_default)
    if index not in indexes:
        raise NotFound(f"There is no index {plain(index)!r}; 'quire index list' lists them.")
    if arguments.action in {"list", "show"}:
        granted = indexes[index].namespaces
        if granted is None:
            raise InvalidRequest(
                "Only administrators see the owners of namespaces; their names are at /namespaces of the index."
            )
        found = {each.name: each for each in granted}
        if arguments.action == "list":
            _list(arguments, index, [*found.values()])
        else:
            _show(arguments, found)
        return 0
    name, owners = parse_namespace(arguments.name), [str(parse_owner(each)) for each in arguments.owners]
    if arguments.action == "grant":
        body = NamespaceBody(name=name, owners=owners, with_existing=arguments.with_existing)
        done = administration.set_index(index, IndexBody(grant_namespace=body))
    else:
        revoked = RevokeNamespaceBody(name=name, owners=owners)
        done = administration.set_index(index, IndexBody(revoke_namespace=revoked))
    entry = next((each for each in done.index.namespaces or () if each.name == name), None)
    if arguments.json:
        print_json({"index": index, "namespace": msgspec.to_builtins(entry), "changed": done.changed})
    else:
        print(_done(index, name, entry, changed=done.changed))
    return 0


def _list(arguments: argparse.Namespace, index: str, found: Sequence[NamespaceEntry]) -> None:
    if arguments.json:
        print_json({"index": index, "namespaces": msgspec.to_builtins(found)})
        return
    rows = [(each.name, ", ".join(each.owners), _exempt(each)) for each in found]
    print_table(("namespace", "owners", ""), rows)


def _show(arguments: argparse.Namespace, found: dict[str, NamespaceEntry]) -> None:
    name = parse_namespace(arguments.name)
    if name not in found:
        raise NotFound(f"There is no namespace {plain(name)!r}{did_you_mean(name, found)}.")
    entry = found[name]
    if arguments.json:
        print_json(msgspec.to_builtins(entry))
        return
    rows = [
        ("Name", entry.name),
        *(("Owner", each) for each in entry.owners),
        *(("Goes on as before", each) for each in entry.exempt),
    ]
    print_table(("", ""), rows)


def _done(index: str, name: str, entry: NamespaceEntry | None, *, changed: bool) -> str:
    if entry is None:
        return f"{name} is no namespace of the index {index} any more."
    again = "" if changed else ", as before"
    exempt = f" Projects from before that go on as they were: {len(entry.exempt)}." if entry.exempt else ""
    return f"{name} belongs to {', '.join(entry.owners)} in the index {index}{again}.{exempt}"


def _exempt(entry: NamespaceEntry) -> str:
    return f"{len(entry.exempt)} from before" if entry.exempt else ""
