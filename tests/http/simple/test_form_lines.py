"""Forms whose lines end with LF alone, and text around a form: read as RFC 2046 has it, however it is cut."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from python_multipart.exceptions import FormParserError

from quire.domain.errors import InvalidRequest
from quire.http.simple.form_lines import MAX_HEADER_BYTES, MAX_PREAMBLE_BYTES, FormLines
from tests.asking import OPEN, Site, content_type, nothing_changes, serve, twine_form
from tests.distributions import make_wheel, wheel_name
from tests.http.simple.test_plain_parts import _Recorder

BOUNDARY = b"b-1"


def form(values: Sequence[bytes], line: bytes = b"\n", *, before: bytes = b"", after: bytes = b"") -> bytes:
    parts = [
        b'--b-1%bContent-Disposition: form-data; name="f%d"%b%b%b%b' % (line, number, line, line, value, line)
        for number, value in enumerate(values)
    ]
    return before + b"".join(parts) + b"--b-1--" + line + after


def contents(sent: bytes, cuts: Sequence[int] = ()) -> list[bytes]:
    """The content of every part, of a form that arrives in pieces; it must have been complete."""
    recorder = _Recorder()
    parser = FormLines(BOUNDARY, recorder.callbacks(), recorder)
    places = [0, *sorted(cut % (len(sent) + 1) for cut in cuts), len(sent)]
    for begin, end in pairwise(places):
        parser.write(sent[begin:end])
    parser.finalize()
    assert recorder.complete
    found: list[bytes] = []
    for event, data in recorder.events:
        if event == "part":
            found.append(b"")
        elif event == "data":
            found[-1] += data
    return found


def test_a_boundary_that_never_came_before_costs_nothing_more() -> None:
    """Clients draw one for each form, so nothing may be prepared for it that takes longer than the form."""

    def calls(boundary: bytes) -> int:
        recorder = _Recorder()
        sent = form([b"x"] * 15, b"\r\n").replace(b"--b-1", b"--" + boundary)
        number = 0

        def count(*_: object) -> None:
            nonlocal number
            number += 1

        sys.setprofile(count)
        try:
            FormLines(boundary, recorder.callbacks(), recorder).write(sent)
        finally:
            sys.setprofile(None)
        assert recorder.complete
        return number

    calls(b"before")
    assert calls(b"new") == calls(b"new")


NEARLY = st.sampled_from(
    [b"\n--b-1", b"\r\n--b-1x", b"\n--b-", b"--b-1\n", b"\n--b-1-", b"\r", b"\n", b"\r\n", b"-", b"\n--b-1 x"]
)
VALUE = st.lists(NEARLY | st.binary(max_size=6)).map(b"".join)
CUTS = st.lists(st.integers(0, 10_000), max_size=12)


def is_content(value: bytes) -> bool:
    """Whether no line of it is a boundary: then a form can carry it."""
    return contents_of_lines(b"\n" + value + b"\n") == 0


def contents_of_lines(text: bytes) -> int:
    return len(re.findall(rb"\n--b-1(?:--|[ \t]{0,64}\r?\n)", text))


@given(values=st.lists(VALUE.filter(is_content), min_size=1, max_size=4), cuts=CUTS)
@example(values=[b"x\r", b"", b"\n\n", b"\r\n--b-1x"], cuts=[])
def test_content_arrives_byte_for_byte(values: list[bytes], cuts: list[int]) -> None:
    """A CR at the end, lines that are nearly boundaries, nothing at all: in pieces of any size."""
    assert contents(form(values), cuts) == values


@pytest.mark.parametrize("line", [b"\n", b"\r\n"])
@pytest.mark.parametrize(
    "before",
    [
        *(b"", b"\n", b"\r\n\r\n", b"A text.\r\n"),
        *(b"A text.\nof two lines --b-1\n", b"\n--b-1x\n", b"x" * 60_000 + b"\n"),
    ],
)
@pytest.mark.parametrize("after", [b"", b"An epilogue\r\n--b-1\r\nnever read"])
def test_text_around_a_form_is_passed_over(line: bytes, before: bytes, after: bytes) -> None:
    """RFC 2046, 5.1.1: a preamble and an epilogue are legal, and no part of anything."""
    sent = form([b"one", b"two"], line, before=before, after=after)
    chance = random.Random(3)
    for count in (0, 1, 5, 300):
        assert contents(sent, [chance.randrange(len(sent)) for _ in range(count)]) == [b"one", b"two"]
    if len(sent) < 2000:
        assert contents(sent, range(len(sent))) == [b"one", b"two"]


@pytest.mark.parametrize("size", [1, 1000, 1_000_000])
def test_a_preamble_has_a_bound(size: int) -> None:
    """A body that never begins is refused early, in whatever pieces."""
    recorder = _Recorder()
    parser = FormLines(BOUNDARY, recorder.callbacks(), recorder)

    def write() -> None:
        for _ in range(0, MAX_PREAMBLE_BYTES + 2, size):
            parser.write(b"x" * size)

    with pytest.raises(InvalidRequest, match="does not begin with its boundary"):
        write()


@pytest.mark.parametrize(
    "headers",
    [
        *(b"no colon\n\n", b": no name\n\n", b" folded: x\n\n"),
        *(b"X: " + b"x" * (MAX_HEADER_BYTES + 10), b"X: x\n" * 9000),
    ],
)
def test_damaged_headers_are_refused(headers: bytes) -> None:
    """With the error of every damaged form."""
    recorder = _Recorder()
    parser = FormLines(BOUNDARY, recorder.callbacks(), recorder)
    with pytest.raises(FormParserError):
        parser.write(b"--b-1\n" + headers + b"value\n--b-1--\n")


# -- as clients send them ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, place: str) -> Iterator[Site]:
    with serve(tmp_path_factory.mktemp("forms"), *OPEN, place=place) as site:
        yield site


def lines_of(parts: Sequence[Any], line: bytes) -> bytes:
    """As `distutils.command.register` and `upload_docs` build it: a line end in front of each boundary."""
    body = bytearray()
    for part in parts:
        body += line + b"--b-1" + line + f'Content-Disposition: form-data; name="{part[0]}"'.encode()
        if len(part) == 3:
            body += f'; filename="{part[1]}"'.encode()
        body += line + line + (part[2] if len(part) == 3 else part[1].encode())
    return bytes(body + line + b"--b-1--" + line)


def send(site: Site, body: bytes) -> httpx.Response:
    kind = f"{content_type('b-1')}; charset=utf-8"
    return site.client.post("/", content=body, headers={"content-type": kind})


@pytest.mark.parametrize("line", [b"\n", b"\r\n"])
@pytest.mark.parametrize("action", ["submit", "verify"])
def test_register(site: Site, line: bytes, action: str) -> None:
    """`setup.py register`: nothing to do, and no error."""
    answer = send(site, lines_of([(":action", action), ("name", "acme"), ("description", "a\r\nb\nc")], line))
    assert (answer.status_code, answer.text) == (200, "Nothing to register: publish a file.\n")


@pytest.mark.parametrize("line", [b"\n", b"\r\n"])
def test_a_file_between_such_lines_is_published(site: Site, line: bytes) -> None:
    """Its bytes end with CR and look like boundaries inside: the digest is right."""
    name = f"lines-{len(line)}"
    content = make_wheel(name, "1.0", files={"tricky": b"\n--b-1x\r\n--b-1-\n\r"})
    filename = wheel_name(name, "1.0")
    answer = send(site, lines_of(twine_form(filename, content, name=name, version="1.0"), line))
    assert (answer.status_code, answer.text) == (200, f"{filename} was published.\n")
    assert site.client.get(site.file_url(name, filename)).content == content


@pytest.mark.parametrize("kept", [1, 10, 60, 300, -2])
def test_such_a_form_cut_off(site: Site, kept: int) -> None:
    """400, and nothing remains."""
    body = lines_of(twine_form(wheel_name("cut", "1.0"), make_wheel("cut", "1.0"), name="cut", version="1.0"), b"\n")
    with nothing_changes(site):
        answer = send(site, body.rstrip(b"\n")[:kept])
        assert answer.status_code == 400
        assert "cut off" in answer.text


def test_a_big_file_is_streamed(site: Site, tmp_path: Path) -> None:
    """Megabytes between two lines reach the disk as they arrive."""
    content = make_wheel("big", "1.0", files={"random": random.Random(7).randbytes(6_000_000)})
    filename = wheel_name("big", "1.0")
    assert send(site, lines_of(twine_form(filename, content, name="big", version="1.0"), b"\n")).status_code == 200
    assert site.client.get(site.file_url("big", filename)).content == content
