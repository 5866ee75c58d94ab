"""The lists of members that a worker remembers, and the turns of those that look into archives."""

from __future__ import annotations

import asyncio

import pytest

from quire.archives.contents import Member
from quire.http.app.looking import MOST_REMEMBERED, MOST_WAITING, Looking
from quire.http.app.problems import HttpError


def test_lists_are_remembered_within_a_bound() -> None:
    """The oldest one goes first; one that is too large is not kept, and all go for it."""
    looking = Looking()
    half = [Member("a", 1)] * (MOST_REMEMBERED // 2)
    for digest in ("one", "two", "three"):
        looking.remember(digest, half)
    assert [looking.known(digest) is None for digest in ("one", "two", "three")] == [True, False, False]
    looking.remember("large", [Member("a", 1)] * (MOST_REMEMBERED + 1))
    assert looking.known("large") is None


def test_one_archive_is_read_at_a_time() -> None:
    """Further readers wait, and too many of them are told so."""

    async def scenario() -> tuple[int, int]:
        looking, inside, most, refused = Looking(), 0, 0, 0

        async def look() -> None:
            nonlocal inside, most, refused
            try:
                async with looking.alone():
                    inside += 1
                    most = max(most, inside)
                    await asyncio.sleep(0)
                    inside -= 1
            except HttpError:
                refused += 1

        await asyncio.gather(*(look() for _ in range(MOST_WAITING + 5)))
        with pytest.raises(ValueError, match="of the reader"):
            async with looking.alone():
                raise ValueError("of the reader")
        async with looking.alone():
            return most, refused

    assert asyncio.run(scenario()) == (1, 5)
