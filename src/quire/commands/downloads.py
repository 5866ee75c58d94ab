"""`quire log --downloads`: the clients that got a file.

JSON: {"sha256": str, "files": [{"project": str, "filename": str, "state": "published", "in the trash", "deleted",
"mirrored" or "dropped in", "index": str}], "downloads": [{"time": str, "user": str or null, "address": str, "agent":
str or null, "status": int, "bytes": int or null, "path": str, "request": str or null}], "refused": int (requests that
got no file), "sampled": bool (whether the log has a share of the requests only)}.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from quire.catalog.drop_ins import DropIns
from quire.catalog.sources import at_hand
from quire.commands.common import Opened, count, open_store, plain, print_json, print_table
from quire.domain.errors import ConfigurationError, InvalidRequest
from quire.domain.names import normalize_name
from quire.observe.request_lines import RequestLine, requests_in
from quire.operations.downloads import Address, Requests, addresses_of, parse_digest

_NO_LOG = (
    "quire keeps no list of downloads: they are in the log of the servers, where that is kept. Name its files with "
    "--from (also those of a web server in front, also .gz; - is the standard input). To keep one from now on, start "
    "the servers with -v --log-file FILE."
)
GOT = frozenset({200, 206, 301, 302, 303, 307, 308})
"""Statuses of answers with the file, a part of it, or the address of it in the bucket."""


def add_download_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of this part of `quire log`."""
    add = parser.add_argument
    add(
        "--downloads",
        metavar="SHA256",
        help="in place of changes, the clients that got this file, also one that was deleted; needs the servers' log. "
        "With PROJECT, look for the file there only",
    )
    add(
        "--from",
        dest="log_files",
        action="append",
        metavar="FILE",
        help="for --downloads: a log file of a server, or of a web server in front, or a folder of them; .gz too; - is "
        "the standard input; repeat it for more (default: the log file of the settings)",
    )


def show_downloads(arguments: argparse.Namespace) -> int:
    """Show them. Raises ConfigurationError, InvalidRequest, StoreError."""
    if arguments.downloads is None:
        raise InvalidRequest("--from names log files for --downloads SHA256.")
    if arguments.follow or arguments.since or arguments.user or arguments.action or arguments.access:
        raise InvalidRequest("--downloads is about requests: --since, --user, --action, --access and --follow are not.")
    if getattr(arguments, "url", None) is not None:
        raise ConfigurationError("--downloads reads log files and the store on this machine, and takes no --url.")
    digest = parse_digest(arguments.downloads)
    project = normalize_name(arguments.project) if arguments.project is not None else None
    opened = open_store(arguments, writes=False)
    files = arguments.log_files or ([opened.settings.log_file] if opened.settings.log_file is not None else None)
    if files is None:
        raise InvalidRequest(_NO_LOG)
    found = addresses_of(opened.store, opened.indexes(), digest, _drop_ins(opened, project), project)
    wanted = Requests(digest, found)
    each_line = chain.from_iterable(map(requests_in, each_file(files)))
    lines = [line for line in each_line if line is not None and wanted.has(line)]
    got = [line for line in lines if line.status in GOT]
    is_sampled = any(line.share < 1.0 for line in lines)
    whole = found[0].sha256 if found else digest
    if arguments.json:
        print_json(
            {
                "sha256": whole,
                "files": [_file(each) for each in found],
                "downloads": [_download(line) for line in got],
                "refused": len(lines) - len(got),
                "sampled": is_sampled,
            }
        )
        return 0
    _say_files(whole, found)
    print_table(("Time", "User", "From", "Program", "Status", "Bytes", "Path", "Request"), [_row(line) for line in got])
    _say_rest(lines, got, files, is_sampled=is_sampled)
    return 0


def each_file(named: Sequence[str]) -> Iterator[str]:
    """The files that are named, and those in folders that are."""
    for path in named:
        if os.path.isdir(path):
            yield from sorted(entry.path for entry in os.scandir(path) if entry.is_file())
        else:
            yield path


def _drop_ins(opened: Opened, project: str | None) -> Iterator[Address]:
    """The drop-ins that are served with the store, with their digests."""
    if not opened.settings.drop_in_roots:
        return
    folder = opened.folder(keeps_facts=False)
    source = DropIns(folder)
    for name in [project] if project is not None else folder.names():
        for listed in at_hand(source.project(name, None)).files():
            yield Address(listed.file.sha256, name, listed.file.filename, "dropped in", "", listed.place)


def _say_files(digest: str, found: Sequence[Address]) -> None:
    for each in found:
        where = f" in {each.index}" if each.index else ""
        print(f"{plain(each.filename)} ({digest[:12]}): {each.state}{where}", file=sys.stderr)
    if not found:
        print(f"No file with this digest ({digest[:12]}) is or was in the store.", file=sys.stderr)


def _say_rest(
    lines: Sequence[RequestLine], got: Sequence[RequestLine], files: Sequence[str], *, is_sampled: bool
) -> None:
    if not got:
        print(f"No download of it is in {', '.join(files)}.", file=sys.stderr)
    if len(lines) > len(got):
        print(f"{count(len(lines) - len(got), 'further request')} got no file (see --json).", file=sys.stderr)
    if is_sampled:
        print("The servers log a share of the requests (--log-sample): there may be more downloads.", file=sys.stderr)


def _file(address: Address) -> dict[str, Any]:
    return {
        "project": address.project,
        "filename": address.filename,
        "state": address.state,
        "index": address.index,
    }


def _download(line: RequestLine) -> dict[str, Any]:
    return {
        "time": line.time,
        "user": line.user or None,
        "address": line.client,
        "agent": line.agent or None,
        "status": line.status,
        "bytes": line.sent,
        "path": line.path,
        "request": line.request or None,
    }


def _row(line: RequestLine) -> tuple[str, ...]:
    sent = "-" if line.sent is None else str(line.sent)
    known = (line.time, line.user, line.client, line.agent, str(line.status), sent, line.path, line.request)
    return tuple(each or "-" for each in known)
