"""Reads the documents of OSV data that an operator gives: an archive, a folder, or one file. Everything is bounded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from quire.archives.zips import read_zip_member, zip_members
from quire.domain.errors import InvalidDistribution, InvalidRequest, reason_of
from quire.domain.names import Kind, ParsedFilename
from quire.process.progress import Progress

MAX_DOCUMENT_BYTES: Final = 8 * 1024 * 1024
MAX_DOCUMENTS: Final = 500_000
MAX_ARCHIVE_BYTES: Final = 1024 * 1024 * 1024
"""Of an archive that a server takes in, which is on its temporary disk meanwhile: far above the tens of MB of all
advisories of PyPI, and no more than such a disk usually has to spare."""
MAX_TOTAL_BYTES: Final = 8 * 1024 * 1024 * 1024
"""Of all documents, unpacked."""
_ARCHIVES: Final = frozenset({b"PK\x03\x04", b"PK\x05\x06"})
"""The first bytes of a zip archive, and of one without members."""
_SUFFIX: Final = ".json"


class Document(NamedTuple):
    """One document as it was found."""

    name: str
    data: bytes
    problem: str = ""
    """In words; then there is no data."""


def read_documents(path: str, progress: Progress, called: str | None = None) -> Iterator[Document]:
    """The documents at a place. `called`: its name in sentences, where it is a temporary one.

    Raises InvalidRequest when it cannot be read, or holds more than the limits.
    """
    total = number = 0
    called = called or path
    for each in _documents(path, progress, called):
        number, total = number + 1, total + len(each.data)
        if number > MAX_DOCUMENTS:
            raise InvalidRequest(f"{called} has more than {MAX_DOCUMENTS} documents.")
        if total > MAX_TOTAL_BYTES:
            raise InvalidRequest(f"The documents of {called} have more than {MAX_TOTAL_BYTES >> 30} GiB.")
        yield each


def is_archive(file: BinaryIO) -> bool:
    """Whether it begins as a zip archive does."""
    file.seek(0)
    return file.read(4) in _ARCHIVES


def _documents(path: str, progress: Progress, called: str) -> Iterator[Document]:
    name = os.path.basename(called.rstrip("/")) or called
    try:
        if os.path.isdir(path):
            yield from _in_folder(path, name, progress)
            return
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if is_archive(file):
                yield from _in_archive(file, name, progress)
                return
            progress.step(name, size)
            file.seek(0)
            yield _document(name, file.read(MAX_DOCUMENT_BYTES + 1))
            progress.advance(size)
    except OSError as error:
        raise InvalidRequest(f"{called} cannot be read: {reason_of(error)}.") from None


def _in_folder(path: str, name: str, progress: Progress) -> Iterator[Document]:
    found = [
        os.path.join(folder, each) for folder, _, names in os.walk(path) for each in names if each.endswith(_SUFFIX)
    ]
    progress.step(name, sum(os.stat(each).st_size for each in found))
    for each in sorted(found):
        if not os.path.isfile(each):
            yield Document(os.path.relpath(each, path), b"", "it is no file")
            continue
        with open(each, "rb") as file:
            data = file.read(MAX_DOCUMENT_BYTES + 1)
        yield _document(os.path.relpath(each, path), data)
        progress.advance(len(data))


def _in_archive(file: BinaryIO, name: str, progress: Progress) -> Iterator[Document]:
    parsed = ParsedFilename(name, "", "", Kind.OTHER)  # for sentences
    members = [each for each in zip_members(file, parsed) if each.name.endswith(_SUFFIX)]
    progress.step(name, sum(each.compressed for each in members))
    for member in members:
        if member.size > MAX_DOCUMENT_BYTES:
            yield _too_large(member.name)
        else:
            try:
                yield Document(member.name, read_zip_member(file, member, parsed, MAX_DOCUMENT_BYTES))
            except InvalidDistribution:
                yield Document(member.name, b"", "it cannot be unpacked")
        progress.advance(member.compressed)


def _document(name: str, data: bytes) -> Document:
    return _too_large(name) if len(data) > MAX_DOCUMENT_BYTES else Document(name, data)


def _too_large(name: str) -> Document:
    return Document(name, b"", f"it is larger than {MAX_DOCUMENT_BYTES >> 20} MiB")
