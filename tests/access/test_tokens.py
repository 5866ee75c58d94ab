"""The text of a token: what is one, and that a wrong one is found by itself."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.access.tokens import PATTERN, new_identity, new_token, parse_token, resembles_token


def test_tokens_differ_and_are_read_back() -> None:
    """The pattern for secret scanners finds them in other text."""
    tokens = {new_token(new_identity()) for _ in range(200)}
    assert len({token.text for token in tokens}) == len({token.digest for token in tokens}) == 200
    for token in tokens:
        assert parse_token(token.text) == parse_token(f" {token.text}\r\n") == token
        assert re.findall(PATTERN, f"password: '{token.text}',") == [token.text]


def test_a_secret_is_in_no_text_for_people() -> None:
    """A token that ends up in a log shows its id alone."""
    token = new_token("0123456789")
    assert token.text.split("_")[2] not in f"{token} {token!r}"
    assert "0123456789" in repr(token)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "quire_",
        "pypi-AgEIcHlwaS5vcmcC",
        "quire_0123456789_" + "a" * 49,
        "quire_0123456789_" + "a" * 5000,
        "QUIRE_0123456789_" + "a" * 49,
        "quire_0123456789_" + "\u0661" * 49,
    ],
)
def test_other_text_is_no_token(text: str) -> None:
    """Neither that of other indexes, nor what only has the form."""
    assert parse_token(text) is None


@given(place=st.integers(0, 65), letter=st.sampled_from("0Aa_-\n\0é"))
def test_one_wrong_character_is_found(place: int, letter: str) -> None:
    """By the checksum, without a look at the store; a token that was cut or grew as well."""
    text = new_token("0123456789").text
    wrong = text[:place] + letter + text[place + 1 :]
    assert wrong == text or parse_token(wrong) is None
    assert parse_token(text[:place]) is None
    assert parse_token(text[:place] + letter + text[place:]) is None or letter == "\n"


def test_a_wrong_token_is_known_for_one() -> None:
    """So that its sender can be told, while a password that only resembles one stays a password."""
    assert resembles_token("quire_0123456789_cut")
    assert not resembles_token("my-quire_password")
