"""Workers, their processors, the way to the store and the clients, as far as the size of an index depends on them."""

from __future__ import annotations

import asyncio
import random
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate

from benchmarks.load import percentile
from benchmarks.sizing.virtual import AtOnce, in_virtual_time
from quire.catalog.freshness import Barrier
from quire.process.budget import Budget
from quire.store.contracts import Pacing

GRANTS = "grants"


@dataclass(frozen=True)
class Times:
    """The times that a worker's processor takes, in seconds; measured by `benchmarks.sizing.measured`."""

    near: float
    """A page that did not change, from a local disk: all of it."""
    request: float
    """A page from a store behind a network, beside the question to the store that it may share."""
    question: float
    """To ask the store whether one thing is still true, in a thread."""
    render: float
    """To read a project and make its page: the first time, and after a change."""
    upload: float
    """All of a small upload."""


@dataclass(frozen=True)
class Place:
    """Where the store is."""

    name: str
    times: Times
    trip: float = 0.0
    """Seconds of a round trip, in the mean; 0: a local disk, which is asked on the event loop."""
    steady: float = 0.5
    """The share of a round trip that is always the same; the rest is random (exponential)."""
    page: int = 1
    """Questions, one after the other, for a page that did not change."""
    grants: int = 1
    """Questions for the grants, at the same time; 0 with `--rights settings`."""
    changed: int = 1
    """Further questions, one after the other, for a page that a worker does not have."""
    upload_trips: int = 4
    """Round trips of an upload, one after the other."""
    pacing: Pacing | None = None


@dataclass(frozen=True)
class Demand:
    """The requests of clients, and how many workers there are for them."""

    projects: int
    rate: float
    """Requests for pages in a second, in the mean."""
    workers: int
    """Of all containers."""
    uploads: float = 0.0
    """In a second, in the mean."""
    zipf: float = 1.0
    """Projects are in demand by 1 / rank ** zipf; 0: all alike."""
    page_bytes: int = 6_000
    """Of a page in the memory of a worker."""
    cache_bytes: int = 64 * 1024**2
    """Of a worker (`--cache-size`)."""


@dataclass(frozen=True)
class Outcome:
    """Of a simulation. Latencies are in milliseconds."""

    requests: int
    p50: float
    p99: float
    busy: float
    """The share of its time for which the processor of a worker has work, in the mean of all workers."""
    questions: float
    """To the store, for each request; those of uploads not counted."""
    known: float
    """The share of the requests whose page the worker had already."""


def simulate(place: Place, demand: Demand, *, seconds: float, warm: float = 0.5, seed: int = 1) -> Outcome:
    """The answers of so many workers in so many seconds, after a while that does not count; the same each time."""
    return in_virtual_time(_Simulation(place, demand, seed).run(warm, seconds))


@cache
def _popularity(projects: int, zipf: float) -> tuple[Sequence[float], Sequence[str]]:
    """Sums of the demand of each project and those before it, and their names."""
    return list(accumulate(rank**-zipf for rank in range(1, projects + 1))), [f"p{rank}" for rank in range(projects)]


class _Page:
    __slots__ = ("bytes_in_memory", "version")

    def __init__(self, version: int, size: int) -> None:
        self.version = version
        self.bytes_in_memory = size


@dataclass(frozen=True)
class _Grants:
    bytes_in_memory: int = 1000


class _Worker:
    """One worker: a processor, and the barriers of the server."""

    def __init__(self, simulation: _Simulation) -> None:
        self._free_at = 0.0
        self._loop = asyncio.get_running_loop()
        self.busy = 0.0
        """Seconds for which the processor had work."""
        self._world = simulation
        place, executor = simulation.place, AtOnce()
        budget = Budget(simulation.demand.cache_bytes)
        self.pages: Barrier[_Page] = Barrier(
            self, inline=False, budget=budget, executor=lambda: executor, pacing=place.pacing
        )
        self.grants: Barrier[_Grants] = Barrier(
            _GrantsSource(self), inline=False, budget=budget, executor=lambda: executor, pacing=place.pacing
        )

    async def work(self, seconds: float) -> None:
        """One thing after the other, in the order in which they came."""
        now = self._loop.time()
        self._free_at = max(now, self._free_at) + seconds
        self.busy += seconds
        await asyncio.sleep(self._free_at - now)

    async def answer(self, project: str) -> None:
        place = self._world.place
        if not place.trip:
            await self.work(place.times.near)
            if not self._knows(project):
                self.pages.memory.put(project, await self._rendered(self._world.page(project)))
            return
        await self.work(place.times.request)
        asked: list[asyncio.Future[object]] = [asyncio.shield(self.pages.begin(project))]
        if place.grants:
            asked.append(asyncio.shield(self.grants.begin(GRANTS)))
        await asyncio.gather(*asked)

    async def upload(self, project: str) -> None:
        place = self._world.place
        await self.work(place.times.upload)
        for _ in range(place.upload_trips):
            await self._world.trip()
        self._world.versions[project] = self._world.versions.get(project, 0) + 1

    def _knows(self, project: str) -> bool:
        page = self.pages.memory.get(project)
        return page is not None and page.version == self._world.versions.get(project, 0)

    async def _rendered(self, page: _Page) -> _Page:
        await self.work(self._world.place.times.render)
        self._world.rendered += 1
        return page

    async def question(self, number: int) -> None:
        """So many of them, one after the other: to the store and back."""
        await self.work(self._world.place.times.question)
        for _ in range(number):
            self._world.questions += 1
            await self._world.trip()

    # -- as the source of pages that the barrier asks -----------------------------------------------------------------

    def begin_tick(self) -> None:
        """There is nothing to share on the event loop."""

    def load_inline(self, key: str, known: _Page | None) -> _Page | None:
        """Never without waiting."""
        return None

    async def load(self, key: str, known: _Page | None) -> _Page:
        """The page as the store has it when its first question arrives there."""
        place = self._world.place
        await self.question(place.page)
        fresh = self._world.page(key)
        if known is not None and known.version == fresh.version:
            return known
        await self.question(place.changed)
        return await self._rendered(fresh)


class _GrantsSource:
    """The rights, which do not change here."""

    def __init__(self, worker: _Worker) -> None:
        self._worker = worker
        self._value = _Grants()

    def begin_tick(self) -> None:
        """There is nothing to share on the event loop."""

    def load_inline(self, key: str, known: _Grants | None) -> _Grants | None:
        """Never without waiting."""
        return None

    async def load(self, key: str, known: _Grants | None) -> _Grants:
        await self._worker.question(self._worker._world.place.grants)
        return self._value


@dataclass
class _Simulation:
    """The world of all workers."""

    place: Place
    demand: Demand
    seed: int
    versions: dict[str, int] = field(default_factory=dict)
    """Of the projects that were changed."""
    questions: int = 0
    rendered: int = 0
    took: list[float] = field(default_factory=list)

    async def run(self, warm: float, seconds: float) -> Outcome:
        self._chance = random.Random(self.seed)
        self._trips = random.Random(self.seed + 1)
        workers = [_Worker(self) for _ in range(self.demand.workers)]
        self._remember(workers)
        loop = asyncio.get_running_loop()
        uploading = asyncio.create_task(self._uploads(workers)) if self.demand.uploads else None
        await self._requests(workers, loop.time() + warm)
        self.took.clear()
        self.questions = self.rendered = 0
        busy = sum(worker.busy for worker in workers)
        await self._requests(workers, loop.time() + seconds)
        busy = (sum(worker.busy for worker in workers) - busy) / seconds / len(workers)
        if uploading is not None:
            uploading.cancel()
        requests = max(1, len(self.took))
        p50, p99 = (percentile(self.took, share) * 1000 for share in (0.5, 0.99))
        return Outcome(
            len(self.took), p50, p99, min(busy, 1.0), self.questions / requests, 1 - self.rendered / requests
        )

    async def trip(self) -> None:
        """To the store and back."""
        place = self.place
        varying = (1 - place.steady) * place.trip
        await asyncio.sleep(place.steady * place.trip + (self._trips.expovariate(1 / varying) if varying else 0.0))

    def page(self, project: str) -> _Page:
        return _Page(self.versions.get(project, 0), self.demand.page_bytes)

    def _remember(self, workers: Sequence[_Worker]) -> None:
        """Begin as a worker is after a long time: the projects in demand, as many as its memory holds."""
        _, names = _popularity(self.demand.projects, self.demand.zipf)
        for project in reversed(names[: self.demand.cache_bytes // self.demand.page_bytes]):
            page = self.page(project)
            for worker in workers:
                worker.pages.memory.put(project, page)

    def _project(self) -> str:
        sums, names = _popularity(self.demand.projects, self.demand.zipf)
        return names[bisect(sums, self._chance.random() * sums[-1])]

    async def _requests(self, workers: Sequence[_Worker], until: float) -> None:
        """Ask at random moments, and wait for the answers."""
        loop = asyncio.get_running_loop()
        asked: set[asyncio.Task[None]] = set()
        while (now := loop.time()) < until:
            task = asyncio.create_task(self._ask(self._chance.choice(workers), self._project(), now))
            asked.add(task)
            task.add_done_callback(asked.discard)
            await asyncio.sleep(self._chance.expovariate(self.demand.rate))
        while asked:
            await asyncio.wait(asked)

    async def _ask(self, worker: _Worker, project: str, now: float) -> None:
        await worker.answer(project)
        self.took.append(asyncio.get_running_loop().time() - now)

    async def _uploads(self, workers: Sequence[_Worker]) -> None:
        running: set[asyncio.Task[None]] = set()
        while True:
            await asyncio.sleep(self._chance.expovariate(self.demand.uploads))
            task = asyncio.create_task(self._chance.choice(workers).upload(self._project()))
            running.add(task)
            task.add_done_callback(running.discard)
