"""HTTP behaviour does not depend on where the files are: its tests run on every store."""

from __future__ import annotations

from typing import Final

import pytest

from tests.bucket.servers import served_buckets

PLACES: Final = {
    "directory": "",
    "memory": "memory:",
    **{f"bucket-{scheme}": f"{url}/@" for scheme, url in served_buckets().items()},
}
"""The values of `place` for `tests.asking.serve`. A store in memory has neither a path nor a descriptor of a file, as a
bucket has none. `make test-bucket` has buckets, too, and each server has a folder of its own there."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with the parameter `place`, or a fixture that has it, runs once for each of PLACES.

    `@pytest.mark.on_disk(reason)`: on the directory alone.
    """
    if "place" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("on_disk")
        assert marker is None or marker.args, "on_disk needs the reason"
        ids = list(PLACES) if marker is None else ["directory"]
        metafunc.parametrize("place", [PLACES[each] for each in ids], ids=ids, scope="module")
