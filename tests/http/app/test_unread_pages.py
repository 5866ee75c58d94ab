"""Large projects of upstreams: pages that are kept rendered, and files that are read when they are needed.

Replaced here: the reading of kept pages, by one that counts those that are made; no answer tells.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import zstandard

from quire.access.records import AccessRecords
from quire.domain.reserved import MIRROR
from quire.http.fast.fast_path import ASGIHeaders, FastPath
from quire.index.audit.entries import Origin
from quire.operations import defining
from quire.upstream.renderings import Renderings
from tests.http.app.test_upstreams import JSON, Workers, asked
from tests.upstreams import Answer, FakeIndex, serving_index

pytestmark = pytest.mark.usefixtures("no_proxy")

MANY = 150
"""Files of a project whose page is kept in a blob."""


@pytest.fixture
def other() -> Iterator[FakeIndex]:
    with serving_index() as index:
        yield index


def offer(index: FakeIndex, *, first: int = 0) -> dict[str, bytes]:
    files = {f"big-{number}.0.tar.gz": f"content {number}".encode() for number in range(first, first + MANY)}
    index.has("big", files, big_3_0_tar_gz={"yanked": "broken"})
    return files


async def raw(client: httpx.AsyncClient, path: str, **headers: str) -> tuple[httpx.Response, bytes]:
    """The answer, and its body as it was rendered."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.stream("GET", path, headers=named) as answer:
        packed = b"".join([piece async for piece in answer.aiter_raw()])
    coding = answer.headers.get("content-encoding", "identity")
    if coding == "zstd":
        return answer, zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    return answer, gzip.decompress(packed) if coding == "gzip" else packed


@pytest.mark.parametrize("accept", ["application/vnd.pypi.simple.v1+json", "text/html"])
def test_all_forms_of_a_page_are_the_same_on_all_workers(where: str, other: FakeIndex, accept: str) -> None:
    """Also after a restart, which renders nothing; with their validators."""

    async def main() -> None:
        files = offer(other)
        bodies, tags = set[bytes](), dict[str, set[str]]()
        for _ in range(2):
            workers = Workers(where)
            try:
                await workers.define("main", {"upstream": {"url": other.url}})
                for client in workers.clients * 2:
                    for coding in ("zstd", "gzip", "identity"):
                        answer, body = await raw(client, "/simple/big/", accept=accept, accept_encoding=coding)
                        assert answer.status_code == 200
                        assert answer.headers.get("content-encoding", "identity") == coding
                        bodies.add(body)
                        tags.setdefault(coding, set()).add(answer.headers["etag"])
                        again, nothing = await raw(
                            client,
                            "/simple/big/",
                            accept=accept,
                            accept_encoding=coding,
                            if_none_match=answer.headers["etag"],
                        )
                        assert (again.status_code, nothing) == (304, b"")
                        assert again.headers["etag"] == answer.headers["etag"]
            finally:
                await workers.close()
        assert len(bodies) == 1
        assert all(name.encode() in next(iter(bodies)) for name in files)
        assert [len(each) for each in tags.values()] == [1, 1, 1]
        assert len(set.union(*tags.values())) == 3
        assert asked(other, "big") == 1

    asyncio.run(main())


def test_the_page_for_people(where: str, other: FakeIndex) -> None:
    """Of the newest release, with the newest of the others; the same on all workers, and again from memory."""

    async def main() -> None:
        offer(other)
        workers = Workers(where)
        try:
            await workers.define("main", {"upstream": {"url": other.url}})
            found = [await client.get("/project/big/") for client in workers.clients * 2]
            assert {(each.status_code, each.headers["etag"], each.content) for each in found} == {
                (200, found[0].headers["etag"], found[0].content)
            }
            assert f"big-{MANY - 1}.0.tar.gz" in found[0].text
            assert f"{MANY - 100} older releases" in found[0].text
            older = await workers.clients[0].get("/project/big/3.0/")
            assert "broken" in older.text
            assert (
                "<h1>From 3.0 to 4.0</h1>" in (await workers.clients[0].get("/project/big/diff/?old=3.0&new=4.0")).text
            )
            offer(other, first=1)
            missing = await workers.clients[0].get("/project/big/999.0/")
            assert missing.status_code == 404
        finally:
            await workers.close()

    asyncio.run(main())


def test_a_restart_renders_no_page_again(where: str, other: FakeIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does another worker."""
    made = list[str]()
    get = Renderings.get

    def counted(self: Renderings, name: str, content: str, form: str, make: object) -> object:
        def count() -> object:
            made.append(form)
            return make()  # type: ignore[operator]

        return get(self, name, content, form, count)  # type: ignore[arg-type]

    monkeypatch.setattr(Renderings, "get", counted)

    async def main() -> None:
        offer(other)
        for _ in range(2):
            workers = Workers(where)
            try:
                await workers.define("main", {"upstream": {"url": other.url}})
                assert isinstance(await workers.files("/simple/big/"), list)
            finally:
                await workers.close()
        assert len(made) == 1

    asyncio.run(main())


def test_a_new_page_is_seen_by_all_workers_at_once(where: str, other: FakeIndex) -> None:
    """Once one of them has it; the pages and the page before leave nothing behind."""

    async def main() -> None:
        before = offer(other)
        workers = Workers(where)
        try:
            await workers.define("main", {"upstream": {"url": other.url, "max_age": 0}})
            assert set(await workers.files("/simple/big/")) == set(before)  # type: ignore[arg-type]
            after = offer(other, first=1000)
            names = set[frozenset[str]]()
            for client in workers.clients * 10:
                answer = await client.get("/simple/big/", headers=JSON)
                found = frozenset(each["filename"] for each in answer.json()["files"])
                assert not names or found in names | {frozenset(after)}
                if frozenset(after) in names:
                    assert found == frozenset(after), "an answer went back"
                names.add(found)
                await asyncio.sleep(0)
            async with asyncio.timeout(20):
                while frozenset(after) not in names:
                    answer = await workers.clients[0].get("/simple/big/", headers=JSON)
                    names.add(frozenset(each["filename"] for each in answer.json()["files"]))
            for client in workers.clients:
                answer = await client.get("/simple/big/", headers=JSON)
                assert {each["filename"] for each in answer.json()["files"]} == set(after)
            blobs = [blob.key for blob in workers.store.blobs.list(MIRROR)]
            assert len(blobs) <= 3, blobs
        finally:
            await workers.close()

    asyncio.run(main())


def test_files_of_a_large_project(where: str, other: FakeIndex) -> None:
    """Each is found by its name, on every worker; one that the page has not is not found."""

    async def main() -> None:
        files = offer(other)
        workers = Workers(where)
        try:
            await workers.define("main", {"upstream": {"url": other.url}})
            answer = await workers.clients[0].get("/simple/big/", headers=JSON)
            urls = {
                each["filename"]: httpx.URL("http://127.0.0.1/simple/big/").join(each["url"])
                for each in answer.json()["files"]
            }
            for client in workers.clients * 2:
                for name in ("big-0.0.tar.gz", "big-77.0.tar.gz", f"big-{MANY - 1}.0.tar.gz"):
                    got = await client.get(urls[name])
                    assert (got.status_code, got.content) == (200, files[name])
                wrong = str(urls["big-0.0.tar.gz"]).replace("big-0.0", "big-0.9")
                assert (await client.get(wrong)).status_code == 404
            document = (await workers.clients[0].get("/big/json")).json()
            assert document["info"]["name"] == "big"
        finally:
            await workers.close()

    asyncio.run(main())


def test_files_that_are_here_take_the_fast_path(tmp_path: Path, other: FakeIndex) -> None:
    """Of a large project and of a small one: whole, unchanged, or a document beside them; one that was removed since
    then is fetched again, and one that the page lists no more is not given."""

    async def main() -> None:
        files = offer(other)
        metadata = b"Metadata-Version: 2.1\n"
        document = {"core-metadata": {"sha256": hashlib.sha256(metadata).hexdigest()}}
        other.has("small", {"small-1.0.tar.gz": b"small"}, small_1_0_tar_gz=document)
        other.at("/files/small-1.0.tar.gz.metadata", Answer(metadata))
        workers = Workers(str(tmp_path))
        try:
            await workers.define("main", {"upstream": {"url": other.url, "max_age": 3600}})
            places = dict[str, bytes]()
            for project, name, content in (
                ("big", "big-7.0.tar.gz", files["big-7.0.tar.gz"]),
                ("small", "small-1.0.tar.gz", b"small"),
            ):
                for each in workers.clients:
                    answer = await each.get(f"/simple/{project}/", headers=JSON)
                    listed = next(each for each in answer.json()["files"] if each["filename"] == name)
                url = httpx.URL(f"http://127.0.0.1/simple/{project}/").join(listed["url"])
                places |= {url.path: content} | ({f"{url.path}.metadata": metadata} if project == "small" else {})
            for application, client in zip(workers.applications, workers.clients, strict=True):
                fast = FastPath(application.state.worker, application.state.worker.indexes.default)
                headers = ASGIHeaders([(b"host", b"127.0.0.1")])
                for place, content in places.items():
                    served = await client.get(place)
                    assert served.content == content
                    for project in ("big", "small"):
                        await client.get(f"/simple/{project}/", headers=JSON)
                    async with asyncio.timeout(20):  # the file is kept when it was given already
                        while (found := fast.find_response(place, headers)) is None:
                            await client.get(place)
                    assert (found[0].status, found[0].body) == (200, content)
                    assert dict(found[0].headers).items() <= dict(served.headers).items()
                    tag = served.headers["etag"].encode()
                    unchanged = fast.find_response(
                        place, ASGIHeaders([(b"host", b"127.0.0.1"), (b"if-none-match", tag)])
                    )
                    assert unchanged is not None
                    assert unchanged[0].status == 304
            for blob in [*workers.store.blobs.list(MIRROR)]:
                if "tar.gz" in blob.key:
                    workers.store.blobs.remove(blob.key)
            for place, content in places.items():
                assert fast.find_response(place, headers) is None
                assert (await client.get(place)).content == content
        finally:
            await workers.close()

    asyncio.run(main())


def test_a_page_that_is_lost_is_asked_for_again(where: str, other: FakeIndex) -> None:
    """By the request that notices it: all of it can be had again."""

    async def main() -> None:
        files = offer(other)
        workers = Workers(where)
        try:
            await workers.define("main", {"upstream": {"url": other.url}})
            await workers.files("/simple/big/")
            for blob in list(workers.store.blobs.list(MIRROR)):
                workers.store.blobs.remove(blob.key)
            for client in workers.clients:
                answer, body = await raw(client, "/simple/big/", accept="text/html")
                assert answer.status_code == 200
                assert all(name.encode() in body for name in files)
            assert asked(other, "big") == 2
        finally:
            await workers.close()

    asyncio.run(main())


@pytest.mark.parametrize("has_policy", [False, True])
@pytest.mark.parametrize(
    "path",
    ["/simple/big/", "/@2020-01-01/simple/big/", "/-/api/v1/indexes/-/policy/explain?project=big", "/big/json"],
)
def test_a_page_that_another_worker_has_replaced_is_read_again(
    tmp_path: Path, other: FakeIndex, path: str, has_policy: bool
) -> None:
    """Wherever the files of a project are needed, also where a policy looks at each of them; by a worker that has the
    page in memory, and by one that has not."""

    async def main() -> None:
        offer(other)
        workers = Workers(str(tmp_path))
        try:
            await workers.define("main", {"upstream": {"url": other.url}})
            if has_policy:
                access = AccessRecords(workers.store)
                defining.set_policy(access, "main", {"deny": ("other",)}, default="main", origin=Origin())
            assert (await workers.clients[0].get("/simple/big/", headers=JSON)).status_code == 200
            for blob in list(workers.store.blobs.list(MIRROR)):
                workers.store.blobs.remove(blob.key)
            for client in reversed(workers.clients):
                answer = await client.get(path, headers=JSON)
                assert answer.status_code == 200, answer.text
        finally:
            await workers.close()

    asyncio.run(main())
