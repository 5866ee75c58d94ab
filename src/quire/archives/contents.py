"""The members of an archive, for a person that looks into it: their list, and the beginning of one of them.

An archive that no upload may be can be in a folder of drop-ins, or at another index. So each member that has a name is
listed, and one without content of its own (a link, a device) says so. An archive that is damaged, or has a member whose
name leads out of it, is refused as a whole. A zip is read by its directory; a tar is expanded to its end each time,
within narrower bounds than those of an upload, since a reader without a login can ask for it again and again.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from time import thread_time
from typing import BinaryIO, NamedTuple

from quire.archives import limits
from quire.archives.compression import tar_chunks
from quire.archives.members import check_member_name
from quire.archives.refusals import Unbounded
from quire.archives.tars import ForwardReader, tar_members
from quire.archives.zips import ZipMember, can_expand, each_zip_member, zip_member_data
from quire.domain.names import Kind, ParsedFilename, quoted


class Member(NamedTuple):
    """A file in an archive, or something else that is no folder."""

    path: str
    """Without `.` and empty parts, and with plain slashes. It may have any other character, and lone surrogates."""
    size: int
    """Bytes, as the archive states them."""
    problem: str | None = None
    """Why its content cannot be read: what it is instead of a plain file ("a link"). None where it can."""


def list_members(file: BinaryIO, parsed: ParsedFilename) -> list[Member] | None:
    """All members but folders; of those with the same path the last one, which programs that extract leave.

    None for a file of a kind, or with a compression, that is not read. `file` must be seekable; StoreError of it passes
    through. Raises InvalidDistribution.
    """
    if _is_zip(parsed):
        return _last_of_each(member for member, _ in _members_of_zip(file, parsed))
    reader = _reader_of_tar(file, parsed)
    return None if reader is None else _last_of_each(_members_of_tar(reader, parsed))


def read_beginning(file: BinaryIO, parsed: ParsedFilename, path: str, most: int) -> tuple[Member, bytes] | None:
    """The member that `list_members` has at this path, and up to `most` of its bytes; none of one with a problem.

    None when there is no such one. Raises InvalidDistribution.
    """
    return (_find_in_zip if _is_zip(parsed) else _find_in_tar)(file, parsed, path, most)


def _last_of_each(members: Iterable[Member]) -> list[Member]:
    return list({member.path: member for member in members}.values())


def _is_zip(parsed: ParsedFilename) -> bool:
    return parsed.kind in {Kind.WHEEL, Kind.EGG} or (
        parsed.kind is Kind.SDIST and parsed.filename.lower().endswith(".zip")
    )


# -- zips -------------------------------------------------------------------------------------------------------------


def _members_of_zip(file: BinaryIO, parsed: ParsedFilename) -> Iterator[tuple[Member, ZipMember]]:
    for entry in each_zip_member(file, parsed):
        if entry.path and not entry.is_folder:
            yield Member(entry.path, entry.size, _problem_in_zip(entry)), entry


def _problem_in_zip(entry: ZipMember) -> str | None:
    if entry.encrypted:
        return "encrypted"
    if entry.is_link:
        return "a link"
    return None if can_expand(entry) else "compressed in an unusual way"


def _find_in_zip(file: BinaryIO, parsed: ParsedFilename, path: str, most: int) -> tuple[Member, bytes] | None:
    found = None
    for member, entry in _members_of_zip(file, parsed):
        if member.path == path:
            found = member, entry
    if found is None:
        return None
    pieces, missing = list[bytes](), 0 if found[0].problem else most
    for piece in zip_member_data(file, found[1], parsed) if missing else ():
        pieces.append(piece[:missing])
        missing -= len(pieces[-1])
        if not missing:
            break
    return found[0], b"".join(pieces)


# -- tars -------------------------------------------------------------------------------------------------------------


def _reader_of_tar(file: BinaryIO, parsed: ParsedFilename) -> ForwardReader | None:
    """None for what is no tar, or compressed in a way that is not read."""
    chunks = tar_chunks(file, parsed.filename) if parsed.kind is Kind.SDIST else None
    if chunks is None:
        return None
    size = file.seek(0, 2)
    if size > limits.MAX_LOOKED_AT:
        raise Unbounded(f"{quoted(parsed.filename)} has {size} bytes; {limits.MAX_LOOKED_AT} are read at most.")
    return ForwardReader(_bounded(chunks, parsed))


def _bounded(chunks: Iterator[bytes], parsed: ParsedFilename) -> Iterator[bytes]:
    given, end = 0, thread_time() + limits.MAX_LOOK_SECONDS
    for chunk in chunks:
        given += len(chunk)
        if thread_time() > end:
            raise Unbounded(f"{quoted(parsed.filename)} takes longer than {limits.MAX_LOOK_SECONDS} seconds to expand.")
        if given > limits.MAX_LOOKED_AT:
            raise Unbounded(
                f"{quoted(parsed.filename)} expands to more than {limits.MAX_LOOKED_AT} bytes, which are read at most."
            )
        yield chunk


def _members_of_tar(reader: ForwardReader, parsed: ParsedFilename) -> Iterator[Member]:
    for entry in tar_members(reader, parsed):
        path = "/".join(check_member_name(entry.name, parsed))
        if path and not entry.isdir():
            yield Member(path, entry.size, _problem_in_tar(entry))


def _problem_in_tar(entry: tarfile.TarInfo) -> str | None:
    if entry.issym() or entry.islnk():
        return "a link"
    if entry.issparse():
        return "a sparse file"
    return None if entry.isreg() else "a device or another special file"


def _find_in_tar(file: BinaryIO, parsed: ParsedFilename, path: str, most: int) -> tuple[Member, bytes] | None:
    reader, found = _reader_of_tar(file, parsed), None
    if reader is None:
        return None
    for member in _members_of_tar(reader, parsed):
        if member.path == path:  # its data follows the header, where the reader stands now
            found = member, b"" if member.problem else reader.take(min(most, member.size))
    return found
