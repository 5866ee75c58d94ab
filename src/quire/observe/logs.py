"""Log lines: structlog's events with fields, through the standard library's handlers.

An event `log.info("published", filename=...)` becomes the line `published filename=...` in the format that
`--log-frmt` gives, so that the format strings and files of a pypiserver set-up keep working, and so that the lines of
servers and libraries have the same form. With `--log-format json` it becomes an object with the fields as they are.

Every line, ours or a library's, goes through `redacted` at the very end: no password that was part of a URL,
and no Authorization header, reaches a file.
"""

from __future__ import annotations

import logging
import logging.config
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from quire.config.settings import Settings
from quire.config.values import Anything
from quire.domain.errors import ConfigurationError

# The second form is of a password with a / or #, and no port.
_USERINFO = re.compile(r"(?<=//)(?:[^/?#\s\"']*|[^/?#\s\"':\[]{0,200}:(?!\d{1,5}(?:[/?#]|$))[^\s\"']{0,200})@")
_AUTHORIZATION = re.compile(
    r"(authorization(?:\W|b(?=['\"])){1,8}(?:basic|bearer|token|digest)\s+)[^\s\"',}]+", re.IGNORECASE
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_FIELDS = "quire_fields"
ASCTIME = "%Y-%m-%dT%H:%M:%S"
"""Of a time in UTC, before the milliseconds and the Z."""
_MAX_TEXT = 20_000
"""Characters of one value in a JSON line; log shippers cut or refuse lines of some 32 KiB and more."""


def redacted(text: str) -> str:
    """The text without the user part of URLs and without the credentials after `Authorization: Basic` and its like."""
    if "@" in text:
        text = _USERINFO.sub("***@", text)
    if "uthorization" in text or "UTHORIZATION" in text:
        text = _AUTHORIZATION.sub(r"\1***", text)
    return text


def escaped(text: str) -> str:
    """The text without characters that a terminal obeys: control characters but for tabs and ends of lines, and those
    that change the direction of text. A client's path or header may hold them, and `--log-req-frmt` writes these."""
    if text.isascii() and text.isprintable():
        return text
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}" if found[0] < "\u0100" else _as_u(found[0]), text)


def _as_u(character: str) -> str:
    return f"\\u{ord(character):04x}"


class LineFormatter(logging.Formatter):
    """A line in the format that was given; a traceback follows in lines of its own.

    `%(asctime)s` is in UTC, as RFC 3339 has it: lines of servers in several zones, and of the hour that a clock is set
    back, are in one order.
    """

    converter = staticmethod(time.gmtime)
    default_time_format = ASCTIME
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        return escaped(redacted(super().format(record)))


class JsonFormatter(logging.Formatter):
    """An object a line: time, level, logger, event, then the fields of the event, and exception if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        fields: Mapping[str, Any] | None = getattr(record, _FIELDS, None)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage() if fields is None else str(fields.get("event", "")),
            "process": record.process,
        }
        for name, value in (fields or {}).items():
            if name not in line:
                line[name] = value if isinstance(value, int | float | bool | None) else str(value)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        clean = {name: cleaned(value) for name, value in line.items()}
        return json_text(clean)


def json_text(value: object) -> str:
    """As JSON, with the control characters escaped, too, that JSON allows and terminals obey (see `escaped`)."""
    return _CONTROLS.sub(lambda found: _as_u(found[0]), msgspec.json.encode(value).decode())


def cleaned(value: object) -> object:
    """A value as a JSON line may have it: text without secrets, cut, and such that it can be written."""
    if not isinstance(value, str):
        return value
    # surrogates, which a path may have, cannot be written as UTF-8
    return redacted(value[:_MAX_TEXT]).encode("utf-8", "backslashreplace").decode()


def dict_config(settings: Settings) -> dict[str, Any]:
    """The set-up as logging.config.dictConfig takes it, for servers that set up logging in their own processes."""
    handlers: dict[str, Any] = {}
    if settings.log_stream != "none":
        handlers["stream"] = {
            "()": "quire.observe.log_output.stream_handler",
            "formatter": "lines",
            "stream": settings.log_stream,
        }
    if settings.log_file is not None:
        handlers["file"] = {
            "()": "quire.observe.log_output.file_handler",
            "formatter": "lines",
            "filename": settings.log_file,
        }
    if not handlers:
        handlers["nowhere"] = {"class": "logging.NullHandler"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": _formatter(settings)},
        "handlers": handlers,
        "root": {"handlers": list(handlers), "level": settings.log_level},
        "loggers": {
            # these report every chunk and connection at DEBUG: too much for -vv
            name: {"level": "INFO" if settings.log_level in {"DEBUG", "NOTSET"} else settings.log_level}
            for name in ("asyncio", "httpcore", "httpx", "python_multipart")
        }
        # the address that it serves on must always be logged
        | {"quire.servers": {"level": "INFO" if settings.log_level == "WARNING" else settings.log_level}},
    }


def _formatter(settings: Settings) -> dict[str, Any]:
    if settings.log_style == "json":
        return {"()": "quire.observe.logs.JsonFormatter"}
    return {"()": "quire.observe.logs.LineFormatter", "fmt": settings.log_format}


def configure(settings: Settings) -> None:
    """Set up logging for this process. Idempotent; the last call counts.

    Raises ConfigurationError when the log file cannot be opened.
    """
    try:
        logging.config.dictConfig(dict_config(settings))
    except ValueError as error:
        raise ConfigurationError(
            f"The log file {settings.log_file} cannot be opened for writing ({error.__cause__ or error})."
        ) from error
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.UnicodeDecoder(),
            _as_line,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _as_line(_logger: object, _method: str, event: Mapping[str, Any]) -> tuple[tuple[str], dict[str, Any]]:
    """The arguments of logging's method: one line of text, and the exception for logging to format."""
    fields = dict(event)
    passed: dict[str, Any] = {name: fields.pop(name) for name in ("exc_info", "stack_info") if name in fields}
    event = dict(fields)
    words = [str(fields.pop("event", ""))]
    words += [f"{name}={field_text(value)}" for name, value in fields.items()]
    passed["extra"] = {_FIELDS: event}
    # logging applies % only when it has arguments, and it gets none; a client's line break must not start a line
    return (" ".join(words).replace("\r", "\\r").replace("\n", "\\n"),), passed


def field_text(value: object) -> str:
    """A field's value; quoted when it would not read as one word."""
    text = str(value)
    return text if text and text.isprintable() and not any(c in ' "=' for c in text) else repr(text)


def interpolate(template: str, properties: Mapping[str, object]) -> str:
    """`template % properties`, as `--log-req-frmt` and its like need it: a missing property reads `-`.

    A plain `%s` stands for all properties. A format that does not fit its value gives the properties, never an error.
    """
    known = Anything(properties)
    try:
        return template % known
    except (TypeError, ValueError, OverflowError):
        return f"{template} {dict(properties)}"
