"""Times, and values of the log, in pages for people."""

from __future__ import annotations

import pytest

from quire.http.ui.filters import in_words, to_the_minute, to_the_second


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("2026-11-30T01:12:13.456789Z", "2026-11-30 01:12 UTC"),
        ("2026-11-30T01:12:13Z", "2026-11-30 01:12 UTC"),
        ("2026-11-30T01:12:13+00:00", "2026-11-30 01:12 UTC"),
        ("2026-11-30", "2026-11-30"),
    ],
)
def test_a_time_is_shown_to_the_minute(given: str, shown: str) -> None:
    """The element has all of it, for programs."""
    assert str(to_the_minute(given)) == f'<time datetime="{given}">{shown}</time>'


def test_a_sign_is_shown_to_the_second() -> None:
    """Those of workers come every second."""
    given = "2026-11-30T01:12:13Z"
    assert str(to_the_second(given)) == f'<time datetime="{given}">2026-11-30 01:12:13 UTC</time>'
    assert to_the_second("soon") == "soon"


@pytest.mark.parametrize("given", [None, "", "tomorrow", "2026-11-30T01:12:13+02:00", "<b>2026-11-30</b>"])
def test_another_text_stays_as_it_is(given: str | None) -> None:
    """It is escaped as any text of a template."""
    assert to_the_minute(given) == (given or "")
    assert not hasattr(to_the_minute(given), "__html__")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("main", "main"),
        (3, "3"),
        (True, "yes"),
        (["a", "b"], "a, b"),
        ([{"filename": "a.whl", "sha256": "0"}], "a.whl"),
        ({"repository": "acme/tools", "workflow": "release.yml"}, "repository acme/tools; workflow release.yml"),
        ([{"subject": "user:alice", "rights": ["read", "upload"]}], "subject user:alice; rights read, upload"),
    ],
)
def test_a_value_of_the_log(value: object, shown: str) -> None:
    """Nothing of it looks like a program's."""
    assert in_words(value) == shown
