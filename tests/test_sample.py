"""The sample of the tests over NFS: small every day, and complete in some days."""

from __future__ import annotations

from tests.sample import chosen

_TESTS = [(question, combination) for question in "abc" for combination in ("ext4", "xfs", "tmpfs")]


def test_each_question_is_asked_once_a_day() -> None:
    """With one combination of its parameters."""
    for day in range(20_000, 20_010):
        kept = chosen(_TESTS, day)
        assert sorted(question for (question, _), keep in zip(_TESTS, kept, strict=True) if keep) == ["a", "b", "c"]


def test_in_some_days_all_of_them_run() -> None:
    """As many days as a question has combinations."""
    ran = {test for day in range(3) for test, keep in zip(_TESTS, chosen(_TESTS, day), strict=True) if keep}
    assert ran == set(_TESTS)
