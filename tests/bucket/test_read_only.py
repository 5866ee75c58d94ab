"""Servers whose credentials may only read the bucket."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from tests.asking import OPEN, publish, publish_wheel, serve
from tests.bucket.ceph import LIMITED_KEY, LIMITED_SECRET
from tests.distributions import make_wheel, wheel_name

pytestmark = pytest.mark.bucket


def test_credentials_that_may_only_read_serve_read_only(tmp_path: Path, url: str) -> None:
    """With a warning, as on a volume that is mounted read-only. Uploads are refused in a sentence; after the first try
    at the start, nothing is written."""
    (tmp_path / "writer").mkdir()
    (tmp_path / "reader").mkdir()
    with serve(tmp_path / "writer", *OPEN, place=url) as site:
        publish_wheel(site, "acme", "1.0")
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    allow_reading(bucket)
    before = objects(bucket, prefix)
    with serve(
        tmp_path / "reader", *OPEN, place=url, AWS_ACCESS_KEY_ID=LIMITED_KEY, AWS_SECRET_ACCESS_KEY=LIMITED_SECRET
    ) as site:
        assert "is served read-only, without uploads" in site.served.output()
        assert site.get("/ready").status_code == 200
        assert wheel_name("acme", "1.0") in site.get("/simple/acme/").text
        answer = publish(site, wheel_name("acme", "1.1"), make_wheel("acme", "1.1"), name="acme", version="1.1")
        assert answer.status_code == 403
        assert "read-only" in answer.text
        kinds = {
            line.split('kind="')[1].split('"')[0]
            for line in site.get("/metrics").text.splitlines()
            if line.startswith("quire_bucket_requests_total{")
        }
        assert kinds <= {"get", "head", "list"}
        assert "get" in kinds
    assert objects(bucket, prefix) == before


def client() -> Any:
    session = botocore.session.Session()
    return session.create_client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name="us-east-1")


def allow_reading(bucket: str) -> None:
    """Let the second user read and list the bucket, and nothing else."""
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": ["arn:aws:iam:::user/limited"]},
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    client().put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


def objects(bucket: str, prefix: str) -> dict[str, str]:
    """ETags by key."""
    found = client().list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/")["Contents"]
    return {each["Key"]: each["ETag"] for each in found}
