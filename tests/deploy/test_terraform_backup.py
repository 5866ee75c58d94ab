"""The Terraform module: a scheduled task that runs `quire backup`, and its rights."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quire.cli import make_parser
from tests.deploy.terraform_module import Plan, plan
from tests.deploy.terraform_variations import VARIATIONS, only, statements


def of(variation: str) -> Plan:
    return plan(VARIATIONS[variation])


def container(made: Plan) -> dict[str, Any]:
    (found,) = json.loads(made.resources("aws_ecs_task_definition")["backup[0]"].arguments["container_definitions"])
    assert isinstance(found, dict)
    return found


def test_there_is_none_without_a_place() -> None:
    """Neither a task, nor a schedule, nor a role, nor an alarm."""
    made = plan()
    assert made.resources("aws_scheduler_schedule") == {}
    addresses = {each.address for each in made.instances() if "backup" in each.address}
    assert not [each for each in addresses if each.endswith("backups[0]") or "scheduled_backup" in each]
    assert made.resources("aws_ecs_task_definition").keys() == {"main"}


@pytest.mark.parametrize(
    ("variation", "store", "place", "keep"),
    [
        ("backups-of-volume", "/data/packages", "s3://acme-backup/python", 7),
        ("backups-of-bucket", "s3://quire-packages-1/packages", "s3://acme-backup/teams/python", 30),
    ],
)
def test_the_command_is_one_of_quire(variation: str, store: str, place: str, keep: int) -> None:
    """It names both places; the container is as locked up as a server, has no secret, and no port."""
    made = of(variation)
    found = container(made)
    parsed = make_parser()[0].parse_args(found["command"])
    assert (parsed.command, parsed.directory, parsed.target, parsed.keep) == ("backup", [store], place, keep)
    assert found["readonlyRootFilesystem"] is True
    assert found["linuxParameters"]["capabilities"] == {"add": [], "drop": ["ALL"]}
    assert (found["secrets"], found["portMappings"]) == ([], [])
    assert "healthCheck" not in found
    volumes = {each.arguments["name"] for each in made.resources("aws_ecs_task_definition")["backup[0]"].of("volume")}
    assert {each["sourceVolume"] for each in found["mountPoints"]} == volumes


def test_it_runs_every_night() -> None:
    """In the cluster and the subnets of the servers, without a public address."""
    schedule = only(of("backups-of-volume").resources("aws_scheduler_schedule"))
    assert schedule["schedule_expression"] == "cron(15 3 * * ? *)"
    (target,) = of("backups-of-volume").resources("aws_scheduler_schedule")["backup[0]"].of("target")
    (parameters,) = target.of("ecs_parameters")
    (network,) = parameters.of("network_configuration")
    assert network.arguments["assign_public_ip"] is False
    assert "aws_ecs_task_definition.backup[0]" in str(parameters.arguments["task_definition_arn"])


def test_its_task_reads_packages_and_writes_backups() -> None:
    """Of the bucket of the packages it may write nothing but the time of the last backup, and delete nothing."""
    found = statements(of("backups-of-bucket"), "scheduled_backup")
    packages = "arn:aws:s3:::quire-packages-1/packages"
    assert found["Packages"].arguments["actions"] == ["s3:GetObject"]
    assert found["Packages"].arguments["resources"] == [f"{packages}/*"]
    assert found["Time"].arguments["actions"] == ["s3:PutObject"]
    assert all(
        each.startswith((f"{packages}/records/access/", f"{packages}/names/access/"))
        for each in found["Time"].arguments["resources"]
    )
    assert found["Backups"].arguments["resources"] == ["arn:aws:s3:::acme-backup/teams/python/*"]
    writes = {name for name, each in found.items() if "s3:DeleteObject" in each.arguments["actions"]}
    assert writes == {"Backups"}
    volume = statements(of("backups-of-volume"), "scheduled_backup")
    assert set(volume) == {"Volume", "Backups", "BackupNames"}


def test_the_schedule_starts_this_task_alone() -> None:
    """In this cluster, and it may hand on the two roles of the task to ECS, and no others."""
    found = statements(of("backups-of-bucket"), "scheduler")
    assert {name: each.arguments["actions"] for name, each in found.items()} == {
        "Start": ["ecs:RunTask"],
        "Tags": ["ecs:TagResource"],
        "Roles": ["iam:PassRole"],
    }
    assert len(found["Roles"].arguments["resources"]) == 2
    assert all(each.of("condition") for each in found.values())


def test_a_day_and_a_half_without_a_backup_is_an_alarm() -> None:
    """It counts the log lines of whole backups. A nightly one may take longer than the one before, so a day is too
    short. Other lines count as 0: without any number CloudWatch would look further back for one."""
    made = of("backups-of-volume")
    alarm = made.resources("aws_cloudwatch_metric_alarm")["backups[0]"].arguments
    assert (alarm["treat_missing_data"], alarm["statistic"], alarm["threshold"]) == ("breaching", "Sum", 1)
    assert (alarm["period"], alarm["evaluation_periods"]) == (12 * 3600, 3)
    metric = made.resources("aws_cloudwatch_log_metric_filter")["backups[0]"]
    (transformation,) = metric.of("metric_transformation")
    assert transformation.arguments["default_value"] == "0"
    pattern = metric.arguments["pattern"]
    assert pattern == '{ $.event = "backed up" && $.missing = 0 }'
    environment = {each["name"]: each["value"] for each in container(made)["environment"]}
    assert environment["QUIRE_VERBOSE"] == "1"
    assert environment["QUIRE_LOG_FORMAT"] == "json"
