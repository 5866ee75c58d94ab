"""A zip archive written field by field, so that any of them can be wrong."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

UTF8, DESCRIPTOR, ENCRYPTED, PATCH, STRONGLY_ENCRYPTED = 0x800, 0x8, 0x1, 0x20, 0x40
LINK = 0o120777


@dataclass(frozen=True)
class Entry:
    """A member. `local` and `central` override fields of one of the two headers: name, version, method, flags, crc,
    compressed, size, extra."""

    name: str | bytes
    data: bytes = b""
    method: int = 8
    flags: int = 0
    mode: int = 0o100644
    comment: bytes = b""
    gap: bytes = b""
    """Bytes before its local header."""
    packed: bytes | None = None
    """The data as stored; None to make it by `method`."""
    is_listed: bool = True
    """Whether the directory has it."""
    is_stored: bool = True
    """Whether it is there itself."""
    local: dict[str, Any] = field(default_factory=dict)
    central: dict[str, Any] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        packed = self.packed
        if packed is None:
            packer = zlib.compressobj(wbits=-15)
            packed = packer.compress(self.data) + packer.flush() if self.method == 8 else self.data
        name = self.name.encode() if isinstance(self.name, str) else self.name
        flags = self.flags | (UTF8 if isinstance(self.name, str) and not name.isascii() else 0)
        return {
            "name": name,
            "version": 20,
            "method": self.method,
            "flags": flags,
            "crc": zlib.crc32(self.data),
            "compressed": len(packed),
            "size": len(self.data),
            "extra": b"",
            "packed": packed,
        }


def zip_of(
    entries: Sequence[Entry],
    *,
    prefix: bytes = b"",
    suffix: bytes = b"",
    comment: bytes = b"",
    before_end: bytes = b"",
    zip64_end: bool = False,
    zip64: dict[str, int] | None = None,
    extensible: bytes = b"",
    end: dict[str, int] | None = None,
    directory_order: Sequence[int] | None = None,
) -> bytes:
    """The archive. `end` overrides fields of the end record: here, count, size, offset; `zip64` those of the zip64
    end record (length, disk, first_disk, here, count, size, offset) and of its locator (its_disk, place, disks).
    """
    body, directory = bytearray(prefix), []
    for entry in entries:
        body += entry.gap
        offset = len(body)
        fields = entry.fields()
        local = fields | entry.local
        if entry.is_stored:
            described = local["flags"] & DESCRIPTOR and "crc" not in entry.local
            stated = (0, 0, 0) if described else (local["crc"], local["compressed"], local["size"])
            body += struct.pack(
                "<4s5H3L2H",
                b"PK\x03\x04",
                local["version"],
                local["flags"],
                local["method"],
                0,
                0x5A21,
                *stated,
                len(local["name"]),
                len(local["extra"]),
            )
            body += local["name"] + local["extra"] + fields["packed"]
            if local["flags"] & DESCRIPTOR:
                body += struct.pack("<4s3L", b"PK\x07\x08", fields["crc"], fields["compressed"], fields["size"])
        central = fields | entry.central
        if entry.is_listed:
            directory.append(
                struct.pack(
                    "<4sBB5H3L5H2L",
                    b"PK\x01\x02",
                    20,
                    3,
                    central["version"],
                    central["flags"],
                    central["method"],
                    0,
                    0x5A21,
                    central["crc"],
                    central["compressed"],
                    central["size"],
                    len(central["name"]),
                    len(central["extra"]),
                    len(entry.comment),
                    0,
                    0,
                    entry.mode << 16,
                    central.get("offset", offset),
                )
                + central["name"]
                + central["extra"]
                + entry.comment
            )
    listed = b"".join(directory[at] for at in (directory_order or range(len(directory))))
    last = {"here": len(directory), "count": len(directory), "size": len(listed), "offset": len(body), **(end or {})}
    start = len(body)
    body += listed
    if zip64_end:
        place = len(body)
        wide = {"length": 44 + len(extensible), "disk": 0, "first_disk": 0, "here": len(directory)}
        wide |= {"count": len(directory), "size": len(listed), "offset": start}
        wide |= {"its_disk": 0, "place": place, "disks": 1, **(zip64 or {})}
        record = [wide[each] for each in ("disk", "first_disk", "here", "count", "size", "offset")]
        body += struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", wide["length"], 45, 45, *record) + extensible
        body += struct.pack("<4sLQL", b"PK\x06\x07", wide["its_disk"], wide["place"], wide["disks"])
        last = {"here": 0xFFFF, "count": 0xFFFF, "size": 0xFFFFFFFF, "offset": 0xFFFFFFFF}
    body += before_end
    body += struct.pack(
        "<4s4H2LH", b"PK\x05\x06", 0, 0, last["here"], last["count"], last["size"], last["offset"], len(comment)
    )
    return bytes(body + comment + suffix)
