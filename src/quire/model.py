"""What an index holds: projects, their files, and the JSON document that a project is stored as.

The document is for people too: indented JSON, a format number, RFC 3339 times. Fields that this version does not
know are kept and written back, so that a newer quire on the same store loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec

from quire.errors import DamagedRecord

FORMAT = 1
"""The format number that this version writes. A document with a higher one is not understood, and never overwritten."""


class Status(StrEnum):
    """PEP 792 project status markers."""

    ACTIVE = "active"
    ARCHIVED = "archived"
    DEPRECATED = "deprecated"
    QUARANTINED = "quarantined"

    @property
    def accepts_uploads(self) -> bool:
        """PEP 792: an index must not allow uploads to archived and quarantined projects."""
        return self in {Status.ACTIVE, Status.DEPRECATED}

    @property
    def offers_files(self) -> bool:
        """PEP 792: an index must not offer the files of a quarantined project."""
        return self is not Status.QUARANTINED


class File(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One distribution of a project."""

    filename: str
    version: str
    """As the filename spells it; compare with packaging.version."""
    size: int
    """Bytes."""
    hashes: dict[str, str]
    """Hex digests by hashlib name; always has sha256."""
    uploaded: str | None = None
    """RFC 3339, UTC, six digits of microseconds and a Z (PEP 700's upload-time). For a drop-in file its mtime."""
    requires_python: str | None = None
    yanked: bool | str = False
    """PEP 592: False, True, or the reason (never empty)."""
    metadata_sha256: str | None = None
    """Digest of the core metadata offered beside the file (PEP 658); None when there is none."""
    signed: bool = False
    """Whether a detached OpenPGP signature (`.asc`) is kept beside the file."""
    attested: bool = False
    """Whether attestations (PEP 740) are kept beside the file."""
    uploader: str | None = None
    """The authenticated user who published it; None when nobody had to log in."""
    blob: str | None = None
    """The folder of the stored file and its companions in the store's blobs; None for a drop-in file."""
    unknown: dict[str, Any] = {}
    """Fields of the stored document that this version does not know."""

    @property
    def sha256(self) -> str:
        return self.hashes["sha256"]


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A project as one document. Immutable: a change makes a new one (see `changes`)."""

    name: str
    """As its first upload spelled it. Its key is the normalized form."""
    status: Status = Status.ACTIVE
    status_reason: str | None = None
    files: dict[str, File] = {}
    """By filename, in the order of publication."""
    unknown: dict[str, Any] = {}


_PROJECT_FIELDS = {"format", "name", "status", "status_reason", "files", "log"}
_FILE_FIELDS = set(File.__struct_fields__) - {"unknown", "filename"}


def encode_project(project: Project, log: Sequence[dict[str, Any]] = ()) -> bytes:
    """The document of a project, as it is stored. `log`: the entries of its latest changes (see `quire.audit`)."""
    document: dict[str, Any] = {"format": FORMAT, "name": project.name, "status": str(project.status)}
    if project.status_reason is not None:
        document["status_reason"] = project.status_reason
    files = document["files"] = {}
    for filename, file in project.files.items():
        entry: dict[str, Any] = msgspec.to_builtins(file)
        del entry["filename"]
        entry.pop("unknown", None)
        files[filename] = entry | file.unknown
    document |= project.unknown
    if log:
        document["log"] = log
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def decode_project(data: bytes, key: str = "?") -> Project:
    """The project that a stored document describes.

    Raises DamagedRecord when it is not such a document, or one of a newer format.
    """
    try:
        document = msgspec.json.decode(data)
        found = document["format"]
        if not isinstance(found, int):
            raise TypeError("format is not a number")
        if found > FORMAT:
            raise DamagedRecord(
                f"The record {key} has format {found}, written by a newer quire; "
                f"this one knows up to {FORMAT}. Upgrade it."
            )
        files = {}
        for filename, entry in document["files"].items():
            unknown = {name: value for name, value in entry.items() if name not in _FILE_FIELDS}
            files[filename] = msgspec.convert(entry | {"filename": filename, "unknown": unknown}, File)
            if "sha256" not in files[filename].hashes:
                raise TypeError(f"{filename} has no sha256")
        return Project(
            name=msgspec.convert(document["name"], str),
            status=Status(document.get("status", "active")),
            status_reason=msgspec.convert(document.get("status_reason"), str | None),
            files=files,
            unknown={name: value for name, value in document.items() if name not in _PROJECT_FIELDS},
        )
    except (msgspec.MsgspecError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise DamagedRecord(
            f"The record {key} is not a project document ({error}); run 'quire check' to see and repair it."
        ) from error
