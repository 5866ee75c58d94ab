"""The output of log lines: whole and in order; a reader that has stopped does not block the process.

Theory of operation. A line is queued and written by one write(2) with its neighbours. Requests are logged many at a
time, so their lines are queued for a millisecond (`quire.http.app.access_lines`); any other line is written at once,
behind those that wait.

- **Whole lines.** Several processes write to one file, pipe or terminal. A file is opened with O_APPEND, and gets all
  that is queued by one write. A pipe takes up to PIPE_BUF bytes as a whole (pipe(7)), so it gets no more by one write,
  always of whole lines; only a longer line can be torn.
- **A reader that is slow.** Writing to a full pipe blocks. O_NONBLOCK belongs to the open file, which is shared, so
  it must not be set on the standard output; `/proc/self/fd/N` opens the same pipe again, for this process alone, and a
  socket has MSG_DONTWAIT. A thread writes the rest and waits for the reader. Where neither is possible (a pipe of
  another user), that thread writes everything.
- **The bound.** At most `MAX_QUEUED` characters wait, beside those being written. A process with more lines
  waits for the reader, up to a tenth of its time; then it drops lines, counts them, and logs their number as soon as
  there is room again. Each dropped line is counted (`lost_lines`).
- **Files that are rotated.** One that was moved away or removed is opened again (its name is checked before each
  write); one that is truncated in place goes on at its new end, which is what O_APPEND means.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import stat
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Final, Protocol, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import Sequence

_log = structlog.stdlib.get_logger("quire.observe.logs")

MAX_QUEUED: Final = 1024 * 1024
"""Characters that may wait for one destination."""
_WAITED_SHARE: Final = 0.1
"""Of each second, how much may be spent on waiting for a reader while the queue is full."""
_LAST_SECONDS: Final = 10.0
"""How long the end of a process may be put off for a reader that goes on reading, ..."""
_SILENT_SECONDS: Final = 1.0
"""... and for one that does not."""
_STANDARD_ERROR: Final = 2
"""The highest descriptor that is the process's own."""
_REPORT_SECONDS: Final = 60.0
"""Seconds between two reports of a failing destination."""


class Destination(Protocol):
    """A file, pipe, terminal or socket."""

    @property
    def name(self) -> str: ...

    @property
    def at_most(self) -> int | None:
        """Bytes that one write takes as a whole; None for any number."""
        ...

    @property
    def blocks(self) -> bool:
        """Whether `write` may wait for a reader."""
        ...

    def begin(self) -> None:
        """Called before lines are written of which nothing was yet. Raises OSError."""

    def write(self, data: bytes) -> int:
        """How many bytes were taken. Raises BlockingIOError when it takes none now, OSError when it fails."""
        ...

    def wait(self, seconds: float) -> None:
        """Until it may take more, or for so long."""

    def close(self) -> None: ...


class Stream:
    """The standard output or error: a file, a pipe, a socket or a terminal."""

    blocks = False

    def __init__(self, name: str, descriptor: int) -> None:
        """`descriptor`: 1 or 2, which are the process's own whatever they lead to; any other one may be closed, and its
        number given to another file, so that file is opened once more."""
        self.name = name
        self._owned: int | None = None
        self._socket: socket.socket | None = None
        mode = os.fstat(descriptor).st_mode
        self.at_most = None if stat.S_ISREG(mode) else select.PIPE_BUF
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(descriptor))
        elif stat.S_ISFIFO(mode) or os.isatty(descriptor):
            try:
                self._owned = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:  # no /proc, or a pipe of another user
                self.blocks = True
        if self._socket is not None:
            self._descriptor = self._socket.fileno()
        elif self._owned is not None:
            self._descriptor = self._owned
        elif descriptor > _STANDARD_ERROR:
            self._descriptor = self._owned = os.dup(descriptor)
        else:
            self._descriptor = descriptor

    def begin(self) -> None:
        """Nothing to be done."""

    def write(self, data: bytes) -> int:
        if self._socket is not None:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        return os.write(self._descriptor, data)

    def wait(self, seconds: float) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        poll.poll(seconds * 1000)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._owned is not None:
            os.close(self._owned)
            self._owned = None


class File:
    """A file that is appended to, and opened again when its name no longer leads to it."""

    at_most: int | None = None
    blocks = False

    def __init__(self, path: str) -> None:
        """Raises OSError."""
        self.name = path
        self._descriptor = self._open()

    def begin(self) -> None:
        try:
            found = os.stat(self.name)
        except FileNotFoundError:
            found = None
        if found is None or (found.st_dev, found.st_ino) != self._identity:
            before, self._descriptor = self._descriptor, self._open()
            os.close(before)

    def write(self, data: bytes) -> int:
        return os.write(self._descriptor, data)

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def close(self) -> None:
        os.close(self._descriptor)

    def _open(self) -> int:
        descriptor = os.open(self.name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        found = os.fstat(descriptor)
        self._identity = (found.st_dev, found.st_ino)
        if not stat.S_ISREG(found.st_mode):
            self.at_most, self.blocks = select.PIPE_BUF, True
        return descriptor


class Output:
    """The lines for one destination. Thread-safe."""

    def __init__(self, destination: Destination, encoding: str = "utf-8") -> None:
        self.destination = destination
        self.lost = 0
        """Lines that were dropped since the process began."""
        self.is_closed = False
        self.generation: object
        """Another one when this output is closed, and in a forked process."""
        self._encoding = encoding
        self._reset()
        _outputs.add(self)

    def _reset(self) -> None:
        """Also in a forked process: the lines that its parent has queued stay with its parent, as does the thread."""
        self.generation = object()
        # Over the queue; held for moments. A finalizer or a signal handler that logs may run in the middle of any step,
        # in the same thread, so the lock is reentrant, and each step allows another line in between.
        self._lock = threading.RLock()
        self._writing = threading.Lock()  # over the destination; a writer has it
        self._queue: list[str] = []
        self._queued = 0
        self._rest: list[bytes] = []
        self._writer: threading.Thread | None = None
        self._work = threading.Event()
        self._unreported = 0
        self._reported_at = 0.0
        self._reader_reads = True
        self._waited_since = self._waited = 0.0
        self._failure_reported = -_REPORT_SECONDS

    def queue(self, lines: Sequence[str]) -> None:
        """Have lines written, which end with no line break, at the next `flush`; or drop them, and count them."""
        if self._queued >= MAX_QUEUED and not self._has_room():
            self._lose(len(lines))
            return
        size = sum(map(len, lines))
        with self._lock:
            self._queue += lines
            self._queued += size

    def flush(self) -> None:
        """Write all that can be written without waiting; a thread writes the rest."""
        while self._queue or self._rest:
            if self.destination.blocks or self._writer is not None:
                self._wake_writer()
                break
            if not self._writing.acquire(blocking=False):
                break  # the writer looks into the queue once more afterwards
            try:
                is_done = self._write()
            finally:
                self._writing.release()
            if not is_done:
                self._wake_writer()
                break
        if self._unreported:
            self._report_lost()

    def drain(self) -> None:
        """Write the queued lines, waiting for a reader that goes on reading."""
        ends = time.monotonic() + _LAST_SECONDS
        left, silent_until = -1, 0.0
        while (now := time.monotonic()) < ends:
            self.flush()
            with self._lock:
                size = self._queued + sum(map(len, self._rest))
            if not size:
                break
            if size != left:
                left, silent_until = size, now + _SILENT_SECONDS
            elif now > silent_until:
                break
            self.destination.wait(0.01)
            time.sleep(0.001)  # where it is writable for others only

    def close(self) -> None:
        """`drain`, and count the lines that could not be written."""
        if self.is_closed:
            return
        self.is_closed, self.generation = True, object()
        self.drain()
        is_free = self._writing.acquire(timeout=_SILENT_SECONDS)  # else a thread hangs in a write for ever
        unwritten = len(self._queue) + sum(piece.count(b"\n") for piece in self._rest)
        if unwritten:
            self._lose(unwritten)
        if self._unreported:
            self._report_failure(f"{self._unreported} log lines are lost: the reader did not read them.")
        if is_free:
            self._queue, self._rest = [], []
            self.destination.close()
            self._writing.release()

    # -- writing ------------------------------------------------------------------------------------------------------

    def _write(self) -> bool:
        """Whether all of the queue has been written, or lost; called by the thread that has `_writing`."""
        while True:
            try:
                if not self._rest:
                    with self._lock:
                        lines, self._queue = self._queue, []
                        self._queued = 0
                        if not lines:
                            return True
                        self._rest = _pieces(lines, self._encoding, self.destination.at_most)
                    self.destination.begin()
                while self._rest:
                    piece = self._rest[0]
                    taken = self.destination.write(piece)
                    if taken == len(piece):
                        del self._rest[0]
                    else:
                        self._rest[0] = piece[taken:]
                    self._reader_reads = True
            except BlockingIOError:
                return False
            except OSError as error:
                lost, self._rest = sum(piece.count(b"\n") for piece in self._rest), []
                self._lose(lost)
                self._report_failure(
                    f"Log lines cannot be written to {self.destination.name} ({error.strerror or error})."
                )

    def _wake_writer(self) -> None:
        with self._lock:
            self._work.set()
            if self._writer is not None or (self.is_closed and not self.destination.blocks):
                return
            self._writer = threading.Thread(target=self._write_in_thread, name="log", daemon=True)
            try:
                self._writer.start()
            except RuntimeError:  # the interpreter ends, or there are too many threads: the next line tries again
                self._writer = None

    def _write_in_thread(self) -> None:
        """Write until nothing is left, in a thread of its own."""
        while True:
            self._work.clear()
            with self._writing:
                is_done = self._write()
            if not is_done:
                self.destination.wait(0.1)
                continue
            if self.destination.blocks and self._work.wait(_REPORT_SECONDS):
                continue
            with self._lock:
                if not self._queue:
                    self._writer = None
                    return

    # -- lines that are lost ------------------------------------------------------------------------------------------

    def _has_room(self) -> bool:
        """Wait for the reader, if it has read since the last time and if that was not too long already."""
        now = time.monotonic()
        if now - self._waited_since >= 1.0:
            self._waited_since, self._waited = now, 0.0
        while self._reader_reads and self._waited < _WAITED_SHARE and self._queued >= MAX_QUEUED:
            self.flush()
            time.sleep(0.002)
            self._waited += max(0.0, time.monotonic() - now)
            now = time.monotonic()
        if self._queued < MAX_QUEUED:
            return True
        self._reader_reads = False  # until something is taken again
        return False

    def _lose(self, count: int) -> None:
        with self._lock:
            self.lost += count
            self._unreported += count

    def _report_lost(self) -> None:
        """Say in the log itself how many lines are missing, once a second at most."""
        if self._queued >= MAX_QUEUED or time.monotonic() < self._reported_at + 1.0 or self.is_closed:
            return
        self._reported_at = time.monotonic()
        with self._lock:
            count, self._unreported = self._unreported, 0
        if count:
            _log.warning("log lines lost", count=count, output=self.destination.name)

    def _report_failure(self, sentence: str) -> None:
        """Report on the standard error, as the log itself fails."""
        if time.monotonic() >= self._failure_reported + _REPORT_SECONDS:
            self._failure_reported = time.monotonic()
            with contextlib.suppress(OSError, ValueError, AttributeError):
                print(sentence, file=sys.stderr, flush=True)


_outputs: weakref.WeakSet[Output] = weakref.WeakSet()


def _after_fork() -> None:
    for output in list(_outputs):
        output._reset()


os.register_at_fork(after_in_child=_after_fork)


def lost_lines() -> int:
    """How many log lines of this process were dropped, by all of its outputs that still exist."""
    return sum(output.lost for output in list(_outputs))


def _pieces(lines: list[str], encoding: str, at_most: int | None) -> list[bytes]:
    """The lines as few pieces of whole lines, none longer than that unless it is one line."""
    data = ("\n".join(lines) + "\n").encode(encoding, "backslashreplace")
    if at_most is None or len(data) <= at_most:
        return [data]
    pieces: list[bytes] = []
    piece: list[bytes] = []
    length = 0
    for line in (f"{line}\n".encode(encoding, "backslashreplace") for line in lines):
        if piece and length + len(line) > at_most:
            pieces.append(b"".join(piece))
            piece, length = [], 0
        piece.append(line)
        length += len(line)
    return [*pieces, b"".join(piece)]


# -- for logging ------------------------------------------------------------------------------------------------------


class OutputHandler(logging.Handler):
    """logging's handler for an output."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self.output = output

    def emit(self, record: logging.LogRecord) -> None:
        """See logging."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - a line that cannot be formatted must not fail its caller
            self.handleError(record)
            return
        self.output.queue([line])
        self.output.flush()

    def close(self) -> None:
        """See logging, which calls it at the end of the process."""
        self.output.close()
        super().close()


def stream_handler(stream: str) -> logging.Handler:
    """A handler for `stdout` or `stderr`; logging's own where that is no descriptor."""
    found: TextIO = getattr(sys, stream)
    try:
        found.flush()
        return OutputHandler(Output(Stream(stream, found.fileno()), found.encoding))
    except (OSError, ValueError, AttributeError):  # it was replaced or closed
        return logging.StreamHandler(found)


def file_handler(filename: str) -> logging.Handler:
    """A handler for a file. Raises OSError when it cannot be opened."""
    return OutputHandler(Output(File(filename)))


def drain_all() -> None:
    """Write all lines of this process that wait, before it ends in a way that Python does not notice."""
    for output in outputs() or ():
        output.drain()


def outputs() -> tuple[Output, ...] | None:
    """Where this process's log goes; None when that is not, or not only, to outputs of this module."""
    found = []
    for handler in logging.getLogger().handlers:
        if isinstance(handler, OutputHandler):
            found.append(handler.output)
        elif not isinstance(handler, logging.NullHandler):
            return None
    return tuple(found) or None
