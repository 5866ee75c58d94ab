"""The servers that are tormented: started on one directory, their workers killed one after the other."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tests.asking import OPEN
from tests.serving import Served, environment, free_port, quire_command, running, until

NO_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({})
_LEAST = 1.0
"""Seconds in which every worker of a server may be killed once, the oldest first."""


@dataclass(frozen=True)
class Victim:
    """A server whose workers may be killed."""

    pid: int
    pause: float
    """Seconds between two kills, at least."""


@contextmanager
def quire_servers(
    kinds: Sequence[str],
    roots: Sequence[Path | str],
    folder: Path,
    workers: int,
    *,
    kill_every: float = 0.0,
    flags: Sequence[object] = OPEN,
    program: Callable[..., list[str]] = quire_command,
    variables: Mapping[str, str] = NO_VARIABLES,
) -> Iterator[list[tuple[Served, Victim]]]:
    """One quire server of each kind; the nth serves the nth root (or the only one), a directory or a URL.

    `kill_every`: seconds; the victims' pause when it is longer than what a server bears. `flags`: those
    of the access rules. `program`: the command line of quire with these arguments. `variables`: of its environment,
    beside those of the tests.
    """
    with ExitStack() as stack:
        started = []
        for number, kind in enumerate(kinds):
            port = free_port()
            home = folder / f"server-{number}"
            home.mkdir()
            common = ("-p", port, "-H", "127.0.0.1", "-o", "--workers", workers, "--server", kind)
            command = program("run", *common, *flags, roots[number % len(roots)])
            served = stack.enter_context(running(command, port, cwd=home, environ=environment(**variables)))
            started.append((served, Victim(served.process.pid, max(kill_every, _LEAST / workers))))
        for served, _ in started:
            until(lambda pid=served.process.pid: len(workers_of(pid)) >= workers)  # type: ignore[misc]  # as above
        try:
            yield started
        finally:  # also when something failed: this is why it did
            for served, _ in started:
                assert served.process.poll() is None, f"a server ended by itself: {served.output()[-5000:]}"
        for served, _ in started:
            assert "Traceback" not in served.output(), served.output()


def workers_of(pid: int) -> list[int]:
    """The worker processes of a server, the oldest first."""
    found = []
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    for child in children:
        try:
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            started = int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[19])
        except OSError:
            continue
        if command and b"resource_tracker" not in command:
            found.append((started, int(child)))
    return [child for _, child in sorted(found)]


class Killer:
    """Kills the oldest worker of each server, again and again, until it is stopped."""

    def __init__(self, victims: Sequence[Victim], choose: random.Random) -> None:
        self.kills = 0
        self._victims = victims
        self._choose = choose
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        due = {victim: time.monotonic() + victim.pause for victim in self._victims}
        while due and not self._stopped.wait(0.05):
            for victim, moment in due.items():
                if time.monotonic() < moment:
                    continue
                workers = workers_of(victim.pid)
                if len(workers) > 1:
                    os.kill(workers[0], signal.SIGKILL)
                    self.kills += 1
                due[victim] = time.monotonic() + victim.pause * (1 + self._choose.random() / 2)
