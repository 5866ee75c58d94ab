"""One machine at a time, booted when the first test asks for its file system and used by all that do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.nfs.rig import Machine, booted


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(__file__.rpartition("/")[0]):
            item.add_marker("nfs")


@pytest.fixture(scope="session", params=["ext4", "ext4-seconds", "xfs", "tmpfs"])
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine whose server exports each file system in turn, or the one that a test names (`indirect`)."""
    with booted(request.param) as made:
        yield made


@pytest.fixture(autouse=True)
def defaults(machine: Machine) -> None:
    """Every test begins with the options that EFS recommends."""
    machine.mount()
