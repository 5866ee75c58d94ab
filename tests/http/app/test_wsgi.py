"""The WSGI entry point: what an adapter from ASGI does not see to by itself."""

from __future__ import annotations

import io
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from quire.http.app.wsgi import WSGIApplication


async def _application(scope: Scope, receive: Receive, send: Send) -> None:
    """Tells the length of the body; at /half it gives up in the middle of its answer."""
    assert scope["type"] == "http"
    try:
        body = str(len(await Request(scope, receive).body())).encode()
    except ClientDisconnect:
        body = b"gone"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
    await send({"type": "http.response.body", "body": body, "more_body": scope["path"] == "/half"})


def _environ(path: str = "/", body: bytes = b"", **others: str) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "SERVER_NAME": "x",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **others,
    }


def _ask(environ: dict[str, Any]) -> tuple[str, bytes]:
    statuses: list[str] = []
    chunks = WSGIApplication(_application)(environ, lambda status, *_: statuses.append(status))
    body = b"".join(chunks)
    return statuses[0], body


def test_a_body() -> None:
    """It arrives whole."""
    assert _ask(_environ(body=b"12345")) == ("200 OK", b"5")


def test_a_body_that_ends_too_early() -> None:
    """The client went away; the application is told so, at once."""
    assert _ask(_environ(body=b"12345", CONTENT_LENGTH="9")) == ("200 OK", b"gone")


def test_an_answer_that_is_given_up() -> None:
    """An exception, so that the server closes the connection instead of waiting for the rest."""
    with pytest.raises(ConnectionAbortedError):
        _ask(_environ("/half"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"QUERY_STRING": "\xff"},
        {"CONTENT_LENGTH": "x"},
        {"CONTENT_LENGTH": "-1"},
    ],
)
def test_what_the_adapter_cannot_read(wrong: dict[str, str]) -> None:
    """400 and a sentence."""
    status, body = _ask(_environ(**wrong))  # type: ignore[arg-type]  # the first parameter is not among them
    assert (status, len(body.splitlines())) == ("400 Bad Request", 1)


@pytest.mark.parametrize("name", ["PATH_INFO", "SCRIPT_NAME"])
def test_a_path_that_is_not_utf_8(name: str) -> None:
    """It reaches the application, as by ASGI servers."""
    assert _ask(_environ(**{name: "/\xff"}, body=b"12345")) == ("200 OK", b"5")


def test_no_content_for_head() -> None:
    """The head of the answer alone (RFC 9110, 9.3.2)."""
    assert _ask(_environ(REQUEST_METHOD="HEAD")) == ("200 OK", b"")
