"""Server processes under measurement: start, wait until they answer, look at their memory, stop by pid."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.serving import environment

STOP_SECONDS = 4.0
"""How long a server may take to end before it is killed; gunicorn with gevent often takes all that it is given."""
_MOMENT = 0.25
"""Seconds in which a machine shows whether it is idle."""
_IDLE_SHARE = 0.1
"""Of one processor: what servers without requests, and the system, may take."""


READY = b"ready\n"
"""Printed by a client process that is ready to begin."""


class Unavailable(Exception):
    """A figure cannot be had: a server that is not installed, does not start or answers wrongly. Says why; the report
    prints the sentence in place of the figure."""


@dataclass(frozen=True)
class Running:
    """A server's main process."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pids(self) -> list[int]:
        """The process and all its descendants."""
        return family(self.process.pid)

    @property
    def memory(self) -> int:
        """Bytes of all its processes: proportional set size, so that what they share counts once."""
        return sum(proportional_set_size(pid) for pid in self.pids)

    @property
    def cpu_seconds(self) -> float:
        """Processor time that its living processes have used."""
        return sum(_cpu_seconds(pid) for pid in self.pids)

    def tail(self) -> str:
        """The last lines that it printed."""
        return self.log.read_text(errors="replace")[-1500:].strip()


@contextmanager
def started(command: Sequence[str], log: Path, *, environ: Mapping[str, str], cwd: Path) -> Iterator[Running]:
    """The command as a process in a session of its own; afterwards all of it is gone."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield Running(process, log)
        finally:
            _stop(process)


class Client:
    """A process that asks servers, and prints what it found when it is done."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self._name = name
        self._process = process

    def tell(self, line: bytes) -> None:
        """Give it a line of input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def wait_until_ready(self) -> None:
        """Until it has printed READY. Raises Unavailable when it ends first."""
        assert self._process.stdout is not None
        if self._process.stdout.readline() != READY:
            assert self._process.stderr is not None
            raise Unavailable(f"{self._name} failed: {self._process.stderr.read().decode(errors='replace')[-300:]}")

    def report(self, seconds: float) -> bytes:
        """End its input, and wait for what it prints. Raises Unavailable when it fails or takes longer than that."""
        try:
            output, errors = self._process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{self._name} did not come to an end") from error
        if self._process.returncode != 0:
            raise Unavailable(f"{self._name} failed: {errors.decode(errors='replace')[-300:]}")
        return output


@contextmanager
def client(name: str, *command: str) -> Iterator[Client]:
    """This program of ours as a process; afterwards it is gone. `name`: for sentences that say what is wrong."""
    with subprocess.Popen(
        [sys.executable, "-m", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        try:
            yield Client(name, process)
        finally:
            process.kill()


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # its session is its own: no other process is hit
    process.wait()


def wait_for(running: Running, ready: Callable[[], bool], seconds: float) -> float:
    """Ask again and again until `ready`; how long that took. Errors of the connection mean "not yet".

    Raises Unavailable when the process ends or the time is over.
    """
    began = time.monotonic()
    while True:
        if running.process.poll() is not None:
            raise Unavailable(f"it ended with {running.process.returncode} while starting: {running.tail()[-300:]}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            if ready():
                return time.monotonic() - began
        if time.monotonic() - began > seconds:
            raise Unavailable(f"it gave no right answer within {seconds:.0f} s after its start")
        time.sleep(0.005)


def wait_until_idle(seconds: float = 20.0) -> None:
    """Until this machine has had next to nothing to do for a moment, but not longer than this.

    A server that cannot keep up goes on with requests whose clients have gone.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        before = _busy_seconds()
        time.sleep(_MOMENT)
        if _busy_seconds() - before <= _MOMENT * _IDLE_SHARE:
            return


def _busy_seconds() -> float:
    """The work of all processors (proc(5), /proc/stat)."""
    user, nice, system, _, _, interrupts, soft_interrupts, *_ = (
        int(ticks) for ticks in Path("/proc/stat").read_text().partition("\n")[0].split()[1:]
    )
    return (user + nice + system + interrupts + soft_interrupts) / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and its descendants, those that still exist (proc(5), /proc/pid/task/tid/children)."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(child) for child in task.read_text().split()]
    return [each for each in found if Path(f"/proc/{each}").exists()]


def proportional_set_size(pid: int) -> int:
    """Bytes (proc(5), smaps_rollup); 0 for a process that is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _cpu_seconds(pid: int) -> float:
    with contextlib.suppress(OSError, IndexError, ValueError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0
