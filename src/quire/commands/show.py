"""`quire show`: a project or a release in detail, with the core metadata that describes it.

JSON: {"project": str, "name": str (as spelled), "status": str, "status_reason": str | null, "versions": [str],
"version": str | null (the release shown), "files": [as in `quire ls --json`], "deleted": {filename: sha256, of files
that were published and are not listed any more}, "metadata": {...} | null (the fields of
the core metadata, as packaging.metadata.RawMetadata names them)}.
"""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

import msgspec

from quire.administration.documents import FileEntry
from quire.commands.administering import OFFERED, OWN, add_place_flags, open_administration, say_what_is_behind, url_of
from quire.commands.common import count, plain, print_json, print_table
from quire.commands.ls import note_of
from quire.domain.errors import NotFound
from quire.domain.names import normalize_name
from quire.domain.sizes import in_words

_SHOWN = ("summary", "author", "author_email", "license", "license_expression", "home_page", "requires_dist")
_LIMIT = 400


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `show`."""
    text = "show a project or a release in detail"
    parser = subparsers.add_parser("show", help=text, description=f"{text[:1].upper()}{text[1:]}.")
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("version", metavar="VERSION", nargs="?", help="default: the newest")
    add_place_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show it. Raises NotFound, StoreError, UpstreamError."""
    administration = open_administration(arguments, writes=False, required=False)
    found = administration.project(normalize_name(arguments.project))
    if not found.exists and arguments.version is not None:
        raise NotFound(f"The project {found.project} has no release {arguments.version}.")
    release = administration.release(found.project, arguments.version) if found.exists else None
    metadata = release.metadata if release is not None else None
    names = {file.filename for file in release.files} if release is not None else set()
    shown = [file for file in found.files if file.filename in names]
    name = found.name or (release.metadata_name if release is not None else None) or found.project
    if arguments.json:
        print_json(
            {
                "project": found.project,
                "name": name,
                "status": found.status,
                "status_reason": found.status_reason,
                "versions": found.versions,
                "version": release.version if release is not None else None,
                "files": msgspec.to_builtins(shown),
                "deleted": found.deleted,
                "metadata": metadata,
            }
        )
        return 0
    size, versions = sum(file.size for file in found.files), found.versions
    reason = f" ({found.status_reason})" if found.status_reason else ""
    rows = [
        ("Name", name),
        ("Status", f"{found.status}{reason}" if found.exists else "all of its files were deleted"),
        ("Releases", f"{len(versions)}: {textwrap.shorten(', '.join(reversed(versions)), _LIMIT, placeholder=' ...')}"),
        ("Files", f"{count(len(found.files), 'file')}, {in_words(size)}"),
        ("Shown", (release.version if release is not None else None) or "all files"),
    ]
    if release is not None and metadata is not None:
        if release.requires_python:
            rows.append(("Requires-Python", release.requires_python))
        rows += [(key.replace("_", "-").capitalize(), _text(metadata[key])) for key in _SHOWN if metadata.get(key)]
    rows += [("File", _line(each)) for each in shown]
    if found.deleted:
        rows.append(("Deleted", f"{count(len(found.deleted), 'file')}; their names never get other content"))
    print_table(("", ""), rows)
    say_what_is_behind(arguments, administration, found.index, OFFERED if url_of(arguments) else OWN)
    return 0


def _text(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return textwrap.shorten(plain(text), _LIMIT, placeholder=" ...")


def _line(file: FileEntry) -> str:
    uploader = f"uploaded by {file.uploader}" if file.uploader else ""
    sha256 = file.hashes.get("sha256", "")
    words = [
        file.filename,
        in_words(file.size),
        (file.uploaded or "")[:19],
        f"sha256 {sha256}",
        uploader,
        note_of(file),
    ]
    return ", ".join(word for word in words if word)
