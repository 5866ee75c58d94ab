"""quire's application in a worker that counts what Python does for it, and tells each client that connects.

One counter runs in the thread that imports the application, which is the one that answers, and another one in all those
that it starts. They slow these down a hundredfold, and change none of the numbers. Served as
`benchmarks.counting:application`; the Unix socket is named by BENCH_COUNTER.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Mapping
from types import FrameType
from typing import Any

SOCKET_VARIABLE = "BENCH_COUNTER"
LOOP, THREADS = "loop", "threads"
"""The names of the counters: of the thread that answers, and of all others."""


class Counter:
    """Function calls, and bytecode instructions."""

    def __init__(self) -> None:
        self.calls = 0
        """Of Python functions; a coroutine that goes on counts again."""
        self.c_calls = 0
        """Of functions written in C."""
        self.instructions = 0

    def install(self) -> None:
        """In this thread, from now on."""
        sys.setprofile(self._profile)
        sys.settrace(self._enter)

    def install_in_threads(self) -> None:
        """In those that are started from now on."""
        threading.setprofile(self._profile)
        threading.settrace(self._enter)

    def _profile(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            self.calls += 1
        elif event == "c_call":
            self.c_calls += 1

    def _enter(self, frame: FrameType, event: str, argument: object) -> Any:
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._step

    def _step(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "opcode":
            self.instructions += 1
        return self._step


def _tell(counters: Mapping[str, Counter], listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(json.dumps({name: vars(each) for name, each in counters.items()}).encode())


def __getattr__(name: str) -> Any:
    """Importing this module does nothing; asking for the application begins the counting."""
    if name != "application":
        raise AttributeError(name)
    from quire.http.entry import application  # noqa: PLC0415 - builds it from the worker's settings

    counter, in_threads = Counter(), Counter()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.environ[SOCKET_VARIABLE])
    listener.listen()
    threading.Thread(target=_tell, args=({LOOP: counter, THREADS: in_threads}, listener), daemon=True).start()
    counter.install()
    in_threads.install_in_threads()
    return application
