"""`quire mirror export`: what is kept of other indexes, into a folder or an archive.

JSON: {"store": directory or URL, "to": str, "sha256": str (of the list), "pages": int, "files": int, "bytes": int,
"missing": [{"project", "version", "file", "why"}], "own": [project]}.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

from quire.commands.common import Opened, add_store_flags, count, open_store, plain, print_json
from quire.commands.locking import add_selection_flags, read_locks, selection_of
from quire.commands.progress import Meter
from quire.commands.upstream_urls import upstream_urls
from quire.domain.errors import ConfigurationError
from quire.domain.sizes import in_words

_DESCRIPTION = """\
Write the pages and files that are kept of other indexes into a folder, or into one file whose name ends with .tar, for
'quire mirror import' on the other side of an air gap. All of it, or, with --lock, the files of lock files with the
pages of their projects. Servers may go on meanwhile. Repeat it into a folder to add what is new.
"""
_EPILOG = """\
It prints the SHA-256 of its list of contents, which 'quire mirror import --sha256' compares. Exit code 1: a file of
--lock is not kept. This store's own projects are no part of it: 'quire import --from' moves those.
"""


def add_parser(parts: argparse._SubParsersAction[Any]) -> None:
    """Add `mirror export`."""
    parser = parts.add_parser(
        "export", help="write what is kept into a folder or an archive", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("to", metavar="TARGET", help="a folder, or a file whose name ends with .tar")
    parser.add_argument(
        "--lock",
        nargs="+",
        action="extend",
        default=[],
        metavar="LOCK",
        help="only files that these lock files name, as 'quire mirror fetch' reads them",
    )
    add_selection_flags(parser)
    parser.add_argument(
        "--upstream",
        action="append",
        default=[],
        metavar="URL",
        help="an upstream of the servers' settings, which no definition has; may be repeated",
    )
    parser.add_argument("--skip-unknown", action="store_true", help="leave out upstreams whose URL is not known here")
    add_store_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Export; 1 when a file of the locks is missing. Raises ConfigurationError, DigestMismatch, StoreError."""
    from quire.operations.mirroring.carriers import FolderWriter, Writer, writing_archive  # noqa: PLC0415 - for it only
    from quire.operations.mirroring.exporting import export  # noqa: PLC0415 - with the client of other indexes

    selection, locks = selection_of(arguments), read_locks(arguments.lock)
    opened = open_store(arguments, writes=False)
    target = Path(arguments.to)
    _check_target(target, opened)
    indexes, urls = opened.indexes(), upstream_urls(opened, arguments.upstream)
    locked = [*chain.from_iterable(lock.releases for lock in locks)], selection
    with ExitStack() as stack:
        meter = stack.enter_context(Meter("mirror export"))
        is_archive = target.name.endswith(".tar")
        writer: Writer = stack.enter_context(writing_archive(target)) if is_archive else FolderWriter(target)
        exported = export(
            opened.store,
            urls,
            writer,
            meter,
            locked=locked if locks else None,
            skips_unknown=arguments.skip_unknown,
            is_own=lambda project: any(index.project(project) is not None for index in indexes),
        )
    if arguments.json:
        print_json(
            {
                "store": opened.home,
                "to": str(target),
                "sha256": exported.digest,
                "pages": exported.pages,
                "files": exported.files,
                "bytes": exported.bytes,
                "missing": [dataclasses.asdict(each) for each in exported.missing],
                "own": exported.own,
            }
        )
    else:
        for each in exported.missing:
            what = each.file or f"{each.project} {each.version}".rstrip()
            print(plain(f"missing: {what}: {each.why}"), file=sys.stderr)
        if exported.own:
            names = ", ".join(exported.own)
            print(
                plain(f"not exported: {names}, of this store's own; 'quire import --from' moves them."), file=sys.stderr
            )
        print(f"{count(exported.pages, 'page')} and {count(exported.files, 'file')}, {in_words(exported.bytes)}.")
        print(f"SHA-256 of the list: {exported.digest}")
    return 1 if exported.missing else 0


def _check_target(target: Path, opened: Opened) -> None:
    """Raises ConfigurationError for a target in the store itself, and for a file that is no archive by its name."""
    home = opened.store.home
    if home is not None and target.resolve().is_relative_to(Path(home).resolve()):
        raise ConfigurationError(f"{target} is in the store itself; name a place outside.")
    if target.name.endswith(".tar"):
        if not target.parent.is_dir() or target.is_dir():
            raise ConfigurationError(f"{target} cannot be written: its folder is not there, or it is a folder.")
    elif target.is_file():
        raise ConfigurationError(f"{target} is a file; name a folder, or a file whose name ends with .tar.")
