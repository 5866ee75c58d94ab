"""Bytes on their way into a bucket: hashed while they arrive, and kept in a temporary file until they are published."""

from __future__ import annotations

import hashlib
import io
import tempfile
import threading
from typing import BinaryIO, Final

from quire.domain.errors import StoreError, StoreFull
from quire.store.contracts import Digests
from quire.store.open_blob import PositionReader

IN_MEMORY: Final = 1024 * 1024
"""Bytes that are kept in memory; more go to a file in the system's temporary directory, which has no name there."""


class BucketStaging:
    """Fulfils `contracts.Staging`."""

    def __init__(self, key: str, algorithms: tuple[str, ...]) -> None:
        self._key = key
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._blake2b = hashlib.blake2b(digest_size=32)
        self._others = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
        self._spool = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed by `discard`
        self._size = 0
        self._is_open = True

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """See `contracts.Staging`."""
        self._check_open()
        self._sha256.update(chunk)
        self._md5.update(chunk)
        self._blake2b.update(chunk)
        for hasher in self._others.values():
            hasher.update(chunk)
        try:
            self._spool.write(chunk)
        except OSError as error:
            raise StoreFull(f"The temporary directory cannot take the file ({error.strerror}).") from error
        self._size += len(chunk)

    def finish(self, *, durable: bool = True) -> BucketStaged:
        """See `contracts.Staging`."""
        self._check_open()
        self._is_open = False
        digests = Digests(
            sha256=self._sha256.hexdigest(),
            md5=self._md5.hexdigest(),
            blake2b_256=self._blake2b.hexdigest(),
            other={name: hasher.hexdigest() for name, hasher in self._others.items()},
        )
        return BucketStaged(self._key, self._spool, self._size, digests)

    def discard(self) -> None:
        """See `contracts.Staging`."""
        self._is_open = False
        self._spool.close()

    def _check_open(self) -> None:
        if not self._is_open:
            raise StoreError("These staged bytes are complete or gone (discarded); begin again.")


class BucketStaged:
    """Fulfils `contracts.Staged`."""

    def __init__(self, key: str, spool: tempfile.SpooledTemporaryFile[bytes], size: int, digests: Digests) -> None:
        self.key = key
        self._spool = spool
        self._lock = threading.Lock()
        self._size = size
        self._digests = digests
        self.is_published = False

    @property
    def size(self) -> int:
        return self._size

    @property
    def digests(self) -> Digests:
        return self._digests

    def open(self) -> BinaryIO:
        """See `contracts.Staged`."""
        return io.BufferedReader(PositionReader(self), buffer_size=64 * 1024)

    def read_at(self, offset: int, size: int) -> bytes:
        """Bytes from a position on. Raises StoreError when they are gone."""
        with self._lock:
            if self._spool.closed:
                raise StoreError("The staged bytes are gone (published or discarded); upload again.")
            self._spool.seek(offset)
            return self._spool.read(size)

    def discard(self) -> None:
        """See `contracts.Staged`."""
        with self._lock:
            self._spool.close()
