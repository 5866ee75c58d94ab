"""Runs `quire` in processes that are forked from one which has imported it: they begin in milliseconds.

Theory of operation. `Commander` starts `python -m tests.commanding`, which imports all of quire and waits on a socket.
Each request has a command, and descriptors: of its output, its errors, of a socket for the answer, perhaps of its
input. For each it forks a process that waits for another fork, the command itself, and answers with the pid and later
the exit code; so several run at a time. A command is a process of its own, with its own session, working directory,
environment and memory, as when it is started by a shell; all it lacks is the time that imports take
(`tests.servers.test_startup` measures that).
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import weakref
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, NoReturn

_MOST_BYTES = 1 << 20
_DESCRIPTORS = 4
_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_")
"""Beginnings of the names of variables that count when the interpreter starts."""


class Forked:
    """A command under way; as far as tests need it, a `subprocess.Popen`."""

    def __init__(self, words: Sequence[str], answers: socket.socket) -> None:
        self.args = ["quire", *words]
        self.returncode: int | None = None
        self._answers = answers
        self._read = b""
        answers.settimeout(None)
        self.pid = int(self._line())

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        if self.returncode is None:
            self._answers.settimeout(0)
            try:
                self._end()
            except BlockingIOError:
                return None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises TimeoutExpired after these seconds."""
        if self.returncode is None:
            self._answers.settimeout(timeout)
            try:
                self._end()
            except TimeoutError:
                raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _end(self) -> None:
        self.returncode = int(self._line())
        self._answers.close()

    def _line(self) -> str:
        while not self._read.endswith(b"\n"):
            piece = self._answers.recv(1)
            if not piece:
                raise ConnectionError(f"The process that runs commands ended; it said {self._read!r}.")
            self._read += piece
        line, self._read = self._read.decode(), b""
        return line


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
                start_new_session=True,  # Ctrl-C is for the tests, which end what they started
                env=dict(environ),
            )
        # It ends when the socket is closed.
        weakref.finalize(self, _end, self._socket, self._process)

    def run(
        self, words: Sequence[str], *, cwd: Path, environ: Mapping[str, str], timeout: float, typed: bytes = b""
    ) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run` of `quire` with these words and this input."""
        with tempfile.TemporaryFile() as read, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            read.write(typed)
            read.seek(0)
            process = self.start(words, cwd=cwd, environ=environ, output=output, errors=errors, read=read)
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
            texts = []
            for file in (output, errors):
                file.seek(0)
                texts.append(file.read().decode())
        return subprocess.CompletedProcess(process.args, code, *texts)

    def start(
        self,
        words: Sequence[str],
        *,
        cwd: Path,
        environ: Mapping[str, str],
        output: BinaryIO,
        errors: BinaryIO,
        read: BinaryIO | None = None,
        program: str = "quire",
    ) -> Forked:
        """`python -m PROGRAM` with these words. `read`: its standard input; else it has an empty one."""
        said = {"program": program, "words": list(words), "cwd": str(cwd), "environ": dict(environ)}
        ours, theirs = socket.socketpair()
        with closing(theirs):
            descriptors = [output.fileno(), errors.fileno(), theirs.fileno(), *([read.fileno()] if read else [])]
            socket.send_fds(self._socket, [json.dumps(said).encode()], descriptors)
        return Forked(words, ours)


def is_like(environ: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether an interpreter that was started with one of them works as one that was started with the other."""
    names = {name for name in environ.keys() | other.keys() if name.startswith(_AT_START)}
    return all(environ.get(name) == other.get(name) for name in names)


def _end(ours: socket.socket, process: subprocess.Popen[bytes]) -> None:
    ours.close()
    process.wait()


def _serve(requests: socket.socket) -> None:
    import quire  # not before the environment of this process is known

    for module in pkgutil.walk_packages(quire.__path__, "quire."):
        # gunicorn keeps the directory in which it was imported
        if not module.name.endswith(("__main__", "gunicorn", "gunicorn_worker")):
            importlib.import_module(module.name)
    importlib.import_module("tests.store.bucket.counted")
    assert "gunicorn" not in sys.modules
    assert len(os.listdir("/proc/self/task")) == 1, "a fork has one thread only"
    gc.collect()
    gc.freeze()  # the commands share this memory
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nothing waits for the processes that wait for commands
    while True:
        data, descriptors, _, _ = socket.recv_fds(requests, _MOST_BYTES, _DESCRIPTORS)
        if not data:
            return
        if os.fork() == 0:
            requests.close()
            _wait_for(json.loads(data), descriptors)
        for each in descriptors:
            os.close(each)


def _wait_for(request: dict[str, object], descriptors: Sequence[int]) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    output, errors, answer, *read = descriptors
    pid = os.fork()
    if pid == 0:
        os.setsid()
        for each in read:
            os.dup2(each, 0)
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
    program, words, environ = request["program"], request["words"], request["environ"]
    assert isinstance(words, list)
    assert isinstance(environ, dict)
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    sys.argv = ["quire", *words]
    sys.orig_argv = [sys.executable, "-m", str(program), *words]
    code = 0
    try:
        runpy.run_module(str(program), run_name="__main__", alter_sys=True)
    except SystemExit as leaving:
        if isinstance(leaving.code, str):
            print(leaving.code, file=sys.stderr)
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does it
        traceback.print_exc()
        code = 1
    # As multiprocessing ends its forks: freeing what was imported would take longer than most commands do.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
