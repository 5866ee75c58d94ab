"""The Terraform module with `storage = "s3"`: nothing of EFS, a bucket that is closed and kept, few rights."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.deploy.terraform_module import Plan, plan, rendered_container_definition
from tests.deploy.terraform_syntax import references
from tests.deploy.terraform_variations import VARIATIONS, only, settings_of, statements
from tests.documents import DOCS, ROOT, block

BUCKETS = ("bucket", "existing-bucket", "bucket-without-kms")
OBJECT_ACTIONS = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
SETTINGS_ACTIONS = [
    "s3:GetBucketLocation",
    "s3:GetBucketObjectLockConfiguration",
    "s3:GetBucketVersioning",
    "s3:GetEncryptionConfiguration",
    "s3:GetLifecycleConfiguration",
]

every_bucket = pytest.mark.parametrize("variation", BUCKETS)


def types(made: Plan) -> set[str]:
    """The types of all that would be made."""
    return {each.type for each in made.instances() if each.kind == "resource"}


@every_bucket
def test_nothing_of_efs_is_made(variation: str) -> None:
    """No file system, mount target, access point, backup or rule for NFS; a task has a folder of its own disk only."""
    made = plan(VARIATIONS[variation])
    assert not {name for name in types(made) if "efs" in name or "backup" in name}
    rules = [
        *made.resources("aws_vpc_security_group_ingress_rule").values(),
        *made.resources("aws_vpc_security_group_egress_rule").values(),
    ]
    assert 2049 not in {rule.arguments["from_port"] for rule in rules}
    (task,) = made.resources("aws_ecs_task_definition").values()
    (volume,) = task.of("volume")
    assert volume.arguments == {"name": "scratch"}
    assert volume.blocks == ()
    for name in ("efs_file_system_id", "efs_access_point_id"):
        assert made.output(name) is None
    alarms = made.output("cloudwatch_alarm_arns")
    assert {name for name, arn in alarms.items() if arn is None} == {
        *("efs_burst_credits", "efs_throughput_high", "efs_permitted_throughput")
    }


def test_nothing_of_s3_is_made_beside_a_volume() -> None:
    """With EFS there is no bucket of packages and no endpoint, and the task may not use S3."""
    made = plan()
    assert set(made.resources("aws_s3_bucket")) == {"access_logs"}
    assert "aws_vpc_endpoint" not in types(made)
    assert "aws_s3_bucket_metric" not in types(made)
    assert made.output("bucket_url") is None
    assert made.output("bucket_arn") is None
    assert statements(made, "task").keys() == {"Volume"}


@every_bucket
def test_the_container_serves_the_bucket(variation: str) -> None:
    """Its last argument is the bucket's URL, which is an output too."""
    made = plan(VARIATIONS[variation])
    definition = rendered_container_definition(**VARIATIONS[variation])
    assert definition["command"][-1] == made.output("bucket_url") == settings_of(definition).root
    environ = {each["name"]: each["value"] for each in definition["environment"]}
    assert environ["AWS_REGION"] == "eu-central-1"


def test_the_url_names_the_bucket_and_the_prefix() -> None:
    """Of a new bucket as AWS calls it, of an existing one as it was given."""
    assert plan(VARIATIONS["bucket"]).output("bucket_url") == "s3://quire-packages-1/packages"
    assert plan(VARIATIONS["existing-bucket"]).output("bucket_url") == "s3://acme-packages/python/main"


@pytest.mark.parametrize(
    ("variation", "arn", "prefix", "key"),
    [
        ("bucket", "arn:aws:s3:::quire-packages-1", "packages", "(aws_kms_key.main[0].arn)"),
        ("bucket-without-kms", "arn:aws:s3:::quire-packages-1", "packages", None),
        ("existing-bucket", "arn:aws:s3:::acme-packages", "python/main", "arn:aws:kms:eu-central-1:123456789012:key/b"),
    ],
)
def test_the_tasks_may_use_their_prefix_and_nothing_else(
    variation: str, arn: str, prefix: str, key: str | None
) -> None:
    """Objects below the prefix, their names, settings of the bucket to be looked at, and the key through S3."""
    found = statements(plan(VARIATIONS[variation]), "task")
    actions = {name: each.arguments["actions"] for name, each in found.items()}
    resources = {name: list(map(str, each.arguments["resources"])) for name, each in found.items()}
    assert actions.pop("Key", None) == (None if key is None else ["kms:Decrypt", "kms:GenerateDataKey"])
    assert resources.pop("Key", None) == (None if key is None else [key])
    assert actions == {
        "Objects": OBJECT_ACTIONS,
        "Names": ["s3:ListBucket", "s3:ListBucketMultipartUploads"],
        "Settings": SETTINGS_ACTIONS,
    }
    assert resources == {"Objects": [f"{arn}/{prefix}/*"], "Names": [arn], "Settings": [arn]}
    (condition,) = found["Names"].of("condition")
    assert condition.arguments == {"test": "StringLikeIfExists", "variable": "s3:prefix", "values": [f"{prefix}/*"]}
    if key is not None:
        (condition,) = found["Key"].of("condition")
        assert condition.arguments["values"] == ["s3.eu-central-1.amazonaws.com"]


def test_every_right_that_quire_names_is_granted() -> None:
    """The role has each action that quire's sources name as missing when the bucket refuses a request."""
    named = {
        action
        for path in (ROOT / "src" / "quire").rglob("*.py")
        for action in re.findall(r"\bs3:[A-Z][A-Za-z]+", path.read_text())
    }
    role = statements(plan(VARIATIONS["bucket"]), "task").values()
    granted = {action for each in role for action in each.arguments["actions"]}
    assert len(named) >= 7
    assert named <= granted


@pytest.mark.parametrize("variation", ["bucket", "bucket-without-kms"])
def test_a_new_bucket_is_closed_and_keeps_what_it_has(variation: str) -> None:
    """No public access, no access list, no plain HTTP; encrypted; versions; no rule that expires current objects."""
    made = plan(VARIATIONS[variation] | {"bucket_noncurrent_days": 7})
    assert set(made.resources("aws_s3_bucket_public_access_block")["packages[0]"].arguments.values()) >= {True}
    blocked = made.resources("aws_s3_bucket_public_access_block")["packages[0]"].arguments
    assert [value for name, value in blocked.items() if name != "bucket"] == [True] * 4
    (denied,) = statements(made, "bucket").values()
    assert denied.arguments["effect"] == "Deny"
    assert denied.arguments["actions"] == ["s3:*"]
    assert denied.arguments["resources"] == ["arn:aws:s3:::quire-packages-1", "arn:aws:s3:::quire-packages-1/*"]
    (condition,) = denied.of("condition")
    assert condition.arguments == {"test": "Bool", "variable": "aws:SecureTransport", "values": ["false"]}
    (rule,) = made.resources("aws_s3_bucket_server_side_encryption_configuration")["packages[0]"].of("rule")
    (default,) = rule.of("apply_server_side_encryption_by_default")
    with_key = variation == "bucket"
    assert default.arguments["sse_algorithm"] == ("aws:kms" if with_key else "AES256")
    assert (default.arguments["kms_master_key_id"] is None) != with_key
    assert rule.arguments["bucket_key_enabled"] is with_key
    (versions,) = made.resources("aws_s3_bucket_versioning")["packages[0]"].of("versioning_configuration")
    assert versions.arguments == {"status": "Enabled"}
    (rule,) = made.resources("aws_s3_bucket_lifecycle_configuration")["packages[0]"].of("rule")
    assert rule.arguments["status"] == "Enabled"
    assert {name: block.arguments for name, block in rule.blocks} == {
        "filter": {},
        "abort_incomplete_multipart_upload": {"days_after_initiation": 1},
        "noncurrent_version_expiration": {"noncurrent_days": 7},
        "expiration": {"expired_object_delete_marker": True},
    }


def test_the_bucket_cannot_be_destroyed() -> None:
    """Terraform refuses a plan that would delete the bucket with the packages."""
    (block,) = (each for each in plan().files.of("resource") if each.labels == ("aws_s3_bucket", "packages"))
    (lifecycle,) = block.of("lifecycle")
    assert "true" in "".join(map(str, lifecycle.attributes["prevent_destroy"].scan_values(lambda _: True)))
    assert not list(references(lifecycle.attributes["prevent_destroy"]))


def test_an_existing_bucket_stays_its_owners() -> None:
    """No setting of it is changed; its requests are counted, which is a setting beside those that it may have."""
    made = plan(VARIATIONS["existing-bucket"])
    ours = {
        f"{each.type}.{name}"
        for each in made.instances()
        if each.kind == "resource" and (name := each.address.split(".")[-1]).startswith("packages")
    }
    assert ours == {"aws_s3_bucket_metric.packages[0]"}
    (metric,) = made.resources("aws_s3_bucket_metric").values()
    assert metric.arguments["bucket"] == "acme-packages"
    assert metric.of("filter")[0].arguments == {"prefix": "python/main/"}


@pytest.mark.parametrize(("variation", "tables"), [("bucket", ["rtb-0000000000000000a"]), ("existing-bucket", None)])
def test_requests_to_s3_go_through_a_gateway_endpoint(variation: str, tables: list[str] | None) -> None:
    """It is made for the given route tables; none where there is one."""
    endpoints = plan(VARIATIONS[variation]).resources("aws_vpc_endpoint")
    if tables is None:
        assert endpoints == {}
        return
    endpoint = only(endpoints)
    assert endpoint["vpc_endpoint_type"] == "Gateway"
    assert endpoint["service_name"] == "com.amazonaws.eu-central-1.s3"
    assert endpoint["route_table_ids"] == tables


def test_errors_of_the_bucket_are_an_alarm() -> None:
    """The alarm watches the metric that is made for the prefix, and no alarm speaks of a volume."""
    made = plan(VARIATIONS["bucket"])
    alarms = made.resources("aws_cloudwatch_metric_alarm")
    (metric,) = made.resources("aws_s3_bucket_metric").values()
    dimensions: dict[str, Any] = alarms["bucket_errors[0]"].arguments["dimensions"]
    assert dimensions == {"BucketName": "quire-packages-1", "FilterId": metric.arguments["name"]}
    assert not any("volume" in alarm.arguments["alarm_description"] for alarm in alarms.values())
    assert "bucket" in alarms["store_errors"].arguments["alarm_description"]


def test_the_policy_of_the_page_is_the_modules() -> None:
    """docs/how-to/bucket.md gives a role the same rights as the module does, by the same conditions."""
    made = plan(VARIATIONS["existing-bucket"] | {"existing_bucket_kms_key_arn": None, "bucket_prefix": "python"})
    written = json.loads(block(DOCS / "how-to" / "bucket.md", "json", "policy"))["Statement"]
    rendered = []
    for each in statements(made, "task").values():
        conditions = [condition.arguments for condition in each.of("condition")]
        rendered.append((each.arguments["actions"], each.arguments["resources"], conditions))
    assert rendered == [(each["Action"], [each["Resource"]], _conditions(each)) for each in written]


def _conditions(statement: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"test": test, "variable": variable, "values": [value]}
        for test, wanted in statement.get("Condition", {}).items()
        for variable, value in wanted.items()
    ]
