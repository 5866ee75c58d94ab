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


def parse_line(line: str) -> RequestLine | None:
    """The request that a line is about; None for any other line."""
    text = line.strip()
    try:
        if text.startswith("{"):
            return _json(text)
        if _MARK in text:
            return _text(text)
        return _combined(text)
    except (ValueError, TypeError, KeyError, SyntaxError, msgspec.MsgspecError, RecursionError):
        return None  # a line that was cut off, or of another program


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
    )


def _combined(text: str) -> RequestLine | None:
    found = _COMBINED.match(text)
    if found is None:
        return None
    return RequestLine(
        time=found["time"],
        method=found["method"],
        path=unquote(urlsplit(found["target"]).path),
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
