"""The parts of uploads whose worker died are removed by gc, where the bucket can be asked for them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from quire.store.bucket.aws import NotAllowed
from quire.store.bucket.blobs import UNFINISHED_SECONDS
from quire.store.bucket.client import open_bucket
from quire.store.bucket.store import BucketStore
from tests.store.bucket.memory import MemoryBucket

DAY = UNFINISHED_SECONDS


class Slower(MemoryBucket):
    """Its uploads began so many seconds ago."""

    age = 0.0

    def abort_unfinished(self, prefix: str, is_old: Callable[[float], bool]) -> int:
        return super().abort_unfinished(prefix, lambda now: is_old(now - self.age))


@pytest.mark.parametrize(
    ("age", "older_than", "swept"),
    [(DAY - 60, 0.0, 0), (DAY + 60, 3600.0, 1), (DAY + 60, 2 * DAY, 0), (2 * DAY + 60, 2 * DAY, 1)],
)
def test_an_upload_is_given_a_day_at_least(age: float, older_than: float, swept: int) -> None:
    """However young the bytes are that gc takes; a longer age holds for uploads, too."""
    bucket = Slower()
    bucket.age = age
    store = BucketStore(bucket, "memory:///")
    bucket.upload("blobs/acme/1/acme.whl", 1)
    bucket.upload("elsewhere", 1)
    assert store.sweep(older_than) == 0
    assert store.sweep(older_than, thorough=True) == swept
    assert len(bucket.unfinished) == 2 - swept
    assert "elsewhere" in bucket.unfinished


class Control:
    """Its credentials may not list uploads."""

    def unfinished_uploads(self, prefix: str) -> None:
        raise NotAllowed(
            "Give the credentials the right s3:ListBucketMultipartUploads.", "s3:ListBucketMultipartUploads"
        )


@pytest.mark.parametrize(
    ("url", "control", "reason"),
    [
        ("s3://bucket/store", None, "quire-index[aws]"),
        ("s3://bucket/store", Control(), "s3:ListBucketMultipartUploads"),
        ("gs://bucket/store", None, "in S3 alone"),
    ],
)
def test_a_bucket_that_cannot_be_asked_is_named_in_the_log(
    monkeypatch: pytest.MonkeyPatch, url: str, control: object, reason: str
) -> None:
    """With the lifecycle rule that does it instead; gc goes on."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "key")
    bucket = open_bucket(url, {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "key"})
    bucket.__dict__["control"] = control  # where the cached property keeps it
    with capture_logs() as lines:
        assert bucket.abort_unfinished("blobs/", lambda started: True) == 0
    (line,) = lines
    assert "lifecycle rule" in line["event"]
    assert reason in line["reason"]
