"""The samples of long suites that CI runs, `--sample DAY`: another one each day, so that in some days all has run.

A test marked `rotates("parameter", ...)` asks the same on several file systems, mount options or wires, or in several
ways in a browser. A sample has it with one combination of these parameters; every other test is in each sample.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import pytest


def leave_out(config: pytest.Config, items: list[pytest.Item], day: int) -> None:
    """Deselect what is not in the sample of this day."""
    marked = [item for item in items if item.get_closest_marker("rotates") is not None]
    kept = chosen([_question_and_combination(item) for item in marked], day)
    left_out = {item for item, keep in zip(marked, kept, strict=True) if not keep}
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


def chosen(tests: Sequence[tuple[Hashable, Hashable]], day: int) -> list[bool]:
    """Whether each test, a question and a combination, is in the sample: of each question one combination is."""
    combinations: dict[Hashable, dict[Hashable, None]] = {}
    for question, combination in tests:
        combinations.setdefault(question, {})[combination] = None
    of_the_day = {question: [*found][day % len(found)] for question, found in combinations.items()}
    return [of_the_day[question] == combination for question, combination in tests]


def _question_and_combination(item: pytest.Item) -> tuple[Hashable, Hashable]:
    assert isinstance(item, pytest.Function)
    marker = item.get_closest_marker("rotates")
    assert marker is not None
    parameters = item.callspec.params
    assert set(marker.args) <= set(parameters), f"{item.nodeid} has no parameters {marker.args}"
    rest = tuple((name, repr(value)) for name, value in sorted(parameters.items()) if name not in marker.args)
    return (item.nodeid.partition("[")[0], rest), tuple(repr(parameters[name]) for name in marker.args)
