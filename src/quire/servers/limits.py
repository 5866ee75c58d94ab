"""Limits for clients: a deadline for a request's head, one for taking a response, and the number of connections.

Theory of operation. A client that connects and sends nothing, or a byte now and then, costs a connection until the
server closes it. The application bounds the silence within a body (`--body-timeout`); before that, only the server
knows of the connection. So there is a deadline for a whole head (line and headers), from the moment that it could begin
(`quire.servers.uvicorn_protocol`). It counts from the beginning and not from the last byte, or a byte every second
would hold a connection for ever.

Between two requests a connection may be idle for `--keep-alive-seconds`, longer than the proxies and load balancers
before it keep theirs: the end that closes first may do so while the other one is sending a request, and a client cannot
know whether that was carried out.

A client that asks and never reads the response would hold its connection for ever, since the kernel goes on to ask it
for room. TCP_USER_TIMEOUT (tcp(7)) has the kernel end a connection on which nothing was taken for so long. It costs a
worker nothing, as connections inherit it from their listener. A client that takes a byte now and then goes on.

The number of connections is bounded by file descriptors; a worker that has none left can open no file to answer with.
A further client gets a 503, and its connection is closed.
"""

from __future__ import annotations

import contextlib
import resource
import socket
from functools import cache

HEAD_SECONDS = 30
"""How long a client may take for a request's line and headers."""

UNREAD_MILLISECONDS = 120_000
"""How long a client may take nothing of what is sent to it."""

MAX_CONNECTIONS = 4096
"""Open connections of a worker. A head may take 64 KiB of memory each, so this is 256 MiB at the very worst."""

TOO_MANY = (
    b"HTTP/1.1 503 Too many connections are open; try again later\r\n"
    b"retry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
)
"""The answer to a further client."""

MAX_HEAD_BYTES = 64 * 1024
"""A request's line and headers; more is refused before the application sees it."""

DESCRIPTORS = 4
"""The descriptors of a connection on which a file is sent, at most: the socket, the file, and a duplicate of each
(`quire.servers.uvicorn_files`)."""
_OWN_DESCRIPTORS = 256
_WANTED_DESCRIPTORS = MAX_CONNECTIONS * DESCRIPTORS + _OWN_DESCRIPTORS


def bound_unread(listener: socket.socket) -> None:
    """Have the system end connections to this listener whose clients take nothing; where it can, as Linux does."""
    with contextlib.suppress(OSError, AttributeError):  # no TCP, or another system
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MILLISECONDS)


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


def connections_for(descriptors: int) -> int:
    """How many connections a worker with so many file descriptors may hold."""
    return max(64, min(MAX_CONNECTIONS, (descriptors - _OWN_DESCRIPTORS) // DESCRIPTORS))


@cache
def most_connections() -> int:
    """`connections_for` the descriptors that this process was started with."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else connections_for(soft)
