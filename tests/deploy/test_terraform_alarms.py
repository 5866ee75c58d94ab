"""The Terraform module: alarms with a recipient, a dashboard, metrics that stay few."""

from __future__ import annotations

import itertools
import json
import re

import pytest

from tests.deploy.terraform_module import plan
from tests.deploy.terraform_variations import VARIATIONS, only

every_variation = pytest.mark.parametrize("variation", VARIATIONS)


@every_variation
def test_alarms_have_a_recipient(variation: str) -> None:
    """Each alarm goes to the topic and to all that were given, and its description is a sentence."""
    inputs = VARIATIONS[variation] | {"alarm_topic_arns": ["arn:aws:sns:eu-central-1:123456789012:pager"]}
    alarms = plan(inputs).resources("aws_cloudwatch_metric_alarm")
    assert len(alarms) >= 8
    for alarm in alarms.values():
        topics = [str(each) for each in alarm.arguments["alarm_actions"]]
        assert topics == ["(aws_sns_topic.alarms.arn)", "arn:aws:sns:eu-central-1:123456789012:pager"]
        assert alarm.arguments["alarm_description"].endswith(".")
        assert "metric_name" in alarm.arguments or alarm.of("metric_query")


def test_alarms_on_the_volume_follow_its_mode() -> None:
    """Burst credits are watched where there are any, permitted throughput where it is limited."""
    alarms = {
        mode: plan(VARIATIONS[mode]).resources("aws_cloudwatch_metric_alarm") for mode in ("bursting", "provisioned")
    }
    assert "efs_burst_credit_balance[0]" in alarms["bursting"]
    assert "efs_burst_credit_balance[0]" not in alarms["provisioned"]
    assert all("efs_permitted_throughput[0]" in each for each in alarms.values())
    optional = {name for name in plan().resources("aws_cloudwatch_metric_alarm") if name.endswith("[0]")}
    assert optional == {"efs_throughput_utilization[0]"}


@pytest.mark.parametrize("variation", ["as-it-comes", "bucket"])
def test_the_dashboard_is_one(variation: str) -> None:
    """Its widgets do not overlap, its store is the one there is, and quire's own metrics on it are those that the log
    lines make."""
    made = plan(VARIATIONS[variation])
    body = json.loads(only(made.resources("aws_cloudwatch_dashboard"))["dashboard_body"])
    places = [
        (x, y)
        for widget in body["widgets"]
        for x, y in itertools.product(
            range(widget["x"], widget["x"] + widget["width"]), range(widget["y"], widget["y"] + widget["height"])
        )
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24
    assert ("Volume: " in json.dumps(body)) == (variation != "bucket")
    assert ("Bucket: " in json.dumps(body)) == (variation == "bucket")
    filters = {each.arguments["name"] for each in made.resources("aws_cloudwatch_log_metric_filter").values()}
    shown = set(re.findall(r"quire_\w+", json.dumps(body)))
    assert shown == filters
    assert len(filters) >= 5


def test_metrics_have_few_dimensions() -> None:
    """CloudWatch bills each combination of values: nothing a client can make up (a path, a user) is a dimension."""
    for each in plan().resources("aws_cloudwatch_log_metric_filter").values():
        (made,) = each.of("metric_transformation")
        assert made.arguments["dimensions"].keys() <= {"status"}
