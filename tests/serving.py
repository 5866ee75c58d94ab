"""Real server processes for tests: start, wait until the port answers, ask, stop by pid.

Also the smallest applications that show what a server does, and a way to run them in it:
`python -m tests.serving SETTINGS TARGET [GRACE]`.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import quire
from quire import servers
from quire.config.settings import SETTINGS_VARIABLE, Settings
from quire.domain.errors import ConfigurationError
from quire.observe import logs
from tests.commanding import Commander, Forked, is_like

_FORKED = frozenset({"quire", "tests.bucket_in_memory", "tests.serving"})
"""Programs that do not have to do anything before quire is imported."""
DEADLINE = 25.0
"""Seconds that a server may take to start, stop or replace a worker; reached only when it is broken.

Less than the grace that servers give their workers: one that must be killed is broken too.
"""
START_DEADLINE = 90.0
"""Seconds until it answers: a first start makes a store, on a disk that may be at work for others."""

_STACKS_SECONDS = 5.0
"""For a server that is to write its stacks."""
_SHOWN = 20_000
"""Characters of the output of a server that does not stop."""

_PORTS = 200
"""How many ports a process of tests has for its servers; one is given again after all others were."""
_SOURCES = [str(Path(quire.__file__).parent.parent), str(Path(__file__).parent.parent)]


@dataclass
class Served:
    """A running server process."""

    process: subprocess.Popen[bytes] | Forked
    host: str
    port: int
    log: Path

    def get(self, path: str = "/") -> tuple[int, str, str]:
        """Status, reason and body of a GET, on a connection of its own."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=DEADLINE)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.reason, response.read().decode()
        finally:
            connection.close()

    def worker(self) -> int:
        """The pid of the process that answers this request."""
        return int(json.loads(self.get("/about")[2])["pid"])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal to the main process, wait for it to end; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE)

    def output(self) -> str:
        return self.log.read_text()


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free, and that no other process of tests is given until its server listens there.

    A port that the system chooses is free only until the next process asks for one. A server needs a second to start:
    two test processes could then wait for one port, and each of them would ask the server of the other.
    """
    for port in _own_ports(os.getpid())[1]:
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return port
    raise AssertionError("A cycle has no end.")


@cache
def _own_ports(pid: int) -> tuple[socket.socket, Iterator[int]]:
    """Ports of this process alone, over and over; and the name that keeps other processes from having them, too.

    They are below those that the system gives to clients. The name is an abstract one (unix(7)): the network namespace
    has it once, as it has a port, and it is free when the process ends.
    """
    for first in range(10_000, 32_000, _PORTS):
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0quire-tests-ports-{first}")
        except OSError:
            name.close()
            continue
        atexit.register(name.close)
        return name, itertools.cycle(range(first, first + _PORTS))
    raise AssertionError(f"{pid} found no ports: too many processes of tests run at once.")


def environment(**variables: str) -> dict[str, str]:
    """The environment for a process that imports quire and tests, free of settings that are not the test's."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("QUIRE_", "GUNICORN_", "PYPISERVER_")) and name not in {"PORT", "WEB_CONCURRENCY"}
    }
    ours = {"PYTHONPATH": os.pathsep.join(_SOURCES), "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
    return kept | ours | variables


def quire_command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "quire", *map(str, arguments)]


def run_quire(
    *arguments: object,
    cwd: Path,
    environ: Mapping[str, str] | None = None,
    user: int | None = None,
    typed: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a `quire` that ends by itself. `typed`: its standard input."""
    words = [*map(str, arguments)]
    environ = environ or environment()
    if user is None and is_like(environ, environment()):
        return _commander().run(words, cwd=cwd, environ=environ, timeout=DEADLINE, typed=typed.encode())
    return subprocess.run(
        quire_command(*words),
        cwd=cwd,
        env=environ,
        capture_output=True,
        input=typed,
        text=True,
        timeout=DEADLINE,
        check=False,
        user=user,
    )


@cache
def _commander() -> Commander:
    return Commander(environment())


@contextmanager
def running(
    command: Sequence[str],
    port: int,
    *,
    cwd: Path,
    host: str = "127.0.0.1",
    environ: Mapping[str, str] | None = None,
    wait: bool = True,
    forked: bool = True,
    patience: float = DEADLINE,
) -> Iterator[Served]:
    """The command as a process that listens on the port, stopped at the end; without `wait` it may not listen yet.

    `forked`: it may be a fork of a process which has imported quire (`tests.commanding`). `patience`: the seconds in
    which it has to stop. Raises AssertionError when it does not, unless the test itself has failed.
    """
    log = cwd / f"output-{port}.log"
    environ = environ or environment()
    with log.open("wb") as output, ExitStack() as stack:
        process: subprocess.Popen[bytes] | Forked
        if (
            forked
            and [*command[:2]] == [sys.executable, "-m"]
            and command[2] in _FORKED
            and is_like(environ, environment())
        ):
            process = _commander().start(
                command[3:], program=command[2], cwd=cwd, environ=environ, output=output, errors=output
            )
            stack.callback(process.wait)
        else:
            process = stack.enter_context(
                subprocess.Popen(
                    command,
                    cwd=cwd,
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # a process group of its own, for the tests of Ctrl-C
                )
            )
        served = Served(process, host, port, log)
        try:
            if wait:
                _wait_until_it_listens(served)
            yield served
        except BaseException:
            _ended(served, patience)
            raise
        if not _ended(served, patience):
            end = served.output()[-_SHOWN:]
            raise AssertionError(
                f"The server did not stop in {patience:g} seconds. Its stacks are in its output:\n{end}"
            )


def _ended(served: Served, patience: float) -> bool:
    """Whether the server stops in so many seconds. One that does not writes its stacks (faulthandler), and is killed
    with its workers."""
    if served.process.poll() is not None:
        return True
    served.process.terminate()
    for number, seconds in ((signal.SIGABRT, patience), (signal.SIGKILL, _STACKS_SECONDS)):
        try:
            served.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        else:
            if number == signal.SIGABRT:
                return True
        with contextlib.suppress(ProcessLookupError):  # the last of them ended meanwhile
            os.killpg(served.process.pid, number)
    return False


def starting(settings: Settings, cwd: Path, target: str) -> AbstractContextManager[Served]:
    """`serving`, without waiting until it does."""
    command = [sys.executable, "-m", "tests.serving", settings.dump(), target]
    return running(command, settings.port, cwd=cwd, wait=False)


def serving(
    settings: Settings,
    cwd: Path,
    target: str | None = None,
    listening: int | None = None,
    *,
    grace: int | None = None,
    **variables: str,
) -> AbstractContextManager[Served]:
    """`running` for the small application below, in the server that the settings name.

    `listening`: the port to wait for, when it is not the settings'. `grace`: seconds in place of those that servers
    give to requests, and after that to their processes; there is no setting of them.
    """
    if target is None:
        target = "tests.serving:wsgi_application" if settings.server == "wsgiref" else "tests.serving:application"
    command = [sys.executable, "-m", "tests.serving", settings.dump(), target, *([] if grace is None else [str(grace)])]
    host = "127.0.0.1" if settings.host == "0.0.0.0" else settings.host
    port = listening or settings.port
    return running(  # in a fork the servers know their grace already
        command, port, cwd=cwd, host=host, environ=environment(**variables), forked=grace is None
    )


def until(condition: Callable[[], bool], seconds: float = DEADLINE) -> None:
    """Wait for the condition. Raises AssertionError when the deadline passes first."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def _wait_until_it_listens(served: Served) -> None:
    def answers() -> bool:
        assert served.process.poll() is None, f"ended with {served.process.returncode}: {served.output()}"
        try:
            served.get("/health")
        except OSError:
            return False
        except http.client.HTTPException:
            return False
        return True

    until(answers, START_DEADLINE)


def _about() -> bytes:
    settings = Settings.load(os.environ[SETTINGS_VARIABLE])
    return json.dumps({"pid": os.getpid(), "root": settings.root}).encode()


async def application(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """ASGI: tells its pid."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _about()})


def __getattr__(name: str) -> Any:
    """`slow_application` takes long to import: until the file `go` is in the working directory. `refusing` and `buggy`
    cannot be imported; `failing_now` cannot while the file `broken` is there."""
    if name == "refusing":
        raise ConfigurationError("This application is not for serving.")
    if name == "failing_now" and not Path("broken").exists():
        return application
    if name in {"buggy", "failing_now"}:
        raise ZeroDivisionError
    if name != "slow_application":
        raise AttributeError(name)
    Path(f"importing-{os.getpid()}").touch()
    until(Path("go").exists)
    return application


async def slow_startup(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """ASGI: `application`, which is still starting until a while after the file `go` is in the working directory."""
    if scope["type"] == "lifespan":
        await asyncio.to_thread(Path(f"starting-{os.getpid()}").touch)
        await asyncio.to_thread(until, Path("go").exists)
        await asyncio.sleep(0.5)  # so that what was sent before `go` arrives now, when the application is not ready yet
    await application(scope, receive, send)


async def never_started(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """ASGI: `application`, which never becomes ready, for instance as a disk does not answer."""
    if scope["type"] == "lifespan":
        await asyncio.to_thread(Path(f"starting-{os.getpid()}").touch)
        await asyncio.to_thread(threading.Event().wait)
    await application(scope, receive, send)


async def slow_answer(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """ASGI: `application`, which answers /slow when the file `go` is in the working directory."""
    if scope.get("path") == "/slow":
        await asyncio.to_thread(Path(f"answering-{os.getpid()}").touch)
        await asyncio.to_thread(until, Path("go").exists)
    await application(scope, receive, send)


async def working_on(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """ASGI: `application`, which begins work in a thread at /work that never ends."""
    if scope.get("path") == "/work":
        ThreadPoolExecutor(1, thread_name_prefix="long").submit(threading.Event().wait)
    await application(scope, receive, send)


async def never_closing(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """ASGI: `application`, which does not come to its end, for instance as a store does not answer."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.Event().wait()
    await application(scope, receive, send)


async def failing(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
    """ASGI: an application that cannot start."""
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "cannot start"})


def wsgi_application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """WSGI: tells its pid."""
    start_response("200 OK", [("Content-Type", "application/json")])
    return [_about()]


def main() -> int:
    settings = Settings.load(sys.argv[1])
    if sys.argv[3:]:
        servers.GRACE_SECONDS = servers.ENDING_SECONDS = int(sys.argv[3])
    logs.configure(settings)
    try:
        return servers.run(settings, sys.argv[2])
    except ConfigurationError as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())


def is_in_mask(pid: int, mask: str, number: int) -> bool:
    """Whether a signal is in one of a process's masks (proc(5), /proc/pid/status). Raises OSError."""
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.partition(f"{mask}:")[2].split()[0], 16) >> (number - 1) & 1)
