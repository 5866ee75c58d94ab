"""Everything that still works and is to go: warnings, headers and docs/reference/deprecated.md are made of this table.

docs/stability.md promises how long it goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from email.utils import format_datetime
from typing import Final, Literal

from quire.config.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Deprecation:
    """One thing that is to go."""

    kind: Literal["setting", "module", "route"]
    name: str
    """A setting, or a setting and a value of it (`server granian`); a module; a method and an address of the route
    table."""
    since: str
    """The version that announces it."""
    announced: date
    removed_in: str
    """The major version without it."""
    not_before: date
    """The day until which it works in any case."""
    instead: str
    """The end of a sentence: the replacement."""

    @property
    def sentence(self) -> str:
        """The warning."""
        return (
            f"The {self.kind} {self.name} is deprecated since version {self.since} and is removed in version "
            f"{self.removed_in}, not before {self.not_before}: {self.instead}."
        )

    @property
    def headers(self) -> dict[str, str]:
        """Of the answers of a route (RFC 9745, RFC 8594)."""
        return {
            "Deprecation": f"@{int(_midnight(self.announced).timestamp())}",
            "Sunset": format_datetime(_midnight(self.not_before), usegmt=True),
        }


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


DEPRECATIONS: Final = (
    Deprecation(
        kind="setting",
        name="server granian",
        since="1.0.0",
        announced=date(2026, 11, 30),
        removed_in="2.0",
        not_before=date(2027, 6, 1),
        instead="leave it out, uvicorn serves",
    ),
    Deprecation(
        kind="module",
        name="quire.web.entry",
        since="1.0.0",
        announced=date(2026, 11, 30),
        removed_in="2.0",
        not_before=date(2027, 6, 1),
        instead="give your server quire.http.entry",
    ),
)


def in_use(settings: Settings) -> Iterator[str]:
    """A warning for each deprecated setting, or value of one, with the flag, variable or file that has it."""
    sources = dict(settings.sources)
    for each in DEPRECATIONS:
        option, _, value = each.name.partition(" ")
        if each.kind == "setting" and option in sources and value in {"", getattr(settings, option, "")}:
            yield f"{each.sentence} It is set by: {sources[option]}."


def warning_of(module: str) -> str:
    """The warning for a module."""
    return next(each.sentence for each in DEPRECATIONS if (each.kind, each.name) == ("module", module))


def deprecated_routes() -> Mapping[str, Deprecation]:
    """By method and address."""
    return {each.name: each for each in DEPRECATIONS if each.kind == "route"}
