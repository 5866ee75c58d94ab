"""HTTP behaviour does not depend on where the files are: its tests run on every store."""

from __future__ import annotations

from typing import Final

import pytest

from tests.asking import BUCKET_IN_MEMORY, NAMED_INDEX
from tests.bucket.sample import CORE, is_sample
from tests.bucket.servers import served_buckets

PLACES: Final = {
    "directory": "",
    "memory": "memory:",
    "objects": f"{BUCKET_IN_MEMORY}/@",
    **{f"bucket-{scheme}": f"{url}/@" for scheme, url in served_buckets().items()},
}
"""The values of `place` for `tests.asking.serve`. A store in memory has neither a path nor a descriptor of a file, as a
bucket has none. `objects` is the store in a bucket, over obstore's bucket in the server's memory. `make test-bucket`
has buckets on real servers, too, and each server of quire has a folder of its own there."""

LATER: Final = {"memory": pytest.mark.proofs}
"""Marks of places. A store in memory and `objects` have the same abilities: one of them in `make test` is enough."""

NAMED: Final = {"test_pages", "test_uploads", "test_fast_path", "test_quotas", "test_provenance", "test_form_lines"}
"""The modules whose tests run on a named index, too (`make test-proofs`): what clients see there is the same, below
another prefix."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with the parameter `place`, or a fixture that has it, runs once for each of PLACES.

    `@pytest.mark.on_disk(reason)`: on the directory alone; `@pytest.mark.at_root(reason)`: not on a named index.
    """
    if "place" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("on_disk")
        assert marker is None or marker.args, "on_disk needs the reason"
        is_core = metafunc.module.__name__ in CORE
        ids = [each for each in PLACES if is_core or not _takes_core_alone(each)]
        if marker is not None:
            ids = ["directory"]
        places = [pytest.param(PLACES[each], id=each, marks=LATER.get(each, ())) for each in ids]
        rooted = metafunc.definition.get_closest_marker("at_root")
        assert rooted is None or rooted.args, "at_root needs the reason"
        if metafunc.module.__name__.rpartition(".")[2] in NAMED and rooted is None:
            places.append(pytest.param(NAMED_INDEX, id="named", marks=pytest.mark.proofs))
        metafunc.parametrize("place", places, scope="module")


def _takes_core_alone(place: str) -> bool:
    return place in {"bucket-az", "bucket-gs"} and is_sample()
