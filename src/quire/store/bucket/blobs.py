"""Blobs as objects of a bucket.

A blob's key is new (`quire.index` chooses a random folder for each publication), so nothing is ever replaced: a small
blob is created by one conditional put, a large one in parts while its bytes arrive, which become an object in one step
(`quire.store.bucket.staging`). An object cannot be touched, so a blob whose age was reset has a marker beside it, under
`renewed/`.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from quire.domain.errors import StoreFull, StoreReadOnly
from quire.store.bucket.objects import BlobBucket
from quire.store.bucket.reading import Blocks, BucketBlob
from quire.store.bucket.spool import Room, Spool
from quire.store.bucket.staging import MOST_PARTS, SMALL, BucketStaged, BucketStaging, Sending, marker_of, taken
from quire.store.bucket.swaps import create_once
from quire.store.contracts import DEFAULT_BLOB_OPTIONS, NO_DOCUMENTS, BlobOptions, Staged, StoredBlob, check_blob_key

UNFINISHED_SECONDS: Final = 86400.0
"""An upload in parts that is younger may be under way: a large file over a slow line takes hours."""
_AT_ONCE: Final = 8
_CLOCK: Final = "clock"
_CLOCK_SECONDS: Final = 300.0
"""How long the bucket's time goes on by a clock of this machine."""
_MIB: Final = 1024 * 1024


class BucketBlobs:
    """Fulfils `contracts.Blobs`. May be used from any thread."""

    keeps_staged = False

    def __init__(
        self,
        bucket: BlobBucket,
        *,
        writable: bool,
        options: BlobOptions = DEFAULT_BLOB_OPTIONS,
    ) -> None:
        self._bucket = bucket
        self._writable = writable
        self._redirect_seconds = options.redirect_seconds
        self._blocks = Blocks(bucket)
        self._asked: tuple[float, float] | None = None
        """The bucket's time when it was last asked for, and this machine's."""
        self._room = Room(options.spool_size)
        self._part_size = max(SMALL, -(-options.largest // (MOST_PARTS * _MIB)) * _MIB)

    def stage(self, key: str, algorithms: tuple[str, ...] | None = ()) -> BucketStaging:
        """See `contracts.Blobs`."""
        path = _path(key)
        self._check_writable()
        sending = Sending(self._bucket, path, self._part_size, lambda: self.open(key))
        return BucketStaging(key, algorithms, Spool(self._room), sending)

    def adopt(self, path: str, key: str, notify: Callable[[int], object]) -> Staged | None:
        """See `contracts.Blobs`: bytes have to be sent."""
        return None

    def publish(self, staged: Staged, documents: Mapping[str, bytes] = NO_DOCUMENTS, *, durable: bool = True) -> None:
        """See `contracts.Blobs`. All are sent at once."""
        assert isinstance(staged, BucketStaged), "bytes staged in another kind of store"
        jobs = [partial(self._create, _path(key), content) for key, content in documents.items()]
        self._check_writable()
        if not jobs:
            self._publish(staged)
            return
        with ThreadPoolExecutor(min(_AT_ONCE, len(jobs) + 1), thread_name_prefix="blobs") as executor:
            for future in [executor.submit(job) for job in (*jobs, partial(self._publish, staged))]:
                future.result()

    def _publish(self, staged: BucketStaged) -> None:
        staged.check()
        if staged.is_sent:
            staged.complete()
        else:
            self._create(_path(staged.key), staged.read_at(0, staged.size))
        staged.published()

    def open(self, key: str) -> BucketBlob:
        """See `contracts.Blobs`."""
        return BucketBlob.open(self._bucket, self._blocks, _path(key), self._redirect_seconds)

    def check_signing(self) -> None:
        """Raises StoreError when clients are sent to the bucket and these credentials cannot sign a URL."""
        if self._redirect_seconds is not None:
            self._bucket.sign(_CLOCK, self._redirect_seconds)

    def confirm(self, key: str) -> None:
        """See `contracts.Blobs`: what can be found in a bucket is durable."""
        check_blob_key(key)
        self._check_writable()

    def remove(self, key: str, *, durable: bool = False) -> None:
        """See `contracts.Blobs`."""
        path = _path(key)
        self._check_writable()
        self._bucket.remove(path)

    def renew(self, key: str) -> None:
        """See `contracts.Blobs`."""
        marker = _marker(key)
        self._check_writable()
        self._bucket.overwrite(marker, b"")

    def remove_old(self, key: str, older_than: float) -> bool:
        """See `contracts.Blobs`."""
        path, marker = _path(key), _marker(key)
        self._check_writable()
        found = self._bucket.head(path)
        if found is None:
            return False
        renewed = self._bucket.head(marker)
        touched = found.modified if renewed is None else max(found.modified, renewed.modified)
        if max(0.0, self._now() - touched) < older_than:
            return False
        self._bucket.remove(path)
        if renewed is not None:
            self._bucket.remove(marker)
        return True

    def list(self, prefix: str = "") -> Iterator[StoredBlob]:
        """See `contracts.Blobs`."""
        if prefix:
            check_blob_key(prefix)
        folder = f"/{prefix}" if prefix else ""
        renewed = {each.key.removeprefix("renewed/"): each.modified for each in self._bucket.list(f"renewed{folder}")}
        found = [
            (each.key.removeprefix("blobs/"), each.size, each.modified) for each in self._bucket.list(f"blobs{folder}")
        ]
        if not found:
            return
        now = self._now()
        for key, size, modified in found:
            yield StoredBlob(key, size, max(0.0, now - max(modified, renewed.get(key, modified))))

    def sweep(self, older_than: float) -> int:
        """See `contracts.Blobs`. Left to sweep are markers, and the parts of large files whose worker died; small files
        are staged without names."""
        self._check_writable()
        removed = self._bucket.abort_unfinished(
            "blobs/", lambda started: self._now() - started >= max(older_than, UNFINISHED_SECONDS)
        )
        markers = list(self._bucket.list("renewed"))
        if not markers:
            return removed
        now = self._now()
        for marker in markers:
            if max(0.0, now - marker.modified) >= older_than and self._bucket.head(f"blobs/{marker.key[8:]}") is None:
                self._bucket.remove(marker.key)
                removed += 1
        return removed

    def touch_clock(self) -> None:
        """Write the object whose time is the bucket's. Raises StoreReadOnly, StoreFull, StoreError."""
        self._bucket.overwrite(_CLOCK, b"")

    def _now(self) -> float:
        """Seconds since the epoch by the bucket's clock, or a little less: so nothing is too old too early.

        The bucket is asked now and then; in between the time goes on by this machine's, which stands still with it.
        Credentials that may only read get the time of the last question of others: all is younger then. So does each
        worker where the bucket is full, which has to be tidied all the same.
        """
        if self._asked is None or time.monotonic() - self._asked[1] > _CLOCK_SECONDS:
            if self._writable:
                with contextlib.suppress(StoreReadOnly, StoreFull):
                    self.touch_clock()
            found = self._bucket.head(_CLOCK)
            self._asked = (0.0 if found is None else found.modified, time.monotonic())
        modified, asked = self._asked
        return modified + time.monotonic() - asked

    def _create(self, path: str, data: bytes) -> None:
        """One put, again while its outcome is unclear: the mark tells whose object is there."""
        mark = secrets.token_hex(8)
        put, look = partial(self._bucket.create, path, data, mark), partial(self._bucket.mark_of, path)
        if create_once(path, put, look) not in {None, mark}:
            raise taken(path)

    def _check_writable(self) -> None:
        if not self._writable:
            raise StoreReadOnly("The bucket is served read-only; nothing was written.")


def _path(key: str) -> str:
    check_blob_key(key)
    return f"blobs/{key}"


def _marker(key: str) -> str:
    return marker_of(_path(key))
