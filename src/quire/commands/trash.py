"""`quire trash`: deleted files that can be restored.

JSON of `list`: {"index": str, "files": [{"project": str, "filename": str, "version": str, "size": int, "sha256": str,
"deleted": time, "deleted_by": str | null, "until": time, "taken": bool (other content is published under the name)}],
"bytes": int}; of `restore`: {"project": str, "dry_run": bool, "restored": [filename], "changed": bool}; of `empty`:
{"dry_run": bool, "removed": [{"project": str, "filename": str, "size": int}], "bytes": int}.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from quire.catalog.drop_ins import DropInFile
from quire.commands.common import (
    Opened,
    add_store_flags,
    add_user_flag,
    confirmed,
    count,
    duration,
    in_words,
    open_store,
    print_json,
    print_table,
)
from quire.commands.local import project_view
from quire.domain import trash as documents
from quire.domain.errors import InvalidRequest, NotFound
from quire.domain.names import normalize_name, same_version
from quire.domain.trash import TrashedFile
from quire.operations import changing

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
        add_store_flags(part)


@dataclass(frozen=True, slots=True)
class _Filter:
    """Which files of the trash are meant."""

    what: str | None
    by: str | None
    before: datetime | None
    since: datetime | None

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> _Filter:
        now = datetime.now(UTC)

        def ago(seconds: float | None) -> datetime | None:
            try:
                return None if seconds is None else now - timedelta(seconds=seconds)
            except OverflowError:
                return datetime.min.replace(tzinfo=UTC)

        return cls(arguments.what, arguments.by, ago(arguments.older_than), ago(arguments.newer_than))

    def includes(self, each: TrashedFile) -> bool:
        return (
            (self.what is None or each.file.filename == self.what or same_version(each.file.version, self.what))
            and (self.by is None or each.by == self.by)
            and (self.before is None or each.deleted <= self.before)
            and (self.since is None or each.deleted >= self.since)
        )


def run(arguments: argparse.Namespace) -> int:
    """List, restore or empty. Raises InvalidRequest, NotFound, FileExists, StoreError."""
    changes = arguments.trash != "list" and not arguments.dry_run
    if arguments.trash == "empty" and (arguments.project is None) != arguments.all:
        raise InvalidRequest("Say what to remove: a project, or --all for the whole trash (but not both).")
    opened = open_store(arguments, writes=changes)
    name = normalize_name(arguments.project) if arguments.project is not None else None
    filter_ = _Filter.of(arguments)
    if arguments.trash == "restore":
        assert name is not None  # the parser has asked for it
        return _restore(opened, name, filter_, arguments)
    found = list(_found(opened, name, filter_))
    if arguments.trash == "list":
        return _list(opened, found, as_json=arguments.json)
    if not found and name is not None:
        raise _nothing(name)
    return _empty(opened, found, filter_, arguments)


def _found(opened: Opened, name: str | None, filter_: _Filter) -> Iterator[tuple[str, TrashedFile]]:
    trash = opened.index.trash
    for project in (name,) if name is not None else trash.names().names:
        yield from ((project, each) for each in trash.files(project) if filter_.includes(each))


def _nothing(name: str) -> NotFound:
    return NotFound(f"The trash has no such file of {name}; 'quire trash list {name}' shows what it has.")


def _list(opened: Opened, found: list[tuple[str, TrashedFile]], *, as_json: bool) -> int:
    listed: dict[str, dict[str, str]] = {}
    for name, _ in found:
        if name not in listed:
            project = opened.index.project(name)
            files = project.files if project is not None else {}
            listed[name] = {filename: file.sha256 for filename, file in files.items()}
    # what is published with the same content need not be restored: it was published again, or a change was interrupted
    found = [(name, each) for name, each in found if listed[name].get(each.file.filename) != each.file.sha256]
    size = sum(each.file.size for _, each in found)
    if as_json:
        described = [
            {
                "project": name,
                "filename": each.file.filename,
                "version": each.file.version,
                "size": each.file.size,
                "sha256": each.file.sha256,
                "deleted": _time(each.deleted),
                "deleted_by": each.by,
                "until": _time(each.until),
                "taken": each.file.filename in listed[name],
            }
            for name, each in found
        ]
        print_json({"index": opened.index.name, "files": described, "bytes": size})
        return 0
    if not found:
        print("The trash has no such file.", file=sys.stderr)
        return 0
    print_table(
        ("Project", "File", "Size", "Deleted", "By", "Until", "Note"),
        [
            (
                name,
                each.file.filename,
                in_words(each.file.size),
                _time(each.deleted),
                each.by or "-",
                _time(each.until),
                "the name has other content now" if each.file.filename in listed[name] else "",
            )
            for name, each in found
        ],
    )
    return 0


def _restore(opened: Opened, name: str, filter_: _Filter, arguments: argparse.Namespace) -> int:
    found = [each for _, each in _found(opened, name, filter_)]
    if not found:
        raise _nothing(name)
    listed = project_view(opened, name).all_files()
    existing = {each.file.filename: each.file for each in listed if isinstance(each, DropInFile)}
    if arguments.dry_run:
        before, document = opened.index.project(name), opened.index.trash.document(name)
        files = [each.file for each in found]
        after = documents.restore(before, document, files, existing=existing) if document is not None else before
    else:
        change = changing.restore(opened.index, name, filter_.includes, existing=existing)
        before, after = change.before, change.after
    present = before.files if before is not None else {}
    restored = [filename for filename in (after.files if after is not None else ()) if filename not in present]
    if arguments.json:
        print_json(
            {
                "project": name,
                "dry_run": arguments.dry_run,
                "restored": restored,
                "changed": bool(restored) and not arguments.dry_run,
            }
        )
        return 0
    done = "Would restore" if arguments.dry_run else "Restored"
    for filename in restored:
        print(f"{done} {filename}.")
    if not restored:
        print("Nothing to do: the same content is published.")
    return 0


def _empty(
    opened: Opened, found: list[tuple[str, TrashedFile]], filter_: _Filter, arguments: argparse.Namespace
) -> int:
    removed = [(name, each.file) for name, each in found]
    size = sum(file.size for _, file in removed)
    if not arguments.dry_run and found:
        question = f"Remove {count(len(found), 'file')}, {in_words(size)}, from the trash for good?"
        if not arguments.yes and not confirmed(question):
            print("Nothing was removed.", file=sys.stderr)
            return 1
        removed = [
            (name, file)
            for name in dict.fromkeys(name for name, _ in found)
            for file in changing.empty_trash(opened.index, name, filter_.includes)
        ]
        size = sum(file.size for _, file in removed)
    if arguments.json:
        files = [{"project": name, "filename": file.filename, "size": file.size} for name, file in removed]
        print_json({"dry_run": arguments.dry_run, "removed": files, "bytes": size})
        return 0
    done = "would be removed" if arguments.dry_run else "removed for good"
    print(f"{count(len(removed), 'file')}, {in_words(size)}, {done}.")
    return 0


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
