"""The rights that deploy/ and docs/ grant on a bucket: enough for all that quire does there, and nothing beside it."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import botocore.session
import pytest

from tests.asking import OPEN, publish, publish_wheel, serve
from tests.bucket.ceph import LIMITED_KEY as KEY
from tests.bucket.ceph import LIMITED_SECRET as SECRET
from tests.bucket.ceph import S3Server
from tests.deploy.terraform_module import Values, plan
from tests.deploy.terraform_variations import VARIATIONS, statements
from tests.distributions import make_wheel, wheel_name
from tests.documents import DOCS, block
from tests.serving import environment, run_quire

pytestmark = pytest.mark.bucket

PAGE: Final = DOCS / "how-to" / "bucket.md"
PREFIX: Final = "python/main"
LARGE: Final = os.urandom(20 * 1024 * 1024)
"""More than goes into one part."""
_CEPH: Final = {"s3:GetEncryptionConfiguration": "s3:GetBucketEncryption"}
"""Actions that Ceph's gateway knows by another name."""


@pytest.fixture
def bucket() -> str:
    """A bucket that nothing else uses."""
    port = urlsplit(os.environ["AWS_ENDPOINT_URL"]).port
    assert port is not None
    return S3Server(port).make_bucket().removeprefix("s3://")


def rights_of_the_module(bucket: str) -> list[dict[str, Any]]:
    """The rights that the Terraform module grants to its tasks on an existing bucket without a key, as a policy says
    it."""
    inputs = VARIATIONS["existing-bucket"] | {
        "existing_bucket": bucket,
        "existing_bucket_kms_key_arn": None,
        "bucket_prefix": PREFIX,
    }
    return [_as_json(each) for each in statements(plan(inputs), "task").values()]


def rights_of_the_page(name: str, bucket: str) -> list[dict[str, Any]]:
    """A policy of the how-to, for another bucket and prefix."""
    text = block(PAGE, "json", name)
    text = text.replace("acme-packages", bucket).replace("python/", f"{PREFIX}/")
    found: list[dict[str, Any]] = json.loads(text)["Statement"]
    return found


def _as_json(statement: Values) -> dict[str, Any]:
    made: dict[str, Any] = {
        "Effect": "Allow",
        "Action": statement.arguments["actions"],
        "Resource": statement.arguments["resources"],
    }
    for each in statement.of("condition"):
        made["Condition"] = {each.arguments["test"]: {each.arguments["variable"]: each.arguments["values"]}}
    return made


def grant(bucket: str, rights: list[dict[str, Any]]) -> None:
    """Let the second user do this and nothing else with the bucket."""
    user = {"AWS": ["arn:aws:iam:::user/limited"]}
    stated = [
        each | {"Principal": user, "Action": [_CEPH.get(action, action) for action in each["Action"]]}
        for each in rights
    ]
    policy = {"Version": "2012-10-17", "Statement": stated}
    _client().put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


def _client() -> Any:
    session = botocore.session.Session()
    return session.create_client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name="us-east-1")


def set_rules(bucket: str) -> None:
    """The lifecycle rules of the how-to."""
    configuration = json.loads(block(PAGE, "json", "lifecycle"))
    _client().put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=configuration)


def command(url: str, *arguments: str) -> tuple[int, str]:
    """A command's exit code and all that it says, with the second user's keys."""
    name, *rest = arguments
    done = run_quire(
        name, "-d", url, *rest, cwd=Path.cwd(), environ=environment(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET)
    )
    return done.returncode, done.stdout + done.stderr


def test_the_modules_rights_are_enough(tmp_path: Path, bucket: str) -> None:
    """A server publishes small and large files and serves them; every command that changes something works."""
    grant(bucket, rights_of_the_module(bucket))
    url = f"s3://{bucket}/{PREFIX}"
    with serve(tmp_path, *OPEN, place=url, AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET) as site:
        assert site.get("/simple/acme-tools/").status_code in {303, 404}  # an object that is not there is not forbidden
        publish_wheel(site, "acme-tools", "1.0")
        publish_wheel(site, "acme-tools", "1.1")
        large = make_wheel("acme-large", "1.0", files={"acme_large/data.bin": LARGE})
        answer = publish(site, wheel_name("acme-large", "1.0"), large, name="acme-large", version="1.0")
        assert answer.status_code == 200, answer.text
        assert site.get("/ready").status_code == 200
        page = site.get("/simple/acme-large/").text
        href = next(part.split('"')[0] for part in page.split('href="')[1:]).partition("#")[0]
        assert site.client.get(site.client.base_url.join("/simple/acme-large/").join(href)).content == large
    for arguments, word in (
        (("ls",), "acme-tools"),
        (("yank", "acme-tools", "1.0"), "Yanked"),
        (("delete", "acme-tools", "1.1", "--yes"), "Deleted"),
        (("check",), "2 projects, 2 files"),
        (("gc",), ""),
    ):
        code, said = command(url, *arguments)
        assert (code, word in said, "Traceback" in said) == (0, True, False), said


def test_the_doctor_misses_no_right(bucket: str) -> None:
    """With the module's rights, and the rules of the how-to, `quire doctor` tries everything and all is well; without
    one of the rights it names the one that is missing."""
    set_rules(bucket)
    url = f"s3://{bucket}/{PREFIX}"
    rights = rights_of_the_module(bucket)
    grant(bucket, rights)
    report = examined(url)
    assert report["verdict"] == "keeps"
    assert [each for each in report["checks"] if each["result"] != "ok"] == []
    assert {"rights", "tidy", "versions", "unfinished"} <= {each["code"] for each in report["checks"]}
    rights[1]["Action"] = ["s3:ListBucket"]
    grant(bucket, rights)
    assert "s3:ListBucketMultipartUploads" in json.dumps(examined(url)["findings"])


def examined(url: str) -> dict[str, Any]:
    """The report of `quire doctor`, by the second user."""
    environ = environment(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET)
    done = run_quire("doctor", "--quick", "--json", url, cwd=Path.cwd(), environ=environ)
    assert "Traceback" not in done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_the_modules_rights_end_at_the_prefix(bucket: str) -> None:
    """Beside it in the same bucket nothing can be read, written, listed or removed; no setting can be changed."""
    grant(bucket, rights_of_the_module(bucket))
    _client().put_object(Bucket=bucket, Key="other/secret.txt", Body=b"secret")
    for place in (f"s3://{bucket}/other", f"s3://{bucket}/python/mainly"):
        code, said = command(place, "ls")
        assert code != 0
        assert "403 AccessDenied" in said
    session = botocore.session.Session()
    limited = session.create_client(
        "s3",
        endpoint_url=os.environ["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
    )
    key = f"{PREFIX}/{secrets.token_hex(4)}"
    limited.put_object(Bucket=bucket, Key=key, Body=b"ours")
    forbidden: tuple[Callable[[], Any], ...] = (
        lambda: limited.get_object(Bucket=bucket, Key="other/secret.txt"),
        lambda: limited.put_object(Bucket=bucket, Key="other/new.txt", Body=b""),
        lambda: limited.delete_object(Bucket=bucket, Key="other/secret.txt"),
        lambda: limited.list_objects_v2(Bucket=bucket, Prefix="other/"),
        lambda: limited.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}),
        lambda: limited.delete_bucket_policy(Bucket=bucket),
    )
    for ask in forbidden:
        with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
            ask()


def test_the_rights_of_readers_are_enough(tmp_path: Path, bucket: str) -> None:
    """A read-only server with the smaller policy lists, serves and is ready. It writes nothing and refuses
    uploads, as do the commands that change something."""
    url = f"s3://{bucket}/{PREFIX}"
    (tmp_path / "writer").mkdir()
    (tmp_path / "reader").mkdir()
    with serve(tmp_path / "writer", *OPEN, place=url) as site:
        publish_wheel(site, "acme-tools", "1.0")
    grant(bucket, rights_of_the_page("policy-read-only", bucket))
    before = _client().list_object_versions(Bucket=bucket)["Versions"]
    flags = (*OPEN, "--read-only")
    with serve(tmp_path / "reader", *flags, place=url, AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET) as site:
        assert site.get("/ready").status_code == 200
        assert wheel_name("acme-tools", "1.0") in site.get("/simple/acme-tools/").text
        assert site.get("/simple/nothing/").status_code in {303, 404}
        wheel = make_wheel("acme-tools", "1.1")
        answer = publish(site, wheel_name("acme-tools", "1.1"), wheel, name="acme-tools", version="1.1")
        assert answer.status_code == 403
    for reading in (("ls",), ("check",), ("gc", "--dry-run"), ("log",)):
        code, said = command(url, *reading)
        assert (code, "Traceback" in said) == (0, False), said
    code, said = command(url, "yank", "acme-tools", "1.0")
    assert code != 0
    assert "Traceback" not in said
    assert _client().list_object_versions(Bucket=bucket)["Versions"] == before


def test_the_lifecycle_of_the_page_is_taken(bucket: str) -> None:
    """The server takes the document, and no rule in it expires objects that are current."""
    set_rules(bucket)
    (rule,) = _client().get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert not rule["Expiration"].keys() & {"Days", "Date"}
