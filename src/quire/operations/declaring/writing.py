"""The state of a store as a configuration file declares it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from quire.access.document import AccessDocument
from quire.domain.indexes import DEFAULT, IndexDefinition
from quire.domain.sizes import as_setting
from quire.operations.declaring.policies import policy_settings
from quire.operations.declaring.reading import GRANTS, GROUPS, INDEXES, KEYS
from quire.operations.declaring.rights import exported_grants
from quire.operations.declaring.tables import NONE, key_of, toml_key, toml_value

POLICY = "policy"


def file_settings(definition: IndexDefinition) -> dict[str, Any]:
    """All settings of an index, as a file has them: texts, numbers, booleans, lists and tables.

    Those of the policy stand beside the others, as `policy.min-age`.
    """
    found: dict[str, Any] = {}
    for key, name in KEYS.items():
        value = getattr(definition, name)
        if name == POLICY:
            found |= {f"{POLICY}.{rule}": each for rule, each in policy_settings(value).items()}
        elif value is None:
            found[key] = NONE
        elif name in {"quota", "project_quota"}:
            found[key] = as_setting(value)
        else:
            found[key] = _plain(msgspec.to_builtins(value))
    return found


def export(document: AccessDocument, default: str) -> dict[str, Any]:
    """The tables of a file that declares the state of a store, without settings that have their defaults; no stages."""
    usual = file_settings(DEFAULT)
    indexes = {
        name: _nested({key: value for key, value in file_settings(definition).items() if value != usual[key]})
        for name, definition in sorted({default: DEFAULT, **document.indexes}.items())
        if definition.in_front_of is None
    }
    groups = {name: list(users) for name, users in sorted(document.groups.items())}
    grants = exported_grants(document)
    return {INDEXES: indexes, **({GROUPS: groups} if groups else {}), **({GRANTS: grants} if grants else {})}


def toml_text(tables: Mapping[str, Any]) -> str:
    """A configuration file of these tables."""
    lines = []
    for name, settings in tables.get(INDEXES, {}).items():
        lines.append(f"[{INDEXES}.{toml_key(name)}]")
        for key, value in settings.items():
            rules = {f"{key}.{rule}": each for rule, each in value.items()} if isinstance(value, Mapping) else {}
            lines += [f"{each} = {toml_value(of)}" for each, of in (rules or {key: value}).items()]
        lines.append("")
    if groups := tables.get(GROUPS, {}):
        lines += [f"[{GROUPS}]", *(f"{toml_key(group)} = {toml_value(users)}" for group, users in groups.items()), ""]
    for grant in tables.get(GRANTS, ()):
        lines += [f"[[{GRANTS}]]", *(f"{key} = {toml_value(value)}" for key, value in grant.items()), ""]
    return "\n".join(lines)


def _nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """With the rules of the policy in a table of their own."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        name, _, rule = key.partition(".")
        if rule:
            found.setdefault(name, {})[rule] = value
        else:
            found[key] = value
    return found


def _plain(value: Any) -> Any:
    """With the keys of a file, and without the fields that this version does not know."""
    if isinstance(value, Mapping):
        return {key_of(key): _plain(each) for key, each in value.items() if key != "unknown"}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
