"""A folder that only this container's user can read, on whatever can be written."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - candidates; what is made in them is ours alone
"""With a read-only root file system only some of them can be written; /dev/shm nearly always can."""


def temporary_folders(environ: Mapping[str, str]) -> list[str]:
    """The folders that may hold temporary files, best first: TMPDIR when it is set, and TEMPORARY."""
    return [*filter(None, [environ.get("TMPDIR")]), *TEMPORARY]


def writable_temporary_folder(environ: Mapping[str, str]) -> str | None:
    """The first of them in which files can be made; None when there is none."""
    return next((folder for folder in temporary_folders(environ) if os.access(folder, os.W_OK | os.X_OK)), None)


def make(environ: Mapping[str, str]) -> Path | None:
    """The private folder, made now if it is not there; None where nothing can be written.

    It has the same name after a restart of the container, so that nothing piles up, and another one in another
    container that shares the temporary folder.
    """
    for candidate in _candidates(environ):
        try:
            candidate.mkdir(mode=0o700, exist_ok=True)
        except OSError:
            continue
        if _is_ours(candidate):
            return candidate
    return None


def find(environ: Mapping[str, str], name: str) -> Path | None:
    """The file of that name in a private folder of this container; None when there is none."""
    for candidate in _candidates(environ):
        if _is_ours(candidate) and (candidate / name).is_file():
            return candidate / name
    return None


def write(folder: Path, name: str, text: str) -> Path:
    """The file with this text, put in its place complete, for this user's eyes only. Raises OSError."""
    fresh = folder / f"{name}.new"
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    return fresh.replace(folder / name)


def _candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    for folder in temporary_folders(environ):
        yield Path(folder, f"quire-{socket.gethostname()}-{os.geteuid()}")


def _is_ours(folder: Path) -> bool:
    """Whether it is a real folder of this user that no other user may enter: /tmp is open to all."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not stat.S_IMODE(status.st_mode) & 0o077
