"""What every measure works with: the selection, the results, and the way of taking shots."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import bcrypt

from benchmarks.corpora import Corpus
from benchmarks.load import SLOW_SECONDS, VERY_SLOW_SECONDS, Load, ask_quickly
from benchmarks.peers import Login, Peer, Server, served
from benchmarks.peers.server import WORKERS
from benchmarks.processes import Unavailable
from benchmarks.results import BASE, Figure, Missing, Results, order_of

BCRYPT_COST = 10
"""Rounds of the passwords, as a power of two: what takes a processor about 70 ms."""
SUFFIX = "+bcrypt"
WARM_SECONDS = 1.0


@dataclass
class Suite:
    """One run."""

    results: Results
    corpora: list[Corpus]
    peers: list[Peer]
    """Those that quire is compared with, and quire."""
    seconds: float
    """Of each shot."""
    work: Path
    """A directory for whatever does not outlive the run, on the disk that the corpora are on."""
    _began: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """A line of progress."""
        passed = int(time.monotonic() - self._began)
        print(f"[{passed // 60:02d}:{passed % 60:02d}] {text}", flush=True)

    def others(self, *wanted: str) -> list[Peer]:
        """The selected peers but quire that offer all this."""
        return [peer for peer in self.peers if peer.name != BASE and peer.offers.issuperset(wanted)]

    def peer(self, name: str) -> Peer | None:
        """A peer, if it is selected."""
        return next((peer for peer in self.peers if peer.name == name), None)

    # -- noting -------------------------------------------------------------------------------------------------------

    def figure(self, measure: str, corpus: str, server: str, value: float, unit: str, note: str = "") -> None:
        self.say(f"  {measure}, {corpus}, {server}: {value:,.4g} {unit}{f' ({note})' if note else ''}")
        self.results.figures.append(
            Figure(measure=measure, corpus=corpus, server=server, value=value, unit=unit, note=note)
        )

    def missing(self, measure: str, corpus: str, server: str, reason: object) -> None:
        self.say(f"  {measure}, {corpus}, {server}: NOT MEASURED: {reason}")
        self.results.missing.append(Missing(measure=measure, corpus=corpus, server=server, reason=str(reason)))

    @contextmanager
    def noting(self, measure: str, corpus: str, server: str) -> Iterator[None]:
        """What goes wrong in here with a server is noted as the reason for a missing figure."""
        try:
            yield
        except (Unavailable, OSError, RuntimeError) as error:
            self.missing(measure, corpus, server, error)

    # -- shooting -----------------------------------------------------------------------------------------------------

    def interleave(
        self, measure: str, corpus: str, servers: Mapping[str, Server], shoot: Callable[[Server], Load]
    ) -> None:
        """Shots at all servers by label; see `take`."""
        self.take(measure, corpus, {label: partial(_shot, shoot, server) for label, server in servers.items()})

    def take(self, measure: str, corpus: str, shots: Mapping[str, Callable[[int], Load]]) -> None:
        """Take the shots by label, quire's around each other one. They get their place in the order.

        One that raises Unavailable is noted as missing and not taken again.
        """
        lost: set[str] = set()
        for order, label in enumerate(order_of(BASE, [label for label in shots if label != BASE])):
            if label in lost or label not in shots:
                continue
            try:
                load = shots[label](order)
            except (Unavailable, OSError, RuntimeError) as error:
                lost.add(label)
                self.missing(measure, corpus, label, error)
                continue
            self.results.add(measure, corpus, label, order, load)
            errors = f", {load.errors} ERRORS" if load.errors else ""
            self.say(f"  {measure}, {corpus}, {label}: {load.rate:,.1f}/s, p99 {load.p99:,.1f} ms{errors}")

    @contextmanager
    def running(self, corpus: Corpus, peers: list[Peer], login: Login | None = None) -> Iterator[dict[str, Server]]:
        """All these at once, by label, each with the pages in memory that it keeps there; those that do not start are
        noted."""
        with ExitStack() as stack:
            servers = {}
            for peer in peers:
                label = f"{peer.name}{SUFFIX if login is not None else ''}"
                with self.noting("*", corpus.name, label):
                    servers[label] = stack.enter_context(served(peer, corpus, login=login))
                    _warm(servers[label], corpus)
            yield servers

    def login(self) -> Login:
        """A user whose password is hashed as a deployment has it."""
        file = self.work / "htpasswd"
        user, password = "bench", "correct horse battery staple"
        if not file.exists():
            file.write_text(f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(BCRYPT_COST)).decode()}\n")
        return Login(user, password, file)


def _shot(shoot: Callable[[Server], Load], server: Server, order: int) -> Load:
    del order
    return shoot(server)


def _warm(server: Server, corpus: Corpus) -> None:
    """A second of load before anything counts, so that all workers are up and have seen the password."""
    paths = [server.path(corpus.project(number)) for number in corpus.asked]
    for _ in range(2 * WORKERS):  # each on a connection of its own, so that other workers are asked too
        began = time.monotonic()
        server.ask(paths[0])
        took = time.monotonic() - began
        if took > VERY_SLOW_SECONDS:
            return
    if took < SLOW_SECONDS:
        ask_quickly(server, paths, server.headers(), WARM_SECONDS)
