"""The framing of an uploaded zip: what every reader must find in it alike.

Some programs read a zip by its central directory (zipfile, hence pip), some from its first byte on (uv, while it
downloads). An archive in which the two find different files is refused by uv, by PyPI, and here. So the local headers
and their data must follow one another without a gap from the first byte to the directory, and say what it says.

All data is expanded, since no installer can install a member with a wrong checksum. Only the data of small files that
are examined is kept.

Sources: PKWARE's APPNOTE 4.3 to 4.5, PyPI's page on archives (docs.pypi.org/archives).
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping, Sequence
from typing import BinaryIO

from quire.archives import limits
from quire.archives.refusals import Unbounded, damaged_zip, oversized, unsafe, unusable
from quire.archives.zips import DEFLATED, LOCAL_HEADER, STORED, Directory, ZipMember, zip64_sizes, zip_data
from quire.domain.names import ParsedFilename, quoted

_ENCRYPTED, _DESCRIPTOR, _PATCH, _STRONGLY_ENCRYPTED, _UTF8_NAME = 0x1, 0x8, 0x20, 0x40, 0x800
_NEWEST_VERSION = 63  # 6.3: installers refuse newer ones
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075
_LOCAL_ZIP64_LENGTHS = {0, 16, 24, 28}


def check_zip_layout(
    file: BinaryIO, directory: Directory, members: Sequence[ZipMember], parsed: ParsedFilename, keep: Mapping[str, int]
) -> dict[str, bytes]:
    """The data of those members that `keep` names, with the most bytes that each may have.

    `members`: the whole directory, in any order. Raises InvalidDistribution.
    """
    kept = {}
    length = file.seek(0, 2)
    expanded = sum(member.size for member in members)
    limit = max(limits.MIN_ZIP_EXPANDED_LIMIT, limits.MAX_ZIP_EXPANSION * length)
    limit = min(limit, limits.MAX_EXPANDED_LIMIT)
    if expanded > limit:
        raise Unbounded(f"{quoted(parsed.filename)} expands to {expanded} bytes; {limit} is the limit for its size.")
    if any(1 <= byte <= 8 for byte in directory.comment):
        raise unusable("has control characters in its comment", parsed)
    position = 0
    file.seek(0)
    for member in sorted(members, key=lambda each: each.offset):
        _check_entry(member, parsed)
        if member.offset != position:
            raise unusable("has bytes between its members, or members that lie in each other", parsed)
        position += _check_local_header(file, member, parsed) + member.compressed
        data, most = zip_data(file, member, parsed), keep.get(member.name)
        if most is None:
            for _ in data:
                pass
        elif member.size > most:
            raise oversized(member.name, most, parsed)
        else:
            kept[member.name] = b"".join(data)
    if position != directory.start:
        raise unusable("has bytes between its members and its directory", parsed)
    return kept


def _check_entry(member: ZipMember, parsed: ParsedFilename) -> None:
    if not (member.name.isascii() or member.flags & _UTF8_NAME):
        raise unsafe(member.name, "has a name that is not marked as UTF-8", parsed)
    if member.is_folder and (member.size or member.crc):
        raise unsafe(member.name, "is a folder with data", parsed)
    if member.has_comment:
        raise unsafe(member.name, "has a comment", parsed)
    problem = _problem_of_extra(member.extra, member.raw_name, {8 * member.in_64_bits})
    if problem is not None:
        raise unsafe(member.name, problem, parsed)


def _check_local_header(file: BinaryIO, member: ZipMember, parsed: ParsedFilename) -> int:
    """The length of the header at the place where `file` stands; it stands behind it then."""
    header = file.read(LOCAL_HEADER.size)
    if len(header) < LOCAL_HEADER.size:
        raise damaged_zip(parsed)
    fields = LOCAL_HEADER.unpack(header)
    signature, version, flags, method, _, _, crc, compressed, size, name_length, extra_length = fields
    name, extra = file.read(name_length), file.read(extra_length)
    if signature != b"PK\x03\x04" or len(extra) != extra_length:
        raise damaged_zip(parsed)
    problem = _problem_of_flags(flags | member.flags)
    if method not in {STORED, DEFLATED}:
        problem = problem or "is compressed otherwise than by deflate"
    elif max(version & 0xFF, member.version & 0xFF) > _NEWEST_VERSION:
        problem = problem or "is of a newer version of the zip format than installers read"
    elif not name.isascii() and (flags ^ member.flags) & _UTF8_NAME:
        problem = problem or "has a name that only one of its headers marks as UTF-8"
    zip64_lengths = _LOCAL_ZIP64_LENGTHS | ({8} if method == STORED else set())
    problem = problem or _problem_of_extra(extra, name, zip64_lengths)
    if problem is not None:
        raise unsafe(member.name, problem, parsed)
    size, compressed = zip64_sizes(extra, size, compressed)
    stated = (name, method, crc, compressed, size)
    if stated != (member.raw_name, member.method, member.crc, member.compressed, member.size):
        raise unsafe(member.name, "is another one in its own header than in the directory", parsed)
    return LOCAL_HEADER.size + len(name) + len(extra)


def _problem_of_flags(flags: int) -> str | None:
    """The problem of a member with these flags in either of its headers; None when it has none."""
    if flags & _DESCRIPTOR:
        return "was written with a data descriptor, which readers interpret differently"
    if flags & (_ENCRYPTED | _STRONGLY_ENCRYPTED):
        return "is encrypted"
    return "is a patch of another file" if flags & _PATCH else None


def _problem_of_extra(extra: bytes, name: bytes, zip64_lengths: Collection[int]) -> str | None:
    """The problem of the extra fields of a header; None when they have none.

    `zip64_lengths`: those that the field of zip64 may have; 0 among them where there need be none.
    """
    seen = set()
    while extra:
        if len(extra) < 4:
            return "has an extra field that is cut off"
        kind, length = struct.unpack_from("<2H", extra)
        field, extra = extra[4 : 4 + length], extra[4 + length :]
        if len(field) != length:
            return "has an extra field that is cut off"
        if kind in seen and kind in {_ZIP64, _UNICODE_PATH}:
            return "has an extra field twice"
        seen.add(kind)
        if kind == _ZIP64 and length not in zip64_lengths:
            return "has a zip64 field of a wrong length"
        if kind == _UNICODE_PATH and field[5:] != name:
            return "has another name in an extra field"
    return None if 0 in zip64_lengths or _ZIP64 in seen else "has no zip64 field"
