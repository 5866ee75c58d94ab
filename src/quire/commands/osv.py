"""`quire osv`: advisories about malicious and vulnerable releases, in the Open Source Vulnerability format.

JSON of `update`: {"source": str, "advisories": int, "malicious": int, "projects": int, "withdrawn": int, "newest": str
or null, "changed": bool, "others": int (documents about no project of PyPI), "bad": int (documents that were left out),
"problems": [{"document": str, "problem": str}] (the first of them)}; of `show`: {"sources": [{"source": str,
"advisories": int, "malicious": int, "projects": int, "updated": str, "by": str or null, "origin": str, "newest": str or
null, "size": int, "sha256": str}]}, and with a project {"project": str, "version": str or null, "advisories": [{"id":
str, "severity": str or null, "malicious": bool, "summary": str, "published": str or null, "modified": str, "fixed":
[str], "affected": [str]}]}; of `remove`: {"source": str, "removed": bool}.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from quire.administration.advisory_documents import AdvisoryEntry, AdvisorySourceEntry
from quire.administration.contract import Administration
from quire.commands.administering import add_place_flags, open_administration
from quire.commands.common import add_user_flag, count, plain, print_json, print_table
from quire.commands.progress import Meter
from quire.domain.advisory_sources import DEFAULT_SOURCE
from quire.domain.names import normalize_name
from quire.domain.sizes import in_words

_PROBLEMS_SHOWN = 20
_VERSIONS_SHOWN = 5


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `osv`."""
    text = "take in advisories about malicious and vulnerable releases, and look them up"
    parser = subparsers.add_parser("osv", help=text, description=f"{text[:1].upper()}{text[1:]}.")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    updating = actions.add_parser(
        "update",
        help="take in OSV documents as all that a source has",
        description="Take in OSV documents: PyPI's all.zip of OSV, another archive or folder of such documents, or one "
        "of them. They replace, in one step, all that their source had; other sources stay as they are.",
    )
    updating.add_argument("path", metavar="FILE", help="a .zip, a folder, or a .json")
    updating.add_argument("--yes", "-y", action="store_true", help="also when it is less than half of what there was")
    showing = actions.add_parser(
        "show",
        help="list the sources, or the advisories of a project",
        description="List the sources, or the advisories of a project, or those by which a release is affected.",
    )
    showing.add_argument("release", metavar="PROJECT[==VERSION]", nargs="?")
    removing = actions.add_parser(
        "remove", help="remove a source", description="Remove a source: its advisories have no effect any more."
    )
    removing.add_argument("source", metavar="SOURCE")
    for each in (updating, showing, removing):
        add_place_flags(each)
    for each in (updating, removing):
        add_user_flag(each)
    updating.add_argument(
        "--as",
        dest="source",
        metavar="SOURCE",
        default=DEFAULT_SOURCE,
        help=f"the name of the source, such as 'acme' for advisories of your own (default: {DEFAULT_SOURCE})",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises InvalidRequest, NotFound, StoreError, UpstreamError."""
    administration = open_administration(arguments, writes=arguments.action != "show")
    actions = {"update": _update, "show": _show, "remove": _remove}
    actions[arguments.action](arguments, administration)
    return 0


def _update(arguments: argparse.Namespace, administration: Administration) -> None:
    with Meter("osv update") as meter:
        done = administration.update_advisories(arguments.path, arguments.source, shrinks=arguments.yes, progress=meter)
    if arguments.json:
        print_json(msgspec.to_builtins(done))
        return
    for each in done.problems[:_PROBLEMS_SHOWN]:
        print(f"{plain(each.document)} was left out: {plain(each.problem)}.", file=sys.stderr)
    if done.bad > _PROBLEMS_SHOWN:
        print(f"{count(done.bad - _PROBLEMS_SHOWN, 'document')} more were left out.", file=sys.stderr)
    others = f"; {count(done.others, 'document')} about other packages not taken" if done.others else ""
    words = f"{_advisories(done.advisories)}, {done.malicious} malicious"
    again = "" if done.changed else ", as before"
    print(
        f"The source {plain(done.source)} has {words}, about {count(done.projects, 'project')}{again}{others}. "
        "Every server has them at its next request."
    )


def _show(arguments: argparse.Namespace, administration: Administration) -> None:
    if arguments.release is None:
        listed = administration.advisory_sources()
        if arguments.json:
            print_json(msgspec.to_builtins(listed))
            return
        columns = ("source", "advisories", "malicious", "projects", "newest", "updated", "by", "from", "size")
        print_table(columns, [_row(each) for each in listed.sources])
        return
    project, separator, version = arguments.release.partition("==")
    found = administration.advisories(normalize_name(project.strip()), version.strip() if separator else None)
    if arguments.json:
        print_json(msgspec.to_builtins(found))
        return
    if not found.advisories:
        print(f"No advisory is about {plain(arguments.release)}.", file=sys.stderr)
    print_table(
        ("advisory", "severity", "affected", "fixed in", "summary"),
        [
            (each.id, _rating(each), _in_words(each.affected), ", ".join(each.fixed) or "-", each.summary)
            for each in found.advisories
        ],
    )


def _remove(arguments: argparse.Namespace, administration: Administration) -> None:
    done = administration.remove_advisories(arguments.source)
    if arguments.json:
        print_json(msgspec.to_builtins(done))
    else:
        print(f"Removed the advisories of {plain(done.source)}: they have no effect from now on, on every server.")


def _row(source: AdvisorySourceEntry) -> tuple[str, ...]:
    return (
        source.source,
        str(source.advisories),
        str(source.malicious),
        str(source.projects),
        source.newest or "-",
        source.updated,
        source.by or "-",
        source.origin,
        in_words(source.size),
    )


def _advisories(number: int) -> str:
    return "1 advisory" if number == 1 else f"{number} advisories"


def _rating(entry: AdvisoryEntry) -> str:
    return "malicious" if entry.malicious else entry.severity or "-"


def _in_words(affected: Sequence[str]) -> str:
    more = f" and {len(affected) - _VERSIONS_SHOWN} more" if len(affected) > _VERSIONS_SHOWN else ""
    return f"{' or '.join(affected[:_VERSIONS_SHOWN])}{more}"
