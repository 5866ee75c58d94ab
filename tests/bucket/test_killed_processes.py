"""Processes that change an index in a real bucket are killed at one of their requests: nothing is lost or half done."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from quire.index.index import Index
from quire.store.bucket.client import open_bucket
from quire.store.bucket.store import BucketStore
from tests.bucket.proxy import Fault, Request, faulty_proxy
from tests.serving import environment
from tests.store.bucket.changes import SCENARIOS, check_after, seen

pytestmark = pytest.mark.bucket

_TRIALS = 4
"""Requests of each change at which it is killed, of about ten."""


class Nth:
    """A plan of one fault: for a request by its number. 0: none."""

    def __init__(self, number: int, fault: Fault) -> None:
        self.count = 0
        self._number = number
        self._fault = fault

    def __call__(self, request: Request) -> Fault | None:
        self.count += 1
        return self._fault if self.count == self._number else None


def act(name: str, place: str, plan: Nth) -> bool:
    """Make a change by a process of its own, behind a proxy; whether it was acknowledged."""
    started: list[subprocess.Popen[str]] = []

    def kill() -> None:
        started[0].kill()
        started[0].wait()

    with faulty_proxy(os.environ["AWS_ENDPOINT_URL"], plan, kill) as proxy:
        command = [sys.executable, "-m", "tests.store.bucket.changes", name, place]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=environment(AWS_ENDPOINT_URL=proxy.url)
        ) as process:
            started.append(process)
            assert process.stdout is not None
            answer = process.stdout.read()
        assert (process.returncode == 0) == answer.endswith("ACK\n")
        return process.returncode == 0


def opened(place: str) -> BucketStore:
    return BucketStore(open_bucket(place, os.environ), place)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_process_that_is_killed_at_a_request_loses_nothing(name: str, url: str) -> None:
    """A fresh worker sees the state before the change or after it, heals what is stale, and can make the change."""
    whole = opened(f"{url}/whole")
    SCENARIOS[name].prepare(Index(whole))
    before, plan = seen(whole), Nth(0, Fault.KILL_BEFORE)
    assert act(name, whole.place, plan)
    after, choose = seen(opened(whole.place)), random.Random(name)
    assert plan.count >= 3
    faults = (Fault.KILL_BEFORE, Fault.KILL_AFTER)
    moments = [(number, fault) for number in range(1, plan.count + 1) for fault in faults]
    for number, fault in choose.sample(moments, min(_TRIALS, len(moments))):
        store = opened(f"{url}/{number}-{fault.name}")
        SCENARIOS[name].prepare(Index(store))
        assert not act(name, store.place, Nth(number, fault)), "it was not killed"
        check_after(opened(store.place), name, before, after, is_acknowledged=False)
