"""The space of mirrors: several workers over one store, none of which owns it, keep within the bound."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from quire.domain.errors import NotFound
from quire.store.contracts import Store
from quire.store.memory import MemoryStore
from quire.store.opening import open_store
from quire.upstream import mirrored
from quire.upstream.evicting import KEPT_KEY, counted
from quire.upstream.files import MirroredFiles
from quire.upstream.kept import kept_of
from quire.upstream.mirrored import Content, Validators
from quire.upstream.pages import UpstreamFile, UpstreamPage
from quire.upstream.server import OtherServer
from quire.upstream.space import PART, MirrorSpace
from tests.store.bucket.counted import PLACE, CountedBucket, counted_bucket
from tests.upstreams import Answer, FakeIndex

UPSTREAM = "index-example-0123456789ab"
PROJECT = "foo"
SIZE = 20_000


@dataclass
class Worker:
    files: MirroredFiles
    space: MirrorSpace
    server: OtherServer

    async def close(self) -> None:
        await self.files.close()
        await self.space.close()
        await self.server.close()

    async def get(self, file: UpstreamFile) -> bytes:
        """All bytes, as a download reads them."""
        with await self.files.open(PROJECT, file) as blob:
            await blob.prepare(0, blob.size)
            content = b""
            while len(content) < blob.size:
                await blob.wait(len(content))
                content += blob.read_at(len(content), SIZE)
            return content


class Place:
    """A store with the page of a project, its upstream, and workers with a clock of the test."""

    def __init__(self, store: Store, index: FakeIndex, executor: ThreadPoolExecutor) -> None:
        self.store = store
        self.index = index
        self.executor = executor
        self.now = datetime.now(UTC)
        self.contents = {f"foo-{number}.tar.gz": random.Random(number).randbytes(SIZE) for number in range(30)}
        self.files = [self._file(name, content) for name, content in self.contents.items()]
        page = mirrored.found(None, Content.of(UpstreamPage(files=tuple(self.files))), None, Validators(), self.now)
        record = store.records.read(f"mirror/{UPSTREAM}/{PROJECT}")
        store.records.write(record.key, mirrored.encode_page(page), record)

    def _file(self, name: str, content: bytes) -> UpstreamFile:
        self.index.at(f"/files/{name}", Answer(content))
        digest = hashlib.sha256(content).hexdigest()
        return UpstreamFile(
            filename=name, url=f"{self.index.base}/files/{name}", version="1", hashes={"sha256": digest}, size=SIZE
        )

    def worker(self, bound: int | None) -> Worker:
        space = MirrorSpace(self.store, bound, lambda: self.executor, lambda: self.now)
        server = OtherServer(self.index.url)
        executor = lambda: self.executor  # noqa: E731 - one of two that are the same here
        files = MirroredFiles(self.store, UPSTREAM, server, readers=executor, writers=executor, space=space)
        return Worker(files, space, server)

    @property
    def kept(self) -> int:
        found = kept_of(self.store)[UPSTREAM]
        return found.bytes


@asynccontextmanager
async def workers(
    store: Store, index: FakeIndex, number: int, bound: int | None
) -> AsyncIterator[tuple[Place, list[Worker]]]:
    with ThreadPoolExecutor(4) as executor:
        at = Place(store, index, executor)
        found = [at.worker(bound) for _ in range(number)]
        try:
            yield at, found
        finally:
            for worker in found:
                await worker.close()


@pytest.mark.parametrize("seed", range(4))
def test_the_bound_holds_while_workers_fetch_at_random(seed: int, index: FakeIndex) -> None:
    """Each byte is right, whether kept, removed or fetched again; after a run the bound holds, and between two runs
    it is exceeded by no more than each worker may fetch before its own. The order is by use."""
    bound, chance = 8 * SIZE, random.Random(seed)

    async def main() -> None:
        async with workers(MemoryStore(), index, 2, bound) as (at, both):
            for step in range(150):
                # some files are wanted more than others
                file = at.files[min(chance.randrange(30), chance.randrange(30))]
                worker = chance.choice(both)
                assert await worker.get(file) == at.contents[file.filename]
                assert at.kept <= bound + len(both) * (bound // PART + SIZE)
                at.now += timedelta(minutes=chance.randrange(60))
                if step % 7 == 0:
                    await asyncio.to_thread(chance.choice(both).space.run)
                    assert at.kept <= bound + len(both) * SIZE
            await asyncio.gather(*(worker.files.close() for worker in both))
            for worker in both:
                await asyncio.to_thread(worker.space.run)
            assert at.kept <= bound
            assert 30 < len(index.paths) < 150

    asyncio.run(main())


def test_a_removed_file_is_fetched_again_and_one_that_is_gone_is_a_sentence(index: FakeIndex) -> None:
    """The page names it all the same: it is the upstream's."""

    async def main() -> None:
        async with workers(MemoryStore(), index, 1, 2 * SIZE) as (at, (worker,)):
            for file in at.files[:4]:
                await worker.get(file)
            await worker.files.close()
            at.now += timedelta(hours=2)
            await asyncio.to_thread(worker.space.run)
            assert at.kept <= 2 * SIZE
            before = len(index.paths)
            assert await worker.get(at.files[0]) == at.contents[at.files[0].filename]
            assert len(index.paths) == before + 1
            index.at("/files/foo-1.tar.gz", Answer(status=404))
            with pytest.raises(NotFound, match="gives it no more"):
                await worker.get(at.files[1])

    asyncio.run(main())


def test_a_file_that_is_removed_while_it_is_read_goes_on(index: FakeIndex) -> None:
    """In a bucket, where removed bytes can be read no more: the upstream is asked once more."""

    async def main() -> None:
        with counted_bucket():
            async with workers(open_store(PLACE, create=True), index, 1, 10 * SIZE) as (at, (worker,)):
                file = at.files[0]
                await worker.get(file)
                await worker.files.close()
                with await worker.files.open(PROJECT, file) as blob:
                    assert (blob.path, blob.descriptor, blob.redirect_url()) == (None, None, None)
                    (kept,) = kept_of(at.store)[UPSTREAM].blobs
                    at.store.blobs.remove(kept.key)
                    assert await blob.recover()
                    await blob.wait(5)
                    assert at.contents[file.filename][5:].startswith(blob.read_at(5, 100))
                    assert not await blob.recover()
                assert index.paths == ["/files/foo-0.tar.gz"] * 2

    asyncio.run(main())


def test_a_file_that_is_larger_than_the_bound_is_passed_on_only(index: FakeIndex) -> None:
    """It would push out all others."""

    async def main() -> None:
        async with workers(MemoryStore(), index, 1, SIZE - 1) as (at, (worker,)):
            for _ in range(2):
                assert await worker.get(at.files[0]) == at.contents["foo-0.tar.gz"]
                await worker.files.close()
            assert UPSTREAM in kept_of(at.store)
            assert at.kept == 0

    asyncio.run(main())


def test_one_worker_counts_for_all(index: FakeIndex) -> None:
    """Once an hour; the others take its result, and add what they fetch."""

    async def main() -> None:
        async with workers(MemoryStore(), index, 3, 100 * SIZE) as (at, (one, two, three)):
            await one.get(at.files[0])
            await one.files.close()
            for worker in (one, two, three):
                await asyncio.to_thread(worker.space.run)
            assert [worker.space.kept for worker in (one, two, three)] == [SIZE] * 3
            first = counted(at.store)
            await two.get(at.files[1])
            await two.files.close()
            assert two.space.kept == 2 * SIZE
            at.now += timedelta(minutes=50)
            for worker in (one, two, three):
                await asyncio.to_thread(worker.space.run)
            assert counted(at.store) == first
            at.now += timedelta(minutes=20)
            await asyncio.to_thread(three.space.run)
            await asyncio.to_thread(one.space.run)
            assert (one.space.kept, three.space.kept) == (2 * SIZE, 2 * SIZE)
            assert counted(at.store) != first

    asyncio.run(main())


def test_a_count_that_is_not_understood_is_made_again(index: FakeIndex) -> None:
    """As one of a clock that is wrong."""

    async def main() -> None:
        async with workers(MemoryStore(), index, 1, 100 * SIZE) as (at, (worker,)):
            record = at.store.records.read(KEPT_KEY)
            at.store.records.write(KEPT_KEY, b'{"at": "2099-01-01T00:00:00Z", "files": 1, "bytes": 1}', record)
            await asyncio.to_thread(worker.space.run)
            assert worker.space.kept == 0
            record = at.store.records.read(KEPT_KEY)
            at.store.records.write(KEPT_KEY, b"garbage", record)
            at.now += timedelta(hours=2)
            await asyncio.to_thread(worker.space.run)
            found = counted(at.store)
            assert found is not None
            assert found.at == at.now

    asyncio.run(main())


def test_uses_cost_a_bucket_few_requests(index: FakeIndex) -> None:
    """Of thirty files that are here: none for a use, two for all of them in four hours, one for each look after that
    which finds new ones; a count lists them, and reads the uses of 64 days."""

    async def main(bucket: CountedBucket) -> None:
        async with workers(open_store(PLACE, create=True), index, 1, 1000 * SIZE) as (at, (worker,)):
            for file in at.files:
                await worker.get(file)
            await worker.files.close()
            await asyncio.to_thread(worker.space.run)
            at.now += timedelta(hours=5)
            before = index.paths[:]
            bucket.requests()
            for file in at.files:
                await worker.get(file)
            downloads = bucket.requests()
            await asyncio.to_thread(worker.space.run)
            counting = bucket.requests()
            await asyncio.to_thread(worker.space.run)
            assert index.paths == before
            assert "put" not in downloads
            assert bucket.requests() == {"get": 1}
            assert counting["list"] <= 2
            assert counting["put"] <= 4
            assert counting["get"] <= 70

    with counted_bucket() as bucket:
        asyncio.run(main(bucket))
