"""A worker dies before and after each of its requests to the bucket: nothing is lost, and nothing is half done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from quire.index.index import Index
from quire.store.bucket.store import BucketStore
from tests.store.bucket.changes import SCENARIOS, Seen, check_after, one_at_a_time, seen
from tests.store.bucket.memory import MemoryBucket

_MOST = 60
_REQUESTS = ("get", "put", "remove", "overwrite", "create", "mark_of", "head", "begin_reading", "read_at", "list")


class Killed(BaseException):
    """The worker is dead."""


class DyingBucket(MemoryBucket):
    """A worker's handle on a bucket: at one of its requests the worker dies, before it is made or after it."""

    def __init__(self, bucket: MemoryBucket, left: int, *, is_after: bool) -> None:
        super().__init__()
        self._bucket = bucket
        self._left = left
        self._is_after = is_after
        self.is_dead = False
        for name in _REQUESTS:
            setattr(self, name, self._request(getattr(bucket, name)))

    def _request(self, ask: Callable[..., Any]) -> Callable[..., Any]:
        def request(*arguments: Any) -> Any:
            self._left -= 1
            if self.is_dead or (self._left == 0 and not self._is_after):
                self._die()
            answer = ask(*arguments)
            if self._left == 0:
                self._die()
            return answer

        return request

    def _die(self) -> None:
        self.is_dead = True
        raise Killed


def prepared(name: str) -> MemoryBucket:
    bucket = MemoryBucket()
    SCENARIOS[name].prepare(Index(BucketStore(bucket, "memory")))
    return bucket


def states(name: str) -> tuple[Seen, Seen]:
    """The index as clients see it before and after the change."""
    store = BucketStore(prepared(name), "memory")
    before = seen(store)
    SCENARIOS[name].act(Index(store))
    return before, seen(store)


def killed(name: str, number: int, *, is_after: bool) -> tuple[MemoryBucket, bool]:
    """The bucket after the worker died at a request, and whether it died before it was done."""
    bucket = prepared(name)
    dying = DyingBucket(bucket, number, is_after=is_after)
    with one_at_a_time():
        try:
            SCENARIOS[name].act(Index(BucketStore(dying, "memory")))
        except Killed:
            assert dying.is_dead
    return bucket, dying.is_dead


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_kill_at_each_request_loses_nothing(name: str, *, is_after: bool) -> None:
    """A fresh worker sees the state before the change or after it, heals what is stale, and can make the change."""
    before, after = states(name)
    for number in range(1, _MOST):
        bucket, is_dead = killed(name, number, is_after=is_after)
        check_after(BucketStore(bucket, "memory"), name, before, after, is_acknowledged=not is_dead)
        if not is_dead:
            break
    assert 3 <= number < _MOST, "the change makes so few or many requests that this was no test"
