"""Text of publishers as it is shown: nothing invisible, nothing that turns other text around."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.domain.foreign_text import one_line, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, 1.0 (ok)\n\tnext", "plain text, 1.0 (ok)\n\tnext"),
        ("Grüße, 你好, שלום, سلام", "Grüße, 你好, שלום, سلام"),
        ("access\u202e = not denied", "access[U+202E] = not denied"),
        ("\u2066isolated\u2069", "[U+2066]isolated[U+2069]"),
        ("re\u200bquests", "re[U+200B]quests"),
        ("re\u200dquests", "re[U+200D]quests"),
        ("soft\u00adhyphen", "soft[U+00AD]hyphen"),
        ("bell\x07 escape\x1b[31m nul\0 c1\x85", "bell[U+0007] escape[U+001B][31m nul[U+0000] c1[U+0085]"),
        ("filler\u3164 braille\u2800", "filler[U+3164] braille[U+2800]"),
        ("tags\U000e0041", "tags[U+E0041]"),
        ("surrogate\ud800", "surrogate[U+D800]"),
        ("line\u2028paragraph\u2029", "line[U+2028]paragraph[U+2029]"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("\ufeffbegins, and again\ufeff", "begins, and again[U+FEFF]"),
    ],
)
def test_invisible_characters_are_shown_by_their_numbers(text: str, shown: str) -> None:
    """Whatever they would do; letters of all scripts stay."""
    assert visible(text) == shown


def test_joiners_stay_where_scripts_and_emoji_need_them() -> None:
    """Persian and Hindi words, and a family of three; but not one joiner after another, nor one at an end."""
    for text in ("\u0645\u06cc\u200c\u062e\u0648", "क\u094d\u200dष", "\U0001f468\u200d\U0001f469\u200d\U0001f467"):
        assert visible(text) == text
    assert visible("\u06a9\u200c\u200c\u06a9") == "\u06a9[U+200C][U+200C]\u06a9"
    assert visible("\u06a9\u200c") == "\u06a9[U+200C]"


def test_a_line_is_one_line() -> None:
    """A summary with line ends would break out of its place."""
    assert one_line(" two\r\n lines \u2028 ") == "two lines [U+2028]"


@given(st.text())
def test_all_that_is_shown_is_visible(text: str) -> None:
    """And what is shown is shown as it is."""
    shown = visible(text)
    hidden = {each for each in shown if unicodedata.category(each) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
    assert hidden <= {"\n", "\t", "\u200c", "\u200d"}
    assert visible(shown.removeprefix("\ufeff")) == shown
