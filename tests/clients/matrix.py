"""Which forms of a client run in `make test`: the first of each list; the others are left to `make test-proofs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet


def first_of(*values: str, first: int = 1) -> list[str | ParameterSet]:
    """Values of a parameter. `first`: as many of them are no proofs."""
    return [*values[:first], *(pytest.param(value, marks=pytest.mark.proofs) for value in values[first:])]


PIPS = first_of("pip-newest", "pip-oldest", "pip-html")
INSTALLERS = first_of("pip-newest", "uv", "pip-oldest", "pip-html", first=2)
KINDS = first_of("uvicorn", "gunicorn")
