"""The check of a store in a bucket: damage is found, and one damaged object does not end it."""

from __future__ import annotations

import pytest

from quire.index.index import Index
from quire.operations.checking import Check
from quire.store.bucket.store import BucketStore
from tests.store.bucket.changes import publish
from tests.store.bucket.memory import MemoryBucket


def check(store: BucketStore) -> list[tuple[str, str]]:
    """Codes and places of what is found."""
    found = Check(store, lambda: [Index(store)]).run().findings
    return [(each.code, each.where) for each in found]


@pytest.mark.parametrize("content", [b"", b"no document", b"\xff\n", b'{"quire": 9, "nonce": "", "before": []}\n{}'])
def test_damaged_documents_are_found(content: bytes) -> None:
    """Of a record and of the list of projects; the other projects are checked all the same."""
    bucket = MemoryBucket()
    store = BucketStore(bucket, "memory:///")
    index = Index(store)
    publish(index, "1.0", project="alpha")
    publish(index, "1.0", project="beta")
    assert check(store) == []
    bucket.overwrite("records/main/projects/alpha.json", content)
    bucket.overwrite("names/main/projects.json", content)
    (lost,) = [each.key for each in bucket.list("blobs/beta") if each.key.endswith(".whl")]
    bucket.remove(lost)
    assert check(store) == [
        ("unreadable-names", "main/projects"),
        ("damaged-record", "main/projects/alpha"),
        ("missing-file", "main/projects/beta/beta-1.0-py3-none-any.whl"),
    ]
