"""`quire mirror status`: how much is kept of other indexes.

JSON: {"store": directory or URL, "files": int, "bytes": int, "pages": int, "page_bytes": int (of large pages, and of
metadata that was made here), "bound": int or null (the most that servers keep of "bytes" and "page_bytes" together),
"oldest_use": time or null (the last use of the file that was not used longest; null also where no use is recorded),
"unused": int (files of which no use is recorded), "upstreams": [the first four of each, with "name": str and "url": str
or null]}. With --url: see `GET /-/api/v1/upstreams`.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

import msgspec

from quire.administration.server_documents import UpstreamStatusList
from quire.commands.administering import add_place_flags, open_remote
from quire.commands.common import Opened, count, open_store, plain, print_json, print_table
from quire.commands.upstream_urls import upstream_urls
from quire.domain.quotas import percent
from quire.domain.sizes import in_words
from quire.index.audit.entries import as_logged
from quire.upstream.evicting import counted
from quire.upstream.kept import Kept, kept_of
from quire.upstream.uses import Uses, read_uses

_DESCRIPTION = """\
Show how many files and pages are kept of other indexes, and how many bytes the files have: together and of each
upstream, with its URL where a definition or the settings here have it. The command reads the names and sizes of all
files, and no file. With --url, show whether each upstream answers, and the part of requests that was served from what
is kept, as the workers of the container that answers count it.
"""


def add_parser(parts: argparse._SubParsersAction[Any]) -> None:
    """Add `mirror status`."""
    parser = parts.add_parser("status", help="how much is kept of other indexes", description=_DESCRIPTION)
    add_place_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show it. Raises ConfigurationError, StoreError."""
    remote = open_remote(arguments)
    if remote is not None:
        return _of_server(arguments, remote.upstreams())
    opened = open_store(arguments, writes=False)
    kept = kept_of(opened.store)
    total = Kept()
    for each in kept.values():
        total.add(each)
    now = datetime.now(UTC)
    uses = read_uses(opened.store.records, now) if total.blobs else Uses()
    used = [use for blob in total.blobs if (use := uses.last(blob.key)) is not None]
    oldest = as_logged(datetime.fromtimestamp(min(used), UTC)) if used else None
    unused = len(total.blobs) - len(used)
    bound, urls = _bound(opened), upstream_urls(opened)
    if arguments.json:
        upstreams = [{"name": name, "url": urls.get(name), **_described(each)} for name, each in kept.items()]
        print_json(
            {
                "store": opened.home,
                **_described(total),
                "bound": bound,
                "oldest_use": oldest,
                "unused": unused,
                "upstreams": upstreams,
            }
        )
        return 0
    of_pages = f", {in_words(total.page_bytes)} with metadata that was made here" if total.page_bytes else ""
    print(f"{count(total.files, 'file')}, {in_words(total.bytes)}; {count(total.pages, 'page')}{of_pages}.")
    if bound is not None:
        both = total.bytes + total.page_bytes
        print(
            f"Together they have {in_words(both)} of {in_words(bound)} ({percent(both, bound)}%), the servers' bound."
        )
    if oldest is not None:
        print(f"The file that was not used longest was used at {oldest}.")
    if unused:
        print(f"No use is recorded of {count(unused, 'file')}.")
    if kept:
        rows = [
            (name, urls.get(name, "-"), str(each.files), in_words(each.bytes), str(each.pages))
            for name, each in kept.items()
        ]
        print_table(("Upstream", "URL", "Files", "Size", "Pages"), rows)
    return 0


def _of_server(arguments: argparse.Namespace, found: UpstreamStatusList) -> int:
    if arguments.json:
        print_json(msgspec.to_builtins(found))
        return 0
    rows = [
        (
            plain(each.url or each.name),
            each.state if each.since is None else f"{each.state} since {each.since}",
            each.last_answer or "-",
            _rate(each.page_hits),
            _rate(each.file_hits),
            str(each.kept_pages),
            "-" if each.kept_files is None else str(each.kept_files),
            "-" if each.kept_bytes is None else in_words(each.kept_bytes),
        )
        for each in found.upstreams
    ]
    if rows:
        print_table(("Upstream", "State", "Last answer", "Page hits", "File hits", "Pages", "Files", "Size"), rows)
    offline = "; it asks no upstream" if found.offline else ""
    print(f"As {count(found.workers, 'worker')} of the container {plain(found.container)} see it{offline}.")
    return 0


def _rate(part: float | None) -> str:
    return "-" if part is None else f"{part:.1%}"


def _bound(opened: Opened) -> int | None:
    """The bound of the settings here, else the one that servers wrote down last."""
    if opened.settings.mirror_size is not None:
        return opened.settings.mirror_size
    last = counted(opened.store)
    return last.bound if last is not None else None


def _described(kept: Kept) -> dict[str, int]:
    return {"files": kept.files, "bytes": kept.bytes, "pages": kept.pages, "page_bytes": kept.page_bytes}
