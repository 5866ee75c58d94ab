"""HTTP behaviour does not depend on where the files are: its tests run on every store."""

from __future__ import annotations

import os
from typing import Final

import pytest

PLACES: Final = {"directory": "", "memory": "memory:"}
"""The values of `place` for `tests.asking.serve`. A store in memory has neither a path nor a descriptor of a file, as a
bucket has none. With TESTS_BUCKET there is one (`make test-bucket`), and each server has a folder of it."""
if bucket := os.environ.get("TESTS_BUCKET"):
    PLACES["bucket"] = f"{bucket}/@"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with the parameter `place`, or a fixture that has it, runs once for each of PLACES.

    `@pytest.mark.on_disk(reason)`: on the directory alone.
    """
    if "place" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("on_disk")
        assert marker is None or marker.args, "on_disk needs the reason"
        ids = list(PLACES) if marker is None else ["directory"]
        metafunc.parametrize("place", [PLACES[each] for each in ids], ids=ids, scope="module")
