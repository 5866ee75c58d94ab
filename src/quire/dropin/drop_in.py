"""One file in a drop-in folder, as it is listed and sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, NamedTuple

from quire.domain.project import File
from quire.domain.times import exact_stamp
from quire.dropin.facts import Facts
from quire.dropin.files import FileStat, Fingerprint
from quire.dropin.listing import Candidate
from quire.store.open_blob import OpenBlob
from quire.store.posix.open_file import OpenFile

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DropIn:
    """One complete file in a drop-in folder, as it was at one moment."""

    project: str
    """Normalized name."""
    file: File
    path: str
    """Absolute and real path. Open it without following links; the file may be gone, or another one, by then."""
    relative_path: str
    """Path below its root, separated by `/`: the part after `/packages/` of its URL (not yet quoted)."""
    fingerprint: Fingerprint
    """The fingerprint of the content that `file` describes; compare it with fstat after opening."""


class OpenDropIn(NamedTuple):
    """A drop-in file that is open. Its holder closes it."""

    drop_in: DropIn
    file: BinaryIO

    def as_blob(self, path: str | None) -> OpenBlob:
        """The open file for a response, which closes it from here on. `path`: as in OpenBlob."""
        return OpenFile(self.file, self.drop_in.file.size, path)


def make_drop_in(candidate: Candidate, file_stat: FileStat, facts: Facts) -> DropIn:
    """The drop-in file that has these facts."""
    parsed = candidate.parsed
    file = File(
        filename=parsed.filename,
        version=parsed.version,
        size=facts.size,
        hashes=facts.hashes,
        uploaded=rfc3339(facts.mtime_ns),
        requires_python=facts.requires_python,
        metadata_sha256=facts.metadata_sha256,
        signed=candidate.is_signed,
    )
    return DropIn(parsed.project, file, file_stat.path, candidate.relative, facts.fingerprint)


def rfc3339(nanoseconds: int) -> str | None:
    """A time since the epoch as PEP 700 wants it; None when the calendar does not reach that far."""
    try:
        moment = _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return None
    return exact_stamp(moment)
