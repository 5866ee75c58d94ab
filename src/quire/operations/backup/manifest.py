"""The list of one backup: every record and every stored file of a store, with the digests of their bytes. Pure."""

from __future__ import annotations

import gzip
import zlib
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec

from quire.domain.errors import DamagedRecord, InvalidRequest
from quire.domain.structs import decode_as

FORMAT: Final = 1
MOST_BYTES: Final = 2 * 1024**3
"""Of a manifest that is not compressed."""
_FORM: Final = "%Y%m%dT%H%M%SZ"

Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Size = Annotated[int, msgspec.Meta(ge=0)]


class Bytes(msgspec.Struct, frozen=True, array_like=True):
    """The bytes of an object."""

    sha256: Digest
    size: Size


class Document(msgspec.Struct, frozen=True, array_like=True):
    """A record."""

    key: str
    data: Bytes | None
    """None for a deleted one."""
    note: Bytes | None = None
    """Of the deletion."""

    @property
    def objects(self) -> tuple[Bytes, ...]:
        return tuple(each for each in (self.data, self.note) if each is not None)

    @property
    def digests(self) -> set[str]:
        return {each.sha256 for each in self.objects}


class StoredFile(msgspec.Struct, frozen=True, array_like=True):
    """A blob."""

    key: str
    content: Bytes


class Missing(msgspec.Struct, frozen=True):
    """A blob that a record names, or a record, that the store itself could not give."""

    key: str
    why: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A whole backup."""

    format: int = FORMAT
    moment: str
    """Its name: the time at which it began."""
    store: str
    """The place of the store that it is of."""
    version: str
    """Of the quire that made it."""
    records: tuple[Document, ...]
    files: tuple[StoredFile, ...]
    missing: tuple[Missing, ...] = ()

    def objects(self) -> dict[str, int]:
        """The size of each object, by digest."""
        found = {each.sha256: each.size for record in self.records for each in record.objects}
        return found | {file.content.sha256: file.content.size for file in self.files}


def encode(manifest: Manifest) -> bytes:
    """Its compressed bytes."""
    return gzip.compress(msgspec.json.encode(manifest), 6, mtime=0)


def decode(data: bytes, moment: str) -> Manifest:
    """Raises DamagedRecord for bytes that are no whole manifest, and for one of a newer quire."""
    unpacker = zlib.decompressobj(wbits=31)  # gzip, whose end has a checksum
    try:
        text = unpacker.decompress(data, MOST_BYTES)
        if not unpacker.eof or unpacker.unused_data:
            raise DamagedRecord(f"The manifest of the backup {moment} is not whole.")
        manifest = decode_as(text, Manifest)
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise DamagedRecord(f"The manifest of the backup {moment} cannot be read.") from None
    if manifest.format != FORMAT or manifest.moment != moment:
        raise DamagedRecord(f"The manifest of the backup {moment} is of another backup, or of a newer quire.")
    return manifest


def is_moment(text: str) -> bool:
    """Whether a backup can have this name."""
    try:
        return _written(time_of(text)) == text
    except ValueError:
        return False


def time_of(moment: str) -> datetime:
    """The time at which the backup of this name began."""
    return datetime.strptime(moment, _FORM).replace(tzinfo=UTC)


def parse_moment(text: str) -> str:
    """The name of a backup. Raises InvalidRequest."""
    if not is_moment(text):
        raise InvalidRequest(f"{text[:80]!r} is no backup; take a moment that 'quire backup TARGET --list' prints.")
    return text


def new_moment(now: datetime, others: list[str]) -> str:
    """The name of a backup that begins now: later than those of the others, so that names are in their order."""
    latest = [time_of(each) + timedelta(seconds=1) for each in others]
    return _written(max([now, *latest]))


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(_FORM)
