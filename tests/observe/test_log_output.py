"""Where log lines go: whole, in order, counted when they are lost; and no reader stops the process for good.

Replaced here: `os.open` and the standard output, since a test process has one of its own.
"""

from __future__ import annotations

import codecs
import logging
import multiprocessing
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from quire.observe.log_output import MAX_QUEUED, File, Output, Stream, file_handler, lost_lines, stream_handler
from tests.serving import DEADLINE, until


class Pipe:
    """A pipe, and the output that writes into it."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.output = Output(Stream("stdout", self.writing))

    def read(self, at_most: int = 1 << 20) -> bytes:
        """The bytes that are there now."""
        return os.read(self.reading, at_most) if select.select([self.reading], [], [], 0)[0] else b""

    def read_all(self, lines: int) -> list[bytes]:
        """So many lines, waiting for them."""
        data = b""

        def is_there() -> bool:
            nonlocal data
            data += self.read()
            return data.count(b"\n") >= lines

        until(is_there)
        return data.split(b"\n")[:-1]

    def close(self) -> None:
        self.output.close()
        os.close(self.reading)
        os.close(self.writing)


def line(number: int, length: int = 200) -> str:
    return f"{number} {'x' * length} {number}"


def is_whole(found: bytes, length: int = 200) -> bool:
    number = found.partition(b" ")[0]
    return found == number + b" " + b"x" * length + b" " + number


def test_lines_are_written_together_and_in_order() -> None:
    """Queued lines are written at the next flush, by few writes of whole lines that a pipe takes as a whole."""
    pipe = Pipe()
    pipe.output.queue([line(0), line(1)])
    pipe.output.queue([line(2)])
    assert pipe.read() == b""
    pipe.output.flush()
    assert pipe.read() == b"".join(f"{line(number)}\n".encode() for number in range(3))
    pipe.close()


def test_a_number_that_another_file_gets_is_not_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that replaced its standard output, and closed the replacement, has no log lines in other files."""
    with (tmp_path / "first").open("w") as first:
        monkeypatch.setattr(sys, "stdout", first)
        handler = stream_handler("stdout")
        number = first.fileno()
    with (tmp_path / "second").open("w") as second:
        assert second.fileno() == number
        handler.emit(logging.makeLogRecord({"msg": "a line"}))
    handler.close()
    assert (tmp_path / "first").read_text() == "a line\n"
    assert (tmp_path / "second").read_text() == ""


def test_a_reader_that_stands_still_blocks_no_process() -> None:
    """The queue is bounded; what does not fit is counted, and told in the log itself when the reader reads again."""
    pipe = Pipe()
    begun, lost_before = time.monotonic(), lost_lines()
    count = 3 * MAX_QUEUED // 200
    for number in range(count):
        pipe.output.queue([line(number)])
        pipe.output.flush()
    assert time.monotonic() - begun < DEADLINE
    lost = pipe.output.lost
    assert 0 < lost < count
    assert lost_lines() - lost_before == lost
    found = pipe.read_all(count - lost)
    assert [int(each.split()[0]) for each in found] == list(range(count - lost))
    assert all(is_whole(each) for each in found)
    with capture_logs() as told:
        pipe.output.queue(["again"])
        pipe.output.flush()
    assert pipe.read_all(1) == [b"again"]
    assert [(each["event"], each["count"], each["output"]) for each in told] == [("log lines lost", lost, "stdout")]
    pipe.close()


def test_a_slow_reader_gets_every_line() -> None:
    """As long as it goes on reading, and the queue does not fill up, nothing is lost, and nothing is torn."""
    pipe = Pipe()
    count = MAX_QUEUED // 300
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.extend(pipe.read_all(count)))
    for number in range(count):
        pipe.output.queue([line(number)])
        pipe.output.flush()
    reader.start()
    pipe.output.close()
    reader.join()
    assert pipe.output.lost == 0
    assert [int(each.split()[0]) for each in found] == list(range(count))
    os.close(pipe.reading)
    os.close(pipe.writing)


def test_a_pipe_that_cannot_be_opened_again_is_written_by_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one of another user: the process that logs never waits for its reader, and no line is lost or torn."""

    def refused(*_: object) -> int:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refused)
        pipe = Pipe()
    assert pipe.output.destination.blocks
    count = MAX_QUEUED // 300
    for number in range(count):
        pipe.output.queue([line(number)])
        pipe.output.flush()
    found = pipe.read_all(count)
    assert [int(each.split()[0]) for each in found] == list(range(count))
    pipe.close()


def test_the_shared_pipe_stays_as_it_is() -> None:
    """Other processes have the same one: it must not become non-blocking for them."""
    pipe = Pipe()
    pipe.output.queue(["x"])
    pipe.output.flush()
    assert os.get_blocking(pipe.writing)
    pipe.close()


def _write(what: Callable[[], Output], count: int) -> None:
    output = what()
    for number in range(count):
        output.queue([line(number, number % 900), line(number, 7)])
        output.flush()
    output.close()
    os._exit(output.lost)


@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_processes_do_not_tear_each_others_lines(tmp_path: Path, kind: str) -> None:
    """Several workers append to one pipe or file; every line is whole, and none is missing."""
    reading, writing = os.pipe()
    path = tmp_path / "log"
    make = (lambda: Output(Stream("stdout", writing))) if kind == "pipe" else (lambda: Output(File(str(path))))
    forked = multiprocessing.get_context("fork")
    writers = [forked.Process(target=_write, args=(make, 1000)) for _ in range(3)]
    for writer in writers:
        writer.start()
    os.close(writing)
    data = b""
    while kind == "pipe" and (piece := os.read(reading, 3000)):
        data += piece
    for writer in writers:
        writer.join(DEADLINE)
        assert writer.exitcode == 0
    os.close(reading)
    found = (data or path.read_bytes()).split(b"\n")[:-1]
    assert len(found) == 3 * 2 * 1000
    assert all(is_whole(each, len(each.split()[1]) if each.count(b" ") == 2 and b"x" in each else 0) for each in found)


def test_what_a_process_has_queued_is_not_written_by_its_fork() -> None:
    """Each line once: the parent's are the parent's. And the fork has free locks."""
    pipe = Pipe()
    pipe.output.queue(["parent"])
    with pipe.output._lock:  # as another thread of the parent may hold it for a moment, which none can be told to
        pid = os.fork()
        if pid == 0:
            pipe.output.queue(["child"])
            pipe.output.flush()
            os._exit(0)
    os.waitpid(pid, 0)
    pipe.output.flush()
    assert pipe.read_all(2) == [b"child", b"parent"]
    pipe.close()


def test_a_file_that_is_moved_away_is_made_again(tmp_path: Path) -> None:
    """As by logrotate: what follows is in the new file, and nothing is lost."""
    path = tmp_path / "log"
    output = Output(File(str(path)))
    for number in range(6):
        if number == 2:
            path.rename(tmp_path / "log.1")
        if number == 4:
            path.unlink()
        output.queue([str(number)])
        output.flush()
        if number == 3:
            assert path.read_text() == "2\n3\n"
    output.close()
    assert (tmp_path / "log.1").read_text() == "0\n1\n"
    assert path.read_text() == "4\n5\n"


def test_a_file_that_is_truncated_goes_on_at_its_end(tmp_path: Path) -> None:
    """As by logrotate's copytruncate: no hole is left before what follows."""
    path = tmp_path / "log"
    output = Output(File(str(path)))
    output.queue(["before"])
    output.flush()
    os.truncate(path, 0)
    output.queue(["after"])
    output.close()
    assert path.read_text() == "after\n"


def test_a_full_disk_loses_lines_but_not_silently(capfd: pytest.CaptureFixture[str]) -> None:
    """They are counted, the standard error tells it once, and the process goes on."""
    output = Output(File("/dev/full"))
    for number in range(10):
        output.queue([str(number)])
        output.flush()
    output.close()
    assert output.lost == 10
    assert capfd.readouterr().err.count("No space left on device") == 1


def test_the_reader_has_gone() -> None:
    """A broken pipe is an error like a full disk: it is counted, and ends nothing."""
    pipe = Pipe()
    os.close(pipe.reading)
    pipe.output.queue(["x"])
    pipe.output.flush()
    assert pipe.output.lost == 1
    pipe.output.close()
    os.close(pipe.writing)


def test_text_that_has_no_bytes_is_escaped(tmp_path: Path) -> None:
    """A surrogate, as an odd file name has it, costs no line."""
    handler = file_handler(str(tmp_path / "log"))
    handler.emit(logging.LogRecord("x", logging.INFO, "", 0, "a\udcffb", (), None))
    handler.close()
    assert (tmp_path / "log").read_text() == "a\\udcffb\n"


def test_a_line_in_the_middle_of_another_one(tmp_path: Path) -> None:
    """A finalizer, which may run anywhere in the thread that writes, logs a line: both are written."""
    path = tmp_path / "log"
    output = Output(File(str(path)), encoding="utf-8-interrupted")

    def encode(text: str, errors: str = "strict") -> tuple[bytes, int]:
        if "first" in text:
            output.queue(["second"])
            output.flush()
        return text.encode("utf-8", errors), len(text)

    def find(name: str) -> codecs.CodecInfo | None:
        if name != "utf_8_interrupted":
            return None
        return codecs.CodecInfo(encode, codecs.utf_8_decode, name=name)

    codecs.register(find)
    try:
        output.queue(["first"])
        writer = threading.Thread(target=output.flush, daemon=True)
        writer.start()
        writer.join(DEADLINE)
        assert not writer.is_alive()
    finally:
        codecs.unregister(find)
    assert path.read_text() == "first\nsecond\n"
