"""Zip archives, by their central directory: wheels, eggs, old sdists."""

from __future__ import annotations

import re
import stat
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from quire.archives import limits
from quire.archives.members import check_member_name, split_name
from quire.archives.refusals import Unbounded, ambiguous, damaged_zip, oversized, unsafe
from quire.errors import InvalidDistribution, InvalidName
from quire.names import Kind, ParsedFilename, normalize_name, quoted, same_version

_END_RECORD = struct.Struct("<4s4H2LH")
_END_LOCATOR_64 = struct.Struct("<4sLQL")
_END_RECORD_64 = struct.Struct("<4sQ2H2L4Q")
_DIRECTORY_ENTRY = struct.Struct("<4sBB5H3L5H2L")
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
_IN_64_BITS = 0xFFFFFFFF  # in place of a number that did not fit into 32
_ENCRYPTED, _UTF8_NAME = 0x1, 0x800
_UNIX = 3
_LONGEST_ENTRY = _DIRECTORY_ENTRY.size + 3 * 0xFFFF


class ZipMember(NamedTuple):
    """One entry of a central directory. `offset` is where its local header begins in the file."""

    name: str
    name_bytes: int
    """The length of the name as it is stored."""
    flags: int
    method: int
    crc: int
    compressed: int
    size: int
    offset: int
    is_link: bool

    @property
    def path(self) -> str:
        """The name without `.` and empty parts, which a program that extracts it leaves out."""
        return "/".join(split_name(self.name))

    @property
    def raw_name(self) -> bytes:
        """The name as it is stored. (Both encodings map to and fro without loss.)"""
        return self.name.encode("utf-8" if self.flags & _UTF8_NAME else "cp437")

    @property
    def encrypted(self) -> bool:
        return bool(self.flags & _ENCRYPTED)


def read_wheel(file: BinaryIO, parsed: ParsedFilename) -> bytes:
    """METADATA in the one .dist-info of this release. Raises InvalidDistribution, also when there is none (PEP 427)."""
    members = zip_members(file, parsed)
    found = [member for member in members if re.fullmatch(r"[^/]+\.dist-info/METADATA", member.path)]
    if len(found) != 1:
        what = "no" if not found else f"{len(found)}"
        raise InvalidDistribution(
            f"The wheel {quoted(parsed.filename)} has {what} .dist-info/METADATA at its top; it needs exactly one."
        )
    directory = found[0].path.partition("/")[0]
    if not _names_release(directory.removesuffix(".dist-info"), parsed):
        raise InvalidDistribution(
            f"The wheel {quoted(parsed.filename)} has its metadata in {quoted(directory)}, "
            "which is of another project or version than the filename."
        )
    if sum(member.path == f"{directory}/WHEEL" for member in members) != 1:
        raise InvalidDistribution(
            f"The wheel {quoted(parsed.filename)} needs exactly one {quoted(directory + '/WHEEL')}; build it again."
        )
    return _read_zip_member(file, found[0], parsed)


def _names_release(stem: str, parsed: ParsedFilename) -> bool:
    """Whether `<name>-<version>` is of this release. Old tools left dashes in both, so every dash may separate."""
    for dash in re.finditer("-", stem):
        try:
            name = normalize_name(stem[: dash.start()])
        except InvalidName:
            continue
        if name == parsed.project and same_version(stem[dash.end() :], parsed.version):
            return True
    return False


def read_egg(file: BinaryIO, parsed: ParsedFilename) -> bytes | None:
    """The EGG-INFO/PKG-INFO; None when there is none. Raises InvalidDistribution."""
    found = [member for member in zip_members(file, parsed) if member.path == "EGG-INFO/PKG-INFO"]
    if len(found) > 1:
        raise InvalidDistribution(f"The egg {quoted(parsed.filename)} has EGG-INFO/PKG-INFO more than once.")
    return _read_zip_member(file, found[0], parsed) if found else None


def read_zip_sdist(file: BinaryIO, parsed: ParsedFilename) -> bytes | None:
    """The `<root>/PKG-INFO`; None when there is none. Raises InvalidDistribution."""
    found = []
    for member in zip_members(file, parsed):
        if member.is_link:
            raise unsafe(member.name, "is a link", parsed)
        if re.fullmatch(r"[^/]+/PKG-INFO", member.path):
            found.append(member)
    if len(found) > 1:
        raise ambiguous(parsed)
    return _read_zip_member(file, found[0], parsed) if found else None


def zip_members(file: BinaryIO, parsed: ParsedFilename) -> list[ZipMember]:
    """All of `each_zip_member`."""
    return list(each_zip_member(file, parsed))


def has_zip_member(file: BinaryIO, parsed: ParsedFilename, name: str) -> bool:
    """Whether a sound zip has a member of exactly this name. Raises InvalidDistribution."""
    return sum(member.name == name for member in each_zip_member(file, parsed)) > 0


def each_zip_member(file: BinaryIO, parsed: ParsedFilename) -> Iterator[ZipMember]:
    """The entries of the central directory, checked: complete, in its place, every member within the file and safely
    named. Only a piece of the directory is in memory at a time.

    Raises InvalidDistribution, at the latest when it is exhausted.
    """
    start, size, count, base = _find_directory(file, parsed)
    if count > limits.MAX_MEMBERS or size > limits.MAX_DIRECTORY_BYTES:
        raise Unbounded(
            f"{quoted(parsed.filename)} has {count} members, listed in {size} bytes; "
            f"{limits.MAX_MEMBERS} members and {limits.MAX_DIRECTORY_BYTES} bytes are the limits."
        )
    found = 0
    try:
        for member in _parse_directory(file, start, size, base):
            found += 1
            if found > count or member.offset + _LOCAL_HEADER.size + member.name_bytes + member.compressed > start:
                raise damaged_zip(parsed)
            check_member_name(member.name, parsed)
            yield member
    except (struct.error, ValueError):
        raise damaged_zip(parsed) from None
    if found != count:
        raise damaged_zip(parsed)
    if not found:
        raise InvalidDistribution(f"{quoted(parsed.filename)} is an empty archive.")


def _find_directory(file: BinaryIO, parsed: ParsedFilename) -> tuple[int, int, int, int]:
    """Where the central directory begins, its bytes, its entries, and what to add to the offsets in it."""
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
    if count == 0xFFFF or _IN_64_BITS in {size, offset}:
        end, size, count, offset = _zip64_directory(file, end) or (end, size, count, offset)
    start = end - size
    base = start - offset
    if start < 0 or base < 0:
        raise damaged_zip(parsed)
    if base:
        # Bytes before the archive: those that make an egg a shell script, or an archive within a truncated one.
        file.seek(0)
        if parsed.kind is not Kind.EGG or file.read(2) != b"#!":
            raise damaged_zip(parsed)
    return start, size, count, base


def _zip64_directory(file: BinaryIO, end: int) -> tuple[int, int, int, int] | None:
    """End, size, count and offset of the directory as the zip64 records before the end record have them, if any."""
    place = end - _END_LOCATOR_64.size - _END_RECORD_64.size
    if place < 0:
        return None
    file.seek(place)
    records = file.read(end - place)
    if len(records) != end - place or not records.startswith(b"PK\x06\x06"):
        return None
    if not records.startswith(b"PK\x06\x07", _END_RECORD_64.size):
        return None
    *_, count, size, offset = _END_RECORD_64.unpack_from(records)
    return place, size, count, offset


def _parse_directory(file: BinaryIO, start: int, size: int, base: int) -> Iterator[ZipMember]:
    """Raises ValueError or struct.error when it is not a sequence of whole entries."""
    piece, at, ahead = b"", 0, size  # what was read, the place in it, what of the directory is not read yet
    while ahead or at < len(piece):
        if len(piece) - at < _LONGEST_ENTRY and ahead:
            file.seek(start + size - ahead)
            more = file.read(min(ahead, 2 * _LONGEST_ENTRY))
            if not more:
                raise ValueError("the file became shorter")
            piece, at, ahead = piece[at:] + more, 0, ahead - len(more)
            continue
        entry = _DIRECTORY_ENTRY.unpack_from(piece, at)
        system, flags, method = entry[2], entry[4], entry[5]
        crc, compressed, expanded, name_length, extra_length, comment_length = entry[8:14]
        attributes, offset = entry[16:18]
        at += _DIRECTORY_ENTRY.size
        raw_name = piece[at : at + name_length]
        extra = piece[at + name_length : at + name_length + extra_length]
        at += name_length + extra_length + comment_length
        if entry[0] != b"PK\x01\x02" or at > len(piece):
            raise ValueError("not an entry")
        if _IN_64_BITS in (expanded, compressed, offset):
            expanded, compressed, offset = _zip64_sizes(extra, expanded, compressed, offset)
        yield ZipMember(
            name=raw_name.decode("utf-8" if flags & _UTF8_NAME else "cp437"),
            name_bytes=name_length,
            flags=flags,
            method=method,
            crc=crc,
            compressed=compressed,
            size=expanded,
            offset=base + offset,
            is_link=system == _UNIX and stat.S_ISLNK(attributes >> 16),
        )


def _zip64_sizes(extra: bytes, *sizes: int) -> list[int]:
    """The sizes with those that did not fit into 32 bits taken from the extra field 1, where they stand in order."""
    wide: list[int] = []
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            wide = [number for (number,) in struct.iter_unpack("<Q", extra[4 : 4 + length // 8 * 8])]
            break
        extra = extra[4 + length :]
    return [wide.pop(0) if size == _IN_64_BITS and wide else size for size in sizes]


def _read_zip_member(file: BinaryIO, member: ZipMember, parsed: ParsedFilename) -> bytes:
    """A member that holds a metadata document. Stops at the limit, whatever the sizes in the archive say."""
    if member.encrypted or member.method not in {_STORED, _DEFLATED}:
        raise InvalidDistribution(
            f"{quoted(member.name)} in {quoted(parsed.filename)} is encrypted or compressed in an unusual way; "
            "only stored and deflated members are read."
        )
    file.seek(member.offset)
    header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size:
        raise damaged_zip(parsed)
    signature, *_, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    if signature != b"PK\x03\x04" or file.read(name_length) != member.raw_name:
        raise damaged_zip(parsed)
    file.seek(extra_length, 1)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    document = bytearray()
    remaining = member.compressed
    while remaining and len(document) <= limits.MAX_METADATA_BYTES:
        chunk = file.read(min(limits.CHUNK, remaining))
        if not chunk:
            raise damaged_zip(parsed)
        remaining -= len(chunk)
        try:
            room = limits.MAX_METADATA_BYTES + 1 - len(document)
            document += chunk if member.method == _STORED else inflater.decompress(chunk, room)
        except zlib.error:
            raise damaged_zip(parsed) from None
    if len(document) > limits.MAX_METADATA_BYTES:
        raise oversized(member.name, parsed)
    if len(document) != member.size or zlib.crc32(document) != member.crc:
        raise damaged_zip(parsed)
    return bytes(document)
