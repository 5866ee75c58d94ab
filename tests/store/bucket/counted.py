"""The cost of operations: the real code over a bucket in memory, with its requests counted.

The bucket is obstore's own in memory, behind the client that talks to the clouds: what is counted here would be sent.

Replaced here: the opening of a bucket, since the bucket is in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from unittest import mock

from obstore.store import MemoryStore

from quire.store.bucket import client
from quire.store.bucket.client import ObjectBucket, open_bucket

PLACE = "s3://counted/python"


BACKUPS = "s3://counted-backups/python"


class CountedBucket:
    """One bucket for each URL, however often it is opened; their requests are counted together."""

    def __init__(self) -> None:
        self._stores: dict[str, MemoryStore] = {}
        self._opened: list[ObjectBucket] = []
        self._before: Counter[str] = Counter()

    def open(self, url: str, environ: Mapping[str, str]) -> ObjectBucket:
        """In the place of `quire.store.bucket.client.open_bucket`."""
        store = self._stores.setdefault(url, MemoryStore())
        with mock.patch.object(client, "from_url", return_value=store):
            self._opened.append(open_bucket(url, environ))
        return self._opened[-1]

    def requests(self) -> dict[str, int]:
        """Requests by kind since the last call."""
        now: Counter[str] = Counter()
        for each in self._opened:
            now.update(each.counts.requests)
        since, self._before = now - self._before, now
        return dict(since)


@contextmanager
def counted_bucket() -> Iterator[CountedBucket]:
    """Within, PLACE is a new bucket for everything that opens it."""
    bucket = CountedBucket()
    with mock.patch.object(client, "open_bucket", bucket.open):
        yield bucket
