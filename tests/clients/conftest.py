"""Fixtures of the client tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.sandbox import Sandbox
from tests.clients.servers import Servers, two_servers


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Two servers on one directory, without authentication, for all tests of a module."""
    with two_servers(tmp_path_factory.mktemp("servers")) as both:
        yield both


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """A home for clients, for one test."""
    home = tmp_path / "home"
    home.mkdir()
    return Sandbox(home)
