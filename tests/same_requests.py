"""One table of requests that every server must answer in the same way, and the servers to ask.

A row is a whole request in bytes and what its answer must be. `ServerSet` serves one store with each server at once,
so that whatever differs between two answers is the server's doing. Import `ROWS` and `SERVERS` for tests of one's own.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from tests.asking import Site, basic, password_file, post, publish, serve, twine_form
from tests.distributions import make_wheel, wheel_name
from tests.serving import run_quire

SERVERS: Mapping[str, tuple[str, ...]] = {
    "uvicorn": ("--server", "uvicorn"),
    "uvicorn, general application alone": ("--server", "uvicorn", "--no-fast-path"),
    "gunicorn": ("--server", "gunicorn"),
    "wsgiref": ("--server", "wsgiref"),
}
"""The flags of each."""
COMPARED = (
    *("allow", "accept-ranges", "cache-control", "content-encoding", "content-length", "content-range"),
    *("content-type", "etag", "last-modified", "location", "retry-after", "vary", "www-authenticate"),
)
"""The headers in which no two servers may differ."""
PROJECT = "big"
NAMED = "team"
"""An index beside the one at the root, with the same project."""
USER = ("ann", "secret")
_FILENAME = wheel_name(PROJECT, "1.0")
_CONTENT = make_wheel(PROJECT, "1.0", files={"data": random.Random(5).randbytes(1_000_000)})
"""More than is read at once, and than a socket takes."""
FALLBACK = "http://fallback.invalid/simple/"


@dataclass(frozen=True)
class Row:
    """A request, and the answer to it."""

    name: str
    request: bytes
    status: int
    body: str | None = None
    """Something that the body must have in it."""
    headers: Mapping[str, str | None] = field(default_factory=dict)
    """By lower-case name; None for one that must not be there."""
    is_ours: bool = True
    """Whether the application answers. A request that a server's parser refuses has the same status, but the server's
    words."""


@dataclass(frozen=True)
class Received:
    """An answer, whole, as it came over the connection."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def compared(self) -> tuple[object, ...]:
        """All in which it may not differ from another server's answer; the time, which one says, is left out."""
        body = re.sub(rb"(?<=it is )\S+Z(?= here)", b"", self.body)
        return self.status, {name: self.headers[name] for name in COMPARED if name in self.headers}, body


def request(line: str, *headers: str, host: str | None = "index.test", body: bytes = b"") -> bytes:
    """A request of HTTP/1.1 that ends its connection. `line`: method and target; None for `host` leaves it out."""
    lines = [f"{line} HTTP/1.1", *([] if host is None else [f"Host: {host}"]), *headers, "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def login(user: str = USER[0], password: str = USER[1]) -> str:
    """The header line of a login."""
    return f"Authorization: {basic(user, password)}"


def ask(site: Site, data: bytes) -> Received:
    """Send these bytes on a connection of their own, and read until the server closes it."""
    received = bytearray()
    with site.connect() as connection:
        connection.sendall(data)
        while piece := connection.recv(65536):
            received += piece
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Received(int(first.split(" ", 2)[1]), {name.lower(): value.strip() for name, _, value in pairs}, body)


@contextmanager
def serving_with_each(folder: Path) -> Iterator[dict[str, Site]]:
    """Each server over one store with a project of one wheel. Changes need a login, unknown projects fall back."""
    flags = ("-a", "update", "-P", password_file(folder, **dict([USER])), "--fallback-url", FALLBACK)
    with ExitStack() as stack:
        sites = {name: stack.enter_context(serve(folder, *flags, *own)) for name, own in SERVERS.items()}
        first = next(iter(sites.values()))
        first.client.auth = USER
        assert publish(first, _FILENAME, _CONTENT, name=PROJECT, version="1.0").status_code == 200
        assert run_quire("index", "create", NAMED, "-d", first.root, cwd=folder).returncode == 0
        form = twine_form(_FILENAME, _CONTENT, name=PROJECT, version="1.0")
        assert post(first, form, path=f"/{NAMED}/").status_code == 200
        yield sites


_PAGE = f"/simple/{PROJECT}/"
_FILE = f"/packages/{PROJECT}/{hashlib.sha256(_CONTENT).hexdigest()}/{_FILENAME}"
_JSON = "Accept: application/vnd.pypi.simple.v1+json"
_NOTHING = "There is nothing at this address."
_EVERY_METHOD = {"allow": "GET, HEAD, POST, DELETE"}
_NO_TARGET = "The target of this request is neither a path nor an http address."
_NO_HOST = "The address in this request has no host name where one belongs."


def _both(target: str, status: int, headers: Mapping[str, str | None] | None = None) -> Iterator[Row]:
    for method in ("GET", "HEAD"):
        yield Row(f"{method} {target}", request(f"{method} {target}"), status, headers=headers or {})


ROWS: tuple[Row, ...] = (
    # what there is
    *_both("/", 200, {"content-type": "text/html; charset=utf-8"}),
    *_both("/health", 200),
    *_both("/ready", 200),
    *_both("/simple/", 200, {"content-type": "text/html; charset=utf-8"}),
    *_both(_PAGE, 200, {"vary": "Accept, Accept-Encoding", "cache-control": "no-cache"}),
    *_both(f"/@2020-01-01{_PAGE}", 200, {"vary": "Accept, Accept-Encoding", "cache-control": "no-cache"}),
    Row("moment with escaped colons", request(f"GET /@2020-01-01T10%3A00%3A00%2B01%3A00{_PAGE}"), 200),
    Row("moment of the future", request("GET /@2999-01-01/simple/"), 400, "name a moment of the past"),
    Row("moment before an index", request("GET /@2020-01-01/team/simple/"), 404, "/team/@2020-01-01/simple/"),
    Row("POST to a moment", request("POST /@2020-01-01/", "Content-Length: 0"), 405, "takes no uploads"),
    *_both("/packages/", 200),
    *_both(f"/project/{PROJECT}/", 200, {"content-type": "text/html; charset=utf-8"}),
    *_both(f"/project/{PROJECT}/1.0/", 200, {"cache-control": "private, no-cache"}),
    *_both(f"/project/{PROJECT}/diff/", 200, {"content-type": "text/html; charset=utf-8"}),
    *_both(f"/pypi/{PROJECT}/json", 200, {"content-type": "application/json"}),
    *_both("/openapi.json", 200),
    *_both("/-/api/v1/indexes/-/projects", 200, {"content-type": "application/json", "cache-control": "no-store"}),
    Row("JSON API", request(f"GET /-/api/v1/indexes/main/projects/{PROJECT}"), 200, '"files"'),
    Row("JSON API, error", request("GET /-/api/v1/indexes/other/projects"), 404, "There is no index 'other'."),
    Row("JSON API, login", request("POST /-/api/v1/tokens"), 401, "needs a login"),
    Row("JSON", request(f"GET {_PAGE}", _JSON), 200, '"files"'),
    Row("gzip", request(f"GET {_PAGE}", _JSON, "Accept-Encoding: gzip"), 200),
    Row("zstd", request("GET /simple/", _JSON, "Accept-Encoding: zstd, gzip"), 200),
    Row("not acceptable", request(f"GET {_PAGE}", "Accept: image/png"), 406, "accept one of"),
    Row("query", request(f"GET {_PAGE}?format=application/vnd.pypi.simple.v1%2Bjson"), 200, '"files"'),
    Row("query with a question mark", request(f"GET {_PAGE}?a=b?c"), 200),
    Row("query that is not UTF-8", request(f"GET {_PAGE}?%ff"), 200),
    *_both(_FILE, 200, {"content-length": str(len(_CONTENT)), "content-type": "application/zip"}),
    *_both(f"{_FILE}.metadata", 200),
    Row("part of a file", request(f"GET {_FILE}", "Range: bytes=300000-899999"), 206),
    Row("no part of a file", request(f"GET {_FILE}", "Range: bytes=9999999-"), 416),
    Row("file that the client has", request(f"GET {_FILE}", "If-None-Match: *"), 304),
    # where else it is
    *_both("/simple", 301, {"location": "simple/"}),
    *_both("/simple/Big/", 301, {"location": "../big/"}),
    *_both(f"/{PROJECT}", 303, {"location": f"simple/{PROJECT}/"}),
    *_both("/simple/unknown/", 303, {"location": f"{FALLBACK}unknown/"}),
    *_both("/simple/unknown/?format=text/html&c", 303, {"location": f"{FALLBACK}unknown/?format=text/html&c"}),
    Row("HTTP/1.0 has no 303", f"GET /{PROJECT} HTTP/1.0\r\n\r\n".encode(), 302),
    # what there is not
    *_both("/nowhere/at/all", 404),
    *_both("/packages/x.whl", 404),
    Row("semicolon", request(f"GET {_PAGE};a=b"), 404, _NOTHING),
    Row("dot segment", request(f"GET /simple/./{PROJECT}/"), 404, _NOTHING),
    Row("dot segments", request(f"GET /simple/../simple/{PROJECT}/"), 404, _NOTHING),
    Row("escaped dot segments", request("GET /packages/%2e%2e/x"), 404),
    Row("fragment", request(f"GET {_PAGE}#top"), 404, _NOTHING),
    *(
        Row(method, request(f"{method} /simple/"), 405, "method")
        for method in ("PUT", "DELETE", "PATCH", "TRACE", "QUERY")
    ),
    # nearly an address
    *_both(f"//simple/{PROJECT}/", 301, {"location": f"/simple/{PROJECT}/"}),
    *_both(f"//{PROJECT}", 301, {"location": f"/{PROJECT}"}),
    *_both("//", 301, {"location": "/"}),
    *_both(f"///simple//{PROJECT}//?a=//b", 301, {"location": f"/simple/{PROJECT}/?a=//b"}),
    *_both("//evil.example/%2e%2e//x%0d%0ay", 301, {"location": "/evil.example/../x%0D%0Ay"}),
    *_both(f"/{PROJECT}/1.0/", 303, {"location": f"../../simple/{PROJECT}/"}),
    *_both("/project/Big/1.0/?a=b", 301, {"location": f"../../{PROJECT}/1.0/?a=b"}),
    *_both("/nowhere/else", 404),
    Row(
        "POST nowhere", request("POST /nowhere/else", "Content-Length: 0"), 404, "publish to http://index.test/, or to"
    ),
    Row("POST to a page", request(f"POST {_PAGE}", "Content-Length: 0"), 405, "publish to http://index.test/."),
    # preconditions
    Row("If-Match", request(f"GET {_PAGE}", "If-Match: *"), 200),
    Row("If-Match that fails", request(f"GET {_PAGE}", 'If-Match: "x"', "If-None-Match: *"), 412, "If-Match"),
    Row("HEAD, If-Match that fails", request(f"HEAD {_PAGE}", 'If-Match: "x"'), 412),
    Row("If-Match of what is elsewhere", request("GET /simple", 'If-Match: "x"'), 301),
    Row("If-None-Match", request(f"GET {_PAGE}", "If-None-Match: *"), 304, headers={"content-type": None}),
    Row("date for a page", request(f"GET {_PAGE}", "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT"), 200),
    # escapes in paths
    Row("escaped slashes", request(f"GET /simple%2F{PROJECT}%2F"), 200),
    *_both("/%ff", 303),
    *_both("/simple/%ff/", 404),
    *_both("/simple/%EF%BF%BD/", 404),
    *_both("/simple/%00/", 404),
    *_both("/simple/%", 404),
    *_both("/simple/%zz/", 404),
    Row("byte beyond ASCII", request("GET /\xff"), 400, is_ours=False),
    Row("byte beyond ASCII in the query", request("GET /simple/?\xff"), 400, is_ours=False),
    Row("blank in the target", request("GET /a b"), 400, is_ours=False),
    Row("control character in the target", request("GET /\x01"), 400, is_ours=False),
    # whole addresses as targets (RFC 9112, 3.2.2)
    *_both(f"http://index.test{_PAGE}", 200),
    *_both("http://index.test/health", 200),
    *_both("http://index.test/simple", 301, {"location": "simple/"}),
    Row("address, HTTP/1.0", f"GET http://index.test{_PAGE} HTTP/1.0\r\n\r\n".encode(), 200),
    Row("address without a path", request("GET http://index.test"), 200),
    Row("address without a path, with a query", request("GET http://index.test?a=b"), 200),
    Row("address with a query", request(f"GET http://index.test{_PAGE}?format=text/html"), 200),
    Row("scheme in capitals", request(f"GET HTTP://index.test{_PAGE}"), 200),
    Row("host in place of Host", request("GET http://other.test:81/"), 200, "http://other.test:81/simple/"),
    Row("host in place of Host, JSON", request(f"GET http://other.test/pypi/{PROJECT}/json"), 200, "other.test/pack"),
    Row("address, Host left out", request(f"GET http://index.test{_PAGE}", host=None), 400, is_ours=False),
    Row("address with a user", request(f"GET http://u:p@index.test{_PAGE}"), 400, _NO_HOST),
    Row("address with a port that is none", request(f"GET http://index.test:x{_PAGE}"), 400, _NO_HOST),
    Row("address without a host", request(f"GET http://{_PAGE}"), 400, is_ours=False),
    Row("address with a host that is none", request("GET http://<x>/"), 400, is_ours=False),
    Row("https address", request(f"GET https://index.test{_PAGE}"), 421, "not secure"),
    Row("ftp address", request(f"GET ftp://index.test{_PAGE}"), 400, _NO_TARGET),
    Row("no path and no address", request("GET simple/"), 400, is_ours=False),
    Row("asterisk", request("OPTIONS *"), 204, headers=_EVERY_METHOD),
    Row("asterisk for another method", request("GET *"), 400, is_ours=False),
    Row("tunnel", request("CONNECT index.test:80", host="index.test:80"), 405, headers=_EVERY_METHOD),
    # Host
    Row("no Host", request(f"GET {_PAGE}", host=None), 400, is_ours=False),
    Row("no Host, HTTP/1.0", f"GET {_PAGE} HTTP/1.0\r\n\r\n".encode(), 200),
    Row("two Hosts", request(f"GET {_PAGE}", "Host: index.test"), 400, is_ours=False),
    Row("Host that is none", request(f"GET {_PAGE}", host="a/b"), 400, "The Host of this request"),
    # lengths
    Row("two lengths", request("POST /", "Content-Length: 1", "Content-Length: 2"), 400, is_ours=False),
    Row("length that is none", request("POST /", "Content-Length: x"), 400, is_ours=False),
    # logins
    Row("no login", request("POST /", "Content-Length: 0"), 401, "needs a login"),
    Row("wrong login", request("POST /", "Content-Length: 0", login("ann", "wrong")), 401, "is wrong"),
    Row("login", request("POST /", "Content-Length: 0", login()), 400, "An upload is a form"),
)


def _named(row: Row) -> Iterator[Row]:
    """The same request to the named index, where it is to an address that each index has."""
    method, target, rest = row.request.decode("latin-1").split(" ", 2)
    if target.startswith(("/simple", "/packages/", "/pypi/", "/@")) and not target.startswith("/simple/unknown"):
        data = f"{method} /{NAMED}{target} {rest}".encode("latin-1")
        body = row.body and row.body.replace("publish to http://index.test/.", f"http://index.test/{NAMED}/ if")
        yield replace(row, name=f"{row.name} of {NAMED}", request=data, body=body)


NAMED_ROWS: Final = (
    *(named for row in ROWS for named in _named(row)),
    *_both(f"/{NAMED}/", 303, {"location": "simple/"}),
    *_both(f"/{NAMED}/{PROJECT}", 404),
    *_both(f"/{NAMED}/simple/unknown/", 404),  # only the index at the root falls back
)
