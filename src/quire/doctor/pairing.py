"""The pairing of the two machines of a two-node test: one listens on a TCP port, the other one connects to it.

Theory of operation
-------------------
Anything can connect to a port, and anything can listen on one. So neither side sends or accepts more than a greeting
before both have proved that they see the same directory. Each has written a marker, a file with a random token, in its
scratch folder. The greetings name the version and the scratch folder; each side then reads the other one's marker and
proves that it knows the token. The proof depends on the side, so a program cannot return a side's own proof: without
access to the volume it has none.

The listening side refuses all others and goes on waiting. The connecting side tries again until it gets an answer, and
ends after a wrong one.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import platform
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from quire import __version__
from quire.doctor.channel import Channel, NotUnderstood, PeerGone
from quire.doctor.scratch import identifier_of, places
from quire.domain.errors import ConfigurationError, StoreError
from quire.store.posix.directory import Directories
from quire.store.posix.files import create_durable

Address = tuple[str, int]
"""Host and port. No host: every address of this machine; port 0: a free one."""

PROTOCOL = 3
"""Of the test and its messages. Machines with different ones are not paired."""
_MARKER = "marker"
_TOKEN_BYTES = 16
GREETING_SECONDS = 5.0
"""Limit for a connection attempt, and for the silence of a connected program."""
MARKER_SECONDS = 10.0
"""Limit for reading the other side's marker, which a good volume shows at once."""
_PAUSE = 0.2


class PeerTimeout(StoreError):
    """No second machine was found in time."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """The first message, before the proofs. All versions can read the first two fields."""

    quire_doctor: int
    """The protocol."""
    version: Annotated[str, Meta(max_length=64)]
    identifier: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
    """Of the side's scratch folder."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine, as seen from the volume."""

    name: str
    """The machine's host name."""
    boot: str
    """An id of the running kernel; empty where it is not known."""
    device: int
    """The file system's number in that kernel: another mount of the same volume has another one."""

    def shares_memory_with(self, other: Node) -> bool:
        """Whether both see the volume through one and the same mount, so that neither can be behind the other."""
        return self.boot != "" and (self.boot, self.device) == (other.boot, other.device)


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of the test that both sides run; the listening side's plan counts."""

    rounds: int
    quick: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sides that found each other."""

    side: int
    """0 for the one that listened, 1 for the one that connected."""
    me: Node
    other: Node
    plan: Plan
    folder: str
    """The scratch folder of side 0, where the test runs."""
    channel: Channel


class Pairing:
    """Pairs this side with the other one."""

    def __init__(self, folder: str, plan: Plan, directories: Directories, say: Callable[[str], object]) -> None:
        """`folder`: this side's scratch folder, below the root of `directories`. `say`: called
        with a sentence when this side waits.

        Raises OSError.
        """
        self._root = directories.root
        self._folder = folder
        self._plan = plan
        self._directories = directories
        self._say = say
        self._me = _describe(self._root)
        self._greeting = Greeting(PROTOCOL, __version__, identifier_of(folder))
        self._token = secrets.token_hex(_TOKEN_BYTES)
        create_durable(f"{folder}/{_MARKER}", self._token.encode())

    def listen(self, address: Address, wait: float) -> Pair:
        """Wait up to `wait` seconds for a machine that connects to this address and sees the same directory.

        Raises ConfigurationError when the address cannot be listened on, PeerTimeout.
        """
        refused = ""
        with _listening(address) as listener:
            own = shown((address[0] or platform.node(), listener.getsockname()[1]))
            self._say(f"waiting for the second machine; run there within {wait:.0f} s: quire doctor DIR --peer {own}")
            until = time.monotonic() + wait
            while (left := until - time.monotonic()) > 0:
                listener.settimeout(left)
                try:
                    connection, where = listener.accept()
                except TimeoutError:
                    break
                try:
                    return self._agree(connection, 0, GREETING_SECONDS)
                except StoreError as error:
                    sentence = f"{where[0].removeprefix('::ffff:')} was refused: {error}"
                    if sentence != refused:  # once is enough
                        refused = sentence
                        self._say(sentence)
        raise PeerTimeout(f"No second machine joined within {wait:.0f} s.{' ' if refused else ''}{refused}")

    def connect(self, address: Address, wait: float) -> Pair:
        """Connect to the machine that listens there, or will within `wait` seconds.

        Raises PeerTimeout; StoreError when the program that listens there cannot be paired with.
        """
        where = shown(address)
        self._say(
            f"connecting to {where}; run on that machine within {wait:.0f} s: quire doctor DIR --listen {address[1]}"
        )
        until = time.monotonic() + wait
        while True:
            try:
                connection = _connected(address)
                return self._agree(connection, 1, max(until - time.monotonic(), GREETING_SECONDS))
            except NotUnderstood as error:
                raise StoreError(
                    f"The program that answers on {where} is no quire doctor; name the port that one listens on."
                ) from error
            except (OSError, UnicodeError, PeerGone) as error:
                if time.monotonic() > until:
                    reason = _reason(error)
                    raise PeerTimeout(f"No doctor answered on {where} within {wait:.0f} s: {reason}.") from error
            time.sleep(_PAUSE)

    def _agree(self, connection: socket.socket, side: int, patience: float) -> Pair:
        """Make certain of the other end. Raises StoreError when it is not the other side, and closes the connection."""
        channel = Channel(connection)
        try:
            if side == 1:
                channel.post(self._greeting)
            theirs = channel.wait(Greeting, patience=patience)
            if side == 0:  # nothing is sent to an unknown program
                channel.post(self._greeting)
            if theirs.quire_doctor != PROTOCOL:
                raise StoreError(
                    f"The other machine runs another version of quire ({theirs.version}, here {__version__}). Use the "
                    f"same one on both."
                )
            folder, token = self._find_folder(theirs.identifier)
            proof = channel.exchange(_proof(token, side), str, 2 * MARKER_SECONDS)
            sees_mine = hmac.compare_digest(proof.encode(), _proof(self._token, 1 - side).encode())
            if not (channel.exchange(sees_mine, bool) and sees_mine):
                raise StoreError(
                    f"The other machine does not see the directory {self._root} of this one: what one of them writes, "
                    f"the other one does not find. Name the same directory of the same volume on both."
                )
            other = channel.exchange(self._me, Node)
            plan = channel.exchange(self._plan, Plan)
        except BaseException:
            channel.close()
            raise
        plan, folder = (self._plan, self._folder) if side == 0 else (plan, folder)
        return Pair(side, self._me, other, plan, folder, channel)

    def _find_folder(self, identifier: str) -> tuple[str, str]:
        """The other side's scratch folder, and the token of the marker in it; empty when it is not found."""
        until = time.monotonic() + MARKER_SECONDS
        while True:
            for folder in places(self._root, identifier):
                with contextlib.suppress(OSError):
                    fd = self._directories.open_file(folder, _MARKER)
                    if fd is not None:
                        with open(fd, "rb", buffering=0) as file:
                            token = file.read(2 * _TOKEN_BYTES + 1).decode("ascii", "replace")
                        if len(token) == 2 * _TOKEN_BYTES:
                            return folder, token
            if time.monotonic() > until:
                return "", ""
            time.sleep(_PAUSE)


def _proof(token: str, side: int) -> str:
    """The proof that this side has read the other one's token."""
    return hmac.new(token.encode(), bytes([side]), "sha256").hexdigest()


def _describe(root: str) -> Node:
    """This machine. Raises OSError."""
    boot = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return Node(platform.node(), boot, os.stat(root).st_dev)


def shown(address: Address) -> str:
    """HOST:PORT, as the command line takes it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listening(address: Address) -> socket.socket:
    host, port = address
    try:
        if not host:
            both = socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if both else socket.AF_INET
            return socket.create_server(("", port), family=family, dualstack_ipv6=both)
        family, *_, found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(found, family=family)
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(
            f"The doctor cannot listen on {shown(address)}: {_reason(error)}. Name an address of this machine and a "
            f"free port."
        ) from error


def _connected(address: Address) -> socket.socket:
    """Raises OSError, UnicodeError."""
    connection = socket.create_connection(address, timeout=GREETING_SECONDS)
    if connection.getsockname() == connection.getpeername():
        # no program listens: a port of this machine that outgoing connections are given can be connected to itself
        connection.close()
        raise ConnectionRefusedError("Connection refused")
    return connection


def _reason(error: Exception) -> str:
    """In a few words, without the full stop."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.partition(" (while")[0].rstrip(".")  # create_server repeats the address
