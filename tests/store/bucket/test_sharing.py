"""Requests that come together share what is asked of the bucket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from quire.catalog.served import ServedIndex
from quire.config.settings import Settings
from quire.http.app.building import build_worker
from tests.store.bucket.counted import PLACE, counted_bucket

ASKED: dict[str, Callable[[ServedIndex], Awaitable[object]]] = {
    "page": lambda index: index.project("acme"),
    "list": lambda index: index.names(),
}


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_concurrent_requests_share_two_validations(asked: Callable[[ServedIndex], Awaitable[object]]) -> None:
    """The first request begins one; the others, which came after it began, share the next one."""

    async def scenario(index: ServedIndex) -> list[object]:
        await asked(index)
        bucket.requests()
        return list(await asyncio.gather(*(asked(index) for _ in range(200))))

    with counted_bucket() as bucket:
        worker = build_worker(Settings(directories=(PLACE,), authenticate=(), no_drop_in=True))
        try:
            answers = asyncio.run(scenario(worker.default))
        finally:
            worker.close()
        assert bucket.requests() == {"get": 2}
    assert len({id(answer) for answer in answers}) == 1
