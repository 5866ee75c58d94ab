"""Staging on a POSIX file system: bytes on their way in, and read back before they are published."""

from __future__ import annotations

import errno
import io
import os
from typing import TYPE_CHECKING, BinaryIO

from quire.domain.errors import StoreError
from quire.store.contracts import Digests
from quire.store.digester import Digester
from quire.store.posix.errors import reason, store_errors
from quire.store.posix.files import PendingFile

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_FEW_BYTES = 256 * 1024
_WRITEBACK_BYTES = 8 * 1024 * 1024
"""After so many bytes the disk is asked to begin with them: of a large upload it has most when all have arrived."""


class _StagedBytes(io.FileIO):
    """A reader that raises the store's errors: an examination must not take a failed disk for a damaged archive."""

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        with store_errors("read an upload back"):
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with store_errors("read an upload back"):
            return super().readall()

    def seekable(self) -> bool:
        return True  # it is a plain file; asking the disk would take an error for a no

    def seek(self, offset: int, whence: int = 0, /) -> int:
        try:
            return super().seek(offset, whence)
        except OSError as error:
            if error.errno == errno.EINVAL:  # before the beginning: the caller's doing
                raise
            raise StoreError(f"The store cannot read an upload back: {reason(error)}.") from error

    def close(self) -> None:
        with store_errors("read an upload back"):
            super().close()


class PosixStaged:
    """Fulfils `contracts.Staged`."""

    def __init__(self, key: str, file: PendingFile, size: int, digests: Digests, content: bytes | None = None) -> None:
        """`content`: the bytes themselves, when they are at hand; they need not be read back then."""
        self.key = key
        self.file = file
        self.size = size
        self.digests = digests
        self._content = content

    def open(self) -> BinaryIO:
        if self._content is not None:
            return io.BytesIO(self._content)
        with store_errors("read an upload back"):
            return io.BufferedReader(_StagedBytes(self.file.path))

    def discard(self) -> None:
        self._content = None
        self.file.discard()


class PosixStaging:
    """Fulfils `contracts.Staging`."""

    def __init__(self, key: str, path: str, algorithms: tuple[str, ...] | None) -> None:
        self._key = key
        self._size = 0
        self._writeback_at = _WRITEBACK_BYTES
        self._content: bytes | None = None
        self._is_over = False
        self._digester = Digester(algorithms)
        with store_errors("take an upload in"):
            self._file = PendingFile(path)

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        self._check_open()
        with store_errors("take an upload in"):
            self._file.write(chunk)
        is_all = self._size == 0 and len(chunk) <= _FEW_BYTES
        self._content = bytes(chunk) if is_all else None
        self._size += len(chunk)
        if self._size >= self._writeback_at:
            self._writeback_at = self._size + _WRITEBACK_BYTES
            with store_errors("take an upload in"):
                self._file.begin_writing()
        self._digester.update(chunk)

    def descriptor(self) -> int:
        with store_errors("read an upload back"):
            return os.open(self._file.path, os.O_RDONLY | os.O_CLOEXEC)

    def finish(self, *, durable: bool = True) -> PosixStaged:
        self._check_open()
        self._is_over = True
        with store_errors("make an upload durable"):
            if durable:
                self._file.make_durable()
        return PosixStaged(self._key, self._file, self._size, self._digester.digests(), self._content)

    def discard(self) -> None:
        self._is_over = True
        self._file.discard()

    def _check_open(self) -> None:
        if self._is_over:
            raise StoreError("This upload was finished or given up already; repeat it.")
