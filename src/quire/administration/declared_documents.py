"""The JSON documents of a declared configuration, for the API and `--json`. See `quire.administration.documents`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from quire.administration.documents import Answer, Body
from quire.operations.declaring import Difference


class ConfigurationBody(Body, frozen=True, kw_only=True):
    """A configuration to apply."""

    indexes: dict[str, dict[str, Any]]
    """By name, the settings as the table `indexes` of a configuration file has them."""
    prune: bool = False
    """Set back what is not declared, and remove indexes that are not."""
    dry_run: bool = False
    """Apply nothing; answer the differences."""


class DifferenceEntry(Answer, frozen=True, kw_only=True):
    """A setting that was not as it is declared."""

    index: str
    setting: str | None
    """None for the index itself."""
    stored: Any
    """None for an index that was not there."""
    declared: Any
    """None for an index that is not declared."""
    text: str
    """All of it in a line."""


class Applied(Answer, frozen=True, kw_only=True):
    """The effect of a configuration: all of it was applied in one step."""

    differences: list[DifferenceEntry]
    changed: bool


class Configuration(Answer, frozen=True, kw_only=True):
    """The indexes as a configuration file declares them."""

    indexes: dict[str, dict[str, Any]]


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


def configuration_of(indexes: Mapping[str, Mapping[str, Any]]) -> Configuration:
    """The document of these indexes."""
    return Configuration(indexes={name: dict(settings) for name, settings in indexes.items()})
