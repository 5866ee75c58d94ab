"""Binding the address to listen on, with every failure as one sentence.

Done by ourselves, before any server starts: servers report a port in use as a traceback, from each worker, after
retries, or (with SO_REUSEPORT, where two servers can share a port unnoticed) not at all.
"""

from __future__ import annotations

import errno
import socket

from quire.domain.errors import ConfigurationError
from quire.servers import host_and_port
from quire.servers.limits import bound_unread


def bind(host: str, port: int) -> socket.socket:
    """A bound, not yet listening TCP socket on the first of the host's addresses that can be bound.

    Port 0 takes a free one. Raises ConfigurationError.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"The host {host!r} cannot be resolved ({reason}); see --host.") from error
    problem: OSError | None = None
    # "localhost" is IPv4 for nearly every client's configuration: try that first
    for family, kind, protocol, _, address in sorted(found, key=lambda item: item[0] != socket.AF_INET):
        try:
            return _bound(family, kind, protocol, address)
        except OSError as error:
            problem = problem or error
    assert problem is not None, "getaddrinfo never returns an empty list"
    raise ConfigurationError(_sentence(host, port, problem)) from problem


def bind_each(host: str, port: int, count: int) -> list[socket.socket]:
    """As `bind`, `count` sockets of one address, among which the system shares out connections (SO_REUSEPORT,
    socket(7)): where workers wait at one socket together, the first to wake takes all that have come.
    """
    if count == 1:
        return [bind(host, port)]
    with bind(host, port) as listener:  # with SO_REUSEPORT a port of another quire would be shared, too
        family, kind, protocol, address = listener.family, listener.type, listener.proto, listener.getsockname()
    listeners: list[socket.socket] = []
    try:
        while len(listeners) < count:
            listeners.append(_bound(family, kind, protocol, address, shared=True))
    except OSError as error:
        for listener in listeners:
            listener.close()
        raise ConfigurationError(_sentence(host, port, error)) from error
    return listeners


def _bound(
    family: int, kind: int, protocol: int, address: tuple[object, ...], *, shared: bool = False
) -> socket.socket:
    listener = socket.socket(family, kind, protocol)
    try:
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # restarts must not wait for old connections' TIME_WAIT
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and address[0] != "::":
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound_unread(listener)
        listener.bind(address)
        # with SO_REUSEADDR two sockets may be bound at once while neither listens: only listening settles it
        listener.listen(1)
    except OSError:
        listener.close()
        raise
    return listener


def free_address(host: str, port: int) -> tuple[str, int]:
    """The numeric address and port that `bind` would take, free again: for servers that bind by themselves."""
    with bind(host, port) as listener:
        address = listener.getsockname()
        return str(address[0]), int(address[1])


def _sentence(host: str, port: int, error: OSError) -> str:
    where = host_and_port((host, port))
    if error.errno == errno.EADDRINUSE:
        return f"The address {where} is in use by another program; stop it, or choose another --port."
    if error.errno == errno.EACCES:
        return f"The port {port} may be used by privileged users only; choose a --port from 1024 up."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"This machine has no address {host}; choose another --host."
    if error.errno == errno.EAFNOSUPPORT:
        return f"This machine does not speak the protocol of the address {host}; choose another --host."
    return f"The address {where} cannot be bound ({error.strerror or error})."
