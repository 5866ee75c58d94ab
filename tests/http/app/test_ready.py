"""Readiness: what a load balancer is told, and when.

Replaced here: the number of the process, since one process stands for several workers.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from quire.access import defining
from quire.access.document import EMPTY
from quire.domain.errors import StoreError, StoreFull
from quire.http.app.ready import (
    COUNTS_SECONDS,
    DRAINING,
    HOLDS_SECONDS,
    NO_THREAD,
    REFRESH_SECONDS,
    SILENT,
    Readiness,
    StoreProbe,
)
from quire.index.index import Index
from quire.process.siblings import RUNTIME_VARIABLE, folder_of, is_draining, mark_draining, shared_folder
from quire.store.posix.store import PosixStore
from quire.testing import Fault, MemoryStore
from tests.asking import OPEN, serve
from tests.clocks import Clock
from tests.http.app.test_access import application, ask
from tests.serving import DEADLINE, Served, free_port, quire_command, running, until

SERVERS = ("gunicorn", "uvicorn")


def never() -> bool:
    return False


def test_a_thread_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of processes was reached for a moment; the server must not count as broken for ever."""
    clock = Clock(0.0)

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def ask() -> None:
        readiness = Readiness(lambda: None, never, clock=clock)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            assert await readiness.problem() == NO_THREAD
            assert readiness.failed
        clock.now = HOLDS_SECONDS
        assert await readiness.problem() is None
        assert not readiness.failed

    asyncio.run(ask())


def test_a_verdict_holds_for_a_second() -> None:
    """However often it is asked, the store is looked at once a second; then the new verdict counts."""
    clock, failures, looks = Clock(0.0), [False], []

    def probe() -> None:
        looks.append(clock.now)
        if failures[0]:
            raise StoreError("The disk is gone.")

    async def ask() -> None:
        readiness = Readiness(probe, never, clock=clock)
        assert [await readiness.problem() for _ in range(50)] == [None] * 50
        assert looks == [0.0]
        failures[0] = True
        clock.now = HOLDS_SECONDS - 0.01
        assert await readiness.problem() is None
        clock.now = HOLDS_SECONDS
        assert await readiness.problem() == "The disk is gone."
        assert readiness.failed
        failures[0] = False
        clock.now = 2 * HOLDS_SECONDS
        assert await readiness.problem() is None
        assert not readiness.failed

    asyncio.run(ask())


def test_an_old_failure_does_not_count() -> None:
    """A worker that was asked once, when the store failed, and never since, does not know of a failure for good."""
    clock = Clock(0.0)

    def probe() -> None:
        clock.now += 2 * COUNTS_SECONDS  # its end counts, not its begin: a store may take as long to say that it failed
        raise StoreError("The disk is gone.")

    async def ask() -> None:
        readiness = Readiness(probe, never, clock=clock, patience=3 * COUNTS_SECONDS)
        assert await readiness.problem() is not None
        ended = clock.now
        clock.now = ended + COUNTS_SECONDS - 0.01
        assert readiness.failed
        clock.now = ended + COUNTS_SECONDS
        assert not readiness.failed

    asyncio.run(ask())


def test_metrics_begin_few_checks() -> None:
    """One, where none was asked for lately: not at each scrape, not while one is under way."""
    clock, go = Clock(0.0), threading.Event()

    async def ask() -> None:
        readiness = Readiness(lambda: go.wait(DEADLINE), never, clock=clock, patience=DEADLINE)
        readiness.refresh()
        clock.now = REFRESH_SECONDS
        readiness.refresh()
        assert readiness.checks == 1
        go.set()
        assert await readiness.problem() is None
        clock.now = 2 * REFRESH_SECONDS
        assert await readiness.problem() is None
        assert readiness.checks == 2
        readiness.refresh()
        assert readiness.checks == 2
        clock.now = 3 * REFRESH_SECONDS
        readiness.refresh()
        assert readiness.checks == 3

    asyncio.run(ask())


def test_requests_during_a_check_share_it() -> None:
    """A hundred questions at once are one look at the store."""
    go = threading.Event()

    async def ask() -> None:
        readiness = Readiness(lambda: go.wait(DEADLINE), never)
        waiting = [asyncio.create_task(readiness.problem()) for _ in range(100)]
        await asyncio.sleep(0)
        go.set()
        assert await asyncio.gather(*waiting) == [None] * 100
        assert readiness.checks == 1

    asyncio.run(ask())


def test_a_store_that_hangs_is_not_ready_and_is_asked_once() -> None:
    """No answer in time is a no; no second check begins while the first one runs, and its answer counts."""
    go = threading.Event()

    async def ask() -> None:
        readiness = Readiness(lambda: go.wait(DEADLINE), never, patience=0.01)
        assert [await readiness.problem() for _ in range(5)] == [SILENT] * 5
        assert readiness.checks == 1
        assert readiness.failed
        go.set()
        while await readiness.problem() is not None:  # each question waits for as long as the patience is
            assert readiness.checks == 1
        assert readiness.checks == 1

    asyncio.run(ask())


@pytest.mark.parametrize("error", [StoreError("No."), ValueError("unforeseen"), OSError(errno.EIO, "I/O error")])
def test_whatever_fails_is_no_readiness(error: Exception) -> None:
    """Errors raised on purpose give their sentence; others are named, and never become a 500."""

    def probe() -> None:
        raise error

    verdict = asyncio.run(Readiness(probe, never).problem())
    assert verdict is not None
    assert verdict.endswith(".")
    assert ("No." in verdict) == isinstance(error, StoreError)


def test_draining_is_reported_at_once() -> None:
    """It needs no check, and no verdict from before it stands against it."""
    draining = [False]

    async def ask() -> None:
        readiness = Readiness(lambda: None, lambda: draining[0])
        assert await readiness.problem() is None
        draining[0] = True
        assert await readiness.problem() == DRAINING

    asyncio.run(ask())


def test_the_probe_reads_and_writes() -> None:
    """It fails when reading or writing does; a full disk is no failure, and a read-only store is only read."""
    store = MemoryStore()
    probe = StoreProbe(Index(store))
    probe()
    assert not store.state.incoming
    for operation in ("read", "stage"):
        store.faults.next(operation, Fault.BEFORE)
        with pytest.raises(StoreError):
            probe()
    store.faults.next("stage", Fault.FULL)
    probe()
    read_only = MemoryStore(writable=False)
    StoreProbe(Index(read_only))()
    store.faults.next("stage", Fault.FULL)
    with pytest.raises(StoreFull):
        store.blobs.stage("foo/x/f")


def test_a_lost_volume_is_noticed(tmp_path: Path) -> None:
    """A store whose folder vanishes is not ready any more, although nothing in it was ever read."""
    probe = StoreProbe(Index(PosixStore.open(tmp_path)))
    probe()
    shutil.rmtree(tmp_path / "quire")
    with pytest.raises(StoreError):
        probe()


def test_a_volume_that_becomes_read_only_is_noticed(tmp_path: Path) -> None:
    """A store that could be written when the server started, and cannot any more, is not ready."""
    probe = StoreProbe(Index(PosixStore.open(tmp_path)))
    probe()
    (tmp_path / "quire" / "incoming").rename(tmp_path / "quire" / "elsewhere")
    with pytest.raises(StoreError):
        probe()


# -- the folder that a server's processes share -----------------------------------------------------------------------


def test_the_shared_folder_is_private_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its user can look into it; it is named in the environment while it is there, and removed at the end."""
    monkeypatch.delenv(RUNTIME_VARIABLE, raising=False)
    with shared_folder() as folder:
        assert folder is not None
        assert folder_of(os.environ) == folder
        assert folder.stat().st_mode & 0o077 == 0
        assert not is_draining(folder)
        mark_draining(folder)
        assert is_draining(folder)
    assert not folder.exists()
    assert folder_of(os.environ) is None
    mark_draining(folder)
    assert not is_draining(folder)


def test_a_fork_does_not_remove_the_shared_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that leaves by the way that its main process came (gunicorn's do) leaves the folder alone."""
    monkeypatch.delenv(RUNTIME_VARIABLE, raising=False)
    with shared_folder() as folder:
        assert folder is not None
        maker = os.getpid
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: maker() + 1)
            with shared_folder() as inner:
                patch.setattr(os, "getpid", lambda: maker() + 2)
            assert inner is not None
            assert inner.exists()
            shutil.rmtree(inner)
        assert folder.exists()


MAKE_FOLDERS = """
import os, sys
from quire.process.siblings import make_folder
folder = make_folder()
(folder / "search-1.sqlite").write_bytes(b"x")
if sys.argv[1:] == ["fork"] and os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
print(folder, flush=True)
sys.stdin.read()
"""


def maker(parent: Path, *arguments: str) -> tuple[subprocess.Popen[str], Path]:
    """A process that made a folder, and the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAKE_FOLDERS, *arguments],
        env={**os.environ, "TMPDIR": str(parent)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_the_folder_of_a_killed_server_is_removed_by_the_next(tmp_path: Path) -> None:
    """That of one that runs stays, and so does all that is surely of no server."""
    elsewhere = tmp_path / "elsewhere" / "quire-12345678"
    for folder in (elsewhere, tmp_path / "quire-backups", tmp_path / "quire-1234567"):
        folder.mkdir(parents=True)
        (folder / "held").touch()
    (tmp_path / "quire-unheld00").mkdir()
    (tmp_path / "quire-abcdefgh").symlink_to(elsewhere)
    (tmp_path / "quire-ijklmnop").mkdir()
    (tmp_path / "quire-ijklmnop" / "held").symlink_to(elsewhere / "held")
    before = set(tmp_path.iterdir())
    running, kept = maker(tmp_path)
    killed, gone = maker(tmp_path)
    assert set(tmp_path.iterdir()) == {*before, kept, gone}
    end(killed)
    last, made = maker(tmp_path)
    try:
        assert set(tmp_path.iterdir()) == {*before, kept, made}
        assert (elsewhere / "held").exists()
        assert (kept / "search-1.sqlite").exists()
    finally:
        end(running)
        end(last)


def test_the_folder_of_a_killed_process_stays_while_a_fork_of_it_lives(tmp_path: Path) -> None:
    """As a worker of a server does for a moment."""
    killed, folder = maker(tmp_path, "fork")
    killed.kill()
    killed.wait()
    second, _ = maker(tmp_path)
    assert (folder / "search-1.sqlite").exists()
    end(killed)  # and its fork, which reads to the end of the same input
    third, _ = maker(tmp_path)
    end(second)
    end(third)
    assert not folder.exists()


# -- real servers -----------------------------------------------------------------------------------------------------


def status_of(served: Served, path: str) -> int:
    """0 without an answer."""
    try:
        return served.get(path)[0]
    except OSError:
        return 0


def test_a_server_says_that_it_is_ready(tmp_path: Path) -> None:
    """GET and HEAD give 200 as long as the store works; without its folder 503 with a sentence, while /health is Ok."""
    with serve(tmp_path, *OPEN) as site:
        answer = site.get("/ready")
        assert (answer.status_code, answer.text) == (200, "Ready\n")
        assert answer.headers["cache-control"] == "no-store"
        assert site.client.head("/ready").status_code == 200
        incoming = site.root / "quire" / "incoming"
        incoming.rename(incoming.with_name("elsewhere"))
        until(lambda: site.get("/ready").status_code == 503)
        refused = site.get("/ready")
        assert refused.text.count(".") >= 1
        assert len(refused.text.splitlines()) == 1
        assert refused.headers["retry-after"] == "1"
        assert site.get("/health").status_code == 200
        incoming.with_name("elsewhere").rename(incoming)
        until(lambda: site.get("/ready").status_code == 200)


def test_the_metrics_need_no_prober(tmp_path: Path) -> None:
    """A request for the metrics has the store checked where nothing asks for /ready, and does not wait for it."""
    with serve(tmp_path, *OPEN) as site:
        incoming = site.root / "quire" / "incoming"
        incoming.rename(incoming.with_name("elsewhere"))
        assert "quire_ready 1" in site.get("/metrics").text
        until(lambda: "quire_ready 0" in site.get("/metrics").text)


def test_a_store_that_is_not_as_declared_is_ready(tmp_path: Path) -> None:
    """A second line says so, without what is different: everyone may ask. It goes once the store is as declared."""
    file = tmp_path / "declared.toml"
    file.write_text("[indexes.main]\nuploads = false\n")
    app = application(tmp_path, declared=str(file))
    watch = app.state.worker.declared
    watch.compare(EMPTY)
    (answer,) = ask(app, ("GET", "/ready", {}))
    assert (answer.status_code, answer.text) == (
        200,
        "Ready\nThe store is not as declared: 1 difference; 'quire apply FILE --check' shows them.\n",
    )
    watch.compare(defining.with_settings(EMPTY, "main", {"uploads": False}, "main"))
    (answer,) = ask(app, ("GET", "/ready", {}))
    assert answer.text == "Ready\n"


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("server", SERVERS)
def test_a_draining_server_goes_on_serving(server: str, workers: int, tmp_path: Path) -> None:
    """After SIGTERM all workers say 503 on /ready and serve all else, until a second SIGTERM; then it ends with 0."""
    assert_drains(tmp_path, server, workers)


def test_wsgiref_drains_too(tmp_path: Path) -> None:
    """The same without worker processes."""
    assert_drains(tmp_path, "wsgiref", 1)


def assert_drains(tmp_path: Path, server: str, workers: int) -> None:
    (tmp_path / "packages").mkdir()
    port = free_port()
    flags = ("--server", server, "--workers", workers, "--drain-seconds", 3000)
    command = quire_command("run", "-p", port, "-i", "127.0.0.1", *OPEN, *flags, tmp_path / "packages")
    with running(command, port, cwd=tmp_path) as served:
        until(lambda: status_of(served, "/ready") == 200)
        served.process.send_signal(signal.SIGTERM)
        until(lambda: [status_of(served, "/ready") for _ in range(12)] == [503] * 12)
        assert [status_of(served, "/simple/") for _ in range(12)] == [200] * 12
        assert status_of(served, "/health") == 200
        assert served.stop() == 0
        assert "Traceback" not in served.output()


@pytest.mark.parametrize("server", [*SERVERS, "wsgiref"])
def test_draining_ends_by_itself(server: str, tmp_path: Path) -> None:
    """When its time is over the server stops, without another signal."""
    (tmp_path / "packages").mkdir()
    port = free_port()
    flags = ("--server", server, "--workers", 2, "--drain-seconds", 0.5)
    command = quire_command("run", "-p", port, "-i", "127.0.0.1", *OPEN, *flags, tmp_path / "packages")
    with running(command, port, cwd=tmp_path) as served:
        assert served.stop() == 0


@pytest.mark.parametrize("server", [*SERVERS, "wsgiref"])
def test_the_keyboard_does_not_wait(server: str, tmp_path: Path) -> None:
    """Ctrl-C stops a server at once, whatever its time to drain."""
    (tmp_path / "packages").mkdir()
    port = free_port()
    flags = ("--server", server, "--workers", 2, "--drain-seconds", 3000)
    command = quire_command("run", "-p", port, "-i", "127.0.0.1", *OPEN, *flags, tmp_path / "packages")
    with running(command, port, cwd=tmp_path) as served:
        os.killpg(served.process.pid, signal.SIGINT)
        assert served.process.wait(DEADLINE) in {0, 130}


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path) -> None:
    """A server that was stopped leaves no folder behind; while it runs there is one."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "tmp").mkdir()
    with serve(tmp_path, *OPEN, TMPDIR=str(tmp_path / "tmp")) as site:
        assert len(folders(tmp_path / "tmp")) == 1
        assert site.served.stop() == 0
        assert folders(tmp_path / "tmp") == []


def folders(parent: Path) -> list[str]:
    return [path.name for path in parent.iterdir() if path.name.startswith("quire-")]


def test_a_drain_is_asked_by_signal_alone() -> None:
    """The callable type of signal handlers is what servers take."""
    from quire.servers.draining import Drain

    stopped: list[int] = []

    def stop(number: int, _frame: object) -> None:
        stopped.append(number)

    handler: Callable[[int, None], None] = Drain(0, None).before(stop)
    handler(signal.SIGINT, None)
    handler(signal.SIGTERM, None)
    assert stopped == [signal.SIGINT, signal.SIGTERM]
