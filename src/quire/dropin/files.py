"""Drop-in files on disk: fingerprints, and opening a file."""

from __future__ import annotations

import os
import re
import secrets
from typing import NamedTuple

MAX_SIGNATURE_BYTES = 1024 * 1024
"""Of a detached signature, as for uploads. Real ones have less than a kilobyte."""

_PRIVATE = re.compile(r"\.(.+)\.[0-9a-f]{8}")


class Fingerprint(NamedTuple):
    """Identifies the content of a file without reading it, within the resolution of the file system's clock.

    Over NFS all fields are the server's and the same for all clients, if the file was opened for the stat.
    """

    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int
    """The file system itself sets it at each change; unlike the mtime no program can set it back."""

    @classmethod
    def of(cls, status: os.stat_result) -> Fingerprint:
        return cls(status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns)

    def is_same_but_for_links(self, other: Fingerprint) -> bool:
        """Whether nothing but the ctime differs, which a name given to the file, or taken from it, changes too."""
        return self._replace(ctime_ns=0) == other._replace(ctime_ns=0)


class FileStat(NamedTuple):
    """A file as it was found at one moment."""

    path: str
    """Absolute, and real: a symbolic link has been followed."""
    fingerprint: Fingerprint


def private_name(name: str) -> str:
    """The name that `quire import --move` gives a file before it removes it. It is not served, as the names of rsync's
    unfinished files."""
    return f".{name}.{secrets.token_hex(4)}"


def public_name(name: str) -> str | None:
    """The name that a file had before it got this `private_name`; None where this is no such name."""
    match = _PRIVATE.fullmatch(name)
    return None if match is None else match[1]


def open_regular(path: str) -> int:
    """Open a file for reading safely: never through a link, never waiting for a FIFO.

    The caller still checks that it is a plain file. Raises OSError.
    """
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)


def is_unchanged(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether an open file still has the content that it had. It may have lost its name, by a rename over it."""
    if Fingerprint.of(before) == Fingerprint.of(after):
        return True
    return after.st_nlink < before.st_nlink and Fingerprint.of(before).is_same_but_for_links(Fingerprint.of(after))
