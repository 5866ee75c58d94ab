"""READMEs for pages: rendered in a process of their own, which is started for the first one.

A README is rendered by libraries that were made for well-meant ones. Some input takes them minutes, in which no other
thread of Python runs; so they are not let into a worker. A README that cannot be rendered within the bounds is shown as
the text that it is.
"""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
import weakref
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from quire.domain.foreign_text import visible
from quire.readme.markup import Markup, markup_of
from quire.readme.renderer import ANSWER, BEGUN, REQUEST, receive

MAX_RENDERED: Final = 256 * 1024
"""Bytes of a README that is rendered. Of the thousand projects that are installed most, none has as much."""
MAX_SHOWN: Final = 512 * 1024
"""Characters that are shown of a longer one, as plain text."""
MAX_HTML: Final = 4 * 1024 * 1024
"""Bytes of HTML that are taken of one."""
CPU_SECONDS: Final = 4.0
"""Of the processor, for one README: it takes most of them some milliseconds, and reStructuredText of 100 kB three
seconds."""
WAIT_SECONDS: Final = 60.0
"""For an answer, on a machine that is busy with other things."""
MAX_REFUSED: Final = 1000
"""READMEs that are remembered since they took too much: each does so once, however often it is asked for."""


@dataclass(frozen=True, slots=True)
class Readme:
    """A README as a page shows it."""

    html: str | None
    """Sanitized, to be inserted as it is; None where it is shown as text."""
    text: str
    """Of a README that is shown as text; else empty."""
    is_cut: bool = False
    """Whether the text ends before the README does."""


class _Source(NamedTuple):
    """A README that can be rendered."""

    document: bytes
    markup: Markup

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(bytes([self.markup]) + self.document).digest()


def as_text(description: str) -> Readme:
    """A description of core metadata, of any language, that is shown as text."""
    return _as_text(_visible(description))


class ReadmeProcess:
    """Renders READMEs. Any thread may ask; one is rendered at a time."""

    def __init__(self, cpu_seconds: float = CPU_SECONDS) -> None:
        self._seconds = cpu_seconds
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._ending: weakref.finalize[[subprocess.Popen[bytes], socket.socket], ReadmeProcess] | None = None
        """Ends the process also where `close` was never called."""
        self._refused: dict[bytes, None] = {}
        """The digests of READMEs that took too much, the oldest first. Changed under the lock."""

    def render(self, description: str, content_type: str | None) -> Readme:
        """A description of core metadata, in the language of its content type. Blocks for as long as it takes."""
        document, source = _read(description, content_type)
        html = self._html(source) if source is not None and source.digest not in self._refused else ""
        return Readme(html, "") if html else _as_text(document)

    def known(self, description: str, content_type: str | None) -> Readme | None:
        """The same, where nothing is rendered for it: it is plain or long, or has taken too much before; else None."""
        document, source = _read(description, content_type)
        return _as_text(document) if source is None or source.digest in self._refused else None

    def close(self) -> None:
        """End the process, also within a README. It may be asked again."""
        child = self._child
        if child is not None:
            child.kill()
        with self._lock:
            self._end()
            self._refused.clear()  # the one that was being rendered is not to blame

    def _html(self, source: _Source) -> str:
        """Empty where there is none."""
        with self._lock:
            try:
                channel = self._begin(source)
            except (OSError, EOFError):
                self._end()  # no process can be made
                return ""
            try:
                (size,) = ANSWER.unpack(receive(channel, ANSWER.size))
                if size <= MAX_HTML:
                    return receive(channel, size).decode()
            except (OSError, EOFError):
                pass  # it was more than it may take
            self._end()
            self._refuse(source)
            return ""

    def _refuse(self, source: _Source) -> None:
        """Remember a README that took too much, in place of the oldest one."""
        if len(self._refused) >= MAX_REFUSED:
            del self._refused[next(iter(self._refused))]
        self._refused[source.digest] = None

    def _begin(self, source: _Source) -> socket.socket:
        """The channel of a process that has begun with a README. Raises OSError, EOFError."""
        message = REQUEST.pack(source.markup, len(source.document)) + source.document
        if self._channel is not None:
            with suppress(OSError, EOFError):  # one that ended since it was idle
                return _sent(self._channel, message)
            self._end()
        return _sent(self._start(), message)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.settimeout(WAIT_SECONDS)
        try:
            child = subprocess.Popen(  # noqa: S603 - Python itself
                [sys.executable, "-P", "-m", "quire.readme.renderer", str(self._seconds)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={**os.environ, "DOCUTILSCONFIG": os.devnull},  # its files would count for more than our settings
                start_new_session=True,  # a terminal's interrupt is for the server, which then ends this one
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._child, self._channel = child, ours
        self._ending = weakref.finalize(self, _ended, child, ours)
        return ours

    def _end(self) -> None:
        self._channel = None
        if self._ending is not None:
            self._ending()
            self._ending = None
        self._child = None


def _visible(description: str) -> str:
    """As much of it as is shown, and a character more of a longer one."""
    return visible(description[: MAX_SHOWN + 1])


def _as_text(document: str) -> Readme:
    return Readme(None, document[:MAX_SHOWN], len(document) > MAX_SHOWN)


def _read(description: str, content_type: str | None) -> tuple[str, _Source | None]:
    """A description as it is shown, and as it is rendered; None for one that is always shown as text."""
    document, markup = _visible(description), markup_of(content_type)
    if markup is None or not document.strip():
        return document, None
    encoded = document.encode()
    return document, _Source(encoded, markup) if len(encoded) <= MAX_RENDERED else None


def _ended(child: subprocess.Popen[bytes], channel: socket.socket) -> None:
    channel.close()
    child.kill()
    child.wait()


def _sent(channel: socket.socket, message: bytes) -> socket.socket:
    channel.sendall(message)
    if receive(channel, len(BEGUN)) != BEGUN:
        raise EOFError
    return channel
