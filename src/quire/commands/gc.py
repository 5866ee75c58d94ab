"""`quire gc`: remove files that no record lists.

JSON: {"store": directory or URL, "dry_run": bool, "removed": [{"key": str, "size": int}], "expired": [{"project": str,
"filename": str, "size": int}] (their time in the trash is over), "retention": [{"index": str, "project": str,
"versions": [str], "files": int, "bytes": int}] (went to the trash), "bytes": int (of the first two), "log_entries":
int, "swept": int, "young": int, "skipped": [project], "damaged": [sentence] (about other records that cannot be read,
so that something was left), "mirror": null without a bound, else {"bound": int, "removed": int (files of other
indexes), "bytes": int (of those), "kept": int (bytes)}}.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from quire.access.records import AccessRecords
from quire.commands.common import Opened, add_store_flags, count, duration, open_store, print_json, size
from quire.commands.progress import Meter
from quire.domain.errors import ConfigurationError
from quire.domain.sizes import in_words
from quire.domain.trash import is_trash
from quire.index.index import Index
from quire.operations import promoting, retention
from quire.operations.checking import GRACE, Collected, collect_garbage, noting_damage
from quire.operations.publishing_sessions import Sessions
from quire.operations.retention import LetGo
from quire.process.progress import Progress

if TYPE_CHECKING:
    from quire.upstream.evicting import Evicted

_DESCRIPTION = """\
Delete the releases that the rules of retention of each index let go (quire index set --keep), into the trash. Then
remove stored bytes that no record lists and that are older than an hour: of deleted files, and of uploads that ended
half-way; files whose time in the trash is over; and files of mirrored indexes above --mirror-size. Safe while servers
run: a publication that has not listed its bytes ten minutes after storing them gives up, and nothing younger than
fifteen minutes is removed, unless you say that the store is not in use (--offline).
"""
_SHOWN = 5
"""Versions of a project."""
MIN_AGE = 900.0
"""Seconds; above `quire.index.index.PUBLICATION_SECONDS` with room for a slow last write."""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `gc`."""
    parser = subparsers.add_parser("gc", help="remove files that no record lists", description=_DESCRIPTION)
    parser.add_argument(
        "--older-than", type=duration, default=GRACE, metavar="AGE", help="like 90s, 15m, 1h, 2d (default: 1h)"
    )
    parser.add_argument(
        "--log-older-than",
        type=duration,
        metavar="AGE",
        help="also remove entries of the audit log that are older, like 730d (default: none); each project keeps its "
        "latest entries",
    )
    parser.add_argument(
        "--offline", action="store_true", help="no server and no other command uses the store: then any age will do"
    )
    parser.add_argument(
        "--mirror-size",
        type=size,
        metavar="SIZE",
        help="remove files of upstreams, once, until all that is kept of them has at most so many bytes, like 50G: "
        "files, large pages, and metadata that was made here (default: as the setting says)",
    )
    parser.add_argument("--dry-run", "-n", action="store_true", help="only say what would be removed")
    add_store_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Collect. Raises ConfigurationError, StoreError."""
    if arguments.older_than < MIN_AGE and not (arguments.offline or arguments.dry_run):
        raise ConfigurationError(
            "--older-than: under 15m it could take what is just being uploaded; "
            "wait, or stop all servers and add --offline."
        )
    opened = open_store(arguments, writes=not arguments.dry_run, asks_the_time=True)
    with Meter("gc") as meter:
        let_go, garbage, evicted, damaged = collected(
            opened,
            older_than=arguments.older_than,
            log_older_than=arguments.log_older_than,
            mirror_size=arguments.mirror_size,
            dry_run=arguments.dry_run,
            progress=meter,
        )
    if arguments.json:
        print_json(
            {
                "store": opened.home,
                "dry_run": arguments.dry_run,
                "removed": [{"key": blob.key, "size": blob.size} for blob in garbage.blobs],
                "expired": [
                    {"project": project, "filename": file.filename, "size": file.size}
                    for project, file in garbage.expired
                ],
                "retention": [
                    {
                        "index": each.index,
                        "project": each.project,
                        "versions": [release.version for release in each.releases],
                        "files": len(each.files),
                        "bytes": each.bytes,
                    }
                    for each in let_go
                ],
                "bytes": garbage.bytes,
                "log_entries": garbage.entries,
                "swept": garbage.swept,
                "young": garbage.young,
                "skipped": garbage.skipped,
                "damaged": damaged,
                "mirror": _described(evicted),
            }
        )
    else:
        for project in garbage.skipped:
            print(
                f"{project}: its record is damaged, so nothing of it was removed; run 'quire check'.", file=sys.stderr
            )
        for sentence in damaged:
            print(f"{sentence} What needs it was left as it is; run 'quire check'.", file=sys.stderr)
        if evicted is not None and evicted.removed:
            _print_evicted(evicted, dry_run=arguments.dry_run)
        done = "would be removed" if arguments.dry_run else "removed"
        _report(let_go, done)
        swept = f", {count(garbage.swept, 'remnant')} swept" if garbage.swept else ""
        expired = f", {count(len(garbage.expired), 'file')} of the trash" if garbage.expired else ""
        expired += f", {garbage.entries:,} entries of the log" if garbage.entries else ""
        young = f"; {count(garbage.young, 'unlisted blob')} left for being young" if garbage.young else ""
        print(f"{count(len(garbage.blobs), 'blob')}{expired} {done}, {in_words(garbage.bytes)}{swept}{young}.")
    return 1 if garbage.skipped or damaged else 0


class Collection(NamedTuple):
    """All that was removed, or would be."""

    let_go: list[LetGo]
    garbage: Collected
    evicted: Evicted | None
    damaged: list[str]
    """Sentences about records that are no project's and cannot be read; what needs them was left as it is."""


def collected(
    opened: Opened,
    *,
    older_than: float,
    dry_run: bool,
    progress: Progress,
    log_older_than: float | None = None,
    mirror_size: int | None = None,
) -> Collection:
    """Collect, for the command and for jobs. `mirror_size`: None for the setting. Raises StoreError."""
    damaged: list[str] = []
    if not dry_run:
        access = AccessRecords(opened.store)
        with noting_damage(damaged):
            promoting.end_stages(access, opened.store, opened.root, opened.index.origin)
        with noting_damage(damaged):
            Sessions(opened.store, access, opened.root).forget_ended(opened.index.origin, thorough=True)
    let_go = _let_go(opened, damaged, dry_run=dry_run, progress=progress)
    garbage = collect_garbage(
        opened.store, opened.indexes, older_than=older_than, log_older_than=log_older_than, dry_run=dry_run
    )
    evicted = None
    with noting_damage(damaged):
        evicted = _evict(opened, mirror_size, dry_run=dry_run)
    return Collection(let_go, garbage, evicted, [*dict.fromkeys([*damaged, *garbage.damaged])])


def _evict(opened: Opened, bound: int | None, *, dry_run: bool) -> Evicted | None:
    """Remove files of mirrored indexes; None without a bound, and where no index is asked for them again."""
    is_of_servers = bound is None
    bound = opened.settings.mirror_size if bound is None else bound
    if bound is None or opened.settings.upstream_offline:
        return None
    from quire.upstream.evicting import evict  # noqa: PLC0415 - most stores have no mirror

    return evict(opened.store, bound, datetime.now(UTC), dry_run=dry_run, is_of_servers=is_of_servers)


def _described(evicted: Evicted | None) -> dict[str, int | None] | None:
    if evicted is None:
        return None
    return {"bound": evicted.bound, "removed": len(evicted.removed), "bytes": evicted.bytes, "kept": evicted.left}


def _print_evicted(evicted: Evicted, *, dry_run: bool) -> None:
    done = "would be removed" if dry_run else "removed"
    last = f", of which {evicted.last_copies:,} may be gone there, too" if evicted.last_copies else ""
    print(
        f"{count(len(evicted.removed), 'file')} of mirrored indexes {done}, {in_words(evicted.bytes)}{last}; "
        f"{in_words(evicted.left)} kept."
    )


def _let_go(opened: Opened, damaged: list[str], *, dry_run: bool, progress: Progress) -> list[LetGo]:
    """Delete what the rules of retention let go, or say only what that would be. `damaged`: see Collection."""
    found: list[LetGo] = []
    with noting_damage(damaged):
        state = AccessRecords(opened.store).read().state
        for each in opened.indexes():
            keep = state.definition(each.name).keep
            if not keep or is_trash(each.name):
                continue
            index = Index(each.store, each.name, each.origin, trash_seconds=opened.settings.trash_seconds)
            with noting_damage(damaged):
                found += retention.preview(index, keep) if dry_run else retention.apply(index, keep, progress=progress)
    return found


def _report(let_go: Sequence[LetGo], done: str) -> None:
    for each in let_go:
        versions = [release.version for release in each.releases]
        shown = ", ".join(versions[:_SHOWN]) + (", ..." if len(versions) > _SHOWN else "")
        print(f"{each.project} of {each.index}: {count(len(versions), 'release')} {done} by retention ({shown}).")
