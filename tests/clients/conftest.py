"""Fixtures of the client tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.asking import password_file
from tests.clients.sandbox import Sandbox
from tests.clients.servers import PASSWORD, USER, Servers, two_servers


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Two servers on one directory, without authentication, for all tests of a module."""
    with two_servers(tmp_path_factory.mktemp("servers")) as both:
        yield both


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Two servers on one directory where everything needs the login of USER, for all tests of a module."""
    folder = tmp_path_factory.mktemp("locked")
    passwords = password_file(folder, **{USER: PASSWORD})
    with two_servers(folder, "-a", "download,list,update", "-P", passwords) as both:
        yield both


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """A home for clients, for one test."""
    home = tmp_path / "home"
    home.mkdir()
    return Sandbox(home)
