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
from typing import Any

from quire.access.records import AccessRecords
from quire.advisories.known import AdvisoryCache
from quire.commands.common import add_store_flags, add_user_flag, count, open_store, plain, print_json, print_table
from quire.commands.progress import Meter
from quire.domain.advisory_sources import DEFAULT_SOURCE, AdvisorySource
from quire.domain.errors import NotFound
from quire.domain.names import normalize_name
from quire.domain.osv import Entry, Interval
from quire.domain.sizes import in_words
from quire.operations import advisories as operations

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
        add_store_flags(each)
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
    """Do it. Raises InvalidRequest, NotFound, StoreError."""
    actions = {"update": _update, "show": _show, "remove": _remove}
    actions[arguments.action](arguments)
    return 0


def _update(arguments: argparse.Namespace) -> None:
    opened = open_store(arguments, writes=True)
    with Meter("osv update") as meter:
        done = operations.update_advisories(
            opened.store,
            AccessRecords(opened.store),
            arguments.path,
            arguments.source,
            origin=opened.index.origin,
            progress=meter,
            shrinks=arguments.yes,
        )
    source, read = done.source, done.read
    if arguments.json:
        problems = [{"document": name, "problem": problem} for name, problem in read.problems]
        print_json(
            {
                "source": arguments.source,
                "advisories": source.advisories,
                "malicious": source.malicious,
                "projects": source.projects,
                "withdrawn": read.withdrawn,
                "newest": source.newest,
                "changed": done.changed,
                "others": read.others,
                "bad": read.bad,
                "problems": problems,
            }
        )
        return
    for name, problem in read.problems[:_PROBLEMS_SHOWN]:
        print(f"{plain(name)} was left out: {plain(problem)}.", file=sys.stderr)
    if read.bad > _PROBLEMS_SHOWN:
        print(f"{count(read.bad - _PROBLEMS_SHOWN, 'document')} more were left out.", file=sys.stderr)
    others = f"; {count(read.others, 'document')} about other packages not taken" if read.others else ""
    words = f"{_advisories(source.advisories)}, {source.malicious} malicious"
    again = "" if done.changed else ", as before"
    print(
        f"The source {arguments.source} has {words}, about {count(source.projects, 'project')}{again}{others}. "
        "Every server has them at its next request."
    )


def _show(arguments: argparse.Namespace) -> None:
    opened = open_store(arguments, writes=False)
    sources = AccessRecords(opened.store).read().state.document.advisories
    if not sources and arguments.release is not None:  # an empty list would look like a clean bill
        raise NotFound("There are no advisories in this store; 'quire osv update' takes some in.")
    if arguments.release is None:
        if arguments.json:
            print_json({"sources": [_source(name, each) for name, each in sources.items()]})
            return
        columns = ("source", "advisories", "malicious", "projects", "newest", "updated", "by", "from", "size")
        print_table(columns, [_row(name, each) for name, each in sources.items()])
        return
    project, separator, version = arguments.release.partition("==")
    project = normalize_name(project.strip())
    entries = AdvisoryCache(opened.store).at(sources).entries(project, version.strip() if separator else None)
    if arguments.json:
        found = [_entry(each) for each in entries]
        print_json({"project": project, "version": version.strip() if separator else None, "advisories": found})
        return
    if not entries:
        print(f"No advisory is about {plain(arguments.release)}.", file=sys.stderr)
    print_table(
        ("advisory", "severity", "affected", "fixed in", "summary"),
        [
            (each.id, _rating(each), _affected_in_words(each), ", ".join(each.fixed) or "-", each.summary)
            for each in entries
        ],
    )


def _remove(arguments: argparse.Namespace) -> None:
    opened = open_store(arguments, writes=True)
    access = AccessRecords(opened.store)
    operations.remove_advisories(opened.store, access, arguments.source, origin=opened.index.origin)
    if arguments.json:
        print_json({"source": arguments.source, "removed": True})
    else:
        print(f"Removed the advisories of {plain(arguments.source)}: they have no effect from now on, on every server.")


def _source(name: str, source: AdvisorySource) -> dict[str, Any]:
    return {
        "source": name,
        "advisories": source.advisories,
        "malicious": source.malicious,
        "projects": source.projects,
        "updated": source.updated,
        "by": source.by,
        "origin": source.origin,
        "newest": source.newest,
        "size": source.size,
        "sha256": source.digest,
    }


def _row(name: str, source: AdvisorySource) -> tuple[str, ...]:
    return (
        name,
        str(source.advisories),
        str(source.malicious),
        str(source.projects),
        source.newest or "-",
        source.updated,
        source.by or "-",
        source.origin,
        in_words(source.size),
    )


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "severity": None if entry.severity is None else str(entry.severity),
        "malicious": entry.is_malicious,
        "summary": entry.summary,
        "published": entry.published,
        "modified": entry.modified,
        "fixed": list(entry.fixed),
        "affected": [*map(_interval, entry.intervals), *entry.versions],
    }


def _advisories(number: int) -> str:
    return "1 advisory" if number == 1 else f"{number} advisories"


def _rating(entry: Entry) -> str:
    return "malicious" if entry.is_malicious else str(entry.severity or "-")


def _interval(interval: Interval) -> str:
    end = f"<{'=' * interval.has_end}{interval.end}" if interval.end else ""
    return ",".join(filter(None, (f">={interval.start}" if interval.start else "", end))) or "all"


def _affected_in_words(entry: Entry) -> str:
    words = [*map(_interval, entry.intervals), *entry.versions]
    more = f" and {len(words) - _VERSIONS_SHOWN} more" if len(words) > _VERSIONS_SHOWN else ""
    return f"{' or '.join(words[:_VERSIONS_SHOWN])}{more}"
