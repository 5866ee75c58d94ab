"""A request's headers and a response, as far as fast-path responses need them: the same for every server's protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from quire.access.authenticator import Login
from quire.access.credentials import TokenLogin
from quire.render.negotiation import Encoding, MediaType
from quire.store.open_blob import OpenBlob

IDENTITY: Final = "x-request-id"
SENT: Final = "quire.sent"
"""The key that a server adds to a message of ASGI that names a file: how many bytes of it were sent."""


class Headers(Protocol):
    """The header lines of a request, by lower-case name."""

    def __contains__(self, name: str, /) -> bool: ...

    def get(self, name: str, /) -> str | None:
        """The first of these lines; None when there is none."""
        ...

    def get_all(self, name: str, /) -> Sequence[str]: ...


class Download(NamedTuple):
    """An open file that is the body of a response; the server sends it."""

    blob: OpenBlob
    in_thread: Callable[..., Awaitable[Any]]
    """Runs a blocking function with its arguments, where downloads wait for disks."""
    finish: Callable[[int, str], None]
    """To be called once, with how many bytes were sent, and why no more ("" when these are all, or the client went
    away): closes the file, counts and logs the request."""


@dataclass(slots=True)
class CachedResponse:
    """A response that may be given again and again. Its Content-Length is left to the server, unless it is a file.

    No named tuple, whose fields take several times as long to read.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    label: str
    """For the metrics: see `quire.http.app.routes.Endpoint`."""
    lines: bytes = b""
    """The headers as HTTP/1.1 sends them, each with its end."""
    blob: OpenBlob | None = None
    """The file that is the body in place of `body`, open, for servers that can send one; see `download`."""
    download: Download | None = None
    """The same with what its server needs, once the answer is given."""


class AskedPage(NamedTuple):
    """The page that a request asks for. Not checked yet: whether it is allowed, and whether it is still true."""

    project: str | None
    """None for the list of projects."""
    form: tuple[MediaType, Encoding]
    login: Login | TokenLogin | None
    """The login of its credentials, as far as it is known."""
    of_index: str | None = None
    """The index that the path names; None for the one at the root."""


IdentifiedResponse = tuple[CachedResponse, str]
"""An answer, and the id of its request, which the server sends as one more header (`IDENTITY`); empty for none."""


def as_lines(headers: Sequence[tuple[str, str]]) -> bytes:
    """See `CachedResponse.lines`."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
