"""A process that changes a store with no server between (`hand`), as its orders are sent and answered."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from tests.linearizability.recording import now
from tests.serving import environment


class HandProcess:
    """Started when it is needed, and again after it was killed."""

    def __init__(
        self, stores: Sequence[str], choose: random.Random, module: str = "tests.linearizability.hand"
    ) -> None:
        """`module`: the program, which takes orders as `hand` does."""
        self.kills = 0
        self._stores = stores
        self._choose = choose
        self._module = module
        self._process: subprocess.Popen[str] | None = None

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def order(self, order: Mapping[str, Any], killed_after: float | None) -> tuple[dict[str, Any], int, int]:
        """The answer, empty when there was none, the time of the order, and that of the answer.

        `killed_after`: seconds after which the process is killed, perhaps while it works; None for never.
        """
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(killed_after, process.kill) if killed_after is not None else None
        invoked = now()
        try:
            if timer is not None:
                timer.start()
            process.stdin.write(f"{json.dumps(order)}\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = ""
        answered = now()
        if timer is not None:
            timer.join()
            self.kills += 1
        if timer is not None or not line:
            self.close()
        return (json.loads(line) if line.endswith("\n") else {}), invoked, answered

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            command = [sys.executable, "-m", self._module, self._choose.choice(self._stores)]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
            )
            assert self._process.stdout is not None
            self._process.stdout.readline()
        return self._process
