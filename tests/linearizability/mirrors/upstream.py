"""An upstream that changes, fails and lies: a real server on several addresses of this machine, which notes requests.

It tells the truth often enough that a mirror gets on. Its lies are those that a mirror can find out, or must not be
harmed by; what no mirror can know (an old page without a number, a project that is said to be gone) is not among them.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from tests.linearizability.mirrors.judge import Published
from tests.linearizability.mirrors.offered import Offered, Place

MAIN: Final = "127.0.0.1"
NAMED: Final = "127.0.0.3"
"""Another host, which the settings name."""
FORBIDDEN: Final = "127.0.0.2"
"""One with a private address, which they do not name."""
LOGIN: Final = ("mirror", "secret-of-the-mirror")
_JSON: Final = "application/vnd.pypi.simple.v1+json"
_HTML: Final = "text/html; charset=utf-8"
_HANG: Final = 2.5
"""Seconds; longer than a hurried mirror waits for a page."""
_LATE: Final = 0.4
_FORBIDDEN: Final = ("http://127.0.0.2:{}", "http://127.2:{}", "http://2130706434:{}", "http://[::ffff:127.0.0.2]:{}")
"""Spellings of the same address."""


class Lie(StrEnum):
    """The fault of an answer; some are no lies but bad luck."""

    NONE = "nothing"
    STATUS = "500, 502, 503"
    BUSY = "429 with Retry-After"
    HANG = "no answer"
    RESET = "reset in the middle"
    SHORT = "shorter than its length"
    CUT = "cut off, without a length"
    SLOW = "slow body"
    LATE = "answered late, as of the request"
    ERROR_PAGE = "200 with an error page"
    ERROR_JSON = "200 with an error in JSON"
    OLD = "an old page with its number"
    UNCHANGED = "304 for a page that has changed"
    ETAG = "changed content under one ETag"
    FORBIDDEN = "redirect to a private address"
    LINK_LOCAL = "redirect to a link-local address"
    LOOP = "redirects without an end"
    ELSEWHERE = "redirect to a named host"
    WRONG = "other bytes of the same length"
    LONG = "other length, with other bytes"


_FOR_ALL: Final = (
    *(Lie.STATUS, Lie.BUSY, Lie.HANG, Lie.RESET, Lie.SHORT, Lie.CUT, Lie.SLOW, Lie.LATE, Lie.LATE, Lie.ERROR_PAGE),
    *(Lie.FORBIDDEN, Lie.LINK_LOCAL, Lie.LOOP, Lie.ELSEWHERE),
)
_FOR_PAGES: Final = (*_FOR_ALL, Lie.ERROR_JSON, Lie.OLD, Lie.OLD, Lie.UNCHANGED, Lie.ETAG)
_FOR_FILES: Final = (*_FOR_ALL, Lie.WRONG, Lie.WRONG, Lie.LONG)
_FAVOURED: Final = 0.5
_DOWN: Final = (Lie.STATUS, Lie.HANG, Lie.RESET, Lie.BUSY)


class Asked(NamedTuple):
    """A request."""

    path: str
    host: str
    """Of the Host header, and the address that it came to."""
    has_login: bool


@dataclass
class _Body:
    data: bytes
    content_type: str
    etag: str = ""


class LyingUpstream:
    """See above. `truthful`: from then on nothing but the truth."""

    def __init__(
        self,
        projects: Sequence[Offered],
        shadows: Sequence[str],
        choose: random.Random,
        favoured: Sequence[Lie] = (),
    ) -> None:
        """`shadows`: names that it has besides, and that are private at the mirror. `favoured`: kinds that every second
        one of its lies is of."""
        self._favoured = tuple(favoured)
        self.asked: list[Asked] = []
        self.lies: Counter[Lie] = Counter()
        self.truthful = False
        self.changes = 0
        self._projects = {each.name: each for each in projects}
        self._shadows = frozenset(shadows)
        self._choose = choose
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._weather = 0.0
        """The share of answers that are wrong; 1: it is down."""
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._sockets = _sockets()
        self.port = self._sockets[0].getsockname()[1]
        for each in projects:
            each.begin(f"http://{MAIN}:{self.port}")
        self._threads = [threading.Thread(target=self._serve), threading.Thread(target=self._change)]

    @property
    def url(self) -> str:
        """With its login."""
        return f"http://{LOGIN[0]}:{LOGIN[1]}@{MAIN}:{self.port}/simple/"

    @property
    def history(self) -> Mapping[str, Sequence[Published]]:
        """Of each project."""
        return {name: tuple(each.history) for name, each in self._projects.items()}

    def rest(self) -> None:
        """No more changes, and nothing but the truth."""
        self._stopping.set()
        self._threads[1].join()
        self.truthful = True

    def __enter__(self) -> LyingUpstream:
        for thread in self._threads:
            thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.rest()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._threads[0].join()

    def _change(self) -> None:
        choose = random.Random(self._choose.random())
        weather = random.Random(self._choose.random())
        names, turns = sorted(self._projects), 0
        while not self._stopping.wait(choose.expovariate(1 / 0.12)):
            with self._lock:
                self._projects[choose.choice(names)].change(choose)
            self.changes += 1
            turns += 1
            if turns % 8 == 0:
                self._weather = weather.choice((0.05, 0.3, 0.3, 0.6, 1.0))

    # -- serving ------------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)

        async def begin() -> None:
            for each in self._sockets:
                await asyncio.start_server(self._connected, sock=each)
            self._ready.set()

        loop.run_until_complete(begin())
        loop.run_forever()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.01))
        for each in self._sockets:
            each.close()
        loop.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            target = head.split(" ", 2)[1]
            headers = {
                line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head.split("\r\n")[1:]
            }
            at = writer.get_extra_info("sockname")[0]
            login = headers.get("authorization", "")
            expected = f"Basic {b64encode(':'.join(LOGIN).encode()).decode()}"
            host = headers.get("host", "").rpartition(":")[0]
            self.asked.append(Asked(target, host if host == at else f"{host} at {at}", login == expected))
            await self._answer(writer, target.partition("?")[0], headers)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, path: str, headers: Mapping[str, str]) -> None:
        path = path.removeprefix("/elsewhere")
        project = self._projects.get(path.split("/")[2]) if path.startswith("/simple/") else None
        is_page = path.startswith("/simple/")
        with self._lock:
            lie = self._lie(is_page)
            body = self._page(project, path, lie, headers) if is_page else self._file(path)
        if lie is Lie.ELSEWHERE and (is_page and (project is None or project.place is Place.PLAIN)):
            lie = Lie.NONE
        self.lies[lie] += 1
        match lie:
            case Lie.STATUS:
                status = self._choose.choice(("500 Broken", "502 Bad Gateway", "503 Unavailable"))
                return await _send(writer, status, b"<html>broken</html>", "text/html")
            case Lie.BUSY:
                return await _send(writer, "429 Too Many", b"later", "text/plain", {"Retry-After": "1"})
            case Lie.HANG:
                await asyncio.sleep(_HANG)
                return None
            case Lie.ERROR_PAGE:
                text = b"<html><body>Log in <a href='/login'>here</a></body></html>"
                return await _send(writer, "200 OK", text, "text/html")
            case Lie.ERROR_JSON:
                return await _send(writer, "200 OK", b'{"error": "no database"}', _JSON)
            case Lie.FORBIDDEN | Lie.LINK_LOCAL | Lie.LOOP | Lie.ELSEWHERE:
                return await _send(writer, "302 Found", b"", "text/plain", {"Location": self._elsewhere(lie, path)})
        if body is None:
            return await _send(writer, "404 Not Found", b"no such thing", "text/plain")
        sent = {"ETag": body.etag} if body.etag else {}
        if body.etag and headers.get("if-none-match") == body.etag and lie is not Lie.ETAG:
            return await _send(writer, "304 Not Modified", None, body.content_type, sent)
        if lie is Lie.LATE:
            await asyncio.sleep(_LATE)
        if lie in {Lie.WRONG, Lie.LONG}:
            other = bytes(255 - each for each in body.data)
            return await _send(writer, "200 OK", other + other[: lie is Lie.LONG], body.content_type, sent)
        return await _send(writer, "200 OK", body.data, body.content_type, sent, lie)

    def _lie(self, is_page: bool) -> Lie:
        if self.truthful or self._choose.random() > self._weather:
            return Lie.NONE
        if self._weather == 1.0:
            return self._choose.choice(_DOWN)
        kinds = _FOR_PAGES if is_page else _FOR_FILES
        favoured = [each for each in self._favoured if each in kinds]
        return self._choose.choice(favoured if favoured and self._choose.random() < _FAVOURED else kinds)

    def _page(self, project: Offered | None, path: str, lie: Lie, headers: Mapping[str, str]) -> _Body | None:
        """The page at this moment; None for none."""
        if project is None:
            name = path.split("/")[2]
            return _Body(b'{"meta": {"api-version": "1.4"}, "files": []}', _JSON) if name in self._shadows else None
        number = project.number
        known = headers.get("if-none-match", "")
        if not project.pages[number]:
            return None
        if lie is Lie.OLD and project.is_numbered:
            gone = max((at for at, page in enumerate(project.pages) if not page), default=-1)
            number = self._choose.randint(gone + 1, number)  # an earlier one could come after it was gone
        etag = known if lie in {Lie.UNCHANGED, Lie.ETAG} and known else project.etag(number)
        return _Body(project.pages[number], _HTML if project.is_html else _JSON, etag)

    def _file(self, path: str) -> _Body | None:
        is_metadata = path.endswith(".metadata")
        path = path.removesuffix(".metadata")
        for project in self._projects.values():
            data = project.metadata(path) if is_metadata else project.find(path)
            if data is not None:
                return _Body(data, "application/octet-stream")
        return None

    def _elsewhere(self, lie: Lie, path: str) -> str:
        if lie is Lie.FORBIDDEN:
            return f"{self._choose.choice(_FORBIDDEN).format(self.port)}{path}"
        if lie is Lie.LINK_LOCAL:
            return f"http://169.254.169.254{path}"
        return f"http://{NAMED}:{self.port}/elsewhere{path}" if lie is Lie.ELSEWHERE else path


async def _send(
    writer: asyncio.StreamWriter,
    status: str,
    body: bytes | None,
    content_type: str,
    headers: Mapping[str, str] | None = None,
    lie: Lie = Lie.NONE,
) -> None:
    """An answer, after which the connection ends. `body`: None for none and no length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body is not None and lie is not Lie.CUT:
        lines.append(f"Content-Length: {len(body)}")
    writer.write("\r\n".join([*lines, "", ""]).encode())
    data = body or b""
    if lie in {Lie.RESET, Lie.SHORT, Lie.CUT}:
        data = data[: len(data) * 2 // 3]
    if lie is Lie.SLOW:
        for at in range(0, len(data), len(data) // 4 + 1):
            writer.write(data[at : at + len(data) // 4 + 1])
            await writer.drain()
            await asyncio.sleep(0.15)
    else:
        writer.write(data)
    await writer.drain()
    if lie is Lie.RESET:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()


def _sockets() -> list[socket.socket]:
    """Listening on one port of all three addresses."""
    while True:
        found = [socket.socket() for _ in range(3)]
        try:
            found[0].bind((MAIN, 0))
            for each, host in zip(found[1:], (NAMED, FORBIDDEN), strict=True):
                each.bind((host, found[0].getsockname()[1]))
        except OSError:
            for each in found:
                each.close()
            continue
        return found
