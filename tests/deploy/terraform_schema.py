"""The schema of Terraform's AWS provider: its resources and data sources, their arguments, blocks, types and
attributes.

Theory of operation. The package cdktf-cdktf-provider-aws is generated from `terraform providers schema`, the provider's
own description of itself. It holds a jsii assembly (a JSON file) with one class for each resource. The class's
documentation names the resource and the provider's version; its `Config` interface has a property for each argument
and block: `optional` is whether it may be left out, the type tells an attribute's primitive, and for a block its own
interface and whether there may be several. The name in the provider is in the documentation's link (`...#kms_key_id`).
The other names that the class exports can be read from the resource.

The package says nothing of values (enumerations, ranges), of arguments that exclude or need one another, and of
ephemeral resources. The two ephemeral ones of the module exist as data sources too, with the same arguments and
attributes according to the provider's documentation; they are compared with those.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_RESOURCE = re.compile(r"Represents a \{@link \S+/hashicorp/aws/(\S+?)/docs/(resources|data-sources)/\S+ (\w+)\}")
_LINK = re.compile(r"\{@link \S+#(\w+) ")


@dataclass(frozen=True)
class Argument:
    """One attribute or block that can be written."""

    name: str
    required: bool
    type: str
    """`string`, `number`, `bool`, `list`, `map`, `any`; `block` for one block, `blocks` for any number of them."""
    inner: str = ""
    """jsii's name of the block's own interface."""


@dataclass(frozen=True)
class Resource:
    """A resource or data source."""

    name: str
    arguments: dict[str, Argument]
    attributes: frozenset[str]
    """The attributes that can be read from it, in jsii's spelling (`arnSuffix`)."""


@dataclass
class Schema:
    """The provider."""

    types: Mapping[str, Any]
    version: str = ""
    _classes: dict[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for fqn, described in self.types.items():
            match = _RESOURCE.search(described.get("docs", {}).get("summary", ""))
            if match is not None:
                self.version, section, name = match.groups()
                self._classes["resource" if section == "resources" else "data", name] = fqn

    def resource(self, kind: str, name: str) -> Resource:
        """A resource or, with the kind `data` or `ephemeral`, a data source. Raises KeyError when there is none."""
        fqn = self._classes["resource" if kind == "resource" else "data", name]
        attributes = frozenset(prop["name"] for prop in self.types[fqn]["properties"])
        config = self.types[fqn]["initializer"]["parameters"][2]["type"]["fqn"]
        return Resource(name, self.arguments(config), attributes)

    def arguments(self, interface: str) -> dict[str, Argument]:
        """The arguments of a resource's or block's interface, by their names in the provider."""
        found = (self._argument(prop) for prop in self.types[interface].get("properties", ()))
        return {argument.name: argument for argument in found}

    def _argument(self, prop: Mapping[str, Any]) -> Argument:
        docs = prop.get("docs", {})
        link = _LINK.search(f"{docs.get('summary', '')} {docs.get('remarks', '')}")
        name = link[1] if link else snake(prop["name"])
        kind, inner = self._type(prop["type"])
        if inner and docs.get("summary", "").endswith(" block."):
            kind = "blocks" if kind == "list" else "block"
        return Argument(name, not prop.get("optional", False), kind, inner)

    def _type(self, described: Mapping[str, Any]) -> tuple[str, str]:
        if "primitive" in described:
            return {"boolean": "bool"}.get(described["primitive"], described["primitive"]), ""
        if "collection" in described:
            inner = described["collection"]["elementtype"].get("fqn", "")
            return ("map" if described["collection"]["kind"] == "map" else "list"), self._interface(inner)
        if "union" in described:  # a value, or a token of CDK for it
            candidates = [
                self._type(each) for each in described["union"]["types"] if each.get("fqn") != "cdktf.IResolvable"
            ]
            return candidates[0] if len({kind for kind, _ in candidates}) == 1 else ("any", "")
        inner = self._interface(described.get("fqn", ""))
        return ("any", inner)

    def _interface(self, fqn: str) -> str:
        return fqn if self.types.get(fqn, {}).get("kind") == "interface" else ""


def snake(name: str) -> str:
    """`kmsKeyId` as the provider writes it, for the few arguments that have no link."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def camel(name: str) -> str:
    """`kms_key_id` as jsii writes it."""
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def load(archive: Path) -> Schema:
    """The schema in the package's archive."""
    with tarfile.open(archive) as opened:
        member = opened.extractfile("package/.jsii")
        assert member is not None
        return Schema(json.load(member)["types"])


def fits(value: Any, kind: str) -> bool:
    """Whether Terraform takes the value for an argument of that type: it converts between text, number and bool."""
    if value is None or kind == "any":
        return True
    if kind == "list":
        return isinstance(value, list)
    if kind == "map":
        return isinstance(value, dict) and all(fits(each, "string") for each in value.values())
    if isinstance(value, list | dict):
        return False
    if kind == "number":
        return isinstance(value, int | float) or re.fullmatch(r"-?\d+(\.\d+)?", str(value)) is not None
    if kind == "bool":
        return value in {True, False, "true", "false"}
    return kind == "string"


def faults(arguments: Mapping[str, Argument], given: set[str], blocks: list[str], where: str) -> Iterator[str]:
    """The errors in the names of a resource's or block's arguments (`given`) and blocks."""
    for name in sorted(given):
        if name not in arguments:
            yield f"{where}: there is no argument {name}"
        elif arguments[name].type in {"block", "blocks"}:
            yield f"{where}: {name} is a block, and is given as an argument"
    for name in sorted(set(blocks)):
        if name not in arguments or not arguments[name].type.startswith("block"):
            yield f"{where}: there is no block {name}"
        elif arguments[name].type == "block" and blocks.count(name) > 1:
            yield f"{where}: there may be only one block {name}"
    for name, argument in arguments.items():
        if argument.required and name not in given | set(blocks):
            yield f"{where}: {name} is required"
