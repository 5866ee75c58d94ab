"""The JSON documents of a declared configuration, for the API and `--json`. See `quire.administration.documents`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from quire.administration.documents import Answer, Body
from quire.domain.structs import convert_to
from quire.operations.declaring.applying import Difference
from quire.operations.declaring.reading import GRANTS, GROUPS, INDEXES


class ConfigurationBody(Body, frozen=True, kw_only=True):
    """A configuration to apply."""

    indexes: dict[str, dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET
    """By name, the settings as the table `indexes` of a configuration file has them; absent: nothing is declared of
    indexes."""
    groups: dict[str, list[str]] | msgspec.UnsetType = msgspec.UNSET
    """The users of each, as the table `groups` has them; absent: nothing is declared of groups."""
    grants: list[dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET
    """As the tables `grants` have them; absent: nothing is declared of grants."""
    prune: bool = False
    """Set back settings that are not declared, and remove indexes, grants and groups that are not: each only where this
    configuration says something of its kind."""
    dry_run: bool = False
    """Apply nothing; answer the differences."""


class DifferenceEntry(Answer, frozen=True, kw_only=True):
    """A setting, a grant or a group that was not as it is declared."""

    index: str | None
    """None for a grant or a group."""
    setting: str | None
    """Such as `quota`, `policy.min-age`, `groups.ops` or `grants`; None for the index itself."""
    stored: Any
    """None for an index, a grant or a group that was not there."""
    declared: Any
    """None for one that is not declared."""
    text: str
    """All of it in a line."""


class Applied(Answer, frozen=True, kw_only=True):
    """The effect of a configuration: all of it was applied in one step."""

    differences: list[DifferenceEntry]
    changed: bool


class Configuration(Answer, frozen=True, kw_only=True):
    """The state of a store as a configuration file declares it."""

    indexes: dict[str, dict[str, Any]]
    groups: dict[str, list[str]] = msgspec.field(default_factory=dict)
    grants: list[dict[str, Any]] = msgspec.field(default_factory=list)


SCHEMAS: Final[tuple[type[msgspec.Struct], ...]] = (ConfigurationBody, DifferenceEntry, Applied, Configuration)
"""Of the OpenAPI document."""


def applied_of(found: Iterable[Difference], *, dry_run: bool) -> Applied:
    """The effect of a configuration with these differences."""
    entries = [
        DifferenceEntry(
            index=each.index, setting=each.setting, stored=each.stored, declared=each.declared, text=str(each)
        )
        for each in found
    ]
    return Applied(differences=entries, changed=bool(entries) and not dry_run)


def configuration_of(tables: Mapping[str, Any]) -> Configuration:
    """The document of a configuration file's tables."""
    return convert_to(tables, Configuration)


def tables_of(document: ConfigurationBody | Configuration) -> dict[str, Any]:
    """The tables that declare something, as a configuration file has them."""
    tables = {INDEXES: document.indexes, GROUPS: document.groups, GRANTS: document.grants}
    return {name: value for name, value in tables.items() if value is not msgspec.UNSET}
