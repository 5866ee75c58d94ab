"""Distributions ready to be published: filename and bytes."""

from __future__ import annotations

from tests.distributions import make_sdist, make_wheel, metadata_text, sdist_name, wheel_name

FULL = 'Provides-Extra: full\nRequires-Dist: {} ; extra == "full"\n'
"""Metadata lines of an extra `full` that needs the requirement in the gap."""


def wheel(name: str, version: str, extra: str = "", *, requires_python: str = ">=3.8") -> tuple[str, bytes]:
    """`extra`: further lines of metadata."""
    metadata = metadata_text(name, version, extra=extra, requires_python=requires_python)
    return wheel_name(name, version), make_wheel(name, version, metadata=metadata)


def sdist(name: str, version: str) -> tuple[str, bytes]:
    return sdist_name(name, version), make_sdist(name, version)
