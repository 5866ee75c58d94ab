"""The form in which the advisories of one source are kept: one immutable blob.

Theory of operation. Workers look up versions all the time, and whole documents now and then. So the blob has the whole
documents first, compressed in pieces of some hundred KiB, each of which is read by itself when a document of it is
asked for; then what lookups need (`quire.domain.osv.Entry`), and a list of ids, which a worker keeps in memory; and at
its end where these are. A project is found by a hash of its name in a sorted array, and its entries are decoded when
they are asked for: in memory, they are bytes. For 30,000 advisories these are some MiB, loaded in some hundredths of a
second.

    magic, pieces of documents, lookups, ids, footer (MessagePack), size of the footer (4 bytes), magic

Only `quire osv update` writes it. A reader that does not know the number in the footer refuses the blob.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import msgspec
import zstandard

from quire.domain.affected import Affected
from quire.domain.errors import DamagedRecord
from quire.domain.osv import Entry, Taken
from quire.store.open_blob import ReadByPosition

FORMAT: Final = 1
MAGIC: Final = b"quireosv"
MAX_SECTION_BYTES: Final = 512 * 1024 * 1024
"""Of lookups or ids, unpacked."""
_PIECE_BYTES: Final = 256 * 1024
_MAX_PIECE_BYTES: Final = 64 * 1024 * 1024
_MAX_FOOTER_BYTES: Final = 16 * 1024 * 1024
_LEVEL: Final = 10
_END: Final = struct.Struct("<I8s")
_PROJECTS: Final = 256
_VERSIONS: Final = 4096
"""Projects whose entries are kept decoded, and versions whose advisories are."""


class _Section(msgspec.Struct, frozen=True, array_like=True):
    offset: int
    packed: int
    """Bytes in the blob."""
    size: int
    """Bytes when unpacked."""


class _Footer(msgspec.Struct, frozen=True):
    format: int
    documents: int
    malicious: int
    projects: int
    lookups: _Section
    ids: _Section
    pieces: tuple[int, ...]
    """Where each begins, and where the last one ends."""


_Project = tuple[str, tuple[Entry, ...]]
_decode_project: Final = msgspec.msgpack.Decoder(_Project).decode
_decode_any: Final = msgspec.msgpack.Decoder(dict[str, object]).decode
_decode_footer: Final = msgspec.msgpack.Decoder(_Footer).decode
_decode_piece: Final = msgspec.msgpack.Decoder(list[tuple[str, bytes]]).decode
_encode: Final = msgspec.msgpack.Encoder().encode


class Packer:
    """Makes such a blob. Use once."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        """`write`: takes the bytes of the blob in their order."""
        self._write = write
        self._written = 0
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
        self._projects: dict[str, list[Entry]] = {}
        self._ids: dict[str, int] = {}
        self._piece: list[tuple[str, bytes]] = []
        self._piece_bytes = 0
        self._pieces: list[int] = []
        self.malicious = 0
        """Documents so far that report malicious packages, and that stand."""
        self._put(MAGIC)

    def __len__(self) -> int:
        """Documents so far."""
        return len(self._ids)

    @property
    def projects(self) -> int:
        """Projects so far that are affected."""
        return len(self._projects)

    def add(self, taken: Taken, data: bytes) -> bool:
        """Add a document; False when another one has its id. One that was withdrawn is kept, and affects nothing."""
        if taken.id in self._ids:
            return False
        self._ids[taken.id] = len(self._pieces)
        self._piece.append((taken.id, data))
        self._piece_bytes += len(data)
        if self._piece_bytes >= _PIECE_BYTES:
            self._end_piece()
        if not taken.is_withdrawn:
            for name, entry in taken.entries.items():
                self._projects.setdefault(name, []).append(entry)
            self.malicious += any(entry.is_malicious for entry in taken.entries.values())
        return True

    def finish(self) -> None:
        """Write the rest."""
        if self._piece:
            self._end_piece()
        self._pieces.append(self._written)
        projects = sorted((_hash(name), name) for name in self._projects)
        bodies = [_encode((name, sorted(self._projects[name], key=lambda each: each.id))) for _, name in projects]
        offsets = array("I", [0])
        for body in bodies:
            offsets.append(offsets[-1] + len(body))
        lookups = self._section(_bytes("Q", (each for each, _ in projects)), _bytes("I", offsets), *bodies)
        ids = sorted((_hash(identity), piece) for identity, piece in self._ids.items())
        numbers = self._section(_bytes("Q", (each for each, _ in ids)), _bytes("I", (piece for _, piece in ids)))
        footer = _encode(
            _Footer(FORMAT, len(ids), self.malicious, len(projects), lookups, numbers, tuple(self._pieces))
        )
        self._put(footer)
        self._put(_END.pack(len(footer), MAGIC))

    def _section(self, *parts: bytes) -> _Section:
        data = b"".join(parts)
        packed, offset = self._compressor.compress(data), self._written
        self._put(packed)
        return _Section(offset, len(packed), len(data))

    def _end_piece(self) -> None:
        self._pieces.append(self._written)
        self._put(self._compressor.compress(_encode(self._piece)))
        self._piece, self._piece_bytes = [], 0

    def _put(self, data: bytes) -> None:
        self._write(data)
        self._written += len(data)


class Packed:
    """The advisories of one such blob, in memory but for the documents. Immutable; any thread may ask."""

    def __init__(self, blob: ReadByPosition) -> None:
        """Reads what lookups need; `blob` is not kept. Raises DamagedRecord, StoreError."""
        try:
            self._footer = footer = _footer(blob)
            lookups, ids = _unpacked(blob, footer.lookups), _unpacked(blob, footer.ids)
            self._hashes, offsets = _arrays(lookups, footer.projects, footer.projects + 1)
            self._ids, self._numbers = _arrays(ids, footer.documents, footer.documents)
        except (msgspec.MsgspecError, zstandard.ZstdError, struct.error, ValueError) as error:
            raise DamagedRecord(f"The advisories in the store cannot be read ({error}); update them again.") from error
        begin = footer.projects * 12 + 4
        hashes = self._hashes

        # No method: a cache of one would be in a cycle with the object, and keep its MiB until they are collected.
        @lru_cache(_PROJECTS)
        def affected(name: str) -> Affected | None:
            wanted = _hash(name)
            at = bisect_left(hashes, wanted)
            while at < len(hashes) and hashes[at] == wanted:
                found, entries = _decode_project(lookups[begin + offsets[at] : begin + offsets[at + 1]])
                if found == name:
                    return Affected(entries)
                at += 1
            return None

        @lru_cache(_VERSIONS)
        def of(name: str, version: str) -> tuple[Entry, ...]:
            project = affected(name)
            return () if project is None else tuple(project.of(version))

        self._affected = affected
        self.of: Callable[[str, str], tuple[Entry, ...]] = of
        """The entries by which a version of a project (normalized name) is affected, by id."""
        self.bytes_in_memory = len(lookups) + len(ids) * 2 + footer.projects * 12

    def __len__(self) -> int:
        """Documents."""
        return self._footer.documents

    @property
    def malicious(self) -> int:
        """Documents that report malicious packages."""
        return self._footer.malicious

    @property
    def projects(self) -> int:
        """Projects that are affected."""
        return self._footer.projects

    def entries(self, name: str) -> Sequence[Entry]:
        """All entries of a project."""
        project = self._affected(name)
        return () if project is None else project.entries

    def fixed_by(self, name: str, version: str) -> Sequence[Entry]:
        """The entries of a project that name a version as one that ends them."""
        project = self._affected(name)
        return () if project is None else project.fixed_by(version)

    def has(self, identity: str) -> bool:
        """Whether there is a document of this id (or, by a chance that does not matter, one of the same hash)."""
        wanted = _hash(identity)
        at = bisect_left(self._ids, wanted)
        return at < len(self._ids) and self._ids[at] == wanted

    def documents(self, blob: ReadByPosition, ids: Iterable[str]) -> dict[str, bytes]:
        """The documents of these ids, as their source has them; those that there are. `blob`: the one that was read.

        Raises DamagedRecord, StoreError.
        """
        wanted = set(ids)
        pieces: set[int] = set()
        for identity in wanted:
            hashed = _hash(identity)
            at = bisect_left(self._ids, hashed)
            while at < len(self._ids) and self._ids[at] == hashed:
                pieces.add(self._numbers[at])
                at += 1
        found: dict[str, bytes] = {}
        for number in sorted(pieces):
            begin, end = self._footer.pieces[number : number + 2]
            try:
                data = zstandard.ZstdDecompressor().decompress(
                    blob.read_at(begin, end - begin), max_output_size=_MAX_PIECE_BYTES
                )
                found |= {each: document for each, document in _decode_piece(data) if each in wanted}
            except (msgspec.MsgspecError, zstandard.ZstdError) as error:
                raise DamagedRecord(f"An advisory in the store is damaged ({error}); update them again.") from error
        return found


def _footer(blob: ReadByPosition) -> _Footer:
    size, magic = _END.unpack(blob.read_at(blob.size - _END.size, _END.size) if blob.size >= _END.size else b"")
    if magic != MAGIC or size > min(_MAX_FOOTER_BYTES, blob.size):
        raise ValueError("they have no end")
    data = blob.read_at(blob.size - _END.size - size, size)
    found = _decode_any(data).get("format")
    if found != FORMAT:
        raise ValueError(f"their format is {found}, and this version of quire reads {FORMAT}")
    return _decode_footer(data)


def _unpacked(blob: ReadByPosition, section: _Section) -> bytes:
    if section.size > MAX_SECTION_BYTES:
        raise ValueError(f"a part of them has {section.size} bytes")
    packed = blob.read_at(section.offset, section.packed)
    data = zstandard.ZstdDecompressor().decompress(packed, max_output_size=section.size) if section.size else b""
    if len(data) != section.size:
        raise ValueError("a part of them is cut off")
    return data


def _arrays(data: bytes, hashes: int, numbers: int) -> tuple[array[int], array[int]]:
    """The two arrays at the beginning of a section."""
    found = array("Q"), array("I")
    found[0].frombytes(data[: hashes * 8])
    found[1].frombytes(data[hashes * 8 : hashes * 8 + numbers * 4])
    if (len(found[0]), len(found[1])) != (hashes, numbers):
        raise ValueError("a part of them is cut off")
    if sys.byteorder == "big":
        for each in found:
            each.byteswap()
    return found


def _bytes(kind: str, numbers: Iterable[int]) -> bytes:
    made = array(kind, numbers)
    if sys.byteorder == "big":
        made.byteswap()
    return made.tobytes()


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
