"""The HTTP servers, as real processes on the loopback."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from quire import servers
from quire.config.settings import Settings
from quire.domain.errors import ConfigurationError
from quire.servers import binding
from tests.linearizability.servers import workers_of
from tests.serving import (
    DEADLINE,
    Served,
    environment,
    free_port,
    is_in_mask,
    quire_command,
    run_quire,
    running,
    serving,
    starting,
    until,
)

ALL = ["uvicorn", "gunicorn", "wsgiref"]
WITH_WORKERS = ["uvicorn", "gunicorn"]
IPV6 = "::1"


def _settings(tmp_path: Path, server: str, workers: int = 1, **more: object) -> Settings:
    defaults: dict[str, object] = {"host": "127.0.0.1", "port": free_port(), "verbosity": 1}
    return Settings(directories=(str(tmp_path),), server=server, workers=workers, **(defaults | more))  # type: ignore[arg-type]


def _other_worker(served: Served, dead: int) -> bool:
    """Whether a request is answered, by another process than the dead one."""
    try:
        return served.worker() != dead
    except OSError:
        return False


@pytest.mark.parametrize("server", ALL)
def test_serves_with_the_settings_and_ends_cleanly(server: str, tmp_path: Path) -> None:
    """Each server runs the application with QUIRE_SETTINGS, and SIGTERM is exit code 0 without a traceback."""
    with serving(_settings(tmp_path, server), tmp_path) as served:
        status, _, body = served.get("/about")
        assert status == 200
        assert f'"root": "{tmp_path}"' in body
        assert served.stop(signal.SIGTERM) == 0
    assert "Traceback" not in served.output()


@pytest.mark.parametrize("server", ALL)
def test_ctrl_c_is_a_clean_end(server: str, tmp_path: Path) -> None:
    """SIGINT to the whole process group, as a terminal sends it, is exit code 0 without a traceback."""
    with serving(_settings(tmp_path, server, workers=2), tmp_path) as served:
        first = served.worker()
        if server in WITH_WORKERS:
            until(lambda: _other_worker(served, first))
        os.killpg(served.process.pid, signal.SIGINT)
        assert served.process.wait(30) == 0
    assert "Traceback" not in served.output()
    assert "starting another one" not in served.output()


def _catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for the signal, as Python has one for SIGINT before it imports anything."""
    return is_in_mask(pid, "SigCgt", number)


def test_ctrl_c_while_the_workers_start_is_a_clean_end(tmp_path: Path) -> None:
    """A stop right after the first line (a wrong port, for example) shows no tracebacks."""
    with starting(_settings(tmp_path, "uvicorn", workers=2), tmp_path, "tests.serving:application") as served:
        until(lambda: [_catches(pid, signal.SIGINT) for pid in workers_of(served.process.pid)] == [True, True])
        os.killpg(served.process.pid, signal.SIGINT)
        assert served.process.wait(DEADLINE) == 0
    assert "Traceback" not in served.output()
    assert "starting another one" not in served.output()


@pytest.mark.parametrize("server", WITH_WORKERS)
def test_a_killed_worker_is_replaced(server: str, tmp_path: Path) -> None:
    """With two workers both answer; when one is killed requests go on being answered, by two again."""
    with serving(_settings(tmp_path, server, workers=2), tmp_path) as served:
        first = served.worker()
        until(lambda: _other_worker(served, first))
        os.kill(first, signal.SIGKILL)
        seen: set[int] = set()

        def two_others() -> bool:
            try:
                seen.add(served.worker())
            except OSError:  # a connection that the killed worker had taken
                return False
            return len(seen - {first}) == 2

        until(two_others)
        assert served.stop() == 0


@pytest.mark.parametrize("server", WITH_WORKERS)
def test_a_second_signal_does_not_cut_an_answer_off(server: str, tmp_path: Path) -> None:
    """SIGTERM to all processes reaches a worker twice, by itself and by its main process; it finishes and ends."""
    with serving(_settings(tmp_path, server, workers=2), tmp_path, "tests.serving:slow_answer") as served:
        connection = http.client.HTTPConnection(served.host, served.port, timeout=DEADLINE)
        connection.request("GET", "/slow")
        until(lambda: any(tmp_path.glob("answering-*")))
        (worker,) = (int(path.name.rpartition("-")[2]) for path in tmp_path.glob("answering-*"))
        os.kill(worker, signal.SIGTERM)
        until(lambda: not is_in_mask(worker, "ShdPnd", signal.SIGTERM))  # two of one number are one while they wait
        os.killpg(served.process.pid, signal.SIGTERM)
        (tmp_path / "go").touch()
        assert connection.getresponse().status == 200
        connection.close()
        assert served.process.wait(DEADLINE) == 0


@pytest.mark.parametrize("server", WITH_WORKERS)
def test_a_server_that_still_starts_ends_at_once(server: str, tmp_path: Path) -> None:
    """SIGTERM while the workers import the application ends them, and is not lost until they are killed."""
    settings = _settings(tmp_path, server, workers=2)
    with starting(settings, tmp_path, "tests.serving:slow_application") as served:
        until(lambda: len(list(tmp_path.glob("importing-*"))) == 2)
        if server == "uvicorn":  # its workers look at signals when the import is done
            (tmp_path / "go").touch()
        assert served.stop() == 0


@pytest.mark.parametrize("server", WITH_WORKERS)
def test_a_stop_in_the_middle_of_the_startup_is_not_forgotten(server: str, tmp_path: Path) -> None:
    """SIGTERM that arrives when a worker has its handlers but does not listen yet ends it all the same."""
    with starting(_settings(tmp_path, server, workers=2), tmp_path, "tests.serving:slow_startup") as served:
        until(lambda: len(list(tmp_path.glob("starting-*"))) == 2)
        served.process.send_signal(signal.SIGTERM)
        (tmp_path / "go").touch()
        assert served.process.wait(DEADLINE) == 0


def test_a_stop_right_after_the_fork_is_not_forgotten(tmp_path: Path) -> None:
    """A worker has its parent's handlers then, which would take the signal for the parent's."""
    hook = """
def post_fork(server, worker):
    import os, pathlib, time
    pathlib.Path(f"forked-{os.getpid()}").touch()
    while not os.path.exists("go"):
        time.sleep(0.01)
"""
    (tmp_path / "gunicorn.conf.py").write_text(hook)
    with starting(_settings(tmp_path, "gunicorn", workers=2), tmp_path, "tests.serving:application") as served:
        until(lambda: len(list(tmp_path.glob("forked-*"))) == 2)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(DEADLINE) == 0


@pytest.mark.parametrize("server", WITH_WORKERS)
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("target", ["failing", "refusing", "buggy", "missing"])
def test_an_application_that_cannot_start_ends_the_server(
    server: str, workers: int, target: str, tmp_path: Path
) -> None:
    """A server whose workers cannot start does not pretend to run: it ends, with an exit code that says so."""
    settings = _settings(tmp_path, server, workers=workers)
    with starting(settings, tmp_path, f"tests.serving:{target}") as served:
        assert served.process.wait(DEADLINE) > 0


@pytest.mark.parametrize("workers", [1, 2])
def test_what_the_default_server_cannot_load_is_said_in_its_sentence(workers: int, tmp_path: Path) -> None:
    """An error that quire raises on purpose, for instance as a disk fails when a worker starts, has no traceback."""
    with starting(_settings(tmp_path, "uvicorn", workers=workers), tmp_path, "tests.serving:refusing") as served:
        assert served.process.wait(DEADLINE) > 0
    assert "This application is not for serving." in served.output()
    assert "Traceback" not in served.output()


def test_a_successor_that_cannot_start_is_tried_again(tmp_path: Path) -> None:
    """A failure while a worker is replaced, as of a volume that is away, is no reason to end the others."""
    with serving(_settings(tmp_path, "uvicorn", workers=2), tmp_path, "tests.serving:failing_now") as served:
        until(lambda: len(set(workers_of(served.process.pid))) == 2)
        killed, kept = sorted(workers_of(served.process.pid))
        until(lambda: {served.worker() for _ in range(20)} == {killed, kept})
        (tmp_path / "broken").touch()
        os.kill(killed, signal.SIGKILL)
        until(lambda: served.output().count("died (exit code 3)") >= 2)
        assert kept in workers_of(served.process.pid)
        (tmp_path / "broken").unlink()
        until(lambda: len({served.worker() for _ in range(20)}) == 2)
        assert served.stop() == 0


def answering(served: Served) -> set[int]:
    """The workers that answer 40 connections: with a listener that no worker is at, one of them would wait."""
    return {served.worker() for _ in range(40)}


def test_every_listener_has_a_worker(tmp_path: Path) -> None:
    """All workers die at once, are replaced one by one (SIGHUP), become three, then one: each connection finds one."""
    with serving(_settings(tmp_path, "uvicorn", workers=2), tmp_path) as served:
        main = served.process.pid
        until(lambda: len(answering(served)) == 2)
        before = answering(served)
        for worker in before:
            os.kill(worker, signal.SIGKILL)
        until(lambda: len(now := answering(served)) == 2 and not now & before)
        before = answering(served)
        os.kill(main, signal.SIGHUP)
        until(lambda: len(now := set(workers_of(main))) == 2 and not now & before)
        assert answering(served) == set(workers_of(main))
        os.kill(main, signal.SIGTTIN)
        until(lambda: len(workers_of(main)) == 3)
        assert answering(served) <= set(workers_of(main))
        for left in (2, 1):
            os.kill(main, signal.SIGTTOU)
            until(lambda left=left: len(workers_of(main)) == left)  # type: ignore[misc]  # a lambda with a default
            assert answering(served) <= set(workers_of(main))
        os.kill(main, signal.SIGTTOU)  # the last one stays
        assert answering(served) == set(workers_of(main))
        assert served.stop() == 0


def test_a_worker_has_no_share_of_another_ones_listener(tmp_path: Path) -> None:
    """A fork inherits all listeners. Each worker keeps its own; the main process keeps all of them."""
    with serving(_settings(tmp_path, "uvicorn", workers=2), tmp_path) as served:
        until(lambda: len(answering(served)) == 2)
        held = [listening_sockets(pid, served.port) for pid in workers_of(served.process.pid)]
        assert [len(sockets) for sockets in held] == [1, 1]
        assert set().union(*held) == listening_sockets(served.process.pid, served.port)
        assert served.stop() == 0


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn"])
def test_workers_end_when_their_server_is_killed(server: str, tmp_path: Path) -> None:
    """Nothing is left that holds the port: a service manager can start the server again."""
    with serving(_settings(tmp_path, server, workers=2), tmp_path) as served:
        until(lambda: len(answering(served)) == 2)
        workers = workers_of(served.process.pid)
        served.stop(signal.SIGKILL)
        until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
        binding.bind(served.host, served.port).close()


def listening_sockets(pid: int, port: int) -> set[str]:
    """The inodes of a process's sockets that listen on a port (proc_pid_fd(5), proc_pid_net(5))."""
    listening = {
        line.split()[9]
        for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
    }
    opened = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()}
    return {inode for inode in listening if f"socket:[{inode}]" in opened}


def test_a_slow_worker_is_not_replaced(tmp_path: Path) -> None:
    """A machine that is too busy to let a worker run for seconds gets no more to do by having it killed and started
    again; uvicorn's own main process asks each worker for an answer and does that."""
    with serving(_settings(tmp_path, "uvicorn", workers=2), tmp_path) as served:
        slow = served.worker()
        until(lambda: _other_worker(served, slow))
        os.kill(slow, signal.SIGSTOP)
        for _ in range(3):  # each time the main process has looked at all its workers since the last
            (other,) = set(workers_of(served.process.pid)) - {slow}
            os.kill(other, signal.SIGKILL)
            until(lambda gone=other: len(set(workers_of(served.process.pid)) - {gone}) == 2)  # type: ignore[misc]  # a lambda with a default
            assert slow in workers_of(served.process.pid)
        os.kill(slow, signal.SIGCONT)
        assert served.output().count("died (signal 9)") == 3
        assert served.stop() == 0


@pytest.mark.parametrize("server", ALL)
def test_a_port_in_use_is_one_sentence(server: str, tmp_path: Path) -> None:
    """Also where the server would share the port (SO_REUSEPORT) or retry for seconds."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run_quire("serve", tmp_path, "-p", port, "--server", server, "--log-stream", "none", cwd=tmp_path)
    assert ended.returncode == 2
    sentence = f"The address 127.0.0.1:{port} is in use by another program; stop it, or choose another --port."
    assert ended.stderr == f"quire: error: {sentence}\n"


@pytest.mark.parametrize("server", ALL)
def test_a_megabyte_of_headers_is_refused(server: str, tmp_path: Path) -> None:
    """It gets an error status or a closed connection, never the application; other requests are served on."""
    with serving(_settings(tmp_path, server), tmp_path) as served:
        connection = http.client.HTTPConnection(served.host, served.port, timeout=30)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/", headers={"X-Large": "a" * 1024**2})
                assert connection.getresponse().status in {400, 431}
            except ConnectionError:  # closed before all of it was sent
                pass
        assert served.get()[0] == 200
        assert served.stop() == 0


@pytest.mark.parametrize("header", ["Content-Length: x", "Content-Length: -1", "Transfer-Encoding: chunked"])
def test_wsgiref_refuses_bodies_of_unknown_length(header: str, tmp_path: Path) -> None:
    """A request that the standard library's server does not check is a 4xx, not a traceback."""
    with serving(_settings(tmp_path, "wsgiref"), tmp_path) as served:
        with socket.create_connection((served.host, served.port), timeout=30) as connection:
            connection.sendall(f"POST / HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode())
            assert connection.recv(64).split()[1] in {b"400", b"411"}
        assert served.stop() == 0
    assert "Traceback" not in served.output()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "203.0.113.7", "2001:db8::7"])
def test_an_address_of_elsewhere_is_one_sentence(host: str) -> None:
    """Unknown hosts, and addresses that are not this machine's."""
    with pytest.raises(ConfigurationError, match="--host"):
        binding.bind(host, 8080)


def test_binding_takes_a_free_port() -> None:
    """Port 0 is resolved before the server starts, so that all its workers use the same one."""
    host, port = binding.free_address("localhost", 0)
    assert host == "127.0.0.1"
    assert port > 0


@pytest.mark.parametrize("server", ALL)
def test_ipv6(server: str, tmp_path: Path) -> None:
    """An IPv6 host works in every server."""
    try:
        port = free_port(IPV6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serving(_settings(tmp_path, server, host=IPV6, port=port), tmp_path) as served:
        assert served.get()[0] == 200
        assert served.stop() == 0


GUNICORN_CONF = """
import os
worker_class = "gevent"
preload_app = True
workers = 2
threads = 4
def post_fork(server, worker):
    open(f"forked-{worker.pid}", "w").close()
def when_ready(server):
    server.log.info("the hook ran")
def pre_request(worker, request):
    pass
"""


def test_gunicorn_conf_is_honoured(tmp_path: Path) -> None:
    """Workers, preloading and hooks of gunicorn.conf.py count; what cannot is said in one line, with the reason."""
    (tmp_path / "gunicorn.conf.py").write_text(GUNICORN_CONF)
    with serving(_settings(tmp_path, "gunicorn", workers=1), tmp_path) as served:
        first = served.worker()
        until(lambda: _other_worker(served, first))
        served.stop()
    assert len(list(tmp_path.glob("forked-*"))) == 2
    assert "the hook ran" in served.output()
    lines = [line for line in served.output().splitlines() if "overrides" in line]
    assert len(lines) == 1
    assert "worker_class 'gevent' by uvicorn's worker" in lines[0]
    assert "pre_request, which only gunicorn's own workers know" in lines[0]


def test_gunicorn_precedence(tmp_path: Path) -> None:
    """GUNICORN_CMD_ARGS is stronger than gunicorn.conf.py, and that than the host and port given to quire."""
    given, configured, decisive = free_port(), free_port(), free_port()
    (tmp_path / "gunicorn.conf.py").write_text(f"bind = '127.0.0.1:{configured}'\nworkers = 3\n")
    settings = _settings(tmp_path, "gunicorn", port=given)
    words = f"--bind 127.0.0.1:{decisive} -k sync"
    with serving(settings, tmp_path, listening=decisive, GUNICORN_CMD_ARGS=words) as served:
        served.stop()
    assert f"127.0.0.1:{decisive}" in served.output()
    assert "overrides" not in served.output()  # sync is gunicorn's default, not a choice
    assert served.output().count("Booting worker") == 3


def test_gunicorn_workers_flag_wins(tmp_path: Path) -> None:
    """An explicit --workers of quire is stronger than gunicorn's configuration, and the log says so."""
    (tmp_path / "gunicorn.conf.py").write_text("workers = 3\n")
    with serving(_settings(tmp_path, "gunicorn", workers=1, workers_chosen=True), tmp_path) as served:
        served.stop()
    assert served.output().count("Booting worker") == 1
    assert "workers = 3, as --workers 1 was given" in served.output()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("workers = 2\nworkers = 1 / 0\n", "fails in line 2 with ZeroDivisionError: division by zero"),
        ("workers = \n", "fails in line 1 with SyntaxError"),
        ("workers = -1\n", "gunicorn's configuration is wrong"),
        ("import a_module_that_nobody_has\n", "fails in line 1 with ModuleNotFoundError"),
    ],
)
def test_a_broken_gunicorn_conf_is_one_sentence(content: str, sentence: str, tmp_path: Path) -> None:
    """A gunicorn.conf.py that does not run, or holds a wrong value: exit code 2, and no traceback."""
    (tmp_path / "gunicorn.conf.py").write_text(content)
    ended = run_quire("run", tmp_path, "--server", "gunicorn", "-p", free_port(), cwd=tmp_path)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_missing_server_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An optional server that is not installed is one sentence that says what to install."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "gunicorn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "quire.servers.with_gunicorn", raising=False)
    monkeypatch.setitem(sys.modules, "gunicorn", None)
    with pytest.raises(ConfigurationError, match=r"with its extra \[gunicorn\]"):
        servers.run(_settings(tmp_path, "gunicorn"))


@pytest.mark.parametrize("server", ["auto", "gevent", "cherrypy", "granian", "twisted", "paste", "waitress"])
def test_former_servers_mean_the_default(server: str, tmp_path: Path) -> None:
    """The names of pypiserver's other servers, and of a former one of quire, are understood, and uvicorn
    serves."""
    assert servers.chosen_server(_settings(tmp_path, server)) == "uvicorn"


@pytest.mark.parametrize("server", ["granian", "cherrypy"])
@pytest.mark.parametrize("source", ["flag", "variable", "file"])
def test_a_former_server_is_one_log_line(server: str, source: str, tmp_path: Path) -> None:
    """Wherever it is named: one line says so, and uvicorn serves with as many workers as were asked for."""
    port = free_port()
    words: list[object] = ["run", tmp_path, "-p", port, "-i", "127.0.0.1", "-a", ".", "-P", ".", "--workers", 2]
    if source == "flag":
        words += ["--server", server]
    elif source == "file":
        (tmp_path / "quire.toml").write_text(f'server = "{server}"\n')
    environ = environment(**({"QUIRE_SERVER": server} if source == "variable" else {}))
    with running(quire_command(*words), port, cwd=tmp_path, environ=environ) as served:
        assert served.get("/simple/")[0] == 200
        assert served.stop() == 0
    assert served.output().count(f"--server {server} is not needed any more; serving with uvicorn.") == 1
    assert f" on http://127.0.0.1:{port}/ with uvicorn, 2 workers; " in served.output()
