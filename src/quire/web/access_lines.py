"""The line of a request as text, byte for byte as logging and structlog make it of the same fields, for less.

Theory of operation. Most of a line is the same for every request: the format, the logger, the level, the process. So
the format is filled in once, with all but the time and the message; the message is put together from its fields; and
the lines of one turn of the event loop are written by one call (`quire.log_output`).

This is possible where the log goes to quire's own outputs, in a format that names nothing but `SIMPLE_FIELDS`. Anywhere
else `access_lines` returns None, and the line of a request is made as all other lines are.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

import msgspec

from quire.config import Settings
from quire.log_output import Output, outputs
from quire.logs import cleaned, field_text, json_text, redacted

SIMPLE_FIELDS: Final = frozenset(
    {"asctime", "message", "name", "levelname", "levelno", "process", "processName", "thread", "threadName"}
)
"""The fields of a log record that do not depend on which line it is, and the two that are known here."""
_OPTIONAL: Final = ("user", "project", "action", "file")
_MESSAGE: Final = "%(message)s"
_ASCTIME: Final = "%Y-%m-%d %H:%M:%S"
_CHANGING: Final = frozenset({"asctime", "message"})
_CONVERSION = re.compile(r"%(?:%|\((\w*)\)[^a-zA-Z%]*[a-zA-Z]|)")
_PLAIN = re.compile(r"[A-Za-z0-9/._:+!~-]{1,256}")
"""What either form writes as it is: no quotes, no escapes, nothing to be redacted, and not long."""


class AccessFields(NamedTuple):
    """What is said of a request, in this order. Empty texts and a `received` of 0 are left out."""

    method: str
    path: str
    status: int
    milliseconds: float
    client: str
    request: str
    sent: int
    route: str
    index: str  # type: ignore[assignment]  # a tuple has a method of this name, which nobody calls here
    received: int = 0
    user: str | None = None
    project: str = ""
    action: str = ""
    file: str = ""
    share: float = 1.0
    """Of such requests that are logged; left out when it is all of them."""

    def by_name(self) -> dict[str, object]:
        """By name, without those that are left out."""
        fields: dict[str, object] = self._asdict()
        for name in ("received", "user", "project", "action", "file"):
            if not fields[name]:
                del fields[name]
        if self.share >= 1.0:
            del fields["share"]
        return fields


Parts = tuple[str, str]
"""What stands in a line before its duration, and after its request id: the same for many requests."""


class _Form(Protocol):
    """How a line is made of a request."""

    def parts(self, request: AccessFields) -> Parts: ...

    def word(self, text: str) -> str:
        """A text as a line has it."""
        ...

    def line(self, now: float, parts: Parts, milliseconds: str, client: str, identity: str) -> str:
        """`now`: in seconds of the epoch; `client`, `identity`: words."""
        ...


class AccessLines:
    """Writes the lines of requests. Belongs to one event loop."""

    def __init__(self, form: _Form, into: tuple[Output, ...]) -> None:
        self.parts = form.parts
        self.word = form.word
        self._line = form.line
        self._outputs = into
        self._life = into[0].life
        self._lines: list[str] = []
        self._is_due = False

    @property
    def is_over(self) -> bool:
        """Whether logging was set up anew, or ended, or the process was forked."""
        return self._outputs[0].life is not self._life

    def write(self, parts: Parts, milliseconds: str, client: str, identity: str) -> None:
        """In the event loop's next turn, with all others of this one; or by `flush`, if that is earlier."""
        self._lines.append(self._line(time.time(), parts, milliseconds, self.word(client), self.word(identity)))
        if not self._is_due:
            self._is_due = True
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:  # nobody's event loop
                self.flush()

    def write_in_turn(self, parts: Parts, milliseconds: str, client: str, identity: str) -> None:
        """As `write`, between `begin_turn` and `flush`. `client`, `identity`: as `word` writes them."""
        self._lines.append(self._line(time.time(), parts, milliseconds, client, identity))

    def begin_turn(self) -> None:
        """`flush` will be called in this turn of the event loop."""
        self._is_due = True

    def flush(self) -> None:
        """Write what is queued."""
        self._is_due = False
        if self._lines:
            lines, self._lines = self._lines, []
            for output in self._outputs:
                output.queue(lines)
                output.flush()


def access_lines(settings: Settings, logger: str) -> AccessLines | None:
    """As logging is set up in this process; None when lines cannot be made here. `logger`: the name in the lines."""
    into = outputs()
    if into is None:
        return None
    if settings.log_style == "json":
        return AccessLines(_Json(logger), into)
    names = {match[1] for match in _CONVERSION.finditer(settings.log_format) if match[0] != "%%"}
    is_simple = names <= SIMPLE_FIELDS and settings.log_format.count(_MESSAGE) == 1
    return AccessLines(_Human(settings.log_format, logger), into) if is_simple else None


class _Human:
    """Lines in a format of logging's; the message has its fields as `name=value`. Made in the event loop's thread."""

    def __init__(self, log_format: str, logger: str) -> None:
        record = logging.LogRecord(logger, logging.INFO, "", 0, "", (), None)

        def filled(match: re.Match[str]) -> str:
            if match[0] == "%%" or match[1] in _CHANGING:
                return match[0]
            return (match[0] % vars(record)).replace("%", "%%")

        self._before, _, self._after = _CONVERSION.sub(filled, log_format).partition(_MESSAGE)
        self._millis = -1
        self._head = self._tail = ""

    def word(self, text: str) -> str:
        return _word(text)

    def parts(self, request: AccessFields) -> Parts:
        method, path, status, _, _, _, sent, route, index, received, *_ = request
        before = f"request method={_word(method)} path={_word(path)} status={status:d} milliseconds="
        after = f" sent={sent} route={route} index={_word(index)}"
        if received:
            after += f" received={received}"
        for name in _OPTIONAL:
            if text := getattr(request, name):
                after += f" {name}={_word(text)}"
        return before, after if request.share >= 1.0 else f"{after} share={request.share}"

    def line(self, now: float, parts: Parts, milliseconds: str, client: str, identity: str) -> str:
        millis = int(now * 1000)
        if millis != self._millis:
            self._millis = millis
            second = int(now)
            # as logging rounds it
            asctime = f"{time.strftime(_ASCTIME, time.localtime(second))},{int((now - second) * 1000):03d}"
            self._head, self._tail = (text % {"asctime": asctime} for text in (self._before, self._after))
        return redacted(
            f"{self._head}{parts[0]}{milliseconds} client={client} request={identity}{parts[1]}{self._tail}"
        )


class _Json:
    """Objects. Made in the process that they tell of."""

    def __init__(self, logger: str) -> None:
        self._always = f'Z","level":"info","logger":"{logger}","event":"request","process":{os.getpid()},'
        self._second = -1
        self._time = ""

    def word(self, text: str) -> str:
        return _quoted(text)

    def parts(self, request: AccessFields) -> Parts:
        method, path, status, _, _, _, sent, route, index, received, *_ = request
        before = f'"method":{_quoted(method)},"path":{_quoted(path)},"status":{status:d},"milliseconds":'
        after = f',"sent":{sent},"route":"{route}","index":{_quoted(index)}'
        if received:
            after += f',"received":{received}'
        for name in _OPTIONAL:
            if text := getattr(request, name):
                after += f',"{name}":{_quoted(text)}'
        if request.share < 1.0:
            after += f',"share":{msgspec.json.encode(request.share).decode()}'
        return self._always + before, f"{after}}}"

    def line(self, now: float, parts: Parts, milliseconds: str, client: str, identity: str) -> str:
        second = int(now)
        micros = round((now - second) * 1e6)
        if micros >= 1_000_000:
            second, micros = second + 1, micros - 1_000_000
        if second != self._second:
            self._second, self._time = second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return (
            f'{{"time":"{self._time}.{micros:06d}{parts[0]}{milliseconds},"client":{client},'
            f'"request":{identity}{parts[1]}'
        )


def _word(text: str) -> str:
    """As `field_text`."""
    return text if _PLAIN.fullmatch(text) else field_text(text)


def _quoted(text: str) -> str:
    """As JSON has it."""
    return f'"{text}"' if _PLAIN.fullmatch(text) else json_text(cleaned(text))
