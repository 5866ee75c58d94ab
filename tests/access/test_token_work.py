"""A wrong token costs the same steps whether its id exists or not: instructions and calls are compared, no clocks.

A password costs one hash check for each user name, known or not (`test_authenticator`).
"""

from __future__ import annotations

import gc
import sys
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

import pytest

from quire.access.credentials import find_token_text
from quire.access.decisions import AccessState, TokenFault
from quire.access.document import AccessDocument, Previous, Token
from quire.access.tokens import TokenText, new_token
from quire.domain.times import stamp

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
PAST = stamp(NOW - timedelta(days=1))
DIGEST = "a" * 64
TOKENS = {
    "current000": Token(digest=DIGEST, permissions=("read",)),
    "revoked000": Token(digest=DIGEST, permissions=("read",), revoked=PAST),
    "expired000": Token(digest=DIGEST, permissions=("read",), expires=PAST),
    "rotated000": Token(digest=DIGEST, permissions=("read",), previous=Previous(digest="b" * 64, until=PAST)),
    "ofuser0000": Token(digest=DIGEST, permissions=("read",), user="ann"),
}


def steps(state: AccessState, header: str) -> list[tuple[str, str, int]]:
    """The steps of the interpreter for a header with a wrong token: instructions, and calls of C functions."""
    found: list[tuple[str, str, int]] = []

    def trace(frame: FrameType, event: str, _: object) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            found.append((event, frame.f_code.co_name, frame.f_lasti))
        return trace

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "c_call":
            found.append((event, getattr(argument, "__name__", ""), 0))

    before = sys.gettrace(), sys.getprofile()
    gc.disable()  # what a library has to do after a collection is no step of a token
    sys.settrace(trace)
    sys.setprofile(profile)
    try:
        sent = find_token_text(header)
        fault = state.find_token(sent.identity, sent.digest, NOW) if isinstance(sent, TokenText) else None
    finally:
        sys.settrace(before[0])
        sys.setprofile(before[1])
        gc.enable()
    assert fault is TokenFault.UNKNOWN
    return [each for each in found if each[1] not in {"settrace", "setprofile"}]


def in_find_token(state: AccessState, identity: str) -> list[tuple[str, str, int]]:
    """The steps of a wrong secret for an id, without those that depend on the digits of the text that was sent."""
    taken = steps(state, f"Bearer {new_token(identity).text}")
    return taken[next(number for number, step in enumerate(taken) if step[1] == "find_token") :]


@pytest.mark.parametrize("identity", TOKENS)
def test_a_wrong_secret_costs_the_same_steps_as_an_unknown_id(identity: str) -> None:
    """For a token in any state: the same instructions in the same order, and the same comparisons."""
    state = AccessState(AccessDocument(tokens=TOKENS))
    state.find_token("unknown000", DIGEST, NOW)  # the first question makes the tables
    unknown = in_find_token(state, "unknown000")
    assert in_find_token(state, identity) == unknown
    assert [step[1] for step in unknown if step[0] == "c_call"].count("compare_digest") == 2
