"""Bytes on their way into a bucket: hashed while they arrive, and sent at the same time when there are many.

Up to `SMALL` bytes are kept in the spool and sent by one put at their publication. From there on they go in parts to
the key where they stay. Until the parts are completed no object is there; nothing names it until a record does. So
what is refused is aborted, and what a process that died leaves behind is never visible.

The archive is examined from the spool. Where that has not kept all bytes, the parts are completed for it, and the rest
is read from the object, which is removed when the archive is refused.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import BinaryIO, Final

import structlog

from quire.domain.errors import Conflict, StoreError, TooLarge
from quire.store.bucket.objects import BlobBucket, Upload
from quire.store.bucket.spool import Spool
from quire.store.contracts import Digests
from quire.store.digester import Digester
from quire.store.open_blob import OpenBlob, PositionReader

SMALL: Final = 8 * 1024 * 1024
"""Bytes that are sent by one put; more go in parts."""
MOST_PARTS: Final = 10_000
"""Of S3, GCS and others; Azure takes more."""
_PIECE: Final = 1024 * 1024

log = structlog.stdlib.get_logger("quire.store.bucket")


def marker_of(path: str) -> str:
    """The key of the object whose time resets the age of a blob. `path`: the key of the blob's object."""
    return f"renewed/{path.removeprefix('blobs/')}"


class Sending:
    """The way of one blob's bytes to their key in parts, and back."""

    def __init__(self, bucket: BlobBucket, key: str, part_size: int, open_stored: Callable[[], OpenBlob]) -> None:
        """`key`: of the object. `open_stored`: opens it once it is there. Both raise StoreError."""
        self.open_stored = open_stored
        self._bucket = bucket
        self._key = key
        self._part_size = part_size
        self._left = part_size * MOST_PARTS
        self._upload: Upload | None = None
        self._is_complete = False
        self._is_marked = False

    @property
    def has_begun(self) -> bool:
        """Whether bytes have been sent."""
        return self._upload is not None

    def write(self, data: bytes) -> None:
        """Send the next bytes; waits while too many are on their way. Raises TooLarge, StoreError."""
        self._left -= len(data)
        if self._left < 0:
            raise TooLarge(
                f"The file has more than {MOST_PARTS:,} parts of {self._part_size:,} bytes, the most that a bucket "
                "takes; a larger --max-upload-size makes larger parts."
            )
        if self._upload is None:
            self._upload = self._bucket.upload(self._key, self._part_size)
        self._upload.write(data)

    def complete(self) -> None:
        """Make an object of what was sent, which is durable then. Idempotent. Raises Conflict, StoreError.

        The key is looked at before, and not while, the parts become an object: keys are new. S3 dates an object by
        the beginning of its upload, so a marker says that it is young: `gc` would take it for an old one.
        """
        assert self._upload is not None, "nothing was sent"
        if not self._is_complete:
            if self._bucket.head(self._key) is not None:
                raise taken(self._key)
            self._is_marked = True
            self._bucket.overwrite(marker_of(self._key), b"")
            self._upload.finish()
            self._is_complete = True

    def undo(self) -> None:
        """Remove the object, or abort the unfinished upload; if the bucket fails, both are left to `gc`."""
        upload, self._upload = self._upload, None
        if upload is None:
            return
        try:
            if self._is_complete:
                self._bucket.remove(self._key)
            else:
                upload.abort()
            if self._is_marked:
                self._bucket.remove(marker_of(self._key))
        except StoreError as error:
            log.warning("what was sent to the bucket is left to gc", path=self._key, error=str(error))


class BucketStaging:
    """Fulfils `contracts.Staging`."""

    def __init__(self, key: str, algorithms: tuple[str, ...] | None, spool: Spool, sending: Sending) -> None:
        self._key = key
        self._digester = Digester(algorithms)
        self._spool = spool
        self._sending = sending
        self._size = 0
        self._is_open = True

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """See `contracts.Staging`."""
        self._check_open()
        data = bytes(chunk)  # of bytes no copy; the caller may change others while they are sent
        is_kept = self._spool.write(data)
        if not self._sending.has_begun and not (is_kept and self._size + len(data) <= SMALL):
            for offset in range(0, self._size, _PIECE):
                self._sending.write(_kept(self._spool, offset, min(_PIECE, self._size - offset)))
            self._sending.write(data)
        elif self._sending.has_begun:
            self._sending.write(data)
        self._size += len(data)
        self._digester.update(data)

    def descriptor(self) -> None:
        """See `contracts.Staging`. The spool need not have all bytes."""
        return

    def finish(self, *, durable: bool = True) -> BucketStaged:
        """See `contracts.Staging`. The bytes are durable when they are published."""
        self._check_open()
        self._is_open = False
        return BucketStaged(self._key, self._spool, self._sending, self._size, self._digester.digests())

    def discard(self) -> None:
        """See `contracts.Staging`."""
        if self._is_open:
            self._is_open = False
            self._spool.close()
            self._sending.undo()

    def _check_open(self) -> None:
        if not self._is_open:
            raise StoreError("These staged bytes are complete or gone (discarded); begin again.")


class BucketStaged:
    """Fulfils `contracts.Staged`."""

    def __init__(self, key: str, spool: Spool, sending: Sending, size: int, digests: Digests) -> None:
        self.key = key
        self._spool = spool
        self._sending = sending
        self._lock = threading.Lock()
        self._size = size
        self._digests = digests
        self._stored: OpenBlob | None = None
        self._is_gone = False

    @property
    def size(self) -> int:
        return self._size

    @property
    def digests(self) -> Digests:
        return self._digests

    @property
    def is_sent(self) -> bool:
        """Whether the bytes went in parts; else they are all in the spool."""
        return self._sending.has_begun

    def open(self) -> BinaryIO:
        """See `contracts.Staged`."""
        return io.BufferedReader(PositionReader(self), buffer_size=64 * 1024)

    def read_at(self, offset: int, size: int) -> bytes:
        """Bytes from a position on. Raises StoreError when they are gone."""
        with self._lock:
            self.check()
            size = max(0, min(size, self._size - offset))
            found = _kept(self._spool, offset, min(size, max(0, self._spool.size - offset)))
            if len(found) == size:
                return found
            if self._stored is None:
                self._sending.complete()
                self._stored = self._sending.open_stored()
            return found + self._stored.read_at(offset + len(found), size - len(found))

    def complete(self) -> None:
        """Make an object of what was sent in parts. Raises StoreError."""
        with self._lock:
            self.check()
            self._sending.complete()

    def check(self) -> None:
        """Raises StoreError when the bytes are gone."""
        if self._is_gone:
            raise StoreError("The staged bytes are gone (published or discarded); upload again.")

    def published(self) -> None:
        """Let go of the bytes here: they are in the bucket for good."""
        self._let_go()

    def discard(self) -> None:
        """See `contracts.Staged`."""
        if self._let_go():
            self._sending.undo()

    def _let_go(self) -> bool:
        """Whether they were not gone before."""
        with self._lock:
            was_gone, self._is_gone = self._is_gone, True
            self._spool.close()
            if self._stored is not None:
                self._stored.close()
            return not was_gone


def _kept(spool: Spool, offset: int, size: int) -> bytes:
    """Bytes of a spool. Raises StoreError when they cannot be read back."""
    try:
        data = spool.read_at(offset, size)
    except OSError as error:
        raise StoreError(f"The temporary directory cannot be read ({error.strerror}).") from error
    if len(data) != size:
        raise StoreError("The temporary directory has lost bytes of the upload; upload again.")
    return data


def taken(key: str) -> Conflict:
    """The error of bytes whose key others have."""
    return Conflict(f"The blob {key.removeprefix('blobs/')} is there already; it keeps its bytes.")
