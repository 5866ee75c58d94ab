"""Pages of a mirror that another worker has kept: the fast path answers the first request for them, too. Files that it
leaves to the application.

The first need a file system that can say whether bytes are in memory, which a tmpfs cannot. Replaced here: RWF_NOWAIT,
by none, as such a file system has it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from quire.config.settings import Settings
from quire.http.app.application import create_application
from quire.http.fast.fast_path import ASGIHeaders, FastPath, FastPathApplication
from quire.http.fast.fast_path_files import SMALL_FILE
from quire.http.fast.responses import CachedResponse
from quire.index.index import Index
from quire.index.upload import examine, upload_key
from quire.store.posix.store import PosixStore
from tests.asking import JSON_V1
from tests.distributions import make_wheel, wheel_name
from tests.http.simple.test_mirror_space import sample
from tests.serving import DEADLINE, until
from tests.upstreams import Answer, FakeIndex, page, serving_index

METADATA = b"Metadata-Version: 2.1\nName: far\nVersion: 1.0\n"
HEADERS = {"host": "127.0.0.1", "accept": JSON_V1, "accept-encoding": "gzip"}
FORM = [(name.encode(), value.encode()) for name, value in HEADERS.items()]


def _place(project: str) -> str:
    digest = hashlib.sha256(wheel_name(project, "1.0").encode()).hexdigest()
    return f"{digest[:2]}/{digest[2:4]}/{digest[4:]}/{wheel_name(project, '1.0')}"


def _entries(project: str, files: int) -> list[dict[str, object]]:
    """Files of a project; the first one has metadata."""
    entries: list[dict[str, object]] = []
    for number in range(files):
        name = wheel_name(project, f"{number + 1}.0")
        digest = hashlib.sha256(name.encode()).hexdigest()
        url = f"../../packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{name}"
        metadata = {"core-metadata": {"sha256": hashlib.sha256(METADATA).hexdigest()}} if number == 0 else {}
        entries.append({"filename": name, "url": url, "hashes": {"sha256": digest}, "size": 1000, **metadata})
    return entries


@pytest.fixture
def upstream() -> Iterator[FakeIndex]:
    """`small` stands in its record, `large` in a blob."""
    with serving_index() as index:
        for project, files in (("small", 3), ("large", 300)):
            index.at(f"/simple/{project}/", page(_entries(project, files)))
            index.at(f"/packages/{_place(project)}.metadata", Answer(METADATA))
        yield index


class Worker:
    """A worker of a mirror, without a server."""

    def __init__(self, folder: Path, upstream: FakeIndex, **settings: object) -> None:
        application = create_application(
            Settings(directories=(str(folder),), authenticate=(), upstream=upstream.url, **settings)  # type: ignore[arg-type]
        )
        self.application = application
        self.worker = application.state.worker
        self.fast_path = FastPath(self.worker, self.worker.default)
        transport = httpx.ASGITransport(application)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=HEADERS)

    async def ask(self, path: str) -> CachedResponse | None:
        """The answer of the fast path; None where the application has to find it."""
        await asyncio.sleep(0)
        found = self.fast_path.find_response(path, ASGIHeaders(FORM))
        return None if found is None else found[0]


@asynccontextmanager
async def worker_of(folder: Path, upstream: FakeIndex, **settings: object) -> AsyncIterator[Worker]:
    """Another worker of the same folder, which knows its rights and the files in the folder, and no project."""
    worker = Worker(folder, upstream, **settings)
    try:
        deadline = time.monotonic() + DEADLINE
        while await worker.ask("/simple/") is None:
            assert time.monotonic() < deadline, "the folder is never settled"
            assert (await worker.client.get("/simple/")).status_code == 200
            await asyncio.sleep(0.02)
        yield worker
    finally:
        await worker.client.aclose()
        await worker.worker.close_mirrors()
        worker.worker.close()


async def _kept(folder: Path, upstream: FakeIndex) -> dict[str, httpx.Response]:
    """Everything that is asked for below, as a first worker gave it and kept it."""
    paths = [f"/simple/{project}/" for project in ("small", "large")]
    paths += [f"/packages/{_place(project)}.metadata" for project in ("small", "large")]
    async with worker_of(folder, upstream) as first:
        answers = {path: await first.client.get(path) for path in paths}
    assert {answer.status_code for answer in answers.values()} == {200}
    return answers


def _publish(folder: Path, project: str) -> None:
    store = PosixStore.open(str(folder))
    staging = store.blobs.stage(upload_key(wheel_name(project, "7.0")))
    staging.write(make_wheel(project, "7.0"))
    Index(store).publish([examine(staging.finish(), wheel_name(project, "7.0"))])


def test_the_first_request_of_another_worker_is_answered(tmp_path: Path, upstream: FakeIndex) -> None:
    """Page and metadata, byte for byte as before; the upstream gets no request."""

    async def scenario() -> None:
        kept = await _kept(tmp_path, upstream)
        before = len(upstream.paths)
        async with worker_of(tmp_path, upstream) as other:
            for path, answer in kept.items():
                given = await other.ask(path)
                assert given is not None, path
                assert (given.status, dict(given.headers)["etag"]) == (200, answer.headers["etag"])
                general = await other.client.get(f"{path}?general")
                assert given.headers == [(name, general.headers[name]) for name, _ in given.headers]
        assert len(upstream.paths) == before

    asyncio.run(scenario())


@pytest.mark.parametrize("project", ["small", "large"])
def test_a_name_that_came_to_be_local_is_not_given(tmp_path: Path, upstream: FakeIndex, project: str) -> None:
    """Published, or copied into the folder: also a copy that has only begun."""

    async def scenario() -> None:
        await _kept(tmp_path, upstream)
        async with worker_of(tmp_path, upstream) as other:
            _publish(tmp_path, project)
            assert await other.ask(f"/simple/{project}/") is None
            listed = (await other.client.get(f"/simple/{project}/")).json()["files"]
            assert [file["filename"] for file in listed] == [wheel_name(project, "7.0")]
            assert await other.ask(f"/packages/{_place(project)}.metadata") is None

    asyncio.run(scenario())


def test_a_name_with_a_half_copied_file_is_not_given(tmp_path: Path, upstream: FakeIndex) -> None:
    """It belongs to this index, and has nothing to show."""

    async def scenario() -> None:
        await _kept(tmp_path, upstream)
        (tmp_path / wheel_name("large", "7.0")).write_bytes(b"PK")
        async with worker_of(tmp_path, upstream) as other:
            assert await other.ask("/simple/large/") is None
            assert (await other.client.get("/simple/large/")).json()["files"] == []

    asyncio.run(scenario())


def test_a_page_that_is_to_be_confirmed_is_not_given(tmp_path: Path, upstream: FakeIndex) -> None:
    """The application asks the upstream first, or behind its answer."""

    async def scenario() -> None:
        await _kept(tmp_path, upstream)
        async with worker_of(tmp_path, upstream, upstream_max_age=0) as other:
            assert await other.ask("/simple/large/") is None
            assert await other.ask("/simple/small/") is None

    asyncio.run(scenario())


@pytest.mark.parametrize("damage", [b"", b"other bytes", None])
def test_a_rendered_page_that_is_damaged_or_lost_is_not_given(
    tmp_path: Path, upstream: FakeIndex, damage: bytes | None
) -> None:
    """It is made again."""
    kept = asyncio.run(_kept(tmp_path, upstream))
    (rendered,) = [path for path in tmp_path.rglob("large/*-*") if path.is_file() and not _is_page(path)]
    rendered.unlink()
    if damage is not None:
        rendered.write_bytes(damage)

    async def scenario() -> None:
        async with worker_of(tmp_path, upstream) as other:
            assert await other.ask("/simple/large/") is None
            assert (await other.client.get("/simple/large/")).content == kept["/simple/large/"].content
            assert await other.ask("/simple/large/") is not None

    asyncio.run(scenario())


def _is_page(path: Path) -> bool:
    """Whether it is the page that renderings are made of."""
    return path.read_bytes().startswith(b"\x28\xb5\x2f\xfd")


@pytest.mark.parametrize("size", [1000, SMALL_FILE + 1])
@pytest.mark.parametrize("is_read_inline", [True, False])
def test_a_kept_file_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, *, is_read_inline: bool
) -> None:
    """With its metadata; also where the fast path opens it, cannot read it without waiting, and leaves it."""
    if not is_read_inline:
        monkeypatch.delattr(os, "RWF_NOWAIT")
    document = {"core-metadata": {"sha256": hashlib.sha256(METADATA).hexdigest()}}

    def is_kept(name: str) -> bool:
        return any((tmp_path / "quire" / "blobs").rglob(name))

    async def scenario() -> None:
        with serving_index() as index:
            index.has("far", {"far-1.0.tar.gz": bytes(size)}, far_1_0_tar_gz=document)
            index.at("/files/far-1.0.tar.gz.metadata", Answer(METADATA))
            async with worker_of(tmp_path, index) as worker:
                listed = (await worker.client.get("/simple/far/")).json()["files"]
                path = httpx.URL("http://127.0.0.1/simple/far/").join(listed[0]["url"]).path
                for place in (path, f"{path}.metadata"):
                    assert (await worker.client.get(place)).status_code == 200
                    await asyncio.to_thread(until, partial(is_kept, place.rpartition("/")[2]))
            async with worker_of(tmp_path, index) as worker:
                transport = httpx.ASGITransport(FastPathApplication(worker.application, worker.fast_path))
                async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                    await client.get("/simple/far/")
                    for place in (path, f"{path}.metadata") * 3:
                        assert (await client.get(place)).status_code == 200
                    page = (await client.get("/metrics")).text
        assert sample(page, 'quire_mirror_files_total{kind="file",result="kept"}') == 3
        assert sample(page, 'quire_mirror_files_total{kind="metadata",result="kept"}') == 3
        assert sample(page, "quire_mirror_sent_bytes_total") == 3 * size

    asyncio.run(scenario())
