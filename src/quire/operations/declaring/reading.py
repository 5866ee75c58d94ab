"""The tables of a configuration file that declare something, read and checked.

    [indexes.main]
    quota = "50G"
    keep = ["dev:10"]
    policy.min-age = "7d"

    [groups]
    ops = ["ann", "bob"]

    [[grants]]
    subject = "group:ops"
    rights = ["admin"]

The keys of an index are the fields of `IndexDefinition`, so a new field can be declared without a line here, but for
those in `_NO_SETTINGS`; those whose values have a form of their own are in `_READ`. Policies are in `policies.py`,
grants and groups in `rights.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from quire.access import defining
from quire.access.document import Grant
from quire.access.grants import parse_owner
from quire.config import values
from quire.config.resolving import read_declared
from quire.config.settings import DECLARED_TABLES
from quire.config.suggestions import did_you_mean
from quire.domain.errors import ConfigurationError, InvalidRequest
from quire.domain.indexes import IndexDefinition
from quire.domain.names import normalize_name
from quire.domain.namespaces import Grants, Namespace, parse_namespace
from quire.domain.structs import convert_to
from quire.domain.upstreams import UpstreamDefinition, Upstreams, with_upstream
from quire.operations.declaring.policies import parse_policy
from quire.operations.declaring.rights import parse_grants, parse_groups
from quire.operations.declaring.tables import NONE, SHOWN, fields_of, key_of

INDEXES, GRANTS, GROUPS = DECLARED_TABLES
UNDECLARED: Final = ("?",)
"""In place of the projects from before that a namespace does not declare."""
_NO_SETTINGS: Final = frozenset({"session", "unknown"})
"""Fields that are no decision of people: an index is the stage of a publishing session from its beginning."""
TYPES: Final = {
    field.name: field.type for field in msgspec.structs.fields(IndexDefinition) if field.name not in _NO_SETTINGS
}
KEYS: Final = {key_of(name): name for name in TYPES}
"""From the key in a file to the field."""
_MOST_INDEXES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Declared:
    """A declared configuration."""

    indexes: Mapping[str, Mapping[str, Any]] | None
    """By index, the values of the fields that are declared. That of the policy is a mapping, of its declared fields.
    None where nothing is said of indexes."""
    grants: tuple[Grant, ...] | None = None
    """Without times and users; None where nothing is said of grants."""
    groups: Mapping[str, tuple[str, ...]] | None = None
    """The users of each; None where nothing is said of groups."""


def read_file(file: str) -> Declared:
    """The configuration that a file declares. Raises ConfigurationError for one that cannot be read or understood."""
    try:
        return parse_declared(read_declared(file))
    except InvalidRequest as error:
        raise ConfigurationError(f"{file}: {error}") from None


def parse_declared(tables: Mapping[str, Any]) -> Declared:
    """The configuration that the tables of a file declare. Raises InvalidRequest for the first thing that is wrong."""
    return Declared(
        None if tables.get(INDEXES) is None else _parsed_indexes(tables[INDEXES]),
        None if tables.get(GRANTS) is None else parse_grants(tables[GRANTS]),
        None if tables.get(GROUPS) is None else parse_groups(tables[GROUPS]),
    )


def _parsed_indexes(indexes: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(indexes, Mapping) or not all(isinstance(each, Mapping) for each in indexes.values()):
        raise InvalidRequest(f"[{INDEXES}] has a table for each index, such as [{INDEXES}.main].")
    if len(indexes) > _MOST_INDEXES:
        raise InvalidRequest(f"A configuration has at most {_MOST_INDEXES} indexes.")
    return {str(name): _parsed(str(name), settings) for name, settings in indexes.items()}


def _parsed(index: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for key, raw in settings.items():
        name = KEYS.get(key_of(str(key)))
        where = f"{str(key)[:SHOWN]} of {INDEXES}.{index[:SHOWN]}"
        if name is None:
            raise InvalidRequest(
                f"{where} is no setting of an index{did_you_mean(str(key), KEYS)}; they are {', '.join(KEYS)}."
            )
        try:
            value = _READ[name](raw) if name in _READ else raw
            is_whole = name == "policy"
            found[name] = value if is_whole else convert_to(None if value == NONE else value, TYPES[name])
        except (msgspec.ValidationError, ValueError, TypeError, InvalidRequest) as error:
            raise InvalidRequest(f"{where}: {str(error).rstrip('.')}.") from None
    return found


def _size(raw: Any) -> Any:
    return raw if raw == NONE else values.size(raw)


def _texts(raw: Any) -> list[str]:
    found: list[str] = convert_to(raw, list[str])
    return found


def _upstreams(raw: Any) -> Upstreams:
    found: Upstreams = ()
    for each in fields_of(raw, UpstreamDefinition, "an upstream"):
        found = with_upstream(found, each)
    return found


def _namespaces(raw: Any) -> Grants:
    return tuple(
        Namespace(
            name=parse_namespace(each.get("name", "")),
            owners=tuple(str(parse_owner(owner)) for owner in each.get("owners", ())),
            exempt=each.get("exempt", UNDECLARED),
        )
        for each in fields_of(raw, Namespace, "a namespace")
    )


_READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "quota": _size,
    "project_quota": _size,
    "claims": lambda raw: defining.patterns(_texts(raw)),
    "merged": lambda raw: tuple(sorted({*map(normalize_name, _texts(raw))})),
    "upstreams": _upstreams,
    "namespaces": _namespaces,
    "policy": parse_policy,
}
"""From the value in a file to that of a field, where it is more than a conversion of types."""
