"""The plain parts of forms: taken without the parser, they come to what the parser makes of them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from quire.http.simple.plain_parts import PlainPartsFirst, take_plain_parts

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

BOUNDARY = b"b-1"
DELIMITER = b"\r\n--b-1"
Events = list[tuple[str, bytes]]


class _Recorder:
    """Notes what it is told, by the parser or without it; content that comes in several pieces as one."""

    def __init__(self) -> None:
        self.events: Events = []
        self.complete = False
        self.by_parser = 0
        self._header = b""
        self._value = b""

    def on_part(self, name: str, filename: str | None, content: bytes) -> None:
        self.on_part_begin()
        filename_given = "" if filename is None else f'; filename="{filename}"'
        self.events.append(("disposition", f'form-data; name="{name}"{filename_given}'.encode()))
        if content:
            self.take(content)
        self.on_part_end()

    def on_part_begin(self) -> None:
        self.events.append(("part", b""))

    def take(self, data: bytes) -> None:
        if self.events[-1][0] == "data":
            data = self.events.pop()[1] + data
        self.events.append(("data", data))

    def on_part_end(self) -> None:
        self.events.append(("part ends", b""))

    def on_end(self) -> None:
        self.complete = True
        self.events.append(("end", b""))

    def callbacks(self) -> MultipartCallbacks:
        def part_begin() -> None:
            self.by_parser += 1
            self.on_part_begin()

        def header_begin() -> None:
            self._header = self._value = b""

        def header_field(data: bytes, start: int, end: int) -> None:
            self._header += data[start:end]

        def header_value(data: bytes, start: int, end: int) -> None:
            self._value += data[start:end]

        def header_end() -> None:
            if self._header.lower() == b"content-disposition":
                self.events.append(("disposition", self._value))

        return {
            "on_part_begin": part_begin,
            "on_header_begin": header_begin,
            "on_header_field": header_field,
            "on_header_value": header_value,
            "on_header_end": header_end,
            "on_part_data": lambda data, start, end: self.take(data[start:end]),
            "on_part_end": self.on_part_end,
            "on_end": self.on_end,
        }


def _read(pieces: list[bytes], *, plain_first: bool) -> _Recorder:
    recorder = _Recorder()
    callbacks = recorder.callbacks()
    parser = PlainPartsFirst(BOUNDARY, callbacks, recorder) if plain_first else MultipartParser(BOUNDARY, callbacks)
    try:
        for piece in pieces:
            parser.write(piece)
    except FormParserError:
        recorder.events.append(("damaged", b""))
    return recorder


def _part(name: str, content: bytes, *, filename: str | None = None, kind: str | None = None) -> bytes:
    head = f'--b-1\r\nContent-Disposition: form-data; name="{name}"'
    head += f'; filename="{filename}"' if filename else ""
    head += f"\r\nContent-Type: {kind}" if kind else ""
    return f"{head}\r\n\r\n".encode() + content + b"\r\n"


PARTS = (
    _part(":action", b"file_upload"),
    _part("description", b""),
    _part("content", b"PK\r\n--b", filename="a-1.0+x-py3-none-any.whl", kind="application/octet-stream"),
)
FORM = b"".join(PARTS) + b"--b-1--\r\n"
ENDS = [len(b"".join(PARTS[:count]) + b"--b-1\r\n") for count in (1, 2, 3)]
"""Where it is known that so many parts have ended."""


def test_a_form_of_plain_parts_needs_no_parser() -> None:
    """All of it is taken, in order, with empty fields and with what only looks like a boundary."""
    read = _read([FORM, b"--b-1\r\nwhatever follows"], plain_first=True)
    assert read.by_parser == 0
    assert take_plain_parts(FORM + b"epilogue", DELIMITER, _Recorder()) == len(FORM + b"epilogue")
    assert read.events == _read([FORM], plain_first=False).events
    assert read.events == [
        ("part", b""),
        ("disposition", b'form-data; name=":action"'),
        ("data", b"file_upload"),
        ("part ends", b""),
        ("part", b""),
        ("disposition", b'form-data; name="description"'),
        ("part ends", b""),
        ("part", b""),
        ("disposition", b'form-data; name="content"; filename="a-1.0+x-py3-none-any.whl"'),
        ("data", b"PK\r\n--b"),
        ("part ends", b""),
        ("end", b""),
    ]


@pytest.mark.parametrize("cut", range(len(FORM)))
def test_a_form_in_two_pieces(cut: int) -> None:
    """Wherever a form is cut, whole parts of its first piece are taken, and the parser makes the same of the rest."""
    read = _read([FORM[:cut], FORM[cut:]], plain_first=True)
    assert read.events == _read([FORM], plain_first=False).events
    assert read.by_parser == sum(end > cut for end in ENDS)


@pytest.mark.parametrize(
    "head",
    [
        b'Content-Disposition: form-data; name="%s"\r\n' % (b"n" * 201),
        b'Content-Disposition: form-data; name="a b"\r\n',
        b'Content-Disposition: form-data; name="\xc3\xa4"\r\n',
        b'Content-Disposition: form-data; name="a"; filename="a b"\r\n',
        b'Content-Disposition: form-data; name="a"; filename=""\r\n',
        b'Content-Disposition: form-data; filename="a"; name="a"\r\n',
        b"Content-Disposition: form-data; name=a\r\n",
        b'content-disposition: form-data; name="a"\r\n',
        b'Content-Disposition:form-data; name="a"\r\n',
        b'Content-Type: text/plain\r\nContent-Disposition: form-data; name="a"\r\n',
        b'Content-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; name="b"\r\n',
        b'Content-Disposition: form-data; name="a"\r\nContent-Type: %s\r\n' % (b"x" * 201),
        b'Content-Disposition: form-data; name="a"\r\nX-Other: b\r\n',
        b'Content-Disposition: form-data; name="a"\n',
        b"",
    ],
)
def test_an_unusual_part_is_the_parsers(head: bytes) -> None:
    """Headers of another form end what is taken; the parts before are taken, all others are the parser's."""
    form = _part("first", b"1") + b"--b-1\r\n" + head + b"\r\nvalue\r\n" + FORM
    read = _read([form], plain_first=True)
    assert read.events == _read([form], plain_first=False).events
    assert read.by_parser >= 1
    assert take_plain_parts(form, DELIMITER, _Recorder()) == len(_part("first", b"1"))


@pytest.mark.parametrize("form", [b"", b"\r\n" + FORM, b"--b-1", b"--b-1--\r\n", b"--b-2\r\n", b"--b-1 \r\n" + FORM])
def test_a_form_that_begins_otherwise_is_the_parsers(form: bytes) -> None:
    """Nothing is taken of a form whose beginning is not a boundary and a line end."""
    assert take_plain_parts(form, DELIMITER, _Recorder()) == 0


_FRAGMENTS = (
    *(b"\r\n", b"\r\n", b"\r", b"\n", b"--", b"-", b"b-1", b"--b-1", b"--b-1\r\n", b"--b-1--", b"--b-1 \t\r\n", b" "),
    *(b"\r\n--b-1\r\n", b"\r\n--b-1\r\n", b"\r\n--b-1--\r\n", b"\r\n--b-1x", b"\r\n--b-1\r", b"\r\n--b-1-"),
    *(b"", b"x", b"\x00\xff", b"value", b":", b'name="a"', b"Content-Type: text/plain\r\n", b"Content-Type: \r\n"),
    *(b'Content-Disposition: form-data; name="a"\r\n\r\n', b'Content-Disposition: form-data; name="a"\r\n'),
    *(b'Content-Disposition: form-data; name="a"; filename="f"\r\n\r\n', _part("a", b"1"), _part("b", b"", kind="t")),
)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_sent_is_read_as_the_parser_reads_it(seed: int) -> None:
    """Forms put together from fragments, most of them damaged, whole and in two pieces."""
    choose = random.Random(seed)
    taken = 0
    for _ in range(250):
        form = _part("a", b"1") * choose.randrange(3) + b"".join(choose.choices(_FRAGMENTS, k=choose.randrange(9)))
        if form.startswith((b"\r", b"\n")):
            continue  # line ends before a form are not the parser's to see
        cut = choose.randrange(len(form) + 1) if choose.random() < 0.5 else len(form)
        pieces = [piece for piece in (form[:cut], form[cut:]) if piece]
        parsed, read = _read(pieces, plain_first=False), _read(pieces, plain_first=True)
        assert read.events == parsed.events, form
        assert (read.complete, read.events[-1:]) == (parsed.complete, parsed.events[-1:])
        taken += parsed.by_parser - read.by_parser
    assert taken > 50
