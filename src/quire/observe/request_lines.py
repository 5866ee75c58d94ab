"""Reads the lines of requests in log files: as quire writes them, and as web servers in front of it do.

Three forms are understood: JSON lines (`--log-format json`); text, whatever `--log-frmt` says, as long as the message
is in it; and the "combined" format of nginx and Apache, which names the program of the client.
"""

from __future__ import annotations

import ast
import gzip
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec

from quire.domain.errors import InvalidRequest, reason_of

MAX_LINE_BYTES: Final = 256 * 1024
"""The rest of a longer line is left out."""
STDIN: Final = "-"
_MARK: Final = "request method="
_FIELD: Final = re.compile(r"(\w+)=('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\S*)(?: |$)")
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(?:[.,]\d+)?Z?")
_COMBINED: Final = re.compile(
    r'(?P<client>\S+) \S+ (?P<user>.+?) \[(?P<time>[^\]]+)\] "(?P<method>[A-Z]+) (?P<target>\S+) [^"]*" '
    r'(?P<status>\d{3}) (?P<sent>\d+|-)(?: "[^"]*" "(?P<agent>(?:[^"\\]|\\.)*)")?'
)
_GZIP: Final = b"\x1f\x8b"


class RequestLine(NamedTuple):
    """A request, as a line says. Empty texts are not known."""

    time: str
    """As the line has it: in UTC of JSON lines, else perhaps in the time of that machine."""
    method: str
    path: str
    """Without the query, decoded."""
    status: int
    client: str
    sent: int | None
    """Bytes of the body."""
    user: str = ""
    agent: str = ""
    """The program of the client, by its own words."""
    request: str = ""
    """The id of the request."""
    share: float = 1.0
    """Of such requests that were logged."""
    index: str = ""  # type: ignore[assignment]  # a tuple has a method of this name, which is not called here
    """The index that was asked; lines of a web server do not say it."""


class LineReader:
    """Understands the lines of one file, which are all of one form.

    The texts in a line are the client's: its program or user may be called like a line of the other form, to hide a
    request or to invent one. So the first line that can only be of one form decides for all that follow.
    """

    def __init__(self) -> None:
        self._is_combined: bool | None = None

    def request(self, line: str) -> RequestLine | None:
        """The request that a line is about; None for any other line."""
        text = line.strip()
        try:
            if text.startswith("{"):
                return _json(text)
            found = _COMBINED.match(text)
            if self._is_combined is None and (found is None) == (_MARK in text):
                self._is_combined = found is not None
            if self._is_combined and found is not None:
                return _combined(found)
            return _text(text) if _MARK in text and not self._is_combined else None
        except (ValueError, TypeError, KeyError, SyntaxError, msgspec.MsgspecError, RecursionError):
            return None  # a line that was cut off, or of another program


def requests_in(path: str) -> Iterator[RequestLine | None]:
    """The request of each line of a log file; None for other lines. Raises InvalidRequest."""
    return map(LineReader().request, read_lines(path))


def _json(text: str) -> RequestLine | None:
    fields = msgspec.json.decode(text)
    return _of(fields, str(fields.get("time", ""))) if fields.get("event") == "request" else None


def _text(text: str) -> RequestLine:
    before, _, message = text.partition(_MARK)
    fields: dict[str, Any] = {}
    for name, value in _FIELD.findall(f"method={message}"):
        fields[name] = ast.literal_eval(value) if value[:1] in {"'", '"'} else value
    time = _TIME.search(before)
    return _of(fields, time[0] if time is not None else "")


def _of(fields: dict[str, Any], time: str) -> RequestLine:
    return RequestLine(
        time=time,
        method=str(fields["method"]),
        path=str(fields["path"]),
        status=int(fields["status"]),
        client=str(fields.get("client", "")),
        sent=int(fields["sent"]) if "sent" in fields else None,
        user=str(fields.get("user") or ""),
        request=str(fields.get("request", "")),
        share=float(fields.get("share", 1.0)),
        index=str(fields.get("index", "")),
    )


def _combined(found: re.Match[str]) -> RequestLine:
    target = found["target"]
    # A target with two slashes is a path all the same, in which a host would be lost.
    path = target.partition("?")[0] if target.startswith("/") else urlsplit(target).path
    return RequestLine(
        time=found["time"],
        method=found["method"],
        path=re.sub("/+", "/", unquote(path)),
        status=int(found["status"]),
        client=found["client"],
        sent=None if found["sent"] == "-" else int(found["sent"]),
        user="" if found["user"] == "-" else found["user"],
        agent="" if found["agent"] in {None, "-"} else found["agent"],
    )


def read_lines(path: str) -> Iterator[str]:
    """The lines of a log file, also of one that is compressed by gzip. `-` is the standard input.

    Raises InvalidRequest when it cannot be read.
    """
    try:
        with _opened(path) as file:
            while line := file.readline(MAX_LINE_BYTES):
                yield line.decode("utf-8", "replace")
                while not line.endswith(b"\n") and len(line) == MAX_LINE_BYTES:
                    line = file.readline(MAX_LINE_BYTES)
    except (EOFError, zlib.error, OSError) as error:
        raise InvalidRequest(f"The log file {path} cannot be read to its end: {reason_of(error)}.") from None


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    if path == STDIN:
        yield sys.stdin.buffer
        return
    with open(path, "rb") as file:
        is_packed = file.read(2) == _GZIP
        file.seek(0)
        if is_packed:
            with gzip.open(file) as unpacked:
                yield unpacked  # type: ignore[misc]  # it reads bytes, whatever the stub says
        else:
            yield file
