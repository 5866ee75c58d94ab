"""Tar archives, streamed: sdists."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from typing import IO, Any, cast

from quire.archives import limits
from quire.archives.members import check_member_name
from quire.archives.refusals import Unbounded, ambiguous, damaged_tar, oversized, unsafe, unusable
from quire.archives.tar_rules import Links, UploadedTar
from quire.domain.errors import QuireError
from quire.domain.names import ParsedFilename, quoted

_LONG_NUMBER = re.compile(rb"[0-9]{%d}" % (limits.MAX_DIGITS + 1))
"""Over which the regular expressions of older patch releases of Python take time by the square (CVE-2024-6232)."""


class ForwardReader:
    """The file object that tarfile reads headers from. The bytes of headers are bounded; data is skipped, not kept."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._piece = memoryview(b"")
        self._position = 0
        self.headers: list[bytes] = []
        """All that tarfile has read since the last `begin_member`, by reads."""
        self._header_bytes = 0
        self.has_second_end_block = False
        """Whether the end mark that was read is whole: old programs write one block of zeros."""

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        """Skip to a later position, or to the end if that comes first. A sound tar never points back."""
        if position < self._position:
            raise tarfile.ReadError("a header points back")
        for _ in self._pieces(position - self._position):
            pass

    def begin_member(self) -> None:
        """Before tarfile reads the headers of the next member."""
        self.headers.clear()
        self._header_bytes = 0

    def read(self, size: int) -> bytes:
        """For tarfile, which takes records of any stated size at once."""
        self._header_bytes += size
        if size < 0 or self._header_bytes > limits.MAX_HEADER_BYTES:
            raise tarfile.ReadError("a header is too long")
        header = self.take(size)
        if _LONG_NUMBER.search(header):
            raise tarfile.ReadError("a header has a number that is too long")
        self.headers.append(header)
        return header

    def take(self, size: int) -> bytes:
        """The next bytes; fewer at the end."""
        return b"".join(self._pieces(size))

    def drain(self) -> None:
        """Read on to the end of the compressed stream, where its checksum is."""
        for _ in self._chunks:
            pass

    def _pieces(self, size: int) -> Iterator[memoryview]:
        while size > 0:
            if not self._piece:
                self._piece = memoryview(next(self._chunks, b""))
                if not self._piece:
                    return
            piece, self._piece = self._piece[:size], self._piece[size:]
            size -= len(piece)
            self._position += len(piece)
            yield piece


def read_tar_sdist(chunks: Iterator[bytes], parsed: ParsedFilename, *, strict: bool) -> bytes | None:
    """The `<root>/PKG-INFO` of a whole tar without unsafe members; None when it has none.

    `strict`: see read_metadata. Raises InvalidDistribution.
    """
    reader = ForwardReader(chunks)
    links = Links(parsed)
    uploaded = UploadedTar(parsed, links) if strict else None
    found: tuple[tuple[str, ...], bytes] | None = None
    for member in tar_members(reader, parsed):
        parts = _check_tar_member(member, links, parsed)
        if uploaded is not None:
            uploaded.check(member, reader.headers)
        if len(parts) == 2 and parts[1] == "PKG-INFO":
            if member.type not in {tarfile.REGTYPE, tarfile.AREGTYPE} or member.issparse():
                raise unsafe(member.name, "is not a plain file", parsed)
            if member.size > limits.MAX_METADATA_BYTES:
                raise oversized(member.name, limits.MAX_METADATA_BYTES, parsed)
            content = reader.take(member.size)  # the data follows the header, where the reader stands now
            if found is not None and found != (parts, content):
                raise ambiguous(parsed)
            found = parts, content
    if strict and not reader.has_second_end_block:
        raise unusable("has no end mark of two blocks of zeros", parsed)
    return None if found is None else found[1]


def tar_members(reader: ForwardReader, parsed: ParsedFilename) -> Iterator[tarfile.TarInfo]:
    """The members in their order; the reader stands at a member's data while it is the current one.

    Exhausted only if the archive has its end mark, and the stream below it its own. Raises InvalidDistribution.
    """
    archive: tarfile.TarFile | None = None
    count = 0
    while True:
        reader.begin_member()
        try:
            if archive is None:
                archive = tarfile.TarFile(fileobj=cast("IO[bytes]", reader), mode="r", encoding="utf-8")
            member = archive.next()
        except (QuireError, OSError):  # raised by reading the file
            raise
        except Exception:  # noqa: BLE001 - tarfile raises TarError and on odd input a dozen others, RecursionError too
            raise damaged_tar(parsed) from None
        cast("Any", archive).members.clear()  # it would keep them all; the attribute is public, but not in typeshed
        if member is None:
            break
        count += 1
        if count > limits.MAX_MEMBERS:
            raise Unbounded(f"{quoted(parsed.filename)} has more than {limits.MAX_MEMBERS} members.")
        if member.size < 0 or len(archive.pax_headers) > limits.MAX_GLOBAL_HEADERS:
            raise damaged_tar(parsed)
        yield member
    # tarfile also takes a missing or unreadable header for the end; only a block of zeros is one.
    if not count or not reader.headers or reader.headers[-1] != bytes(tarfile.BLOCKSIZE):
        raise damaged_tar(parsed)
    reader.has_second_end_block = reader.take(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)
    reader.drain()


def _check_tar_member(member: tarfile.TarInfo, links: Links, parsed: ParsedFilename) -> tuple[str, ...]:
    """The parts of a member's name. Raises InvalidDistribution where PEP 721's data filter would, and somewhat before.

    The filter looks at the disk to see where a link leads. Nothing is on the disk here, so what would need a look is
    refused: members beneath a link, and links through a link and up again.
    """
    parts = check_member_name(member.name, parsed)
    path = "/".join(parts)
    if links.lead_to(path):
        raise unsafe(member.name, "lies beneath a link", parsed)
    if member.issym() or member.islnk():
        links.add(member, path)
    elif not (member.isreg() or member.isdir()):
        raise unsafe(member.name, "is a device or another special file", parsed)
    return parts
