"""Rates of tokens: so many at once, then evenly, by each worker's own count; over HTTP 429 with the time to wait."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
from hypothesis import given
from hypothesis import strategies as st

from quire.access.document import EMPTY, Token, decode_access, encode_access, with_fields
from quire.access.rates import NO_LIMIT, SWEPT_AT, TokenRates
from quire.access.records import AccessRecords
from quire.config.settings import Settings
from quire.http.app.application import create_application
from quire.http.fast.fast_path import FastPath, FastPathApplication
from quire.index.audit.entries import Origin
from tests.http.app.test_access import counted
from tests.tokens import make_token


class Clock:
    """The time that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(st.integers(1, 50), st.lists(st.floats(0, 20), max_size=120))
def test_no_window_has_more_than_the_rate_allows(limit: int, gaps: list[float]) -> None:
    """In any time t: at most the requests of a minute, and those of t. A refused one says when it is accepted."""
    clock = Clock()
    counter = TokenRates(clock=clock)
    accepted: list[float] = []
    for gap in gaps:
        clock.now += gap
        wait = counter.take("a", limit)
        if wait is None:
            accepted.append(clock.now)
        else:
            assert 1 <= wait <= 61
            clock.now += wait
            assert counter.take("a", limit) is None
            accepted.append(clock.now)
    for first, begin in enumerate(accepted):
        for number, end in enumerate(accepted[first:], 1):
            assert number <= limit + (end - begin) * limit / 60 + 1e-6


def test_a_burst_of_a_minute_passes_and_the_next_waits() -> None:
    """Of a token; another one is not affected."""
    clock = Clock()
    counter = TokenRates(clock=clock)
    assert [counter.take("a", 6) for _ in range(7)] == [None] * 6 + [10]
    assert counter.take("b", 6) is None
    clock.now += 10
    assert [counter.take("a", 6) for _ in range(2)] == [None, 10]


def test_tokens_that_are_silent_are_forgotten() -> None:
    """So minted tokens, of which each has a new id, take no memory for ever."""
    clock = Clock()
    counter = TokenRates(clock=clock)
    for number in range(3 * SWEPT_AT):
        clock.now += 1
        assert counter.take(f"t{number}", 10) is None
    assert len(counter) <= SWEPT_AT + 1


def test_a_token_has_its_own_rate_or_the_servers() -> None:
    """Also none. A document with a rate is not understood by versions that would ignore it."""
    counter = TokenRates(600)
    made = {rate: Token(digest="0" * 64, permissions=("read",), rate=rate) for rate in (None, 5, NO_LIMIT)}
    assert {rate: counter.limit_of(token) for rate, token in made.items()} == {None: 600, 5: 5, NO_LIMIT: NO_LIMIT}
    formats = {}
    for rate, token in made.items():
        stored = encode_access(with_fields(EMPTY, tokens={"a": token}))
        assert decode_access(stored).tokens["a"] == token
        formats[rate] = b'"format": 2' in stored
    assert formats == {None: False, 5: True, NO_LIMIT: True}


def test_a_token_that_sends_too_much_is_told_when_to_go_on(tmp_path: Path) -> None:
    """429 with Retry-After and a sentence, counted; also where the fast path answers tokens without a rate."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "users").touch()
    app = create_application(
        Settings(
            directories=(str(tmp_path / "packages"),),
            authenticate=("download", "list", "update"),
            passwords=str(tmp_path / "users"),
            fallback_url=None,
            token_rate=2,
        )
    )
    worker = app.state.worker

    def token(rate: int | None) -> tuple[str, str]:
        made = make_token(AccessRecords(worker.default.store), ["read"], rate=rate, origin=Origin())
        return made.identity, f"Bearer {made.text}"

    async def ask(authorization: str, times: int) -> list[httpx.Response]:
        transport = httpx.ASGITransport(FastPathApplication(app, FastPath(worker, worker.default)))
        async with httpx.AsyncClient(transport=transport, base_url="http://index") as client:
            headers = {"authorization": authorization, "accept": "application/vnd.pypi.simple.v1+json"}
            return [await client.get("/simple/", headers=headers) for _ in range(times)]

    identity, own = token(3)
    for limit, (name, sent) in ((3, (identity, own)), (2, token(None))):
        *served, refused = asyncio.run(ask(sent, limit + 1))
        assert [answer.status_code for answer in served] == [200] * limit
        assert refused.status_code == 429
        wait = refused.headers["retry-after"]
        assert 1 <= int(wait) <= 60 // limit
        assert refused.text == (
            f"The token {name} may send {limit} requests a minute, and sends more; try again in {wait} seconds.\n"
        )
    assert {answer.status_code for answer in asyncio.run(ask(token(NO_LIMIT)[1], 20))} == {200}
    assert counted(app) == {"rate_limited": 2}
    worker.close()
