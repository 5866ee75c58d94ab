"""How far a long command is: a bar on a terminal, a line every few seconds elsewhere. Always on stderr."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from quire.commands.common import plain
from quire.domain.sizes import in_words
from quire.process.progress import Progress

_EVERY = 5.0


class Meter(Progress):
    """A context manager, so that the terminal is left tidy."""

    def __init__(self, command: str, *, in_bytes: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        """`command`: begins each line. `in_bytes`: whether bytes are counted, or parts. `clock`: monotonic seconds."""
        self._clock = clock
        self._command = command
        self._words = in_words if in_bytes else str
        self._lock = threading.Lock()
        self._title, self._total, self._done = "", 0, 0
        self._printed = clock()
        self._task: TaskID | None = None
        self._bar: Bar | None = None
        if sys.stderr.isatty():
            columns = (DownloadColumn(), TimeRemainingColumn()) if in_bytes else (MofNCompleteColumn(),)
            text = TextColumn("{task.description}")
            self._bar = Bar(
                text, BarColumn(), *columns, console=Console(stderr=True), transient=True, redirect_stdout=False
            )

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, title: str, total: int) -> None:
        with self._lock:
            self._title, self._total, self._done = title, total, 0
            if self._bar is not None:
                if self._task is not None:
                    self._bar.remove_task(self._task)
                self._task = self._bar.add_task(title, total=total)

    def advance(self, amount: int) -> None:
        with self._lock:
            self._show(self._done + amount)

    def reach(self, done: int) -> None:
        with self._lock:
            self._show(done)

    def say(self, sentence: str) -> None:
        line = plain(f"quire: {self._command}: {sentence}")
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def _show(self, done: int) -> None:
        """Under the lock."""
        self._done = done
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done)
        elif (now := self._clock()) - self._printed >= _EVERY:
            self._printed = now
            self.say(f"{self._title}: {self._words(done)} of {self._words(self._total)}")
