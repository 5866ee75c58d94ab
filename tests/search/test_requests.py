"""The requests to a bucket that a search takes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from concurrent.futures import wait
from pathlib import Path

import httpx
import pytest

from quire.access.records import AccessRecords
from quire.config.settings import Settings
from quire.http.app.application import create_application
from quire.http.app.worker import Worker
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.operations import defining
from quire.search.places import places_of
from quire.store.opening import open_store
from tests.distributions import wheel_name
from tests.index.test_index import staged_wheel
from tests.search.rig import Rig, rig
from tests.store.bucket.counted import PLACE, counted_bucket
from tests.upstreams import FakeIndex, serving_index

PROJECTS = 5
FILES = 20


def offer(upstream: FakeIndex, name: str) -> None:
    """A project with metadata for each of its files."""
    changes = {
        wheel_name(name, f"1.{number}").replace(".", "_").replace("-", "_"): {
            "core-metadata": {"sha256": hashlib.sha256(f"{name}{number}".encode()).hexdigest()}
        }
        for number in range(FILES)
    }
    upstream.has(name, {wheel_name(name, f"1.{number}"): b"" for number in range(FILES)}, **changes)


def asked_by(
    settings: Settings, scenario: Callable[[httpx.AsyncClient, Worker], Awaitable[dict[str, int]]]
) -> dict[str, int]:
    """The result of a scenario with a worker and a client of it."""
    application = create_application(settings)
    worker: Worker = application.state.worker

    async def run() -> dict[str, int]:
        try:
            transport = httpx.ASGITransport(application)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await scenario(client, worker)
        finally:
            await worker.close_mirrors()
            worker.close()

    return asyncio.run(run())


def test_metadata_of_an_upstream_is_not_looked_for_at_each_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result costs two requests, however many files it has whose metadata is not here."""
    monkeypatch.setenv("NO_PROXY", "*")
    names = [f"thing-{number}" for number in range(PROJECTS)]

    async def scenario(client: httpx.AsyncClient, _: Worker) -> dict[str, int]:
        for name in names:
            assert (await client.get(f"/simple/{name}/")).status_code == 200
        read = 0
        async with asyncio.timeout(60):
            while read < PROJECTS:
                read = (await client.get("/-/api/v1/search?q=thin")).json()["catalog"]["read"]
        bucket.requests()
        found = (await client.get("/-/api/v1/search?q=thin")).json()["projects"]
        assert sorted(each["project"] for each in found) == names
        return bucket.requests()

    with serving_index() as upstream, counted_bucket() as bucket:
        for name in names:
            offer(upstream, name)
        requests = asked_by(
            Settings(directories=(PLACE,), authenticate=(), no_drop_in=True, upstream=upstream.url), scenario
        )
    assert set(requests) == {"get"}
    assert requests["get"] < 2 * PROJECTS + FILES


def test_a_typed_name_is_looked_up_where_it_is(tmp_path: Path) -> None:
    """Each index that is searched is asked for its names once; the project is found as soon as it is published."""
    indexes = [f"team-{number}" for number in range(30)]

    async def scenario(made: Rig) -> None:
        await made.names()
        bucket.requests()
        assert await made.names("thing") == ["thing"]
        requests = bucket.requests()
        assert set(requests) == {"get"}
        assert requests["get"] < len(indexes) + 10
        made.publish("thing-late", index="team-7")
        assert [(hit.index, hit.name) for hit in await made.hits("thing-late")] == [("team-7", "thing-late")]

    with counted_bucket() as bucket, rig(tmp_path, open_store(PLACE), *indexes, waits=True) as made:
        made.publish("thing")
        for index in indexes:
            made.publish("other", index=index)
        wait(made.keeper.look([place for each in made.served.values() for place in places_of(each.own_sources)]))
        asyncio.run(scenario(made))


def test_a_typed_name_is_not_looked_up_in_each_index_in_front(tmp_path: Path) -> None:
    """They have it as well, as the stages of pull requests have; the index that it is of shows it."""
    stages = [f"pr-{number}" for number in range(20)]

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> dict[str, int]:
        store = worker.default.hosted.store
        Index(store).publish([staged_wheel(store, "thing", "1.0")])
        access = AccessRecords(store)
        for stage in stages:
            defining.create_index(access, stage, {"in_front_of": "main"}, default="main", origin=Origin())
        found = (await client.get("/-/api/v1/search?q=thing")).json()["projects"]
        assert [(each["index"], each["project"]) for each in found] == [("main", "thing")]
        bucket.requests()
        assert (await client.get("/-/api/v1/search?q=thing")).status_code == 200
        return bucket.requests()

    with counted_bucket() as bucket:
        requests = asked_by(
            Settings(directories=(PLACE,), authenticate=(), no_drop_in=True, fallback_url=None), scenario
        )
    assert requests["get"] < len(stages) + 15
