"""`quire apply`: a declared configuration is applied to the store, or compared with it, or printed.

JSON: {"differences": [{"index": str or null, "setting": str or null, "stored": VALUE, "declared": VALUE, "text":
str}], "changed": bool}; of --export {"indexes": {NAME: {SETTING: VALUE}}, "groups": {NAME: [USER]}, "grants": [{...}]}.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection
from typing import Any

import msgspec

from quire.access.grants import ANY
from quire.administration.contract import Administration
from quire.administration.declared_documents import ConfigurationBody, tables_of
from quire.commands.administering import add_place_flags, open_administration
from quire.commands.common import add_user_flag, count, plain, print_json
from quire.commands.unknown_names import add_passwords_flag, users_of, warn_of_unknown
from quire.config.resolving import read_declared
from quire.domain.errors import ConfigurationError
from quire.domain.structs import convert_to
from quire.operations.declaring.reading import INDEXES, read_file
from quire.operations.declaring.writing import toml_text


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `apply`."""
    parser = subparsers.add_parser(
        "apply",
        help="apply a declared configuration, or compare the store with it",
        description="Apply the tables [indexes.NAME], [groups] and [[grants]] of a configuration file to the store: "
        "all of them in one step, or nothing. What is not declared is left alone.",
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="the configuration file, such as quire.toml")
    parser.add_argument("--dry-run", "-n", action="store_true", help="only say what is different")
    parser.add_argument(
        "--check",
        action="store_true",
        dest="verdict",
        help="as --dry-run, for CI: exit code 0 when nothing is different, 1 when something is, 2 when it is not known",
    )
    parser.add_argument(
        "--prune",
        action="store_true",
        help="set back settings that are not declared, and remove indexes that are not and have no files; stages stay. "
        "Take back grants and remove groups that are not declared. Each of the three only where the file declares some",
    )
    parser.add_argument("--export", action="store_true", help="print the state of the store as such a file")
    add_passwords_flag(parser)
    add_place_flags(parser)
    add_user_flag(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises ConfigurationError, InvalidRequest, StoreError, UpstreamError."""
    if arguments.export is (arguments.file is not None):
        raise ConfigurationError("Name a configuration file, or say --export to print one.")
    dry_run = arguments.dry_run or arguments.verdict
    if arguments.export:
        found = open_administration(arguments, writes=False).configuration()
        if arguments.json:
            print_json(msgspec.to_builtins(found))
        else:
            print(toml_text(tables_of(found)), end="")
        return 0
    declared = read_declared(arguments.file)
    if not declared:
        raise ConfigurationError(
            f"{arguments.file} declares no index, group or grant: it has no table such as [{INDEXES}.main]."
        )
    read_file(arguments.file)
    body = convert_to({**declared, "prune": arguments.prune, "dry_run": dry_run}, ConfigurationBody)
    users = users_of(arguments.passwords)
    administration = open_administration(arguments, writes=not dry_run)
    done = administration.apply(body)
    if not dry_run:
        _warn(administration, body, users)
    if arguments.json:
        print_json(msgspec.to_builtins(done))
    else:
        for each in done.differences:
            print(plain(each.text))
        if not done.differences:
            print("Nothing to do: the store is as the file declares it.")
        elif done.changed:
            print(f"Applied {count(len(done.differences), 'difference')}: they count for the next request.")
    return 1 if arguments.verdict and done.differences else 0


def _warn(administration: Administration, body: ConfigurationBody, users: Collection[str] | None) -> None:
    """Say which names of the grants and groups are not known: a typing error in the only grant of the right admin locks
    out."""
    members = [] if body.groups is msgspec.UNSET else [f"user:{user}" for each in body.groups.values() for user in each]
    grants = [] if body.grants is msgspec.UNSET else body.grants
    warn_of_unknown(administration, dict.fromkeys([*members, *(each["subject"] for each in grants)]), users)
    for index in dict.fromkeys(each.get("index", ANY) for each in grants):
        warn_of_unknown(administration, (), users, index=index)
