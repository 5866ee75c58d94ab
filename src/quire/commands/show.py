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

from quire.archives.metadata import CoreMetadata, parse_metadata
from quire.catalog.drop_ins import DropInFile
from quire.catalog.sources import ListedFile
from quire.catalog.views import ProjectView
from quire.commands.common import (
    add_store_flags,
    count,
    in_words,
    no_project,
    open_store,
    plain,
    print_json,
    print_table,
)
from quire.commands.ls import describe, project_view
from quire.domain.errors import NotFound, QuireError
from quire.domain.names import normalize_name, same_version
from quire.render.pypi_json import describing_file, select_release
from quire.render.simple import release_versions

_SHOWN = ("summary", "author", "author_email", "license", "license_expression", "home_page", "requires_dist")
_LIMIT = 400


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `show`."""
    text = "show a project or a release in detail"
    parser = subparsers.add_parser("show", help=text, description=f"{text[:1].upper()}{text[1:]}.")
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("version", metavar="VERSION", nargs="?", help="default: the newest")
    add_store_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show it. Raises NotFound, StoreError."""
    opened = open_store(arguments, writes=False, required=False)
    view = project_view(opened, normalize_name(arguments.project))
    deleted = opened.index.deleted(view.name)
    if not (view.exists or deleted):
        raise no_project(opened, view.name)
    files = [each.file for each in view.files.values()]
    versions = release_versions(files)
    if arguments.version is not None and not any(same_version(found, arguments.version) for found in versions):
        raise NotFound(f"The project {view.name} has no release {arguments.version}.")
    version = select_release(files, arguments.version) if versions else None
    shown = [each for each in view.files.values() if version is None or same_version(each.file.version, version)]
    metadata = _metadata(view, version)
    name = view.display_name or (metadata.name if metadata is not None else view.name)
    if arguments.json:
        print_json(
            {
                "project": view.name,
                "name": name,
                "status": str(view.status),
                "status_reason": view.status_reason,
                "versions": versions,
                "version": version,
                "files": [describe(each) for each in shown],
                "deleted": deleted,
                "metadata": metadata.fields if metadata is not None else None,
            }
        )
        return 0
    size = sum(file.size for file in files)
    reason = f" ({view.status_reason})" if view.status_reason else ""
    rows = [
        ("Name", name),
        ("Status", f"{view.status}{reason}" if view.exists else "all of its files were deleted"),
        ("Releases", f"{len(versions)}: {textwrap.shorten(', '.join(reversed(versions)), _LIMIT, placeholder=' ...')}"),
        ("Files", f"{count(len(files), 'file')}, {in_words(size)}"),
        ("Shown", version or "all files"),
    ]
    if metadata is not None:
        fields: dict[str, Any] = dict(metadata.fields)
        if metadata.requires_python:
            rows.append(("Requires-Python", metadata.requires_python))
        rows += [(key.replace("_", "-").capitalize(), _text(fields[key])) for key in _SHOWN if fields.get(key)]
    rows += [("File", _line(each)) for each in shown]
    if deleted:
        rows.append(("Deleted", f"{count(len(deleted), 'file')}; their names never get other content"))
    print_table(("", ""), rows)
    return 0


def _metadata(view: ProjectView, version: str | None) -> CoreMetadata | None:
    file = describing_file([each.file for each in view.files.values()], version) if version is not None else None
    if file is None:
        return None
    try:
        document = view.files[file.filename].metadata_document()
        return None if document is None else parse_metadata(document, strict=False)
    except (QuireError, OSError):
        return None  # 'quire check' says why


def _text(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return textwrap.shorten(plain(text), _LIMIT, placeholder=" ...")


def _line(listed: ListedFile) -> str:
    file = listed.file
    marks = ["yanked"] if file.yanked is not False else []
    marks += [f"drop-in: {listed.place}"] if isinstance(listed, DropInFile) else []
    marks += [f"by {file.uploader}"] if file.uploader else []
    words = [file.filename, in_words(file.size), (file.uploaded or "")[:19], f"sha256 {file.sha256}", *marks]
    return ", ".join(word for word in words if word)
