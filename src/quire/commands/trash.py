"""`quire trash`: deleted files that can be restored.

JSON of `list`: {"index": str, "files": [{"project": str, "filename": str, "version": str, "size": int, "sha256": str,
"deleted": time, "deleted_by": str | null, "until": time, "taken": bool (other content is published under the name)}],
"bytes": int}; of `restore`: {"project": str, "dry_run": bool, "restored": [filename], "changed": bool}; of `empty`:
{"dry_run": bool, "removed": [{"project": str, "filename": str, "size": int}], "bytes": int}.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from quire.administration.contract import Administration
from quire.administration.trash_documents import RemovedFile, TrashPage
from quire.commands.administering import add_place_flags, open_administration
from quire.commands.common import (
    add_user_flag,
    confirmed,
    count,
    duration,
    print_json,
    print_table,
)
from quire.domain.changes import Selection
from quire.domain.errors import InvalidRequest
from quire.domain.names import normalize_name
from quire.domain.sizes import in_words
from quire.operations.trash import TrashFilter

_TEXT = "deleted files that can be restored: list them, restore them, remove them for good"


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `trash`."""
    parser = subparsers.add_parser("trash", help=_TEXT, description=f"{_TEXT[:1].upper()}{_TEXT[1:]}.")
    parts = parser.add_subparsers(dest="trash", required=True, metavar="ACTION")
    for action, text in (
        ("list", "list the files in the trash"),
        ("restore", "publish deleted files again, all or none"),
        ("empty", "remove files from the trash for good, and free their space at once"),
    ):
        part = parts.add_parser(action, help=text, description=f"{text[:1].upper()}{text[1:]}.")
        part.add_argument("project", metavar="PROJECT", nargs=None if action == "restore" else "?")
        part.add_argument(
            "what", metavar="VERSION-OR-FILENAME", nargs="?", help="default: all that the trash has of the project"
        )
        part.add_argument("--by", metavar="NAME", help="only what this user deleted")
        part.add_argument(
            "--older-than", type=duration, metavar="AGE", help="only what was deleted before: like 12h, 2d"
        )
        part.add_argument(
            "--newer-than", type=duration, metavar="AGE", help="only what was deleted since: like 90m, 2d"
        )
        if action != "list":
            part.add_argument("--dry-run", "-n", action="store_true", help="only say what would be done")
            add_user_flag(part)
        if action == "empty":
            part.add_argument("--all", action="store_true", help="of all projects")
            part.add_argument("--yes", "-y", action="store_true", help="do not ask")
        add_place_flags(part)


def run(arguments: argparse.Namespace) -> int:
    """List, restore or empty. Raises InvalidRequest, NotFound, FileExists, StoreError, UpstreamError."""
    changes = arguments.trash != "list" and not arguments.dry_run
    if arguments.trash == "empty" and (arguments.project is None) != arguments.all:
        raise InvalidRequest("Say what to remove: a project, or --all for the whole trash (but not both).")
    name = normalize_name(arguments.project) if arguments.project is not None else None
    filter_ = _filter(arguments)
    administration = open_administration(arguments, writes=changes)
    if arguments.trash == "restore":
        assert name is not None  # the parser has asked for it
        return _restore(administration, name, filter_, arguments)
    if arguments.trash == "empty":
        return _empty(administration, name, filter_, arguments)
    return _list(administration.trash(name, filter_), as_json=arguments.json)


def _filter(arguments: argparse.Namespace) -> TrashFilter:
    now = datetime.now(UTC)

    def ago(seconds: float | None) -> datetime | None:
        try:
            return None if seconds is None else now - timedelta(seconds=seconds)
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)

    return TrashFilter(
        selection=Selection.of(arguments.what),
        by=arguments.by,
        before=ago(arguments.older_than),
        since=ago(arguments.newer_than),
    )


def _list(page: TrashPage, *, as_json: bool) -> int:
    # what is published with the same content need not be restored: it was published again, or a change was interrupted
    found = [each for each in page.files if not each.published]
    if as_json:
        described = [
            {field: value for field, value in msgspec.to_builtins(each).items() if field != "published"}
            for each in found
        ]
        print_json({"index": page.index, "files": described, "bytes": sum(each.size for each in found)})
        return 0
    if not found:
        print("The trash has no such file.", file=sys.stderr)
        return 0
    print_table(
        ("Project", "File", "Size", "Deleted", "By", "Until", "Note"),
        [
            (
                each.project,
                each.filename,
                in_words(each.size),
                each.deleted,
                each.deleted_by or "-",
                each.until,
                "the name has other content now" if each.taken else "",
            )
            for each in found
        ],
    )
    return 0


def _restore(administration: Administration, name: str, filter_: TrashFilter, arguments: argparse.Namespace) -> int:
    done = administration.restore(name, filter_, dry_run=arguments.dry_run)
    if arguments.json:
        print_json(msgspec.to_builtins(done))
        return 0
    for filename in done.restored:
        print(f"{'Would restore' if done.dry_run else 'Restored'} {filename}.")
    if not done.restored:
        print("Nothing to do: the same content is published.")
    return 0


def _empty(
    administration: Administration, name: str | None, filter_: TrashFilter, arguments: argparse.Namespace
) -> int:
    if name is None:
        names = list(dict.fromkeys(each.project for each in administration.trash(None, filter_).files))
    else:
        names = [name]
    if not arguments.dry_run and not arguments.yes:
        planned = _removed(administration, names, filter_, dry_run=True)
        question = f"Remove {count(len(planned), 'file')}, {_size(planned)}, from the trash for good?"
        if planned and not confirmed(question):
            print("Nothing was removed.", file=sys.stderr)
            return 1
    removed = _removed(administration, names, filter_, dry_run=arguments.dry_run)
    if arguments.json:
        size = sum(each.size for each in removed)
        print_json({"dry_run": arguments.dry_run, "removed": msgspec.to_builtins(removed), "bytes": size})
        return 0
    if not removed:
        print("Nothing to do: the trash has no such file.")
        return 0
    done = "would be removed" if arguments.dry_run else "removed for good"
    print(f"{count(len(removed), 'file')}, {_size(removed)}, {done}.")
    return 0


def _removed(
    administration: Administration, names: Sequence[str], filter_: TrashFilter, *, dry_run: bool
) -> list[RemovedFile]:
    return [file for name in names for file in administration.empty_trash(name, filter_, dry_run=dry_run).removed]


def _size(files: Sequence[RemovedFile]) -> str:
    return in_words(sum(each.size for each in files))
