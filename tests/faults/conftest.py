"""The long ones run when they are asked for (`-m faults`, `make test-faults`), and say at the end what they did."""

from __future__ import annotations

import pytest

from tests.long_suites import leave_out, print_notes


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    leave_out(config, items, "faults")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    print_notes(terminalreporter, "faults")
