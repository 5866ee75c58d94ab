"""The page of a large project of another index, made of what the other index offers, without views and their files.

It is the page that a `quire.catalog.views.ProjectView` gives of the same files, byte for byte. That takes several
objects for each file; here it is one, since a project has up to 15,000 and a resolution asks for hundreds of pages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

from quire.catalog.sources import quoted_place
from quire.domain.names import version_sort_key
from quire.render.simple import FileEntry, Page, offered_hashes, provenance_url, render_entries
from quire.upstream.pages import UpstreamFile, UpstreamPage

_PLACE: Final = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._+!-]*/)+[A-Za-z0-9][A-Za-z0-9._+!-]*")
_PLAIN_URL: Final = re.compile(
    r"https?://[A-Za-z0-9.:-]+/(?:packages/)?+(?P<place>(?:[A-Za-z0-9_][A-Za-z0-9._+!-]*/)+(?P<name>[A-Za-z0-9][A-Za-z0-9._+!-]*))"
)
"""The URL of nearly every file: what `_place` finds in it needs no parsing."""
_DIGEST_PLACE: Final = re.compile(r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{60}/[^/]+")
"""The places of PyPI's files: each carries a digest of its bytes."""
_ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.:-]+/(?:packages/)?+")
_DIGEST_FOLDER: Final = re.compile(r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{60}/")
_by_name: Final = attrgetter("filename")


def json_page(
    name: str,
    content: UpstreamPage,
    made: Mapping[str, str],
    integrity: str | None,
    namespaces: Sequence[tuple[str, bool]] | None,
) -> Page:
    """The page of an active project in JSON.

    `made`: the SHA-256 of metadata that was made here, by that of its file; `integrity`, `namespaces`: see
    `quire.render.simple.ProjectListing`.
    """
    files, versions = _sorted(content.files)
    link = _Links(name, files)
    return render_entries(
        name, namespaces, versions, [_entry(name, file, link(file), made, integrity) for file in files]
    )


def _sorted(files: Sequence[UpstreamFile]) -> tuple[list[UpstreamFile], list[str]]:
    """The files that may be offered, and their versions, in the order of `quire.render.simple`."""
    by_version: dict[str, list[UpstreamFile]] = {}
    for file in files:
        if "sha256" in file.hashes:
            known = by_version.get(file.version)
            if known is None:
                by_version[file.version] = [file]
            else:
                known.append(file)
    releases: dict[tuple[int, object], list[UpstreamFile]] = {}
    for version in sorted(by_version):
        releases.setdefault(version_sort_key(version), []).extend(by_version[version])
    keys = sorted(releases)
    return (
        [file for key in keys for file in sorted(releases[key], key=_by_name)],
        [str(key[1]) for key in keys if key != (0, "")],
    )


def _entry(name: str, file: UpstreamFile, url: str, made: Mapping[str, str], integrity: str | None) -> FileEntry:
    hashes, metadata = file.hashes, file.metadata
    digest = metadata if isinstance(metadata, str) else made.get(hashes["sha256"])
    return FileEntry(
        file.filename,
        url,
        hashes if len(hashes) == 1 else offered_hashes(hashes),
        file.requires_python or msgspec.UNSET,
        {"sha256": digest} if digest else False,
        False,
        file.yanked,
        msgspec.UNSET if file.size is None else file.size,
        file.uploaded or msgspec.UNSET,
        None
        if file.provenance is None or integrity is None
        else provenance_url(integrity, name, file.version, file.filename),
    )


class _Links:
    """The URLs of files, relative to the page. Nearly all of a page have one origin, and digests for folders."""

    def __init__(self, project: str, files: Sequence[UpstreamFile]) -> None:
        self._project = project
        origin = _ORIGIN.match(files[0].url) if files else None
        self._origin = "" if origin is None else origin[0]

    def __call__(self, file: UpstreamFile) -> str:
        url, begin = file.url, len(self._origin)
        folder = url[begin : -len(file.filename)]
        if begin and url.startswith(self._origin) and url.endswith(file.filename) and _DIGEST_FOLDER.fullmatch(folder):
            return f"../../packages/{url[begin:]}"
        return f"../../packages/{quoted_place(place_of(self._project, file))}"


def is_digest_place(place: str) -> bool:
    """Whether the place of a file carries a digest of its bytes, as those of PyPI."""
    return _DIGEST_PLACE.fullmatch(place) is not None


def own_place(project: str, sha256: str, filename: str) -> str:
    """The place of a file whose URL at the other index can be none here."""
    return f"{project}/{sha256}/{filename}"


def place_of(project: str, file: UpstreamFile) -> str:
    """The place of a file, by its URL at the other index."""
    url = file.url
    plain = _PLAIN_URL.fullmatch(url)
    if plain is not None and plain["name"] == file.filename:
        return plain["place"]
    parts = urlsplit(url)
    place = unquote(parts.path).removeprefix("/").removeprefix("packages/")
    if parts.query or not place.endswith(f"/{file.filename}") or not _PLACE.fullmatch(place):
        return own_place(project, file.hashes["sha256"], file.filename)
    return place
