"""Work on all projects at once: the number of files, and the list of all of them. It delays no other request.

Replaced here: reading and rendering, by the same functions that count or wait, since no answer tells how much work it
was.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest

from quire.catalog.drop_ins import DropIns
from quire.catalog.file_count import FileCount
from quire.catalog.file_list import FileList, FileLists
from quire.catalog.hosted import Hosted
from quire.catalog.sources import AnySource
from quire.config.settings import Settings
from quire.domain.changes import Selection
from quire.domain.errors import StoreError
from quire.domain.project import Status
from quire.dropin.folder import Folder
from quire.http.app.application import create_application
from quire.http.app.worker import LARGE_PAGES_PENDING
from quire.http.ui import browse, home
from quire.http.ui.usage import usage
from quire.index.index import Index
from quire.index.upload import examine, upload_key
from quire.render.pypi_json import render_release_json
from quire.store.memory import MemoryStore
from tests.asking import JSON_V1
from tests.distributions import make_wheel, wheel_name
from tests.serving import DEADLINE


def _publish(index: Index, name: str, version: str = "1.0") -> None:
    staging = index.store.blobs.stage(upload_key(wheel_name(name, version)))
    staging.write(make_wheel(name, version))
    index.publish([examine(staging.finish(), wheel_name(name, version))])


class _Noting(Index):
    """Notes the projects whose records are decoded."""

    decoded: list[str]

    def decode(self, record: Any) -> Any:  # type: ignore[override]  # passes on what it gets
        self.decoded.append(record.key.rpartition("/")[2])
        return Index.decode(record)


def _sources(index: Index, *folders: Folder) -> tuple[AnySource, ...]:
    return Hosted(index), *map(DropIns, folders)


def _lists(index: Index, *folders: Folder) -> FileLists:
    hosted = Hosted(index)
    return FileLists(hosted, [hosted, *map(DropIns, folders)])


def _listed(page: FileList) -> list[str]:
    return re.findall(r">([^<>]+)</a>", page.page.body.decode())


def test_counts_what_is_offered(tmp_path: Path) -> None:
    """Hosted and dropped-in files, without those of a quarantined project; every count is of the moment."""
    index, folder = Index(MemoryStore()), Folder([tmp_path])
    count = FileCount(_sources(index, folder))
    assert count.count() == 0
    for name, version in (("one", "1.0"), ("one", "2.0"), ("two", "1.0")):
        _publish(index, name, version)
    assert count.count() == count.count() == 3
    index.set_status("one", Status.QUARANTINED)
    assert count.count() == 1
    index.set_status("one", Status.ACTIVE)
    index.delete("one", Selection(version="1.0"))
    (tmp_path / wheel_name("dropped", "1.0")).write_bytes(make_wheel("dropped", "1.0"))
    assert count.count() == 3


def test_an_unchanged_project_is_not_read_again() -> None:
    """A count over many projects costs a validation each, and decodes only what changed."""
    index = Index(MemoryStore())
    for number in range(5):
        _publish(index, f"project-{number}")
    decoded = []

    class Noting(Index):
        @staticmethod
        def decode(record: object) -> object:  # type: ignore[override]  # passes on what it gets
            decoded.append(record)
            return Index.decode(record)  # type: ignore[arg-type]

    count = FileCount(_sources(Noting(index.store)))
    assert (count.count(), len(decoded)) == (5, 5)
    _publish(index, "project-3", "2.0")
    assert (count.count(), len(decoded)) == (6, 6)


def test_a_damaged_project_is_left_out() -> None:
    """The others are counted and listed."""
    index = Index(MemoryStore())
    _publish(index, "good")
    index.store.records.write(index.key("bad"), b"garbage", index.store.records.read(index.key("bad")))
    assert FileCount(_sources(index)).count() == 1
    assert _listed(_lists(index).load("", None)) == [wheel_name("good", "1.0")]


def test_a_lost_directory_is_an_error_and_no_empty_list(tmp_path: Path) -> None:
    """StoreError, which the pages turn into 503 or an older number."""
    index, folder = Index(MemoryStore()), Folder([tmp_path / "missing"])
    for look in (FileCount(_sources(index, folder)).count, lambda: _lists(index, folder).load("", None)):
        try:
            look()
        except StoreError:
            continue
        raise AssertionError("it was answered")


def test_a_list_of_files_decodes_what_changed(tmp_path: Path) -> None:
    """Each state is the page that a worker without memory makes, and the same object as long as nothing changes."""
    index = _Noting(MemoryStore())
    index.decoded = []
    lists, folder = _lists(index, Folder([tmp_path])), tmp_path / wheel_name("p-2", "7.0")
    for number in range(5):
        _publish(index, f"p-{number}")
    known = lists.load("", None)
    steps: list[tuple[Callable[[], object], list[str]]] = [
        (lambda: _publish(index, "p-3", "2.0"), ["p-3"]),
        (lambda: _publish(index, "a-first"), ["a-first"]),
        (lambda: index.delete("p-4", Selection(version="1.0")), []),
        (lambda: index.set_status("p-1", Status.QUARANTINED), ["p-1"]),
        (lambda: index.set_status("p-1", Status.ACTIVE), ["p-1"]),
        (lambda: folder.write_bytes(make_wheel("p-2", "7.0")), ["p-2"]),  # a drop-in file beside the hosted one
        (folder.unlink, ["p-2"]),
    ]
    for step, decoded in steps:
        step()
        index.decoded.clear()
        after = lists.load("", known)
        assert sorted(set(index.decoded)) == decoded
        assert after.page == _lists(index, Folder([tmp_path])).load("", None).page
        assert lists.load("", after) is after
        known = after
    assert _listed(known) == [wheel_name(name, "1.0") for name in ("a-first", "p-0", "p-1", "p-2", "p-3")] + [
        wheel_name("p-3", "2.0")
    ]


CONCURRENT = 20
PROJECTS = 30
LARGE = ["/packages/", "/pypi/p-1/json", "/p-1/json", "/"]
SEARCH = (
    "<methodCall><methodName>search</methodName><params><param><value><struct><member><name>name</name>"
    "<value><string>p</string></value></member></struct></value></param></params></methodCall>"
)


@pytest.fixture
def application(tmp_path: Path) -> Any:
    """An index of PROJECTS hosted projects, p-0 and so on."""
    application = create_application(Settings(directories=(str(tmp_path),)))
    for number in range(PROJECTS):
        _publish(application.state.worker.default.hosted, f"p-{number}")
    return application


def test_a_change_that_shows_nowhere_is_decoded_once() -> None:
    """A yank leaves the page, its ETag and its compressed forms as they are, and is not read again and again."""
    index = _Noting(MemoryStore())
    index.decoded = []
    for name in ("alpha", "beta"):
        _publish(index, name)
    lists = _lists(index)
    before = lists.load("", None)
    index.yank("alpha", Selection(filename=wheel_name("alpha", "1.0")))
    after = lists.load("", before)
    assert after.page is before.page
    index.decoded = []
    assert lists.load("", after) is after
    assert index.decoded == []


@pytest.mark.parametrize("path", ["/packages/", "/pypi/p-1/json"])
def test_concurrent_requests_share_the_work(application: Any, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Twenty at once read the store as often as two would, or a few where the machine is too busy to begin all of them
    during the first reading; they render once, and the next twenty get 304."""
    records, reads, rendered = application.state.worker.default.store.records, list[str](), list[object]()
    read, render = records.read, render_release_json

    def noting_read(key: str, known: Any = None) -> Any:
        reads.append(key)
        return read(key, known)

    def noting_render(*arguments: Any, **more: Any) -> bytes:
        rendered.append(arguments)
        return render(*arguments, **more)

    monkeypatch.setattr(records, "read", noting_read)
    monkeypatch.setattr("quire.http.ui.browse.render_release_json", noting_render)

    async def ask() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://index") as client:
            answers = await asyncio.gather(*(client.get(path) for _ in range(CONCURRENT)))
            assert {(answer.status_code, answer.content) for answer in answers} == {(200, answers[0].content)}
            assert len(reads) <= CONCURRENT // 4 * (PROJECTS + 1)
            etag = {"If-None-Match": answers[0].headers["etag"]}
            again = await asyncio.gather(*(client.get(path, headers=etag) for _ in range(CONCURRENT)))
            assert {answer.status_code for answer in again} == {304}
            assert len(reads) <= CONCURRENT // 2 * (PROJECTS + 1)
            assert len(rendered) <= 1

    asyncio.run(ask())


def test_a_home_page_is_rendered_once_for_each_address(application: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients choose the address, so few are remembered."""
    rendered: list[str] = []

    def noting(url: str, *rest: Any, **more: Any) -> Any:
        rendered.append(url)
        return usage(url, *rest, **more)

    monkeypatch.setattr("quire.http.ui.home.usage", noting)

    async def ask(host: str) -> str:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url=f"http://{host}") as client:
            return (await client.get("/")).text

    async def scenario() -> None:
        pages = [await ask(host) for host in ("index", "index", "elsewhere", "index", "elsewhere")]
        assert pages[0] == pages[1] == pages[3] != pages[2] == pages[4]
        assert "http://elsewhere/simple/" in pages[2]
        assert rendered == ["http://index/", "http://elsewhere/"]
        for number in range(home.MAX_HOME_PAGES):
            await ask(f"host-{number}")
        rendered.clear()
        assert await ask("index") == pages[0]
        assert rendered == ["http://index/"]

    asyncio.run(scenario())


def test_a_search_decodes_what_changed(application: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same search again is answered from what the one before read, as long as it is true."""
    decoded: list[str] = []
    decode = Index.decode

    def noting(record: Any) -> Any:
        decoded.append(record.key.rpartition("/")[2])
        return decode(record)

    monkeypatch.setattr(Index, "decode", staticmethod(noting))

    async def ask() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://index") as client:
            first = await client.post("/RPC2", content=SEARCH)
            assert len(decoded) == PROJECTS
            decoded.clear()
            assert (await client.post("/RPC2", content=SEARCH)).content == first.content
            assert decoded == []
            _publish(application.state.worker.default.hosted, "p-7", "2.0")
            decoded.clear()
            assert b"2.0" in (await client.post("/RPC2", content=SEARCH)).content
            assert decoded == ["p-7"]

    asyncio.run(ask())


def test_large_pages_hold_up_no_listing_and_no_download(application: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While twenty requests for each of them wait for a store that does not answer their threads, a project that was
    never asked for is listed, and its file downloaded."""
    records, goes_on, held = application.state.worker.default.store.records, threading.Event(), threading.Event()
    read = records.read

    def waiting_read(key: str, known: Any = None) -> Any:
        if threading.current_thread().name.startswith("large"):
            held.set()
            goes_on.wait()
        return read(key, known)

    monkeypatch.setattr(records, "read", waiting_read)

    async def ask() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://index") as client:
            large = [asyncio.create_task(client.get(path)) for path in LARGE for _ in range(CONCURRENT)]
            large += [asyncio.create_task(client.post("/RPC2", content=SEARCH)) for _ in range(CONCURRENT)]
            await asyncio.to_thread(held.wait)
            try:
                page = await client.get("/simple/p-7/", headers={"Accept": JSON_V1})
                (file,) = page.json()["files"]
                assert (await client.get(page.url.join(file["url"]))).content == make_wheel("p-7", "1.0")
            finally:
                goes_on.set()
            assert {answer.status_code for answer in await asyncio.gather(*large)} == {200}

    asyncio.run(ask())


def test_work_that_waits_is_bounded(application: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that asks for ever other documents makes the next ones wait, and is then told to come again."""
    goes_on = threading.Event()

    def waiting_render(*arguments: Any, **more: Any) -> bytes:
        goes_on.wait()
        return render_release_json(*arguments, **more)

    monkeypatch.setattr("quire.http.ui.browse.render_release_json", waiting_render)

    async def ask() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://index") as client:
            asked = [
                asyncio.create_task(client.get("/pypi/p-1/json", headers={"Host": f"host-{number}"}))
                for number in range(LARGE_PAGES_PENDING + 2)
            ]
            try:
                async with asyncio.timeout(DEADLINE):
                    refused = [await answer for answer in islice(asyncio.as_completed(asked), 2)]
                    page = await client.get("/simple/p-1/")
            finally:
                goes_on.set()
            for answer in refused:
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
                assert answer.text == "Too many large pages are being made; try again in some seconds.\n"
            assert page.status_code == 200
            answers = Counter([answer.status_code for answer in await asyncio.gather(*asked)])
            assert answers == {200: LARGE_PAGES_PENDING, 503: 2}
            assert (await client.get("/pypi/p-1/json", headers={"Host": "host-last"})).status_code == 200

    asyncio.run(ask())


def test_documents_of_a_project_are_bounded(application: Any) -> None:
    """A client that names ever other hosts fills no memory; what is remembered is charged to the budget."""

    async def ask() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://index") as client:
            sizes = []
            for number in range(10, 40):
                answer = await client.get("/pypi/p-1/json", headers={"Host": f"host-{number}"})
                assert answer.json()["urls"][0]["url"].startswith(f"http://host-{number}/packages/")
                sizes.append(application.state.worker.default.projects.memory.bytes)
            assert sizes[-1] - sizes[browse.MAX_DOCUMENTS] < 100 < sizes[1] - sizes[0]

    asyncio.run(ask())


def test_work_that_found_no_thread_does_not_wait(application: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the limit of processes was reached for a while, large pages are made again."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def ask() -> None:
        transport = httpx.ASGITransport(application, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://index") as client:
            with monkeypatch.context() as patch:
                patch.setattr(threading.Thread, "start", start)
                for number in range(LARGE_PAGES_PENDING + 1):
                    answer = await client.get("/pypi/p-1/json", headers={"Host": f"host-{number}"})
                    assert answer.status_code == 500
            assert (await client.get("/pypi/p-1/json")).status_code == 200

    asyncio.run(ask())
