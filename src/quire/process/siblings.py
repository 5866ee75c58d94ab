"""The private folder that the processes of one server share; it exists as long as the main process.

It holds the workers' metrics, the catalog of the search, marks of the warnings that one of them logged for all, and,
while the server is being stopped, a mark that says so. It is made where temporary files go (TMPDIR), else in /dev/shm,
which a container with a read-only root has as well. Nothing in it is missed after the server ended, and nothing of the
store is in it.

Its maker holds a lock on a file in it, and so do the forks of the maker. A folder whose lock is free is of processes
that were killed: it is removed when the next one is made, since a catalog of searches in it can have gigabytes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

RUNTIME_VARIABLE = "QUIRE_RUNTIME"
"""The environment variable by which worker processes find the folder."""

_PREFIX = "quire-"
_MARK = "draining"
_NAMES: Final = re.compile(_PREFIX + "[a-z0-9_]{8}")
"""Of folders that `tempfile.mkdtemp` made."""
_HELD: Final = "held"
"""The file in a folder that its maker holds the lock of."""
_held: dict[Path, int] = {}
"""By folder that this process, or the one that it is a fork of, made: the open file of its lock."""


@contextmanager
def shared_folder() -> Iterator[Path | None]:
    """Make the folder and name it in the environment, for this process and those that it starts; None when there is
    nowhere to make one. It is removed at the end, by the process that made it: a fork of it may come by here as well.
    """
    folder = make_folder()
    if folder is None:
        os.environ.pop(RUNTIME_VARIABLE, None)
        yield None
        return
    maker = os.getpid()
    os.environ[RUNTIME_VARIABLE] = str(folder)
    try:
        yield folder
    finally:
        if os.getpid() == maker:
            remove_folder(folder)
            os.environ.pop(RUNTIME_VARIABLE, None)


def folder_of(environ: Mapping[str, str]) -> Path | None:
    """The folder that the main process made; None when there is none that this process may use."""
    named = environ.get(RUNTIME_VARIABLE)
    return Path(named) if named and os.access(named, os.R_OK | os.W_OK | os.X_OK) else None


def mark_draining(folder: Path) -> None:
    """Mark the server as about to stop, for all workers. Does nothing when the folder is gone."""
    try:
        (folder / _MARK).touch()
    except OSError:
        return


def is_draining(folder: Path | None) -> bool:
    """Whether the server is about to stop. Costs one system call on a local folder."""
    return folder is not None and os.path.exists(folder / _MARK)


def is_first_report(text: str, environ: Mapping[str, str]) -> bool:
    """Whether no other process of this server has logged it yet: of all workers that find it, one logs it."""
    folder = folder_of(environ)
    if folder is None:
        return True
    name = f"said-{hashlib.sha256(text.encode(errors='replace')).hexdigest()}"
    try:
        os.close(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return False
    except OSError:
        return True
    return True


def make_folder() -> Path | None:
    """A new private folder; None when there is nowhere to make it. Its maker removes it with `remove_folder`; those of
    processes that were killed before they could are removed here."""
    for parent in (None, "/dev/shm"):  # noqa: S108 - a private folder in it, made by mkdtemp
        try:
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        except OSError:
            continue
        _hold(folder)
        with suppress(OSError), os.scandir(folder.parent) as found:
            for each in found:
                if _NAMES.fullmatch(each.name) and each.is_dir(follow_symlinks=False):
                    _remove_if_abandoned(Path(each.path))
        return folder
    return None


def remove_folder(folder: Path) -> None:
    """Remove a folder that this process made."""
    shutil.rmtree(folder, ignore_errors=True)
    held = _held.pop(folder, None)
    if held is not None:
        os.close(held)


def _hold(folder: Path) -> None:
    """Lock a new folder until the process and its forks end. Without a lock it is never removed by others."""
    new = folder / f"{_HELD}.new"
    try:
        held = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        new.rename(folder / _HELD)  # it is never seen without the lock
    except OSError:
        os.close(held)
    else:
        _held[folder] = held


def _remove_if_abandoned(folder: Path) -> None:
    """Remove a folder that another process of this user made, if that has ended with its forks."""
    opened = list[int]()
    with suppress(OSError):
        try:
            opened.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))
            flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            opened.append(os.open(_HELD, flags, dir_fd=opened[0]))
            there, lock = map(os.fstat, opened)
            if {there.st_uid, lock.st_uid} == {os.geteuid()} and stat.S_ISREG(lock.st_mode):
                fcntl.flock(opened[1], fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            for each in opened:
                os.close(each)
