"""The tables of docs/sizing.md."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from tests.documents import with_part

from benchmarks.sizing.model import Demand, Outcome, Place, simulate
from benchmarks.sizing.places import BUCKET, PLACES, VOLUME

PAGE = Path(__file__).parent.parent.parent / "docs" / "sizing.md"
MARK = "simulated"
MOST_BUSY = 0.7
"""The share of its time for which a worker's processor may have work."""
SLOWEST = 100.0
"""Milliseconds for 99 of 100 answers."""
_EXACTNESS = 1.05
WORKERS = (1, 10, 100)
DOLLARS_PER_QUESTION = {VOLUME.name: 4096 / 1e9 * 0.03, BUCKET.name: 0.0004 / 1000}
"""Of EFS with elastic throughput, which meters 4 KiB for each, and of S3; in us-east-1 (scripts/bucket_cost.py)."""


def lasts(rate: float, requests: int = 20_000, least: float = 2.0) -> float:
    """Seconds to simulate for so many requests."""
    return min(max(requests / rate, least), 200.0)


# -- what a worker gives ----------------------------------------------------------------------------------------------


@cache
def most(place: Place, projects: int) -> tuple[float, Outcome]:
    """The requests in a second that one worker answers within the bounds, to 5%, and how. Workers share nothing but
    the store, so ten of them give ten times as much."""
    low, high = 50.0, MOST_BUSY / min(place.times.near, place.times.request)
    found = _at(place, projects, low)
    while high / low > _EXACTNESS:
        middle = (low * high) ** 0.5
        outcome = _at(place, projects, middle)
        if outcome.busy <= MOST_BUSY and outcome.p99 <= SLOWEST:
            low, found = middle, outcome
        else:
            high = middle
    return low, found


def _at(place: Place, projects: int, rate: float) -> Outcome:
    return simulate(place, Demand(projects, rate, workers=1), seconds=lasts(rate, 3000, 0.2), warm=0.1)


def _capacity() -> Iterator[str]:
    columns = " | ".join(f"{workers:,} worker{'s' * (workers > 1)}" for workers in WORKERS)
    yield f"| Projects | Store | {columns} | questions for each | p50 |"
    yield f"|---|---|{'---:|' * (len(WORKERS) + 2)}"
    for projects in (1, 1000, 100_000):
        for place in PLACES:
            rate, outcome = most(place, projects)
            rates = " | ".join(f"{_round(rate * workers):,}/s" for workers in WORKERS)
            asked = f"{outcome.questions:.2f}" if place.trip else "none"
            yield f"| {projects:,} | {place.name} | {rates} | {asked} | {_ms(outcome.p50)} |"


# -- whole indexes ----------------------------------------------------------------------------------------------------

INDEXES = (
    Demand(1_000, 10, workers=4),
    Demand(10_000, 100, workers=4),
    Demand(100_000, 1_000, workers=20),
    Demand(1_000_000, 10_000, workers=200),
)
"""Each with two workers for a container."""
UPLOADS = 1 / 1000
"""For each request."""


@cache
def whole(place: Place, demand: Demand) -> Outcome:
    return simulate(place, replace(demand, uploads=demand.rate * UPLOADS), seconds=lasts(demand.rate))


def index_row(place: Place, demand: Demand) -> str:
    outcome = whole(place, demand)
    dollars = outcome.questions * 1e6 * DOLLARS_PER_QUESTION[place.name]
    cells = (
        f"{demand.projects:,}",
        f"{demand.rate:,.0f}/s",
        f"{demand.workers // 2} of 2",
        place.name,
        _ms(outcome.p50),
        _ms(outcome.p99),
        f"{outcome.busy:.1%}",
        f"{outcome.known:.0%}",
        f"{outcome.questions:.2f}",
        f"{_round(outcome.questions * demand.rate):,}/s",
        f"{dollars:.2f}",
    )
    return f"| {' | '.join(cells)} |"


def _indexes() -> Iterator[str]:
    yield (
        "| Projects | Requests | Containers | Store | p50 | p99 | processor | page known | questions for each | "
        "questions | US dollars for a million requests |"
    )
    yield f"|---:|---:|---:|---|{'---:|' * 7}"
    for number, demand in enumerate(INDEXES, start=1):
        for place in (VOLUME, BUCKET):
            print(f"index {number} of {len(INDEXES)}: {demand.projects:,} projects, {place.name}", file=sys.stderr)
            yield index_row(place, demand)


# -- the page ---------------------------------------------------------------------------------------------------------


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.2f} ms" if milliseconds < 1 else f"{milliseconds:.3g} ms"


def _round(number: float) -> int:
    """To two digits: the constants are not known better."""
    return int(float(f"{number:.2g}"))


def _constants() -> Iterator[str]:
    yield "| Processor time of a worker | volume | bucket |"
    yield "|---|---:|---:|"
    volume, bucket = VOLUME.times, BUCKET.times
    for what, name in (
        ("a page that did not change, local disk", "near"),
        ("a page over a network, beside its question", "request"),
        ("a question to the store", "question"),
        ("the first page of a project, or after a change", "render"),
        ("an upload", "upload"),
    ):
        yield f"| {what} | {getattr(volume, name) * 1e6:,.0f} us | {getattr(bucket, name) * 1e6:,.0f} us |"


def tables() -> str:
    """The text of the page below MARK; it takes some minutes."""
    parts = (_constants(), _capacity(), _indexes())
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def rewritten(page: str) -> str:
    """The page with the tables of today."""
    return with_part(page, MARK, tables())


def write() -> None:
    PAGE.write_text(rewritten(PAGE.read_text()))
