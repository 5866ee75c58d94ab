"""The Terraform module as a plan: the resources it would make of given inputs, without Terraform and without AWS.

`plan(inputs)` gives every resource with its arguments and blocks, `for_each`, `count` and `dynamic` worked out;
`rendered_container_definition(**inputs)` is the part that a container engine can start.

Limits: it knows no provider (`terraform_schema` compares names and types with the real one's schema), no types
beyond those of values, and no state.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from tests.deploy.terraform_functions import TerraformError
from tests.deploy.terraform_syntax import MODULE, Block, Files, read
from tests.deploy.terraform_values import Lazy, Look, Unknown, evaluate

REQUIRED: Mapping[str, Any] = {
    "service_subnets": ["subnet-0000000000000000a", "subnet-0000000000000000b"],
    "load_balancer_subnets": ["subnet-0000000000000000c", "subnet-0000000000000000d"],
    "zone_id": "Z0EXAMPLE",
    "docker_image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/quire",
}
"""The inputs that a deployment cannot leave out."""

FOUND: Mapping[str, Any] = {
    "data.aws_region.current.region": "eu-central-1",
    "data.aws_caller_identity.current.account_id": "123456789012",
    "data.aws_partition.current.partition": "aws",
    "data.aws_route53_zone.main.name": "example.com",
    "data.aws_subnet.load_balancer[0].cidr_block": "10.0.0.0/24",
    "data.aws_subnet.load_balancer[1].cidr_block": "10.0.1.0/24",
    "data.aws_subnet.service[0].cidr_block": "10.0.10.0/24",
    "data.aws_subnet.service[1].cidr_block": "10.0.11.0/24",
    "data.aws_vpc.main[0].cidr_block_associations": [{"cidr_block": "10.0.0.0/16"}, {"cidr_block": "10.1.0.0/16"}],
    "aws_s3_bucket.packages[0].id": "quire-packages-1",
}
"""The answers of data sources in the tests, and what AWS calls a new bucket."""

META = {"count", "for_each", "provider", "depends_on", "lifecycle"}
"""Arguments and blocks of a resource that are Terraform's own, not its provider's."""
_KINDS = ("resource", "data", "ephemeral")


@dataclass(frozen=True)
class Values:
    """Arguments and blocks, worked out."""

    arguments: dict[str, Any]
    blocks: tuple[tuple[str, Values], ...] = ()

    def of(self, kind: str) -> list[Values]:
        """The blocks of a kind."""
        return [block for name, block in self.blocks if name == kind]


@dataclass(frozen=True)
class Instance:
    """One resource, data source or ephemeral resource."""

    kind: str
    type: str
    address: str
    block: Block
    values: Values


@dataclass
class Plan:
    """The module with its inputs."""

    files: Files
    inputs: dict[str, Any]
    found: Mapping[str, Any]
    _locals: dict[str, Any] = field(default_factory=dict)
    _working: set[str] = field(default_factory=set)

    def look(self, name: str) -> Any:
        """The value of a name at the root of an expression. Raises KeyError for an unknown one."""
        if name == "var":
            return self.inputs
        if name == "local":
            return Lazy("local", self.local)
        if name in {"data", "ephemeral"}:
            return Lazy(name, lambda type_name: self._of_type(name, type_name))
        return self._of_type("resource", name)

    def local(self, name: str) -> Any:
        """A local value."""
        if name not in self._locals:
            if name in self._working:
                raise TerraformError(f"local.{name} depends on itself")
            self._working.add(name)
            self._locals[name] = evaluate(self.local_expressions[name], self.look)
        return self._locals[name]

    @cached_property
    def local_expressions(self) -> dict[str, Any]:
        """All locals of all files."""
        return {name: node for block in self.files.of("locals") for name, node in block.attributes.items()}

    def output(self, name: str) -> Any:
        """An output's value."""
        return evaluate(self.files.named("output")[name].attributes["value"], self.look)

    def refusals(self) -> Iterator[str]:
        """Terraform's errors before it plans: broken validations of variables and preconditions of resources."""
        for name, block in self.files.named("variable").items():
            for rule in block.of("validation"):
                if evaluate(rule.attributes["condition"], self.look) is not True:
                    yield f"{name}: {evaluate(rule.attributes['error_message'], self.look)}"
        for instance in self.instances():
            for lifecycle in instance.block.of("lifecycle"):
                for rule in lifecycle.of("precondition"):
                    if evaluate(rule.attributes["condition"], self.look) is False:
                        yield f"{instance.address}: {evaluate(rule.attributes['error_message'], self.look)}"

    def warnings(self) -> Iterator[str]:
        """The messages of failed `check` blocks."""
        for check in self.files.of("check"):
            for rule in check.of("assert"):
                if evaluate(rule.attributes["condition"], self.look) is False:
                    yield evaluate(rule.attributes["error_message"], self.look)

    def instances(self) -> Iterator[Instance]:
        """Everything that would be made or asked for."""
        for kind in _KINDS:
            for block in self.files.of(kind):
                yield from self._instances(kind, block)

    def resources(self, type_name: str) -> dict[str, Values]:
        """The resources of a type, by their names with index."""
        found = {
            instance.address.removeprefix(f"{type_name}."): instance.values
            for block in self.files.of("resource")
            if block.labels[0] == type_name
            for instance in self._instances("resource", block)
        }
        assert any(block.labels[0] == type_name for block in self.files.of("resource")), type_name
        return found

    def _instances(self, kind: str, block: Block) -> Iterator[Instance]:
        type_name, name = block.labels
        address = f"{type_name}.{name}" if kind == "resource" else f"{kind}.{type_name}.{name}"
        for index, scope in self._scopes(block):
            suffix = "" if index is None else f"[{json.dumps(index)}]"
            yield Instance(kind, type_name, address + suffix, block, _values(block, scope, META))

    def _scopes(self, block: Block) -> Iterator[tuple[Any, Look]]:
        """The scope of each instance of a block with `count` or `for_each`, under its index; None for the only one."""
        if "count" in block.attributes:
            count = evaluate(block.attributes["count"], self.look)
            assert isinstance(count, int), f"{block.where}: count is not known before it is made"
            for number in range(count):
                yield number, self._with("count", {"index": number})
        elif "for_each" in block.attributes:
            each = evaluate(block.attributes["for_each"], self.look)
            assert isinstance(each, list | dict), f"{block.where}: the keys of for_each are not known before it is made"
            pairs = each.items() if isinstance(each, dict) else ((key, key) for key in each)
            for key, value in pairs:
                assert isinstance(key, str), f"{block.where}: a key of for_each is not known before it is made"
                yield key, self._with("each", {"key": key, "value": value})
        else:
            yield None, self.look

    def _with(self, name: str, value: Any) -> Look:
        return lambda asked: value if asked == name else self.look(asked)

    def _of_type(self, kind: str, type_name: str) -> Lazy:
        blocks = {block.labels[1]: block for block in self.files.of(kind) if block.labels[0] == type_name}
        if not blocks:
            raise KeyError(f"there is no {kind} of the type {type_name}")
        prefix = type_name if kind == "resource" else f"{kind}.{type_name}"
        return Lazy(prefix, lambda name: self._named(f"{prefix}.{name}", blocks[name]))

    def _named(self, address: str, block: Block) -> Any:
        """The object that `type.name` stands for: one, a list with `count`, a table with `for_each`."""
        if "count" in block.attributes:
            return [self._attributes(f"{address}[{number}]", block, scope) for number, scope in self._scopes(block)]
        if "for_each" in block.attributes:
            return {
                str(key): self._attributes(f"{address}[{json.dumps(key)}]", block, scope)
                for key, scope in self._scopes(block)
            }
        return self._attributes(address, block, self.look)

    def _attributes(self, address: str, block: Block, scope: Look) -> Lazy:
        """Attributes of one resource: what is configured, what a test says was found, else unknown."""

        def get(name: str) -> Any:
            if f"{address}.{name}" in self.found:
                return self.found[f"{address}.{name}"]
            if name in block.attributes and name not in META and not name.endswith("_wo"):
                return evaluate(block.attributes[name], scope)
            return Unknown(f"{address}.{name}")

        return Lazy(address, get)


def _values(block: Block, scope: Look, without: Set[str] = frozenset()) -> Values:
    arguments = {name: evaluate(node, scope) for name, node in block.attributes.items() if name not in without}
    blocks: list[tuple[str, Values]] = []
    for inner in block.blocks:
        if inner.kind == "dynamic":
            (name,) = inner.labels
            (content,) = inner.of("content")
            each = evaluate(inner.attributes["for_each"], scope)
            blocks += [(name, _values(content, _iterating(scope, name, value))) for value in each]
        elif inner.kind not in without:
            blocks.append((inner.kind, _values(inner, scope)))
    return Values(arguments, tuple(blocks))


def _iterating(outer: Look, name: str, value: Any) -> Look:
    return lambda asked: {"value": value, "key": value} if asked == name else outer(asked)


@cache
def module() -> Files:
    """The module's files, parsed once."""
    return read(MODULE)


def plan(inputs: Mapping[str, Any] | None = None, found: Mapping[str, Any] | None = None) -> Plan:
    """The plan for some inputs beside REQUIRED; with FOUND, and `found`, as what data sources answer.

    Raises TerraformError for an input that the module does not have, or that it needs and did not get.
    """
    files = module()
    variables = files.named("variable")
    given = {**REQUIRED, **(inputs or {})}
    if unknown := given.keys() - variables.keys():
        raise TerraformError(f"the module has no input {', '.join(sorted(unknown))}")
    values = {}
    for name, block in variables.items():
        if name in given:
            values[name] = given[name]
        elif "default" in block.attributes:
            values[name] = evaluate(block.attributes["default"], _nothing)
        else:
            raise TerraformError(f"the input {name} is missing")
    return Plan(files, values, {**FOUND, **(found or {})})


def _nothing(name: str) -> Any:
    raise KeyError(f"a default cannot refer to {name}")


def rendered_container_definition(**inputs: Any) -> dict[str, Any]:
    """The one container of the task definition, as ECS would get it, for some inputs beside REQUIRED.

    `image`, `command`, `environment`, `secrets`, `user`, `mountPoints`, `readonlyRootFilesystem`, `linuxParameters`,
    `healthCheck`, `stopTimeout` and what else ECS's RegisterTaskDefinition has. `secrets[].valueFrom` names resources
    that only AWS can make and is no ARN; the caller puts the secret's value into the environment.
    Raises TerraformError when Terraform would refuse the inputs.
    """
    made = plan(inputs)
    if refusals := list(made.refusals()):
        raise TerraformError("; ".join(refusals))
    task = made.resources("aws_ecs_task_definition")["main"]
    definitions = json.loads(task.arguments["container_definitions"])
    assert isinstance(definitions, list)
    (definition,) = definitions
    assert isinstance(definition, dict)
    return definition
