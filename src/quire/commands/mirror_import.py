"""`quire mirror import`: an export of the mirrors of another store.

JSON: {"store": directory or URL, "from": str, "sha256": str (of the list), "pages": int, "kept_pages": int (the same or
newer ones of this store), "files": int, "bytes": int, "present": int (files that were here), "upstreams": [URL or name
in keys]}.
"""

from __future__ import annotations

import argparse
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from quire.commands.common import add_store_flags, count, open_store, plain, print_json
from quire.commands.progress import Meter
from quire.domain.errors import ConfigurationError, reason_of
from quire.domain.sizes import in_words

_DESCRIPTION = """\
Take an export of 'quire mirror export' into the mirror of this store. Every byte is verified, pages never replace newer
ones, and no page is taken before all files are here. Servers may go on meanwhile. Repeat it at any time, also after an
end half-way: what is here is not read again.
"""


def add_parser(parts: argparse._SubParsersAction[Any]) -> None:
    """Add `mirror import`."""
    parser = parts.add_parser("import", help="take in an export of another store", description=_DESCRIPTION)
    parser.add_argument(
        "source", metavar="SOURCE", help="the folder or the archive; - for an archive on standard input"
    )
    parser.add_argument(
        "--sha256", metavar="DIGEST", help="import only if the list of contents has this SHA-256, which export printed"
    )
    add_store_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Import. Raises ConfigurationError, InvalidRequest, DigestMismatch, StoreError."""
    from quire.operations.mirroring.carriers import ArchiveReader, FolderReader, Reader  # noqa: PLC0415 - for it only
    from quire.operations.mirroring.importing import import_mirror  # noqa: PLC0415 - with the client of other indexes

    digest = None if arguments.sha256 is None else arguments.sha256.strip().lower()
    if digest is not None and not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ConfigurationError("--sha256 is 64 hexadecimal digits, as 'quire mirror export' prints them.")
    with ExitStack() as stack:
        is_folder = arguments.source != "-" and Path(arguments.source).is_dir()
        reader: Reader = (
            FolderReader(Path(arguments.source)) if is_folder else ArchiveReader(_archive(arguments.source, stack))
        )
        opened = open_store(arguments, writes=True, create=True)
        meter = stack.enter_context(Meter("mirror import"))
        imported = import_mirror(opened.store, reader, meter, digest)
    upstreams = [url or name for name, url in imported.upstreams.items()]
    if arguments.json:
        print_json(
            {
                "store": opened.home,
                "from": arguments.source,
                "sha256": imported.digest,
                "pages": imported.pages,
                "kept_pages": imported.kept_pages,
                "files": imported.files,
                "bytes": imported.bytes,
                "present": imported.present,
                "upstreams": upstreams,
            }
        )
        return 0
    kept = f"; {count(imported.kept_pages, 'page')} no newer than here" if imported.kept_pages else ""
    present = f"; {count(imported.present, 'file')} here already" if imported.present else ""
    pages, files = count(imported.pages, "page"), count(imported.files, "file")
    print(f"{pages} and {files} imported, {in_words(imported.bytes)}{present}{kept}.")
    print(f"SHA-256 of the list: {imported.digest}")
    for upstream in upstreams:
        print(plain(f"Served as the upstream {upstream} (--upstream, with --upstream-offline)."))
    return 0


def _archive(source: str, stack: ExitStack) -> BinaryIO:
    """Raises ConfigurationError."""
    if source == "-":
        return sys.stdin.buffer
    try:
        return stack.enter_context(open(source, "rb"))
    except OSError as error:
        raise ConfigurationError(f"{plain(source)} cannot be read ({reason_of(error)}).") from None
