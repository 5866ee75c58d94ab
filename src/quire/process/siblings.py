"""The private folder that the processes of one server share; it exists as long as the main process.

It holds the workers' metrics, the catalog of the search, marks of the warnings that one of them logged for all, and,
while the server is being stopped, a mark that says so. It is made where temporary files go (TMPDIR), else in /dev/shm,
which a container with a read-only root has as well. Nothing in it is missed after the server ended, and nothing of the
store is in it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

RUNTIME_VARIABLE = "QUIRE_RUNTIME"
"""The environment variable by which worker processes find the folder."""

_PREFIX = "quire-"
_MARK = "draining"


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
            shutil.rmtree(folder, ignore_errors=True)
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
    """A new private folder; None when there is nowhere to make it. Its maker removes it."""
    for parent in (None, "/dev/shm"):  # noqa: S108 - a private folder in it, made by mkdtemp
        try:
            return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        except OSError:
            continue
    return None
