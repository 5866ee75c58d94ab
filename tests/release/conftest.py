"""Fixtures of the tests of the release."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.conftest import sandbox
from tests.deploy.conftest import podman
from tests.long_suites import leave_out
from tests.release.building import build

__all__ = ["podman", "sandbox"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    leave_out(config, items, "pythons")
    leave_out(config, items, "rehearsal")


@pytest.fixture(scope="package")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist and the wheel, by kind."""
    return build(tmp_path_factory.mktemp("built"), mtime=1_700_000_000.0, umask=0o022)
