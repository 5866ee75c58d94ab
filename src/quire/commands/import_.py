"""`quire import`: folders of distributions, or another store, into the store.

JSON: {"into": directory, "index": str, "sources": [{"source": directory, "index": str, "imported": int, "present": int,
"conflicts": int, "refused": int, "removed": int, "updated": int, "bytes": int, "files": [{"path", "project",
"filename", "size", "outcome": "imported" | "already published" | "deleted" | "conflict" | "to be imported" | "refused",
"note": str | null, "removed": bool, "failed": bool}]}]}.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from quire.access.records import AccessRecords
from quire.commands.common import (
    Opened,
    add_store_flags,
    add_user_flag,
    count,
    default_index,
    open_store,
    plain,
    print_json,
    user_of,
)
from quire.commands.import_index import add_index_flags, run_from_index
from quire.commands.import_report import document, print_report
from quire.commands.progress import Meter
from quire.domain.errors import ConfigurationError, StoreError
from quire.dropin.tree import Tree
from quire.index.index import Index, all_indexes
from quire.operations.declaring.reading import INDEXES
from quire.operations.declaring.writing import export as declaration
from quire.operations.defining import check_index
from quire.operations.importing import Importer, Report, StoreImporter
from quire.operations.importing.importer import JOBS
from quire.operations.opening import check_place
from quire.store.contracts import Store
from quire.store.opening import has_scheme, is_directory, parse_place
from quire.store.opening import open_store as open_place
from quire.store.posix.layout import check_directory

_DESCRIPTION = """\
Publish every distribution below the directories, as it is, into the store. Servers may go on meanwhile; a project's
files appear in one step. Repeat it at any time: what is published already is left alone, and nothing is ever
overwritten. To move a served directory into the store in it: quire import --move DIR --into DIR.
To copy another store with all that it knows, from a directory into a bucket or back: quire import --from STORE TARGET.
To fetch all projects of another index, or some, over its Simple API: quire import --from-index URL [PROJECT ...].
"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `import`."""
    parser = subparsers.add_parser(
        "import", help="publish a folder of distributions into the store", description=_DESCRIPTION
    )
    parser.add_argument(
        "sources",
        metavar="DIR",
        nargs="*",
        help="folders to import; with --from, the store to fill; with --from-index, the projects (default: all)",
    )
    parser.add_argument(
        "--from",
        dest="source",
        metavar="SOURCE",
        help="a store (a directory or a bucket such as s3://bucket/prefix) that is copied with yanks, upload times, "
        "statuses, deleted filenames and audit log; or a folder of files",
    )
    parser.add_argument("--into", metavar="ROOT", help="the directory or bucket that carries the store; the same as -d")
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
    add_index_flags(parser)
    add_store_flags(parser)
    add_user_flag(parser)


def run(arguments: argparse.Namespace) -> int:
    """Import; 1 when anything was not done. Raises ConfigurationError, UpstreamError, StoreError."""
    if arguments.from_index is not None:
        if arguments.source is not None or arguments.move or arguments.link:
            raise ConfigurationError("--from-index goes without --from, --move and --link.")
        if arguments.into is not None:
            arguments.directory = [arguments.into, *(arguments.directory or [])]
        return run_from_index(arguments)
    if arguments.dry_run or arguments.projects is not None:
        raise ConfigurationError("--dry-run and --projects are for --from-index.")
    return _run_local(arguments)


def _run_local(arguments: argparse.Namespace) -> int:
    into = [arguments.into] if arguments.into is not None else []
    source_store = None
    if arguments.source is not None:
        source_store = _source_store(arguments)
        into += arguments.sources
        if len(into) > 1:
            raise ConfigurationError(f"--from copies into one store, and {len(into)} are named; name one.")
        arguments.sources = [] if has_scheme(arguments.source) else [parse_place(arguments.source)]
    elif not arguments.sources:
        raise ConfigurationError("Nothing to import is named; name a folder, or a store with --from.")
    arguments.directory = [*into, *(arguments.directory or [])] or None
    for source in arguments.sources:
        _check_folder(source)
    if source_store is not None and arguments.index is not None:
        check_index(source_store, arguments.index, default_index(arguments))
    opened = open_store(arguments, writes=True, create=True, names_own_index=source_store is None)
    sources = []
    failed = False
    for source, index_name, importer in _importers(opened, source_store, arguments):
        report = Report()
        try:
            with Meter("import") as meter:
                importer(meter).run(report)
        finally:
            failed |= bool(report.failed)
            if arguments.json:
                sources.append(document(source, index_name, report))
            else:
                print_report(source, report)
    if arguments.json:
        print_json({"into": opened.store.place, "index": opened.index.name, "sources": sources})
    if source_store is not None:
        failed |= _report_what_is_left(source_store, opened.store, arguments)
    return 1 if failed else 0


def _report_what_is_left(source: Store, target: Store, arguments: argparse.Namespace) -> bool:
    """Print what the source has and the target has not; whether that is an error. Raises StoreError."""
    is_error = False
    for sentence in _left_behind(source, target, arguments):
        print(f"quire: error: {sentence}", file=sys.stderr)
        is_error = True
    again = _to_make_again(source, target, arguments)
    if again is not None:
        print(f"quire: warning: {plain(again)}", file=sys.stderr)
    return is_error


def _left_behind(source: Store, target: Store, arguments: argparse.Namespace) -> Iterator[str]:
    """A sentence for each part of the source's configuration that is not copied and that the target has none of: its
    servers would do what those of the source do not. Raises StoreError."""
    found, there = AccessRecords(source).read().state, AccessRecords(target).read().state
    if found.decides and not there.decides:
        yield (
            f"The grants of {source.place} are not copied, and {target.place} has none, so the settings of its servers "
            "decide there; begin with 'quire access init' before they start."
        )
    default = default_index(arguments)
    declared = declaration(found.document, default)[INDEXES]
    names = [name for name, settings in declared.items() if settings or name != default]
    names = [name for name in names if arguments.index in {None, name} and name not in there.document.indexes]
    if names:
        what = f"definition of the index {names[0]}"
        if names[1:]:
            what = f"definitions of the indexes {', '.join(names[:-1])} and {names[-1]}"
        yield (
            f"Not copied from {source.place}: the {what}. Servers of {target.place} would know none of the claims, "
            f"policies and other settings; before they start, carry them by 'quire apply --export -d {source.place} > "
            f"indexes.toml' and 'quire apply indexes.toml -d {target.place}'."
        )


def _to_make_again(source: Store, target: Store, arguments: argparse.Namespace) -> str | None:
    """A sentence about what is made for one store, and so is not copied, if the target has none of it; None where
    nothing is to be made. Raises StoreError."""
    found, there = AccessRecords(source).read().state.document, AccessRecords(target).read().state.document
    now = datetime.now(UTC)
    tokens = [each for each in found.tokens.values() if each.revoked is None and not each.has_expired(now)]
    stages = [
        name
        for name, definition in found.indexes.items()
        if definition.in_front_of is not None and definition.session is None and not definition.has_ended(now)
        if arguments.index in {None, name} and name not in there.indexes
    ]
    left = []
    if tokens and not there.tokens:
        left.append((count(len(tokens), "token"), "token create"))
    if found.publishers and not there.publishers:
        left.append((count(len(found.publishers), "trusted publisher"), "publisher add"))
    if found.webhooks and not there.webhooks:
        left.append((count(len(found.webhooks), "webhook"), "webhook add"))
    if found.advisories and not there.advisories:
        left.append((f"advisories ({', '.join(found.advisories)})", "osv update"))
    if stages:
        left.append((f"stages ({', '.join(stages)})", "stage create"))
    if not left:
        return None
    return (
        f"Not copied from {source.place}: {', '.join(what for what, _ in left)}. Servers of {target.place} have none; "
        f"make them again there: {', '.join(f'quire {command}' for _, command in left)}."
    )


def _importers(
    opened: Opened, source: Store | None, arguments: argparse.Namespace
) -> Iterator[tuple[str, str, Callable[[Meter], Importer | StoreImporter]]]:
    """The sources to import: each one's place, the index that it goes to, and its import."""
    jobs = max(1, arguments.jobs)
    if source is not None:
        _check_different(source, opened.store)
        for index in all_indexes(source):
            if arguments.index in {None, index.name}:
                target = Index(opened.store, index.name, opened.index.origin)
                yield source.place, index.name, partial(_store_importer, index, target, jobs, user_of(arguments))
    for folder in arguments.sources:
        if source is not None and not _has_drop_ins(folder, source):
            continue
        path = Path(os.path.realpath(folder))
        yield folder, opened.index.name, partial(_importer, opened, path, arguments=arguments)


def _source_store(arguments: argparse.Namespace) -> Store | None:
    """The store that --from names; None for a folder of files. Raises ConfigurationError."""
    if arguments.move or arguments.link:
        raise ConfigurationError("--move and --link are for folders; a store that --from names is left as it is.")
    place = parse_place(arguments.source)
    check_place(place)
    if is_directory(place):
        _check_folder(place)
        check_directory(place)
    try:
        store = open_place(place, create=False, read_only=True)
        exists = store.exists
    except StoreError as error:
        raise ConfigurationError(f"{place} cannot be read as a store. {error}") from error
    if exists:
        return store
    if not is_directory(place):
        raise ConfigurationError(f"There is no store in {place}; name the prefix that it was served from.")
    return None


def _check_folder(source: str) -> None:
    if has_scheme(source):
        raise ConfigurationError(f"{source} is no folder; a store is copied by quire import --from {source} TARGET.")
    if os.path.isfile(source):
        raise ConfigurationError(f"{source} is a file; name the folder that it lies in, all of which is imported.")
    if not os.path.isdir(source):
        raise ConfigurationError(f"The directory {source} does not exist; name the folder to import.")


def _check_different(source: Store, target: Store) -> None:
    is_same = source.place == target.place
    if source.home is not None and target.home is not None:
        is_same = os.path.samefile(source.home, target.home)
    if is_same:
        raise ConfigurationError(f"{target.place} is both source and target; name another store.")


def _has_drop_ins(folder: str, source: Store) -> bool:
    tree = Tree([Path(folder)], exclude=[] if source.home is None else [Path(source.home)])
    return bool(tree.refresh().by_path)


def _store_importer(source: Index, target: Index, jobs: int, user: str, meter: Meter) -> StoreImporter:
    return StoreImporter(source, target, jobs=jobs, progress=meter, user=user)


def _importer(opened: Opened, source: Path, meter: Meter, *, arguments: argparse.Namespace) -> Importer:
    is_served = opened.has_drop_ins and str(source) == opened.store.place
    others = [directory for directory in opened.settings.directories if Path(os.path.realpath(directory)) != source]
    return Importer(
        opened.index,
        source,
        drop_ins=opened.folder() if others and opened.has_drop_ins else None,
        exclude=[Path(opened.home)],
        facts_apply=is_served,
        move=arguments.move,
        link=arguments.link,
        jobs=max(1, arguments.jobs),
        progress=meter,
        user=user_of(arguments),
    )
