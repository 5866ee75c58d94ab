"""`quire mirror status`: how much is kept of other indexes.

JSON: {"store": directory or URL, "files": int, "bytes": int, "pages": int, "page_bytes": int (of large pages), "bound":
int or null (bytes), "oldest_use": time or null (of the file that was not used longest), "upstreams": [the first four of
each, with "name": str]}.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from quire.commands.common import Opened, add_store_flags, count, open_store, print_json, print_table
from quire.domain.quotas import percent
from quire.domain.sizes import in_words
from quire.index.audit.entries import as_logged
from quire.upstream.evicting import counted, in_order
from quire.upstream.kept import Kept, kept_of
from quire.upstream.uses import read_uses

_DESCRIPTION = """\
Show how many files and pages are kept of other indexes, and how many bytes the files have: together and of each
upstream, which is named by its host. The command reads the names and sizes of all files, and no file.
"""


def add_parser(parts: argparse._SubParsersAction[Any]) -> None:
    """Add `mirror status`."""
    parser = parts.add_parser("status", help="how much is kept of other indexes", description=_DESCRIPTION)
    add_store_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show it. Raises ConfigurationError, StoreError."""
    opened = open_store(arguments, writes=False)
    kept = kept_of(opened.store)
    total = Kept()
    for each in kept.values():
        total.add(each)
    now = datetime.now(UTC)
    ordered = in_order(total.blobs, read_uses(opened.store.records, now), now) if total.blobs else []
    oldest = as_logged(datetime.fromtimestamp(ordered[0][0], UTC)) if ordered else None
    bound = _bound(opened)
    if arguments.json:
        upstreams = [{"name": name, **_described(each)} for name, each in kept.items()]
        print_json(
            {
                "store": opened.home,
                **_described(total),
                "bound": bound,
                "oldest_use": oldest,
                "upstreams": upstreams,
            }
        )
        return 0
    of_bound = "" if bound is None else f" of {in_words(bound)} ({percent(total.bytes, bound)}%)"
    print(f"{count(total.files, 'file')}, {in_words(total.bytes)}{of_bound}; {count(total.pages, 'page')}.")
    if oldest is not None:
        print(f"The file that was not used longest: {oldest}.")
    if kept:
        print_table(
            ("Upstream", "Files", "Size", "Pages"),
            [(name, str(each.files), in_words(each.bytes), str(each.pages)) for name, each in kept.items()],
        )
    return 0


def _bound(opened: Opened) -> int | None:
    """The bound of the settings here, else the one that servers wrote down last."""
    if opened.settings.mirror_size is not None:
        return opened.settings.mirror_size
    last = counted(opened.store)
    return last.bound if last is not None else None


def _described(kept: Kept) -> dict[str, int]:
    return {"files": kept.files, "bytes": kept.bytes, "pages": kept.pages, "page_bytes": kept.page_bytes}
