"""The content of an index: projects, their files, and the JSON document that a project is stored as.

The document is for people too: indented JSON, a format number, RFC 3339 times. Fields that this version does not
know are kept and written back, so that a newer quire on the same store loses nothing.

Theory of operation of large documents. One call of a JSON decoder holds Python's lock from its beginning to its end:
for 20,000 files a tenth of a second, in which a worker answers no request. And a tenth of a million objects that it
makes at once set the garbage collector going, which holds the lock as long again. So a large document is decoded and
encoded some hundred files at a time; between two slices the interpreter can switch to another thread.

The places to cut are found by the indentation that `encode_project` writes, and are proved by the result: when every
slice of the members, in braces, is an object, and so is the document with a mark in their place, then the whole is
valid. When the value of "files" is the mark, and changes with the mark, then the whole is these parts. All other
results - another indentation, damage - are left to the decoder of whole documents, which has the messages for errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from io import BytesIO
from itertools import islice
from typing import Any, Final

import msgspec

from quire.domain.errors import DamagedRecord
from quire.domain.structs import convert_to
from quire.domain.tombstones import NONE, Tombstones

FORMAT = 1
"""The format number of a document without pending files."""
FORMAT_WITH_PENDING: Final = 2
"""That of one with pending files. Earlier versions do not understand it: they would publish over a pending file, and
show the project without a promotion that is committed. A document with a higher number is never overwritten."""

LARGE_DOCUMENT: Final = 256 * 1024
"""Bytes; up to this size a document is decoded in one piece, in some four milliseconds."""
SLICE_BYTES: Final = 64 * 1024
"""About as much of a larger one is decoded at once."""
SLICE_FILES: Final = 128
"""Files that are encoded at once."""


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


UNKNOWN_SIZE: Final = -1
UNKNOWN_DIGEST: Final = ""
"""The size of a file of another index that does not say it."""


class File(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One distribution of a project.

    Made of strings, numbers and decoded JSON, it is never part of a cycle, so the garbage collector need not go through
    the many thousands of them that a worker may hold.
    """

    filename: str
    version: str
    """As the filename spells it; compare with packaging.version."""
    size: int
    """Bytes; UNKNOWN_SIZE only for a file of another index."""
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
    """Whether a document with attestations (PEP 740) is kept beside the file."""
    provenance_sha256: str | None = None
    """Digest of that document, the provenance object; None when there is none that was verified: earlier versions kept
    attestations as they were sent. UNKNOWN_DIGEST only for a file of another index, which announces none."""
    uploader: str | None = None
    """The authenticated user who published it; None when uploads need no login."""
    job: dict[str, str] | None = None
    """The CI job that published it, by its platform's verified word: platform, repository, workflow, run, commit, and
    the address of the run where that is known; None where none did."""
    blob: str | None = None
    """The folder of the stored file and its companions in the store's blobs; None for a drop-in file."""
    unknown: dict[str, Any] = {}
    """Fields of the stored document that this version does not know."""

    @property
    def sha256(self) -> str:
        return self.hashes["sha256"]


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """Files that a promotion has prepared: they reserve their names, and are shown once it is committed (see
    `quire.domain.promotions`)."""

    promotion: str
    """Its id."""
    name: str
    """The name of the project, if it is new."""
    files: dict[str, File]
    """By filename."""
    owner: str | None = None
    """The subject that owns the project, if it is new."""


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A project as one document. Immutable: a change makes a new one (see `changes`)."""

    name: str
    """As its first upload spelled it. Its key is the normalized form."""
    status: Status = Status.ACTIVE
    status_reason: str | None = None
    files: dict[str, File] = {}
    """By filename, in the order of publication."""
    deleted: Tombstones = NONE
    """The names and digests of the files that were listed once and are deleted."""
    owners: tuple[str, ...] = ()
    """Subjects, such as `user:alice`, that own the project in an index whose projects are owned; they stay when all of
    its files are deleted."""
    pending: Pending | None = None
    """Files of a promotion that is not folded yet."""
    unknown: dict[str, Any] = {}


_PROJECT_FIELDS = {
    *("format", "name", "status", "status_reason", "files", "deleted", "deleted_packed", "owners", "pending", "log")
}
_FILE_FIELDS = set(File.__struct_fields__) - {"unknown", "filename"}

# As `encode_project` indents.
_NO_FILES: Final = b'\n "files": {}'
_FILES_BEGIN: Final = b'\n "files": {'
_FILES_END: Final = b"\n  }\n }"
_FILE_END: Final = re.compile(rb"\n  \}(?:(,)\n|\n \})")  # of one file, or without the comma of the last
_BRACE_PLACE: Final = len(b"\n  }")
_ENVELOPE: Final = (len(b'{\n "files": {'), -len(b"\n }\n}"))  # around the members, where there is nothing else
_MOST_SLICES: Final = 16  # that one file may fill
_MARKS: Final = (0, 1)

_Damage = (msgspec.MsgspecError, KeyError, TypeError, AttributeError, ValueError)


def encode_project(project: Project, log: Sequence[dict[str, Any]] = ()) -> bytes:
    """The document of a project, as it is stored. `log`: the entries of its latest changes (see
    `quire.index.audit`)."""
    form = FORMAT if project.pending is None else FORMAT_WITH_PENDING
    document: dict[str, Any] = {"format": form, "name": project.name, "status": str(project.status)}
    if project.status_reason is not None:
        document["status_reason"] = project.status_reason
    is_large = len(project.files) > SLICE_FILES
    document["files"] = {} if is_large else _entries(project.files.items())
    document |= project.deleted.document()
    if project.owners:
        document["owners"] = project.owners
    if project.pending is not None:
        pending = project.pending
        document["pending"] = {"promotion": pending.promotion, "name": pending.name, "owner": pending.owner}
        document["pending"]["files"] = _entries(pending.files.items())
    document |= project.unknown
    if log:
        document["log"] = log
    encoded = _formatted(document)
    if not is_large:
        return encoded + b"\n"
    before, _, after = encoded.partition(_NO_FILES)
    whole = BytesIO()  # grows in place: to join slices in the end would copy all of them in one step
    whole.write(before)
    whole.write(_FILES_BEGIN)
    files = iter(project.files.items())
    separator = b""
    while entries := _entries(islice(files, SLICE_FILES)):
        whole.write(separator)
        whole.write(_formatted({"files": entries})[slice(*_ENVELOPE)])
        separator = b","
    whole.write(b"\n }")
    whole.write(after)
    whole.write(b"\n")
    return whole.getvalue()


def _entries(files: Iterable[tuple[str, File]]) -> dict[str, Any]:
    entries = {}
    for filename, file in files:
        entry: dict[str, Any] = msgspec.to_builtins(file)
        del entry["filename"]
        entry.pop("unknown", None)
        entries[filename] = entry | file.unknown
    return entries


def _formatted(document: dict[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def decode_project(data: bytes, key: str = "?") -> Project:
    """The project that a stored document describes.

    Raises DamagedRecord when it is not such a document, or one of a newer format.
    """
    project = _decode_in_slices(data) if len(data) > LARGE_DOCUMENT else None
    if project is not None:
        return project
    try:
        document = msgspec.json.decode(data)
        found = document["format"]
        if not isinstance(found, int):
            raise TypeError("format is not a number")
        if found > FORMAT_WITH_PENDING:
            raise DamagedRecord(
                f"The record {key} has format {found}, written by a newer quire; "
                f"this one knows up to {FORMAT_WITH_PENDING}. Upgrade it."
            )
        return _project(document, _files(document["files"]))
    except _Damage as error:
        raise DamagedRecord(
            f"The record {key} is not a project document ({error}); run 'quire check' to see and repair it."
        ) from error


def _project(document: Mapping[str, Any], files: dict[str, File]) -> Project:
    return Project(
        name=convert_to(document["name"], str),
        status=Status(document.get("status", "active")),
        status_reason=convert_to(document.get("status_reason"), str | None),
        files=files,
        owners=convert_to(document["owners"], tuple[str, ...]) if "owners" in document else (),
        deleted=Tombstones.of(document),
        pending=_pending(document["pending"]) if "pending" in document else None,
        unknown={name: value for name, value in document.items() if name not in _PROJECT_FIELDS},
    )


def _pending(document: Mapping[str, Any]) -> Pending:
    return Pending(
        promotion=convert_to(document["promotion"], str),
        name=convert_to(document["name"], str),
        files=_files(document["files"]),
        owner=convert_to(document.get("owner"), str | None),
    )


def _files(entries: Mapping[str, Any]) -> dict[str, File]:
    files = {}
    for filename, entry in entries.items():
        unknown = {name: value for name, value in entry.items() if name not in _FILE_FIELDS}
        files[filename] = convert_to(entry | {"filename": filename, "unknown": unknown}, File)
        if "sha256" not in files[filename].hashes:
            raise TypeError(f"{filename} has no sha256")
    return files


def _decode_in_slices(data: bytes) -> Project | None:
    """As `decode_project`; None where it cannot be done, for any reason."""
    begin = data.find(_FILES_BEGIN, 0, SLICE_BYTES)
    if begin < 0:
        return None
    begin += len(_FILES_BEGIN)
    try:
        files: dict[str, File] = {}
        rest = begin
        for members, after in _slices(data, begin):
            files |= _files(msgspec.json.decode(b"{%b}" % members))
            rest = after
        for mark in _MARKS:
            document = msgspec.json.decode(b"%b%d%b" % (data[: begin - 1], mark, data[rest:]))
            if document["files"] != mark:
                return None
        if document["format"] not in {FORMAT, FORMAT_WITH_PENDING} or not isinstance(document["format"], int):
            return None
        return _project(document, files)
    except _Damage:
        return None


def _slices(data: bytes, begin: int) -> Iterator[tuple[bytes, int]]:
    """The members of the object that is open at `begin`, some (never none) at a time, each with the place after the
    object's end if they are its last. They end where the indentation says so; raises ValueError where it says nothing.
    """
    while True:
        place = data.find(_FILES_END, begin, begin + SLICE_BYTES)
        is_last = place >= 0
        if not is_last:
            unsearched = begin + SLICE_BYTES - len(_FILES_END) + 1
            found = _FILE_END.search(data, unsearched, unsearched + _MOST_SLICES * SLICE_BYTES)
            if found is None:
                raise ValueError("the files have no end that can be seen")
            place, is_last = found.start(), found[1] is None
        end = place + _BRACE_PLACE
        yield data[begin:end], end + len(b"\n }")
        if is_last:
            return
        begin = end + 1
