"""The target of a request, in each form that it may have (RFC 9112, 3.2), made the same on every server.

Theory of operation. Nearly every target is a path with a query (origin-form, 3.2.1). A client that takes the index for
a proxy sends a whole address, `GET http://host/path` (absolute-form), which a server must accept (3.2.2). Servers hand
that on in different ways, most of them as a path that begins with `http:`. Here it becomes the path, and its host takes
the place of the Host line, as the same section asks.

- An https address on a connection that is not secure is refused with 421 (RFC 9110, 7.4), unless a trusted proxy sends
  it: that one speaks for the connection to its client.
- `*` stands for the server itself, for OPTIONS alone (3.2.4).
- A host with a port stands for a tunnel (3.2.3), for CONNECT alone, which is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

from starlette.types import Scope

from quire.http.app.problems import HttpError
from quire.http.app.proxies import peer_of
from quire.http.app.routes import mount_of

METHODS = "GET, HEAD, POST, DELETE"
"""Those that some address here takes, for an Allow header."""
_ABSOLUTE = re.compile(r"(https?)://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_HOST = re.compile(r"(?:[A-Za-z0-9\-._~%!$&'()*+,;=]+|\[[0-9A-Fa-f:.%A-Za-z]+\])(?::[0-9]{0,5})?")
"""RFC 3986, 3.2.2 and 3.2.3, without a user's name (RFC 9110, 4.2.4), and never empty (RFC 9110, 4.2.1)."""


def is_asterisk(scope: Scope) -> bool:
    """Whether the request is about the server itself."""
    return scope["method"] == "OPTIONS" and bool(scope["path"] == f"{mount_of(scope)}*")


def make_origin_form(scope: Scope, trusts: Callable[[str], bool]) -> None:
    """Change the scope of a request whose target is a whole address into that of a request for its path.

    `trusts`: whether the peer with this address is a trusted proxy. Raises HttpError 400 for a target in no form that
    is served, 405 for CONNECT, 421 for an https address where the connection is not secure.
    """
    if scope["method"] == "CONNECT":
        raise HttpError(405, "This address does not take this method.", {"Allow": METHODS})
    root = mount_of(scope)
    if root and scope["path"] == root:  # the mount itself, without its slash
        scope["path"] = f"{root}/"
    raw_path = scope.get("raw_path")  # optional in ASGI; without it the path holds the authority as it was sent
    target = (scope["path"] if raw_path is None else raw_path.decode("latin-1")).removeprefix(root)
    if target.startswith("/") or not target:
        return
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        raise HttpError(400, "The target of this request is neither a path nor an http address.")
    scheme, authority, path = found[1].lower(), found[2], found[3] or "/"
    if _HOST.fullmatch(authority) is None:
        raise HttpError(400, "The address in this request has no host name where one belongs.")
    if scheme == "https" and scope["scheme"] != "https":
        if not trusts(peer_of(scope)):
            raise HttpError(421, "This connection is not secure, so no https address can be asked for on it.")
        scope["scheme"] = "https"
    scope["path"] = root + (path if raw_path is None else unquote(path))
    if raw_path is not None:
        scope["raw_path"] = (root + path).encode("latin-1")
    others = [line for line in scope["headers"] if line[0].lower() != b"host"]
    scope["headers"] = [(b"host", authority.encode("latin-1")), *others]
