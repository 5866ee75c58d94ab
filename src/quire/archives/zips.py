"""Zip archives, by their central directory."""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from quire.archives import limits
from quire.archives.members import check_member_name, plain_path
from quire.archives.refusals import Unbounded, damaged_zip, oversized
from quire.domain.errors import InvalidDistribution
from quire.domain.names import Kind, ParsedFilename, quoted

_END_RECORD = struct.Struct("<4s4H2LH")
_END_LOCATOR_64 = struct.Struct("<4sLQL")
_END_RECORD_64 = struct.Struct("<4sQ2H2L4Q")
_UNCOUNTED_64 = 12  # bytes of the record which are not in the length that it states: signature and length
_DIRECTORY_ENTRY = struct.Struct("<4sBB5H3L5H2L")
LOCAL_HEADER = struct.Struct("<4s5H3L2H")
STORED, DEFLATED = 0, 8
_IN_64_BITS = 0xFFFFFFFF  # in place of a number that did not fit into 32
_IN_16_BITS = 0xFFFF  # of one that did not fit into 16
_ENCRYPTED, _UTF8_NAME = 0x1, 0x800
_UNIX = 3
_LONGEST_ENTRY = _DIRECTORY_ENTRY.size + 3 * 0xFFFF


class ZipMember(NamedTuple):
    """One entry of a central directory. `offset` is where its local header begins in the file."""

    name: str
    path: str
    """The name without `.` and empty parts, which a program that extracts it leaves out."""
    name_bytes: int
    """The length of the name as it is stored."""
    version: int
    """The version of the format that a reader must know, ten times."""
    flags: int
    method: int
    crc: int
    compressed: int
    size: int
    offset: int
    is_link: bool
    has_comment: bool
    extra: bytes
    """Its extra fields."""
    in_64_bits: int
    """How many of its numbers stand in the extra field of zip64."""

    @property
    def raw_name(self) -> bytes:
        """The name as it is stored. (All encodings map to and fro without loss.)"""
        return self.name.encode(_encoding(self.flags, is_ascii=self.name.isascii()))

    @property
    def is_folder(self) -> bool:
        return self.name.endswith("/")

    @property
    def encrypted(self) -> bool:
        return bool(self.flags & _ENCRYPTED)


class Directory(NamedTuple):
    """The central directory as the end record describes it."""

    start: int
    size: int
    entries: int
    base: int
    """The number to add to the offsets in it."""
    comment: bytes
    """The comment of the archive."""


def zip_members(file: BinaryIO, parsed: ParsedFilename, directory: Directory | None = None) -> list[ZipMember]:
    """All of `each_zip_member`."""
    return list(each_zip_member(file, parsed, directory))


def has_zip_member(file: BinaryIO, parsed: ParsedFilename, name: str) -> bool:
    """Whether a sound zip has a member of exactly this name. Raises InvalidDistribution."""
    return sum(member.name == name for member in each_zip_member(file, parsed)) > 0


def each_zip_member(file: BinaryIO, parsed: ParsedFilename, directory: Directory | None = None) -> Iterator[ZipMember]:
    """The entries of the central directory, checked: complete, in its place, every member within the file and safely
    named. Only a piece of the directory is in memory at a time. `directory`: if `find_directory` was called before.

    Raises InvalidDistribution, at the latest when it is exhausted.
    """
    directory = directory or find_directory(file, parsed)
    start, size, count = directory.start, directory.size, directory.entries
    if count > limits.MAX_MEMBERS or size > limits.MAX_DIRECTORY_BYTES:
        raise Unbounded(
            f"{quoted(parsed.filename)} has {count} members, listed in {size} bytes; "
            f"{limits.MAX_MEMBERS} members and {limits.MAX_DIRECTORY_BYTES} bytes are the limits."
        )
    found = 0
    try:
        for member in _parse_directory(file, directory, parsed):
            found += 1
            if found > count or member.offset + LOCAL_HEADER.size + member.name_bytes + member.compressed > start:
                raise damaged_zip(parsed)
            yield member
    except (struct.error, ValueError):
        raise damaged_zip(parsed) from None
    if found != count:
        raise damaged_zip(parsed)
    if not found:
        raise InvalidDistribution(f"{quoted(parsed.filename)} is an empty archive.")


def find_directory(file: BinaryIO, parsed: ParsedFilename) -> Directory:
    """Where the central directory is. Raises InvalidDistribution."""
    length = file.seek(0, 2)
    tail_start = max(0, length - _END_RECORD.size - 0xFFFF)
    file.seek(tail_start)
    tail = file.read(length - tail_start)
    # Without a comment the end record is the end; with one, it is the last thing that looks like one.
    at = len(tail) - _END_RECORD.size
    if at < 0 or not (tail.startswith(b"PK\x05\x06", at) and tail.endswith(b"\0\0")):
        at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END_RECORD.size > len(tail):
        raise InvalidDistribution(f"{quoted(parsed.filename)} is not a zip archive, or its end is missing.")
    _, disk, first_disk, here, count, size, offset, comment = _END_RECORD.unpack_from(tail, at)
    if at + _END_RECORD.size + comment != len(tail) or disk or first_disk or here != count:
        raise damaged_zip(parsed)
    end = tail_start + at
    # Python's zipfile writes them from 2 GiB on, where the numbers still fit into the end record.
    if (wide := _zip64_directory(file, end, parsed)) is not None:
        shown = ((size, wide[1], _IN_64_BITS), (count, wide[2], _IN_16_BITS), (offset, wide[3], _IN_64_BITS))
        if any(narrow not in {full, instead} for narrow, full, instead in shown):
            raise damaged_zip(parsed)
        end, size, count, offset = wide
    start = end - size
    base = start - offset
    if start < 0 or base < 0:
        raise damaged_zip(parsed)
    if base:
        # Bytes before the archive: those that make an egg a shell script, or an archive within a truncated one.
        file.seek(0)
        if parsed.kind is not Kind.EGG or file.read(2) != b"#!":
            raise damaged_zip(parsed)
    return Directory(start, size, count, base, tail[at + _END_RECORD.size :])


def _zip64_directory(file: BinaryIO, end: int, parsed: ParsedFilename) -> tuple[int, int, int, int] | None:
    """End, size, count and offset of the directory as the zip64 records before the end record have them, if any.

    Some readers look for the zip64 end record right before its locator, some where the locator says, and some take
    the end record alone where they find none. So it must be there, in both places. Raises InvalidDistribution.
    """
    if end < _END_LOCATOR_64.size:
        return None
    place = max(0, end - _END_LOCATOR_64.size - _END_RECORD_64.size)
    file.seek(place)
    records = file.read(end - place)
    if not records.startswith(b"PK\x06\x07", len(records) - _END_LOCATOR_64.size):
        return None
    if len(records) != _END_RECORD_64.size + _END_LOCATOR_64.size:
        raise damaged_zip(parsed)
    signature, length, _, _, disk, first_disk, here, count, size, offset = _END_RECORD_64.unpack_from(records)
    _, its_disk, its_place, disks = _END_LOCATOR_64.unpack_from(records, _END_RECORD_64.size)
    if signature != b"PK\x06\x06" or length != _END_RECORD_64.size - _UNCOUNTED_64 or here != count:
        raise damaged_zip(parsed)
    # The record follows the directory. (Not compared with `place`: in an egg that is a shell script too, all offsets
    # may be those without the script.)
    if (disk, first_disk, its_disk, disks) != (0, 0, 0, 1) or its_place != offset + size:
        raise damaged_zip(parsed)
    return place, size, count, offset


def _parse_directory(file: BinaryIO, directory: Directory, parsed: ParsedFilename) -> Iterator[ZipMember]:
    """Raises ValueError or struct.error when it is not a sequence of whole entries, InvalidDistribution for a name."""
    start, size, base = directory.start, directory.size, directory.base
    piece, at, ahead = b"", 0, size  # bytes that were read, the place in them, how many are not read yet
    while ahead or at < len(piece):
        if len(piece) - at < _LONGEST_ENTRY and ahead:
            file.seek(start + size - ahead)
            more = file.read(min(ahead, 2 * _LONGEST_ENTRY))
            if not more:
                raise ValueError("the file became shorter")
            piece, at, ahead = piece[at:] + more, 0, ahead - len(more)
            continue
        entry = _DIRECTORY_ENTRY.unpack_from(piece, at)
        system, version, flags, method = entry[2:6]
        crc, compressed, expanded, name_length, extra_length, comment_length = entry[8:14]
        attributes, offset = entry[16:18]
        at += _DIRECTORY_ENTRY.size
        raw_name = piece[at : at + name_length]
        extra = piece[at + name_length : at + name_length + extra_length]
        at += name_length + extra_length + comment_length
        if entry[0] != b"PK\x01\x02" or at > len(piece):
            raise ValueError("not an entry")
        in_64_bits = (expanded, compressed, offset).count(_IN_64_BITS)
        expanded, compressed, offset = zip64_sizes(extra, expanded, compressed, offset)
        name = raw_name.decode(_encoding(flags, is_ascii=raw_name.isascii()))
        path = plain_path(name)
        yield ZipMember(
            name,
            "/".join(check_member_name(name, parsed)) if path is None else path,
            name_length,
            version,
            flags,
            method,
            crc,
            compressed,
            expanded,
            base + offset,
            is_link=system == _UNIX and stat.S_ISLNK(attributes >> 16),
            has_comment=comment_length > 0,
            extra=extra,
            in_64_bits=in_64_bits,
        )


def _encoding(flags: int, *, is_ascii: bool) -> str:
    """Of a name. ASCII is the same in both encodings, and decoded at once in one of them."""
    return "utf-8" if is_ascii or flags & _UTF8_NAME else "cp437"


def zip64_sizes(extra: bytes, *sizes: int) -> Sequence[int]:
    """The sizes with those that did not fit into 32 bits taken from the extra field 1, where they stand in order."""
    if _IN_64_BITS not in sizes:
        return sizes
    wide: list[int] = []
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            wide = [number for (number,) in struct.iter_unpack("<Q", extra[4 : 4 + length // 8 * 8])]
            break
        extra = extra[4 + length :]
    return [wide.pop(0) if size == _IN_64_BITS and wide else size for size in sizes]


def read_zip_member(
    file: BinaryIO, member: ZipMember, parsed: ParsedFilename, limit: int = limits.MAX_METADATA_BYTES
) -> bytes:
    """A member as a whole, of at most `limit` bytes, even if the archive states more. Raises InvalidDistribution."""
    if not can_expand(member):
        raise InvalidDistribution(
            f"{quoted(member.name)} in {quoted(parsed.filename)} is encrypted or compressed in an unusual way; "
            "only stored and deflated members are read."
        )
    if member.size > limit:
        raise oversized(member.name, limit, parsed)
    return b"".join(zip_member_data(file, member, parsed))


def can_expand(member: ZipMember) -> bool:
    """Whether the data of a member can be read: it is stored or deflated, and not encrypted."""
    return not member.encrypted and member.method in {STORED, DEFLATED}


def zip_member_data(file: BinaryIO, member: ZipMember, parsed: ParsedFilename) -> Iterator[bytes]:
    """The data of a member that `can_expand`, piece by piece, wherever `file` stands. Raises InvalidDistribution."""
    file.seek(member.offset)
    header = file.read(LOCAL_HEADER.size)
    if len(header) < LOCAL_HEADER.size:
        raise damaged_zip(parsed)
    signature, *_, name_length, extra_length = LOCAL_HEADER.unpack(header)
    if signature != b"PK\x03\x04" or file.read(name_length) != member.raw_name:
        raise damaged_zip(parsed)
    file.seek(extra_length, 1)
    yield from zip_data(file, member, parsed)


def zip_data(file: BinaryIO, member: ZipMember, parsed: ParsedFilename) -> Iterator[bytes]:
    """The data of a stored or deflated member, piece by piece; `file` stands where it begins, and in the end behind it.

    Never more than the directory states. Raises InvalidDistribution when it is not what the directory states.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS) if member.method == DEFLATED else None
    remaining, given, crc, tail = member.compressed, 0, 0, b""
    while True:
        if not tail and remaining:
            tail = file.read(min(limits.CHUNK, remaining))
            if not tail:
                raise damaged_zip(parsed)
            remaining -= len(tail)
        if inflater is None:
            piece, tail = tail, b""
        else:
            try:
                piece = inflater.decompress(tail, 4 * limits.CHUNK)
            except zlib.error:
                raise damaged_zip(parsed) from None
            if inflater.unused_data:  # zlib would copy all that follows the stream's end, for each piece again
                raise damaged_zip(parsed)
            tail = inflater.unconsumed_tail
        given += len(piece)
        if given > member.size:
            raise damaged_zip(parsed)
        crc = zlib.crc32(piece, crc)
        if piece:
            yield piece
        if not (tail or remaining) and (not piece or inflater is None or inflater.eof):
            break
    if not (inflater is None or inflater.eof) or given != member.size or crc != member.crc:
        raise damaged_zip(parsed)
