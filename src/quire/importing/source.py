"""Reading the files of an import's source: whole and unchanged, or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from quire.folder_files import MAX_SIGNATURE_BYTES, Look, Stamp, open_plain
from quire.folder_listing import Candidate
from quire.index import timestamp

_CHUNK = 1024 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Refused(Exception):
    """This file cannot be taken; the message is a sentence that says why."""


def read_unchanged(look: Look, take: Callable[[bytes], object], notify: Callable[[int], object]) -> None:
    """Hand the file's bytes to `take`. It must be, before and after, the one that was looked at.

    Raises Refused when it is not, or cannot be read; what `take` and `notify` raise passes.
    """
    try:
        with open(open_plain(look.path), "rb", buffering=0) as file:
            if Stamp.of(os.fstat(file.fileno())) != look.stamp:
                raise Refused("It changed while it was looked at; import it again when it is complete.")
            size = 0
            while size <= look.stamp.size and (chunk := file.read(_CHUNK)):
                take(chunk)  # raises the store's errors, none of the disk's
                size += len(chunk)
                notify(len(chunk))
            if size != look.stamp.size or Stamp.of(os.fstat(file.fileno())) != look.stamp:
                raise Refused("It changed while it was read; import it again when it is complete.")
    except OSError as error:
        raise Refused(f"It cannot be read ({error.strerror or error}).") from error


def look_again(look: Look) -> Look:
    """A file that was given another name, or lost it, which changes its ctime. Raises Refused when more has changed."""
    try:
        stamp = Stamp.of(os.stat(look.path, follow_symlinks=False))
    except OSError:
        stamp = None
    if stamp is None or not stamp.is_same_but_for_links(look.stamp):
        raise Refused("It changed while it was read; import it again when it is complete.")
    return look._replace(stamp=stamp)


def read_signature(candidate: Candidate) -> tuple[bytes | None, str | None]:
    """The detached signature beside a file; None when there is none. If one had to be left out, a sentence why."""
    if not candidate.is_signed:
        return None, None
    try:
        with open(open_plain(f"{candidate.path}.asc"), "rb") as file:
            signature = file.read(MAX_SIGNATURE_BYTES + 1) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""
    except OSError as error:
        return None, f"Its signature could not be read ({error.strerror}), and was left."
    if not 0 < len(signature) <= MAX_SIGNATURE_BYTES:
        return None, "What lies beside it as its signature is none, and was left."
    return signature, None


def remove(candidate: Candidate, look: Look, *, linked: bool) -> str | None:
    """Remove a source file that is safe in the store (of a symbolic link: the link); the reason when it stays.

    `linked`: what is in the store is this very file, under another name.
    """
    try:
        stamp = Stamp.of(os.stat(look.path, follow_symlinks=False))
        if not (stamp.is_same_but_for_links(look.stamp) if linked else stamp == look.stamp):
            return "The source changed meanwhile, so it was left; import it again."
        os.unlink(candidate.path)
    except OSError as error:
        return f"The source could not be removed ({error.strerror})."
    return None


def rfc3339(nanoseconds: int) -> str | None:
    """A time since the epoch as records have it; None when the calendar does not reach that far."""
    try:
        return timestamp(_EPOCH + timedelta(microseconds=nanoseconds // 1000))
    except OverflowError:
        return None
