"""The line of a request as text, byte for byte as logging and structlog make it of the same fields, for less.

Theory of operation. Most of a line is the same for every request: the format, the logger, the level, the process. So
the format is filled in once, with all but the time and the message; the message is put together from its fields; and
the lines of a millisecond are written by one call (`quire.observe.log_output`).

This is possible where the log goes to quire's own outputs, in a format that names nothing but `SIMPLE_FIELDS`. Anywhere
else `access_lines` returns None, and the line of a request is made as all other lines are.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

import msgspec

from quire.config.settings import Settings
from quire.observe.log_output import Output, outputs
from quire.observe.logs import ASCTIME, cleaned, field_text, json_text, redacted

SIMPLE_FIELDS: Final = frozenset(
    {"asctime", "message", "name", "levelname", "levelno", "process", "processName", "thread", "threadName"}
)
"""The fields of a log record that do not depend on which line it is, and the two that are known here."""
WAIT_SECONDS: Final = 0.001
"""How long the line of a request may wait for others. To write costs more than to make some lines."""
_MAX_CLIENTS: Final = 4096
_OPTIONAL: Final = ("user", "project", "action", "file")
_MESSAGE: Final = "%(message)s"
_CHANGING: Final = frozenset({"asctime", "message"})
_CONVERSION = re.compile(r"%(?:%|\((\w*)\)[^a-zA-Z%]*[a-zA-Z]|)")
_SAFE = re.compile(r"[A-Za-z0-9/._:+!~-]{1,256}")
"""Texts that both forms write as they are: no quotes, no escapes, nothing to be redacted, and not long."""


class AccessFields(NamedTuple):
    """The fields of a request's line, in this order. Empty texts and a `received` of 0 are left out."""

    method: str
    path: str
    status: int
    milliseconds: float
    client: str
    request: str
    sent: int
    route: str
    index: str  # type: ignore[assignment]  # a tuple has a method of this name, which is not called here
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


@dataclass(slots=True)
class Parts:
    """The parts of a line that many requests share. No named tuple, whose fields take several times as long to read."""

    before: str
    """Stands before the duration."""
    after: str
    """Stands after the request's id."""
    is_clean: bool
    """Whether a line of these parts and of `is_safe` texts has nothing to be redacted."""


class _Form(Protocol):
    """How a line is made of a request: `head`, `Parts.before`, the duration, `between`, the request's id, `Parts.after`
    and `tail`."""

    head: str
    tail: str

    def parts(self, request: AccessFields) -> Parts: ...

    def begin(self, now: float) -> None:
        """The lines that follow have this time, in seconds of the epoch."""

    def between(self, client: str) -> str:
        """The text between the duration and the request's id, for a client that is plain (`is_safe`)."""
        ...

    def line(self, parts: Parts, milliseconds: str, client: str, identity: str) -> str:
        """The whole line, for any client and any id."""
        ...


class AccessLines:
    """Writes the lines of requests. Belongs to one event loop."""

    def __init__(self, form: _Form, into: tuple[Output, ...]) -> None:
        self.parts = form.parts
        self._form = form
        self._between: dict[str, str | None] = {}
        """By client; None for one that is not plain."""
        self._outputs = into
        self._generation = into[0].generation
        self._tick_lines: list[str] = []
        self._is_due = False

    @property
    def is_stale(self) -> bool:
        """Whether logging was set up again, or ended, or the process was forked."""
        return self._outputs[0].generation is not self._generation

    def write(self, parts: Parts, milliseconds: str, client: str, identity: str) -> None:
        """With all others of the next `WAIT_SECONDS`; or with any other line of the log, if that is earlier."""
        self._form.begin(time.time())
        self._queue([self._form.line(parts, milliseconds, client, identity)])

    def begin_tick(self) -> None:
        """The lines from here to `end_tick` have the time of now."""
        self._form.begin(time.time())

    def write_in_tick(self, parts: Parts, milliseconds: str, client: str, identity: str, *, is_safe: bool) -> None:
        """As `write`, between `begin_tick` and `end_tick`. `is_safe`: whether `identity` is one that was made here."""
        form = self._form
        between = self._between.get(client)
        if between is None:
            between = self._between_for(client)
        if is_safe and between is not None and parts.is_clean:
            line = f"{form.head}{parts.before}{milliseconds}{between}{identity}{parts.after}{form.tail}"
        else:
            line = form.line(parts, milliseconds, client, identity)
        self._tick_lines.append(line)

    def _between_for(self, client: str) -> str | None:
        if client in self._between:
            return None
        if len(self._between) >= _MAX_CLIENTS:
            self._between.clear()
        between = self._form.between(client) if is_safe(client) else ""
        found = self._between[client] = between if between and _is_clean(f"{between}0") else None
        return found

    def end_tick(self) -> None:
        """See `begin_tick`."""
        if self._tick_lines:
            lines, self._tick_lines = self._tick_lines, []
            self._queue(lines)

    def _queue(self, lines: list[str]) -> None:
        for output in self._outputs:
            output.queue(lines)
        if not self._is_due:
            try:
                asyncio.get_running_loop().call_later(WAIT_SECONDS, self._flush)
                self._is_due = True
            except RuntimeError:  # no event loop
                self._flush()

    def _flush(self) -> None:
        self._is_due = False
        for output in self._outputs:
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
        self._is_clean = _is_clean(f"{self._before} {self._after}")
        self._millis = self._second = -1
        self._seconds = self.head = self.tail = ""

    def parts(self, request: AccessFields) -> Parts:
        method, path, status, _, _, _, sent, route, index, received, *_ = request
        before = f"request method={_word(method)} path={_word(path)} status={status:d} milliseconds="
        after = f" sent={sent} route={route} index={_word(index)}"
        if received:
            after += f" received={received}"
        for name in _OPTIONAL:
            if text := getattr(request, name):
                after += f" {name}={_word(text)}"
        if request.share < 1.0:
            after += f" share={request.share}"
        return Parts(before, after, self._is_clean and _is_clean(f"{before} {after}"))

    def begin(self, now: float) -> None:
        millis = int(now * 1000)
        if millis != self._millis:
            self._millis = millis
            second = int(now)
            if second != self._second:
                self._second, self._seconds = second, time.strftime(ASCTIME, time.gmtime(second))
            asctime = f"{self._seconds}.{int((now - second) * 1000):03d}Z"  # as logging rounds it
            self.head, self.tail = (text % {"asctime": asctime} for text in (self._before, self._after))

    def between(self, client: str) -> str:
        return f" client={client} request="

    def line(self, parts: Parts, milliseconds: str, client: str, identity: str) -> str:
        middle = f"{milliseconds}{self.between(_word(client))}{_word(identity)}"
        return redacted(f"{self.head}{parts.before}{middle}{parts.after}{self.tail}")


class _Json:
    """JSON objects. Made in the process that they name."""

    tail = ""

    def __init__(self, logger: str) -> None:
        self._always = f'Z","level":"info","logger":"{logger}","event":"request","process":{os.getpid()},'
        self._second = -1
        self._seconds = self.head = ""

    def parts(self, request: AccessFields) -> Parts:
        method, path, status, _, _, _, sent, route, index, received, *_ = request
        before = f'"method":{_quoted(method)},"path":{_quoted(path)},"status":{status:d},"milliseconds":'
        after = f'","sent":{sent},"route":"{route}","index":{_quoted(index)}'
        if received:
            after += f',"received":{received}'
        for name in _OPTIONAL:
            if text := getattr(request, name):
                after += f',"{name}":{_quoted(text)}'
        if request.share < 1.0:
            after += f',"share":{msgspec.json.encode(request.share).decode()}'
        return Parts(self._always + before, f"{after}}}", is_clean=True)  # each text was cleaned by itself

    def begin(self, now: float) -> None:
        second = int(now)
        micros = round((now - second) * 1e6)
        if micros >= 1_000_000:
            second, micros = second + 1, micros - 1_000_000
        if second != self._second:
            self._second, self._seconds = second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        self.head = f'{{"time":"{self._seconds}.{micros:06d}'

    def between(self, client: str) -> str:
        return f',"client":"{client}","request":"'

    def line(self, parts: Parts, milliseconds: str, client: str, identity: str) -> str:
        middle = f"{milliseconds}{self.between(_quoted(client)[1:-1])}{_quoted(identity)[1:-1]}"
        return f"{self.head}{parts.before}{middle}{parts.after}"


def is_safe(text: str) -> bool:
    """Whether every form has this text as it is."""
    return _SAFE.fullmatch(text) is not None


def _is_clean(text: str) -> bool:
    return redacted(text) == text and "@" not in text


def _word(text: str) -> str:
    """As `field_text`."""
    return text if is_safe(text) else field_text(text)


def _quoted(text: str) -> str:
    """As JSON has it."""
    return f'"{text}"' if is_safe(text) else json_text(cleaned(text))
