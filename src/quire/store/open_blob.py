"""Blobs that are open for reading. Part of the contract of blobs, see `quire.store.contracts`."""

from __future__ import annotations

import errno
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self

from quire.domain.errors import StoreError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_PIECE_BYTES = 1024 * 1024


class OpenBlob(ABC):
    """A blob that is open for reading, by position, in any number of threads at once. The caller closes it.

    A store says which shorter ways there are to the bytes; without any, `read_at` is the one that always works.
    """

    __slots__ = ("descriptor", "path", "size")

    def __init__(self, size: int, *, path: str | None = None, descriptor: int | None = None) -> None:
        self.size = size
        """Bytes."""
        self.path = path
        """Its place in a file system, for a proxy that sends it by itself, and for the log; None when it has none."""
        self.descriptor = descriptor
        """A descriptor of an open file with these bytes, for sendfile(2); valid until `close`, then None. None also
        when there is no such file."""

    def redirect_url(self) -> str | None:
        """A new URL at which clients without credentials get these bytes for some minutes, with ranges; None when the
        bytes are to be sent by quire. May wait for the store. Raises StoreError when it cannot be made.
        """
        return None

    async def prepare(self, start: int, stop: int) -> None:
        """Announce, on an event loop, that the bytes from `start` up to `stop` will be read, in order. Only a blob
        whose bytes are still elsewhere has something to do; it raises QuireError when they cannot be had.
        """
        return

    @property
    def is_verified(self) -> bool:
        """Whether the bytes that were announced by `prepare` are compared with a digest before a reader has all of
        them, or were when they were stored. Only a part of a file that is elsewhere is passed on without."""
        return True

    async def wait(self, offset: int) -> None:
        """Wait, on an event loop, until `read_at` has a byte at this offset, or an error. Only a blob that is still
        arriving makes its readers wait.
        """
        return

    async def recover(self) -> bool:
        """Find the bytes elsewhere, on an event loop, after `read_at` raised StoreError; whether it has them now.
        Only a blob whose bytes are somewhere else as well can say so, once. Raises QuireError when they cannot be had.
        """
        return False

    @abstractmethod
    def read_at(self, offset: int, size: int) -> bytes:
        """The bytes from `offset` (not negative) on: `size` of them, or as many as there are until the end.

        Raises StoreError when they cannot be had, also after `close`, and when the blob was removed meanwhile.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the blob. Idempotent, and safe while other threads read: they get their bytes, or a StoreError."""

    def read(self) -> bytes:
        """All bytes, for small documents. Raises StoreError."""
        return b"".join(self.pieces())

    def read_inline(self) -> bytes | None:
        """All bytes, if they are in the system's memory, so that no disk is waited for; else None."""
        if self.descriptor is None:
            return None
        content = bytearray(self.size)
        try:
            if self.size and os.preadv(self.descriptor, [content], 0, os.RWF_NOWAIT) != self.size:
                return None
        except (OSError, AttributeError):  # a file system or a system that cannot promise that
            return None
        return bytes(content)

    def pieces(self) -> Iterator[bytes]:
        """All bytes in order, in pieces of bounded size. Raises StoreError, also when there are fewer than `size`."""
        offset = 0
        while offset < self.size:
            piece = self.read_at(offset, _PIECE_BYTES)
            if not piece:
                raise StoreError(f"The file ends after {offset} of {self.size} bytes.")
            offset += len(piece)
            yield piece

    def as_file(self) -> BinaryIO:
        """A seekable reader, for archives. It raises StoreError. Close the blob all the same."""
        return io.BufferedReader(PositionReader(self))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ReadByPosition(Protocol):
    """Bytes that are read by position, as those of an `OpenBlob`."""

    @property
    def size(self) -> int: ...

    def read_at(self, offset: int, size: int, /) -> bytes: ...


class PositionReader(io.RawIOBase):
    """A seekable reader with a position of its own. It raises what `read_at` raises."""

    def __init__(self, source: ReadByPosition) -> None:
        self._source = source
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}[whence]
        if position < 0:
            raise OSError(errno.EINVAL, "the position is before the beginning")
        self._position = position
        return position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._source.read_at(self._position, len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
