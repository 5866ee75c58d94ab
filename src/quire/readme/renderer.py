"""The program that `quire.readme.process` runs: it renders one README after the other, as PyPI does.

Nothing that a README does harms its server: the system ends this process when one takes more time or memory than it
may, and a parser that fails takes nothing else with it. No file is written, and none of a README's choice is read
(`readme_renderer` turns reStructuredText's include and raw off).

Messages, in network order: a language and a length, and so many bytes of UTF-8; the answer is one byte when the
README is read, and then a length and so many bytes of HTML. An empty answer means that there is no HTML of it.
"""

from __future__ import annotations

import resource
import signal
import socket
import struct
import sys
from typing import Final

from quire.readme.markup import Markup

REQUEST: Final = struct.Struct("!BI")
ANSWER: Final = struct.Struct("!I")
BEGUN: Final = b"b"
IDLE_SECONDS: Final = 60
"""Without a README for so long, the program ends."""
_MEMORY: Final = 512 * 1024 * 1024
_KEPT_MEMORY: Final = 192 * 1024 * 1024
"""A program that has needed more ends behind its answer, since Python gives little of it back."""


def main(seconds: float) -> None:
    """Answer until the other end closes. `seconds`: of the processor, for one README."""
    for limit, most in ((resource.RLIMIT_AS, _MEMORY), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0)):
        resource.setrlimit(limit, (most, most))
    channel = socket.socket(fileno=0)
    channel.settimeout(IDLE_SECONDS)
    while True:
        try:
            markup, size = REQUEST.unpack(receive(channel, REQUEST.size))
        except (TimeoutError, EOFError):
            return
        document = receive(channel, size).decode()
        channel.sendall(BEGUN)
        signal.setitimer(signal.ITIMER_PROF, seconds)  # which kills, also within a parser
        html = _rendered(document, Markup(markup)).encode()
        signal.setitimer(signal.ITIMER_PROF, 0)
        channel.sendall(ANSWER.pack(len(html)) + html)
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > _KEPT_MEMORY:
            return


def receive(channel: socket.socket, size: int) -> bytes:
    """So many bytes. Raises EOFError when the other end closes before, TimeoutError, OSError."""
    received = bytearray()
    while len(received) < size:
        piece = channel.recv(min(size - len(received), 1 << 16))
        if not piece:
            raise EOFError
        received += piece
    return bytes(received)


def _rendered(document: str, markup: Markup) -> str:
    from readme_renderer import markdown, rst  # noqa: PLC0415 - for this program alone

    from quire.readme.sanitizing import sanitized  # noqa: PLC0415

    try:
        if markup is Markup.RST:
            html = rst.render(document)
        else:
            html = markdown.render(document, "CommonMark" if markup is Markup.COMMON_MARK else "GFM")
        return sanitized(html) if html else ""
    except Exception:  # noqa: BLE001 - whatever a parser makes of it: it is shown as plain text
        return ""


if __name__ == "__main__":
    main(float(sys.argv[1]))
