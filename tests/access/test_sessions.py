"""The cookies of sessions: none that was not made by this store counts, and none that has ended."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.access.document import EMPTY, Sessions, decode_access, encode_access
from quire.access.principals import Principal
from quire.access.sessions import (
    LOGIN,
    SESSION,
    form_token,
    open_session,
    seal,
    seal_session,
    unseal,
    with_all_ended,
    with_ended,
    with_key,
)
from quire.domain.errors import DamagedRecord

DOCUMENT = with_key(EMPTY)
KEY: Final = DOCUMENT.sessions or Sessions(key="")
ANN = Principal("ann", groups=frozenset({"tools", "käse"}))
COOKIE = seal_session(KEY, ANN, 1000)


def test_a_session_counts_until_it_expires() -> None:
    """By the key and the number of its user."""
    found = open_session(KEY, COOKIE, 999)
    assert found is not None
    assert (found.principal, found.expires) == (ANN, 1000)
    assert open_session(KEY, COOKIE, 1000) is None
    assert open_session(None, COOKIE, 999) is None
    other = open_session(KEY, seal_session(KEY, ANN, 1000), 999)
    assert other is not None
    assert form_token(KEY, found) != form_token(KEY, other)


def test_sessions_end() -> None:
    """Those of a user by the next number, also when they are ended twice; all by a new key."""
    once = with_ended(DOCUMENT, ["ann", "bob"])
    twice = with_ended(once, ["ann"])
    assert once.sessions is not None
    between = seal_session(once.sessions, ANN, 1000)
    assert open_session(once.sessions, between, 999) is not None
    for document in (once, twice, with_all_ended(DOCUMENT), with_all_ended(twice)):
        assert open_session(document.sessions, COOKIE, 999) is None
    assert open_session(twice.sessions, between, 999) is None
    assert with_key(twice) is twice
    assert with_ended(EMPTY, ["ann"]) is EMPTY


def test_the_document_keeps_them() -> None:
    """The key and the numbers are in the record of grants and tokens, with fields of a later version."""
    ended = with_ended(DOCUMENT, ["ann"])
    data = encode_access(ended).replace(b'"ended"', b'"later": 1, "ended"')
    read = decode_access(data)
    assert read.sessions is not None
    assert read.sessions.unknown == {"later": 1}
    assert encode_access(read).count(b'"later"') == 1
    assert (read.sessions.key, read.sessions.ended) == (KEY.key, {"ann": 1})
    assert b"sessions" not in encode_access(EMPTY)


@given(
    st.one_of(
        st.text(), st.text().map(lambda text: f"{text}.{COOKIE.partition('.')[2]}"), st.just("."), st.binary().map(repr)
    )
)
def test_no_other_text_is_a_session(text: str) -> None:
    """Whatever a client sends."""
    assert unseal(KEY, SESSION, text, 0) is None


@given(st.integers(0, len(COOKIE) - 1), st.characters(codec="ascii"))
def test_a_changed_cookie_is_none(place: int, character: str) -> None:
    """Each character counts."""
    changed = COOKIE[:place] + character + COOKIE[place + 1 :]
    assert (open_session(KEY, changed, 999) is None) == (changed != COOKIE)


def test_purposes_are_apart() -> None:
    """A text that was sealed for one thing is nothing else."""
    text = seal(KEY, LOGIN, {"e": 1000})
    assert unseal(KEY, LOGIN, text, 999) == {"e": 1000}
    assert unseal(KEY, SESSION, text, 999) is None


@pytest.mark.parametrize("key", ["", "00", "ab" * 31, "no hex"])
def test_a_key_that_can_be_guessed_is_damage(key: str) -> None:
    """As of a document that was edited by hand: with it any client could make a session."""
    data = encode_access(DOCUMENT).replace(KEY.key.encode(), key.encode())
    with pytest.raises(DamagedRecord):
        decode_access(data)
