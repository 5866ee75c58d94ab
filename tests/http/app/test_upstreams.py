"""Upstreams that the definitions of indexes name: for the next request of every worker, in their order, one mirror for
each worker however many indexes have it.

Replaced here: the reading of an archive, by one that notes its thread; no answer tells.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from quire.access.defining import with_settings
from quire.access.document import AccessDocument, decode_access, encode_access
from quire.access.records import AccessRecords
from quire.archives.metadata import read_metadata
from quire.config.settings import Settings
from quire.domain.errors import InvalidRequest
from quire.http.app.application import create_application
from quire.http.fast.fast_path import FastPath, FastPathApplication
from quire.index.audit.entries import Origin
from quire.operations import defining
from tests.distributions import make_sdist, make_wheel, sdist_name, wheel_name
from tests.upstreams import Answer, FakeIndex, page, serving_index

pytestmark = pytest.mark.usefixtures("no_proxy")

JSON = {"accept": "application/vnd.pypi.simple.v1+json"}


@pytest.fixture
def near() -> Iterator[FakeIndex]:
    with serving_index() as index:
        yield index


@pytest.fixture
def far() -> Iterator[FakeIndex]:
    with serving_index() as index:
        yield index


class Workers:
    """Two workers of one store, each with its fast path, in this process."""

    def __init__(self, where: str, **settings: Any) -> None:
        chosen = {"fallback_url": None, "no_drop_in": True, **settings}
        found = Settings(directories=(where,), authenticate=(), **chosen)
        self.applications = [create_application(found) for _ in range(2)]
        self.store = self.applications[0].state.worker.default.store
        self.clients = [
            httpx.AsyncClient(
                transport=httpx.ASGITransport(
                    FastPathApplication(each, FastPath(each.state.worker, each.state.worker.indexes.default))
                ),
                base_url="http://127.0.0.1",
            )
            for each in self.applications
        ]

    async def define(self, index: str, *changes: dict[str, Any]) -> None:
        for each in changes:
            await asyncio.to_thread(
                defining.set_index, AccessRecords(self.store), index, each, default="main", origin=Origin()
            )

    async def files(self, path: str) -> list[str] | int:
        """The filenames of a page, or the status of another answer: of both workers, several times."""
        found = list[list[str] | int]()
        for client in self.clients * 3:
            answer = await client.get(path, headers=JSON)
            found.append(
                [each["filename"] for each in answer.json()["files"]]
                if answer.status_code == 200
                else answer.status_code
            )
        assert all(each == found[0] for each in found), found
        return found[0]

    async def close(self) -> None:
        for client, application in zip(self.clients, self.applications, strict=True):
            await client.aclose()
            await application.state.worker.close_mirrors()
            application.state.worker.close()


def has(index: FakeIndex, name: str, version: str) -> str:
    filename = wheel_name(name, version)
    index.has(name, {filename: make_wheel(name, version)})
    return filename


def asked(index: FakeIndex, name: str) -> int:
    return index.paths.count(f"/simple/{name}/")


def test_definitions_count_at_once_and_in_their_order(where: str, near: FakeIndex, far: FakeIndex) -> None:
    """Of the index at the root and of a named one; a name is of the first that has it, and no local one is asked."""
    ours, theirs = has(near, "torch", "1.0"), has(far, "torch", "2.0")
    both, only_far = has(near, "numpy", "1.0"), has(far, "numpy", "2.0")

    async def main() -> None:
        workers = Workers(where, local=("acme-*",))
        try:
            content = {"content": (wheel_name("mine", "1.0"), make_wheel("mine", "1.0"))}
            sent = await workers.clients[0].post("/", data={":action": "file_upload"}, files=content)
            assert sent.status_code == 200, sent.text
            has(far, "mine", "9.0")
            assert await workers.files("/simple/torch/") == 404
            await workers.define("main", {"upstream": {"url": far.url}})
            assert await workers.files("/simple/torch/") == [theirs]
            assert await workers.files("/simple/mine/") == [wheel_name("mine", "1.0")]
            assert await workers.files("/simple/acme-tool/") == []
            assert await workers.files("/simple/nowhere/") == 404

            await workers.define("main", {"upstream": {"url": near.url, "only": ("Torch*",), "first": True}})
            assert await workers.files("/simple/torch/") == [ours]
            assert await workers.files("/simple/numpy/") == [only_far], "the first one is asked for torch alone"
            assert asked(near, "numpy") == 0

            defined = AccessRecords(workers.store)
            await asyncio.to_thread(defining.create_index, defined, "team", {}, default="main", origin=Origin())
            assert await workers.files("/team/simple/numpy/") == 404
            await workers.define("team", {"upstream": {"url": near.url}}, {"upstream": {"url": far.url}})
            assert await workers.files("/team/simple/numpy/") == [both]
            assert await workers.files("/team/simple/acme-tool/") == []
            got = await workers.clients[1].get("/team/simple/numpy/", headers=JSON)
            url = httpx.URL("http://127.0.0.1/team/simple/numpy/").join(got.json()["files"][0]["url"])
            fetched = await workers.clients[0].get(url)
            assert fetched.content == make_wheel("numpy", "1.0")

            await workers.define("team", {"remove_upstream": near.url})
            assert await workers.files("/team/simple/numpy/") == [only_far]
            await workers.define("main", {"remove_upstream": far.url}, {"remove_upstream": near.url})
            assert await workers.files("/simple/torch/") == 404
        finally:
            await workers.close()

    asyncio.run(main())
    assert asked(far, "mine") == asked(far, "acme-tool") == asked(near, "acme-tool") == 0
    assert asked(far, "torch") == 1, "it is kept in the store for all workers"
    assert asked(far, "numpy") == 1, "two indexes share what is kept of one upstream"


def test_a_name_is_not_sought_in_the_next_upstream_while_the_first_fails(
    tmp_path: Path, near: FakeIndex, far: FakeIndex
) -> None:
    """Nor once the first has had it: else its files would be replaced by those of a stranger."""
    has(far, "tool", "9.0")

    async def main() -> None:
        workers = Workers(str(tmp_path))
        try:
            await workers.define("main", {"upstream": {"url": near.url, "max_age": 0}}, {"upstream": {"url": far.url}})
            near.at("/simple/tool/", Answer(status=503))
            assert await workers.files("/simple/tool/") == 503
            assert asked(far, "tool") == 0
        finally:
            await workers.close()
        filename = has(near, "tool", "1.0")
        workers = Workers(str(tmp_path))
        try:
            assert await workers.files("/simple/tool/") == [filename]
            near.at("/simple/tool/", Answer(status=404))
            await workers.define("main", {"upstream": {"url": near.url, "max_age": 1, "max_stale": 0}})
            near.at("/simple/gone/", page([]))
            assert await workers.files("/simple/gone/") == []
        finally:
            await workers.close()

    asyncio.run(main())
    assert asked(far, "tool") == asked(far, "gone") == 0


def test_a_project_is_merged_by_its_name_alone(where: str, near: FakeIndex) -> None:
    """The own file of a filename in both is listed and given; without the decision no file joins, nor of another name;
    a claim, which the first upload takes, does not prevent it; and a name that the servers reserve is asked nowhere."""
    ours, theirs = wheel_name("tool", "1.0"), wheel_name("tool", "2.0")
    near.has("tool", {ours: make_wheel("tool", "1.0", requires_python=">=3.9"), theirs: make_wheel("tool", "2.0")})
    has(near, "other", "2.0")
    has(near, "acme-tool", "2.0")

    async def main() -> None:
        workers = Workers(where, local=("acme-*",))
        try:
            with pytest.raises(InvalidRequest, match="no upstream"):
                await workers.define("main", {"merge": ["tool"]})
            await workers.define("main", {"upstream": {"url": near.url}}, {"claim": ["tool", "other"]})
            for name in ("tool", "other", "acme-tool"):
                content = {"content": (wheel_name(name, "1.0"), make_wheel(name, "1.0"))}
                sent = await workers.clients[0].post("/", data={":action": "file_upload"}, files=content)
                assert sent.status_code == 200, sent.text
            assert await workers.files("/simple/tool/") == [ours]
            await workers.define("main", {"merge": ["Tool", "acme-tool"]})
            assert await workers.files("/simple/tool/") == [ours, theirs]
            assert await workers.files("/simple/other/") == [wheel_name("other", "1.0")]
            assert await workers.files("/simple/acme-tool/") == [wheel_name("acme-tool", "1.0")]
            for client in workers.clients:
                listing = (await client.get("/simple/tool/", headers=JSON)).json()["files"]
                given = [
                    (await client.get(httpx.URL("http://127.0.0.1/simple/tool/").join(each["url"]))).content
                    for each in listing
                ]
                assert given == [make_wheel("tool", "1.0"), make_wheel("tool", "2.0")]
            await workers.define("main", {"unmerge": ["tool"]})
            assert await workers.files("/simple/tool/") == [ours]
        finally:
            await workers.close()

    asyncio.run(main())
    assert asked(near, "other") == asked(near, "acme-tool") == 0


def test_a_definition_comes_before_the_settings(tmp_path: Path, near: FakeIndex, far: FakeIndex) -> None:
    """As a whole, on every server at once: one whose settings name another upstream says so. The login of the settings
    counts for a definition of the same URL."""
    first, second = has(near, "demo", "1.0"), has(far, "demo", "2.0")

    async def main() -> None:
        workers = Workers(str(tmp_path), upstream=near.url.replace("//", "//alice:s3cret@"))
        try:
            assert await workers.files("/simple/demo/") == [first]
            await workers.define("main", {"upstream": {"url": far.url}})
            assert await workers.files("/simple/demo/") == [second]
            await workers.define("main", {"upstream": {"url": near.url}}, {"remove_upstream": far.url})
            near.requests.clear()
            has(near, "other", "1.0")
            assert await workers.files("/simple/other/") == [wheel_name("other", "1.0")]
        finally:
            await workers.close()

    with capture_logs() as logs:
        asyncio.run(main())
    assert near.requests[0][1]["authorization"].startswith("Basic ")
    assert any(line["event"] == "upstream not used" for line in logs)


def test_definitions_keep_what_a_later_version_says() -> None:
    """Fields of an upstream that this version does not know are written back."""
    stored = b'{"format": 2, "indexes": {"main": {"upstreams": [{"url": "https://a.test/", "later": 1}]}}}'
    again = encode_access(decode_access(stored))
    assert b'"later": 1' in again
    assert hashlib.sha256(encode_access(decode_access(again))).digest() == hashlib.sha256(again).digest()


def test_a_stage_asks_for_no_name_of_either_index(where: str, far: FakeIndex) -> None:
    """Its own projects and those of the index that it is in front of are never asked for through it; others are."""
    theirs = has(far, "numpy", "1.0")

    async def main() -> None:
        workers = Workers(where)
        try:
            await workers.define("main", {"upstream": {"url": far.url}})
            access = AccessRecords(workers.store)
            stage = {"in_front_of": "main"}
            await asyncio.to_thread(defining.create_index, access, "pr-1", stage, default="main", origin=Origin())
            for path, name in (("/", "of-main"), ("/pr-1/", "of-stage")):
                content = {"content": (wheel_name(name, "1.0"), make_wheel(name, "1.0"))}
                sent = await workers.clients[0].post(path, data={":action": "file_upload"}, files=content)
                assert sent.status_code == 200, sent.text
                has(far, name, "9.0")
            far.requests.clear()
            for name in ("of-stage", "of-main"):
                assert await workers.files(f"/pr-1/simple/{name}/") == [wheel_name(name, "1.0")]
                assert asked(far, name) == 0
            assert await workers.files("/pr-1/simple/numpy/") == [theirs]
            await workers.define("main", {"remove_upstream": far.url})
            assert await workers.files("/pr-1/simple/numpy/") == 404
        finally:
            await workers.close()

    asyncio.run(main())


def test_the_upstreams_of_a_front_do_not_join_what_an_index_behind_merges(
    where: str, near: FakeIndex, far: FakeIndex
) -> None:
    """Each decides for itself: a merged project has files of the upstreams of its own index alone."""
    ours, theirs = wheel_name("tool", "1.0"), wheel_name("tool", "2.0")
    has(near, "tool", "2.0")
    has(far, "tool", "3.0")
    elsewhere = has(far, "other", "1.0")

    async def main() -> None:
        workers = Workers(where)
        try:
            await workers.define("main", {"claim": ["tool"]}, {"upstream": {"url": near.url}})
            content = {"content": (ours, make_wheel("tool", "1.0"))}
            assert (await workers.clients[0].post("/", data={":action": "file_upload"}, files=content)).is_success
            await workers.define("main", {"merge": ["tool"]})
            access = AccessRecords(workers.store)
            front = {"behind": ("main",), "upstream": {"url": far.url}}
            await asyncio.to_thread(defining.create_index, access, "team", front, default="main", origin=Origin())
            assert await workers.files("/team/simple/tool/") == [ours, theirs]
            assert await workers.files("/team/simple/other/") == [elsewhere]
        finally:
            await workers.close()

    asyncio.run(main())
    assert asked(far, "tool") == 0


def test_a_name_is_either_claimed_or_merged() -> None:
    """To merge a name ends the claim of that very name; a pattern has to be given up by itself."""
    upstream = {"upstream": {"url": "https://a.test/simple/"}}
    before = AccessDocument()
    for change in (upstream, {"claim": ["tool", "acme-*"]}, {"merge": ["tool"]}):
        before = with_settings(before, "main", change, "main")
    definition = before.indexes["main"]
    assert (definition.claims, definition.merged) == (("acme-*",), ("tool",))
    for change in ({"merge": ["acme-x"]}, {"claim": ["tool"]}, {"claim": ["t*"]}):
        with pytest.raises(InvalidRequest, match="cannot both keep"):
            with_settings(before, "main", change, "main")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"claim": [f"a*{each}" for each in range(201)]}, "At most 200 claims"),
        ({"merge": [f"name{each}" for each in range(1001)]}, "at most 1000 projects"),
    ],
)
def test_definitions_are_bounded(change: dict[str, Any], said: str) -> None:
    document = with_settings(AccessDocument(), "main", {"claim": [f"acme{each}-*" for each in range(5000)]}, "main")
    with pytest.raises(InvalidRequest, match=said):
        with_settings(document, "main", change, "main")


def test_archives_are_examined_in_threads_of_their_own(
    tmp_path: Path, near: FakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the metadata of mirrored files, which no client waits for: uploads do not wait for a large sdist."""
    names, examined = list[str](), threading.Event()
    read = read_metadata

    def noted(*words: Any, **more: Any) -> Any:
        names.append(threading.current_thread().name)
        examined.set()
        return read(*words, **more)

    monkeypatch.setattr("quire.upstream.making.read_metadata", noted)
    near.has("old", {sdist_name("old", "1.0"): make_sdist("old", "1.0")})

    async def main() -> None:
        workers = Workers(str(tmp_path))
        try:
            await workers.define("main", {"upstream": {"url": near.url}})
            client = workers.clients[0]
            (file,) = (await client.get("/simple/old/", headers=JSON)).json()["files"]
            assert (await client.get(str(httpx.URL("http://127.0.0.1/simple/old/").join(file["url"])))).is_success
            assert await asyncio.to_thread(examined.wait, 20)
        finally:
            await workers.close()

    asyncio.run(main())
    assert all(name.startswith("behind") for name in names)
