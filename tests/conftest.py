"""Shared by all tests: the same examples of hypothesis at every run, and logging that is put back after each test."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests import sample
from tests.long_suites import leave_out

# the helpers that assert: without this, a failure in one of them does not show what it compared
pytest.register_assert_rewrite("tests.asking", "tests.operating", "tests.serving")

settings.register_profile(
    "repeatable", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--sample", type=int, metavar="DAY", help="only the sample of this day; default: everything")


def pytest_report_header(config: pytest.Config) -> list[str]:
    day = config.getoption("--sample")
    return [] if day is None else [f"the sample of day {day}; all of it: without --sample"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    leave_out(config, items, "proofs")
    if (day := config.getoption("--sample")) is not None:
        sample.leave_out(config, items, day)


@pytest.fixture(autouse=True)
def logging_is_put_back() -> Iterator[None]:
    """A command that runs in the process of the tests sets up logging for the process: the next test must not have it.

    Such a handler writes the log of later tests into whatever it was made for.
    """
    root = logging.getLogger()
    before, level, configuration = root.handlers[:], root.level, structlog.get_config()
    yield
    for handler in root.handlers:
        if handler not in before:
            handler.close()
    root.handlers = before
    root.setLevel(level)
    structlog.configure(**configuration)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a long value by its parameter, with a number where there are several.

    Archives hold the time of day, and test processes that run side by side must agree on the name of every test.
    """
    return argname if isinstance(val, bytes | str) and len(val) > 80 else None
