"""The store in a bucket: S3, GCS, Azure Blob Storage, or anything else with conditional writes.

<prefix>/format.json                                the layout version
<prefix>/records/<kind...>/<name>.json              one object for each record (`records`)
<prefix>/names/<kind...>.json, names/<kind...>/<id> the list of names of a folder: its root and segments (`names`)
<prefix>/blobs/<project>/<publication>/<filename>   (`blobs`)
<prefix>/renewed/<project>/...                      markers of blobs whose age was reset
"""

from __future__ import annotations

from typing import Final

import msgspec

from quire.domain.errors import UnknownLayout
from quire.domain.structs import decode_as
from quire.store.bucket.blobs import BucketBlobs
from quire.store.bucket.objects import BlobBucket, Object
from quire.store.bucket.records import BucketRecords
from quire.store.bucket.swaps import create_once
from quire.store.contracts import DEFAULT_BLOB_OPTIONS, BlobOptions, Pacing

LAYOUT: Final = 1
_FORMAT_KEY: Final = "format.json"


class _Format(msgspec.Struct):
    """The content of format.json."""

    quire: int


class BucketStore:
    """Fulfils `contracts.Store`. Nothing is asked of the bucket before the first call: see `client` about forks."""

    validates_inline = False
    pacing = Pacing(busy_waiters=3, batch_size=12, seconds=0.02)
    """A validation is a request that is paid for: it serves 12 requests at least, or it is one of 50 in a second."""
    home = None

    def __init__(
        self,
        bucket: BlobBucket,
        place: str,
        *,
        writable: bool = True,
        create: bool = True,
        options: BlobOptions = DEFAULT_BLOB_OPTIONS,
    ) -> None:
        """`place`: the URL, as in `s3://bucket/prefix`. `create`: write format.json where there is none."""
        self.place = place
        self.writable = writable
        self.bucket = bucket
        self._creates = create and writable
        self._is_checked = False
        self.records = BucketRecords(bucket, writable=writable, check=self._check_once)
        self.blobs = BucketBlobs(bucket, writable=writable, options=options)

    @property
    def exists(self) -> bool:
        """See `contracts.Store`; one request, or two where it is created."""
        return self.check_layout()

    def check_layout(self) -> bool:
        """Whether there is a store in the bucket by now; it is made where it may be.

        Raises UnknownLayout when it is of a newer quire or none of quire, StoreReadOnly, StoreError.
        """
        found: object = self.bucket.get(_FORMAT_KEY)
        if found is None and self._creates:
            data = msgspec.json.encode(_Format(LAYOUT))
            found = create_once(
                _FORMAT_KEY, lambda: self.bucket.put(_FORMAT_KEY, data, None), lambda: self.bucket.get(_FORMAT_KEY)
            )
            if found is None:
                return True
        if not isinstance(found, Object):
            return False
        try:
            layout = decode_as(found.data, _Format).quire
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise UnknownLayout(f"{self.place} has a format.json that is not of quire; name another prefix.") from error
        if layout != LAYOUT:
            raise UnknownLayout(f"{self.place} was written by a newer quire (layout {layout}); use that one.")
        return True

    def probe(self) -> None:
        """See `contracts.Store`."""
        self.check_layout()
        self.blobs.check_signing()
        if self.writable:
            self.blobs.touch_clock()

    def sweep(self, older_than: float, *, thorough: bool = False) -> int:
        """See `contracts.Store`: settle names whose writers died, remove segments, and markers, that nothing names.

        Unless it is thorough, only where this process knows of something, so that one without work asks nothing.
        """
        lists = self.records.lists
        swept = self.blobs.sweep(older_than) if thorough else 0
        for folder, segments in (lists.stored() if thorough else lists.unsettled()).items():
            with lists.unsettled_on_error(folder):
                swept += lists.heal(folder, older_than, self.records.fence)
                swept += lists.collect(folder, segments)
        return swept

    def _check_once(self) -> None:
        """Before the first record: a worker may begin long after the command that started it."""
        if not self._is_checked:
            self.check_layout()
            self._is_checked = True
