"""The judge on histories of promotions that are made up: a part of one is convicted, in one project and across them."""

from __future__ import annotations

import pytest

from tests.linearizability.checker import check
from tests.linearizability.history import History
from tests.linearizability.objects import Action
from tests.linearizability.promotions.model import Got, InList, Listed, PageOf, Promote, Remove

ALDER, BIRCH, SECOND = (Listed(name, f"{name}-{at}.whl", "digest") for name, at in (("a", 1), ("b", 1), ("a", 2)))
PROMOTED = Promote(frozenset({ALDER, BIRCH, SECOND}))


def page(project: str, *files: Listed) -> PageOf:
    return PageOf(project, frozenset(files))


def violations(*operations: tuple[int, int, Action], doubtful: bool = False) -> int:
    """`operations`: begin, end, and the operation; `doubtful`: whether writes may have failed."""
    history = History()
    for begun, ended, action in operations:
        certain = not (doubtful and isinstance(action, Promote))
        history.add(action, begun, ended, certain=certain)
    verdict = check(history)
    assert not verdict.undecided
    return len(verdict.violations)


@pytest.mark.parametrize(
    "reads",
    [
        pytest.param([(20, 21, page("a", ALDER))], id="half a project"),
        pytest.param([(20, 21, page("a", ALDER, SECOND)), (22, 23, page("b"))], id="one project before the other"),
        pytest.param([(20, 21, page("b", BIRCH)), (22, 23, InList("a", present=False))], id="a page before the list"),
        pytest.param([(20, 21, Got(SECOND)), (22, 23, page("b"))], id="a file before a page"),
        pytest.param([(20, 21, page("b", BIRCH)), (22, 23, page("b"))], id="back"),
    ],
)
@pytest.mark.parametrize("doubtful", [False, True])
def test_a_part_of_a_promotion_is_convicted(reads: list[tuple[int, int, Action]], doubtful: bool) -> None:
    """While it is under way, and also when its outcome is unknown."""
    assert violations((10, 30, PROMOTED), *reads, doubtful=doubtful) == 1


def test_all_or_nothing_is_right() -> None:
    """Before, after, and each at its moment for reads at the same time; then one file is deleted."""
    assert not violations(
        *((10, 30, PROMOTED), (11, 12, page("a")), (13, 20, page("b", BIRCH)), (13, 19, page("a"))),
        *((21, 22, page("a", ALDER, SECOND)), (31, 32, InList("b", present=True)), (33, 34, Remove(BIRCH))),
        *((35, 36, page("b")), (35, 36, InList("b", present=False)), (35, 36, page("a", ALDER, SECOND))),
    )
    assert not violations((10, 30, PROMOTED), (40, 41, page("a")), (42, 43, page("b")), doubtful=True)
    assert violations((10, 30, PROMOTED), (40, 41, page("b"))) == 1
