"""Requirements of packages (PEP 508) as their metadata states them.

A publisher or another index wrote them, and all that use them have to read the same in them: the check of an upload,
pages, search. So they are read here alone, and so far that nothing of what is returned can fail later: the library
calls itself once for each parenthesis, and takes values that it cannot write back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from quire.domain.errors import InvalidName
from quire.domain.names import normalize_name

MOST_CHARS: Final = 5000
"""Of one requirement; a longer text is none."""
MOST_PARENTHESES: Final = 200
"""Of one requirement. A few are in use; the library fails where some hundred are within each other, at fewer the deeper
its caller is itself."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement."""

    name: str
    """Of the project, as it is written."""
    project: str
    """The name, normalized; empty for one that no project can have, such as `foo_`."""
    extras: tuple[str, ...]
    versions: tuple[str, ...]
    """Specifiers, such as `>=2.1`."""
    url: str | None
    condition: str
    """The environment marker; empty for none."""


def read_requirement(text: str) -> Requirement | None:
    """The meaning of a requirement; None for a text that is none."""
    from packaging.requirements import Requirement as Parsed  # noqa: PLC0415 - not for serving pages

    if len(text) > MOST_CHARS or text.count("(") > MOST_PARENTHESES:
        return None
    try:
        parsed = Parsed(text)
        versions = str(parsed.specifier)
        condition = "" if parsed.marker is None else str(parsed.marker)
        condition.encode()  # an escape in a marker can stand for half of a surrogate pair, which no document can have
    except (ValueError, RecursionError):
        return None
    return Requirement(
        name=parsed.name,
        project=_project(parsed.name),
        extras=tuple(sorted(parsed.extras)),
        versions=tuple(versions.split(",")) if versions else (),
        url=parsed.url,
        condition=condition,
    )


def _project(name: str) -> str:
    try:
        return normalize_name(name)
    except InvalidName:
        return ""
