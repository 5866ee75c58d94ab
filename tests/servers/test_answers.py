"""Each HTTP server sends our answers in the same way."""

from __future__ import annotations

import http.client
import os
import re
import socket
from collections.abc import Iterator

import pytest

from tests.asking import (
    JSON_V1,
    OPEN,
    Site,
    content_type,
    multipart,
    nothing_changes,
    publish,
    publish_wheel,
    raw_answer,
    serve,
    twine_form,
)
from tests.distributions import make_wheel, wheel_name
from tests.serving import until

LIMIT = 3_000_000
FILENAME = wheel_name("big", "1.0")
CONTENT = make_wheel("big", "1.0", files={"data": os.urandom(2_500_000)})


@pytest.fixture(scope="module", params=["uvicorn", "gunicorn", "wsgiref"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An index served by each server, with a wheel of some megabytes."""
    flags = ("--server", request.param, "--max-upload-size", LIMIT, "--body-timeout", 0.5, "-v")
    with serve(tmp_path_factory.mktemp(request.param), *OPEN, *flags) as site:
        publish(site, FILENAME, CONTENT, name="big", version="1.0")
        yield site


def test_pages_and_files(site: Site) -> None:
    """Listing, HEAD, 304, a whole file, a range, and the next request on the same connection."""
    page = site.get("/simple/big/", accept=JSON_V1)
    url = site.file_url("big", FILENAME)
    assert site.get("/simple/big/", accept=JSON_V1, if_none_match=page.headers["etag"]).status_code == 304
    assert site.client.get(url).content == CONTENT
    assert site.client.get(url, headers={"range": "bytes=1000000-1999999"}).content == CONTENT[1_000_000:2_000_000]
    head = site.client.head(url)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(CONTENT)))
    assert site.client.get(url, headers={"range": "bytes=99999999-"}).status_code == 416
    assert site.get("/big").status_code == 303


def test_an_old_client(site: Site) -> None:
    """HTTP/1.0: no 303, and the connection ends with the answer."""
    assert site.raw(b"GET /big HTTP/1.0\r\n\r\n").status == 302
    answer = site.raw(b"GET /simple/big/ HTTP/1.0\r\nAccept: " + JSON_V1.encode() + b"\r\n\r\n")
    assert (answer.status, answer.headers["content-type"]) == (200, JSON_V1)


def test_a_refusal_reaches_a_client_that_sends_everything_first(site: Site) -> None:
    """The sentence, not a broken connection."""
    body = multipart(twine_form(FILENAME, b"x" * (10 * LIMIT), name="big", version="1.0"))
    pieces = (body[at : at + 100_000] for at in range(0, len(body), 100_000))
    headers = {"Content-Type": content_type(), "Content-Length": str(len(body))}
    with nothing_changes(site):
        connection = http.client.HTTPConnection("127.0.0.1", site.served.port, timeout=30)
        connection.request("POST", "/", pieces, headers)
        answer = connection.getresponse()
        assert (answer.status, b"is larger than this index takes" in answer.read()) == (413, True)
        connection.close()


def test_a_client_that_goes_away(site: Site) -> None:
    """Nothing of a body that breaks off stays, and no traceback is logged."""
    body = multipart(twine_form("gone-1.0.tar.gz", CONTENT, name="gone", version="1.0"))
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type()}\r\nContent-Length: {len(body)}\r\n\r\n"
    with nothing_changes(site):
        with site.connect() as connection:
            connection.sendall(head.encode() + body[: len(body) // 2])
        with site.connect() as connection:
            connection.sendall(head.encode() + body[: len(body) // 2])
            connection.shutdown(socket.SHUT_WR)


def test_a_silent_client(site: Site) -> None:
    """408 after the body timeout."""
    if site.root.parent.name.startswith("wsgiref"):
        pytest.skip("a WSGI server reads the body by itself, and has a timeout of its own")
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type()}\r\nContent-Length: 5000\r\n\r\n"
    with nothing_changes(site), site.connect() as connection:
        connection.sendall(head.encode() + b"--")
        assert raw_answer(connection).status == 408


def test_a_file_that_is_cut_while_it_is_sent(site: Site) -> None:
    """The client sees an incomplete answer, never other bytes that pass for the rest; and the log has a line of it."""
    if site.root.parent.name.startswith("wsgiref"):
        pytest.skip("WSGI has no way to break an answer off but an exception, which its servers log")
    name = wheel_name("cut", "1.0")
    content = make_wheel("cut", "1.0", files={"data": os.urandom(30_000_000)})
    (site.root / name).write_bytes(content)
    with site.connect() as connection:
        connection.sendall(f"GET /packages/{name} HTTP/1.1\r\nHost: x\r\nRange: bytes=1-\r\n\r\n".encode())
        connection.recv(1000)
        os.truncate(site.root / name, 1_000_000)
        received = 0
        while data := connection.recv(1_000_000):
            received += len(data)
        assert received < len(content) - 1
    (site.root / name).unlink()
    until(lambda: "broken off" in site.served.output())


def test_addresses_that_are_no_text(site: Site) -> None:
    """Bytes that are not UTF-8, escaped or not: a 4xx or a redirect, never a defect."""
    for target in (
        b"/%ff%fe/",
        b"/simple/%ff/",
        b"/packages/%80.whl",
        b"/simple/?%ff",
        b"/simple/?format=\xff",
        b"/\xff",
    ):
        with site.connect() as connection:
            connection.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            assert re.match(rb"HTTP/1\.[01] [234]|$", connection.recv(10)), target


def test_it_still_serves(site: Site) -> None:
    """After all that."""
    assert publish_wheel(site, "last") in site.filenames("last")
