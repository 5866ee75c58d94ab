"""Child processes that do long work for a server, and end with it.

A child has a pipe as its standard input. Its first line is what the child is to do; its end means that the server has
ended, in whatever way, so no child outlives it.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Final

PATIENCE: Final = 5.0
"""Seconds for children to say that they end."""


class Children:
    """The children of one process. Any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, module: str, words: Sequence[str], task: bytes) -> int:
        """Run a module of quire in a child, and give it one line; its process id. Raises OSError."""
        child = subprocess.Popen(  # noqa: S603 - Python itself
            [sys.executable, "-P", "-m", module, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # a terminal's interrupt is for the server, which then ends this one
        )
        with self._lock:
            self._running = [each for each in self._running if each.poll() is None]
            self._running.append(child)
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died already, which its entry will show
            child.stdin.write(task + b"\n")
            child.stdin.flush()
        return child.pid

    def close(self) -> None:
        """End them."""
        with self._lock:
            running, self._running = self._running, []
        for each in running:
            if each.stdin is not None:
                with contextlib.suppress(OSError):
                    each.stdin.close()
        for each in running:
            try:
                each.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                each.kill()
                each.wait()
