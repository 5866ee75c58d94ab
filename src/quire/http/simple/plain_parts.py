"""The parts of a form that are written as every client writes them, and have arrived as a whole.

Theory of operation. A parser that is ready for the end of what has arrived at every byte takes several times as long as
looking for the next boundary: with it alone an upload of a small wheel takes a tenth longer (27 parts, as twine and uv
send them: 155 in place of 45 microseconds, of a millisecond for the whole upload). So parts are taken here as long as
nothing is unusual: the form so far begins with a boundary, the headers are a plain Content-Disposition and perhaps a
Content-Type, and the boundary that ends the part has arrived with the bytes after it. They are handed to the same
receiver, in the same order. The rest begins with a boundary again, so for the parser it is a form like any other,
only shorter; it is never asked to go on in the middle of something. Damaged or unusual parts are left to the
parser.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol

from python_multipart.multipart import MultipartParser

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_LINE_END: Final = b"\r\n"
_LAST: Final = b"--"
"""Behind the last boundary."""

# How every client spells it; anything else is left to the parser. The lengths are far below what the parser takes.
PLAIN_DISPOSITION = re.compile(
    rb'form-data; name="([A-Za-z0-9_:.-]{1,200})"(?:; filename="([A-Za-z0-9_.+!-]{1,300})")?'
)
_HEADERS = re.compile(
    rb"Content-Disposition: %b\r\n(?:Content-Type: [A-Za-z0-9 /;=.+-]{1,200}\r\n)?\r\n" % PLAIN_DISPOSITION.pattern
)


class Receiver(Protocol):
    """Receives the parts, with the parser's callbacks."""

    complete: bool
    """Whether the last boundary was found."""

    def on_part(self, name: str, filename: str | None, content: bytes) -> None:
        """A whole part has been read."""

    def on_end(self) -> None: ...


def take_plain_parts(form: bytes, delimiter: bytes, receiver: Receiver) -> int:
    """Hand over the plain parts at the beginning of a form; returns where the rest begins.

    That is the length of `form` when its last boundary was found, since the bytes after that are no part of it.
    `delimiter`: the line end, the dashes and the boundary that stand between two parts.
    """
    opening = delimiter.removeprefix(_LINE_END) + _LINE_END
    if not form.startswith(opening):
        return 0
    at = 0
    while True:
        headers = _HEADERS.match(form, at + len(opening))
        end = form.find(delimiter, headers.end()) if headers is not None else -1
        if headers is None or end < 0:
            return at
        following = form[end + len(delimiter) : end + len(delimiter) + 2]
        if following not in {_LINE_END, _LAST}:
            return at
        name, filename = headers[1], headers[2]
        content = form[headers.end() : end]
        receiver.on_part(name.decode(), None if filename is None else filename.decode(), content)
        if following == _LAST:
            receiver.on_end()
            return len(form)
        at = end + len(_LINE_END)


class PlainPartsFirst(MultipartParser):
    """The parser, from where the plain parts end on."""

    def __init__(self, boundary: bytes, callbacks: MultipartCallbacks, receiver: Receiver) -> None:
        """Raises FormParserError when the boundary is too long."""
        super().__init__(boundary, callbacks)
        self._receiver = receiver
        self._is_begun = False

    def write(self, data: bytes) -> int:
        """Take the next piece of the form in, which must not begin with line ends if it is the first.

        Raises FormParserError when the form is damaged, and the receiver's errors.
        """
        at = 0
        if not self._is_begun:
            self._is_begun = True
            at = take_plain_parts(data, self.boundary, self._receiver)
        if not self._receiver.complete:  # else nothing that follows is a part of the form
            super().write(data[at:])
        return len(data)
