"""Questions that obstore cannot ask of an S3 bucket, asked of a real server."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest

from quire.domain.errors import StoreError
from quire.store.bucket.aws import LifecycleRule, NotAllowed, S3Control
from quire.store.bucket.client import open_bucket

pytestmark = pytest.mark.bucket


@pytest.fixture
def s3() -> Any:
    """A client that prepares what is asked about."""
    return botocore.session.get_session().create_client("s3", region_name=os.environ["AWS_REGION"])


@pytest.fixture
def bucket(s3: Any) -> Iterator[str]:
    """A bucket of the test's own, which is empty again at its end."""
    name = f"quire-{secrets.token_hex(6)}"
    s3.create_bucket(Bucket=name)
    yield name
    s3.delete_bucket(Bucket=name)


def control(url: str, **variables: str) -> S3Control:
    found = open_bucket(url, os.environ | variables).control
    assert found is not None
    return found


def begin(s3: Any, bucket: str, key: str) -> str:
    """An upload with one part that nothing completes; its id."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"part")
    return str(upload)


def test_unfinished_uploads_are_found_and_aborted(s3: Any, bucket: str) -> None:
    """Those of the store alone, and of one key alone; to abort one twice is no error."""
    before = time.time()
    first, second = begin(s3, bucket, "store/blobs/a"), begin(s3, bucket, "store/blobs/a")
    longer, other = begin(s3, bucket, "store/blobs/a.metadata"), begin(s3, bucket, "elsewhere/blobs/a")
    asked = control(f"s3://{bucket}/store")
    found = list(asked.unfinished_uploads())
    assert {(each.key, each.upload_id) for each in found} == {
        ("blobs/a", first),
        ("blobs/a", second),
        ("blobs/a.metadata", longer),
    }
    assert all(before - 60 < each.started < time.time() + 60 for each in found)
    assert asked.abort_uploads_to("blobs/a") == 2
    asked.abort_upload("blobs/a", first)
    assert [each.upload_id for each in asked.unfinished_uploads("blobs/")] == [longer]
    everything = control(f"s3://{bucket}")
    assert sorted(each.key for each in everything.unfinished_uploads()) == [
        "elsewhere/blobs/a",
        "store/blobs/a.metadata",
    ]
    everything.abort_upload("elsewhere/blobs/a", other)
    everything.abort_upload("store/blobs/a.metadata", longer)
    assert list(everything.unfinished_uploads()) == []


def test_every_page_of_unfinished_uploads_is_read(s3: Any, bucket: str) -> None:
    """Also when many are to one key."""
    started = {begin(s3, bucket, f"a/{number % 3}") for number in range(9)}
    asked = S3Control(f"s3://{bucket}/a", os.environ, page_size=2)
    found = list(asked.unfinished_uploads())
    assert len(found) == 9
    assert {each.upload_id for each in found} == started
    for each in found:
        asked.abort_upload(each.key, each.upload_id)


def test_gc_aborts_old_uploads_to_blobs(s3: Any, bucket: str) -> None:
    """By the bucket's time of their beginning, counted as requests; those elsewhere stay."""
    begin(s3, bucket, "store/blobs/a")
    other = begin(s3, bucket, "store/probe/a")
    objects = open_bucket(f"s3://{bucket}/store", os.environ)
    now = time.time()
    assert objects.abort_unfinished("blobs/", lambda started: started < now - 3600) == 0
    assert objects.abort_unfinished("blobs/", lambda started: started < now + 3600) == 1
    assert objects.counts.requests == {"list": 2, "delete": 1}
    assert [each.upload_id for each in control(f"s3://{bucket}/store").unfinished_uploads()] == [other]
    control(f"s3://{bucket}/store").abort_upload("probe/a", other)


def test_the_settings_of_a_bucket(s3: Any, bucket: str) -> None:
    """As they are, from none to all."""
    asked = control(f"s3://{bucket}/store")
    assert (asked.versioning(), asked.lifecycle(), asked.retention()) == ("", (), "")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert asked.versioning() == "Enabled"
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert asked.versioning() == "Suspended"
    rules = [
        {
            "ID": "tidy",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
        },
        {
            "ID": "old",
            "Status": "Enabled",
            "Filter": {"And": {"Prefix": "store/", "Tags": [{"Key": "k", "Value": "v"}]}},
            "Expiration": {"Days": 3},
        },
        {"ID": "off", "Status": "Disabled", "Filter": {"Prefix": "store/"}, "Expiration": {"Days": 3}},
    ]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    assert sorted(asked.lifecycle()) == [
        LifecycleRule("old", "store/", True, True, False, None),
        LifecycleRule("tidy", "", False, False, True, 2),
    ]


def test_a_missing_right_is_named(bucket: str) -> None:
    """As policies name it; the secret is in no sentence."""
    with pytest.raises(NotAllowed, match="s3:GetBucketVersioning") as caught:
        control(f"s3://{bucket}", AWS_SECRET_ACCESS_KEY="wrong-secret").versioning()
    assert caught.value.action == "s3:GetBucketVersioning"
    assert "wrong-secret" not in str(caught.value)


def test_a_server_that_is_gone_is_one_sentence() -> None:
    """After a few tries."""
    with pytest.raises(StoreError, match="cannot be asked: Could not connect to the endpoint URL"):
        control("s3://there-is-none", AWS_ENDPOINT_URL="http://127.0.0.1:9").location()
