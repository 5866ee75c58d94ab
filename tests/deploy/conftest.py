"""The tests of deploy/ run when they are asked for (`-m deploy`, `make test-deploy`), and say what they measured."""

from __future__ import annotations

import os

import pytest

from tests.deploy import image_build
from tests.deploy.image_podman import Podman, prepare


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out those that need Debian's packages, unless an expression for markers speaks of them."""
    if "deploy" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("deploy") is not None]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests measured."""
    notes = [
        str(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, value in report.user_properties
        if name == "deploy"
    ]
    if notes:
        terminalreporter.section("deploy")
        for note in sorted(notes):
            terminalreporter.line(note)


@pytest.fixture(scope="session")
def podman() -> Podman:
    """podman with a store of the tests' own."""
    return prepare()


@pytest.fixture(scope="session")
def image(podman: Podman) -> str:
    """The name of quire's image, built from this checkout; or of another one, which QUIRE_TESTS_IMAGE names."""
    return os.environ.get("QUIRE_TESTS_IMAGE") or image_build.quire_image(podman)


@pytest.fixture(scope="session")
def nginx_image(podman: Podman) -> str:
    """The name of an image with Debian's nginx."""
    return image_build.base_image(podman, image_build.NGINX)
