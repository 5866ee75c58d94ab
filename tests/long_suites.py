"""Suites that take long: they run only when an expression for markers speaks of them, and say at the end what they did.

A test adds to what is said with `record_property(MARKER, text)`.
"""

from __future__ import annotations

import pytest


def leave_out(config: pytest.Config, items: list[pytest.Item], marker: str) -> None:
    """Deselect the tests with this marker, unless they were asked for (`-m`)."""
    if marker in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker(marker) is not None]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def print_notes(reporter: pytest.TerminalReporter, marker: str) -> None:
    """Print what the tests recorded under this name."""
    notes = [
        str(value)
        for reports in reporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, value in report.user_properties
        if name == marker
    ]
    if notes:
        reporter.section(marker)
        for note in sorted(notes):
            reporter.line(note)
