"""The Terraform module's files: they parse, names lead somewhere, nothing is left over, nothing goes in a circle."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from quire.cli import make_parser
from tests.deploy.terraform_module import module, plan, rendered_container_definition
from tests.deploy.terraform_syntax import MODULE, Block, Node, Reference, read, references
from tests.deploy.terraform_tables import README, rewritten
from tests.deploy.terraform_values import evaluate

EXAMPLES = sorted((MODULE / "examples").iterdir())
_SOURCES = {"resource", "data", "ephemeral"}

ASKED_INPUTS = shlex.split("""
asg_subnets service_subnets load_balancer_subnets zone_id dns_names service_name environment alarm_emails
alarm_topic_arns container_cpu container_memory gunicorn_workers workers task_min_count task_max_count
efs_throughput_mode efs_provisioned_throughput_in_mibps efs_lifecycle_policy enable_efs_backup backup_retention_days
backup_schedule secret_readers access_log_force_destroy enable_cloudwatch_dashboard docker_image docker_image_tag
""")
"""Inputs that mean what they mean in the module for pypiserver."""

IGNORED_INPUTS = shlex.split("""
internet_gateway_id ssh_key_name ami_id asg_instance_type asg_min_size asg_max_size users extra_files
cloudinit_extra_commands extra_instance_profile_permissions container_memory_reservation
""")
"""Its inputs that have no meaning without EC2 instances."""

ASKED_OUTPUTS = shlex.split("""
pypi_server_urls pypi_username pypi_password pypi_user_secret pypi_user_secret_arn pypi_load_balancer_arn
ecs_cluster_name ecs_service_name ecs_service_arn task_min_count cloudwatch_dashboard_url
cloudwatch_alarm_sns_topic_arn cloudwatch_alarm_arns
""")


def expressions(block: Block, bound: frozenset[str] = frozenset()) -> Iterator[tuple[Node, frozenset[str]]]:
    """Every expression of a block, with the iterators of the dynamic blocks around it; no traversals that are names."""
    names = {"moved": {"from", "to"}, "lifecycle": {"ignore_changes"}, "variable": {"type"}}.get(block.kind, set())
    for name, node in block.attributes.items():
        if name not in names:
            yield node, bound
    for inner in block.blocks:
        within = bound | {inner.labels[0]} if inner.kind == "dynamic" else bound
        yield from expressions(inner, within)


def spoken_of(block: Block) -> list[Reference]:
    """All that a block refers to."""
    return [reference for node, bound in expressions(block) for reference in references(node, bound)]


def target(reference: Reference) -> str | None:
    """The address of what a reference leads to; None for `each`, `count` and the like."""
    if reference.root in {"var", "local"}:
        return f"{reference.root}.{reference.steps[0]}"
    if reference.root in {"data", "ephemeral"}:
        return ".".join((reference.root, *reference.steps[:2]))
    if reference.root.startswith("aws_"):
        return f"{reference.root}.{reference.steps[0]}"
    return None


def defined() -> dict[str, list[Reference]]:
    """Everything that has an address, with what it refers to."""
    found: dict[str, list[Reference]] = {}
    for block in module().blocks:
        if block.kind == "variable":
            found[f"var.{block.labels[0]}"] = []
        elif block.kind == "locals":
            found |= {f"local.{name}": list(references(node)) for name, node in block.attributes.items()}
        elif block.kind in _SOURCES:
            prefix = "" if block.kind == "resource" else f"{block.kind}."
            found[prefix + ".".join(block.labels)] = spoken_of(block)
    return found


def test_references_lead_somewhere() -> None:
    """Every variable, local, resource and data source that an expression names exists."""
    known = defined()
    for block in module().blocks:
        if block.kind == "terraform":
            continue  # aws.dns there is the name of a provider
        for reference in spoken_of(block):
            address = target(reference)
            roots = {"each", "count", "self", "path", "aws"}
            assert address in known if address is not None else reference.root in roots, f"{block.where}: {reference}"


def test_nothing_is_left_over() -> None:
    """Every variable, local and data source is used by something else."""
    used = {
        target(reference) for block in module().blocks if block.kind != "variable" for reference in spoken_of(block)
    }
    known = {address for address in defined() if address.split(".")[0] in {"var", "local", "data", "ephemeral"}}
    assert known - used == set()


def test_nothing_goes_in_a_circle() -> None:
    """Resources and locals can be put in an order in which each comes after what it refers to."""
    known = defined()
    graph = {address: {target(each) for each in made} - {None} for address, made in known.items()}
    order = list(TopologicalSorter(graph).static_order())
    assert len(order) == len(known)


def test_what_was_asked_for_is_there() -> None:
    """The replaced module's inputs are all taken, its outputs are all given."""
    assert set(ASKED_INPUTS) | set(IGNORED_INPUTS) <= module().named("variable").keys()
    assert set(ASKED_OUTPUTS) <= module().named("output").keys()


@pytest.mark.parametrize("kind", ["variable", "output"])
def test_everything_is_described(kind: str) -> None:
    """Inputs have a type, inputs and outputs a description."""
    for name, block in module().named(kind).items():
        wanted = {"description", "type"} if kind == "variable" else {"description", "value"}
        assert wanted <= block.attributes.keys(), name


def test_inputs_are_validated() -> None:
    """Every input that is not free text, a yes or no, or without effect, has a rule that refuses nonsense."""
    free = {"tags", "environment_variables", "extra_arguments", "web_acl_arn"}
    for name, block in module().named("variable").items():
        kinds = {str(reference) for reference in references(block.attributes["type"])}
        if name not in free | set(IGNORED_INPUTS) and kinds != {"bool"}:
            assert block.of("validation"), name


def test_only_one_provider_is_needed() -> None:
    """hashicorp/aws and no other; data and resources are all its own."""
    (terraform,) = module().of("terraform")
    (required,) = terraform.of("required_providers")
    assert required.attributes.keys() == {"aws"}
    for block in module().blocks:
        if block.kind in _SOURCES:
            assert block.labels[0].startswith("aws_"), block.where


def test_only_dns_is_asked_of_the_other_account() -> None:
    """The provider `aws.dns` gets the zone's records and nothing else, and all of those."""
    for block in module().blocks:
        if block.kind in _SOURCES:
            other = "provider" in block.attributes
            assert other == block.labels[0].startswith("aws_route53_"), block.where


def test_the_tables_of_the_readme_are_true() -> None:
    """Inputs and outputs are listed as they are; if not: python -m tests.deploy.terraform_tables."""
    page = README.read_text()
    assert page == rewritten(page)
    assert all(f"| `{name}` |" in page for name in module().named("variable"))


def test_files_are_short() -> None:
    """A file has one subject and can be read in one go."""
    for path in MODULE.glob("*.tf"):
        assert len(path.read_text().splitlines()) <= 400, path.name


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples_fit_the_module(example: Path) -> None:
    """An example calls this module, with inputs that it has and all that it needs, and reads outputs that it has."""
    files = read(example)
    calls = files.named("module")
    assert calls
    for call in calls.values():
        variables = module().named("variable")
        given = call.attributes.keys() - {"source", "providers", "depends_on"}
        needed = {name for name, block in variables.items() if "default" not in block.attributes}
        assert given <= variables.keys(), call.where
        assert needed <= given, call.where
        assert {"service_subnets", "asg_subnets"} & given, call.where
        source = evaluate(call.attributes["source"], lambda name: name)
        assert (example / str(source)).resolve() == MODULE
    for block in files.blocks:
        for reference in spoken_of(block) if block.kind != "terraform" else []:
            if reference.root == "module":
                assert reference.steps[0] in calls, block.where
                assert reference.steps[1] in module().named("output"), block.where


def test_documented_tasks_are_commands_of_quire() -> None:
    """quire accepts the command line that docs/aws.md gives to a task of ECS."""
    page = (MODULE.parent.parent.parent / "docs" / "aws.md").read_text()
    commands = [json.loads(found) for found in re.findall(r'"command": (\[[^\]]*\])', page)]
    assert len(commands) >= 4
    for words in commands:
        make_parser()[0].parse_args(words)


def test_documented_figures_are_the_modules() -> None:
    """docs/aws.md and the README name as many metrics and alarms, and as many seconds, as there are."""
    made = plan()
    page = (MODULE.parent.parent.parent / "docs" / "aws.md").read_text()
    filters, alarms = (made.resources(f"aws_cloudwatch_{name}") for name in ("log_metric_filter", "metric_alarm"))
    assert f"{len(filters)} metrics, one of them for each status; {len(alarms)} alarms" in page
    idle = made.inputs["idle_timeout"]
    kept = next(
        each["value"]
        for each in rendered_container_definition()["environment"]
        if each["name"] == "QUIRE_KEEP_ALIVE_SECONDS"
    )
    assert f"({idle:g} s; quire keeps them for {kept} s)" in README.read_text()
