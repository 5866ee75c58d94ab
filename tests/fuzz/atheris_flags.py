"""Where atheris leaves what it finds. Apart from its runner, so that one need not have atheris to know."""

from __future__ import annotations

from pathlib import Path

FOUND = Path(__file__).parent.parent.parent / ".cache" / "fuzz"
"""A folder for each target: inputs of new coverage, and as crash-... what broke it."""
