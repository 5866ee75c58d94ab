"""`quire doctor` on real servers: one that keeps the promise, and some that are known not to."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore.session
import httpx
import pytest

from quire.store.bucket.client import open_bucket
from tests.bucket.caching import caching_proxy
from tests.bucket.ceph import CEPH_18, LIMITED_KEY, LIMITED_SECRET, S3Server, s3_server
from tests.bucket.npm_packages import installed
from tests.bucket.sample import is_sample
from tests.bucket.test_rights import grant
from tests.serving import environment, free_port, run_quire, until

pytestmark = pytest.mark.bucket

not_in_the_sample = pytest.mark.skipif(is_sample(), reason="the sample has no server that breaks the promise")


def examine(url: str, folder: Path, **variables: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the report."""
    done = run_quire("doctor", "--quick", "--json", url, cwd=folder, environ=environment(**variables))
    assert done.stdout, done.stderr
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def not_well(report: dict[str, Any]) -> dict[str, str]:
    return {each["code"]: each["result"] for each in report["checks"] if each["result"] != "ok"}


def test_a_server_that_keeps_the_promise(url: str, tmp_path: Path) -> None:
    """All is well but the lifecycle rule that is missing; nothing is left in the bucket."""
    code, report = examine(url, tmp_path)
    assert not_well(report) == {"unfinished": "warning"}
    assert (code, report["verdict"]) == (0, "keeps")
    assert report["server"].startswith("Ceph Object Gateway")
    assert list(open_bucket(url, os.environ).list("")) == []


def test_what_people_read(url: str, tmp_path: Path) -> None:
    """A line for each check, then the verdict; the secret is nowhere."""
    done = run_quire("doctor", "--quick", url, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"Bucket: {url} (without a store; the server is Ceph")
    assert lines[1].startswith("Requests: ")
    assert any(line.startswith("ok         An object is created only if there is none") for line in lines)
    assert any(line.startswith("warning    No lifecycle rule aborts unfinished uploads") for line in lines)
    assert lines[-1] == "Yes: this bucket keeps quire's promise."
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in done.stdout + done.stderr


def test_a_cache_before_the_server(url: str, tmp_path: Path) -> None:
    """Reads are found to be late, and so nothing that depends on them is judged."""
    with caching_proxy(int(os.environ["AWS_ENDPOINT_URL"].rpartition(":")[2])) as port:
        code, report = examine(url, tmp_path, AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}")
    assert (code, report["verdict"]) == (1, "breaks")
    found = not_well(report)
    assert {found["changed"], found["read"], found["appeared"]} == {"fails"}
    assert found["conditions"] == "unknown"
    assert any("a proxy or a content network that caches" in each["advice"] for each in report["checks"])


@not_in_the_sample
def test_a_server_that_never_replaces_under_a_condition(tmp_path: Path) -> None:
    """Ceph 18."""
    with s3_server(CEPH_18) as server:
        code, report = examine(server.make_bucket(), tmp_path, **server.environment)
    assert (code, report["verdict"]) == (1, "breaks")
    assert not_well(report) == {"replace": "fails", "unfinished": "warning"}
    (check,) = [each for each in report["checks"] if each["code"] == "replace"]
    assert "before version 20" in check["advice"]


@not_in_the_sample
def test_a_server_that_ignores_conditions(tmp_path: Path) -> None:
    """s3rver."""
    with s3rver(tmp_path) as variables:
        code, report = examine("s3://quire/python", tmp_path, **variables)
    assert (code, report["verdict"]) == (1, "breaks")
    found = not_well(report)
    assert {name for name, result in found.items() if result == "fails"} == {"create", "replace"}
    assert "unknown" not in found.values()


@pytest.mark.parametrize("missing", ["s3:PutObject", "s3:ListBucket", "s3:DeleteObject"])
def test_a_missing_right_is_named(missing: str, tmp_path: Path) -> None:
    """As the policy that lacks it names it, at once. The owner of an object may always read it at Ceph."""
    bucket = new_bucket()
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    actions = sorted({"s3:PutObject", "s3:GetObject", "s3:ListBucket", "s3:DeleteObject"} - {missing})
    grant(bucket, [{"Effect": "Allow", "Action": actions, "Resource": resources}])
    code, report = examine(
        f"s3://{bucket}", tmp_path, AWS_ACCESS_KEY_ID=LIMITED_KEY, AWS_SECRET_ACCESS_KEY=LIMITED_SECRET
    )
    (check,) = [each for each in report["checks"] if each["code"] == "rights"]
    assert missing in check["advice"]
    assert (code, report["verdict"]) == (2, "unknown")


@pytest.mark.parametrize("status", ["Enabled", "Suspended"])
def test_a_bucket_with_versions_on_ceph(status: str, tmp_path: Path) -> None:
    """There Ceph 20 lets several writers of a race win. The doctor says so, also where it lost no race itself."""
    bucket = new_bucket()
    client = botocore.session.Session().create_client("s3", region_name="us-east-1")
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
    code, report = examine(f"s3://{bucket}", tmp_path)
    assert not_well(report)["versions"] == "unknown"
    assert (code, report["verdict"]) in {(1, "breaks"), (2, "unknown")}


def new_bucket() -> str:
    """A bucket of the test's own."""
    port = urlsplit(os.environ["AWS_ENDPOINT_URL"]).port
    assert port is not None
    return S3Server(port).make_bucket().removeprefix("s3://")


@contextmanager
def s3rver(folder: Path) -> Iterator[dict[str, str]]:
    """The server with a bucket `quire`: the variables that lead to it."""
    program = installed("s3rver") / "node_modules" / ".bin" / "s3rver"
    port = free_port()
    flags = ("--directory", folder / "s3rver", "--address", "127.0.0.1", "--port", port, "--configure-bucket", "quire")
    (folder / "s3rver").mkdir()
    with (folder / "s3rver.log").open("wb") as log:
        process = subprocess.Popen(
            [program, *map(str, flags)], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _answers(address))
        yield {"AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "S3RVER", "AWS_SECRET_ACCESS_KEY": "S3RVER"}
    finally:
        process.kill()
        process.wait()


def _answers(address: str) -> bool:
    try:
        httpx.get(address)
    except httpx.HTTPError:
        return False
    return True
