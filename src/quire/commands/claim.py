"""`quire claim`: the names that belong to an index also without files, so that no other index is asked for them.

JSON: {"index": str, "claims": [str], "changed": bool}.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from quire.administration.contract import Administration
from quire.administration.documents import IndexBody
from quire.commands.administering import add_place_flags, open_administration
from quire.commands.common import add_user_flag, plain, print_json
from quire.domain.errors import InvalidRequest, NotFound
from quire.domain.reserved import Reserved, normalize_pattern

_MOST_SHOWN = 20


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `claim`."""
    parser = subparsers.add_parser(
        "claim",
        help="keep names for an index, or list those that are kept",
        description="Keep names for an index: no upstream and no fallback is asked for them, and uploads of them are "
        "taken although an upstream has such a project. Without a name, list those that are kept.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a name, or a pattern such as 'acme-*'")
    parser.add_argument("--remove", action="store_true", help="keep these names no more")
    add_place_flags(parser)
    add_user_flag(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises InvalidRequest, NotFound, StoreError, UpstreamError."""
    if arguments.remove and not arguments.names:
        raise InvalidRequest("Name what is not to be kept any more; 'quire claim' lists what is.")
    administration = open_administration(arguments, writes=bool(arguments.names))
    found = {each.name: each for each in administration.indexes()}
    name = arguments.index or next(each.name for each in found.values() if each.is_default)
    if name not in found:
        raise NotFound(f"There is no index {plain(name)!r}; 'quire index list' lists them.")
    entry, changed = found[name], False
    if arguments.names:
        body = IndexBody(release=arguments.names) if arguments.remove else IndexBody(claim=arguments.names)
        done = administration.set_index(name, body)
        entry, changed = done.index, done.changed
    if arguments.json:
        print_json({"index": name, "claims": entry.claims or [], "changed": changed})
    elif not arguments.names:
        for each in entry.claims or ():
            print(each)
    else:
        names, verb = plain(", ".join(arguments.names)), "does not keep" if arguments.remove else "keeps"
        again = "" if changed else ", as before"
        print(f"The index {name} {verb} {names} for itself{again}.")
        if arguments.remove:
            _say_what_stays(name, arguments.names, administration)
    return 0


def _say_what_stays(index: str, patterns: Sequence[str], administration: Administration) -> None:
    """Projects that the index has belong to it without a claim as well."""
    removed = Reserved(map(normalize_pattern, patterns))
    stay = [each.name for each in administration.projects().projects if each.name in removed]
    if stay:
        shown = ", ".join(stay[:_MOST_SHOWN]) + (f" and {len(stay) - _MOST_SHOWN} more" * (len(stay) > _MOST_SHOWN))
        print(f"These stay with the index {index}, since it has them: {plain(shown)}.")
