"""Work per request: system calls, function calls and bytecode instructions of one worker. Counts, not times.

They say nothing about speed on some machine, and so nothing disturbs them: what makes a request dearer shows in them
on any machine, however busy. `python -m benchmarks.regress` prints them.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

from tests.asking import password_file
from tests.serving import environment, free_port
from tests.tokens import make_token

from benchmarks.counting import LOOP, SOCKET_VARIABLE, THREADS
from benchmarks.processes import Running, Unavailable, started, wait_for
from benchmarks.uploading import Release, Uploader, releases
from quire.access.records import AccessRecords
from quire.config.settings import Settings
from quire.index.audit.entries import Origin
from quire.operations import granting
from quire.store.opening import open_store

REQUESTS = 200
"""Each count is the mean of this many; what a worker does now and then by itself disappears in it."""
FEW = 40
"""Enough for counts that have no noise, from a worker that is slowed down by counting."""
UPLOADS = 10
"""Uploads of a short window, which are one project's."""
UPLOAD_WINDOWS = 20
SHORT_WINDOWS = 40
SHORT = 5
"""Requests of a short window. Many are counted, for the least count: on a busy machine most windows have one of the
server's ticks in them, of which there are ten a second."""
PROJECT = "work-0"
WAITING = frozenset({"futex", "sched_yield", "epoll_wait", "epoll_pwait", "clock_nanosleep", "restart_syscall"})
"""System calls by which the server's threads wait for each other: as many as the machine's business makes of them."""
SETTLED_SECONDS = 3.0
"""After this long without a change the store no longer lists a directory again (`quire.store.posix.directory`)."""
_LINE = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", re.M)
_USER, _PASSWORD = "worker", "at work"


@dataclass(frozen=True)
class Question:
    """The question that is asked again and again."""

    path: str
    headers: Mapping[str, str]
    status: int


@dataclass(frozen=True)
class Python:
    """The interpreter's work for one request."""

    calls: float
    c_calls: float
    instructions: float


class Asker:
    """One client with one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, question: Question, times: int = 1) -> http.client.HTTPResponse:
        """The last answer, read to its end. Raises Unavailable for a wrong one."""
        for _ in range(times):
            self._connection.request("GET", question.path, headers=dict(question.headers))
            response = self._connection.getresponse()
            response.read()
            if response.status != question.status:
                raise Unavailable(f"{question.path} was answered {response.status}, not {question.status}")
        return response

    def close(self) -> None:
        self._connection.close()


def give_rights(folder: Path) -> str:
    """Let the grants of the worker's store decide: every login may read and publish. A token that may as well."""
    root = folder / "packages"
    root.mkdir(exist_ok=True)
    access, origin = AccessRecords(open_store(str(root))), Origin(command="benchmark")
    granting.begin(access, "root", ("download", "list", "update"), origin)
    return make_token(access, ("read", "upload"), lifetime=timedelta(days=1), origin=origin).text


@contextmanager
def worker(
    folder: Path, *, protected: bool = False, logged: bool = False, counting: Path | None = None
) -> Iterator[tuple[Running, int]]:
    """A server with one worker and a project with ten files, and its port.

    `logged`: it has an access log, in a file.
    `counting`: the socket of its counter; such a worker writes no metrics, which it would do once a second, and so in
    as many of the counted requests as the machine is slow.
    """
    root = folder / "packages"
    root.mkdir(exist_ok=True)
    everything = ("download", "list", "update")
    settings = Settings(
        directories=(str(root),),
        host="127.0.0.1",
        port=free_port(),
        workers=1,
        authenticate=everything if protected else (),
        passwords=str(password_file(folder, **{_USER: _PASSWORD})) if protected else None,
        metrics="list" if counting is None else "off",
        verbosity=1 if logged else 0,
        log_file=str(folder / "requests.log") if logged else None,
    )
    target = "quire.http.entry:application" if counting is None else "benchmarks.counting:application"
    program = "import sys; from quire import servers; from quire.observe import logs; "
    program += "from quire.config.settings import Settings; "
    program += "s = Settings.load(sys.argv[1]); logs.configure(s); sys.exit(servers.run(s, sys.argv[2]))"
    environ = environment(**({SOCKET_VARIABLE: str(counting)} if counting is not None else {}))
    command = [sys.executable, "-c", program, settings.dump(), target]
    with started(command, folder / "worker.log", environ=environ, cwd=folder) as running:
        wait_for(running, lambda: _answers(settings.port), 60)
        yield running, settings.port


def questions(port: int, *, protected: bool = False, token: str = "") -> dict[str, Question]:
    """Publish the project if it is not there; the questions about it. With `protected`, of a user with a login, or by a
    token."""
    login = {"Authorization": "Basic d29ya2VyOmF0IHdvcms="} if protected else {}
    login |= {"Authorization": f"Bearer {token}"} if token else {}
    uploader = Uploader(port, "/", login)
    for release in releases("work", 10):
        uploader.send(release)
    uploader.close()
    html, packed = {"Accept": "text/html"} | login, {"Accept": "text/html", "Accept-Encoding": "gzip"} | login
    page = f"/simple/{PROJECT}/"
    asker = Asker(port)
    with contextlib.closing(asker):
        etag = str(asker.ask(Question(page, html, 200)).headers["ETag"])
        asked = {
            "page": Question(page, html, 200),
            "page, gzip": Question(page, packed, 200),
            "304": Question(page, html | {"If-None-Match": etag}, 304),
            "list": Question("/simple/", html, 200),
        }
        if not login:  # a reader without one
            asked["page for people"] = Question(f"/project/{PROJECT}/", packed, 200)
        settle(asker, asked)
    return asked


def settle(asker: Asker, asked: Mapping[str, Question]) -> None:
    """Ask until the worker trusts what it has seen."""
    deadline = time.monotonic() + SETTLED_SECONDS
    while time.monotonic() < deadline:
        for question in asked.values():
            asker.ask(question)


def python_work(port: int, counter: Path, question: Question) -> Python:
    """Of a worker that counts, for each request; of many such counts the least, in which the server had no tick."""
    asker = Asker(port)
    with contextlib.closing(asker):
        asker.ask(question, 5)
        return _python(counter, [partial(asker.ask, question, SHORT)] * SHORT_WINDOWS, SHORT, [LOOP])


def upload_work(port: int, counter: Path, times: int = UPLOADS) -> Python:
    """As `python_work`, for each upload, ten to a project, with what threads do for it; the least."""
    uploader = Uploader(port, "/", {})
    batches = [releases(f"{PROJECT}-upload-{number}", times) for number in range(UPLOAD_WINDOWS + 1)]

    def send(batch: Sequence[Release]) -> None:
        for release in batch:
            uploader.send(release)

    with contextlib.closing(uploader):
        send(batches[0])
        return _python(counter, [partial(send, batch) for batch in batches[1:]], times, [LOOP, THREADS])


def _python(
    counter: Path,
    windows: Sequence[Callable[[], object]],
    times: int,
    threads: Sequence[str],
) -> Python:
    """The least work of these threads of the worker for one request, when each of the windows makes `times` of them."""
    counts = [_counted(counter)]
    for act in windows:
        act()
        counts.append(_counted(counter))
    totals = [
        [sum(count[each][name] for each in threads) for name in ("calls", "c_calls", "instructions")]
        for count in counts
    ]
    each = [[(late - early) / times for early, late in zip(*pair, strict=True)] for pair in pairwise(totals)]
    return Python(*map(min, zip(*each, strict=True)))


def page_calls(running: Running, port: int, question: Question, times: int = REQUESTS) -> dict[str, float]:
    """System calls of the server's worker per request; see `system_calls`."""
    asker = Asker(port)
    with contextlib.closing(asker):
        asker.ask(question, 5)
        return system_calls(running, lambda: asker.ask(question, times), times)


def upload_calls(running: Running, port: int, times: int = FEW) -> dict[str, float]:
    """System calls of the server's worker per upload, each of ten to a project followed by ten to the next."""
    uploader = Uploader(port, "/", {})
    first, *rest = releases(f"{PROJECT}-upload", times + 1)
    with contextlib.closing(uploader):
        uploader.send(first)
        return system_calls(running, lambda: [uploader.send(release) for release in rest], times)


def system_calls(running: Running, act: Callable[[], object], times: int) -> dict[str, float]:
    """The system calls in the server's worker, counted by strace, while an action is done `times` times, per time, by
    name.

    "all" is their sum, without `WAITING`. Raises Unavailable.
    """
    pid = _worker_of(running)
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "counts"
        command = ["strace", "-f", "-c", "-o", str(table), "-p", str(pid)]
        try:
            strace = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        except FileNotFoundError as error:
            raise Unavailable("strace is not installed") from error
        with strace:
            assert strace.stderr is not None
            said = strace.stderr.readline()
            if "attached" not in said:
                strace.kill()
                raise Unavailable(f"strace cannot watch the worker: {said.strip()}")
            try:
                act()
            finally:
                strace.send_signal(signal.SIGINT)
                strace.stderr.read()
        counts = {name: int(count) / times for count, name in _LINE.findall(table.read_text()) if name != "total"}
    assert counts, "strace watched a process that did nothing"
    return {"all": sum(count for name, count in counts.items() if name not in WAITING)} | counts


def _worker_of(running: Running) -> int:
    """The process that answers: the last one that was forked from the first, or this itself. Programs that it started,
    such as the one that renders READMEs, have other command lines."""
    command, *others = (Path(f"/proc/{pid}/cmdline").read_bytes() for pid in running.pids)
    forked = [pid for pid, other in zip(running.pids[1:], others, strict=True) if other == command]
    return forked[-1] if forked else running.process.pid


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", "/health")
        return connection.getresponse().status == 200


def _counted(path: Path) -> dict[str, dict[str, int]]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        text = b""
        while chunk := connection.recv(4096):
            text += chunk
    counts: dict[str, dict[str, int]] = json.loads(text)
    return counts


def main() -> None:
    """Print all counts."""
    for protected in (False, True):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with worker(folder, protected=protected) as (running, port):
                print("protected" if protected else "open")
                asked = questions(port, protected=protected)
                for what, question in asked.items():
                    counts = page_calls(running, port, question)
                    print(f"  {what}:", ", ".join(f"{name} {count:.2f}" for name, count in counts.items()))
                if not protected:
                    counts = upload_calls(running, port)
                    print("  upload:", ", ".join(f"{name} {count:.2f}" for name, count in counts.items()))
            counter = folder / "counter"
            with worker(folder, protected=protected, counting=counter) as (_, port):
                asked = questions(port, protected=protected)
                for what, question in asked.items():
                    print(f"  {what}:", python_work(port, counter, question))
                if not protected:
                    print("  upload:", upload_work(port, counter))


if __name__ == "__main__":
    main()
