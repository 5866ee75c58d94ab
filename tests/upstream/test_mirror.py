"""The mirrored pages: what is asked, when, and by which worker; and that no answer goes back behind another.

Replaced here: the time after which a request that waits for others is given up, which no setting changes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from quire.domain.errors import BlobMissing, StoreError, UpstreamBusy, UpstreamError
from quire.domain.project import Status
from quire.store.contracts import Store
from quire.store.faults import Fault, Faults
from quire.store.memory import MemoryStore
from quire.store.posix.store import PosixStore
from quire.upstream import places
from quire.upstream.answers import Answered
from quire.upstream.mirror import Mirror
from quire.upstream.mirrored import LEASE, MOST_MADE, Ages, Content, Validators, found, with_made
from quire.upstream.page_store import Mirrored, PageStore
from quire.upstream.pages import UpstreamFile, UpstreamPage
from quire.upstream.server import CONNECTIONS

AGES = Ages(timedelta(minutes=10), timedelta(minutes=30), timedelta(days=1), patience=30.0)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Inline(Executor):
    """Runs work at once, in the calling thread: the order of steps is that of the event loop alone."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - as an executor does
            future.set_exception(error)
        return future


class Clock:
    """The time of one worker, as the test sets it."""

    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **time: float) -> None:
        self.now += timedelta(**time)


class Other:
    """The other index: answers as the test says, and counts."""

    def __init__(self) -> None:
        self.answers: list[Answered | Exception | Callable[[], Awaitable[Answered]]] = []
        self.asked: list[tuple[str, Validators]] = []

    async def __call__(self, name: str, known: Validators) -> Answered:
        self.asked.append((name, known))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Answered) else await answer()


def page(number: int, files: int = 1, serial: int | None = None) -> UpstreamPage:
    """A page that is told from others by a number."""
    return UpstreamPage(
        files=tuple(
            UpstreamFile(
                filename=f"foo-{number}.{each}.tar.gz",
                url=f"https://files.test/{number}/{each}",
                version=f"{number}.{each}",
            )
            for each in range(files)
        ),
        serial=serial,
    )


def answer(number: int, files: int = 1, serial: int | None = None, etag: str | None = None) -> Answered:
    return Answered(page(number, files, serial), validators=Validators(etag))


UNCHANGED = Answered(None, unchanged=True)
MISSING = Answered(None)


class World:
    """Workers that share one store, one clock, and one other index."""

    def __init__(self, ages: Ages = AGES) -> None:
        self.store = MemoryStore()
        self.clock = Clock()
        self.other = Other()
        self.ages = ages
        self.faults = Faults()

    def worker(self, store: Store | None = None, clock: Clock | None = None) -> Mirror:
        return Mirror(
            self.store.shared(self.faults) if store is None else store,
            "public",
            self.other,
            self.ages,
            executor=Inline,
            now=clock or self.clock,
        )

    @property
    def record(self) -> bytes | None:
        return self.store.records.read("mirror/public/foo").data


def number_of(found: Mirrored) -> str | None:
    return None if found.content is None else found.content.files[0].filename


async def settle() -> None:
    """Let all tasks go on until they wait for the test."""
    for _ in range(50):
        await asyncio.sleep(0)


def held(gate: asyncio.Event, given: Answered | Exception) -> Callable[[], Awaitable[Answered]]:
    """The other index gives this, or fails so, once the gate is open."""

    async def give() -> Answered:
        await gate.wait()
        if isinstance(given, Exception):
            raise given
        return given

    return give


def test_a_fresh_page_is_served_by_all_workers_without_asking() -> None:
    """One asks; the others, and a restarted one, find the page in the store."""

    async def main() -> None:
        world = World()
        world.other.answers = [answer(1, etag='"a"')]
        for _ in range(3):
            assert number_of(await world.worker().get("foo", None)) == "foo-1.0.tar.gz"
        assert world.other.asked == [("foo", Validators())]

    asyncio.run(main())


def test_the_same_object_is_given_as_long_as_the_content_is_the_same() -> None:
    """Also when it was confirmed meanwhile; it is known without waiting until the page is no longer fresh."""

    async def main() -> None:
        world, worker = World(), None
        world.other.answers = [answer(1, etag='"a"'), UNCHANGED, answer(2)]
        worker = world.worker()
        first = await worker.get("foo", None)
        assert worker.inline(first) is first
        world.clock.pass_(minutes=11)
        assert worker.inline(first) is None
        assert await worker.get("foo", first) is first
        await settle()
        assert await worker.get("foo", first) is first
        assert worker.inline(first) is first
        assert world.other.asked[1] == ("foo", Validators('"a"'))
        world.clock.pass_(minutes=11)
        assert await worker.get("foo", first) is first
        await settle()
        assert worker.inline(first) is None
        assert number_of(await worker.get("foo", first)) == "foo-2.0.tar.gz"

    asyncio.run(main())


def test_one_worker_asks_for_all_while_the_others_serve_the_page_that_is_there() -> None:
    """However old it is, as long as it may be served."""

    async def main() -> None:
        world = World()
        gate = asyncio.Event()
        world.other.answers = [answer(1), held(gate, answer(2))]
        workers = [world.worker() for _ in range(3)]
        known = [await worker.get("foo", None) for worker in workers]
        world.clock.pass_(hours=2)
        first = asyncio.create_task(workers[0].get("foo", known[0]))
        await settle()
        for worker, each in zip(workers[1:], known[1:], strict=True):
            assert number_of(await worker.get("foo", each)) == "foo-1.0.tar.gz"
        assert not first.done()
        gate.set()
        assert number_of(await first) == "foo-2.0.tar.gz"
        for worker, each in zip(workers[1:], known[1:], strict=True):
            assert number_of(await worker.get("foo", each)) == "foo-2.0.tar.gz"
        assert len(world.other.asked) == 2

    asyncio.run(main())


def test_workers_that_ask_at_one_time_serve_no_page_that_is_too_old() -> None:
    """One of them gets the lease; the other one waits for its page."""

    async def main() -> None:
        world = World()
        gate = asyncio.Event()
        world.other.answers = [answer(1), held(gate, answer(2))]
        workers = [world.worker() for _ in range(2)]
        known = [await worker.get("foo", None) for worker in workers]
        world.clock.pass_(days=400)
        tasks = [asyncio.create_task(worker.get("foo", each)) for worker, each in zip(workers, known, strict=True)]
        await settle()
        assert [task.done() for task in tasks] == [False, False]
        gate.set()
        assert {number_of(each) for each in await asyncio.gather(*tasks)} == {"foo-2.0.tar.gz"}
        assert len(world.other.asked) == 2

    asyncio.run(main())


def test_requests_of_one_worker_share_the_first_asking() -> None:
    """Also when the one that began it goes away."""

    async def main() -> None:
        world = World()
        gate = asyncio.Event()
        world.other.answers = [held(gate, answer(1))]
        worker = world.worker()
        asking = [asyncio.create_task(worker.get("foo", None)) for _ in range(5)]
        await settle()
        asking[0].cancel()
        gate.set()
        found = await asyncio.gather(*asking[1:])
        assert {number_of(each) for each in found} == {"foo-1.0.tar.gz"}
        assert len(world.other.asked) == 1

    asyncio.run(main())


def test_while_the_other_index_is_down_the_page_is_served_and_seldom_asked_for() -> None:
    """The time of the next attempt is in the record, so all workers keep to it; in the end the page is too old."""

    async def main() -> None:
        world = World()
        world.other.answers = [answer(1), UpstreamBusy("It is down.", 60.0)]
        await world.worker().get("foo", None)
        for minutes in range(60):
            world.clock.pass_(minutes=1)
            assert number_of(await world.worker().get("foo", None)) == "foo-1.0.tar.gz", minutes
        assert 3 < len(world.other.asked) < 15
        world.clock.pass_(days=2)
        with pytest.raises(UpstreamError, match="down"):
            await world.worker().get("foo", None)
        world.other.answers = [answer(2)]
        world.clock.pass_(minutes=10)
        assert number_of(await world.worker().get("foo", None)) == "foo-2.0.tar.gz"

    asyncio.run(main())


def test_a_worker_asks_nothing_for_a_while_after_the_other_index_failed() -> None:
    """Names that no record has either: a thousand clients must not ask a server that said 429."""

    async def main() -> None:
        world = World()
        world.other.answers = [UpstreamBusy("Too many requests.", 30.0), answer(1)]
        worker = world.worker()
        for name in ("foo", "bar", "baz"):
            with pytest.raises(UpstreamBusy):
                await worker.get(name, None)
        assert len(world.other.asked) == 1
        world.clock.pass_(seconds=31)
        assert number_of(await worker.get("foo", None)) == "foo-1.0.tar.gz"

    asyncio.run(main())


@pytest.mark.parametrize(("waits", "seconds"), [([0.0], 1.5), ([0.0, 30.0, 5.0], 30.5)])
def test_requests_that_fail_together_are_one_failure(waits: list[float], seconds: float) -> None:
    """One short failure meets all that are asked at that moment. Of the times that they ask for the longest counts."""

    async def main() -> None:
        world, left = World(), [*waits * 6]
        gate = asyncio.Event()

        async def failing() -> Answered:
            await gate.wait()
            raise UpstreamBusy("Not now.", left.pop())

        world.other.answers = [*[failing] * len(left), answer(1)]
        worker = world.worker()
        asking = [asyncio.create_task(worker.get(f"foo-{each}", None)) for each in range(len(left))]
        await settle()
        assert len(world.other.asked) == len(asking)
        gate.set()
        failed = await asyncio.gather(*asking, return_exceptions=True)
        assert {type(each) for each in failed} == {UpstreamBusy}
        world.clock.pass_(seconds=seconds - 1)
        with pytest.raises(UpstreamBusy):
            await worker.get("foo", None)
        world.clock.pass_(seconds=1)
        assert number_of(await worker.get("foo", None)) == "foo-1.0.tar.gz"

    asyncio.run(main())


@pytest.mark.parametrize("is_kept", [False, True])
def test_a_request_that_waits_for_others_is_no_failure(monkeypatch: pytest.MonkeyPatch, *, is_kept: bool) -> None:
    """A worker asks for so many pages at once. One more waits, for a time; then the index is asked as before."""

    async def main() -> None:
        world = World()
        gate = asyncio.Event()
        world.other.answers = [answer(1)]
        worker = world.worker()
        if is_kept:
            await worker.get("foo", None)
            world.clock.pass_(hours=2)
        before = world.record
        world.other.answers = [*[held(gate, MISSING)] * CONNECTIONS, answer(2)]
        asking = [asyncio.create_task(worker.get(f"foo-{each}", None)) for each in range(CONNECTIONS)]
        await settle()
        asked = len(world.other.asked)
        with monkeypatch.context() as patched:
            patched.setattr(places, "WAIT_SECONDS", 0.01)
            if is_kept:
                assert number_of(await worker.get("foo", None)) == "foo-1.0.tar.gz"
            else:
                with pytest.raises(UpstreamBusy, match="at once"):
                    await worker.get("foo", None)
        assert (len(world.other.asked), world.record) == (asked, before)
        waiting = asyncio.create_task(worker.get("foo", None))
        await settle()
        assert len(world.other.asked) == asked
        gate.set()
        assert number_of(await waiting) == "foo-2.0.tar.gz"
        await asyncio.gather(*asking)

    asyncio.run(main())


def test_what_waits_is_not_asked_in_a_pause() -> None:
    """A failure ends the wait of all that is to be asked."""

    async def main() -> None:
        world = World()
        gate = asyncio.Event()
        world.other.answers = [held(gate, UpstreamBusy("Not now."))]
        worker = world.worker()
        asking = [asyncio.create_task(worker.get(f"foo-{each}", None)) for each in range(CONNECTIONS + 5)]
        await settle()
        gate.set()
        failed = await asyncio.gather(*asking, return_exceptions=True)
        assert {type(each) for each in failed} == {UpstreamBusy}
        assert len(world.other.asked) == CONNECTIONS

    asyncio.run(main())


def test_failures_one_after_another_make_the_pause_longer() -> None:
    """Each of a request that began after the pause before it."""

    async def main() -> None:
        world = World()
        world.other.answers = [UpstreamBusy("Not now.")]
        worker, asked = world.worker(), list[int]()
        for _ in range(10):
            with pytest.raises(UpstreamBusy):
                await worker.get("foo", None)
            asked.append(len(world.other.asked))
            world.clock.pass_(seconds=1.5)
        assert asked == [1, 2, 2, 3, 3, 3, 4, 4, 4, 4]

    asyncio.run(main())


def test_the_result_of_a_worker_that_was_slower_than_its_lease_is_discarded() -> None:
    """Another one has asked since, perhaps for a newer page."""

    async def main() -> None:
        world = World()
        gate = asyncio.Event()
        world.other.answers = [answer(1), held(gate, answer(2)), answer(3)]
        slow, quick = world.worker(), world.worker()
        known = await slow.get("foo", None)
        world.clock.pass_(hours=2)
        waiting = asyncio.create_task(slow.get("foo", known))
        await settle()
        world.clock.pass_(seconds=LEASE.total_seconds() + 1)
        assert number_of(await quick.get("foo", None)) == "foo-3.0.tar.gz"
        gate.set()
        assert number_of(await waiting) == "foo-3.0.tar.gz"
        assert number_of(await quick.get("foo", None)) == "foo-3.0.tar.gz"

    asyncio.run(main())


NEVER_FRESH = Ages(timedelta(), timedelta(), timedelta(days=30), patience=30.0)
"""As `quire mirror fetch` has them."""


@pytest.mark.parametrize("ages", [AGES, NEVER_FRESH])
def test_a_page_that_a_wrong_clock_confirmed_is_asked_for_again(ages: Ages) -> None:
    """Else no worker would ask before that time. Then its time is right; while another worker asks, or the other index
    fails, it is served as it is."""

    async def main() -> None:
        world, wrong = World(ages), Clock()
        wrong.pass_(days=365)
        gate = asyncio.Event()
        world.other.answers = [answer(1), UpstreamBusy("Not now."), held(gate, answer(2)), answer(3)]
        await world.worker(clock=wrong).get("foo", None)
        worker = world.worker()
        known = await worker.get("foo", None)
        assert len(world.other.asked) == 2
        assert number_of(await worker.get("foo", known)) == "foo-1.0.tar.gz"
        assert worker.inline(known) is known
        world.clock.pass_(seconds=6)
        assert worker.inline(known) is None
        asking = asyncio.create_task(worker.get("foo", known))
        await settle()
        assert number_of(await world.worker().get("foo", None)) == "foo-1.0.tar.gz"
        assert len(world.other.asked) == 3
        gate.set()
        known = await asking
        assert number_of(known) == "foo-2.0.tar.gz"
        assert number_of(await worker.get("foo", known)) == ("foo-2.0.tar.gz" if ages is AGES else "foo-3.0.tar.gz")

    asyncio.run(main())


def test_a_page_of_another_mirror_is_taken_in_place_of_one_that_a_wrong_clock_confirmed() -> None:
    """Else none could be imported before that time."""

    async def main() -> None:
        world, wrong = World(), Clock()
        wrong.pass_(days=365)
        world.other.answers = [answer(1)]
        await world.worker(clock=wrong).get("foo", None)
        pages = PageStore(world.store, "public", now=world.clock)
        assert pages.take("foo", page(2), BEGIN - timedelta(hours=1))
        assert not pages.take("foo", page(3), BEGIN - timedelta(hours=2))

    asyncio.run(main())


def test_a_page_of_an_older_state_is_not_taken() -> None:
    """A serial number tells; the page that is there is served on, and asked for again soon."""

    async def main() -> None:
        world = World()
        world.other.answers = [answer(5, serial=5), answer(4, serial=4), answer(6, serial=6)]
        worker = world.worker()
        await worker.get("foo", None)
        world.clock.pass_(hours=1)
        assert number_of(await worker.get("foo", None)) == "foo-5.0.tar.gz"
        world.clock.pass_(seconds=30)
        assert number_of(await worker.get("foo", None)) == "foo-6.0.tar.gz"

    asyncio.run(main())


def test_a_number_that_was_wrong_is_distrusted_after_a_day_of_older_pages() -> None:
    """A day of failures is none, nor is one failure in it; then pages with lower numbers count again."""

    async def main() -> None:
        world = World()
        world.other.answers = [answer(1, serial=10**17), UpstreamBusy("Down."), answer(2, serial=7)]
        worker = world.worker()

        async def found_after(hours: float) -> str | None:
            world.clock.pass_(hours=hours)
            return number_of(await worker.get("foo", None))

        await worker.get("foo", None)
        assert await found_after(1) == "foo-1.0.tar.gz"
        assert await found_after(20) == "foo-1.0.tar.gz"  # the first older page
        world.other.answers = [UpstreamBusy("Down."), answer(2, serial=7)]
        assert await found_after(1) == "foo-1.0.tar.gz"
        for hours in (1, 12, 11.5):
            with suppress(UpstreamBusy):
                assert await found_after(hours) == "foo-1.0.tar.gz"
        assert await found_after(1) == "foo-2.0.tar.gz"
        world.other.answers = [answer(3, serial=8)]
        assert await found_after(1) == "foo-3.0.tar.gz"

    asyncio.run(main())


def test_an_unknown_name_leaves_nothing_in_the_store_and_is_asked_once_in_a_while() -> None:
    """Clients choose names. When another worker has found the project, all serve it at once."""

    async def main() -> None:
        world = World()
        world.other.answers = [MISSING, answer(1)]
        one, two = world.worker(), world.worker()
        absent = await one.get("foo", None)
        assert (absent.content, absent.page, world.record) == (None, None, None)
        assert one.inline(absent) is absent
        assert await one.get("foo", absent) is absent
        assert len(world.other.asked) == 1
        assert number_of(await two.get("foo", None)) == "foo-1.0.tar.gz"
        assert one.inline(absent) is None
        assert number_of(await one.get("foo", absent)) == "foo-1.0.tar.gz"
        assert len(world.other.asked) == 2

    asyncio.run(main())


def test_a_project_that_is_gone_is_gone_for_all_workers_and_may_come_back() -> None:
    """The record says so, with the highest serial number that there was."""

    async def main() -> None:
        world = World()
        world.other.answers = [answer(1, serial=7), MISSING, answer(1, serial=6), answer(2, serial=8)]
        worker = world.worker()
        await worker.get("foo", None)
        world.clock.pass_(hours=1)
        gone = await worker.get("foo", None)
        assert gone.content is None
        assert gone.page is not None
        world.clock.pass_(hours=1)
        assert (await worker.get("foo", None)).content is None
        world.clock.pass_(hours=1)
        assert number_of(await world.worker().get("foo", None)) == "foo-2.0.tar.gz"

    asyncio.run(main())


def test_a_large_page_is_a_blob_of_which_there_is_never_more_than_one() -> None:
    """The one before is removed once the record names the next; a page that comes back gets a blob of its own."""

    async def main() -> None:
        world = World()
        world.other.answers = [answer(1, 500), answer(2, 500), answer(1, 500), answer(3)]
        worker = world.worker()
        for number, blobs in ((1, 1), (2, 1), (1, 1), (3, 0)):
            found = await worker.get("foo", None)
            assert number_of(found) == f"foo-{number}.0.tar.gz"
            assert len(list(world.store.blobs.list("mirror/public/foo"))) == blobs
            world.clock.pass_(hours=1)

    asyncio.run(main())


def test_metadata_that_is_made_is_known_to_all_workers_as_long_as_its_file_is_offered() -> None:
    """The entry makes another object of the project, waits for a lease, and goes with its file."""

    async def main() -> None:
        world = World()
        offered = page(1).files[0]
        both = [replace(offered, filename=f"foo-{name}.tar.gz", hashes={"sha256": name * 64}) for name in "ab"]
        world.other.answers = [Answered(UpstreamPage(files=tuple(both)))]
        one, two = world.worker(), world.worker()
        before = await one.get("foo", None)
        await two.record_made("foo", "a" * 64, "1" * 64)
        await two.record_made("foo", "b" * 64, "2" * 64)
        await two.record_made("unknown", "b" * 64, "2" * 64)
        after = await one.get("foo", before)
        assert after is not before
        assert made(after) == {"a" * 64: "1" * 64, "b" * 64: "2" * 64}
        world.other.answers = [UNCHANGED, Answered(UpstreamPage(files=(both[1],))), MISSING]
        for expected in ({"a" * 64: "1" * 64, "b" * 64: "2" * 64}, {"b" * 64: "2" * 64}, {}):
            world.clock.pass_(hours=1)
            assert made(await one.get("foo", None)) == expected
        assert world.store.records.read("mirror/public/unknown").data is None

    asyncio.run(main())


def test_the_entries_of_made_metadata_are_bounded() -> None:
    """A project with very many files offers what was made first."""
    page = found(None, Content.of(UpstreamPage(files=())), None, Validators(), BEGIN)
    for number in range(MOST_MADE + 5):
        page = with_made(page, str(number), "1" * 64)
    assert len(page.made) == MOST_MADE
    assert with_made(page, "0", "1" * 64) is page
    assert "0" not in with_made(page, "0", None).made


def made(of: Mirrored) -> dict[str, str]:
    assert of.page is not None
    return of.page.made


def test_what_is_lost_or_damaged_is_asked_for_again() -> None:
    """All of it is derived: a blob that is gone, a record that is no document, one of a newer version."""

    async def main() -> None:
        world = World()
        world.other.answers = [answer(1, 500)]
        worker = world.worker()
        known = await worker.get("foo", None)
        blob = next(iter(world.store.blobs.list("mirror/public/foo")))
        world.store.blobs.remove(blob.key)
        with pytest.raises(BlobMissing):
            number_of(await worker.get("foo", known))  # the page was not read yet; its project is asked for again
        assert number_of(await worker.get("foo", None)) == "foo-1.0.tar.gz"
        assert number_of(await world.worker().get("foo", None)) == "foo-1.0.tar.gz"
        for data in (b"", b"{}", b'{"format": 99, "confirmed": "2026-01-01T00:00:00Z"}'):
            record = world.store.records.read("mirror/public/foo")
            world.store.records.write(record.key, data, record)
            assert number_of(await world.worker().get("foo", None)) == "foo-1.0.tar.gz"
        assert len(world.other.asked) == 5

    asyncio.run(main())


def test_no_older_page_takes_the_place_of_one_that_is_lost() -> None:
    """Its record still has its serial number."""

    async def main() -> None:
        world = World()
        world.other.answers = [answer(2, 500, serial=5), answer(1, 500, serial=4), answer(3, 500, serial=6)]
        await world.worker().get("foo", None)
        (blob,) = world.store.blobs.list("mirror/public/foo")
        world.store.blobs.remove(blob.key)
        worker = world.worker()
        with pytest.raises(BlobMissing):
            number_of(await worker.get("foo", None))
        with pytest.raises(UpstreamBusy, match="older"):
            await worker.get("foo", None)
        world.clock.pass_(hours=1)
        assert number_of(await worker.get("foo", None)) == "foo-3.0.tar.gz"

    asyncio.run(main())


def test_a_worker_that_may_not_write_serves_what_is_kept_and_asks_nothing() -> None:
    """Nothing of what it asked could be shared."""

    async def main() -> None:
        world = World()
        world.other.answers = [answer(1)]
        reader = world.worker(world.store.shared(writable=False))
        assert (await reader.get("foo", None)).content is None
        assert world.other.asked == []
        await world.worker().get("foo", None)
        world.clock.pass_(days=100)
        known = await reader.get("foo", None)
        assert number_of(known) == "foo-1.0.tar.gz"
        assert reader.inline(known) is known
        assert len(world.other.asked) == 1

    asyncio.run(main())


def test_all_of_a_page_comes_back_from_the_store() -> None:
    """Every field of every file, and the status."""

    async def main() -> None:
        world = World()
        whole = UpstreamPage(
            files=(
                UpstreamFile(
                    filename="foo-1.tar.gz",
                    url="https://files.test/x",
                    version="1",
                    hashes={"sha256": "a" * 64},
                    yanked="broken",
                    size=9,
                    requires_python=">=3",
                    uploaded="2024-01-01T00:00:00Z",
                    metadata="b" * 64,
                    provenance="https://files.test/p",
                    signed=True,
                ),
                UpstreamFile(
                    filename="foo-2.tar.gz", url="https://files.test/y", version="2", metadata=True, yanked=True
                ),
            ),
            status=Status.DEPRECATED,
            status_reason="use bar",
        )
        world.other.answers = [Answered(whole)]
        await world.worker().get("foo", None)
        assert (await world.worker().get("foo", None)).content == whole

    asyncio.run(main())


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.UNKNOWN_BEFORE, Fault.UNKNOWN_AFTER, Fault.CONFLICT, Fault.FULL])
def test_a_store_that_fails_costs_at_most_that_request(fault: Fault) -> None:
    """The next ones are served."""

    async def main() -> None:
        world = World()
        world.other.answers = [answer(1)]
        worker = world.worker()
        world.faults.next("write", fault)
        try:
            assert number_of(await worker.get("foo", None)) == "foo-1.0.tar.gz"
        except StoreError:
            assert fault is not Fault.CONFLICT
        assert number_of(await worker.get("foo", None)) == "foo-1.0.tar.gz"

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(40))
def test_no_answer_goes_back_behind_one_that_was_given(seed: int) -> None:
    """Workers with clocks that differ, a store that loses answers, an index whose answers take long, requests that are
    cancelled: of two readings, one after the other, the second never has the older page."""
    asyncio.run(_read_at_random(random.Random(seed)))


async def _read_at_random(chance: random.Random) -> None:
    world = World(Ages(timedelta(seconds=3), timedelta(seconds=5), timedelta(days=1), patience=0.001))
    latest, seen = 1, 0

    async def ask(name: str, known: Validators) -> Answered:
        nonlocal latest
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        latest += chance.random() < 0.5
        given = answer(latest, 200 if chance.random() < 0.3 else 1, etag=str(latest))
        if chance.random() < 0.1:
            raise UpstreamBusy("Not now.")
        for _ in range(chance.randrange(60)):
            await asyncio.sleep(0)
        return UNCHANGED if known.etag == given.validators.etag and chance.random() < 0.7 else given

    clocks = [Clock() for _ in range(3)]
    workers = [
        Mirror(world.store.shared(world.faults), "public", ask, world.ages, executor=Inline, now=clock)
        for clock in clocks
    ]
    for clock in clocks:
        clock.pass_(seconds=chance.uniform(-60, 60))

    async def read(worker: Mirror) -> None:
        nonlocal seen
        known: Mirrored | None = None
        for _ in range(40):
            for _ in range(chance.randrange(5)):
                await asyncio.sleep(0)
            for clock in clocks if chance.random() < 0.3 else ():
                clock.pass_(seconds=chance.choice((0.5, 4.0, 50.0)))
            if chance.random() < 0.1:
                world.faults.next("write", chance.choice((Fault.UNKNOWN_BEFORE, Fault.UNKNOWN_AFTER, Fault.CONFLICT)))
            least = seen
            found = worker.inline(known) if known is not None and chance.random() < 0.5 else None
            if found is None:
                asking = asyncio.create_task(worker.get("foo", known))
                if chance.random() < 0.1:
                    await asyncio.sleep(0)
                    asking.cancel()
                try:
                    found = await asking
                except (asyncio.CancelledError, UpstreamError, StoreError):
                    continue
            try:
                known, name = found, number_of(found)
            except BlobMissing:  # it was replaced before this worker read it
                known = None
                continue
            number = 0 if name is None else int(name.split("-")[1].split(".")[0])
            assert number >= least
            seen = max(seen, number)

    await asyncio.gather(*(read(worker) for worker in workers for _ in range(3)))
    assert seen > 0  # how far it gets depends on the time that a loaded machine takes
    for worker in workers:
        await worker.close()


def test_only_the_call_that_asked_gives_what_it_wrote_without_reading_it() -> None:
    """It began before the page was written. Before a call that joins later another worker may have written a newer page
    and given it."""

    async def main() -> None:
        world, joined = World(), list[asyncio.Task[Mirrored]]()

        class Overtaken(Inline):
            def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
                future = super().submit(fn, *args, **kwargs)
                world.clock.pass_(minutes=1)
                assert PageStore(world.store, "public").take("foo", page(2), world.clock())
                joined.append(asyncio.get_running_loop().create_task(worker.get("foo", None)))
                return future

        worker = Mirror(world.store, "public", world.other, AGES, executor=Inline, makers=Overtaken, now=world.clock)
        world.other.answers = [answer(1)]
        first = await worker.get("foo", None)
        assert [number_of(first), number_of(await joined[0])] == ["foo-1.0.tar.gz", "foo-2.0.tar.gz"]
        assert number_of(await worker.get("foo", first)) == "foo-2.0.tar.gz"
        assert len(world.other.asked) == 1

    asyncio.run(main())


def test_a_page_that_was_just_stored_is_not_read_back() -> None:
    """The request that asked for it renders it; it is in memory until then, once."""

    async def main() -> None:
        world = World()
        world.other.answers = [answer(1, files=300)]
        found = await world.worker().get("foo", None)
        for blob in list(world.store.blobs.list("mirror")):
            world.store.blobs.remove(blob.key)
        assert found.content == page(1, files=300)
        with pytest.raises(BlobMissing):
            assert found.content

    asyncio.run(main())


def test_an_incomplete_answer_is_a_failure_also_when_a_thread_finds_it() -> None:
    """Its bytes are read in a thread; then nothing is asked for a while, as after one that did not arrive."""

    def cut() -> UpstreamPage:
        raise UpstreamBusy("The index answers with an incomplete page; repeat later.")

    async def main() -> None:
        world = World()
        world.other.answers = [Answered(cut), answer(1)]
        worker = world.worker()
        for _ in range(2):
            with pytest.raises(UpstreamBusy):
                await worker.get("foo", None)
        assert len(world.other.asked) == 1
        world.clock.pass_(seconds=5)
        assert number_of(await worker.get("foo", None)) == "foo-1.0.tar.gz"

    asyncio.run(main())


def test_a_page_that_was_just_written_is_known_without_waiting(tmp_path: Path) -> None:
    """Also while the times of its folder are too young to tell it from a later one: its record is read then."""

    async def main() -> None:
        world = World()
        store, other = (PosixStore.open(tmp_path) for _ in range(2))
        world.other.answers = [answer(1), answer(2)]
        worker = world.worker(store)
        found = await worker.get("foo", None)
        assert worker.inline(found) is found
        world.clock.pass_(minutes=1)
        assert PageStore(other, "public").take("foo", page(2), world.clock())
        assert worker.inline(found) is None
        assert number_of(await worker.get("foo", found)) == "foo-2.0.tar.gz"

    asyncio.run(main())
