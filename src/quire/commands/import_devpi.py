"""`quire import-devpi`: the indexes, files and rights of an export of devpi.

JSON: {"into": directory, "changes": [str], "kept": [index], "left": [{"what": str, "why": str}], "users": [str],
"sources": [...]}; the sources are those of `quire import`, one for each index, with "to_import": int.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from quire.access.records import AccessRecords
from quire.commands.common import (
    Opened,
    add_store_flags,
    add_user_flag,
    default_index,
    open_store,
    origin_of,
    plain,
    print_json,
)
from quire.commands.import_index import target_of
from quire.commands.import_report import document, print_report
from quire.commands.progress import Meter
from quire.domain.errors import ConfigurationError
from quire.operations.declaring.applying import apply
from quire.operations.declaring.reading import INDEXES, parse_declared
from quire.operations.importing.devpi_export import MIRROR, Export, read_export
from quire.operations.importing.devpi_plan import Left, declared_tables, left_out, names_of
from quire.operations.importing.outcome import Outcome
from quire.store.opening import has_scheme

if TYPE_CHECKING:
    from quire.operations.importing.other_index import IndexImporter

_SHOWN: Final = 20
_DESCRIPTION: Final = """\
Take over an export of devpi, a folder that devpi-export makes. Each index becomes one here: acme/prod becomes
acme-prod, or what --as says; its bases are behind it, and a mirror has its upstream. Indexes that are here already
keep their settings. Every file is compared with its digest, and has the time of its upload. Repeat it at any time: what
is published already is left alone. What has no counterpart here is listed.
"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `import-devpi`."""
    parser = subparsers.add_parser(
        "import-devpi", help="take over the indexes and files of an export of devpi", description=_DESCRIPTION
    )
    add = parser.add_argument
    add("export", metavar="FOLDER", help="the folder that devpi-export made")
    add(
        "--as",
        dest="names",
        action="append",
        default=[],
        metavar="USER/INDEX=NAME",
        help="the name of one of its indexes here, e.g. acme/prod=main for the one at the server's root; repeat it",
    )
    add(
        "--grants",
        action="store_true",
        help="give the rights of its acl_upload as well, read to all senders, and admin to root; from the first grant "
        "of a store on, its grants decide (default: give none)",
    )
    add("--dry-run", "-n", action="store_true", help="say what would be done, and do nothing")
    add("--max-upload-size", metavar="SIZE", help="refuse larger files, e.g. 500M (default: 2G)")
    add_store_flags(parser)
    add_user_flag(parser)


def run(arguments: argparse.Namespace) -> int:
    """Import; 1 when a file could not be taken. Raises ConfigurationError, InvalidRequest, StoreError."""
    if has_scheme(arguments.export):
        raise ConfigurationError(
            "A devpi-server is not read itself: name the folder that 'devpi-export' makes of its directory, or fetch "
            "the projects of one index with 'quire import --from-index URL/USER/INDEX/+simple/'."
        )
    if arguments.index is not None:
        raise ConfigurationError(
            "The export has several indexes; --as USER/INDEX=NAME gives one of them its name here."
        )
    folder = Path(arguments.export)
    export = read_export(folder)
    names = names_of(export, _given(arguments.names))
    tries = arguments.dry_run
    opened = open_store(arguments, writes=not tries, create=not tries, required=False, further=("max_upload_size",))
    changes, kept = _define(opened, export, names, arguments)
    left = list(left_out(export))
    if not arguments.json:
        _print_plan(changes, kept, left, export, tries=tries)
    sources, failed = [], False
    with Meter("import-devpi", in_bytes=False) as meter:
        for there, here in names.items():
            if export.indexes[there].config.kind == MIRROR:
                continue
            importer = _importer(opened, (folder, export, there), here, arguments, meter)
            try:
                asyncio.run(importer.run())
            finally:
                failed |= bool(importer.report.failed)
                wanted = importer.report.count(Outcome.WANTED)
                sources.append(document(there, here, importer.report) | {"to_import": wanted})
                if not arguments.json:
                    print_report(f"{there} as {here}", importer.report)
    if arguments.json:
        print_json(
            {
                "into": opened.store.place,
                "changes": changes,
                "kept": kept,
                "left": [dataclasses.asdict(each) for each in left],
                "users": sorted(export.users),
                "sources": sources,
            }
        )
    return 1 if failed else 0


def _given(words: list[str]) -> dict[str, str]:
    pairs = [word.partition("=") for word in words]
    if wrong := [there for there, _, here in pairs if not here]:
        raise ConfigurationError(f"--as {plain(wrong[0])[:_SHOWN]}: use USER/INDEX=NAME.")
    return {there: here for there, _, here in pairs}


def _define(
    opened: Opened, export: Export, names: Mapping[str, str], arguments: argparse.Namespace
) -> tuple[list[str], list[str]]:
    """Make the indexes that are not here, and give rights: the changes in words, and the indexes that keep theirs.

    Raises InvalidRequest, StoreError.
    """
    access = AccessRecords(opened.store)
    tables = declared_tables(export, names, with_grants=arguments.grants)
    known = access.read().state.document.indexes
    kept = sorted(tables[INDEXES].keys() & known.keys())
    tables[INDEXES] = {name: table for name, table in tables[INDEXES].items() if name not in kept}
    found = apply(
        access,
        parse_declared(tables),
        default=default_index(arguments),
        prune=False,
        dry_run=arguments.dry_run,
        origin=origin_of(arguments),
    )
    return [str(each) for each in found], kept


def _importer(
    opened: Opened,
    source: tuple[Path, Export, str],
    name: str,
    arguments: argparse.Namespace,
    meter: Meter,
) -> IndexImporter:
    from quire.operations.importing.devpi_stage import DevpiStage  # noqa: PLC0415 - an HTTP client
    from quire.operations.importing.other_index import IndexImporter  # noqa: PLC0415 - as above

    return IndexImporter(DevpiStage(*source), target_of(opened, name, arguments), meter)


def _print_plan(changes: list[str], kept: list[str], left: list[Left], export: Export, *, tries: bool) -> None:
    for change in changes:
        print(f"{'Would set' if tries else 'Set'} {plain(change)}")
    for name in kept:
        print(f"The index {name} is here already and keeps its settings.")
    shown = Counter[str]()
    for each in left:
        shown[each.why] += 1
        if shown[each.why] <= _SHOWN:
            print(f"Not taken over: {plain(each.what)}: {plain(each.why)}.", file=sys.stderr)
    for why, number in shown.items():
        if number > _SHOWN:
            print(f"Not taken over: {number - _SHOWN} more ({plain(why)}); --json lists all.", file=sys.stderr)
    print(f"Users there: {plain(', '.join(sorted(export.users))) or 'none'}.")
