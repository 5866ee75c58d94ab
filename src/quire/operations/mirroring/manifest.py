"""The list of an exported mirror: which pages and files it has. Pure functions of its bytes.

One JSON document a line: a head, the pages, the files, and an end with their number, so that a list which was cut off
is recognised. All bytes are named by their SHA-256 alone: names of files stand in the list, and no path is ever made of
them. A person with the digest of the list from another way has those of all bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from quire.catalog.mirroring import mirror_name
from quire.domain.errors import InvalidRequest
from quire.domain.names import guess_filename, is_normalized
from quire.domain.reserved import MIRROR
from quire.domain.structs import decoder
from quire.upstream.documents import METADATA
from quire.upstream.mirrored import MAX_CONTENT_BYTES

NAME: Final = "manifest.jsonl"
FORMAT: Final = 1
MOST_BYTES: Final = 1024 * 1024 * 1024
MOST_LINE: Final = 16 * 1024
MOST_ENTRIES: Final = 2_000_000
MOST_SIZE: Final = 2**43
"""Bytes of one file."""
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_UPSTREAM: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,79}-[0-9a-f]{12}")
_FILENAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,254}")


class Head(msgspec.Struct, frozen=True, kw_only=True, tag="quire mirror", tag_field="type"):
    """The first line."""

    format: int = FORMAT
    made: datetime
    upstreams: dict[str, str | None]
    """The URL of each, by its name in the keys of a mirror; None in some exports of older versions."""


class PageEntry(msgspec.Struct, frozen=True, kw_only=True, tag="page", tag_field="type", omit_defaults=True):
    """A page of an upstream."""

    upstream: str
    project: str
    confirmed: datetime
    serial: int | None = None
    sha256: str | None = None
    """None where the upstream has no such project (any more)."""
    size: int = 0


class FileEntry(msgspec.Struct, frozen=True, kw_only=True, tag="file", tag_field="type", omit_defaults=True):
    """A file of an upstream, or the metadata beside one."""

    upstream: str
    project: str
    name: str
    of: str
    """The SHA-256 of the file, also for its metadata."""
    sha256: str
    size: int

    @property
    def filename(self) -> str:
        """Of the file, also for its metadata."""
        return self.name.removesuffix(METADATA)

    @property
    def is_metadata(self) -> bool:
        return self.name.endswith(METADATA)


class End(msgspec.Struct, frozen=True, tag="end", tag_field="type"):
    """The last line."""

    entries: int


Entry = PageEntry | FileEntry


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole list."""

    head: Head
    pages: tuple[PageEntry, ...]
    files: tuple[FileEntry, ...]


def encode(manifest: Manifest) -> bytes:
    """Its bytes."""
    lines: list[msgspec.Struct] = [manifest.head, *manifest.pages, *manifest.files]
    lines.append(End(len(lines) - 1))
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def decode(data: bytes) -> Manifest:
    """Raises InvalidRequest for bytes that are no whole list, and for entries that no export makes."""
    lines = _lines(data)
    head = next(lines, None)
    if not isinstance(head, Head):
        raise InvalidRequest("The list of the export has no head; it is none of quire's.")
    if head.format > FORMAT:
        raise InvalidRequest(f"The export has format {head.format}, of a newer quire; import it with that one.")
    for name, url in head.upstreams.items():
        if not _UPSTREAM.fullmatch(name) or (url is not None and mirror_name(url) != name):
            raise InvalidRequest(f"The list of the export has an upstream {name[:100]!r} that cannot be.")
    pages, files = dict[tuple[str, str], PageEntry](), dict[tuple[str, str, str], FileEntry]()
    for line in lines:
        if isinstance(line, End):
            if line.entries != len(pages) + len(files) or next(lines, None) is not None:
                break
            return Manifest(head, tuple(pages.values()), tuple(files.values()))
        if isinstance(line, Head) or len(pages) + len(files) >= MOST_ENTRIES:
            break
        if not _is_entry(line, head):
            raise InvalidRequest(f"The list of the export has an entry that cannot be: {str(line)[:300]}.")
        if isinstance(line, PageEntry):
            pages[line.upstream, line.project] = line
        else:
            files[line.upstream, line.of, line.name] = line
    raise InvalidRequest("The list of the export is not whole; export it again, or copy it again.")


def _lines(data: bytes) -> Iterator[Head | PageEntry | FileEntry | End]:
    decode = decoder(Head | PageEntry | FileEntry | End).decode
    for line in _split(data):
        try:
            yield decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidRequest(f"The list of the export is not readable ({str(error)[:200]}).") from None


def _split(data: bytes) -> Iterator[memoryview]:
    view, begin = memoryview(data), 0
    while begin < len(data):
        end = data.find(b"\n", begin, begin + MOST_LINE)
        if end < 0:
            raise InvalidRequest("The list of the export is not whole; export it again, or copy it again.")
        yield view[begin:end]
        begin = end + 1


def _is_entry(entry: Entry, head: Head) -> bool:
    if entry.upstream not in head.upstreams or not is_normalized(entry.project) or not 0 <= entry.size <= MOST_SIZE:
        return False
    if entry.sha256 is not None and not _SHA256.fullmatch(entry.sha256):
        return False
    if isinstance(entry, PageEntry):
        return entry.confirmed.tzinfo is not None and entry.size <= MAX_CONTENT_BYTES
    guessed = guess_filename(entry.filename) if _FILENAME.fullmatch(entry.filename) else None
    is_named = guessed is not None and guessed.project == entry.project
    return is_named and _SHA256.fullmatch(entry.of) is not None and (entry.is_metadata or entry.of == entry.sha256)


def blob_key(file: FileEntry) -> str:
    """The key of a file's bytes, as `quire.upstream.files` has it."""
    return f"{MIRROR}/{file.upstream}/{file.project}/{file.of}/{file.name}"


def sizes(entries: Iterable[Entry]) -> dict[str, int]:
    """The bytes of all things that the entries name, by digest, each once."""
    return {entry.sha256: entry.size for entry in entries if entry.sha256 is not None}
