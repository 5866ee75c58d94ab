"""How far a long command is: a bar on a terminal, a line every few seconds elsewhere. Always on stderr."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from quire.commands.common import in_words

_EVERY = 5.0


class Meter:
    """Fulfils `importing.Progress`; a context manager, so that the terminal is left tidy. Threads may share it."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._lock = threading.Lock()
        self._total = 0
        self._done = 0
        self._printed = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )

    def __enter__(self) -> Meter:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def start(self, total: int) -> None:
        with self._lock:
            self._total = total
        if self._bar is not None:
            self._task = self._bar.add_task(self._title, total=total)

    def advance(self, amount: int) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, amount)
            return
        with self._lock:
            self._done += amount
            now = time.monotonic()
            if now - self._printed < _EVERY:
                return
            self._printed = now
            line = f"quire: {self._title}: {in_words(self._done)} of {in_words(self._total)}"
        print(line, file=sys.stderr, flush=True)
