"""Staging on a POSIX file system: bytes on their way in, and read back before they are published."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import threading
from typing import TYPE_CHECKING, BinaryIO

from quire.errors import StoreError
from quire.store.contracts import Digests
from quire.store.filesystem import begin_writing
from quire.store.posix_errors import reason, store_errors
from quire.store.posix_files import remove_quietly, write_all

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_FEW_BYTES = 1024 * 1024


class Digester:
    """All digests of one stream of bytes."""

    def __init__(self, algorithms: tuple[str, ...]) -> None:
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._blake2b_256 = hashlib.blake2b(digest_size=32)
        self._other = {name: hashlib.new(name) for name in algorithms}

    def update(self, chunk: bytes | bytearray | memoryview) -> None:
        self._sha256.update(chunk)
        self._md5.update(chunk)
        self._blake2b_256.update(chunk)
        for digest in self._other.values():
            digest.update(chunk)

    def digests(self) -> Digests:
        return Digests(
            sha256=self._sha256.hexdigest(),
            md5=self._md5.hexdigest(),
            blake2b_256=self._blake2b_256.hexdigest(),
            other={name: digest.hexdigest() for name, digest in self._other.items()},
        )


class _StagedBytes(io.FileIO):
    """A reader whose disk errors are the store's: who examines an upload must not take them for a damaged archive."""

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

    def __init__(
        self, path: str, size: int, digests: Digests, fd: int | None = None, content: bytes | None = None
    ) -> None:
        """`fd`: through which the bytes were written, when they are not durable yet; it is closed when they are.

        `content`: the bytes themselves, when they are at hand; they need not be read back then.
        """
        self.path = path
        self.size = size
        self.digests = digests
        self._fd = fd
        self._content = content
        self._is_certain = fd is None
        self._is_removed = False
        self._lock = threading.Lock()  # as that of PosixStaging

    def open(self) -> BinaryIO:
        if self._content is not None:
            return io.BytesIO(self._content)
        with store_errors("read an upload back"):
            return io.BufferedReader(_StagedBytes(self.path))

    def begin_writing(self) -> None:
        """Let the disk begin with what `make_durable` is going to wait for. Raises as that does."""
        with self._lock:
            if self._fd is None:
                return
            try:
                begin_writing(self._fd)
            except OSError:
                fd, self._fd = self._fd, None
                os.close(fd)
                raise

    def make_durable(self) -> None:
        """fsync the bytes, once, by the descriptor that wrote them: it is the one that learns of failed writes.

        Raises OSError; StoreError when it failed before, or the bytes were discarded.
        """
        with self._lock:
            if self._is_certain:
                return
            if self._fd is None:
                raise StoreError("This upload was given up already; repeat it.")
            fd, self._fd = self._fd, None
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
            self._is_certain = True

    def discard(self) -> None:
        with self._lock:
            self._content = None
            if self._fd is not None:
                fd, self._fd = self._fd, None
                with contextlib.suppress(OSError):
                    os.close(fd)
            if not self._is_removed:
                self._is_removed = True
                remove_quietly(self.path)


class PosixStaging:
    """Fulfils `contracts.Staging`."""

    def __init__(self, path: str, algorithms: tuple[str, ...]) -> None:
        self._path = path
        self._size = 0
        self._content: bytes | None = None
        self._digester = Digester(algorithms)
        # A cancelled request discards while its last write still runs in a thread; the descriptor's number must not
        # be given to somebody else's file before that write is done with it.
        self._lock = threading.Lock()
        with store_errors("take an upload in"):
            self._fd: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        with self._lock, store_errors("take an upload in"):
            write_all(self._open_descriptor(), chunk)
            is_all = self._size == 0 and len(chunk) <= _FEW_BYTES
            self._content = bytes(chunk) if is_all else None
            self._size += len(chunk)
            self._digester.update(chunk)

    def finish(self, *, durable: bool = True) -> PosixStaged:
        with self._lock, store_errors("make an upload durable"):
            descriptor, digests = self._open_descriptor(), self._digester.digests()
            staged = PosixStaged(self._path, self._size, digests, descriptor, self._content)
            self._fd = None
            if durable:
                staged.make_durable()
            return staged

    def discard(self) -> None:
        with self._lock:
            if self._fd is not None:
                fd, self._fd = self._fd, None
                with contextlib.suppress(OSError):
                    os.close(fd)
            remove_quietly(self._path)

    def _open_descriptor(self) -> int:
        if self._fd is None:
            raise StoreError("This upload was finished or given up already; repeat it.")
        return self._fd
