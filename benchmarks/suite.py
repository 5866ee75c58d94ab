"""Shared by all measures: the selection, the results, and the way of taking shots."""

from __future__ import annotations

import http.client
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import bcrypt

from benchmarks.corpora import MEDIUM, Corpus
from benchmarks.load import SLOW_SECONDS, VERY_SLOW_SECONDS, Load, ask_quickly
from benchmarks.peers import Login, Peer, Server, served
from benchmarks.peers.server import WORKERS
from benchmarks.processes import Unavailable, wait_until_idle
from benchmarks.progress import say
from benchmarks.results import BASE, Figure, Missing, Results

BCRYPT_COST = 10
"""Rounds of the passwords, as a power of two: what takes a processor about 70 ms."""
SUFFIX = "+bcrypt"
WARM_SECONDS = 1.0
CLOSE = ("nginx", "bare", "loop", "direct", BASE)
"""How the labels begin of those that quire is about as fast as; one shot says more of the machine than of them."""
CLOSE_SHOTS = 3
_STEADY_SECONDS = 1.5
"""A server that takes longer for a page, after it has answered once already, does not get faster by being asked."""


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
    """A directory for whatever does not outlive the run, on the disk that the corpora are on.

    Measures that write are given folders of it that stay until the end of the run: for some minutes after very many
    files were removed, ext4 takes up to a millisecond to find a place for a new one, since it passes over those just
    given up.
    """
    slow: dict[tuple[str, str], str] = field(default_factory=dict)
    """By peer and corpus: why it is measured there once only, and not in every form."""
    settle: Callable[[], None] = wait_until_idle
    """Called before each shot, so that nothing of the one before disturbs it."""

    def say(self, text: str) -> None:
        """A line of progress."""
        say(text)

    @property
    def middle(self) -> Corpus:
        """Where everything is measured: the corpus of 1,000 projects, or the first one that was chosen."""
        return MEDIUM if MEDIUM in self.corpora else self.corpora[0]

    def others(self, *wanted: str) -> list[Peer]:
        """The selected peers but quire that offer all this."""
        return [peer for peer in self.peers if peer.name != BASE and peer.offers.issuperset(wanted)]

    def peer(self, name: str) -> Peer | None:
        """A peer, if it is selected."""
        return next((peer for peer in self.peers if peer.name == name), None)

    def folder(self) -> Path:
        """A new one in `work`."""
        return Path(tempfile.mkdtemp(dir=self.work))

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
        """An error of a server in this block is noted as the reason for a missing figure."""
        try:
            yield
        except (Unavailable, OSError, RuntimeError, http.client.HTTPException) as error:
            self.missing(measure, corpus, server, error)

    # -- shooting -----------------------------------------------------------------------------------------------------

    def interleave(
        self,
        measure: str,
        corpus: str,
        servers: Mapping[str, Server],
        shoot: Callable[[Server], Load],
        *,
        even_slow: bool = False,
        between: int = 1,
        closely: bool = False,
    ) -> None:
        """Shots at all servers by label; see `take`. Those in `slow` are left out, with that reason, unless
        `even_slow`."""
        shots = {}
        for label, server in servers.items():
            reason = None if even_slow else self.slow.get((server.name, corpus))
            if reason is None:
                shots[label] = partial(_shot, shoot, server)
            else:
                self.missing(measure, corpus, label, reason)
        self.take(measure, corpus, shots, between=between, closely=closely)

    def take(
        self,
        measure: str,
        corpus: str,
        shots: Mapping[str, Callable[[int], Load]],
        *,
        between: int = 1,
        closely: bool = False,
    ) -> None:
        """Take the shots by label, quire's around each other one, or around as many as `between`, where a shot takes
        long. They get their place in the order. `closely`: those that are `CLOSE` have several shots each.

        One that cannot be had is noted as missing; then quire's shot before it stands before the next one.
        """
        orders = itertools.count()
        has_base = BASE in shots and self._shoot(measure, corpus, BASE, shots[BASE], next(orders))
        is_last = False  # whether the last shot was quire's, and not the first of all
        since = 0
        others = [label for label in shots if label != BASE]
        close = [label for label in others if label.startswith(CLOSE)] if closely else []
        lost = set()
        for label in [*others, *close * (CLOSE_SHOTS - 1)]:
            if label in lost:
                continue
            if not self._shoot(measure, corpus, label, shots[label], next(orders)):
                lost.add(label)
            else:
                since, is_last = since + 1, False
                if since >= between:
                    is_last = has_base and self._shoot(measure, corpus, BASE, shots[BASE], next(orders))
                    since = 0
        if has_base and not is_last:
            self._shoot(measure, corpus, BASE, shots[BASE], next(orders))

    def _shoot(self, measure: str, corpus: str, label: str, shoot: Callable[[int], Load], order: int) -> bool:
        """Whether there is a figure."""
        self.settle()
        try:
            load = shoot(order)
        except (Unavailable, OSError, RuntimeError, http.client.HTTPException) as error:
            self.missing(measure, corpus, label, error)
            return False
        self.results.add(measure, corpus, label, order, load)
        errors = f", {load.errors} ERRORS" if load.errors else ""
        self.say(f"  {measure}, {corpus}, {label}: {load.rate:,.1f}/s, p99 {load.p99:,.1f} ms{errors}")
        return True

    @contextmanager
    def running(
        self, corpus: Corpus, peers: list[Peer], login: Login | None = None, *, measures: Sequence[str] = ("*",)
    ) -> Iterator[dict[str, Server]]:
        """All these at once, by label, each with the pages in memory that it keeps there.

        One that does not start is noted as missing in these measures, and so is one that is known to be slow.
        """
        with ExitStack() as stack:
            servers = {}
            for peer in peers:
                label = labelled(peer, login)
                try:
                    if reason := self.slow.get((peer.name, corpus.name)):
                        raise Unavailable(reason)
                    server = stack.enter_context(served(peer, corpus, login=login))
                    took = _warm(server, corpus)
                    servers[label] = replace(server, answer_seconds=took)
                    if took > VERY_SLOW_SECONDS:
                        self.slow[peer.name, corpus.name] = (
                            f"one of its pages takes {took:.0f} s here; only pages in turn, the list and a cold start "
                            "are measured"
                        )
                except (Unavailable, OSError, RuntimeError, http.client.HTTPException) as error:
                    for measure in measures:
                        self.missing(measure, corpus.name, label, error)
            yield servers

    def login(self) -> Login:
        """See the function."""
        return login(self.work)


def login(folder: Path) -> Login:
    """A user whose password is hashed as a deployment has it, in an htpasswd file that is made there."""
    file = folder / "htpasswd"
    user, password = "bench", "correct horse battery staple"
    if not file.exists():
        file.write_text(f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(BCRYPT_COST)).decode()}\n")
    return Login(user, password, file)


def labelled(peer: Peer, login: Login | None) -> str:
    """The name of a peer in the results."""
    return f"{peer.name}{SUFFIX if login is not None else ''}"


def _shot(shoot: Callable[[Server], Load], server: Server, order: int) -> Load:
    del order
    return shoot(server)


def _warm(server: Server, corpus: Corpus) -> float:
    """A second of load before anything counts, so that all workers are up and have seen the password.

    The seconds that a single page then takes.
    """
    paths = [server.path(corpus.project(number)) for number in corpus.asked]
    for _ in range(2 * WORKERS):  # each on a connection of its own, so that other workers are asked too
        began = time.monotonic()
        server.ask(paths[0])
        took = time.monotonic() - began
        if took > _STEADY_SECONDS:
            return took
    if took < SLOW_SECONDS:
        ask_quickly(server, paths, server.headers(), WARM_SECONDS)
    return took
