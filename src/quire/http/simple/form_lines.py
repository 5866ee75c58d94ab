"""Forms whose lines end with LF alone, and text before the first boundary of a form.

Theory of operation. RFC 2046 (5.1.1) wants CRLF between the lines of a form, and allows text before the first boundary,
to be passed over. `setup.py register` and `upload_docs`, and `upload` of early Pythons 2.7, send LF alone. The line end
behind the first boundary decides for the whole form: after CRLF its parser is `PlainPartsFirst`, which knows nothing
else; after LF it is `LineFeedParts`. There a CR in front of the LF of a boundary belongs to the content, so that a file
arrives byte for byte.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from python_multipart.exceptions import MultipartParseError

from quire.domain.errors import InvalidRequest
from quire.http.simple.plain_parts import PlainPartsFirst, Receiver

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_PREAMBLE_BYTES: Final = 64 * 1024
MAX_HEADER_BYTES: Final = 16 * 1024
"""Of one part."""
_PADDING: Final = 64
_BEHIND = re.compile(rb"(--)|[ \t]{0,%d}\r?\n" % _PADDING)
"""The text that makes a boundary of the delimiter in front of it: a line end, or the dashes of the last one."""
_BEHIND_BEGUN = re.compile(rb"-?|[ \t]{0,%d}\r?" % _PADDING)
"""The beginning of such a text, which the next bytes may complete."""
_HEADERS_END = re.compile(rb"\n\r?\n")


class FormLines:
    """Passes a form on to the parser for its line ends, from its first boundary on."""

    def __init__(self, boundary: bytes, callbacks: MultipartCallbacks, receiver: Receiver) -> None:
        """Raises FormParserError when the boundary is too long."""
        self._plain = PlainPartsFirst(boundary, callbacks, receiver)
        self._parser: PlainPartsFirst | LineFeedParts | None = None
        self._boundary = boundary
        self._callbacks = callbacks
        self._first: re.Pattern[bytes] | None = None
        self._longest = len(boundary) + _PADDING + 5
        self._preamble = bytearray()

    def write(self, data: bytes) -> int:
        """Take the next piece of the form in.

        Raises FormParserError when the form is damaged, InvalidRequest when it does not begin, and the errors of
        the receiver of the parts.
        """
        if self._parser is None and not self._preamble and data.startswith(b"--%b\r\n" % self._boundary):
            self._parser = self._plain  # as nearly every form begins: an expression for its boundary takes longer
        if self._parser is not None:
            return self._parser.write(data)
        if self._first is None:
            boundary = re.escape(self._boundary)
            self._first = re.compile(rb"(?:\A|\n)(--%b(?:--|[ \t]{0,%d}(\r?)\n))" % (boundary, _PADDING))
        unsearched = max(0, len(self._preamble) - self._longest)
        self._preamble += data
        first = self._first.search(self._preamble, unsearched)
        if first is None:
            if len(self._preamble) > MAX_PREAMBLE_BYTES:
                raise InvalidRequest("The form does not begin with its boundary; send it as multipart/form-data.")
            return len(data)
        begin = first.start(1)
        form = bytes(self._preamble[begin:]) if begin or len(self._preamble) > len(data) else data
        self._preamble = bytearray()
        self._parser = LineFeedParts(self._boundary, self._callbacks) if first[2] == b"" else self._plain
        self._parser.write(form)
        return len(data)

    def finalize(self) -> None:
        """The form is over."""
        if self._parser is not None:
            self._parser.finalize()


class LineFeedParts:
    """Parses a form with LF as its line end, as it arrives. It begins with its first boundary."""

    def __init__(self, boundary: bytes, callbacks: MultipartCallbacks) -> None:
        self._delimiter = b"\n--" + boundary
        self._callbacks = callbacks
        self._data = b"\n"  # in front of the first boundary, as of all others
        self._in_part = False
        self._in_headers = False
        self._is_over = False

    def write(self, data: bytes) -> int:
        """Take the next piece of the form in. Raises MultipartParseError, and the callbacks' errors."""
        if not self._is_over:  # bytes after the last boundary are no part of the form
            self._data += data
            while self._take_headers() if self._in_headers else self._take_content():
                pass
        return len(data)

    def finalize(self) -> None:
        """The form is over."""

    def _take_headers(self) -> bool:
        """The headers of a part, once they are there; whether to go on with the bytes after them."""
        # The line end of the boundary is kept in front: a part without headers begins with an empty line.
        end = _HEADERS_END.search(self._data)
        if (len(self._data) if end is None else end.start()) > MAX_HEADER_BYTES:
            raise MultipartParseError("the headers of a part are too long")
        if end is None:
            return False
        for line in self._data[: end.start()].split(b"\n"):
            if line := line.removesuffix(b"\r"):
                self._header(line)
        self._data = self._data[end.end() :]
        if callback := self._callbacks.get("on_headers_finished"):
            callback()
        self._in_headers = False
        return True

    def _header(self, line: bytes) -> None:
        name, colon, value = line.partition(b":")
        if not colon or not name or name[:1].isspace():
            raise MultipartParseError("a header of a part has no name")
        value = value.strip()
        self._callbacks["on_header_begin"]()
        self._callbacks["on_header_field"](name, 0, len(name))
        self._callbacks["on_header_value"](value, 0, len(value))
        self._callbacks["on_header_end"]()

    def _take_content(self) -> bool:
        """The content of a part as far as it is there; whether to go on with the bytes after it."""
        data, at = self._data, 0
        while (at := data.find(self._delimiter, at)) >= 0:
            behind = at + len(self._delimiter)
            found = _BEHIND.match(data, behind)
            if found is not None:
                self._end_part(data, at)
                self._is_over = found[1] is not None
                if self._is_over:
                    self._data = b""
                    self._callbacks["on_end"]()
                    return False
                self._data = b"\n" + data[found.end() :]
                self._in_part = self._in_headers = True
                self._callbacks["on_part_begin"]()
                return True
            if _BEHIND_BEGUN.fullmatch(data, behind) is not None:
                break  # the next bytes decide
            at = behind
        kept = at if at >= 0 else max(0, len(data) - len(self._delimiter) + 1)
        self._content(data, kept)
        self._data = data[kept:]
        return False

    def _end_part(self, data: bytes, end: int) -> None:
        self._content(data, end)
        if self._in_part:
            self._callbacks["on_part_end"]()

    def _content(self, data: bytes, end: int) -> None:
        if self._in_part and end > 0:
            self._callbacks["on_part_data"](data, 0, end)
