"""Core metadata: found in an archive, understood, and compared with the filename.

Theory of operation. Everything here reads bytes that a stranger sent, so every figure an archive states about itself
is a claim. Nothing is ever extracted to disk, and no claim decides how much is read into memory:

- A zip (wheel, egg, `.zip` sdist) is read by its central directory alone. That is parsed here and not by zipfile, which
  takes it whole whatever its size, and forgives what must not pass: an end record found somewhere near the end of the
  file may belong to a zip stored within the one whose tail is missing. Here the directory must end exactly where the
  end record begins, and that must end with the file, so a prefix of a zip is never a zip.
- A tar is streamed: decompressor, then a reader that only goes forward, then tarfile for the header formats. The
  decompressor counts what it gives out, the reader what it lets headers take, and the loop the members. The compressed
  stream must reach its own end with its own checksum, so a prefix of it is never complete either.

Sources: PEP 427 and the binary distribution format (wheels), PEP 517, 625, 643 (sdists), PEP 721 (which members of a
tar are unsafe), the core metadata specification, PKWARE's APPNOTE (zip), RFC 1951 and 1952 (deflate, gzip).
"""

from __future__ import annotations

import bz2
import lzma
import re
import stat
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from typing import IO, Any, BinaryIO, Protocol, cast

from packaging.metadata import RawMetadata, parse_email
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from quire.errors import InvalidDistribution, InvalidName
from quire.names import Kind, ParsedFilename, normalize_name, quoted, same_version

MAX_METADATA_BYTES = 4 * 1024 * 1024
"""Largest core metadata document. The longest real ones hold a README of a few hundred KiB."""

MAX_MEMBERS = 100_000
"""Most members of an archive. The largest real sdists have about 60,000."""

MIN_EXPANDED_LIMIT = 512 * 1024 * 1024
MAX_EXPANSION = 50
"""An sdist may expand to MIN_EXPANDED_LIMIT bytes, or to MAX_EXPANSION times its size if that is more.

Source code shrinks to a fifth and test data to a twentieth, a bomb to a thousandth (bzip2: a millionth). The bound is
about time only, since nothing is kept: it lets a small upload cost a second or two of one core, and no more.
"""

_CHUNK = 64 * 1024
_MAX_DIRECTORY_BYTES = 32 * 1024 * 1024  # of a zip: 100,000 members with names of 300 bytes
_MAX_HEADER_BYTES = 256 * 1024  # of a tar, before one member: tarfile takes long names and pax records whole
_MAX_GLOBAL_HEADERS = 100  # tarfile keeps the global pax records, each of which may have that size
_MAX_PATH_CHARS = 4096  # PATH_MAX; nobody could extract a longer one
_MAX_LINKS = 10_000  # links are remembered, to refuse members beneath them
_MAX_STREAMS = 100_000  # gzip and its like may be concatenated; each costs a new decoder
_LZMA_MEMORY = 128 * 1024 * 1024  # what `xz -9` needs is 65 MiB; the format could ask for 4 GiB
_MAX_FIELD_LINES = 20_000  # of a metadata document; and of different names, see _split_document
_MAX_FIELD_NAMES = 500


class _Unbounded(InvalidDistribution):
    """More than this program is willing to read, or more than belongs to the archive: not a sign of a partial one."""


@dataclass(frozen=True)
class CoreMetadata:
    """The fields of a core metadata document that an index uses, and all of them raw."""

    metadata_version: str
    """Empty when a document that was parsed with strict=False states none."""
    name: str
    """As spelled in the document."""
    version: str
    """As spelled in the document."""
    requires_python: str | None
    """A valid PEP 440 specifier set on one line; None when absent."""
    summary: str | None
    fields: RawMetadata


# -- the public functions ---------------------------------------------------------------------------------------------


def read_metadata(file: BinaryIO, parsed: ParsedFilename) -> bytes | None:
    """The core metadata document inside a distribution, byte for byte.

    A wheel's `<name>-<version>.dist-info/METADATA`, an sdist's `<root>/PKG-INFO`, an egg's `EGG-INFO/PKG-INFO`. None
    when an sdist or egg has none, or the file is of a kind or compression that is not looked into.
    An sdist is read to its end on the way, so that what returns is a sound archive without unsafe members.
    `file` must be seekable; its position before and after does not matter. Raises InvalidDistribution when the bytes
    are no such archive, are truncated or damaged, exceed a limit of this module, or hold members that must not be
    extracted. OSError of the file itself passes through.
    """
    if parsed.kind is Kind.WHEEL:
        return _read_wheel(file, parsed)
    if parsed.kind is Kind.EGG:
        return _read_egg(file, parsed)
    if parsed.kind is Kind.SDIST:
        if parsed.filename.lower().endswith(".zip"):
            return _read_zip_sdist(file, parsed)
        chunks = _tar_chunks(file, parsed.filename)
        return None if chunks is None else _read_tar_sdist(chunks, parsed)
    return None


def is_complete_archive(file: BinaryIO, parsed: ParsedFilename) -> bool:
    """Whether the file is all there, and not still being copied to where it lies.

    A zip needs its central directory at its very end and every member before it; a compressed tar must be readable to
    the end of its stream, a bare one to its end mark. True for formats that cannot be judged (installers, `.tar.Z`)
    and for archives beyond the limits of this module. OSError of the file itself passes through.
    """
    filename = parsed.filename.lower()
    try:
        if filename.endswith((".whl", ".egg", ".zip")):
            _zip_members(file, parsed)
        elif filename.endswith(".tar"):
            for _ in _tar_members(_ForwardReader(_plain_chunks(file)), parsed):
                pass
        else:
            for _ in _tar_chunks(file, parsed.filename) or ():
                pass
    except _Unbounded:
        return True
    except InvalidDistribution:
        return False
    return True


def check_agreement(parsed: ParsedFilename, metadata: CoreMetadata) -> None:
    """Raises InvalidDistribution when the metadata is of another project or version than the filename says.

    Names are compared normalized, versions as PEP 440 orders them; a filename without a version agrees with any.
    """
    try:
        agrees = normalize_name(metadata.name) == parsed.project
    except InvalidName:
        agrees = False
    if not agrees:
        raise InvalidDistribution(
            f"The metadata in {quoted(parsed.filename)} is of {quoted(metadata.name)}, but the filename says "
            f"{quoted(parsed.project)}; build the distribution again under one name."
        )
    if parsed.version and not same_version(metadata.version, parsed.version):
        raise InvalidDistribution(
            f"The metadata in {quoted(parsed.filename)} is of version {quoted(metadata.version)}, but the filename "
            f"says {quoted(parsed.version)}; build the distribution again with one version."
        )


def parse_metadata(document: bytes, *, strict: bool = True) -> CoreMetadata:
    """What a core metadata document says. Unknown fields and newer metadata versions are tolerated.

    Raises InvalidDistribution when it exceeds MAX_METADATA_BYTES, is not UTF-8, states no valid Metadata-Version, Name
    or Version, states Requires-Python and it is invalid, or repeats one of these fields or Summary.
    strict=False is for files that were published long ago: it makes the best of everything, taking the first of
    repeated fields and dropping an invalid Requires-Python as installers do, and raises only without Name or Version.
    """
    if len(document) > MAX_METADATA_BYTES:
        raise InvalidDistribution(f"The core metadata exceeds {MAX_METADATA_BYTES} bytes; shorten the description.")
    try:
        text = document.decode("utf-8-sig", "strict" if strict else "replace")
    except UnicodeDecodeError:
        raise InvalidDistribution(
            "The core metadata is not UTF-8; build the distribution with current tools."
        ) from None
    fields, leftover = _parse_fields(text)

    def single(name: str) -> str | None:
        raw = cast("dict[str, object]", fields)
        value = raw.get(name.lower().replace("-", "_"))
        repeated = leftover.get(name.lower(), [])
        if strict and repeated:
            raise InvalidDistribution(f"The core metadata has {len(repeated)} {name} fields; it may have only one.")
        value = repeated[0] if repeated else value
        return " ".join(value.split()) or None if isinstance(value, str) else None

    metadata_version, name, version = single("Metadata-Version"), single("Name"), single("Version")
    requires_python, summary = single("Requires-Python"), single("Summary")
    if name is None:
        raise InvalidDistribution("The core metadata has no Name; build the distribution with current tools.")
    if version is None:
        raise InvalidDistribution("The core metadata has no Version; build the distribution with current tools.")
    if strict:
        _check_fields(metadata_version, name, version)
    return CoreMetadata(
        metadata_version=metadata_version or "",
        name=name,
        version=version,
        requires_python=_requires_python(requires_python, strict=strict),
        summary=None if summary == "UNKNOWN" else summary,  # what distutils wrote for a field that was not given
        fields=fields,
    )


# -- the metadata document --------------------------------------------------------------------------------------------


def _parse_fields(text: str) -> tuple[RawMetadata, dict[str, list[str]]]:
    """All fields, and what packaging made nothing of: unknown ones, and repeated ones that may stand only once."""
    try:
        header, body = _split_document(text)
        fields, leftover = parse_email(header)
    except InvalidDistribution:
        raise
    except Exception as error:  # noqa: BLE001 - the email package promises to raise nothing, and does on odd input
        raise InvalidDistribution(
            f"The core metadata cannot be parsed ({type(error).__name__}); build the distribution with current tools."
        ) from None
    if body and "description" not in fields:
        fields["description"] = body
    return fields, leftover


def _split_document(text: str) -> tuple[str, str]:
    """The header fields, and the body below them, which is the description.

    They are parsed apart because the email package would look for MIME parts in the body, within parts, without bound.
    And the number of fields is bounded because parse_email searches all of them once for every name.
    """
    message = HeaderParser().parsestr(text)
    names = message.keys()
    if len(names) > _MAX_FIELD_LINES or len({name.lower() for name in names}) > _MAX_FIELD_NAMES:
        raise InvalidDistribution(
            f"The core metadata has {len(names)} fields; it may have {_MAX_FIELD_LINES}, "
            f"of {_MAX_FIELD_NAMES} different names."
        )
    body = message.get_payload()
    assert isinstance(body, str)  # HeaderParser does not look for parts
    return text[: len(text) - len(body)], body


def _check_fields(metadata_version: str | None, name: str, version: str) -> None:
    if metadata_version is None:
        raise InvalidDistribution(
            "The core metadata has no Metadata-Version; build the distribution with current tools."
        )
    if not re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,9}", metadata_version):
        raise InvalidDistribution(f"The Metadata-Version {quoted(metadata_version)} is not a number like 2.4.")
    try:
        normalize_name(name)
    except InvalidName as error:
        raise InvalidDistribution(f"The core metadata has no valid Name: {error}") from None
    try:
        if len(version) > 200:
            raise InvalidVersion
        Version(version)
    except ValueError:
        raise InvalidDistribution(
            f"The Version {quoted(version)} in the core metadata is not a PEP 440 version; use one like 1.2.3."
        ) from None


def _requires_python(value: str | None, *, strict: bool) -> str | None:
    if value is None:
        return None
    try:
        if len(value) > 1000:
            raise InvalidSpecifier
        SpecifierSet(value)
    except ValueError:
        if not strict:
            return None
        raise InvalidDistribution(
            f"The Requires-Python {quoted(value)} in the core metadata is not a version specifier; use one like >=3.11."
        ) from None
    return value


# -- zip: wheels, eggs, old sdists ------------------------------------------------------------------------------------

_END_RECORD = struct.Struct("<4s4H2LH")
_END_LOCATOR_64 = struct.Struct("<4sLQL")
_END_RECORD_64 = struct.Struct("<4sQ2H2L4Q")
_DIRECTORY_ENTRY = struct.Struct("<4sBB5H3L5H2L")
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _UTF8_NAME = 0x1, 0x800
_UNIX = 3


@dataclass(frozen=True, slots=True)
class _ZipMember:
    """One entry of a central directory. `offset` is where its local header begins in the file."""

    name: str
    path: str
    """The name without `.` and empty parts, which whoever extracts it leaves out."""
    raw_name: bytes
    encrypted: bool
    method: int
    crc: int
    compressed: int
    size: int
    offset: int
    is_link: bool


def _read_wheel(file: BinaryIO, parsed: ParsedFilename) -> bytes:
    members = _zip_members(file, parsed)
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


def _read_egg(file: BinaryIO, parsed: ParsedFilename) -> bytes | None:
    found = [member for member in _zip_members(file, parsed) if member.path == "EGG-INFO/PKG-INFO"]
    if len(found) > 1:
        raise InvalidDistribution(f"The egg {quoted(parsed.filename)} has EGG-INFO/PKG-INFO more than once.")
    return _read_zip_member(file, found[0], parsed) if found else None


def _read_zip_sdist(file: BinaryIO, parsed: ParsedFilename) -> bytes | None:
    found = []
    for member in _zip_members(file, parsed):
        if member.is_link:
            raise _unsafe(member.name, "is a link", parsed)
        if re.fullmatch(r"[^/]+/PKG-INFO", member.path):
            found.append(member)
    if len(found) > 1:
        raise _ambiguous(parsed)
    return _read_zip_member(file, found[0], parsed) if found else None


def _zip_members(file: BinaryIO, parsed: ParsedFilename) -> list[_ZipMember]:
    """The central directory, checked: complete, in its place, every member within the file and safely named."""
    start, size, count, base = _find_directory(file, parsed)
    if count > MAX_MEMBERS or size > _MAX_DIRECTORY_BYTES:
        raise _Unbounded(f"{quoted(parsed.filename)} has {count} members; {MAX_MEMBERS} is the limit.")
    file.seek(start)
    directory = file.read(size)
    try:
        members = list(_parse_directory(directory, base))
    except (struct.error, ValueError):
        raise _damaged_zip(parsed) from None
    if len(members) != count:
        raise _damaged_zip(parsed)
    if not members:
        raise InvalidDistribution(f"{quoted(parsed.filename)} is an empty archive.")
    for member in members:
        if member.offset + _LOCAL_HEADER.size + len(member.raw_name) + member.compressed > start:
            raise _damaged_zip(parsed)
        _check_member_name(member.name, parsed)
    return members


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
        raise _damaged_zip(parsed)
    end = tail_start + at
    if count == 0xFFFF or 0xFFFFFFFF in {size, offset}:
        end, size, count, offset = _zip64_directory(file, end) or (end, size, count, offset)
    start = end - size
    base = start - offset
    if start < 0 or base < 0:
        raise _damaged_zip(parsed)
    if base:
        # Bytes before the archive: those that make an egg a shell script, or an archive within a truncated one.
        file.seek(0)
        if parsed.kind is not Kind.EGG or file.read(2) != b"#!":
            raise _damaged_zip(parsed)
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


def _parse_directory(directory: bytes, base: int) -> Iterator[_ZipMember]:
    """Raises ValueError or struct.error when it is not a sequence of whole entries."""
    at = 0
    while at < len(directory):
        entry = _DIRECTORY_ENTRY.unpack_from(directory, at)
        system, flags, method = entry[2], entry[4], entry[5]
        crc, compressed, size, name_length, extra_length, comment_length = entry[8:14]
        attributes, offset = entry[16:18]
        at += _DIRECTORY_ENTRY.size
        raw_name = directory[at : at + name_length]
        extra = directory[at + name_length : at + name_length + extra_length]
        at += name_length + extra_length + comment_length
        if entry[0] != b"PK\x01\x02" or at > len(directory):
            raise ValueError("not an entry")
        size, compressed, offset = _zip64_sizes(extra, size, compressed, offset)
        name = raw_name.decode("utf-8" if flags & _UTF8_NAME else "cp437")
        yield _ZipMember(
            name=name,
            path="/".join(_parts(name)),
            raw_name=raw_name,
            encrypted=bool(flags & _ENCRYPTED),
            method=method,
            crc=crc,
            compressed=compressed,
            size=size,
            offset=base + offset,
            is_link=system == _UNIX and stat.S_ISLNK(attributes >> 16),
        )


def _zip64_sizes(extra: bytes, *sizes: int) -> list[int]:
    """The sizes with those that did not fit into 32 bits taken from the extra field 1, where they stand in order."""
    wide: list[int] = []
    while len(extra) >= 4 and 0xFFFFFFFF in sizes:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            wide = [number for (number,) in struct.iter_unpack("<Q", extra[4 : 4 + length // 8 * 8])]
            break
        extra = extra[4 + length :]
    return [wide.pop(0) if size == 0xFFFFFFFF and wide else size for size in sizes]


def _read_zip_member(file: BinaryIO, member: _ZipMember, parsed: ParsedFilename) -> bytes:
    """A member that holds a metadata document. Stops at the limit, whatever the sizes in the archive say."""
    if member.encrypted or member.method not in {_STORED, _DEFLATED}:
        raise InvalidDistribution(
            f"{quoted(member.name)} in {quoted(parsed.filename)} is encrypted or compressed in an unusual way; "
            "only stored and deflated members are read."
        )
    file.seek(member.offset)
    header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size:
        raise _damaged_zip(parsed)
    signature, *_, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    if signature != b"PK\x03\x04" or file.read(name_length) != member.raw_name:
        raise _damaged_zip(parsed)
    file.seek(extra_length, 1)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    document = bytearray()
    remaining = member.compressed
    while remaining and len(document) <= MAX_METADATA_BYTES:
        chunk = file.read(min(_CHUNK, remaining))
        if not chunk:
            raise _damaged_zip(parsed)
        remaining -= len(chunk)
        try:
            room = MAX_METADATA_BYTES + 1 - len(document)
            document += chunk if member.method == _STORED else inflater.decompress(chunk, room)
        except zlib.error:
            raise _damaged_zip(parsed) from None
    if len(document) > MAX_METADATA_BYTES:
        raise _oversized(member.name, parsed)
    if len(document) != member.size or zlib.crc32(document) != member.crc:
        raise _damaged_zip(parsed)
    return bytes(document)


def _damaged_zip(parsed: ParsedFilename) -> InvalidDistribution:
    return InvalidDistribution(f"{quoted(parsed.filename)} is a damaged or truncated zip archive; send it again.")


# -- tar: sdists ------------------------------------------------------------------------------------------------------


class _Decoder(Protocol):
    """What the decoders of bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _GzipDecoder:
    """zlib's decoder in the shape of the others: it keeps the input that it had no room to expand."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


@dataclass(frozen=True, slots=True)
class _Codec:
    suffixes: tuple[str, ...]
    new: Callable[[], _Decoder]
    magic: bytes
    """How a further stream in the same file begins; empty when there can be none."""


_CODECS = (
    _Codec((".gz", ".tgz"), _GzipDecoder, b"\x1f\x8b"),
    _Codec((".bz2", ".tbz", ".tbz2"), bz2.BZ2Decompressor, b"BZh"),
    _Codec((".xz", ".txz"), lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _LZMA_MEMORY), b"\xfd7zXZ\0"),
    _Codec((".lzma",), lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, _LZMA_MEMORY), b""),
)


def _tar_chunks(file: BinaryIO, filename: str) -> Iterator[bytes] | None:
    """The tar in a file, piece by piece, by the suffix of its name; None when its compression is not known here."""
    filename = filename.lower()
    if filename.endswith(".tar"):
        return _plain_chunks(file)
    for codec in _CODECS:
        if filename.endswith(codec.suffixes):
            return _expanded_chunks(file, codec, filename)
    return None


def _plain_chunks(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    while chunk := file.read(_CHUNK):
        yield chunk


def _expanded_chunks(file: BinaryIO, codec: _Codec, filename: str) -> Iterator[bytes]:
    """Everything that a compressed file expands to. Exhausted only if each of its streams reached its end mark."""
    limit = max(MIN_EXPANDED_LIMIT, MAX_EXPANSION * file.seek(0, 2))
    given = 0
    file.seek(0)
    data = file.read(_CHUNK)
    for _ in range(_MAX_STREAMS):
        decoder = codec.new()
        while not decoder.eof:
            try:
                output = decoder.decompress(data, _CHUNK)
            except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError):  # OSError: bz2 on wrong data
                raise InvalidDistribution(
                    f"{quoted(filename)} is damaged, or not compressed as its name says; send it again."
                ) from None
            data = b""
            given += len(output)
            if given > limit:
                raise _Unbounded(f"{quoted(filename)} expands to more than {limit} bytes; that is no source code.")
            if output:
                yield output
            elif not decoder.eof:
                data = file.read(_CHUNK)
                if not data:
                    raise _truncated(filename)
        data = _next_stream(file, decoder.unused_data, codec, filename)
        if not data:
            return
    raise _Unbounded(f"{quoted(filename)} consists of more than {_MAX_STREAMS} compressed streams.")


def _next_stream(file: BinaryIO, rest: bytes, codec: _Codec, filename: str) -> bytes:
    """What follows a compressed stream: the begin of another, or nothing (b"") but zeros, which are padding."""
    rest = rest.lstrip(b"\0")
    while len(rest) <= len(codec.magic) and (more := file.read(_CHUNK)):
        rest = rest + more if rest else more.lstrip(b"\0")
    if not rest or (codec.magic and rest.startswith(codec.magic)):
        return rest
    if codec.magic.startswith(rest):
        raise _truncated(filename)
    raise _Unbounded(f"{quoted(filename)} has other bytes after its end; build it again.")


class _ForwardReader:
    """The file object that tarfile reads headers from. What it may take is bounded; data is skipped, not kept."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._piece = memoryview(b"")
        self._position = 0
        self.header_bytes = 0
        """Read by tarfile since somebody set this to zero."""
        self.last_header = b""

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        """Skip to a later position, or to the end if that comes first. A sound tar never points back."""
        if position < self._position:
            raise tarfile.ReadError("a header points back")
        for _ in self._pieces(position - self._position):
            pass

    def read(self, size: int) -> bytes:
        """For tarfile, which takes records of any stated size at once."""
        self.header_bytes += size
        if size < 0 or self.header_bytes > _MAX_HEADER_BYTES:
            raise tarfile.ReadError("a header is too long")
        self.last_header = self.take(size)
        return self.last_header

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


def _read_tar_sdist(chunks: Iterator[bytes], parsed: ParsedFilename) -> bytes | None:
    reader = _ForwardReader(chunks)
    links: set[tuple[str, ...]] = set()
    document = None
    for member in _tar_members(reader, parsed):
        parts = _check_tar_member(member, links, parsed)
        if len(parts) == 2 and parts[1] == "PKG-INFO":
            if document is not None:
                raise _ambiguous(parsed)
            if member.type not in {tarfile.REGTYPE, tarfile.AREGTYPE} or member.issparse():
                raise _unsafe(member.name, "is not a plain file", parsed)
            if member.size > MAX_METADATA_BYTES:
                raise _oversized(member.name, parsed)
            document = reader.take(member.size)  # the data follows the header, where the reader stands now
    return document


def _tar_members(reader: _ForwardReader, parsed: ParsedFilename) -> Iterator[tarfile.TarInfo]:
    """The members in their order; the reader stands at a member's data while it is the current one.

    Exhausted only if the archive has its end mark, and the stream below it its own.
    """
    archive: tarfile.TarFile | None = None
    count = 0
    while True:
        reader.header_bytes = 0
        try:
            if archive is None:
                archive = tarfile.TarFile(fileobj=cast("IO[bytes]", reader), mode="r", encoding="utf-8")
            member = archive.next()
        except (InvalidDistribution, OSError):
            raise
        except Exception:  # noqa: BLE001 - tarfile raises TarError and on odd input a dozen others, RecursionError too
            raise _damaged_tar(parsed) from None
        cast("Any", archive).members.clear()  # it would keep them all; the attribute is public, but not in typeshed
        if member is None:
            break
        count += 1
        if count > MAX_MEMBERS:
            raise _Unbounded(f"{quoted(parsed.filename)} has more than {MAX_MEMBERS} members.")
        if member.size < 0 or len(archive.pax_headers) > _MAX_GLOBAL_HEADERS:
            raise _damaged_tar(parsed)
        yield member
    # tarfile also takes a missing or unreadable header for the end; only a block of zeros is one.
    if not count or reader.last_header != bytes(tarfile.BLOCKSIZE):
        raise _damaged_tar(parsed)
    reader.drain()


def _check_tar_member(member: tarfile.TarInfo, links: set[tuple[str, ...]], parsed: ParsedFilename) -> tuple[str, ...]:
    """The parts of a member's name. Raises InvalidDistribution where PEP 721's data filter would, and somewhat before.

    The filter looks at the disk to see where a link leads. Nothing is on the disk here, so what would need a look is
    refused: members beneath a link, and links that go up after having gone down. `links` collects the links so far.
    """
    parts = _check_member_name(member.name, parsed)
    if any(parts[:depth] in links for depth in range(1, len(parts))):
        raise _unsafe(member.name, "lies beneath a link", parsed)
    if member.issym() or member.islnk():
        target = _parts(member.linkname)
        climbs = next((depth for depth, part in enumerate(target) if part != ".."), len(target))
        room = len(parts) - 1 if member.issym() else 0  # a hard link's target is named from the archive's root
        if _is_absolute(member.linkname) or climbs > room or ".." in target[climbs:]:
            raise _unsafe(member.name, "is a link out of the archive", parsed)
        links.add(parts)
        if len(links) > _MAX_LINKS:
            raise _Unbounded(f"{quoted(parsed.filename)} has more than {_MAX_LINKS} links.")
    elif not (member.isreg() or member.isdir()):
        raise _unsafe(member.name, "is a device or another special file", parsed)
    return parts


def _check_member_name(name: str, parsed: ParsedFilename) -> tuple[str, ...]:
    """The parts of a member's name, if it names something within the archive's own folder on any system."""
    if _is_absolute(name):
        raise _unsafe(name, "has an absolute name", parsed)
    parts = _parts(name)
    if ".." in parts:
        raise _unsafe(name, "has '..' in its name", parsed)
    if "\0" in name or len(name) > _MAX_PATH_CHARS:
        raise _unsafe(name, "has a name that no file can have", parsed)
    return parts


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in name.replace("\\", "/").split("/") if part not in {"", "."})


def _is_absolute(name: str) -> bool:
    return re.match(r"[/\\]|[A-Za-z]:[/\\]", name) is not None


# -- the sentences ----------------------------------------------------------------------------------------------------


def _unsafe(member: str, what: str, parsed: ParsedFilename) -> InvalidDistribution:
    return InvalidDistribution(
        f"{quoted(parsed.filename)} cannot be accepted, since its member {quoted(member)} {what}; build it without."
    )


def _oversized(member: str, parsed: ParsedFilename) -> InvalidDistribution:
    return InvalidDistribution(
        f"{quoted(member)} in {quoted(parsed.filename)} exceeds {MAX_METADATA_BYTES} bytes; shorten the description."
    )


def _ambiguous(parsed: ParsedFilename) -> InvalidDistribution:
    return InvalidDistribution(f"The sdist {quoted(parsed.filename)} has more than one PKG-INFO at its top.")


def _damaged_tar(parsed: ParsedFilename) -> InvalidDistribution:
    return InvalidDistribution(f"{quoted(parsed.filename)} is a damaged or truncated tar archive; send it again.")


def _truncated(filename: str) -> InvalidDistribution:
    return InvalidDistribution(f"{quoted(filename)} is truncated; send it again.")
