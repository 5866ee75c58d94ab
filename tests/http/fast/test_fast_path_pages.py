"""Pages of projects for people on the fast path: never stale, and never of another reader or another address."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx
from structlog.testing import capture_logs

from quire.access.records import AccessRecords
from quire.config.settings import Settings
from quire.domain.changes import Selection
from quire.domain.project import Status
from quire.http.app.application import create_application
from quire.http.fast.fast_path import ASGIHeaders, FastPath
from quire.http.fast.fast_path_pages import MAX_ANSWERS
from quire.http.ui.projects.handlers import MAX_PAGES
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.index.upload import examine, upload_key
from quire.operations import defining, granting
from quire.store.posix.store import PosixStore
from tests.asking import basic, password_file
from tests.distributions import make_wheel, wheel_name
from tests.serving import DEADLINE

Lines = dict[str, str]
PAGE = "/project/demo/"
HERE = {"host": "127.0.0.1"}


class Worker:
    """One worker's application and its fast path, without a server."""

    def __init__(self, folder: Path, **settings: object) -> None:
        application = create_application(
            Settings(directories=(str(folder),), **({"authenticate": (), "fallback_url": None} | settings))  # type: ignore[arg-type]
        )
        self.worker = application.state.worker
        self.fast_path = FastPath(self.worker, self.worker.indexes.default)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(application), base_url="http://127.0.0.1", headers={"accept-encoding": ""}
        )
        self.store = PosixStore.open(str(folder))

    async def ask(self, path: str = PAGE, lines: Lines = HERE, *, scheme: str = "http") -> bytes | None:
        """The page, or the bytes of a 304; None where it is left to the application."""
        await asyncio.sleep(0)  # what is asked now arrived after all that was done before
        headers = ASGIHeaders([(name.encode(), value.encode()) for name, value in lines.items()])
        given = self.fast_path.respond_inline(path, headers, lambda: "127.0.0.1", scheme=scheme)
        return None if given is None else given[0].body

    async def prepare(self, path: str = PAGE, lines: Lines = HERE, *, scheme: str = "http") -> bytes:
        """Ask the application until the answer is kept: the directories behind it have to be settled first."""
        deadline = time.monotonic() + DEADLINE
        while (found := await self.ask(path, lines, scheme=scheme)) is None:
            assert time.monotonic() < deadline, "it was never answered quickly"
            answer = await self.client.get(f"{scheme}://127.0.0.1{path}", headers=lines)
            assert answer.status_code == 200
            await asyncio.sleep(0.02)
        assert found == (await self.client.get(f"{scheme}://127.0.0.1{path}", headers=lines)).content
        return found

    def publish(self, project: str, version: str = "1.0", index: str = "main") -> None:
        staging = self.store.blobs.stage(upload_key(wheel_name(project, version)))
        staging.write(make_wheel(project, version))
        Index(self.store, index).publish([examine(staging.finish(), wheel_name(project, version))])


def test_a_change_by_another_process_is_in_the_very_next_page(tmp_path: Path) -> None:
    """Of the project, of the list of projects, and of the grants: each makes the kept page no more the one to give."""
    worker = Worker(tmp_path)
    worker.publish("demo")

    async def scenario() -> None:
        await worker.prepare()
        Index(worker.store).set_status("demo", Status.DEPRECATED, "no more needed")
        assert await worker.ask() is None
        assert b"no more needed" in await worker.prepare()
        worker.publish("other")
        assert await worker.ask() is None
        await worker.prepare()
        granting.begin(AccessRecords(worker.store), "root", (), Origin(command="test"))
        assert await worker.ask() is None
        await worker.prepare()
        worker.publish("demo", "2.0")
        assert await worker.ask() is None
        assert b"demo-2.0" in await worker.prepare()
        Index(worker.store).delete("demo", Selection(version="2.0"))
        assert await worker.ask() is None
        assert b"demo-2.0" not in await worker.prepare()

    asyncio.run(scenario())


def test_a_right_that_is_taken_counts_at_once(tmp_path: Path) -> None:
    """As soon as readers need a login, the kept page is given to none without one."""
    users = password_file(tmp_path, alice="secret")
    (tmp_path / "packages").mkdir()
    worker = Worker(tmp_path / "packages", authenticate=("update",), passwords=str(users))
    worker.publish("demo")

    async def scenario() -> None:
        await worker.prepare()
        granting.begin(AccessRecords(worker.store), "alice", ("list", "download", "update"), Origin(command="test"))
        assert await worker.ask() is None
        assert (await worker.client.get(PAGE)).status_code == 401
        signed = await worker.client.get(PAGE, auth=("alice", "secret"))
        assert signed.status_code == 200
        assert await worker.ask() is None
        assert await worker.ask(lines=HERE | {"authorization": basic("alice", "secret")}) is None

    asyncio.run(scenario())


OTHERS: tuple[Lines, ...] = (
    {"host": "another.example"},
    {"x-forwarded-proto": "https"},
    {"x-forwarded-for": "192.0.2.1", "x-forwarded-prefix": "/below"},
)
"""Other addresses of the same index."""
UNKNOWN: tuple[Lines, ...] = (
    {"cookie": "a=b"},
    {"authorization": basic("alice", "secret")},
    {"x-user": "alice"},
    {"if-match": "*"},
    {"content-length": "0"},
    {"accept-encoding": "gzip"},
)


def test_other_readers_and_other_addresses_are_left_to_the_application(tmp_path: Path) -> None:
    """Readers that may have a login; and a page with the address of the index in it is one of that address alone."""
    headers = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-prefix")
    worker = Worker(tmp_path, user_header="x-user", trusted_proxies=("127.0.0.1",), trusted_headers=headers)
    worker.publish("demo")

    async def scenario() -> None:
        page = await worker.prepare()
        for more in (*OTHERS, *UNKNOWN):
            assert await worker.ask(lines=HERE | more) is None, more
        assert await worker.ask(scheme="https") is None
        assert (await worker.ask(f"{PAGE}manage/"), await worker.ask(f"{PAGE}diff/")) == (None, None)
        for more in OTHERS:  # the lines to install name the index
            assert page != await worker.prepare(lines=HERE | more), more
        assert page != await worker.prepare(scheme="https")
        assert await worker.ask() == page

    asyncio.run(scenario())


def test_a_page_of_a_named_index_is_of_that_index(tmp_path: Path) -> None:
    """Each index has its own pages of a name, with its own rights."""
    worker = Worker(tmp_path)
    defining.create_index(AccessRecords(worker.store), "team", {}, default="main", origin=Origin(command="test"))
    worker.publish("demo")
    worker.publish("demo", "77.5", "team")

    async def scenario() -> None:
        own = await worker.prepare()
        teams = await worker.prepare("/team/project/demo/")
        assert b"77.5" in teams
        assert b"77.5" not in own
        worker.publish("demo", "88.5", "team")
        assert await worker.ask("/team/project/demo/") is None
        assert await worker.ask() == own
        assert b"88.5" in await worker.prepare("/team/project/demo/")

    asyncio.run(scenario())


def test_few_answers_are_kept_of_a_project(tmp_path: Path) -> None:
    """Clients choose hosts; the newest answers are kept."""
    worker = Worker(tmp_path)
    worker.publish("demo")

    async def scenario() -> None:
        await worker.prepare()
        hosts = [{"host": f"host-{number}.example"} for number in range(MAX_ANSWERS)]
        for host in hosts:
            assert (await worker.client.get(PAGE, headers=host)).status_code == 200
        assert await worker.ask() is None
        for host in hosts[-4:]:
            assert await worker.ask(lines=host) is not None
        assert len(worker.worker.indexes.default.projects.memory.get("demo").prepared) <= MAX_ANSWERS

    asyncio.run(scenario())


def test_an_answer_is_kept_as_long_as_its_page(tmp_path: Path) -> None:
    """So its bytes are counted, whatever hosts clients choose, and also after the page was made again."""
    worker = Worker(tmp_path)
    worker.publish("demo")

    async def scenario() -> None:
        await worker.prepare()
        hosts = [HERE, *({"host": f"host-{number}.example"} for number in range(MAX_PAGES))]
        for host in (*hosts[1:], HERE):
            assert (await worker.client.get(PAGE, headers=host)).status_code == 200
        bodies = [body for host in hosts if (body := await worker.ask(lines=host)) is not None]
        assert len(bodies) == MAX_PAGES
        view = worker.worker.indexes.default.projects.memory.get("demo")
        assert view.bytes_in_memory > sum(map(len, bodies))

    asyncio.run(scenario())


def test_a_page_is_logged_like_any_other(tmp_path: Path) -> None:
    """The line has the same fields as that of the application."""
    worker = Worker(tmp_path, verbosity=1)
    worker.publish("demo")

    async def scenario() -> None:
        await worker.prepare()
        with capture_logs() as lines:
            await worker.ask()
            await worker.client.get(PAGE, headers=HERE)
        quick, general = lines
        volatile = {"request", "milliseconds", "client"}
        assert {name: quick[name] for name in quick if name not in volatile} == {
            name: general[name] for name in general if name not in volatile
        }
        assert (quick["project"], quick["route"]) == ("demo", "web")

    asyncio.run(scenario())
