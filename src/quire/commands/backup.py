"""`quire backup`: a backup of the whole store, the list of them, and their verification.

JSON: {"store": directory or URL, "target": directory or URL, "moment": str, "sha256": str (of the manifest), "records":
int, "files": int, "bytes": int, "new_objects": int, "new_bytes": int, "missing": [{"key", "why"}], "removed":
[moment], "noted": bool (whether the servers of the store know of it)}. With --list: {"target": str, "backups":
[{"moment", "store", "version", "records", "files", "bytes", "missing": int, "problem": str | null}]}, the newest last.
With --verify: {"target": str, "backups": [{"moment", "problem": str | null, "damaged": [{"key", "why"}]}], "bytes":
int}.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any, Final

from quire.commands.backup_place import faults_as_rows, open_backups
from quire.commands.common import Opened, add_store_flags, count, open_store, plain, print_json, print_table
from quire.commands.progress import Meter
from quire.domain.errors import ConfigurationError, DamagedRecord, StoreError
from quire.domain.sizes import in_words
from quire.operations.backup import Backups, ReadBack, Taken, take
from quire.operations.backup.manifest import Manifest, time_of
from quire.operations.backup.taking import faults_of
from quire.operations.last_backup import note_backup
from quire.operations.opening import open_index

FEWEST: Final = 2
"""Backups that are kept: a backup under way relies on the newest one before it."""

_DESCRIPTION = """\
Back up all that the store has and that cannot be had again: projects with their files, trash and log, grants, tokens,
webhooks, definitions of indexes, advisories. Servers go on meanwhile. TARGET is a directory that is there, or the URL
of a bucket with a prefix of its own; it takes any number of backups, which share what is the same. Repeat an
interrupted one: only what is not there yet is copied. 'quire restore' is the way back.
"""
_EPILOG = """\
Exit code 1: bytes of the store are damaged or missing, which the backup lists; or --verify found damage. Not in a
backup: drop-in files beside the store, pages and files of other indexes, settings, the password file.
"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `backup`."""
    parser = subparsers.add_parser("backup", help="back up the whole store", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("target", metavar="TARGET", help="the place of the backups: a directory or a bucket")
    parser.add_argument("--list", action="store_true", help="list the backups in TARGET, the newest last")
    parser.add_argument(
        "--verify", action="store_true", help="read all bytes of the backups in TARGET, and compare their digests"
    )
    parser.add_argument("--at", metavar="MOMENT", help="with --verify: only this backup")
    parser.add_argument(
        "--keep",
        type=int,
        metavar="N",
        help=f"afterwards keep the newest N backups of this store (at least {FEWEST}), and remove its others with what "
        "only they used",
    )
    parser.add_argument(
        "--read-back",
        choices=[*ReadBack],
        default=ReadBack.NEW,
        metavar="WHAT",
        help="read bytes back from TARGET and compare digests: new (the default: those that this backup added), all, "
        "or none",
    )
    add_store_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Back up, list or verify; 1 for damage. Raises ConfigurationError, InvalidRequest, NotFound, StoreError."""
    if arguments.list and arguments.verify:
        raise ConfigurationError("--list and --verify are two questions; ask one.")
    if arguments.at is not None and not arguments.verify:
        raise ConfigurationError("--at is for --verify; a new backup is named by its time.")
    if arguments.keep is not None and arguments.keep < FEWEST:
        raise ConfigurationError(f"--keep needs {FEWEST} or more: a backup under way relies on the one before it.")
    if arguments.list:
        return _list(open_backups(arguments.target), as_json=arguments.json)
    if arguments.verify:
        return _verify(open_backups(arguments.target), arguments)
    return _take(arguments)


def _take(arguments: argparse.Namespace) -> int:
    opened = open_store(arguments, writes=False)
    backups = open_backups(arguments.target, writes=True)
    with Meter("backup") as meter:
        taken = take(opened.store, backups, read_back=ReadBack(arguments.read_back), progress=meter)
    is_noted = not taken.manifest.missing and _note(opened, taken)
    removed: list[str] = []
    if arguments.keep is not None and not taken.manifest.missing:  # else an older one may have what this one lacks
        removed = backups.keep(arguments.keep, taken.manifest.store)
    if arguments.json:
        print_json(_document(opened, backups, taken, removed) | {"noted": is_noted})
    else:
        _print(opened, taken, removed)
    return 1 if taken.manifest.missing else 0


def _note(opened: Opened, taken: Taken) -> bool:
    """Write the time of the backup into the store; whether it could be. The backup is whole without it."""
    try:
        index = open_index(opened.settings, opened.index.origin, writes=True)
        note_backup(index.store.records, time_of(taken.manifest.moment))
    except (ConfigurationError, StoreError) as error:
        print(f"The servers are not told of this backup, so quire_backup_* do not count it: {error}", file=sys.stderr)
        return False
    return True


def _document(opened: Opened, backups: Backups, taken: Taken, removed: list[str]) -> dict[str, Any]:
    found = taken.manifest
    return {
        "store": opened.home,
        "target": backups.place,
        "moment": found.moment,
        "sha256": taken.sha256,
        "records": len(found.records),
        "files": len(found.files),
        "bytes": sum(found.objects().values()),
        "new_objects": len(taken.new),
        "new_bytes": sum(taken.new.values()),
        "missing": faults_as_rows({each.key: each.why for each in found.missing}),
        "removed": removed,
    }


def _print(opened: Opened, taken: Taken, removed: list[str]) -> None:
    found = taken.manifest
    for each in found.missing:
        print(plain(f"missing: {each.key}: {each.why}"), file=sys.stderr)
    drop_ins = sum(map(len, opened.beside_store().values())) if opened.settings.drop_in_roots else 0
    if drop_ins:
        files = count(drop_ins, "drop-in file")
        print(f"Not in the backup: {files} beside the store; copy them, or publish them by 'quire import'.")
    print(
        f"{found.moment}: {count(len(found.records), 'record')} and {count(len(found.files), 'file')}, "
        f"{in_words(sum(found.objects().values()))}, of which {in_words(sum(taken.new.values()))} are new."
    )
    if removed:
        print(f"Removed: {', '.join(removed)}.")
    print(f"SHA-256 of the manifest: {taken.sha256}")


def _list(backups: Backups, *, as_json: bool) -> int:
    rows = [_row(backups, moment) for moment in backups.moments()]
    if as_json:
        print_json({"target": backups.place, "backups": rows})
        return 0
    table = []
    for row in rows:
        missing = f", {row['missing']} missing" if row["missing"] else ""
        size = "" if row["problem"] is not None else in_words(row["bytes"])
        table.append([row["moment"], str(row["files"] or 0), size, row["problem"] or f"{row['store']}{missing}"])
    print_table(("Backup", "Files", "Size", "Store"), table)
    return 0


def _row(backups: Backups, moment: str) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(("store", "version", "records", "files", "bytes", "missing", "problem"))
    row = {"moment": moment} | row
    try:
        found = backups.read(moment)
    except DamagedRecord as error:
        return row | {"problem": str(error)}
    return row | {
        "store": found.store,
        "version": found.version,
        "records": len(found.records),
        "files": len(found.files),
        "bytes": sum(found.objects().values()),
        "missing": len(found.missing),
    }


def _verify(backups: Backups, arguments: argparse.Namespace) -> int:
    moments = backups.moments() if arguments.at is None else [backups.chosen(arguments.at).moment]
    manifests: dict[str, Manifest] = {}
    problems: dict[str, str] = {}
    for moment in moments:
        try:
            manifests[moment] = backups.read(moment)
        except DamagedRecord as error:
            problems[moment] = str(error)
    objects = {digest: size for each in manifests.values() for digest, size in each.objects().items()}
    with Meter("backup") as meter:
        faults = {digest: fault.why for digest, fault in faults_of(backups, objects, meter).items()}
    damaged = {moment: _damaged_in(manifests[moment], faults) for moment in manifests}
    if arguments.json:
        rows = [
            {"moment": each, "problem": problems.get(each), "damaged": faults_as_rows(damaged.get(each, {}))}
            for each in moments
        ]
        print_json({"target": backups.place, "backups": rows, "bytes": sum(objects.values())})
    else:
        for moment in moments:
            for key, why in sorted(damaged.get(moment, {}).items()):
                print(plain(f"damage: {moment}: {key}: {why}"))
            if moment in problems:
                print(plain(f"damage: {moment}: {problems[moment]}"))
        is_good = not faults and not problems
        verdict = "Everything is in order." if is_good else "Damaged; the next backup stores again what its store has."
        print(f"{count(len(moments), 'backup')}, {in_words(sum(objects.values()))} read. {verdict}")
    return 1 if faults or problems else 0


def _damaged_in(manifest: Manifest, faults: Mapping[str, str]) -> dict[str, str]:
    """By key, the faults of the objects that a backup names."""
    damaged = {
        record.key: faults[each.sha256]
        for record in manifest.records
        for each in record.objects
        if each.sha256 in faults
    }
    return damaged | {
        f"blobs/{file.key}": faults[file.content.sha256] for file in manifest.files if file.content.sha256 in faults
    }
