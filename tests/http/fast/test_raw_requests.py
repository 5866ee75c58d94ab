"""Raw requests: answered from their bytes, and only where every parser would read them the same.

Replaced here: parts of uvicorn, as a later version may lack them.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from quire.access.authenticator import Login
from quire.access.credentials import TokenLogin
from quire.http.fast.raw_requests import MAX_HEAD_BYTES, RawDownload, RawHeaders, RawRequests, ResponseBytes
from quire.http.fast.responses import AskedPage, CachedResponse, Headers, IdentifiedResponse, as_lines
from quire.render.negotiation import MediaType
from quire.servers.uvicorn_protocol import UVICORN_SETTINGS, Protocol
from quire.store.posix.directory import COARSE_RACY_SECONDS
from tests import marking
from tests.asking import OPEN, LoopbackConnection
from tests.serving import DEADLINE, free_port, running, until

HEAD = b"GET /simple/demo/ HTTP/1.1\r\nHost: quire.test\r\nAccept: text/html\r\n\r\n"
BODY = b"a page"
_HEADERS = [("etag", '"1"')]


class Answers:
    """Answers everything, and remembers what it was asked."""

    waits = False

    def __init__(self, status: int = 200) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.logins: list[Login | TokenLogin | None] = []
        self.good: dict[str, Login] = {}
        self.turns: list[int] = []
        """How many were asked in each turn."""
        self._status = status

    def begin_tick(self) -> None:
        self.turns.append(-len(self.asked))

    def end_tick(self) -> None:
        self.turns[-1] += len(self.asked)

    def find_login(self, authorization: str) -> Login | TokenLogin | None:
        return self.good.get(authorization)

    def respond_inline(
        self,
        path: str,
        headers: Headers,
        client: Callable[[], str],
        login: Login | TokenLogin | None,
        *,
        takes_files: bool,
        scheme: str = "http",
    ) -> IdentifiedResponse | None:
        assert not takes_files
        assert scheme == "http"
        assert isinstance(headers, RawHeaders)
        assert client() == "192.0.2.1"
        self.asked.append((path, dict(headers)))
        self.logins.append(login)
        body = BODY if self._status == 200 else b""
        return CachedResponse(self._status, _HEADERS, body, "project", lines=as_lines(_HEADERS)), ""

    def ask(self, path: str, headers: Headers, login: Login | TokenLogin | None) -> AskedPage | None:
        raise AssertionError("these answers are there at once")

    async def load(self, index: str | None, project: str | None, requests: int) -> object:
        raise AssertionError("these answers are there at once")

    def respond(
        self, asked: AskedPage, view: object, path: str, headers: Headers, client: Callable[[], str], *, begun: float
    ) -> IdentifiedResponse | None:
        return self.respond_inline(path, headers, client, None, takes_files=False)


class SlowAnswers(Answers):
    """Has an answer, or none, when it is told to."""

    waits = True

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[asyncio.Future[bool]] = []
        self.loaded: list[tuple[str | None, int]] = []
        """The awaited projects, and the number of requests for each."""

    def ask(self, path: str, headers: Headers, login: Login | TokenLogin | None) -> AskedPage | None:
        return AskedPage(path.split("/")[2] or None, (MediaType.HTML, "identity"), None)

    async def load(self, index: str | None, project: str | None, requests: int) -> object:
        self.loaded.append((project, requests))
        self.waiting.append(asyncio.get_running_loop().create_future())
        return project if await self.waiting[-1] else None


def _response(raw_requests: RawRequests, data: bytes) -> ResponseBytes | None:
    request = raw_requests.read(data)
    response = (
        None if request is None else raw_requests.answer_inline(*request, LoopbackConnection([(b"date", b"today")]))
    )
    assert not isinstance(response, RawDownload)
    return response


def _answered(data: bytes, answers: Answers | None = None) -> bytes | None:
    response = _response(RawRequests(answers or Answers()), data)
    return None if response is None else b"".join(response)


def test_a_raw_request_is_answered() -> None:
    """The response is whole: status line, the server's headers, the answer's, and the length of its body."""
    answers = Answers()
    response = b'HTTP/1.1 200 OK\r\ndate: today\r\netag: "1"\r\ncontent-length: 6\r\n\r\na page'
    assert _answered(HEAD, answers) == response
    assert answers.asked == [("/simple/demo/", {"host": "quire.test", "accept": "text/html"})]


def test_a_body_is_not_copied() -> None:
    """A list of projects may be of megabytes: what is sent is what is remembered."""
    response = _response(RawRequests(Answers()), HEAD)
    assert response is not None
    assert response[-1] is BODY


def test_a_page_that_is_not_modified_has_no_length() -> None:
    """RFC 9110, 15.4.5: a 304 is a head."""
    assert _answered(HEAD, Answers(304)) == b'HTTP/1.1 304 Not Modified\r\ndate: today\r\netag: "1"\r\n\r\n'


@pytest.mark.parametrize(
    "data",
    [
        HEAD[:-1],
        HEAD[:-4] + b"\r\n",
        HEAD + b"x",
        HEAD + HEAD,
        b"\r\n" + HEAD,
        b"",
        b"\r\n\r\n",
        b"GET",
        b"GET /\r\n\r\n",
        HEAD.replace(b"GET", b"get"),
        HEAD.replace(b"GET", b"HEAD"),
        HEAD.replace(b"GET", b"POST"),
        HEAD.replace(b"HTTP/1.1", b"HTTP/1.0"),
        HEAD.replace(b"HTTP/1.1", b"HTTP/1.1 "),
        HEAD.replace(b"\r\n", b"\n"),
        HEAD.replace(b"/demo/", b"/demo/?a=b"),
        HEAD.replace(b"/demo/", b"/d%65mo/"),
        HEAD.replace(b"/demo/", b"/d\xe9mo/"),
        HEAD.replace(b"/demo/", b"/demo/#top"),
        HEAD.replace(b"/demo/", b"/de mo/"),
        HEAD.replace(b"GET /", b"GET http://quire.test/"),
        HEAD.replace(b"GET /", b"GET  /"),
        HEAD.replace(b"Host: ", b"Host:"),
        HEAD.replace(b"Host: ", b"Host : "),
        HEAD.replace(b"Host: ", b" Host: "),
        HEAD.replace(b"Host: ", b"Host:  "),
        HEAD.replace(b"quire.test", b"quire.test "),
        HEAD.replace(b"quire.test", b""),
        HEAD.replace(b"text/html", b"text/\x00html"),
        HEAD.replace(b"text/html", b"text/\xe9"),
        HEAD.replace(b"text/html", b"text/html\r\n folded"),
        HEAD.replace(b"text/html", b"text/html\r\nAccept: */*"),
        HEAD.replace(b"text/html", b"text/html\r\nhost: other.test"),
        HEAD.replace(b"text/html", b"text/html\r\nContent-Length: 0"),
        HEAD.replace(b"text/html", b"text/html\r\nTransfer-Encoding: chunked"),
        HEAD.replace(b"text/html", b"text/html\r\nExpect: 100-continue"),
        HEAD.replace(b"text/html", b"text/html\r\nConnection: close"),
        HEAD.replace(b"text/html", b"text/html\r\nConnection: Upgrade\r\nUpgrade: websocket"),
        HEAD.replace(b"text/html", b"text/html\r\nAuthorization: Basic YTpi\r\nAuthorization: Basic YTpj"),
        HEAD.replace(b"text/html", b"text/html\r\nX-Authorization: a\r\nX-Authorization: b"),
        HEAD.replace(b"demo", b"d" * MAX_HEAD_BYTES),
        *(
            HEAD.replace(b"text/html", b"text/html\r\n%b: 1" % name)
            for name in (b"X-Unknown", b"X-A", b"Cookie", b"Proxy-Authorization", b"Range", b"If-Range", b"If-Match")
        ),
        *(
            HEAD.replace(b"text/html", b"text/html\r\n%b: 1" % name)
            for name in (
                b"If-Modified-Since",
                b"If-Unmodified-Since",
                b"TE",
                b"X-Original-URL",
                b"X-HTTP-Method-Override",
            )
        ),
    ],
)
def test_unsupported_requests_are_left_to_the_parser(data: bytes) -> None:
    """Pieces, several at once, bodies, other methods and versions, escapes, repeated and folded headers."""
    answers = Answers()
    assert _answered(data, answers) is None
    assert answers.asked == []


@pytest.mark.parametrize(
    "lines",
    [
        "User-Agent: pip/26.0|Accept-Encoding: gzip, deflate|Connection: keep-alive|Cache-Control: max-age=0",
        'user-agent: uv/0.9|accept-encoding: gzip, br, zstd|if-none-match: "1"',
        "User-Agent: Mozilla/5.0|Accept-Language: de|Upgrade-Insecure-Requests: 1|Sec-CH-UA: x|Sec-CH-UA-Mobile: ?0",
        "Sec-Fetch-Site: none|Sec-Fetch-Mode: x|Sec-Fetch-User: ?1|Sec-Fetch-Dest: document|Priority: u=0|DNT: 1",
        "X-Real-IP: ::1|X-Forwarded-For: ::1|X-Forwarded-Proto: https|X-Forwarded-Host: a|X-Forwarded-Port: 1",
        "X-Forwarded-For: 192.0.2.1|X-Forwarded-Proto: https|X-Forwarded-Port: 443|X-Amzn-Trace-Id: Root=1",
        "Via: 2.0 cloudfront|X-Amz-Cf-Id: x|CloudFront-Viewer-Address: ::1|CloudFront-Forwarded-Proto: https",
        "CF-Connecting-IP: 192.0.2.1|CF-Ray: 1|CF-Visitor: x|CF-IPCountry: DE|CDN-Loop: cloudflare",
        "traceparent: 00-1-1-01|tracestate: a=b|baggage: a=b|X-B3-TraceId: 1|X-Request-ID: 1|Forwarded: for=x",
    ],
)
def test_requests_of_clients_and_proxies_are_supported(lines: str) -> None:
    """pip, uv, browsers, nginx, Caddy, load balancers, CloudFront, Cloudflare, tracing."""
    assert _answered(HEAD.replace(b"\r\n\r\n", f"|{lines}||".replace("|", "\r\n").encode())) is not None


@pytest.mark.parametrize("name", [b"Authorization", b"authorization"])
def test_credentials_are_passed_on_and_not_kept(name: bytes) -> None:
    """Each request has its own, and no cache holds any; a request without credentials has none."""
    answers = Answers()
    raw_requests = RawRequests(answers)
    for secret in (b"Basic YTpi", b"Basic YTpj"):
        for line in (b"\r\n%b: %b\r\n" % (name, secret), b"\r\n"):
            assert _response(raw_requests, HEAD.replace(b"\r\nAccept", line + b"Accept")) is not None
    told = [headers.get("authorization") for _, headers in answers.asked]
    assert told == ["Basic YTpi", None, "Basic YTpj", None]
    assert [kept for kept in _kept_by(raw_requests) if "YTp" in kept] == []


def test_a_login_stands_for_its_credentials() -> None:
    """Those that were found good are recognised, with these header lines and no others, until the login is over."""
    answers = Answers()
    answers.good = {"Basic YTpi": Login("a", b"")}
    raw_requests = RawRequests(answers)

    def login(authorization: bytes, accept: bytes = b"text/html") -> Login | TokenLogin | None:
        data = HEAD.replace(b"text/html", b"%b\r\nAuthorization: %b" % (accept, authorization))
        assert _response(raw_requests, data) is not None
        return answers.logins[-1]

    first = answers.good["Basic YTpi"]
    assert [login(b"Basic YTpi"), login(b"Basic YTpi", b"*/*"), login(b"Basic YTpj")] == [first, first, None]
    assert [headers.get("authorization") for _, headers in answers.asked] == [None, None, "Basic YTpj"]
    assert not [kept for kept in _kept_by(raw_requests) if "YTp" in kept]
    answers.good.clear()
    assert login(b"Basic YTpi") is first
    first.is_over = True
    assert login(b"Basic YTpi") is None
    second = answers.good["Basic YTpi"] = Login("a", b"")
    assert login(b"Basic YTpi") is second


def _kept_by(raw_requests: RawRequests) -> list[str]:
    """Every text and every bytes in its memory."""
    kept: list[str] = []
    for key, headers in [*_memory(raw_requests)[0].items(), *_memory(raw_requests)[1].items()]:
        kept += [key.decode("latin-1"), *headers, *headers.values()]
    return kept


def _memory(raw_requests: RawRequests) -> tuple[Mapping[bytes, Any], Mapping[bytes, Any]]:
    """The remembered header lines without a login and with one. No answer tells how much that is, and of what,
    so tests of that look into the object."""
    return raw_requests._blocks, raw_requests._logins


def test_the_caches_are_bounded() -> None:
    """A client that sends other headers each time does not fill the memory."""
    answers = Answers()
    answers.good = {"Basic YTpi": Login("a", b"")}
    raw_requests = RawRequests(answers)
    for number in range(3000):
        for more in (b"", b"\r\nAuthorization: Basic YTpi"):
            assert _response(raw_requests, HEAD.replace(b"text/html", b"text/%d" % number + more)) is not None
        without, with_login = _memory(raw_requests)
        assert len(without) <= 256
        assert len(with_login) <= 1024


_NAMES = st.sampled_from(
    [b"Host", b"host", b"Accept", b"Via", b"X-A", b"Connection", b"Content-Length", b"Authorization", b"X Y"]
)
_VALUES = st.sampled_from(
    [b"a", b"a b", b" a", b"a ", b"", b"0", b"keep-alive", b"close", b"\t", b"a\x0b", b"a\xff", b"a\r"]
)
_LINES = st.lists(st.tuples(_NAMES, st.sampled_from([b": ", b":", b" : "]), _VALUES), max_size=4)
_PATHS = st.text("aZ9/-._~!+%? #\xe9", max_size=8).map(lambda text: b"/" + text.encode("latin-1"))


@given(_PATHS, _LINES, st.sampled_from([b"\r\n", b"\n", b"\r\n\r\n"]))
def test_the_parser_would_have_read_the_same(path: bytes, lines: list[tuple[bytes, bytes, bytes]], end: bytes) -> None:
    """Whatever is taken for plain is one whole request for uvicorn's own parser, with that path and those headers."""
    data = b"GET %b HTTP/1.1\r\n" % path + b"".join(b"".join(line) + b"\r\n" for line in lines) + end
    answers = Answers()
    if _answered(data, answers) is None:
        return
    ((told_path, told_headers),) = answers.asked
    connection = h11.Connection(h11.SERVER)
    if "host" not in told_headers:  # which the answerer refuses by itself, as h11 does
        return
    connection.receive_data(data)
    request = connection.next_event()
    assert isinstance(request, h11.Request)
    assert request.target.decode() == told_path
    assert {name.decode(): value.decode() for name, value in request.headers} == told_headers
    assert isinstance(connection.next_event(), h11.EndOfMessage)
    assert connection.next_event() is h11.NEED_DATA
    assert connection.their_state is h11.DONE


# -- in uvicorn -------------------------------------------------------------------------------------------------------


class _Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 1), "sockname": ("192.0.2.2", 2)})
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        """Nothing to do: the test writes when it wants to."""

    def resume_reading(self) -> None:
        """As above."""


class _Application:
    """Has fast-path responses, and a general one that tells the path."""

    def __init__(self, answers: Answers | None = None) -> None:
        self.raw_requests = RawRequests(answers or Answers())
        self.paths: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.paths.append(scope["path"])
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


async def _connected(application: _Application) -> tuple[Protocol, _Transport]:
    config = Config(application, log_config=None, interface="asgi3", access_log=False, **UVICORN_SETTINGS)
    config.timeout_keep_alive = 1000
    config.load()
    protocol = Protocol(config, ServerState(), {})
    transport = _Transport()
    protocol.connection_made(transport)
    return protocol, transport


async def _ticks() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_the_parser_never_gets_a_raw_request() -> None:
    """Raw requests and others follow each other on one connection, and each is answered once, in its place."""

    async def scenario() -> None:
        application = _Application()
        protocol, transport = await _connected(application)
        general = HEAD.replace(b"/demo/", b"/demo/?query")
        for data in (HEAD, general, HEAD, HEAD, general):
            transport.written = b""
            asked = len(application.paths)
            protocol.data_received(data)
            await _ticks()
            assert transport.written.startswith(b"HTTP/1.1 200 OK\r\n")
            assert (BODY in transport.written) == (data is HEAD)
            assert len(application.paths) == asked + (data is general)
        assert not transport.closed

    asyncio.run(scenario())


@pytest.mark.parametrize("missing", ["method", "attribute"])
def test_a_server_without_a_required_method_has_no_fast_path(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """As a later version may be: its parser has every request, and one log line says so.

    uvicorn sets its attributes itself, so none can be missing here: the list of those that are needed has one more.
    """
    if missing == "method":
        monkeypatch.delattr(H11Protocol, "timeout_keep_alive_handler")
    else:
        monkeypatch.setattr("quire.servers.uvicorn_protocol._ATTRIBUTES", ("conn", "renamed"))

    async def scenario() -> None:
        application = _Application()
        for number in range(1, 3):
            protocol, transport = await _connected(application)
            protocol.data_received(HEAD)
            await _ticks()
            assert transport.written.startswith(b"HTTP/1.1 200 OK\r\n")
            assert BODY not in transport.written
            assert len(application.paths) == number

    with capture_logs() as told:
        asyncio.run(scenario())
    (line,) = told
    assert line["log_level"] == "warning"
    assert ("timeout_keep_alive_handler" if missing == "method" else "renamed") in line["event"]


def test_the_installed_uvicorn_has_the_required_methods() -> None:
    """Or the fast path would be off, unnoticed but for a log line."""

    async def scenario() -> None:
        application = _Application()
        protocol, transport = await _connected(application)
        protocol.data_received(HEAD)
        await _ticks()
        assert BODY in transport.written
        assert application.paths == []

    with capture_logs() as told:
        asyncio.run(scenario())
    assert told == []


def test_requests_are_answered_in_order() -> None:
    """Bytes that arrive while a request is incomplete or unanswered go to the parser, also those of a supported
    form."""

    async def scenario() -> None:
        application = _Application()
        protocol, transport = await _connected(application)
        protocol.data_received(HEAD[:30])  # a head in two pieces
        protocol.data_received(HEAD[30:])
        protocol.data_received(HEAD)  # and another one, before the first is answered
        assert transport.written == b""
        await _ticks()
        assert application.paths == ["/simple/demo/"] * 2
        assert transport.written.count(b"HTTP/1.1 200 OK\r\n") == 2
        assert BODY not in transport.written
        protocol.data_received(HEAD)
        await _ticks()
        assert BODY in transport.written

    asyncio.run(scenario())


def test_a_client_that_does_not_read_is_left_to_the_parser() -> None:
    """While the transport's buffer is full nothing more is put into it."""

    async def scenario() -> None:
        application = _Application()
        protocol, transport = await _connected(application)
        protocol.pause_writing()
        protocol.data_received(HEAD)
        await _ticks()
        assert transport.written == b""
        protocol.resume_writing()
        await _ticks()
        assert transport.written.startswith(b"HTTP/1.1 200 OK\r\n")
        assert BODY not in transport.written

    asyncio.run(scenario())


def test_the_keep_alive_timer_counts_from_the_last_fast_path_response() -> None:
    """It is set once; when it ends it is set again for what is left since the last answer."""

    async def scenario() -> None:
        protocol, transport = await _connected(_Application())
        protocol.data_received(HEAD)
        await _ticks()
        first = protocol.timeout_keep_alive_task
        protocol.data_received(HEAD)
        await _ticks()
        assert protocol.timeout_keep_alive_task is first
        protocol.timeout_keep_alive_handler()
        assert not transport.closed
        assert protocol.timeout_keep_alive_task is not first
        protocol.timeout_keep_alive = 0
        protocol.timeout_keep_alive_handler()
        assert transport.closed

    asyncio.run(scenario())


def test_requests_of_one_tick_share_validations() -> None:
    """They are answered in one turn, which begins when all of them are there; one that comes later has another."""

    async def scenario() -> None:
        answers = Answers()
        application = _Application(answers)
        connections = [await _connected(application) for _ in range(3)]
        for protocol, _ in connections[:2]:
            protocol.data_received(HEAD)
        assert (answers.asked, answers.turns) == ([], [])
        await _ticks()
        connections[2][0].data_received(HEAD)
        await _ticks()
        assert (len(answers.asked), answers.turns) == (3, [2, 1])
        assert [transport.written.count(BODY) for _, transport in connections] == [1, 1, 1]

    asyncio.run(scenario())


def test_bytes_that_arrive_before_the_response_are_answered_after_it() -> None:
    """Requests of one connection that came in one tick keep their order, on any path."""

    async def scenario() -> None:
        application = _Application()
        protocol, transport = await _connected(application)
        for data in (HEAD, HEAD.replace(b"/demo/", b"/demo/?query")):
            protocol.data_received(data)
        await _ticks()
        first, second = transport.written.split(BODY)
        assert [part.count(b"HTTP/1.1 200 OK\r\n") for part in (first, second)] == [1, 1]
        assert application.paths == ["/simple/demo/"]

    asyncio.run(scenario())


def test_connections_do_not_mix_responses() -> None:
    """One is lost before its answer, one cannot be written to, and for one finding the answer fails: the application
    answers that one, and the last one is answered as ever."""

    class Failing(Answers):
        def respond_inline(
            self,
            path: str,
            headers: Headers,
            client: Callable[[], str],
            login: Login | TokenLogin | None,
            *,
            takes_files: bool,
            scheme: str = "http",
        ) -> IdentifiedResponse | None:
            if path == "/simple/failing/":
                raise ArithmeticError
            return super().respond_inline(path, headers, client, login, takes_files=takes_files)

    class Broken(_Transport):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            raise RuntimeError("it cannot be written to")

    async def scenario() -> None:
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        application = _Application(Failing())
        connections = [await _connected(application) for _ in range(4)]
        lost, broken, failing, last = connections
        broken[0].transport = Broken()
        for protocol, _ in (lost, broken, last):
            protocol.data_received(HEAD)
        failing[0].data_received(HEAD.replace(b"demo", b"failing"))
        lost[0].connection_lost(None)
        await _ticks()
        assert [transport.written.count(b"HTTP/1.1 200 OK\r\n") for _, transport in connections] == [0, 0, 1, 1]
        assert application.paths == ["/simple/failing/"]
        assert [str(context["exception"]) for context in reported] == ["it cannot be written to"]

    asyncio.run(scenario())


def test_a_server_that_stops_answers_what_came_before() -> None:
    """A queued raw request gets its answer, and its connection ends."""

    async def scenario() -> None:
        protocol, transport = await _connected(_Application())
        protocol.data_received(HEAD)
        protocol.timeout_keep_alive_handler()
        protocol.shutdown()
        assert not transport.closed
        await _ticks()
        assert BODY in transport.written
        assert transport.closed

    asyncio.run(scenario())


@pytest.mark.parametrize("has_begun", [False, True])
def test_invalid_http_cancels_the_pending_response(caplog: pytest.LogCaptureFixture, has_begun: bool) -> None:
    """Garbage after a request's head, whose answer has perhaps begun: the connection ends, and nothing is an error of
    the application."""

    async def scenario() -> None:
        application = _Application()
        released = asyncio.Event()

        async def answer(scope: Any, receive: Any, send: Any) -> None:
            if has_begun:
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
            await released.wait()
            if not has_begun:
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
            await send({"type": "http.response.body", "body": b"x"})

        protocol, transport = await _connected(application)
        protocol.app = answer
        protocol.data_received(
            HEAD.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        )
        await _ticks()
        protocol.data_received(b"no length\r\n")
        released.set()
        await _ticks()
        assert transport.closed
        assert transport.written.startswith(b"HTTP/1.1 200 OK\r\n" if has_begun else b"HTTP/1.1 400 Bad Request\r\n")
        assert transport.written.count(b"HTTP/1.1 ") == 1

    asyncio.run(scenario())
    assert "Exception in ASGI" not in caplog.text


# -- where answers take time ------------------------------------------------------------------------------------------


def test_a_raw_request_waits_for_its_answer() -> None:
    """Requests that arrive meanwhile are held and answered afterwards, in order, on either path."""

    async def scenario() -> None:
        answers = SlowAnswers()
        application = _Application(answers)
        protocol, transport = await _connected(application)
        protocol.data_received(HEAD)
        await _ticks()
        general = HEAD.replace(b"/demo/", b"/demo/?query")
        protocol.data_received(general[:40])
        protocol.data_received(general[40:])
        await _ticks()
        assert transport.written == b""
        assert application.paths == []
        answers.waiting[0].set_result(True)
        await _ticks()
        first, second = transport.written.split(BODY)
        assert first.startswith(b"HTTP/1.1 200 OK\r\n")
        assert second.startswith(b"HTTP/1.1 200 OK\r\n")
        assert application.paths == ["/simple/demo/"]
        transport.written = b""
        protocol.data_received(HEAD)
        await _ticks()
        protocol.data_received(HEAD)
        answers.waiting[1].set_result(True)
        await _ticks()
        assert transport.written.count(BODY) == 1
        answers.waiting[2].set_result(True)
        await _ticks()
        assert transport.written.count(BODY) == 2
        assert application.paths == ["/simple/demo/"]

    asyncio.run(scenario())


@pytest.mark.parametrize("fails", [False, True])
def test_a_request_without_a_fast_path_response_goes_to_the_application(fails: bool) -> None:
    """The parser then gets the request, and after it the bytes that arrived meanwhile; so it does when something goes
    wrong."""

    async def scenario() -> None:
        answers = SlowAnswers()
        application = _Application(answers)
        protocol, transport = await _connected(application)
        protocol.data_received(HEAD)
        await _ticks()
        protocol.data_received(HEAD.replace(b"/demo/", b"/more/"))
        if fails:
            answers.waiting[0].set_exception(ArithmeticError())
        else:
            answers.waiting[0].set_result(False)
        await _ticks()
        assert application.paths == ["/simple/demo/", "/simple/more/"]
        assert transport.written.count(b"HTTP/1.1 200 OK\r\n") == 2
        assert len(answers.waiting) == 1

    asyncio.run(scenario())


def test_the_keep_alive_timer_does_not_end_a_raw_request() -> None:
    """It is set again while one waits for its answer."""

    async def scenario() -> None:
        answers = SlowAnswers()
        protocol, transport = await _connected(_Application(answers))
        protocol.data_received(HEAD)
        await _ticks()
        protocol.timeout_keep_alive_handler()
        assert not transport.closed
        answers.waiting[0].set_result(True)
        await _ticks()
        assert BODY in transport.written
        assert not transport.closed

    asyncio.run(scenario())


@pytest.mark.parametrize("has_answer", [True, False])
def test_a_server_that_stops_answers_first(has_answer: bool) -> None:
    """A raw request that waits is answered, on either path, and its connection ends."""

    async def scenario() -> None:
        answers = SlowAnswers()
        protocol, transport = await _connected(_Application(answers))
        protocol.data_received(HEAD)
        await _ticks()
        protocol.shutdown()
        assert not transport.closed
        answers.waiting[0].set_result(has_answer)
        await _ticks()
        assert transport.written.count(b"HTTP/1.1 200 OK\r\n") == 1
        assert transport.closed

    asyncio.run(scenario())


def test_a_lost_connection_gets_no_answer() -> None:
    """Nothing is written to it, and its request is not counted as answered."""

    async def scenario() -> None:
        answers = SlowAnswers()
        application = _Application(answers)
        protocol, transport = await _connected(application)
        protocol.data_received(HEAD)
        await _ticks()
        protocol.connection_lost(None)
        answers.waiting[0].set_result(True)
        await _ticks()
        assert answers.asked == []
        assert transport.written == b""
        assert application.paths == []

    asyncio.run(scenario())


def test_requests_of_a_tick_for_one_page_wait_together() -> None:
    """One task waits for all of them, and no page waits for another one; later requests wait by themselves."""

    async def scenario() -> None:
        answers = SlowAnswers()
        application = _Application(answers)
        connections = [await _connected(application) for _ in range(4)]
        for (protocol, _), name in zip(connections, (b"demo", b"demo", b"other", b"demo"), strict=True):
            protocol.data_received(HEAD.replace(b"demo", name))
            if name == b"other":
                await _ticks()
        await _ticks()
        assert answers.loaded == [("demo", 2), ("other", 1), ("demo", 1)]
        answers.waiting[0].set_result(True)
        await _ticks()
        assert [BODY in transport.written for _, transport in connections] == [True, True, False, False]
        for future in answers.waiting[1:]:
            future.set_result(True)
        await _ticks()
        assert all(transport.written.count(BODY) == 1 for _, transport in connections)

    asyncio.run(scenario())


# -- in real servers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_network", [False, True])
@pytest.mark.parametrize(
    ("server", "configuration", "expected"),
    [
        ("uvicorn", "", [True, False, True]),
        ("gunicorn", "", [True, False, True]),
        ("uvicorn --no-fast-path", "", [False] * 3),
        ("gunicorn --no-fast-path", "", [False] * 3),
        ("gunicorn", "accesslog = 'access.log'", [False] * 3),
    ],
)
def test_a_server_answers_raw_requests(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: str,
    configuration: str,
    expected: list[bool],
    is_network: bool,
) -> None:
    """Before and after a request that is not plain; but not where the operator has gunicorn log each request. The page
    is the same either way; so it is where an answer takes time, as it does on what is taken for a network's file
    system.
    """
    if is_network:
        monkeypatch.setenv(marking.NETWORK, "yes")
    (tmp_path / "gunicorn.conf.py").write_text(configuration)
    (tmp_path / "packages").mkdir()
    port = free_port()
    command = [sys.executable, "-m", marking.__name__, "run", *OPEN, "--server", *server.split(), "--workers", "1"]
    command += ["-i", "127.0.0.1", "-p", str(port), "packages"]
    with running(command, port, cwd=tmp_path) as served:
        connection = http.client.HTTPConnection(served.host, served.port, timeout=DEADLINE)
        with contextlib.closing(connection):

            def ask(path: str) -> http.client.HTTPResponse:
                connection.request("GET", path, headers={"Accept": "text/html", "Accept-Encoding": "identity"})
                response = connection.getresponse()
                assert response.status == 200
                assert b"<html" in response.read()
                return response

            asked: list[http.client.HTTPResponse] = []

            def is_as_expected() -> bool:
                asked[:] = [ask(path) for path in ("/simple/", "/simple/?a-query", "/simple/")]
                return [response.getheader(marking.MARK) == "yes" for response in asked] == expected

            certain = time.monotonic() + COARSE_RACY_SECONDS  # before, the fast path does not respond
            until(lambda: is_as_expected() and (any(expected) or time.monotonic() > certain))
    told = [{name.lower(): value for name, value in response.getheaders()} for response in asked]
    only_sometimes = {marking.MARK, "x-request-id"}
    for headers in told:
        assert headers.keys() - only_sometimes == told[1].keys() - only_sometimes
        assert headers["etag"] == told[1]["etag"]
    if "accesslog" in configuration:
        assert (tmp_path / "access.log").read_text().count("GET /simple/") >= 6
