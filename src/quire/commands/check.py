"""`quire check`: is everything that is listed really there, and unharmed?

JSON: {"store": directory or URL, "projects": int, "files": int, "deleted": int (filenames that are not listed any more,
and never get other content), "drop_in_projects": int, "drop_in_files": int, "bytes": int, "damage": int, "findings":
[{"severity": "damage" | "orphan" | "leftover" | "foreign", "code": str, "where": str, "sentence": str, "size": int,
"young": bool, "repair": str | null}]}.
"""

from __future__ import annotations

import argparse
import dataclasses
from contextlib import suppress
from typing import Any

from quire.access.records import AccessRecords
from quire.commands.common import Opened, add_store_flags, count, open_store, plain, print_json
from quire.commands.progress import Meter
from quire.domain.errors import DamagedRecord
from quire.domain.namespaces import Grants
from quire.domain.sizes import in_words
from quire.operations.checking import Check, Checked, Severity
from quire.process.progress import Progress

_DESCRIPTION = """\
Check every record, and read every stored file and every drop-in file and compare its digest. Safe while servers run.
Exit code 1 when there is damage that is not repaired, 2 when that is not known; files that no record lists (orphans,
leftovers, foreign files) only cost space.
"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `check`."""
    parser = subparsers.add_parser("check", help="look for damage in the store", description=_DESCRIPTION)
    parser.set_defaults(verdict=True)
    parser.add_argument("--quick", action="store_true", help="believe the sizes; read no file")
    parser.add_argument(
        "--repair",
        action="store_true",
        help="go back to the newest good revision of a damaged record, restore files that cannot be served from a "
        "copy, or take them out of their listing, and tidy up; what goes out of use is kept in the folder damaged/ of "
        "the store. In a bucket: make the list of projects agree with the projects, and no more",
    )
    add_store_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check. Raises ConfigurationError, StoreError."""
    opened = open_store(arguments, writes=arguments.repair, asks_the_time=True)
    with Meter("check") as meter:
        found = checked(opened, quick=arguments.quick, repair=arguments.repair, progress=meter)
    if arguments.json:
        print_json(
            {
                "store": opened.home,
                "projects": found.projects,
                "files": found.files,
                "trashed": found.trashed,
                "deleted": found.deleted,
                "drop_in_projects": found.drop_in_projects,
                "drop_in_files": found.drop_in_files,
                "bytes": found.bytes,
                "damage": found.counts[Severity.DAMAGE],
                "findings": [dataclasses.asdict(finding) for finding in found.findings],
            }
        )
    else:
        _print(found)
    return 1 if found.has_open_damage else 0


def checked(opened: Opened, *, quick: bool, repair: bool, progress: Progress) -> Checked:
    """Check a store, for the command and for jobs. Raises StoreError."""
    return Check(
        opened.store,
        opened.indexes,
        opened.inspector,
        quick=quick,
        repair=repair,
        folder=opened.folder(keeps_facts=repair),
        namespaces=_namespaces(opened),
        lists=opened.name_repairs() if repair else None,
        progress=progress,
    ).run()


def _namespaces(opened: Opened) -> Grants:
    """Those of the index; none while the record of them cannot be read, which is a finding of its own."""
    with suppress(DamagedRecord):
        return AccessRecords(opened.store).read().state.definition(opened.root).namespaces
    return ()


def _print(checked: Checked) -> None:
    young = [finding for finding in checked.findings if finding.young and finding.severity is not Severity.DAMAGE]
    for finding in checked.findings:
        if finding not in young:
            repair = f" Repaired: {finding.repair}" if finding.repair is not None else ""
            print(plain(f"{finding.severity}: {finding.where}: {finding.sentence}{repair}"))
    read = f", {in_words(checked.bytes)} read" if checked.bytes else ""
    deleted = f", {count(checked.deleted, 'deleted file')}" if checked.deleted else ""
    trashed = f", {count(checked.trashed, 'file')} in the trash" if checked.trashed else ""
    print(f"{count(checked.projects, 'project')}, {count(checked.files, 'file')}{trashed}{deleted}{read}.")
    if checked.drop_in_files:
        projects, files = count(checked.drop_in_projects, "project"), count(checked.drop_in_files, "file")
        print(f"Beside the store, as drop-in files: {projects}, {files}.")
    if young:
        print(f"{count(len(young), 'thing')} not listed, but so young that a change may be under way.")
    counts = [(severity, checked.counts[severity]) for severity in Severity]
    words = [f"{severity} {number}" for severity, number in counts if number]
    print(f"Found: {', '.join(words)}." if words else "Everything is in order.")
