"""The scratch folder of all tests: on the volume, not served, removed afterwards.

In a store it is in `quire/incoming/`, the folder of staged files; if this program is killed, a server's sweep removes
it when it is a day old. In a directory without a store it has a dot name, which is never served.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quire.store.posix.store import HOME, PosixStore

_IN_STORE = "doctor-"
_BESIDE = ".quire-doctor-"
_ATTEMPTS = 25
_PAUSE = 0.2
_TOUCH = 60.0


def places(root: str, identifier: str) -> tuple[str, str]:
    """Where the scratch folder of that identifier (hex digits) is: in a store, or in a directory without one."""
    return f"{root}/{HOME}/incoming/{_IN_STORE}{identifier}", f"{root}/{_BESIDE}{identifier}"


@contextmanager
def scratch(root: str, identifier: str) -> Iterator[str]:
    """A new folder; gone afterwards, whatever happens meanwhile. Raises OSError when it cannot be made."""
    in_store, beside = places(root, identifier)
    path = in_store if os.path.isdir(os.path.dirname(in_store)) else beside
    os.mkdir(path)
    try:
        yield path
    finally:
        remove(path)


class KeepAlive:
    """Keeps a folder young while it is used, so that no server's sweep takes it for a leftover."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._next = time.monotonic() + _TOUCH

    def __call__(self) -> None:
        """Cheap; call it often."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _TOUCH
            os.utime(self._path)


def remove(path: str) -> bool:
    """Remove a folder and all in it; whether it is gone. Another process may still add to it for a moment."""
    for _ in range(_ATTEMPTS):
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.lexists(path):
            return True
        time.sleep(_PAUSE)
    return False


def identifier_of(path: str) -> str:
    """The unique part of a scratch folder's name."""
    return path.rpartition("-")[2]


def make_store(path: str) -> None:
    """A store of its own in a new folder."""
    os.mkdir(path)
    PosixStore.open(path, network=False)  # as if local: it is only to be made, and nocto must not refuse it


def open_store(path: str, *, network: bool, coarse_changes: float = 0.0) -> PosixStore:
    """A new, independent handle, also where `PosixStore.open` would refuse the mount."""
    return PosixStore(Path(path), writable=True, network=network, coarse_changes=coarse_changes)
