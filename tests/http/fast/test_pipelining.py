"""Clients that send requests without waiting for answers: those that read none, and those that read them all."""

from __future__ import annotations

import socket
import threading
from functools import partial
from pathlib import Path

import pytest

from tests.asking import OPEN, Site, content_type, multipart, publish_wheel, raw_answer, serve, twine_form
from tests.distributions import make_wheel, wheel_name
from tests.memory import growth
from tests.serving import until

SERVERS = ["uvicorn", "gunicorn"]
MEBIBYTE = 2**20
MOST = 24 * MEBIBYTE
"""Bytes of requests that no server may take from a client that reads nothing: several times what the sockets hold."""


def _request(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("at_once", [1, 2000])
def test_a_client_that_reads_nothing(tmp_path: Path, server: str, at_once: int) -> None:
    """The server stops reading from it, and its memory stays as it is. `get_inline`: requests in one piece."""
    with serve(tmp_path, *OPEN, "--server", server) as site:
        for number in range(30):
            publish_wheel(site, "big", f"1.{number}")
        assert len(site.get("/simple/big/").content) > 10_000
        data, sent = _request("/simple/big/") * at_once, 0
        with growth(site.served.process.pid) as grown, site.connect() as connection:
            connection.settimeout(1)
            try:
                while sent < MOST:
                    sent += connection.send(data)
            except TimeoutError:
                pass
            assert sent < MOST, "the server reads without end"
            assert grown() < 16 * MEBIBYTE
            assert site.get("/simple/big/").status_code == 200
            connection.settimeout(20)
            assert connection.recv(12) == b"HTTP/1.1 200"  # what it was sent is an answer


@pytest.mark.parametrize("server", SERVERS)
def test_a_client_that_reads_everything(tmp_path: Path, server: str) -> None:
    """Megabytes of requests sent ahead are all answered in their order, an upload among them, and the last one."""
    filename, wheel = wheel_name("sent", "1.0"), make_wheel("sent", "1.0", files={"data": bytes(range(256)) * 8000})
    form = multipart(twine_form(filename, wheel, name="sent", version="1.0"))
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type()}\r\nContent-Length: {len(form)}\r\n\r\n"
    many = 15_000
    pieces = [_request("/health") * many, head.encode() + form, _request("/health") * many]
    with serve(tmp_path, *OPEN, "--server", server) as site, site.connect() as connection:
        sender = threading.Thread(
            target=connection.sendall, args=[b"".join([*pieces, _request("/health", "Connection: close")])]
        )
        sender.start()
        received = bytearray()
        while piece := connection.recv(65536):
            received += piece
        sender.join()
        assert received.count(b"HTTP/1.1 200") == 2 * many + 2
        assert f"{filename} was published.".encode() in received
        assert bytes(received).endswith(b"Ok")
        assert _is_listed(site)


@pytest.mark.parametrize("server", SERVERS)
def test_a_head_that_begins_behind_another_request(tmp_path: Path, server: str) -> None:
    """Later bytes belong to it, also where they read like a request that is answered from memory."""
    page = _request("/simple/sent/")
    with serve(tmp_path, *OPEN, "--server", server, "--workers", 1) as site:
        publish_wheel(site, "sent", "1.0")
        for _ in range(3):
            with site.connect() as connection, site.connect() as other:
                for each in (connection, other):
                    until(partial(_is_from_memory, each, page))
                connection.sendall(page + b"GET /simple/absent/ HTTP/1.1\r\nX-Header: ")
                assert raw_answer(connection).status == 200
                other.sendall(page)  # its answer means that the server has been back at the other connection
                assert raw_answer(other).status == 200
                connection.sendall(page)  # the rest of the head: the value of X-Header, Host, and its end
                assert raw_answer(connection).status == 404


def _is_from_memory(connection: socket.socket, request: bytes) -> bool:
    """Whether the request is answered without the application, which gives each answer an id."""
    connection.sendall(request)
    answer = raw_answer(connection)
    assert answer.status == 200
    return "x-request-id" not in answer.headers


def _is_listed(site: Site) -> bool:
    return "sent" in site.projects()
