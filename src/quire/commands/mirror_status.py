"""`quire mirror status`: how much is kept of other indexes.

JSON: {"store": directory or URL, "files": int, "bytes": int, "pages": int, "page_bytes": int, "upstreams": [the same
four of each, with "name": str]}.
"""

from __future__ import annotations

import argparse
from typing import Any

from quire.commands.common import add_store_flags, count, open_store, print_json, print_table
from quire.domain.sizes import in_words
from quire.upstream.kept import Kept, kept_of

_DESCRIPTION = """\
Show how many files and pages are kept of other indexes, and how many bytes the files have. Files of an upstream are
named by its host; it reads the names and sizes of all of them, and no file.
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
    if arguments.json:
        upstreams = [{"name": name, **_described(each)} for name, each in kept.items()]
        print_json({"store": opened.home, **_described(total), "upstreams": upstreams})
        return 0
    print(f"{count(total.files, 'file')}, {in_words(total.bytes)}; {count(total.pages, 'page')}.")
    if kept:
        print_table(
            ("Upstream", "Files", "Size", "Pages"),
            [(name, str(each.files), in_words(each.bytes), str(each.pages)) for name, each in kept.items()],
        )
    return 0


def _described(kept: Kept) -> dict[str, int]:
    return {"files": kept.files, "bytes": kept.bytes, "pages": kept.pages, "page_bytes": kept.page_bytes}
