"""Sets of inputs for the tests of the Terraform module, and what its plans are asked for."""

from __future__ import annotations

import json
from typing import Any

from quire.cli import make_parser
from quire.config.resolving import resolve
from quire.config.settings import RUN_DEFAULTS, Settings
from tests.deploy.terraform_module import Plan, Values

VARIATIONS: dict[str, dict[str, Any]] = {
    "as-it-comes": {},
    "old-names": {
        "service_subnets": None,
        "asg_subnets": ["subnet-0000000000000000a", "subnet-0000000000000000b"],
        "gunicorn_workers": 4,
        "container_memory": 512,
        "alarm_emails": ["a@example.com"],
    },
    "existing-volume": {
        "existing_efs_file_system_id": "fs-0123456789abcdef0",
        "existing_user_secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:user-AbCdEf",
        "efs_root_directory": "/",
        "create_dns_records": False,
    },
    "bursting": {"efs_throughput_mode": "bursting", "efs_lifecycle_policy": None, "enable_cloudwatch_dashboard": False},
    "provisioned": {"efs_throughput_mode": "provisioned", "efs_provisioned_throughput_in_mibps": 10},
    "bucket": {"storage": "s3", "s3_endpoint_route_table_ids": ["rtb-0000000000000000a"]},
    "existing-bucket": {
        "storage": "s3",
        "existing_bucket": "acme-packages",
        "existing_bucket_kms_key_arn": "arn:aws:kms:eu-central-1:123456789012:key/b",
        "bucket_prefix": "python/main",
        "s3_endpoint_route_table_ids": [],
        "extra_arguments": ["--overwrite"],
    },
    "backups-of-volume": {"backup_place": "s3://acme-backup/python", "backup_place_keep": 7},
    "backups-of-bucket": {
        "storage": "s3",
        "s3_endpoint_route_table_ids": [],
        "backup_place": "s3://acme-backup/teams/python",
        "backup_place_kms_key_arn": "arn:aws:kms:eu-central-1:123456789012:key/c",
    },
    "bucket-without-kms": {
        "storage": "s3",
        "bucket_encryption": "AES256",
        "s3_endpoint_route_table_ids": ["rtb-0000000000000000a"],
    },
    "everything": {
        "dns_names": ["pypi", "packages"],
        "docker_image": "registry.example.com:5000/team/quire",
        "docker_image_tag": f"sha256:{'0' * 64}",
        "cpu_architecture": "ARM64",
        "container_cpu": 2048,
        "container_memory": 5000,
        "workers": 3,
        "task_min_count": 3,
        "task_max_count": 9,
        "server": "gunicorn",
        "disable_fallback": True,
        "environment_variables": {"QUIRE_MAX_UPLOAD_SIZE": "500M"},
        "extra_arguments": ["--overwrite"],
        "secret_readers": ["arn:aws:iam::123456789012:role/ci"],
        "password_in_state": True,
        "web_acl_arn": "arn:aws:wafv2:eu-central-1:123456789012:regional/webacl/a/b",
        "kms_key_arn": "arn:aws:kms:eu-central-1:123456789012:key/a",
        "enable_efs_backup": False,
        "efs_lifecycle_policy": 1,
    },
}
"""Inputs that between them take every way through the module."""

SECRET = json.dumps({"username": "alice", "password": "s3cret"})
"""The content of the secret with user and password, where a test looks into it."""


def only(found: dict[str, Values]) -> dict[str, Any]:
    """The arguments of the one resource."""
    (values,) = found.values()
    return values.arguments


def settings_of(definition: dict[str, Any]) -> Settings:
    """The settings that quire would run with in the container."""
    parsed = make_parser()[0].parse_args(definition["command"])
    environment = {each["name"]: each["value"] for each in definition["environment"]}
    flags = vars(parsed) | {"directories": parsed.directories or None, "passwords": None}
    return resolve(flags, environment, RUN_DEFAULTS)


def statements(made: Plan, name: str) -> dict[str, Values]:
    """The statements of a policy document, by what they are called."""
    (document,) = (
        each.values for each in made.instances() if each.address.split("[")[0] == f"data.aws_iam_policy_document.{name}"
    )
    return {each.arguments.get("sid", ""): each for each in document.of("statement")}
