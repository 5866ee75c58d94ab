"""The fast path: the same responses as the application's, only for requests that it answered before, never stale."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from quire.catalog.composing import ProjectNames, Projects
from quire.catalog.freshness import Barrier
from quire.catalog.hosted import Hosted
from quire.config.settings import Settings
from quire.domain.project import Status
from quire.http.app.application import create_application
from quire.http.fast.fast_path import ASGIHeaders, FastPath
from quire.http.fast.raw_requests import RawRequests
from quire.index.index import Index
from quire.index.upload import examine, upload_key
from quire.store.posix.store import PosixStore
from tests.asking import (
    HTML_V1,
    JSON_V1,
    OPEN,
    LoopbackConnection,
    Site,
    basic,
    password_file,
    publish,
    publish_wheel,
    raw_answer,
    serve,
)
from tests.distributions import make_wheel, wheel_name
from tests.serving import DEADLINE, until

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
PLAIN = [(b"host", b"127.0.0.1")]
VOLATILE = {"date", "x-request-id"}


@pytest.fixture(scope="module", params=["gunicorn", "uvicorn"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, place: str) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("quick")
    with serve(folder, *OPEN, "--server", request.param, "--workers", "1", place=place) as site:
        for number in range(12):  # enough for its pages to be compressed
            publish_wheel(site, "demo", f"1.{number}")
        publish(site, wheel_name("large", "1.0"), _large_wheel(), name="large", version="1.0")
        yield site


def _large_wheel() -> bytes:
    return make_wheel("large", "1.0", files={"large/data": bytes(range(256)) * 4000})


@pytest.mark.parametrize("path", ["/simple/", "/simple/demo/"])
@pytest.mark.parametrize("accept", [None, "*/*", JSON_V1, HTML_V1, "text/html;q=0.1, application/json"])
@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd", "br"])
def test_the_same_answer_as_without(site: Site, path: str, accept: str | None, encoding: str) -> None:
    """However often a page is asked for, status, headers and bytes are those of the first time; so is a 304."""
    headers = {"accept-encoding": encoding} | ({"accept": accept} if accept is not None else {})
    answers = [site.client.get(path, headers=headers) for _ in range(3)]
    general = site.client.get(f"{path}?a-query=keeps-it-general", headers=headers)
    for answer in answers:
        assert answer.status_code == general.status_code
        assert answer.content == general.content
        assert _lasting(answer) == _lasting(general)
    if general.status_code != 200:
        return
    headers["if-none-match"] = f'"other", {general.headers["etag"]}'
    again, general = site.client.get(path, headers=headers), site.client.get(f"{path}?x", headers=headers)
    assert (again.status_code, again.content) == (304, b"")
    assert _lasting(again) == _lasting(general)


@pytest.mark.parametrize("path", ["/project/demo/", "/project/demo/1.3/", "/project/large/"])
@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd", "br"])
def test_the_same_page_for_people_as_without(site: Site, path: str, encoding: str) -> None:
    """Of a project and of a release: policy, validator and bytes are those of the application, which gives an id to
    each request; so is a 304. HEAD, a cookie and credentials are left to the application."""
    headers = {"accept": BROWSER, "accept-encoding": encoding}
    general = site.client.get(f"{path}?a-query=keeps-it-general", headers=headers)
    assert (general.status_code, "x-request-id" in general.headers) == (200, True)
    is_quick = site.place in {"", "memory:"}  # over a network a page for people takes the application
    if is_quick:
        until(lambda: "x-request-id" not in site.client.get(path, headers=headers).headers)
    answer = site.client.get(path, headers=headers)
    assert answer.content == general.content
    assert _lasting(answer) == _lasting(general)
    assert {"content-security-policy", "etag", "vary", "cache-control"} <= set(answer.headers)
    for tag in (general.headers["etag"], f'"other", {general.headers["etag"]}', "*", '"other"'):
        more = headers | {"if-none-match": tag}
        again, general = site.client.get(path, headers=more), site.client.get(f"{path}?x", headers=more)
        assert (again.status_code, again.content) == (general.status_code, general.content)
        assert again.status_code == (200 if tag == '"other"' else 304)
        assert ("x-request-id" not in again.headers) == is_quick
        assert _lasting(again) == _lasting(general)
    for left in (
        site.client.head(path, headers=headers),
        site.client.get(path, headers=headers | {"cookie": "quire_session=x"}),
        site.client.get(path, headers=headers | {"authorization": basic("alice", "secret")}),
    ):
        assert (left.status_code, "x-request-id" in left.headers) == (200, True)
        assert _lasting(left) == _lasting(answer)


@pytest.mark.parametrize("companion", ["", ".metadata", ".asc"])
@pytest.mark.parametrize("project", ["demo", "large"])
def test_the_same_file_as_without(site: Site, project: str, companion: str) -> None:
    """So are files: small and large ones, and what lies beside them."""
    url = site.listing(project)["files"][0]["url"]
    path = f"/simple/{project}/{url}{companion}"
    answers = [site.client.get(path) for _ in range(3)]
    general = site.client.get(f"{path}?a-query=keeps-it-general")
    for answer in answers:
        assert answer.status_code == general.status_code == (404 if companion == ".asc" else 200)
        assert answer.content == general.content
        assert _lasting(answer) == _lasting(general)
    if companion != ".asc":
        headers = {"if-none-match": general.headers["etag"]}
        again, general = site.client.get(path, headers=headers), site.client.get(f"{path}?x", headers=headers)
        assert (again.status_code, again.content) == (304, b"")
        assert _lasting(again) == _lasting(general)


def test_a_query_beyond_ascii(site: Site) -> None:
    """Characters as a browser's address line or curl send them, unescaped: an answer, never a defect."""
    for query in ("q=日本", "q=é", "format=日本"):
        for path in ("/simple/demo/", "/simple/Demo/", "/absent"):
            with site.connect() as connection:
                connection.sendall(f"GET {path}?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                assert raw_answer(connection).status < 500, (query, path)


def _lasting(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in VOLATILE}


class Worker:
    """One worker's application and its fast-path responses, without a server."""

    def __init__(self, folder: Path, **settings: object) -> None:
        application = create_application(
            Settings(directories=(str(folder),), **({"authenticate": (), "fallback_url": None} | settings))  # type: ignore[arg-type]
        )
        self.worker = application.state.worker
        self.fast_path = FastPath(self.worker, self.worker.default)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(application), base_url="http://127.0.0.1", headers={"accept-encoding": ""}
        )

    def ask(self, path: str, *lines: tuple[bytes, bytes]) -> int | None:
        found = self.fast_path.find_response(path, ASGIHeaders([*PLAIN, *lines]))
        return None if found is None else found[0].status

    async def prepare(self, path: str, *lines: tuple[bytes, bytes]) -> None:
        """Ask the application until the answer is ready: the directories behind it have to be settled first."""
        headers = {name.decode(): value.decode() for name, value in lines}
        deadline = time.monotonic() + DEADLINE
        while self.ask(path, *lines) != 200:
            assert time.monotonic() < deadline, "it was never answered quickly"
            assert (await self.client.get(path, headers=headers)).status_code == 200
            await asyncio.sleep(0.02)
        await asyncio.sleep(0)


def test_only_requests_that_were_answered_before(tmp_path: Path) -> None:
    """A page is answered quickly from its second time on, in the forms that were asked for."""
    worker = Worker(tmp_path)

    async def scenario() -> None:
        assert worker.ask("/simple/") is None
        await worker.prepare("/simple/")
        assert worker.ask("/simple/", (b"accept", JSON_V1.encode())) is None
        assert worker.ask("/simple/absent/") is None
        assert worker.ask("/simple/..%2f/") is None
        assert worker.ask("/simple/Not.Normal/") is None

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "lines",
    [
        [(b"content-length", b"0")],
        [(b"transfer-encoding", b"chunked")],
        [(b"host", b"other")],
        [(b"accept", b"image/png")],
    ],
)
def test_unsupported_requests_are_left_to_the_application(tmp_path: Path, lines: list[tuple[bytes, bytes]]) -> None:
    """A body, an ambiguous frame or host, a media type that cannot be served."""
    worker = Worker(tmp_path)

    async def scenario() -> None:
        await worker.prepare("/simple/")
        assert worker.ask("/simple/", *lines) is None
        assert worker.fast_path.find_response("/simple/", ASGIHeaders([(b"host", b"a b")])) is None
        assert worker.fast_path.find_response("/simple/", ASGIHeaders([])) is None

    asyncio.run(scenario())


def test_a_login_is_needed_where_it_was(tmp_path: Path) -> None:
    """Only credentials that were found good are taken, only as long as the password file has them."""
    users = password_file(tmp_path, alice="secret")
    worker = Worker(tmp_path, authenticate=("list",), passwords=str(users))
    login = (b"authorization", basic("alice", "secret").encode())
    wrong = (b"authorization", basic("alice", "guess").encode())

    async def scenario() -> None:
        assert worker.ask("/simple/", login) is None
        await worker.prepare("/simple/", login)
        assert [worker.ask("/simple/", login) for _ in range(2)] == [200, 200]
        assert worker.ask("/simple/") is None
        assert worker.ask("/simple/", wrong) is None
        password_file(tmp_path, bob="another")
        await asyncio.sleep(0)  # requests from now on arrived after it
        assert worker.ask("/simple/", login) is None
        assert (await worker.client.get("/simple/", auth=("alice", "secret"))).status_code == 401

    asyncio.run(scenario())


def test_a_recognised_login_counts_as_long_as_it_is_good(tmp_path: Path) -> None:
    """By the bytes of a request: not with another password file, again when the application found it good again."""
    users = password_file(tmp_path, alice="secret")
    (tmp_path / "packages").mkdir()
    worker = Worker(tmp_path / "packages", authenticate=("list",), passwords=str(users))
    login = (b"authorization", basic("alice", "secret").encode())
    raw_requests = RawRequests(worker.fast_path)
    head = b"".join(b"%b: %b\r\n" % line for line in [*PLAIN, login])

    def ask() -> int | None:
        request = raw_requests.read(b"GET /simple/ HTTP/1.1\r\n" + head + b"\r\n")
        assert request is not None
        worker.fast_path.begin_tick()
        response = raw_requests.answer_inline(*request, LoopbackConnection())
        worker.fast_path.end_tick()
        return None if response is None else int(response[0][9:12])

    async def scenario() -> None:
        assert ask() is None
        await worker.prepare("/simple/", login)
        assert [ask(), ask()] == [200, 200]
        password_file(tmp_path, alice="another")
        assert ask() is None
        assert (await worker.client.get("/simple/", auth=("alice", "secret"))).status_code == 401
        assert ask() is None
        password_file(tmp_path, alice="secret")
        assert ask() is None
        assert (await worker.client.get("/simple/", auth=("alice", "secret"))).status_code == 200
        assert [ask(), ask()] == [200, 200]

    asyncio.run(scenario())


def test_a_fast_path_response_is_logged_like_any_other(tmp_path: Path) -> None:
    """With its user, and the client that a trusted proxy names."""
    users = password_file(tmp_path, alice="secret")
    settings = {"trusted_proxies": ("127.0.0.1",), "verbosity": 1}
    worker = Worker(tmp_path, authenticate=("list",), passwords=str(users), **settings)
    login = (b"authorization", basic("alice", "secret").encode())

    async def scenario() -> None:
        await worker.prepare("/simple/", login)
        headers = ASGIHeaders([*PLAIN, login, (b"x-forwarded-for", b"192.0.2.9"), (b"x-request-id", b"an-id")])
        with capture_logs() as lines:
            given = worker.fast_path.respond_inline("/simple/", headers, lambda: "127.0.0.1")
        assert given is not None
        assert given[1] == "an-id"
        (line,) = lines
        assert (line["user"], line["client"], line["request"], line["status"]) == ("alice", "192.0.2.9", "an-id", 200)

    asyncio.run(scenario())


def test_a_change_by_another_process_is_in_the_very_next_answer(tmp_path: Path) -> None:
    """A prepared response is not sent after a change in the store; a small page is rendered again."""
    worker = Worker(tmp_path)
    store = PosixStore.open(str(tmp_path))
    other = Index(store)
    staging = store.blobs.stage(upload_key(wheel_name("demo", "1.0")))
    staging.write(make_wheel("demo", "1.0"))
    other.publish([examine(staging.finish(), wheel_name("demo", "1.0"))])

    async def scenario() -> None:
        for reason in ("two", "three"):
            await worker.prepare("/simple/demo/")
            other.set_status("demo", Status.ARCHIVED, reason)
            await asyncio.sleep(0)
            found = worker.fast_path.find_response("/simple/demo/", ASGIHeaders(PLAIN))
            assert found is not None
            assert reason.encode() in found[0].body
            assert reason in (await worker.client.get("/simple/demo/")).text

    asyncio.run(scenario())


class _Slow:
    """A source as over a network: no inline loads, and a load waits for permission."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self.permission = threading.Semaphore(0)
        self.begun = 0

    def begin_tick(self) -> None:
        """Nothing is shared in turns."""

    def load_inline(self, key: str, known: Any) -> None:
        raise AssertionError("asked on the event loop")

    def load(self, key: str, known: Any) -> Any:
        self.begun += 1
        assert self.permission.acquire(timeout=DEADLINE)
        return self._source.load(key, known)


def test_over_a_network_responses_are_awaited(tmp_path: Path) -> None:
    """A page that was served before is validated in a thread, once for all requests that wait, and given without the
    general application, with the user of the request; one that changed is left to it."""
    users = password_file(tmp_path, alice="secret", bob="secret")
    worker = Worker(tmp_path, authenticate=("list",), passwords=str(users), verbosity=1)
    store = PosixStore.open(str(tmp_path))
    other = Index(store)
    staging = store.blobs.stage(upload_key(wheel_name("demo", "1.0")))
    staging.write(make_wheel("demo", "1.0"))
    other.publish([examine(staging.finish(), wheel_name("demo", "1.0"))])
    index = worker.worker.default
    hosted = [Hosted(other)]
    sources = {"projects": _Slow(Projects(hosted)), "project_names": _Slow(ProjectNames(hosted))}
    readers = ThreadPoolExecutor(4)
    for name, source in sources.items():
        slow: Barrier[Any] = Barrier(source, inline=False, budget=worker.worker.budget, executor=lambda: readers)
        setattr(index, name, slow)
    fast_path = FastPath(worker.worker, index)
    assert fast_path.waits

    async def ask(path: str, user: str | None) -> int | None:
        login = [] if user is None else [(b"authorization", basic(user, "secret").encode())]
        identity = (b"x-request-id", f"of-{user}".encode())
        given = await fast_path.respond_awaited(path, ASGIHeaders([*PLAIN, *login, identity]), lambda: "")
        return None if given is None else given[0].status

    async def begun(source: _Slow, count: int) -> None:
        deadline = time.monotonic() + DEADLINE
        while source.begun < count:
            assert time.monotonic() < deadline
            await asyncio.sleep(0)

    async def scenario() -> None:
        for path, source in (("/simple/demo/", sources["projects"]), ("/simple/", sources["project_names"])):
            assert await ask(path, "alice") is None
            for user in ("alice", "bob"):
                source.permission.release()
                assert (await worker.client.get(path, auth=(user, "secret"))).status_code == 200
            before = source.begun
            first = asyncio.create_task(ask(path, "alice"))
            await begun(source, before + 1)
            together = [asyncio.create_task(ask(path, user)) for user in ("alice", "bob", None)]
            assert not first.done()
            source.permission.release(2)
            assert await first == 200
            assert await asyncio.gather(*together) == [200, 200, None]
            assert source.begun == before + 2
        other.set_status("demo", Status.ARCHIVED, "old")
        sources["projects"].permission.release()
        assert await ask("/simple/demo/", "alice") is None
        assert await ask("/simple/absent/", "alice") is None

    with capture_logs() as lines:
        asyncio.run(scenario())
    logged = [(line["request"], line["user"]) for line in lines if line.get("request", "").startswith("of-")]
    assert sorted(logged) == [("of-alice", "alice")] * 4 + [("of-bob", "bob")] * 2
