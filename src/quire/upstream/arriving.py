"""A file that is arriving from another index: readers get its bytes while they come.

Theory of operation. The bytes go to a file, and from there to any number of readers, each at its own pace: to that in
which the store stages them, or, in a store without one, to a spool, a temporary file without a name. The first bytes
are given from memory, so that no reader waits for a disk before it has them. The last byte is held back until all of
them are verified: so a response can be complete only if the file is the one that was announced. When it is not, or the
other index breaks off, readers get an error instead, and their connections end before the announced length.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from typing import Final

from quire.domain.errors import StoreError, reason_of
from quire.store.open_blob import OpenBlob

PIECE: Final = 1024 * 1024


class Arrival:
    """One file that arrives. `begin`, `append`, `verify` and `fail` are called by its one writer, in any thread but in
    this order; readers wait on the event loop, and read in any thread."""

    def __init__(
        self,
        size: int,
        loop: asyncio.AbstractEventLoop,
        directory: str | None = None,
        staged: int | None = None,
    ) -> None:
        """`directory`: for the spool; None for the system's. `staged`: a descriptor of a file that has each byte before
        it is appended, in place of a spool; it is closed here. Blocks. Raises StoreError when there is no room.
        """
        self.size = size
        self._loop = loop
        self._changed = asyncio.Event()
        self._head = b""
        self._received = 0
        self._kept = 0
        """The bytes that are in the file."""
        self._verified = False
        self._error: str | None = None
        self._users = 1
        self._lock = threading.Lock()
        self._is_spooled = staged is None
        try:
            self._spool = (
                tempfile.TemporaryFile(buffering=0, dir=directory)  # noqa: SIM115 - closed by the last user
                if staged is None
                else open(staged, "rb", buffering=0)  # noqa: SIM115 - the same
            )
        except OSError as error:
            raise StoreError(f"The file cannot be spooled: {os.strerror(error.errno or 0)}.") from error

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes."""
        return self._verified or self._error is not None

    # -- writing ------------------------------------------------------------------------------------------------------

    def begin(self, head: bytes) -> None:
        """Give readers the first bytes, which are appended as well."""
        self._head = head
        self._received = len(head)
        self._wake()

    def append(self, data: bytes | bytearray) -> None:
        """Blocks. Raises StoreError when the disk is full."""
        if self._is_spooled:
            try:
                view = memoryview(data)
                while view:
                    view = view[os.pwrite(self._spool.fileno(), view, self._kept + len(data) - len(view)) :]
            except OSError as error:
                raise StoreError(f"The file cannot be spooled: {os.strerror(error.errno or 0)}.") from error
        self._kept += len(data)
        self._received = max(self._received, self._kept)
        self._wake()

    def verify(self) -> None:
        """All bytes are there and are the announced ones."""
        self._verified = True
        self._wake()

    def fail(self, error: str) -> None:
        """Nothing more comes. `error`: a sentence."""
        self._error = error
        self._wake()

    def release(self) -> None:
        """The writer, or a reader, needs the spool no more."""
        with self._lock:
            self._users -= 1
            if not self._users:
                self._spool.close()

    def _wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._changed.set)

    # -- reading ------------------------------------------------------------------------------------------------------

    def reader(self) -> ArrivingBlob:
        """Its bytes for one more reader."""
        with self._lock:
            self._users += 1
        return ArrivingBlob(self)

    async def wait(self, offset: int) -> None:
        """Wait until there is a byte at this offset, or an error. On the event loop."""
        while self._available <= offset and not self.is_over:
            self._changed.clear()
            await self._changed.wait()

    @property
    def _available(self) -> int:
        return self._received if self._verified else min(self._received, self.size - 1)

    def read_at(self, offset: int, size: int) -> bytes:
        """The bytes that are there, up to so many. Raises StoreError when there are none yet, or never will be."""
        size = min(size, self._available - offset)
        if size <= 0 < self.size - offset:
            raise StoreError(self._error or "The bytes have not arrived yet.")
        if offset < len(self._head):
            return self._head[offset : offset + max(size, 0)]
        try:
            return os.pread(self._spool.fileno(), max(size, 0), offset)
        except (OSError, ValueError) as error:
            raise StoreError(f"The file cannot be read ({reason_of(error)}).") from error


class ArrivingBlob(OpenBlob):
    """The bytes of an arrival, for one reader."""

    __slots__ = ("_arrival", "_closed")

    def __init__(self, arrival: Arrival) -> None:
        super().__init__(arrival.size)
        self._arrival = arrival
        self._closed = False

    async def wait(self, offset: int) -> None:
        await self._arrival.wait(offset)

    def read_at(self, offset: int, size: int) -> bytes:
        if self._closed:
            raise StoreError("The file is closed.")
        return self._arrival.read_at(offset, size)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._arrival.release()
