"""A server that is told to stop: uploads that are under way end as they would have, or within the grace, and then the
server ends, whatever its workers and threads do."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from quire.config.settings import Settings
from quire.operations.checking import Severity
from quire.servers import binding
from tests.asking import OPEN, content_type, multipart, raw_answer, twine_form
from tests.distributions import make_wheel, wheel_name
from tests.linearizability.servers import workers_of
from tests.operating import checked, published_in
from tests.serving import DEADLINE, Served, free_port, quire_command, running, serving, starting, until

SERVERS = ("gunicorn", "uvicorn")
WHEEL = wheel_name("acme-tools", "1.0")
CONTENT = make_wheel("acme-tools", "1.0", files={"data": random.Random(1).randbytes(4 * 1024 * 1024)})
"""So large that half of it is more than a server keeps in memory before it writes."""
SHORT_GRACE = """
import sys
from quire import servers
servers.GRACE_SECONDS = 1
from quire.__main__ import main
sys.exit(main())
"""
"""`quire` with another grace than its 30 seconds, that has no setting."""


def halves() -> tuple[bytes, bytes]:
    """An upload's request, cut in the middle of its body, and the rest."""
    body = multipart(twine_form(WHEEL, CONTENT, name="acme-tools", version="1.0"))
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type()}\r\nContent-Length: {len(body)}\r\n\r\n"
    middle = len(body) // 2
    return head.encode() + body[:middle], body[middle:]


def is_written(root: Path) -> bool:
    """Whether a part of the upload lies in the staging folder; what a worker that starts tries out there is smaller."""
    sizes = []
    for path in (root / "quire" / "incoming").iterdir():
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return max(sizes, default=0) >= 1024 * 1024


def is_refused(served: Served) -> bool:
    """Whether the port is closed."""
    try:
        socket.create_connection((served.host, served.port), timeout=DEADLINE).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        return False  # the listener was closed while it answered; the next one is refused
    return False


@contextmanager
def half_uploaded(folder: Path, command: list[str], *flags: object) -> Iterator[tuple[Served, socket.socket]]:
    """A server that writes the first half of an upload, and the connection for the rest of it."""
    root = folder / "packages"
    root.mkdir()
    port = free_port()
    everything = ["run", "-p", port, "-i", "127.0.0.1", *OPEN, *flags, root]
    with (
        running([*command, *map(str, everything)], port, cwd=folder) as served,
        socket.create_connection((served.host, port), timeout=DEADLINE) as connection,
    ):
        connection.sendall(halves()[0])
        until(lambda: is_written(root))
        yield served, connection


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("server", SERVERS)
def test_an_upload_under_way_is_finished(server: str, workers: int, tmp_path: Path) -> None:
    """After SIGTERM no connection is accepted, and uploads under way are finished; then the end is clean."""
    with half_uploaded(tmp_path, quire_command(), "--server", server, "--workers", workers) as (served, connection):
        served.process.send_signal(signal.SIGTERM)
        until(lambda: is_refused(served))
        assert served.process.poll() is None
        assert published_in(tmp_path / "packages") == set()
        connection.sendall(halves()[1])
        answer = raw_answer(connection, "POST")
        assert (answer.status, served.process.wait(DEADLINE)) == (200, 0), answer.body
        assert "Traceback" not in served.output(), served.output()
    root = tmp_path / "packages"
    assert (published_in(root), checked(root).findings) == ({WHEEL}, [])
    (blob,) = (root / "quire" / "blobs").rglob(WHEEL)
    assert blob.read_bytes() == CONTENT


@pytest.mark.parametrize(("server", "workers"), [("gunicorn", 2), ("uvicorn", 2), ("uvicorn", 1)])
def test_an_upload_that_never_ends_does_not_hold_the_server(server: str, workers: int, tmp_path: Path) -> None:
    """When the grace is over the server ends without what the client never sent, and nothing of it is published."""
    command = [sys.executable, "-c", SHORT_GRACE]
    with half_uploaded(tmp_path, command, "--server", server, "--workers", workers) as (served, connection):
        assert served.stop() == 0, served.output()
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(65536):  # some servers say why; none of their processes holds on to it
                pass
    assert published_in(tmp_path / "packages") == set()
    assert not checked(tmp_path / "packages").counts[Severity.DAMAGE]


def settings_of(folder: Path, workers: int, verbosity: int = 1) -> Settings:
    return Settings(
        directories=(str(folder),), host="127.0.0.1", port=free_port(), workers=workers, verbosity=verbosity
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_hangs_does_not_hold_the_server(number: int, tmp_path: Path) -> None:
    """It is killed after the grace, and its port is free for the next start."""
    with serving(settings_of(tmp_path, 2), tmp_path, grace=1) as served:
        until(lambda: len({served.worker() for _ in range(20)}) == 2)
        hanging, other = workers_of(served.process.pid)
        os.kill(hanging, signal.SIGSTOP)
        assert served.stop(number) == 0
        assert served.output().count(f"The worker {hanging} did not end in time; killing it.") == 1
        assert f"The worker {other} " not in served.output()
        binding.bind(served.host, served.port).close()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTTOU])
def test_a_worker_that_hangs_does_not_hold_its_replacement(number: int, tmp_path: Path) -> None:
    """Where the other workers serve on: when they are replaced, or fewer."""
    with serving(settings_of(tmp_path, 2), tmp_path, grace=1) as served:
        until(lambda: len({served.worker() for _ in range(20)}) == 2)
        before = workers_of(served.process.pid)
        os.kill(before[-1], signal.SIGSTOP)
        served.process.send_signal(number)
        until(lambda: f"The worker {before[-1]} did not end in time; killing it." in served.output())
        gone = before if number == signal.SIGHUP else before[1:]
        until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in gone))
        assert served.worker() not in gone
        assert served.stop() == 0


def test_a_stop_does_not_wait_for_a_restart(tmp_path: Path) -> None:
    """A worker that is being replaced finishes an answer. Meanwhile the server is told to stop: no connection is
    accepted from then on, and the answer is finished all the same."""
    with serving(settings_of(tmp_path, 2, 2), tmp_path, "tests.serving:slow_answer") as served:
        connection = http.client.HTTPConnection(served.host, served.port, timeout=DEADLINE)
        connection.request("GET", "/slow")
        until(lambda: any(tmp_path.glob("answering-*")))
        (worker,) = (int(path.name.rpartition("-")[2]) for path in tmp_path.glob("answering-*"))
        served.process.send_signal(signal.SIGHUP)
        until(lambda: f"Terminated child process [{worker}]" in served.output())
        served.process.send_signal(signal.SIGTERM)
        until(lambda: is_refused(served))
        assert served.process.poll() is None
        (tmp_path / "go").touch()
        assert connection.getresponse().status == 200
        connection.close()
        assert served.process.wait(DEADLINE) == 0
    assert "Traceback" not in served.output()


def test_a_stop_does_not_wait_for_a_successor(tmp_path: Path) -> None:
    """That is still starting when the server is told to stop, as one may while its disk does not answer: it ends with
    the others, and takes no connection."""
    go = tmp_path / "go"
    go.touch()
    with serving(settings_of(tmp_path, 2), tmp_path, "tests.serving:slow_startup") as served:
        until(lambda: len(list(tmp_path.glob("starting-*"))) == 2)
        until(lambda: len({served.worker() for _ in range(20)}) == 2)
        go.unlink()
        served.process.send_signal(signal.SIGHUP)
        until(lambda: len(list(tmp_path.glob("starting-*"))) == 3)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(DEADLINE) == 0
        assert is_refused(served)
    assert "was not ready in time" not in served.output()
    assert "Traceback" not in served.output()


@pytest.mark.parametrize(("server", "workers"), [("gunicorn", 1), ("gunicorn", 2), ("uvicorn", 1), ("uvicorn", 2)])
def test_a_stop_does_not_wait_for_the_start(server: str, workers: int, tmp_path: Path) -> None:
    """No connection is accepted any more, and the server ends, while its application would not be ready for long."""
    settings = msgspec.structs.replace(settings_of(tmp_path, workers), server=server)
    with starting(settings, tmp_path, "tests.serving:never_started") as served:
        until(lambda: len(list(tmp_path.glob("starting-*"))) == workers)
        assert served.stop() == 0
        assert is_refused(served)
    assert "Traceback" not in served.output()


@pytest.mark.parametrize("workers", [1, 2])
def test_work_in_threads_does_not_hold_the_server(workers: int, tmp_path: Path) -> None:
    """Such as the examination of a large archive that no request waits for any more: Python would wait for it."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    settings = settings_of(tmp_path, workers)
    with serving(settings, tmp_path, "tests.serving:working_on", TMPDIR=str(temporary)) as served:
        assert served.get("/work")[0] == 200
        assert any(temporary.iterdir())
        assert served.stop() == 0
    said = "Stopped without waiting for the work of threads: long_0." in served.output()
    assert said == (workers == 1)  # of several each ends by the signal that stopped it
    assert "did not end in time" not in served.output()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_application_that_does_not_end_does_not_hold_the_server(workers: int, tmp_path: Path) -> None:
    """Nor does anything else, when the grace is over."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    settings = settings_of(tmp_path, workers)
    with serving(settings, tmp_path, "tests.serving:never_closing", grace=1, TMPDIR=str(temporary)) as served:
        assert any(temporary.iterdir())
        assert served.stop() == 0
    assert "Traceback" not in served.output()
    assert list(temporary.iterdir()) == []
