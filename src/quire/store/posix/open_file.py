"""A file of this system that is open, as a blob."""

from __future__ import annotations

import os
import threading
from typing import BinaryIO

from quire.domain.errors import StoreError
from quire.store.open_blob import OpenBlob
from quire.store.posix.errors import store_errors

_lock = threading.Lock()
"""Of all of them: it is held for some instructions, never while a file is read."""


class OpenFile(OpenBlob):
    """Owns an open file. A reader that is still reading keeps it open: its number cannot become another file's."""

    __slots__ = ("_file", "_readers")

    def __init__(self, file: BinaryIO, size: int, path: str | None) -> None:
        """`path`: as in OpenBlob."""
        super().__init__(size, path=path, descriptor=file.fileno())
        self._file = file
        self._readers = 0

    def read_at(self, offset: int, size: int) -> bytes:
        with _lock:
            descriptor = self.descriptor
            if descriptor is None:
                raise StoreError("The file was closed before it was read.")
            self._readers += 1
        try:
            with store_errors("read a file"):
                return _read(descriptor, offset, min(size, self.size - offset))
        finally:
            with _lock:
                self._readers -= 1
                is_unused = self.descriptor is None and not self._readers
            if is_unused:
                self._release()

    def close(self) -> None:
        with _lock:
            self.descriptor = None
            is_unused = not self._readers
        if is_unused:
            self._release()

    def _release(self) -> None:
        try:  # noqa: SIM105 - for each small download; suppress() takes several times as long
            self._file.close()
        except OSError:
            pass  # the file was only read, and a failed close(2) gives the descriptor up, too


def _read(descriptor: int, offset: int, size: int) -> bytes:
    """pread(2) of all of it: one call may give less, as over a network when a signal comes."""
    if size <= 0:
        return b""
    data = os.pread(descriptor, size, offset)
    while 0 < len(data) < size:
        more = os.pread(descriptor, size - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data
