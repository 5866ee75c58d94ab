"""A bounded place for bytes on their way into a bucket, from which their archive is examined.

The bytes of an upload are kept in memory up to `IN_MEMORY`, and beyond that in a file without a name in the system's
temporary directory. All uploads of a process share one `Room`. Bytes that do not fit are not kept, which is no error:
they are in the bucket, and are read from there.
"""

from __future__ import annotations

import os
import tempfile
import threading
from typing import Final

import structlog

IN_MEMORY: Final = 1024 * 1024
"""Bytes of one upload that are kept without a file."""

log = structlog.stdlib.get_logger("quire.store.bucket")


class Room:
    """Bytes that the files of all spools of a process may take together. May be used from any thread."""

    def __init__(self, size: int) -> None:
        self._lock = threading.Lock()
        self._left = size

    def take(self, size: int) -> bool:
        """Reserve so many bytes if there are that many; whether."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    def give(self, size: int) -> None:
        """Return reserved bytes."""
        with self._lock:
            self._left += size


class Spool:
    """The beginning of an upload's bytes: all of them while there is room. Written by one thread at a time."""

    def __init__(self, room: Room) -> None:
        self.size = 0
        """Bytes that are kept: the first ones."""
        self._room = room
        self._reserved = 0
        self._memory = bytearray()
        self._file: int | None = None
        self._is_full = False
        self._lock = threading.Lock()

    def write(self, data: bytes) -> bool:
        """Keep these bytes after those that are kept; False when they, and so all later ones, are not kept."""
        if self._is_full:
            return False
        if self._file is None and self.size + len(data) <= IN_MEMORY:
            self._memory += data
            self.size += len(data)
            return True
        if not self._keep_in_file(data):
            self._is_full = True
            return False
        self.size += len(data)
        return True

    def read_at(self, offset: int, size: int) -> bytes:
        """Those of these bytes that are kept. Raises OSError."""
        wanted = min(size, self.size - offset)
        if wanted <= 0:
            return b""
        with self._lock:
            if self._file is None:
                return bytes(self._memory[offset : offset + wanted])
            found = bytearray()
            while len(found) < wanted and (more := os.pread(self._file, wanted - len(found), offset + len(found))):
                found += more
            return bytes(found)

    def close(self) -> None:
        """Keep nothing any more. Idempotent."""
        with self._lock:
            self._is_full, self.size = True, 0
            self._memory.clear()
            if self._file is not None:
                os.close(self._file)
                self._file = None
            reserved, self._reserved = self._reserved, 0
        self._room.give(reserved)

    def _keep_in_file(self, data: bytes) -> bool:
        wanted = len(data) if self._file is not None else len(self._memory) + len(data)
        if not self._room.take(wanted):
            return False
        self._reserved += wanted
        try:
            if self._file is None:
                file = _temporary_file()
                try:
                    _write_at(file, self._memory, 0)
                except BaseException:
                    os.close(file)
                    raise
                with self._lock:
                    self._file = file
                    self._memory.clear()
            _write_at(self._file, data, self.size)
        except OSError as error:
            log.warning("an upload is not kept in the temporary directory", error=error.strerror)
            return False
        return True


def _temporary_file() -> int:
    """The descriptor of a new file that no name leads to. Raises OSError."""
    with tempfile.TemporaryFile(buffering=0) as file:
        return os.dup(file.fileno())


def _write_at(file: int, data: bytes | bytearray, offset: int) -> None:
    """Write all of it. Raises OSError."""
    with memoryview(data) as view:
        done = 0
        while done < len(view):
            done += os.pwrite(file, view[done:], offset + done)
