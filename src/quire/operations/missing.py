"""The error for a name without a project, with the name that was probably meant: the same for commands and requests."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from quire.config.suggestions import did_you_mean
from quire.domain.errors import NoSuchProject

_MISSPELT: Final = 2
"""Characters that a misspelt name has more or fewer."""
_MOST_COMPARED: Final = 200
"""Names that a misspelt one is compared with, in some ten milliseconds: any client may ask for a name."""


def no_such_project(name: str, known: Iterable[str]) -> NoSuchProject:
    """`known`: the names of all projects."""
    return NoSuchProject(name, did_you_mean(name, similar(name, known)))


def similar(name: str, known: Iterable[str]) -> list[str]:
    """Those of these names that are compared with a misspelt one."""
    found = (each for each in known if each[:1] == name[:1] and abs(len(each) - len(name)) <= _MISSPELT)
    return list(islice(found, _MOST_COMPARED))
