"""Runs `quire` commands in processes that are forked from one which has imported it: they begin in milliseconds.

Theory of operation. `Commander` starts `python -m tests.commanding`, which imports quire's commands and waits on a
socket. Each request has a command, and descriptors: of its output, its errors, and of a socket for the answer. For each
it forks a process that waits for another fork, the command itself, and answers with the exit code; so several run at a
time. A command is a process of its own, with its own working directory, environment and memory, as when it is started
by a shell; all it lacks is the time that imports take (`tests.servers.test_startup` measures that).
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NoReturn

_MOST_BYTES = 1 << 20
_SOCKET = 3


class Commander:
    """Belongs to one process."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """`environ`: for the import."""
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with closing(other):
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.commanding", str(other.fileno())],
                pass_fds=(other.fileno(),),
                stdin=subprocess.DEVNULL,
                env=dict(environ),
            )
        # It ends when the socket is closed.
        weakref.finalize(self, _end, self._socket, self._process)

    def run(
        self, words: Sequence[str], *, cwd: Path, environ: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run` of `quire` with these words."""
        request = json.dumps({"words": list(words), "cwd": str(cwd), "environ": dict(environ)}).encode()
        ours, theirs = socket.socketpair()
        with closing(ours), tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            with closing(theirs):
                socket.send_fds(self._socket, [request], [output.fileno(), errors.fileno(), theirs.fileno()])
            ours.settimeout(timeout)
            pid = _line(ours)
            try:
                code = int(_line(ours))
            except TimeoutError:
                os.kill(int(pid), signal.SIGKILL)
                raise subprocess.TimeoutExpired(["quire", *words], timeout) from None
            texts = []
            for file in (output, errors):
                file.seek(0)
                texts.append(file.read().decode())
        return subprocess.CompletedProcess(["quire", *words], code, *texts)


def _end(ours: socket.socket, process: subprocess.Popen[bytes]) -> None:
    ours.close()
    process.wait()


def _line(ours: socket.socket) -> str:
    """Up to the end of a line."""
    text = b""
    while not text.endswith(b"\n"):
        piece = ours.recv(1)
        if not piece:
            raise ConnectionError(f"The process that runs commands ended; it said {text!r}.")
        text += piece
    return text.decode()


def _serve(requests: socket.socket) -> None:
    import quire.commands  # not before the environment of this process is known

    for module in pkgutil.iter_modules(quire.commands.__path__):
        importlib.import_module(f"quire.commands.{module.name}")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nothing waits for the processes that wait for commands
    while True:
        data, descriptors, _, _ = socket.recv_fds(requests, _MOST_BYTES, _SOCKET)
        if not data:
            return
        if os.fork() == 0:
            requests.close()
            _wait_for(json.loads(data), descriptors)
        for each in descriptors:
            os.close(each)


def _wait_for(request: dict[str, object], descriptors: Sequence[int]) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    output, errors, answer = descriptors
    pid = os.fork()
    if pid == 0:
        os.dup2(output, 1)
        os.dup2(errors, 2)
        for each in descriptors:
            os.close(each)
        _become(request)
    os.write(answer, f"{pid}\n".encode())
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.write(answer, f"{code}\n".encode())
    os._exit(0)


def _become(request: dict[str, object]) -> NoReturn:
    from quire.cli import main

    words, environ = request["words"], request["environ"]
    assert isinstance(words, list)
    assert isinstance(environ, dict)
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["quire", *words]
    sys.exit(main(words))


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
