"""Which files of another index are to be fetched, and what is known of them: pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from quire.domain.project import File
from quire.domain.times import http_date
from quire.operations.importing.outcome import Outcome
from quire.upstream.client import WITH_OLD_DIGESTS
from quire.upstream.pages import UpstreamFile


class Here(NamedTuple):
    """A project as this store has it."""

    files: Mapping[str, File]
    """By filename, drop-ins included."""
    lost: frozenset[str]
    """Filenames of hosted files whose bytes are not in the store any more."""
    deleted: Mapping[str, str]
    """sha256 by filename of deleted files."""
    closed: str | None
    """Why it takes no files, in a sentence; None when it does."""
    is_known: bool
    """Whether it is, or ever was, hosted here."""
    is_as_imported: bool
    """Whether it is active, and its last change was an import: then an import may set its status."""


class Verdict(NamedTuple):
    outcome: Outcome
    note: str | None = None


def judged(file: UpstreamFile, here: Here, limit: int) -> Verdict | None:
    """The outcome for a file that is not to be fetched; None for one that is. `limit`: the most bytes."""
    listed = here.files.get(file.filename)
    if listed is not None:
        is_same = _same(file, listed)
        if is_same is False:
            return Verdict(
                Outcome.CONFLICT,
                f"Other content is published under this name (sha256 {listed.sha256[:12]}...); nothing changed.",
            )
        if is_same and file.filename not in here.lost:
            return Verdict(Outcome.PRESENT, _difference(file, listed))
    elif file.filename in here.deleted:
        return Verdict(
            Outcome.DELETED, "A file of this name was deleted here, and stays deleted; 'quire trash' may have it."
        )
    if here.closed is not None:
        return Verdict(Outcome.REFUSED, here.closed)
    why = None
    if not any(algorithm in file.hashes for algorithm in WITH_OLD_DIGESTS):
        why = "The index announces no digest of it, so it cannot be verified; get it by hand."
    elif (file.size or 0) > limit:
        why = f"It has {file.size} bytes; the limit is {limit}, see --max-upload-size."
    return None if why is None else Verdict(Outcome.REFUSED, why)


def _same(file: UpstreamFile, listed: File) -> bool | None:
    """Whether both have the same content; None where no digest tells."""
    common = [algorithm for algorithm in WITH_OLD_DIGESTS if algorithm in file.hashes and algorithm in listed.hashes]
    return file.hashes[common[0]] == listed.hashes[common[0]] if common else None


def _difference(file: UpstreamFile, listed: File) -> str | None:
    if bool(file.yanked) == bool(listed.yanked):
        return None
    return "It is yanked there and not here." if file.yanked else "It is yanked here and not there."


def upload_time(file: UpstreamFile, last_modified: str | None, now: datetime) -> str | None:
    """The time of its upload as records have it: of the page, else of the header Last-Modified; None for none that can
    be."""
    try:
        if file.uploaded is not None:
            found: datetime | None = datetime.fromisoformat(file.uploaded)
        else:
            found = None if last_modified is None else http_date(last_modified)
        if found is None:
            return None
        found = found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return None if found > now else found.isoformat(timespec="microseconds").replace("+00:00", "Z")
