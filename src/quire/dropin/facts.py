"""The facts of a drop-in file's content: their computation, and the document that stores them."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, Protocol

import msgspec

from quire.archives.metadata import CoreMetadata, is_complete_archive, is_static, parse_metadata, read_metadata
from quire.domain.errors import InvalidDistribution
from quire.domain.names import Kind, ParsedFilename
from quire.domain.structs import convert_to
from quire.dropin.files import Fingerprint, is_unchanged

FORMAT = 1
_CHUNK = 1024 * 1024


class Facts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The content of a file, found when the file had this fingerprint."""

    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int = 0
    """0 in documents of versions that did not keep it: it fits no file."""
    complete: bool
    """False: an archive without its end, presumably still being copied; nothing else is known of it."""
    past_racy_window: bool = msgspec.field(default=False, name="settled")
    """Whether no other content can have this fingerprint (any more)."""
    hashes: dict[str, str] = {}
    """Hex digests by name, as in `quire.domain.project.File`."""
    metadata_sha256: str | None = None
    """Digest of the core metadata that may be offered beside the file; None when there is none to be relied on."""
    requires_python: str | None = None

    @property
    def fingerprint(self) -> Fingerprint:
        return Fingerprint(self.size, self.mtime_ns, self.inode, self.ctime_ns)


# -- reading a file ---------------------------------------------------------------------------------------------------


def measure(file: BinaryIO, parsed: ParsedFilename, algorithms: Sequence[str]) -> Facts | None:
    """Read an open file and find out everything; None when it changes meanwhile, or is no plain file.

    A file that loses its name meanwhile, to another one that is renamed over it, does not change.
    Raises OSError when it cannot be read.
    """
    before = os.fstat(file.fileno())
    if not stat.S_ISREG(before.st_mode):
        return None
    size, mtime_ns, inode, ctime_ns = Fingerprint.of(before)
    complete = is_complete_archive(file, parsed)
    facts = Facts(size=size, mtime_ns=mtime_ns, inode=inode, ctime_ns=ctime_ns, complete=complete)
    if complete:
        file.seek(0)
        hashes = _digest(file, size, algorithms)
        file.seek(0)
        document, metadata = offered_metadata(file, parsed)
        facts = msgspec.structs.replace(
            facts,
            hashes=hashes,
            metadata_sha256=None if document is None else hashlib.sha256(document).hexdigest(),
            requires_python=None if metadata is None else metadata.requires_python,
        )
    return facts if is_unchanged(before, os.fstat(file.fileno())) else None


Measure = Callable[[BinaryIO, ParsedFilename, Sequence[str]], Facts | None]
"""`measure`, or a function in its place."""


def offered_metadata(file: BinaryIO, parsed: ParsedFilename) -> tuple[bytes | None, CoreMetadata | None]:
    """The core metadata document to offer beside the file (PEP 658), and the metadata that could be read at all.

    A wheel's is the one that an installer will find in it; an sdist's has to be static. A damaged file has none.
    """
    try:
        document = read_metadata(file, parsed)
        metadata = None if document is None else parse_metadata(document, strict=False)
    except (InvalidDistribution, OSError):
        return None, None
    if metadata is None or not (parsed.kind is Kind.WHEEL or (parsed.kind is Kind.SDIST and is_static(metadata))):
        return None, metadata
    return document, metadata


class _Hasher(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


def _digest(file: BinaryIO, size: int, algorithms: Sequence[str]) -> dict[str, str]:
    hashers: dict[str, _Hasher] = {
        "sha256": hashlib.sha256(),
        "md5": hashlib.md5(usedforsecurity=False),
        "blake2b_256": hashlib.blake2b(digest_size=32),
    }
    for name in algorithms:
        hashers.setdefault(name, hashlib.new(name, usedforsecurity=False))
    done = 0
    # Not beyond the size it had: a file that grows faster than it is read would never end.
    while done < size and (chunk := file.read(min(_CHUNK, size - done))):
        for hasher in hashers.values():
            hasher.update(chunk)
        done += len(chunk)
    return {name: hasher.hexdigest() for name, hasher in hashers.items()}


# -- the derived record -----------------------------------------------------------------------------------------------


def encode_facts(files: Mapping[str, Facts]) -> bytes:
    """The derived document of a project."""
    document = {"format": FORMAT, "files": {key: files[key] for key in sorted(files)}}
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def decode_facts(data: bytes | None) -> dict[str, Facts] | None:
    """The facts of a stored document; as many as can be understood, none if it is garbage or absent.

    None when it is of a newer format: that one belongs to a newer quire, and is not to be overwritten.
    """
    if data is None:
        return {}
    try:
        document: Any = msgspec.json.decode(data)
        version, entries = document["format"], document["files"].items()
        if isinstance(version, int) and version > FORMAT:
            return None
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    files = {}
    for key, entry in entries:
        try:
            facts = convert_to(entry, Facts)
        except msgspec.ValidationError:
            continue
        if not facts.complete or "sha256" in facts.hashes:
            files[key] = facts
    return files
