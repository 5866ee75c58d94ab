"""The Terraform module against the provider's real schema, checkov's rules, and the AWS API's own model of a task."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Set
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from tests.deploy import terraform_tools as tools
from tests.deploy.terraform_module import META, Values, module, plan
from tests.deploy.terraform_schema import Argument, Schema, camel, faults, fits, load
from tests.deploy.terraform_syntax import MODULE, Block, Files
from tests.deploy.terraform_values import Unknown, evaluate
from tests.deploy.terraform_variations import VARIATIONS
from tests.deploy.test_terraform_shape import spoken_of

pytestmark = pytest.mark.deploy

_KINDS = ("resource", "data", "ephemeral")


@cache
def schema() -> Schema:
    """The provider's schema; it takes seconds to read."""
    tools.programs()
    return load(tools.provider_package())


def wrong(files: Files) -> list[str]:
    """The names in the files that the provider would refuse: of every block, at every depth."""
    return [
        fault
        for kind in _KINDS
        for block in files.of(kind)
        for fault in _wrong(block, schema().resource(kind, block.labels[0]).arguments, META)
    ]


def _wrong(block: Block, arguments: dict[str, Argument], without: Set[str] = frozenset()) -> Iterator[str]:
    inner = [
        (each.labels[0], each.of("content")[0]) if each.kind == "dynamic" else (each.kind, each)
        for each in block.blocks
    ]
    inner = [(name, each) for name, each in inner if name not in without]
    given = set(block.attributes) - without
    yield from faults(arguments, given, [name for name, _ in inner], f"{block.where} {' '.join(block.labels)}")
    for name, each in inner:
        if name in arguments and arguments[name].inner:
            yield from _wrong(each, schema().arguments(arguments[name].inner))


def test_every_argument_and_block_is_the_providers() -> None:
    """Each resource, data source, argument and block exists, nothing required is missing, single blocks are single."""
    assert wrong(module()) == []


def test_the_comparison_sees_what_is_wrong() -> None:
    """A misspelt argument, a missing one, a block too many and one that does not exist are found, at each depth."""
    (service,) = (block for block in module().of("resource") if block.labels[0] == "aws_ecs_service")
    (breaker,) = service.of("deployment_circuit_breaker")
    others = tuple(block for block in service.blocks if block is not breaker)
    node = service.attributes["cluster"]
    broken = {
        "there is no argument clustre": replace(service, attributes=service.attributes | {"clustre": node}),
        "name is required": replace(service, attributes={"cluster": node}),
        "only one block deployment_circuit_breaker": replace(service, blocks=(*service.blocks, breaker)),
        "there is no block breaker": replace(service, blocks=(*others, replace(breaker, kind="breaker"))),
        "rollback is required": replace(service, blocks=(*others, replace(breaker, attributes={"enable": node}))),
        "is a block, and is given": replace(service, attributes=service.attributes | {"load_balancer": node}),
    }
    for sentence, block in broken.items():
        assert any(sentence in fault for fault in wrong(Files(MODULE, (block,)))), sentence


@pytest.mark.parametrize("variation", VARIATIONS)
def test_every_value_has_the_providers_type(variation: str) -> None:
    """Of every instance in a plan, each value is of a type that Terraform takes for its argument."""
    for instance in plan(VARIATIONS[variation]).instances():
        arguments = schema().resource(instance.kind, instance.type).arguments
        for where, argument, value in _typed(instance.values, arguments, instance.address):
            assert fits(value, argument.type), f"{where}.{argument.name} = {value!r}, which is no {argument.type}"


def _typed(values: Values, arguments: dict[str, Argument], where: str) -> Iterator[tuple[str, Argument, Any]]:
    for name, value in values.arguments.items():
        if not isinstance(value, Unknown):
            yield where, arguments[name], _known(value)
    for name, inner in values.blocks:
        yield from _typed(inner, schema().arguments(arguments[name].inner), f"{where}.{name}")


def _known(value: Any) -> Any:
    """A table with text in place of what is not known."""
    return {k: str(v) if isinstance(v, Unknown) else v for k, v in value.items()} if isinstance(value, dict) else value


def test_every_attribute_that_is_read_exists() -> None:
    """Each name that expressions read from a resource (`.arn`, `.arn_suffix`) is an attribute that the provider
    exports."""
    for block in module().blocks:
        if block.kind == "terraform":
            continue
        for reference in spoken_of(block):
            kind = reference.root if reference.root in {"data", "ephemeral"} else "resource"
            path = [reference.root, *reference.steps] if kind == "resource" else list(reference.steps)
            type_name, rest = path[0], [step for step in path[2:] if step != "[]"]
            if type_name.startswith("aws_") and rest:
                assert camel(rest[0]) in schema().resource(kind, type_name).attributes, f"{block.where}: {reference}"


def test_the_version_that_is_asked_for_is_the_one_compared_with() -> None:
    """The oldest provider that the module takes is the one whose schema is compared with, in the examples too."""
    (terraform,) = module().of("terraform")
    (required,) = terraform.of("required_providers")
    wanted = evaluate(required.attributes["aws"], lambda name: [name] if name != "aws" else _Anything())
    assert wanted["version"] == f">= {schema().version}, < 7.0.0"
    for example in (MODULE / "examples").glob("*/main.tf"):
        assert wanted["version"] in example.read_text(), example


class _Anything(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return key


# -- checkov ----------------------------------------------------------------------------------------------------------


def test_checkov_finds_nothing() -> None:
    """No rule of checkov fails on the module, as it stands and as the examples call it, and each skip is explained."""
    done = tools.run(_CHECKOV, str(MODULE))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["failed"] == []
    assert report["unparsed"] == []
    assert report["passed"] > 200
    for rule, reason in report["skipped"]:
        assert len(reason.split()) >= 5, f"{rule} is skipped without a reason"


_CHECKOV = """
import json, logging, os, sys
os.environ["CHECKOV_RUN_SCA_PACKAGE_SCAN"] = "false"
logging.disable(logging.CRITICAL)
from checkov.runner_filter import RunnerFilter
from checkov.terraform.runner import Runner
report = Runner().run(root_folder=sys.stdin.read(), runner_filter=RunnerFilter(framework=["terraform"]))
print(json.dumps({
    "failed": [f"{r.check_id} {r.resource} {r.file_path}: {r.check_name}" for r in report.failed_checks],
    "skipped": sorted({(r.check_id, r.check_result["suppress_comment"]) for r in report.skipped_checks}),
    "passed": len(report.passed_checks),
    "unparsed": report.parsing_errors,
}))
"""


def test_no_skip_is_left_over() -> None:
    """Each rule that is skipped is named once for each resource, in the form that checkov reads."""
    for path in MODULE.glob("*.tf"):
        for line in path.read_text().splitlines():
            if "checkov" in line:
                assert re.fullmatch(r"\s*#checkov:skip=CKV2?_AWS_\d+:\S.*\.", line), f"{path.name}: {line}"


# -- the AWS API ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variation", VARIATIONS)
def test_the_task_is_one_that_ecs_takes(variation: str) -> None:
    """The rendered container definition has the names and types of ECS's RegisterTaskDefinition, and no others."""
    for task in plan(VARIATIONS[variation]).resources("aws_ecs_task_definition").values():
        _is_taken(task)


def _is_taken(task: Values) -> None:
    request = {
        "family": task.arguments["family"],
        "networkMode": task.arguments["network_mode"],
        "requiresCompatibilities": task.arguments["requires_compatibilities"],
        "cpu": task.arguments["cpu"],
        "memory": task.arguments["memory"],
        "containerDefinitions": json.loads(task.arguments["container_definitions"]),
    }
    done = tools.run(_BOTOCORE, json.dumps(request))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
    request["containerDefinitions"][0]["readOnlyRootFilesystem"] = True  # ECS spells it otherwise
    assert "readOnlyRootFilesystem" in tools.run(_BOTOCORE, json.dumps(request)).stdout


_BOTOCORE = """
import json, sys
import botocore.session, botocore.validate
model = botocore.session.get_session().get_service_model("ecs").operation_model("RegisterTaskDefinition").input_shape
request = json.load(sys.stdin)
print(botocore.validate.ParamValidator().validate(request, model).generate_report())
"""
