"""The tests of deploy/ run when they are asked for (`-m deploy`, `make test-deploy`), and say what they measured."""

from __future__ import annotations

import os

import pytest

from tests.deploy import image_build
from tests.deploy.image_podman import Podman, Unusable, prepare
from tests.long_suites import leave_out, print_notes


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    leave_out(config, items, "deploy")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    print_notes(terminalreporter, "deploy")


@pytest.fixture(scope="session")
def podman() -> Podman:
    """podman with a store of the tests' own; without it the test is skipped."""
    try:
        return prepare()
    except Unusable as why:
        pytest.skip(str(why))


@pytest.fixture(scope="session")
def image(podman: Podman) -> str:
    """The name of quire's image, built from this checkout; or of another one, which TESTS_IMAGE names."""
    return os.environ.get("TESTS_IMAGE") or image_build.quire_image(podman)


@pytest.fixture(scope="session")
def nginx_image(podman: Podman) -> str:
    """The name of an image with Debian's nginx."""
    return image_build.base_image(podman, image_build.NGINX)
