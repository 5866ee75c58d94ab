"""The simulation behind docs/sizing.md: its clock, what it must do where the result is known, and the page itself."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from benchmarks.sizing.model import Demand, Place, Times, simulate
from benchmarks.sizing.pages import INDEXES, MARK, PAGE, index_row
from benchmarks.sizing.places import BUCKET, LOCAL, VOLUME
from benchmarks.sizing.virtual import in_virtual_time

NOTHING = Times(near=0.0, request=0.0, question=0.0, render=0.0, upload=0.0)
FAR = Place("far", NOTHING, trip=0.25, steady=1.0, changed=2)


def test_the_clock_does_not_wait() -> None:
    """An hour is over at once, and timers come in their order."""
    order: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append(name)

    async def main() -> float:
        await asyncio.gather(sleeper("second", 3600), sleeper("first", 1800))
        return asyncio.get_running_loop().time()

    began = time.monotonic()
    assert in_virtual_time(main()) == pytest.approx(3600, abs=0.001)
    assert order == ["first", "second"]
    assert time.monotonic() - began < 60


def test_waiting_for_ever_is_an_error() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="never comes"):
        in_virtual_time(main())


def test_a_page_that_is_asked_for_alone_takes_its_round_trips() -> None:
    """One for the page, beside one for the grants; three where the worker does not have the page."""
    known = simulate(FAR, Demand(projects=50, rate=0.01, workers=1), seconds=20_000)
    assert known.p50 == pytest.approx(250, rel=0.01)
    assert known.p99 == pytest.approx(250, rel=0.01)
    assert known.questions == pytest.approx(2, rel=0.05)
    assert known.known == pytest.approx(1)
    tiny = Demand(projects=50, rate=0.01, workers=1, page_bytes=10_000, cache_bytes=1)
    cold = simulate(FAR, tiny, seconds=20_000)
    assert cold.p50 == pytest.approx(750, rel=0.01)
    assert cold.questions == pytest.approx(4, rel=0.05)


def test_requests_for_one_page_share_its_questions() -> None:
    """As many questions as round trips fit one after the other, whatever the number of requests."""
    one = simulate(replace(FAR, grants=0), Demand(projects=1, rate=1000, workers=1), seconds=50)
    assert one.questions * 1000 == pytest.approx(1 / FAR.trip, rel=0.1)
    many = simulate(replace(FAR, grants=0), Demand(projects=10_000, rate=10, workers=1, zipf=0.0), seconds=50)
    assert many.questions == pytest.approx(1, rel=0.05)


def test_a_processor_does_one_thing_after_the_other() -> None:
    """Half of its time for the work that comes: the mean wait is that of a queue (M/D/1), half a service time."""
    place = Place("near", replace(NOTHING, near=0.001))
    outcome = simulate(place, Demand(projects=1, rate=500, workers=1), seconds=60)
    assert outcome.busy == pytest.approx(0.5, rel=0.05)
    assert 1.0 <= outcome.p50 < 2.0 < outcome.p99 < 10.0


def test_uploads_make_pages_that_no_worker_has() -> None:
    """With an upload for each two requests of the one project, most pages have to be made again."""
    demand = Demand(projects=1, rate=1, workers=1)
    assert simulate(FAR, demand, seconds=300).known == pytest.approx(1)
    assert simulate(FAR, replace(demand, uploads=2), seconds=300).known < 0.4


def test_the_same_is_simulated_each_time() -> None:
    demand = Demand(projects=100, rate=200, workers=3, uploads=1)
    assert simulate(BUCKET, demand, seconds=3) == simulate(BUCKET, demand, seconds=3)
    assert simulate(LOCAL, demand, seconds=3).questions == 0


@pytest.mark.parametrize("place", [VOLUME, BUCKET], ids=["volume", "bucket"])
def test_the_page_has_the_figures_of_this_code(place: Place) -> None:
    """If not: python -m benchmarks.sizing write."""
    text = PAGE.read_text()
    assert index_row(place, INDEXES[0]) in text[text.index(f"<!-- {MARK} -->\n") : text.index("<!-- end -->")]
