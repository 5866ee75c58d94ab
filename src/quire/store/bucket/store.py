"""The store in a bucket: S3, GCS, Azure Blob Storage, or anything else with conditional writes.

<prefix>/format.json                                the layout version
<prefix>/records/<kind...>/<name>.json              one object for each record (`records`)
<prefix>/names/<kind...>.json, names/<kind...>/<id> the list of names of a folder: its root and segments (`names`)
<prefix>/blobs/<project>/<publication>/<filename>   (`blobs`)
<prefix>/renewed/<project>/...                      markers of blobs whose age was reset
"""

from __future__ import annotations

import contextlib
from typing import Final

import msgspec

from quire.domain.errors import DamagedRecord, StoreError, StoreFull, UnknownLayout
from quire.domain.structs import decode_as
from quire.store.bucket.blobs import BucketBlobs
from quire.store.bucket.objects import BlobBucket, Object, Refused, Unclear
from quire.store.bucket.records import BucketRecords
from quire.store.bucket.swaps import create_once, rest
from quire.store.contracts import DEFAULT_BLOB_OPTIONS, BlobOptions, Pacing
from quire.store.purposes import Purpose, check_purpose

LAYOUT: Final = 1
_FORMAT_KEY: Final = "format.json"
_NO_INDEX: Final = 0
"""The layout in the mark of a store that is no index: versions that do not read `purpose` refuse it."""
_ATTEMPTS: Final = 8


class _Format(msgspec.Struct, omit_defaults=True):
    """The content of format.json."""

    quire: int
    purpose: Purpose = Purpose.INDEX

    @classmethod
    def of(cls, purpose: Purpose) -> _Format:
        return cls(LAYOUT if purpose is Purpose.INDEX else _NO_INDEX, purpose)


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
        purpose: Purpose = Purpose.INDEX,
    ) -> None:
        """`place`: the URL, as in `s3://bucket/prefix`. `create`: write format.json where there is none.
        `purpose`: the one that it is opened for."""
        self.place = place
        self.writable = writable
        self.bucket = bucket
        self._creates = create and writable
        self._purpose = purpose
        self._is_checked = False
        self.records = BucketRecords(bucket, writable=writable, check=self._check_once)
        self.blobs = BucketBlobs(bucket, writable=writable, options=options)

    @property
    def exists(self) -> bool:
        """See `contracts.Store`; one request, or two where it is created."""
        return self.check_layout()

    def check_layout(self) -> bool:
        """Whether there is a store in the bucket by now; it is made where it may be.

        Raises UnknownLayout when it is of a newer quire or none of quire, or for another purpose; StoreReadOnly,
        StoreError.
        """
        found: object = self.bucket.get(_FORMAT_KEY)
        if found is None and self._creates:
            data = msgspec.json.encode(_Format.of(self._purpose))
            found = create_once(
                _FORMAT_KEY, lambda: self.bucket.put(_FORMAT_KEY, data, None), lambda: self.bucket.get(_FORMAT_KEY)
            )
            if found is None:
                return True
        if not isinstance(found, Object):
            return False
        check_purpose(self.place, self._purpose_in(found.data), self._purpose)
        return True

    @property
    def purpose(self) -> Purpose:
        """See `contracts.Store`."""
        found = self.bucket.get(_FORMAT_KEY)
        return self._purpose_in(found.data) if isinstance(found, Object) else self._purpose

    def dedicate(self, purpose: Purpose) -> None:
        """See `contracts.Store`."""
        data, pause = msgspec.json.encode(_Format.of(purpose)), 0.02
        for _ in range(_ATTEMPTS):
            found = self.bucket.get(_FORMAT_KEY)
            if isinstance(found, Object) and found.data == data:
                return
            try:
                self.bucket.put(_FORMAT_KEY, data, found.version if isinstance(found, Object) else None)
            except (Refused, Unclear):  # read it again
                pause = rest(pause)
            else:
                return
        raise StoreError(f"The bucket does not take the mark of {self.place}; repeat.")

    def _purpose_in(self, data: bytes) -> Purpose:
        """Raises UnknownLayout."""
        try:
            mark = decode_as(data, _Format)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise UnknownLayout(f"{self.place} has a format.json that is not of quire; name another prefix.") from error
        if mark != _Format.of(mark.purpose):
            raise UnknownLayout(f"{self.place} was written by a newer quire (layout {mark.quire}); use that one.")
        return mark.purpose

    def probe(self) -> None:
        """See `contracts.Store`."""
        self.check_layout()
        self.blobs.check_signing()
        if self.writable:
            with contextlib.suppress(StoreFull):  # it is served, and its clients are told when they upload
                self.blobs.touch_clock()

    def sweep(self, older_than: float, *, thorough: bool = False) -> int:
        """See `contracts.Store`: settle names whose writers died, remove segments, and markers, that nothing names.

        Unless it is thorough, only where this process knows of something, so that one without work asks nothing. A list
        that cannot be read keeps no other one waiting: its DamagedRecord is raised in the end.
        """
        lists = self.records.lists
        swept, damage = self.blobs.sweep(older_than) if thorough else 0, None
        for folder, segments in (lists.stored() if thorough else lists.unsettled()).items():
            try:
                with lists.unsettled_on_error(folder):
                    swept += lists.heal(folder, older_than, self.records.fence)
                    swept += lists.collect(folder, segments)
            except DamagedRecord as error:
                damage = error
        if damage is not None:
            raise damage
        return swept

    def _check_once(self) -> None:
        """Before the first record: a worker may begin long after the command that started it."""
        if not self._is_checked:
            self.check_layout()
            self._is_checked = True
