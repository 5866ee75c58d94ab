"""Words, filters and likeness, without a store."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.domain.errors import InvalidRequest
from quire.search.facts import ALL_PYTHONS, python_bit, pythons_of
from quire.search.query import distance, read_query, score

DAY = date(2026, 11, 29)


@pytest.mark.parametrize(
    ("first", "second", "edits"),
    [("", "", 0), ("abc", "abc", 0), ("abc", "acb", 1), ("abc", "ab", 1), ("abc", "abd", 1), ("abcd", "badc", 2)],
)
def test_edits_are_counted(first: str, second: str, edits: int) -> None:
    """Insertions, deletions, replacements and swaps."""
    assert distance(first, second, 3) == distance(second, first, 3) == edits
    if edits:
        assert distance(first, second, edits - 1) == edits


@given(st.text("abc", max_size=8), st.text("abc", max_size=8), st.integers(0, 3))
def test_the_bound_changes_nothing_but_the_end(first: str, second: str, most: int) -> None:
    """A distance up to the bound is the same with any bound; a greater one is told as one more."""
    assert distance(first, second, most) == min(distance(first, second, 20), most + 1)


@given(st.lists(st.tuples(st.sampled_from(["q", "since", "python", "page", "origin", "x"]), st.text(max_size=300))))
def test_any_parameters_make_a_bounded_query_or_a_sentence(values: list[tuple[str, str]]) -> None:
    """Nothing else is raised, and words are few."""
    try:
        query = read_query(values, now=DAY)
    except InvalidRequest:
        return
    assert len(query.words) <= 8
    assert len(query.text) <= 200
    assert all(word.isalnum() for word in query.words)


def test_times_may_be_relative() -> None:
    """To the present day."""
    assert read_query([("since", "month")], now=DAY).since == "2026-10-29"
    assert read_query([("since", "2026-01-02")], now=DAY).since == "2026-01-02"
    assert read_query([("since", "  ")], now=DAY).since == ""


@pytest.mark.parametrize(
    ("requires", "python", "runs"),
    [
        (">=3.8", "3.8", True),
        (">=3.8", "3.7", False),
        (">=3.8.1", "3.8", True),
        ("<3.13,>=3.10", "3.13", False),
        ("<3.13,>=3.10", "3.12", True),
        ("!=3.9.*", "3.9", False),
        ("~=3.6", "3.20", True),
        (">=2.7,<3", "2.7", True),
        ("", "3.30", True),
        ("nonsense", "3.9", True),
    ],
)
def test_versions_of_python_are_bits(requires: str, python: str, runs: bool) -> None:
    """A filter is one comparison."""
    bit = python_bit(python)
    assert bit is not None
    assert bool(pythons_of(requires) >> bit & 1) is runs
    assert pythons_of(requires) <= ALL_PYTHONS


def test_words_of_the_name_count_most() -> None:
    """Then those of keywords, then those of the summary; a whole word more than its begin."""
    assert score(["retry"], "acme-retry", "", "") > score(["retry"], "acme", "retry", "")
    assert score(["retry"], "acme", "retry", "") > score(["retry"], "acme", "", "retry")
    assert score(["retry"], "acme", "", "retry") > score(["retry"], "acme", "", "retrying")
    assert score(["retry"], "acme", "", "nothing") == 0
