"""`quire merge` and `quire unmerge`: whether the files of a project are listed together with those of an upstream.

JSON: {"index": str, "project": str, "merged": bool, "changed": bool}.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from quire.administration.documents import IndexBody, IndexEntry
from quire.commands.administering import add_place_flags, open_administration
from quire.commands.common import add_user_flag, confirmed, plain, print_json
from quire.config.suggestions import did_you_mean
from quire.domain.errors import NotFound
from quire.domain.names import normalize_name


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `merge` and `unmerge`."""
    merging = subparsers.add_parser(
        "merge",
        help="list a project's files together with those of an upstream",
        description="List the files of a project together with those that an upstream has under the same name, on "
        "every server. Of a filename in both, the own file is listed.",
    )
    merging.add_argument("--yes", "-y", action="store_true", help="do not ask")
    ending = subparsers.add_parser(
        "unmerge",
        help="list a project's own files alone again",
        description="List the own files of a project alone again, as of every project that was not merged.",
    )
    for each in (merging, ending):
        each.add_argument("project", metavar="PROJECT")
        add_place_flags(each)
        add_user_flag(each)


def run(arguments: argparse.Namespace) -> int:
    """Do it, or ask and do not. Raises InvalidRequest, NotFound, StoreError, UpstreamError."""
    project, merges = normalize_name(arguments.project), arguments.command == "merge"
    named, arguments.index = arguments.index, None  # definitions are of the whole store
    administration = open_administration(arguments, writes=True)
    entries = {each.name: each for each in administration.indexes()}
    found = next(
        (each for each in entries.values() if (each.is_default if named is None else each.name == named)), None
    )
    if found is None:
        raise NotFound(f"There is no index {plain(named or 'main')!r}{did_you_mean(named or 'main', entries)}.")
    if merges and not arguments.yes and project not in found.merged and not confirmed(_question(project, found)):
        print("Nothing was merged.", file=sys.stderr)
        return 1
    body = IndexBody(merge=[project]) if merges else IndexBody(unmerge=[project])
    done = administration.set_index(found.name, body)
    if arguments.json:
        print_json({"index": found.name, "project": project, "merged": merges, "changed": done.changed})
    elif not done.changed:
        print(f"Nothing to do: {project} was {'' if merges else 'not '}merged before.")
    elif merges:
        print(f"Merged {project}: its files are listed together with those of an upstream, on every server.")
    else:
        print(f"Unmerged {project}: its own files alone are listed, on every server.")
    return 0


def _question(project: str, index: IndexEntry) -> str:
    where = ", ".join(each.url for each in index.upstreams or ()) or "an index behind it"
    return (
        f"Installers then get {project} from {plain(index.name)} and from its upstream ({plain(where)}), whichever has "
        "the version they want, so its owners there can give them any version. Merge them?"
    )
