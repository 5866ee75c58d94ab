"""The tombstones of deleted files: their names and digests, so that no filename ever comes back with other bytes.

Lock files, caches and people remember a file by its name. So the record of a project keeps the sha256 of every file
that it once listed; it goes on keeping them, as the note of its deletion, when the last file is gone.

They are few bytes. The latest are legible, one a line; older ones are packed, 128 at a time, into some 47 bytes a file,
less than a tenth of what a listed file takes. A pack is a list of names, as compressed JSON, and their digests in the
same order. It is never changed, and read only to look up a name that is not listed. A later entry of a name
counts before an earlier one.
"""

from __future__ import annotations

import contextlib
import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

import msgspec

from quire.domain.errors import DamagedRecord
from quire.domain.structs import convert_to, decode_as

PACK_FILES: Final = 128
"""Files in a pack. So many of the latest at least are legible, and less than twice as many."""
MOST_NAME_BYTES: Final = 64 * 1024
"""Of the names in a pack, as JSON: 128 filenames have at most 34 KiB. No list that quire writes is longer."""
_DIGEST_BYTES: Final = 32
_SHA256: Final = re.compile("[0-9a-f]{64}")
_STRING_BYTES: Final = 57  # in memory, beside its characters
_ENTRY_BYTES: Final = 2 * _STRING_BYTES + 2 * _DIGEST_BYTES + 100  # in memory, beside the filename


class Pack(msgspec.Struct, frozen=True, gc=False):
    """Names and digests, packed."""

    names: str
    """base64 of the zlib-compressed JSON list of the filenames."""
    sha256: str
    """base64 of the digests, 32 bytes each."""

    @classmethod
    def of(cls, entries: Mapping[str, str]) -> Pack:
        """Pack filenames with their hex digests. Raises ValueError when one is no sha256."""
        digests = [bytes.fromhex(digest) for digest in entries.values()]
        if any(len(digest) != _DIGEST_BYTES for digest in digests):
            raise ValueError("a digest is no sha256")
        names = zlib.compress(msgspec.json.encode(list(entries)), 9)
        return cls(b64encode(names).decode(), b64encode(b"".join(digests)).decode())

    def entries(self) -> dict[str, str]:
        """Hex digests by filename. Raises DamagedRecord."""
        return self._entries(self._names())

    def get(self, filename: str) -> str | None:
        """The digest of one of them; None when it is not in here. Raises DamagedRecord."""
        names = self._names()
        return self._entries(names).get(filename) if msgspec.json.encode(filename) in names else None

    def _names(self) -> bytes:
        inflate = zlib.decompressobj()
        try:
            names = inflate.decompress(b64decode(self.names, validate=True), MOST_NAME_BYTES)
        except (ValueError, zlib.error) as error:
            raise _damaged(error) from error
        if not inflate.eof:
            raise _damaged("it is cut off, or too long")
        return names

    def _entries(self, encoded: bytes) -> dict[str, str]:
        try:
            names = decode_as(encoded, list[str])
            digests = b64decode(self.sha256, validate=True)
        except (ValueError, msgspec.MsgspecError) as error:
            raise _damaged(error) from error
        if len(digests) != _DIGEST_BYTES * len(names):
            raise _damaged(f"it has {len(names)} names for {len(digests)} bytes of digests")
        places = range(0, len(digests), _DIGEST_BYTES)
        return {name: digests[place : place + _DIGEST_BYTES].hex() for name, place in zip(names, places, strict=True)}


class Tombstones(msgspec.Struct, frozen=True, gc=False):
    """The deleted files of one project. Immutable, like the project."""

    recent: dict[str, str] = {}
    """sha256 by filename, in the order of deletion."""
    packs: tuple[Pack, ...] = ()
    """Earlier ones, the oldest first."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Tombstones:
        """Those of a stored document. Raises msgspec.ValidationError when they are of other types."""
        if "deleted" not in document and "deleted_packed" not in document:
            return NONE
        recent = convert_to(document.get("deleted", {}), dict[str, str])
        if not all(map(_SHA256.fullmatch, recent.values())):
            raise msgspec.ValidationError("the digest of a deleted file is no sha256")
        return cls(recent, convert_to(document.get("deleted_packed", ()), tuple[Pack, ...]))

    @classmethod
    def of_note(cls, note: bytes | None, key: str) -> Tombstones:
        """Those that the note of a deletion keeps. Raises DamagedRecord when it cannot be read."""
        if note is None:
            return NONE
        try:
            return cls.of(decode_as(note, dict[str, Any]))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DamagedRecord(
                f"The names of deleted files in the record {key} cannot be read ({error}); "
                "run 'quire check' to see and repair it."
            ) from error

    def document(self) -> dict[str, Any]:
        """Their fields of a stored document; none when there are none."""
        fields: dict[str, Any] = {"deleted": self.recent} if self.recent else {}
        return fields | ({"deleted_packed": self.packs} if self.packs else {})

    def __bool__(self) -> bool:
        return bool(self.recent or self.packs)

    def get(self, filename: str) -> str | None:
        """The sha256 of the deleted file of this name; None when there was none. Raises DamagedRecord."""
        if filename in self.recent:
            return self.recent[filename]
        return next((found for pack in reversed(self.packs) if (found := pack.get(filename)) is not None), None)

    def entries(self) -> dict[str, str]:
        """sha256 by filename of all of them. Raises DamagedRecord."""
        found: dict[str, str] = {}
        for pack in self.packs:
            found |= pack.entries()
        return found | self.recent

    def legible(self) -> Tombstones:
        """Those that can be read, for repairs."""
        packs = []
        for pack in self.packs:
            with contextlib.suppress(DamagedRecord):
                pack.entries()
                packs.append(pack)
        return Tombstones(self.recent, tuple(packs))

    def with_deleted(self, files: Mapping[str, str]) -> Tombstones:
        """With these files, sha256 by filename, among them. Raises DamagedRecord."""
        known = self.entries()
        added = {name: digest for name, digest in files.items() if known.get(name) != digest}
        recent = {name: digest for name, digest in self.recent.items() if name not in added} | added
        packs = list(self.packs)
        while len(recent) >= 2 * PACK_FILES:
            oldest = dict(islice(recent.items(), PACK_FILES))
            packs.append(Pack.of(oldest))
            recent = dict(islice(recent.items(), PACK_FILES, None))
        return Tombstones(recent, tuple(packs))

    def with_listed(self, filenames: Mapping[str, object]) -> Tombstones:
        """Without the legible entries of what is listed now; a packed one does no harm, the listed file counts."""
        if self.recent.keys().isdisjoint(filenames):
            return self
        recent = {name: digest for name, digest in self.recent.items() if name not in filenames}
        return Tombstones(recent, self.packs)

    @property
    def bytes_in_memory(self) -> int:
        """About what they take."""
        packed = sum(4 * _STRING_BYTES + len(pack.names) + len(pack.sha256) for pack in self.packs)
        return packed + sum(_ENTRY_BYTES + len(name) for name in self.recent)


NONE: Final = Tombstones()


def _damaged(reason: object) -> DamagedRecord:
    return DamagedRecord(
        f"A list of deleted files cannot be read ({reason}), so it is not known which filenames were used before; "
        "run 'quire check' to see and repair it."
    )
