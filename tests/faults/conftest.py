"""The long ones run when they are asked for (`-m faults`, `make test-faults`), and say at the end what they did."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long ones out, unless an expression for markers speaks of them."""
    if "faults" in config.option.markexpr:
        return
    long = [item for item in items if item.get_closest_marker("faults") is not None]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in set(long)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests counted."""
    notes = [
        str(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, value in report.user_properties
        if name == "faults"
    ]
    if notes:
        terminalreporter.section("faults")
        for note in sorted(notes):
            terminalreporter.line(note)
