"""How the two machines of `quire doctor` find each other and talk; strangers, other versions, other directories.

Replaced here: the limits of waiting, in seconds, and a machine that answers wrongly or stops, since a test has one
machine.
"""

from __future__ import annotations

import json
import queue
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from quire import __version__
from quire.doctor import pairing
from quire.doctor.channel import Channel, NotUnderstood, PeerGone
from quire.doctor.pairing import PROTOCOL, Node, Pair, Pairing, PeerTimeout, Plan
from quire.doctor.scratch import scratch
from quire.domain.errors import ConfigurationError, StoreError
from quire.store.posix.directory import Directories
from tests.serving import DEADLINE, free_port

LISTENING, CONNECTING, ANOTHER = "1" * 16, "c" * 16, "a" * 16
HOST = "127.0.0.1"


@contextmanager
def a_side(root: Path, identifier: str, rounds: int = 1, say: Callable[[str], object] = print) -> Iterator[Pairing]:
    directories = Directories(str(root), network=False)
    with scratch(str(root), identifier) as folder:
        yield Pairing(folder, Plan(rounds, True), directories, say)


class Waiting:
    """A side that listens, in a thread."""

    def __init__(self, port: int, said: queue.Queue[str], found: Future[Pair]) -> None:
        self.address = (HOST, port)
        self._said = said
        self.found = found

    def hears(self) -> str:
        """The next sentence that its user is told."""
        return self._said.get(timeout=DEADLINE)

    def pairs_with(self, side: Pairing) -> Pair:
        """Connect, and be taken; the other side's end."""
        mine = side.connect(self.address, DEADLINE)
        theirs = self.found.result(DEADLINE)
        with closing(mine.channel), closing(theirs.channel):
            mine.channel.post("here")
            assert theirs.channel.wait(str) == "here"
        return theirs


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Waiting]:
    """A side that listens for a machine that sees `tmp_path`."""
    said: queue.Queue[str] = queue.Queue()
    with ThreadPoolExecutor() as threads, a_side(tmp_path, LISTENING, 7, said.put) as side:
        found = threads.submit(side.listen, (HOST, 0), DEADLINE)
        made = Waiting(int(said.get(timeout=DEADLINE).rpartition(":")[2]), said, found)
        yield made
        if not found.done():  # so that the thread ends
            with a_side(tmp_path, "e" * 16) as last:
                made.pairs_with(last)


# -- pairs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", [True, False])
def test_two_sides_are_paired(tmp_path: Path, waiting: Waiting, store: bool) -> None:
    """Each knows the other, and both have the plan and the folder of the one that listens; with a store and without."""
    if store:
        (tmp_path / "quire" / "incoming").mkdir(parents=True)
    with a_side(tmp_path, CONNECTING, 3) as side:
        mine = side.connect(waiting.address, DEADLINE)
        theirs = waiting.found.result(DEADLINE)
    for pair in (mine, theirs):
        pair.channel.close()
        assert pair.plan == Plan(7, True)
        assert pair.folder == str(tmp_path / f".quire-doctor-{LISTENING}")
        assert pair.other == pair.me
    assert (theirs.side, mine.side) == (0, 1)


def test_the_side_that_connects_may_come_first(tmp_path: Path) -> None:
    """Nothing listens yet; then a proxy ends the connection, as a container's does; then the other side listens."""
    port = free_port()
    with ThreadPoolExecutor() as threads, ExitStack() as stack:
        side = stack.enter_context(a_side(tmp_path, CONNECTING))
        found = threads.submit(side.connect, (HOST, port), DEADLINE)
        with socket.create_server((HOST, port)) as proxy:
            proxy.accept()[0].close()
        other = stack.enter_context(a_side(tmp_path, LISTENING)).listen((HOST, port), DEADLINE)
        other.channel.close()
        found.result(DEADLINE).channel.close()
    assert (other.side, found.result().side) == (0, 1)


def test_every_address_is_listened_on_when_none_is_named(tmp_path: Path) -> None:
    """The sentence then names the machine."""
    said: queue.Queue[str] = queue.Queue()
    with ThreadPoolExecutor() as threads, a_side(tmp_path, LISTENING, say=said.put) as side:
        found = threads.submit(side.listen, ("", 0), DEADLINE)
        sentence = said.get(timeout=DEADLINE)
        with a_side(tmp_path, CONNECTING) as other:
            other.connect((HOST, int(sentence.rpartition(":")[2])), DEADLINE).channel.close()
        found.result(DEADLINE).channel.close()
    assert f"--peer {socket.gethostname()}:" in sentence


def test_two_mounts_of_one_machine_are_two_sides() -> None:
    """The same kernel with another device number is another mount; without a boot identifier nothing is assumed."""
    one = Node("host", "boot", 1)
    assert one.shares_memory_with(Node("container", "boot", 1))
    assert not one.shares_memory_with(Node("host", "boot", 2))
    assert not one.shares_memory_with(Node("host", "other", 1))
    assert not Node("host", "", 1).shares_memory_with(Node("host", "", 1))


# -- what is no other side --------------------------------------------------------------------------------------------


def greeting(**changes: object) -> bytes:
    content = {"quire_doctor": PROTOCOL, "version": __version__, "identifier": ANOTHER} | changes
    return json.dumps({"content": content, "last": False}).encode() + b"\n"


@pytest.mark.parametrize(
    "spoken",
    [
        b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
        b"",
        b"\n",
        b"{}\n",
        b"[" * 100_000 + b"\n",
        b"\xff\xfe\n",
        b'"\xff"\n',
        b'{"content": "hello", "last": false}\n',
        b'{"content": {}, "last": true}\n',
        greeting(identifier="../../../../etc"),
        greeting(identifier=f"{ANOTHER}\n"),
        greeting(version="v" * 65),
        greeting(quire_doctor="3"),
        b"x" * 1_000_000,
    ],
)
def test_an_unknown_program_is_refused_and_learns_nothing(tmp_path: Path, waiting: Waiting, spoken: bytes) -> None:
    """The user hears of it, and the wait goes on."""
    with socket.create_connection(waiting.address, DEADLINE) as stranger:
        told = b""
        with suppress(OSError):  # reset, when it was not even read to its end
            stranger.sendall(spoken)
            stranger.shutdown(socket.SHUT_WR)
            told = stranger.recv(100)
    assert told == b""
    assert waiting.hears().startswith(f"{HOST} was refused: The other side ")
    with a_side(tmp_path, CONNECTING) as side:
        waiting.pairs_with(side)


def test_a_silent_stranger_is_not_waited_for(tmp_path: Path, waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection stays open meanwhile, and the other side connects behind it."""
    monkeypatch.setattr(pairing, "GREETING_SECONDS", 0.2)
    with socket.create_connection(waiting.address, DEADLINE), a_side(tmp_path, CONNECTING) as side:
        waiting.pairs_with(side)
    assert "was refused: Nothing was heard" in waiting.hears()


def test_a_program_that_does_not_see_the_volume_is_refused(
    tmp_path: Path, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It speaks as it must, but has no proof; it learns no more than the version and the name of a folder."""
    monkeypatch.setattr(pairing, "MARKER_SECONDS", 0.1)
    with closing(Channel(socket.create_connection(waiting.address, DEADLINE))) as stranger:
        stranger.post({"quire_doctor": PROTOCOL, "version": __version__, "identifier": ANOTHER})
        assert stranger.wait(dict[str, Any])["identifier"] == LISTENING
        stranger.exchange("0" * 64, str)
        assert stranger.exchange(True, bool) is False
        with pytest.raises(PeerGone):
            stranger.wait(Node)
    assert f"does not see the directory {tmp_path}" in waiting.hears()
    with a_side(tmp_path, CONNECTING) as side:
        waiting.pairs_with(side)


def test_a_proof_that_is_sent_back_proves_nothing(waiting: Waiting) -> None:
    """A program names the scratch folder of the side that listens, which it knows from another greeting, as its own."""
    with closing(Channel(socket.create_connection(waiting.address, DEADLINE))) as stranger:
        stranger.post({"quire_doctor": PROTOCOL, "version": __version__, "identifier": LISTENING})
        stranger.wait(dict[str, Any])
        stranger.post(stranger.wait(str))
        assert stranger.exchange(True, bool) is False
    assert "does not see the directory" in waiting.hears()


def test_another_directory(tmp_path: Path, waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both say so; the side that listens waits for the right one."""
    monkeypatch.setattr(pairing, "MARKER_SECONDS", 0.1)
    (tmp_path / "below").mkdir()
    with (
        a_side(tmp_path / "below", CONNECTING) as other,
        pytest.raises(StoreError, match=f"does not see the directory {tmp_path / 'below'}"),
    ):
        other.connect(waiting.address, DEADLINE)
    assert f"does not see the directory {tmp_path} " in waiting.hears()
    with a_side(tmp_path, CONNECTING) as side:
        waiting.pairs_with(side)


def test_a_marker_that_only_one_side_sees(tmp_path: Path, waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is a pair: what one of them writes, the other one does not find."""
    monkeypatch.setattr(pairing, "MARKER_SECONDS", 0.1)
    with a_side(tmp_path, CONNECTING) as other:
        (tmp_path / f".quire-doctor-{CONNECTING}" / "marker").write_text("0" * 32)
        with pytest.raises(StoreError, match="does not see the directory"):
            other.connect(waiting.address, DEADLINE)
    assert "does not see the directory" in waiting.hears()


def test_another_version_connects(tmp_path: Path, waiting: Waiting) -> None:
    """It is told this one's version, so that its user knows; the wait goes on."""
    with closing(Channel(socket.create_connection(waiting.address, DEADLINE))) as other:
        other.post({"quire_doctor": PROTOCOL + 1, "version": "99.1", "identifier": ANOTHER, "more": 1})
        assert other.wait(dict[str, Any])["quire_doctor"] == PROTOCOL
        with pytest.raises(PeerGone):
            other.wait(str)
    assert f"another version of quire (99.1, here {__version__})" in waiting.hears()
    with a_side(tmp_path, CONNECTING) as side:
        waiting.pairs_with(side)


@pytest.mark.parametrize(
    ("spoken", "said"),
    [
        (greeting(quire_doctor=PROTOCOL - 1, version="0.0.1"), "another version of quire (0.0.1, here"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "is no quire doctor"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is no quire doctor"),
    ],
)
def test_the_wrong_program_listens(tmp_path: Path, spoken: bytes, said: str) -> None:
    """Another version, another port: the side that connects ends with the reason."""
    with (
        ThreadPoolExecutor() as threads,
        socket.create_server((HOST, 0)) as server,
        a_side(tmp_path, CONNECTING) as side,
    ):
        found = threads.submit(side.connect, server.getsockname(), DEADLINE)
        connection, _ = server.accept()
        with connection:
            connection.sendall(spoken)
            with pytest.raises(StoreError) as error:
                found.result(DEADLINE)
    assert said in str(error.value)


def test_a_closed_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port without a listener, one that the system connects to itself, a silent one, a host that cannot be."""
    monkeypatch.setattr(pairing, "GREETING_SECONDS", 0.1)
    with a_side(tmp_path, CONNECTING) as side, socket.create_server((HOST, 0)) as silent:
        with pytest.raises(PeerTimeout, match="Connection refused"):
            side.connect((HOST, free_port()), 0)
        with pytest.raises(PeerTimeout, match="Nothing was heard"):
            side.connect(silent.getsockname(), 0)
        with pytest.raises(PeerTimeout, match="label empty"):
            side.connect(("a..b", 7000), 0)

        def to_itself(address: tuple[str, int], timeout: float) -> socket.socket:
            connection = socket.socket()
            connection.bind(address)
            connection.connect(address)
            return connection

        monkeypatch.setattr(socket, "create_connection", to_itself)
        with pytest.raises(PeerTimeout, match="Connection refused"):
            side.connect((HOST, free_port()), 0)


def test_no_peer_connects(tmp_path: Path) -> None:
    """Nothing is claimed but that."""
    with (
        a_side(tmp_path, LISTENING) as side,
        pytest.raises(PeerTimeout, match=r"^No second machine joined within 0 s\.$"),
    ):
        side.listen((HOST, 0), 0.1)


@pytest.mark.parametrize("host", ["192.0.2.1", "a..b"])
def test_addresses_that_cannot_be_listened_on(tmp_path: Path, host: str) -> None:
    """One sentence that names the address."""
    with (
        a_side(tmp_path, LISTENING) as side,
        pytest.raises(ConfigurationError, match=f"cannot listen on {host}:7000: "),
    ):
        side.listen((host, 7000), 0)


# -- the channel ------------------------------------------------------------------------------------------------------


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    """One end, and the other one's socket."""
    mine, theirs = socket.socketpair()
    with closing(Channel(mine)) as channel, theirs:
        yield channel, theirs


def test_messages_arrive_in_order(ends: tuple[Channel, socket.socket]) -> None:
    """Whether they come together or in pieces."""
    one, theirs = ends
    theirs.sendall(b'{"content": [true], "last": false}\n{"content": 2, "last": false}\n{"content"')
    assert one.wait(list[bool]) == [True]
    assert one.wait(int) == 2
    theirs.sendall(b': "three", "last": false}\n')
    assert one.wait(str) == "three"


def test_what_is_done_while_it_waits(ends: tuple[Channel, socket.socket]) -> None:
    """It is done until the message is there."""
    one, theirs = ends
    done: list[int] = []

    def reread() -> None:
        done.append(1)
        if len(done) == 3:
            theirs.sendall(b'{"content": true, "last": false}\n')

    assert one.wait(bool, reread)
    assert len(done) >= 3


@pytest.mark.parametrize("data", [b'{"content": "yes", "last": false}\n', b'{"content": true}\n', b"x" * 300_000])
def test_what_is_no_message_is_not_understood(ends: tuple[Channel, socket.socket], data: bytes) -> None:
    """Another type, another form, more than a message may have."""
    one, theirs = ends
    with ThreadPoolExecutor() as threads:
        sent = threads.submit(theirs.sendall, data)
        with pytest.raises(NotUnderstood):
            one.wait(bool)
        one.close()
        with suppress(ConnectionError):
            sent.result(DEADLINE)


def test_patience_ends(ends: tuple[Channel, socket.socket]) -> None:
    """Also when something comes all the time, but never the end of a message."""
    one, theirs = ends
    with pytest.raises(PeerGone, match="Nothing was heard of the other side for 0 seconds"):
        one.wait(bool, patience=0)
    with pytest.raises(PeerGone, match="Nothing was heard"):
        one.wait(bool, lambda: theirs.send(b" "), patience=0.1)


def test_the_other_side_ends(ends: tuple[Channel, socket.socket]) -> None:
    """Its earlier messages are received; then every method says that it has gone."""
    one, theirs = ends
    one.check()
    theirs.sendall(b'{"content": true, "last": false}\n')
    theirs.close()
    one.check()
    assert one.wait(bool)
    for ask in (one.check, lambda: one.wait(bool), lambda: one.part("mine", str, 1), lambda: one.post("more")):
        with pytest.raises(PeerGone, match="ended before it was done"):
            ask()


def test_a_report_in_place_of_a_message(ends: tuple[Channel, socket.socket]) -> None:
    """The other side had to break off: the run is over, and its report is not lost."""
    one, theirs = ends
    theirs.sendall(b'{"content": "theirs", "last": true}\n')
    with pytest.raises(PeerGone):
        one.wait(bool)
    assert one.part("mine", str, DEADLINE) == "theirs"
    assert json.loads(theirs.recv(1000)) == {"content": "mine", "last": True}


def test_reports_are_exchanged_past_what_was_still_under_way(waiting: Waiting, tmp_path: Path) -> None:
    """Both at the same time, though they are long."""
    with a_side(tmp_path, CONNECTING) as side:
        mine = side.connect(waiting.address, DEADLINE).channel
        theirs = waiting.found.result(DEADLINE).channel
    with closing(mine), closing(theirs), ThreadPoolExecutor() as threads:
        mine.post([True])
        theirs.post(5)
        one, other = "m" * 200_000, "t" * 200_000
        found = threads.submit(mine.part, one, str, DEADLINE)
        assert theirs.part(other, str, DEADLINE) == one
        assert found.result(DEADLINE) == other


def test_the_report_of_a_side_that_has_ended_counts(ends: tuple[Channel, socket.socket]) -> None:
    """It waited for this side's no longer."""
    one, theirs = ends
    theirs.sendall(b'{"content": "theirs", "last": true}\n')
    theirs.close()
    assert one.part("mine", str, DEADLINE) == "theirs"
