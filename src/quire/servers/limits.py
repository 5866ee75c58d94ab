"""What one client may take from all others: bounds on heads that do not end and on connections.

Theory of operation. Whoever connects and says nothing, or a byte now and then, costs a connection until somebody hangs
up. The application bounds the silence within a body (`--body-timeout`); before that, only the server knows of the
connection. So each server gets the same deadline for a whole head (line and headers), from the moment that it could
begin: the protocols of gunicorn and uvicorn are extended for it. It counts from the beginning and not from the last
byte, or a byte every second would hold a connection for ever.

Between two requests a connection may be idle for `--keep-alive-seconds`, longer than the proxies and load balancers
before it keep theirs: whoever closes first does so while the other one may be sending a request, and a client cannot
know whether that was carried out. gunicorn has one deadline for this silence and the head after it, from the second
request on.

The number of connections is bounded by file descriptors; a worker that has none left can open no file to answer with.
uvicorn's protocol and gunicorn's, as they are extended here, tell a further client so and close its connection.
"""

from __future__ import annotations

import resource
from functools import cache

HEAD_SECONDS = 30
"""How long a client may take for a request's line and headers."""

MAX_CONNECTIONS = 4096
"""Open connections of a worker. A head may take 64 KiB of memory each, so this is 256 MiB at the very worst."""

TOO_MANY = (
    b"HTTP/1.1 503 Too many connections are open; try again later\r\n"
    b"retry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
)
"""What a further client is told."""

DESCRIPTORS = 2
"""What a connection may take on which a file is sent: the socket and the file."""
UVICORN_DESCRIPTORS = 4
"""The same in uvicorn: also a duplicate of each (`quire.servers.uvicorn_files`)."""
_OWN_DESCRIPTORS = 256
_WANTED_DESCRIPTORS = MAX_CONNECTIONS * UVICORN_DESCRIPTORS + _OWN_DESCRIPTORS


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files as far as the hard limit and our needs go; returns it. Children inherit it.

    The usual soft limit of 1,024 is there for programs that use select(2), which none of the servers does.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_WANTED_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return _WANTED_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def connections_for(descriptors: int, each: int) -> int:
    """How many connections a worker with so many file descriptors may hold, when one may take `each` of them."""
    return max(64, min(MAX_CONNECTIONS, (descriptors - _OWN_DESCRIPTORS) // each))


@cache
def most_connections(each: int) -> int:
    """`connections_for` what this process was started with."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else connections_for(soft, each)
