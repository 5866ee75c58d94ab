"""`quire restore`: a backup into an empty store.

JSON: {"store": directory or URL, "from": directory or URL, "moment": str, "records": int, "files": int, "complete":
bool, "damaged": [{"key", "why"}], "missing": [{"key", "why"}] (already when the backup was made)}.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from quire.commands.backup_place import faults_as_rows, open_backups
from quire.commands.common import add_store_flags, count, open_store, plain, print_json, resolve_for_store
from quire.commands.progress import Meter
from quire.operations.backup import restore
from quire.store.purposes import Purpose

_DESCRIPTION = """\
Restore a backup that 'quire backup' made into an empty place, a directory or a bucket, wherever the backup is: all is
as it was, tokens and log included. Until it has ended, no server starts on the place. Repeat an interrupted restore.
"""
_EPILOG = """\
Exit code 1: the backup does not have everything. When it is not complete, the place is not served yet; restore an older
backup elsewhere, or take the rest with --skip-damaged.
"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `restore`."""
    parser = subparsers.add_parser(
        "restore", help="restore a backup into an empty store", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("target", metavar="TARGET", help="the place of the backups: a directory or a bucket")
    parser.add_argument(
        "--at", metavar="MOMENT", help="this backup, as 'quire backup TARGET --list' names it; the newest"
    )
    parser.add_argument(
        "--skip-damaged", action="store_true", help="restore without the records and files whose bytes are lost"
    )
    add_store_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Restore; 1 when anything is lost. Raises ConfigurationError, InvalidRequest, NotFound, StoreError."""
    resolve_for_store({"directories": arguments.directory}, arguments.config)  # refuses what cannot be a place first
    backups = open_backups(arguments.target)
    manifest = backups.chosen(arguments.at)
    opened = open_store(arguments, writes=True, create=True, purpose=Purpose.RESTORE)
    with Meter("restore") as meter:
        restored = restore(manifest, backups, opened.store, skip_damaged=arguments.skip_damaged, progress=meter)
    if arguments.json:
        print_json(
            {
                "store": opened.home,
                "from": backups.place,
                "moment": manifest.moment,
                "records": len(manifest.records),
                "files": len(manifest.files),
                "complete": restored.is_complete,
                "damaged": faults_as_rows(restored.damaged),
                "missing": faults_as_rows({each.key: each.why for each in manifest.missing}),
            }
        )
    else:
        for key, why in sorted(restored.damaged.items()):
            print(plain(f"damage: {key}: {why}"), file=sys.stderr)
        for each in manifest.missing:
            if each.key not in restored.damaged:
                print(plain(f"missing since before the backup: {each.key}: {each.why}"), file=sys.stderr)
        what = f"{count(len(manifest.records), 'record')} and {count(len(manifest.files), 'file')}"
        if restored.is_complete:
            print(f"Restored {manifest.moment}, {what}, from {plain(manifest.store)}.")
        else:
            print("Not complete, and not served: see above. To take the rest, repeat it with --skip-damaged.")
    return 1 if restored.damaged or manifest.missing else 0
