"""`quire import`: folders of distributions into the store.

JSON: {"into": directory, "index": str, "sources": [{"source": directory, "imported": int, "present": int,
"conflicts": int, "refused": int, "removed": int, "bytes": int, "files": [{"path", "project", "filename", "size",
"outcome": "imported" | "already published" | "conflict" | "refused", "note": str | null, "removed": bool,
"failed": bool}]}]}.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

from quire.commands.common import (
    Opened,
    add_store_flags,
    add_user_flag,
    count,
    in_words,
    open_store,
    plain,
    print_json,
    user_of,
)
from quire.commands.progress import Meter
from quire.domain.errors import ConfigurationError
from quire.operations.importing import Importer, Outcome, Report
from quire.operations.importing.importer import JOBS

_DESCRIPTION = """\
Publish every distribution below the directories, as it is, into the store. Servers may go on meanwhile; a project's
files appear in one step. Repeat it at any time: what is published already is left alone, and nothing is ever
overwritten. To move a served directory into the store in it: quire import --move DIR --into DIR.
"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `import`."""
    parser = subparsers.add_parser(
        "import", help="publish a folder of distributions into the store", description=_DESCRIPTION
    )
    parser.add_argument("sources", metavar="DIR", nargs="+")
    parser.add_argument("--into", metavar="ROOT", help="the directory that carries the store; the same as -d")
    parser.add_argument(
        "--move",
        "--delete-source",
        action="store_true",
        help="remove each file once it is published, durable and read back (default: leave everything)",
    )
    parser.add_argument(
        "--link",
        action="store_true",
        help="share the bytes by hard links where that is possible, instead of copying them. Only for files that "
        "are not written any more: changing one in place would change what is published",
    )
    parser.add_argument("--jobs", type=int, default=JOBS, metavar="N", help=f"projects at once (default: {JOBS})")
    add_store_flags(parser)
    add_user_flag(parser)


def run(arguments: argparse.Namespace) -> int:
    """Import; 1 when anything was not done. Raises ConfigurationError, StoreError."""
    if arguments.into is not None:
        arguments.directory = [arguments.into, *(arguments.directory or [])]
    for source in arguments.sources:
        if os.path.isfile(source):
            raise ConfigurationError(f"{source} is a file; name the folder that it lies in, all of which is imported.")
        if not os.path.isdir(source):
            raise ConfigurationError(f"The directory {source} does not exist; name the folder to import.")
    opened = open_store(arguments, writes=True, create=True)
    sources = []
    failed = False
    for source in arguments.sources:
        report = Report()
        try:
            with Meter("import") as meter:
                _importer(opened, Path(os.path.realpath(source)), meter, arguments).run(report)
        finally:
            failed |= bool(report.failed)
            if arguments.json:
                sources.append(_document(source, report))
            else:
                _print(source, report)
    if arguments.json:
        print_json({"into": opened.store.place, "index": opened.index.name, "sources": sources})
    return 1 if failed else 0


def _importer(opened: Opened, source: Path, meter: Meter, arguments: argparse.Namespace) -> Importer:
    is_served = str(source) == opened.store.place
    others = [directory for directory in opened.settings.directories if Path(os.path.realpath(directory)) != source]
    return Importer(
        opened.index,
        source,
        drop_ins=opened.folder() if others else None,
        exclude=[Path(opened.home)],
        facts_apply=is_served,
        move=arguments.move,
        link=arguments.link,
        jobs=max(1, arguments.jobs),
        progress=meter,
        user=user_of(arguments),
    )


def _document(source: str, report: Report) -> dict[str, Any]:
    return {
        "source": source,
        "imported": report.count(Outcome.IMPORTED),
        "present": report.count(Outcome.PRESENT),
        "conflicts": report.count(Outcome.CONFLICT),
        "refused": report.count(Outcome.REFUSED),
        "removed": sum(result.removed for result in report.results),
        "bytes": report.imported_bytes,
        "files": [dataclasses.asdict(result) for result in report.results],
    }


def _print(source: str, report: Report) -> None:
    for result in report.results:
        if result.note is not None:
            print(f"{plain(result.path)}: {result.outcome}: {plain(result.note)}", file=sys.stderr)
    counts = [(outcome, report.count(outcome)) for outcome in Outcome]
    words = [f"{number} {outcome}" for outcome, number in counts if number and outcome is not Outcome.IMPORTED]
    removed = sum(result.removed for result in report.results)
    words += [f"{removed} removed from the source"] if removed else []
    rest = f"; {', '.join(words)}" if words else ""
    imported = f"{count(report.count(Outcome.IMPORTED), 'file')} imported, {in_words(report.imported_bytes)}"
    print(f"{source}: {imported}{rest}.")
