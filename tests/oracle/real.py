"""Distributions that real build backends make of a small project with all that projects have."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from tests.oracle.cases import MODULE, Case

_PROJECT = """
[build-system]
requires = []
build-backend = "{backend}"
[project]
name = "foo"
version = "1.0"
description = "A project"
readme = "README.md"
requires-python = ">=3.8"
license = {{ text = "MIT" }}
keywords = ["a", "b"]
dependencies = ["requests>=2 ; python_version < '3'"]
[project.optional-dependencies]
extra = ["rich[jupyter] (>=13)"]
[project.scripts]
foo = "foo:main"
[project.urls]
Homepage = "https://example.org"
[tool.setuptools]
py-modules = ["foo"]
[tool.hatch.build.targets.wheel]
only-include = ["foo.py"]
"""
_BACKENDS = {  # what must be there for it
    "hatchling.build": "hatchling",
    "setuptools.build_meta": "wheel",
    "flit_core.buildapi": "flit_core",
    "poetry.core.masonry.api": "poetry",
}


def real_cases(folder: Path) -> list[Case]:
    """A wheel and an sdist of every backend that is installed here; hatchling is, since it builds quire."""
    found = []
    for backend, needed in _BACKENDS.items():
        if find_spec(needed) is None or find_spec(backend.partition(".")[0]) is None:
            continue
        project = folder / backend
        project.mkdir()
        (project / "foo.py").write_bytes(MODULE)
        (project / "README.md").write_text("# foo\n\nA projec\u0327t.\n")
        (project / "LICENSE").write_text("MIT")
        (project / "pyproject.toml").write_text(_PROJECT.format(backend=backend))
        for what in ("wheel", "sdist"):
            code = f"import {backend} as backend; print(backend.build_{what}('.'))"
            done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
            filename = done.stdout.splitlines()[-1]
            found.append(Case(f"{what} by {backend}", (project / filename).read_bytes(), filename))
    assert len(found) >= 2
    return found
