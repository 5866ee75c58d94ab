"""`quire mirror fetch`: the files of lock files into the mirrors of a store.

JSON: {"store": directory or URL, "index": str, "locks": [{"file": str, "kind": str, "releases": int}], "fetched": int,
"fetched_bytes": int, "kept": int (were here), "own": int (files of the store's own), "files": [{"project", "filename",
"size", "how": "fetched" | "kept" | "own"}], "missing": [{"project", "version", "file", "why"}], "elsewhere": [{"name",
"source", "is_local": bool}], "left_out": [release], "built": [release]}.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import logging
import sys
from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec

from quire.commands.common import Opened, add_store_flags, count, open_store, plain, print_json
from quire.commands.locking import add_selection_flags, read_locks, selection_of
from quire.commands.progress import Meter
from quire.domain.errors import ConfigurationError, NotFound
from quire.domain.sizes import in_words
from quire.locks.locked import Elsewhere, Lock
from quire.locks.selecting import Selection
from quire.operations.mirroring.report import How, Report

_JOBS = 8
_MOST_SHOWN = 50
"""Files that are named one by one."""
_SETTINGS = ("upstream", "upstream_hosts", "upstream_netrc", "upstream_proxy", "upstream_ca", "local")
_DESCRIPTION = """\
Fetch the files that lock files name into the mirror of an index's upstreams, so that a server needs no network to
install by them. What is here is not fetched again: repeat it at any time, also after an end half-way. Every file must
have the digests of the lock. Servers may go on meanwhile.
"""
_EPILOG = """\
A file that a lock names and that could not be had is listed with the reason, and the exit code is 1. Names of this
store's own projects, and claimed ones, are asked of no upstream; reserved names of a server's --local are given here
again.
"""


def add_parser(parts: argparse._SubParsersAction[Any]) -> None:
    """Add `mirror fetch`."""
    parser = parts.add_parser(
        "fetch", help="fetch the files that lock files name", description=_DESCRIPTION, epilog=_EPILOG
    )
    add = parser.add_argument
    add(
        "locks",
        nargs="+",
        metavar="LOCK",
        help="uv.lock, pylock.toml, poetry.lock, pdm.lock, Pipfile.lock, or requirements with a version (==) each",
    )
    add_selection_flags(parser)
    add("--jobs", type=int, default=_JOBS, metavar="N", help=f"files at once (default: {_JOBS})")
    add(
        "--upstream",
        metavar="URL",
        help="the upstream of the index at the root, where its definition has none, as the servers have it",
    )
    add("--upstream-hosts", metavar="HOST", help="as 'quire serve --help' says, like the next three")
    add("--upstream-netrc", metavar="FILE", help="the logins of upstreams")
    add("--upstream-proxy", metavar="URL", help="a proxy for upstreams")
    add("--upstream-ca", metavar="FILE", help="further authorities of upstreams")
    add("--local", metavar="PATTERN", help="reserved names, which no upstream is asked for, as the servers have them")
    add_store_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Fetch; 1 when a file is missing. Raises ConfigurationError, StoreError."""
    if not 1 <= arguments.jobs <= 64:
        raise ConfigurationError("--jobs is a number from 1 to 64.")
    selection, locks = selection_of(arguments), read_locks(arguments.locks)
    opened = open_store(arguments, writes=True, create=arguments.upstream is not None, further=_SETTINGS)
    logging.getLogger("quire.mirror").setLevel(logging.CRITICAL)  # the report says it in order
    with Meter("mirror fetch") as meter:
        report = asyncio.run(_fetch(opened, locks, selection, arguments.jobs, meter))
    elsewhere = list(dict.fromkeys(chain.from_iterable(lock.elsewhere for lock in locks)))
    if arguments.json:
        named = zip(arguments.locks, locks, strict=True)
        print_json(
            {
                "store": opened.home,
                "index": opened.index.name,
                "locks": [{"file": path, "kind": lock.kind, "releases": len(lock.releases)} for path, lock in named],
                **_document(report),
                "elsewhere": [dataclasses.asdict(each) for each in elsewhere],
            }
        )
    else:
        _print(report, elsewhere)
    return 1 if report.missing or not all(each.is_local for each in elsewhere) else 0


async def _fetch(opened: Opened, locks: Sequence[Lock], selection: Selection, jobs: int, meter: Meter) -> Report:
    from quire.http.app.building import build_worker  # noqa: PLC0415 - with the client of other indexes
    from quire.operations.mirroring.fetching import fetch  # noqa: PLC0415 - as above

    settings = msgspec.structs.replace(opened.settings, index=opened.root, read_only=False, mirror_size=None)
    worker = build_worker(settings, confirms_pages=True)
    try:
        index = worker.served(opened.index.name, await worker.access.state())
        if index is None:
            raise NotFound(f"There is no index {opened.index.name}.")
        if not index.is_mirroring:
            raise ConfigurationError(
                f"The index {index.name} has no upstream to fetch from: 'quire index set {index.name} --upstream URL' "
                "defines one for all servers, and --upstream URL names it for this command."
            )
        releases = chain.from_iterable(lock.releases for lock in locks)
        return await fetch(index, releases, selection, meter, jobs)
    finally:
        await worker.close_mirrors()
        worker.close()


def _document(report: Report) -> dict[str, Any]:
    return {
        "fetched": report.count(How.FETCHED),
        "fetched_bytes": report.fetched_bytes,
        "kept": report.count(How.KEPT),
        "own": report.count(How.OWN),
        "files": [dataclasses.asdict(each) for each in report.got],
        "missing": [dataclasses.asdict(each) for each in report.missing],
        "left_out": [*report.left_out],
        "built": [*report.built],
    }


def _print(report: Report, elsewhere: Sequence[Elsewhere]) -> None:
    def say(sentence: str) -> None:
        print(plain(sentence), file=sys.stderr)

    for each in report.missing[:_MOST_SHOWN]:
        what = each.file or f"{each.project} {each.version}".rstrip()
        say(f"missing: {what}: {each.why}" if each.project in what else f"missing: {each.project}, {what}: {each.why}")
    if len(report.missing) > _MOST_SHOWN:
        say(f"missing: {len(report.missing) - _MOST_SHOWN} more; --json lists them.")
    for package in elsewhere:
        if not package.is_local:
            say(f"missing: {package.name} comes from {package.source}, which no index has; publish it here.")
    if report.left_out:
        say(f"left out, since no file fits the choice: {', '.join(report.left_out)}.")
    if report.built:
        say(
            f"without a wheel that fits: {', '.join(report.built)}. An install builds these, with build requirements "
            "that the locks do not name; lock and fetch those as well."
        )

    words = [f"{count(report.count(How.FETCHED), 'file')} fetched, {in_words(report.fetched_bytes)}"]
    words += [f"{report.count(How.KEPT)} here already"] if report.count(How.KEPT) else []
    words += [f"{report.count(How.OWN)} of this store's own"] if report.count(How.OWN) else []
    words += [f"{len(report.missing)} missing"] if report.missing else []
    print(f"{'; '.join(words)}.")
