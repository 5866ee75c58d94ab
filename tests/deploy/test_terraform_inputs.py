"""The Terraform module's inputs: all ways through it can be worked out, nonsense is refused, wishes become sizes."""

from __future__ import annotations

from typing import Any

import pytest

from quire.servers import ENDING_SECONDS, GRACE_SECONDS
from tests.deploy.terraform_functions import TerraformError
from tests.deploy.terraform_module import plan, rendered_container_definition
from tests.deploy.terraform_values import Unknown
from tests.deploy.terraform_variations import SECRET, VARIATIONS, only, settings_of

every_variation = pytest.mark.parametrize("variation", VARIATIONS)


@every_variation
def test_everything_can_be_worked_out(variation: str) -> None:
    """Every expression of every instance and every output has a value, and no rule refuses the inputs."""
    made = plan(VARIATIONS[variation], {"data.aws_secretsmanager_secret_version.user[0].secret_string": SECRET})
    assert list(made.refusals()) == []
    assert list(made.warnings()) == []
    assert len(list(made.instances())) > 60
    for name in made.files.named("output"):
        made.output(name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("service_subnets", ["10.0.0.0/24"]),
        ("asg_subnets", ["10.0.0.0/24"]),
        ("load_balancer_subnets", ["subnet-0000000000000000c"]),
        ("load_balancer_subnets", ["one", "two"]),
        ("zone_id", "example.com"),
        ("dns_names", []),
        ("dns_names", ["pypi", "pypi"]),
        ("dns_names", ["Pypi"]),
        ("service_name", "-quire"),
        ("service_name", "q" * 33),
        ("environment", "Production!"),
        ("docker_image", "quire-index:latest"),
        ("docker_image_tag", "sha256:123"),
        ("cpu_architecture", "arm"),
        ("container_cpu", 64),
        ("container_memory", 1),
        ("workers", 0),
        ("gunicorn_workers", 0),
        ("task_min_count", 0),
        ("task_max_count", 0),
        ("cpu_target_percent", 100),
        ("requests_per_target", 0),
        ("server", "apache"),
        ("authenticate", []),
        ("authenticate", ["upload"]),
        ("authenticate", ["download", "list"]),
        ("stop_timeout", 121),
        ("deregistration_delay", -1),
        ("idle_timeout", 0),
        ("health_check_path", "ready"),
        ("health_check_matcher", "ok"),
        ("allowed_cidr_blocks", ["everybody"]),
        ("ssl_policy", "ELBSecurityPolicy-2016-08"),
        ("storage", "gcs"),
        ("existing_bucket", "s3://acme-packages"),
        ("existing_bucket_kms_key_arn", "alias/packages"),
        ("bucket_prefix", "/packages"),
        ("bucket_prefix", "packages/"),
        ("bucket_prefix", "a//b"),
        ("bucket_prefix", "*"),
        ("bucket_encryption", "none"),
        ("bucket_noncurrent_days", 0),
        ("s3_endpoint_route_table_ids", ["main"]),
        ("existing_efs_file_system_id", "packages"),
        ("efs_root_directory", "packages"),
        ("efs_throughput_mode", "fast"),
        ("efs_provisioned_throughput_in_mibps", 0),
        ("efs_lifecycle_policy", 8),
        ("efs_burst_credit_threshold", 0),
        ("backup_retention_days", 0),
        ("backup_schedule", "daily"),
        ("backup_place", "/backups"),
        ("backup_place", "s3://acme-backup"),
        ("backup_place_schedule", "nightly"),
        ("backup_place_keep", 1),
        ("backup_place_kms_key_arn", "alias/backups"),
        ("pypi_username", "a:b"),
        ("existing_user_secret_arn", "my-secret"),
        ("password_version", 0),
        ("password_version", 1.5),
        ("secret_readers", ["ci"]),
        ("kms_key_arn", "alias/quire"),
        ("log_retention_days", 2),
        ("access_log_retention_days", 0),
        ("alarm_emails", ["nobody"]),
        ("alarm_topic_arns", ["pager"]),
        ("alarm_latency_seconds", 0),
        ("alarm_5xx_count", -1),
        ("alarm_failed_tasks_count", 0),
    ],
)
def test_nonsense_is_refused(name: str, value: object) -> None:
    """Each input's rules refuse what cannot be meant, and their sentence names the input."""
    sentence = next(plan({name: value}).refusals())
    assert sentence.startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("inputs", "word"),
    [
        ({"service_subnets": None}, "service_subnets"),
        ({"asg_subnets": ["subnet-0000000000000000a"]}, "two names"),
        ({"efs_throughput_mode": "provisioned"}, "efs_provisioned_throughput_in_mibps"),
        ({"existing_bucket": "acme-packages"}, "storage must be s3"),
        ({"storage": "s3"}, "s3_endpoint_route_table_ids"),
        (VARIATIONS["bucket"] | {"existing_efs_file_system_id": "fs-0123456789abcdef0"}, "existing_efs_file_system_id"),
        ({"stop_timeout": 39}, f"QUIRE_DRAIN_SECONDS and {GRACE_SECONDS + ENDING_SECONDS}"),
        ({"environment_variables": {"QUIRE_DRAIN_SECONDS": "90"}}, "stop_timeout"),
    ],
)
def test_inputs_that_do_not_fit_together_are_refused(inputs: dict[str, Any], word: str) -> None:
    """A resource's precondition refuses what no single input's rule can."""
    (sentence,) = plan(inputs).refusals()
    assert word in sentence


def test_an_input_that_is_not_there_is_refused() -> None:
    """The plan is as strict as Terraform about names."""
    with pytest.raises(TerraformError, match="dockerimage"):
        plan({"dockerimage": "quire"})


NEW = {
    **{f"data.aws_subnet.service[{number}].cidr_block": Unknown(f"cidr {number}") for number in range(2)},
    "data.aws_route53_zone.main.name": Unknown("zone"),
}
"""Nothing is known of subnets and a zone that are made in the same run."""


def test_subnets_may_be_made_in_the_same_run() -> None:
    """All resources of a subnet or a name have keys that are known before it is made."""
    subnets = [Unknown("aws_subnet.a.id"), Unknown("aws_subnet.b.id")]
    made = plan({"service_subnets": subnets}, NEW)
    assert made.resources("aws_efs_mount_target").keys() == {'volume["0"]', 'volume["1"]'}
    rules = made.resources("aws_vpc_security_group_egress_rule")
    assert len([name for name in rules if name.startswith("service_nfs")]) == 2
    assert made.resources("aws_route53_record").keys() == {'certificate["pypiserver"]', 'service["pypiserver"]'}


def test_mount_targets_of_the_replaced_module_keep_their_keys() -> None:
    """That module calls its subnets asg_subnets, and has the mount targets under their ids."""
    keys = plan(VARIATIONS["old-names"]).resources("aws_efs_mount_target").keys()
    assert keys == {'volume["subnet-0000000000000000a"]', 'volume["subnet-0000000000000000b"]'}


@pytest.mark.parametrize("variation", VARIATIONS)
def test_the_longest_name_fits_everywhere(variation: str) -> None:
    """AWS bounds the names of most resources, each in its own way."""
    limits = {
        ("aws_iam_role", "name_prefix"): 38,
        ("aws_lb", "name"): 32,
        ("aws_s3_bucket", "bucket_prefix"): 37,
        ("aws_backup_vault", "name"): 50,
        ("aws_backup_plan", "name"): 50,
        ("aws_backup_selection", "name"): 50,
        ("aws_efs_file_system", "creation_token"): 64,
        ("aws_scheduler_schedule", "name"): 64,
        ("aws_cloudwatch_event_rule", "name"): 64,
    }
    made = plan(VARIATIONS[variation] | {"service_name": "q" * 32})
    assert list(made.refusals()) == []
    for (type_name, argument), most in limits.items():
        for address, values in made.resources(type_name).items():
            assert len(values.arguments[argument]) <= most, f"{type_name}.{address}"


# -- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cpu", "memory", "sold"),
    [
        (None, None, ("512", "1024")),
        (None, 512, ("512", "1024")),  # the replaced module's default of memory
        (256, 512, ("256", "512")),
        (340, 512, ("512", "1024")),
        (640, 512, ("1024", "2048")),
        (1024, 2048, ("1024", "2048")),
        (512, 5000, ("1024", "5120")),
        (2048, 4096, ("2048", "4096")),
        (4096, 30720, ("4096", "30720")),
        (4096, 30721, ("8192", "32768")),
        (16384, 122880, ("16384", "122880")),
    ],
)
def test_the_next_size_that_fargate_sells_is_taken(cpu: int | None, memory: int | None, sold: tuple[str, str]) -> None:
    """Any wish becomes one of Fargate's pairs that is at least as large."""
    task = only(plan({"container_cpu": cpu, "container_memory": memory}).resources("aws_ecs_task_definition"))
    assert (task["cpu"], task["memory"]) == sold


@pytest.mark.parametrize(
    ("inputs", "workers"),
    [
        ({}, 2),
        ({"container_cpu": 4096}, 4),
        ({"gunicorn_workers": 5}, 5),
        ({"gunicorn_workers": 5, "workers": 6}, 6),
    ],
)
def test_workers_have_two_names(inputs: dict[str, Any], workers: int) -> None:
    """Under either name, and quire understands how they are handed on."""
    assert settings_of(rendered_container_definition(**inputs)).workers == workers


@pytest.mark.parametrize(
    ("inputs", "bounds"),
    [({}, (2, 4)), ({"task_min_count": 3}, (3, 6)), ({"task_max_count": 9}, (2, 9)), ({"task_max_count": 1}, (2, 2))],
)
def test_task_counts(inputs: dict[str, Any], bounds: tuple[int, int]) -> None:
    """Two to four tasks, unless it is said otherwise; never a largest number below the smallest."""
    target = only(plan(inputs).resources("aws_appautoscaling_target"))
    assert (target["min_capacity"], target["max_capacity"]) == bounds
