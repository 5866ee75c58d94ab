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


Step = tuple[str, str, int]


def asked(state: AccessState, header: str) -> None:
    """Ask for the token of a header with a wrong one."""
    sent = find_token_text(header)
    fault = state.find_token(sent.identity, sent.digest, NOW) if isinstance(sent, TokenText) else None
    assert fault is TokenFault.UNKNOWN


def instructions(state: AccessState, header: str) -> list[Step]:
    """The instructions that the interpreter takes for it."""
    found: list[Step] = []

    def trace(frame: FrameType, event: str, _: object) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            found.append((event, frame.f_code.co_name, frame.f_lasti))
        return trace

    before = sys.gettrace()
    try:
        for _ in range(2):  # from Python 3.12 on the instructions of a function are told from its second call on
            found.clear()
            sys.settrace(trace)
            asked(state, header)
            sys.settrace(before)
    finally:
        sys.settrace(before)
    return found


def calls(state: AccessState, header: str) -> list[Step]:
    """The calls of functions of Python and of C for it. Apart from the instructions: those are not told meanwhile."""
    found: list[Step] = []

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event in {"call", "c_call"}:
            found.append((event, frame.f_code.co_name if event == "call" else getattr(argument, "__name__", ""), 0))

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        asked(state, header)
    finally:
        sys.setprofile(before)
    return found


def in_find_token(state: AccessState, identity: str) -> list[Step]:
    """The steps of a wrong secret for an id, without those that depend on the digits of the text that was sent."""
    header = f"Bearer {new_token(identity).text}"
    gc.disable()  # what a library has to do after a collection is no step of a token
    try:
        kinds = instructions(state, header), calls(state, header)
    finally:
        gc.enable()
    steps: list[Step] = []
    for taken in kinds:
        steps += taken[next(number for number, step in enumerate(taken) if step[1] == "find_token") :]
    return [each for each in steps if each[1] not in {"settrace", "setprofile"}]


@pytest.mark.parametrize("identity", TOKENS)
def test_a_wrong_secret_costs_the_same_steps_as_an_unknown_id(identity: str) -> None:
    """For a token in any state: the same instructions in the same order, and the same comparisons."""
    state = AccessState(AccessDocument(tokens=TOKENS))
    state.find_token("unknown000", DIGEST, NOW)  # the first question makes the tables
    unknown = in_find_token(state, "unknown000")
    assert in_find_token(state, identity) == unknown
    assert [step[1] for step in unknown if step[0] == "c_call"].count("compare_digest") == 2
