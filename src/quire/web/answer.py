"""A request's headers and a response, as far as quick answers need them: the same for every server's protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from quire.metrics.catalog import Route

IDENTITY: Final = "x-request-id"


class Headers(Protocol):
    """The header lines of a request, by lower-case name."""

    def __contains__(self, name: str, /) -> bool: ...

    def get(self, name: str, /) -> str | None:
        """The first of these lines; None when there is none."""
        ...

    def get_all(self, name: str, /) -> Sequence[str]: ...


class Answer(NamedTuple):
    """A response. Its Content-Length is left to the server, unless it is a file."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    route: Route
    """For the metrics."""
    path: str | None = None
    """The file that is the body, in place of `body`; for servers that can send one."""
    size: int = 0
    """Bytes of that file."""
    lines: bytes = b""
    """The headers as HTTP/1.1 sends them, each with its end."""
    identity: str = ""
    """The id of the request, which the server has to send as one more header (`IDENTITY`); empty for none."""


def as_lines(headers: Sequence[tuple[str, str]]) -> bytes:
    """See `Answer.lines`."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
