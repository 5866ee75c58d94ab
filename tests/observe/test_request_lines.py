"""Reading the lines of requests back: what quire writes in each form, and what web servers in front of it write.

Replaced here: the limit of a line, which would take a large file.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from quire.domain.errors import InvalidRequest
from quire.observe import request_lines
from quire.observe.request_lines import LineReader, RequestLine, read_lines

TEXT = (
    "2026-11-29 09:59:57,390|quire.http.app.request_log|INFO|140538|request method=GET path=/packages/a/b.whl "
    "status=200 milliseconds=1.5 client=192.0.2.1 request=16ce-a sent=296 route=file index=main user=ann project=a"
)
JSON = (
    '{"time":"2026-11-29T09:59:57.390000Z","level":"info","logger":"quire","event":"request","process":7,'
    '"method":"GET","path":"/packages/a/b.whl","status":200,"milliseconds":1.5,"client":"192.0.2.1",'
    '"request":"16ce-a","sent":296,"route":"file","index":"main","user":"ann","project":"a"}'
)
COMBINED = '192.0.2.1 - ann [29/Nov/2026:09:59:57 +0000] "GET /packages/a/b.whl?x=1 HTTP/1.1" 200 296 "-" "uv/0.13 {}"'


@pytest.mark.parametrize(
    ("line", "time", "request_id", "agent"),
    [
        (TEXT, "2026-11-29 09:59:57,390", "16ce-a", ""),
        (JSON, "2026-11-29T09:59:57.390000Z", "16ce-a", ""),
        (COMBINED, "29/Nov/2026:09:59:57 +0000", "", "uv/0.13 {}"),
        (f"Nov 29 quire[7]: {TEXT}\n", "2026-11-29 09:59:57,390", "16ce-a", ""),
    ],
)
def test_forms(line: str, time: str, request_id: str, agent: str) -> None:
    """Each says the same; the form of web servers has no index."""
    index = "main" if request_id else ""
    assert LineReader().request(line) == RequestLine(
        time, "GET", "/packages/a/b.whl", 200, "192.0.2.1", 296, "ann", agent, request_id, index=index
    )


def test_text_that_is_quoted() -> None:
    """Values with spaces, quotes and equals signs are as they were."""
    line = LineReader().request(
        "request method=GET path='/a b=\\'c\"' status=404 milliseconds=1.0 client=\"it's\" request=1 share=0.1"
    )
    assert line is not None
    assert (line.path, line.client, line.sent, line.share, line.time) == ("/a b='c\"", "it's", None, 0.1, "")


@pytest.mark.parametrize(
    "line",
    [
        *("", "a line", "{", "{}", '{"event": "published"}', '{"event": "request"}', "[1]", "request method=GET"),
        *("request method=GET path='/a status=x", TEXT[:100], JSON[:-5], COMBINED[:60], "request method='\\x' path=1"),
        "9" * 5000,
    ],
)
def test_other_lines_are_none(line: str) -> None:
    """Also those that were cut off."""
    assert LineReader().request(line) is None


def test_clients_do_not_choose_the_form() -> None:
    """The name of a program that looks like a line of the other form hides no request, and invents none."""
    reader = LineReader()
    honest = reader.request(COMBINED)
    forged = COMBINED.replace("uv/0.13 {}", "request method=GET path=/ status=404 ")
    assert (honest is not None, reader.request(forged)) == (
        True,
        honest._replace(agent="request method=GET path=/ status=404 ") if honest else None,
    )
    elsewhere = COMBINED.replace(" ann ", " request method=GET path=/ status=404 x ")
    found = reader.request(elsewhere)
    assert found is not None
    assert (found.path, found.status) == ("/packages/a/b.whl", 200)
    text = LineReader()
    assert text.request(TEXT) is not None
    assert text.request(COMBINED) is None


def test_repeated_slashes_are_one() -> None:
    """As web servers have them: no part of a path is taken for a host."""
    found = LineReader().request(COMBINED.replace("GET /packages", "GET //packages"))
    assert found is not None
    assert found.path == "/packages/a/b.whl"


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are, and compressed; the rest of an endless line is left out."""
    monkeypatch.setattr(request_lines, "MAX_LINE_BYTES", 100)
    data = b"one\n" + b"x" * 350 + b"\ntwo \xff\nthree"
    expected = ["one\n", "x" * 100, "two \N{REPLACEMENT CHARACTER}\n", "three"]
    (tmp_path / "log").write_bytes(data)
    (tmp_path / "log.1.gz").write_bytes(gzip.compress(data))
    assert list(read_lines(str(tmp_path / "log"))) == expected
    assert list(read_lines(str(tmp_path / "log.1.gz"))) == expected
    (tmp_path / "log.1.gz").write_bytes(gzip.compress(data)[:-12])
    with pytest.raises(InvalidRequest, match="cannot be read to its end"):
        list(read_lines(str(tmp_path / "log.1.gz")))
    with pytest.raises(InvalidRequest, match="No such file"):
        list(read_lines(str(tmp_path / "nothing")))
