"""Two sides want the same at the same time: exactly one may get it, and nothing may be lost."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator

from quire.doctor.channel import Channel
from quire.doctor.findings import Tally
from quire.domain.errors import Conflict, OutcomeUnknown
from quire.store.posix.files import create_durable, is_same_file
from quire.store.posix.store import PosixStore

_COUNTER = "doctor/races/counter"
_PATIENCE = 300.0
REFUSED_SECONDS = 30.0
"""So long one change of a record may be refused, by others' changes or a memory that is behind, before this side gives
up. The other side waits longer."""


class Races:
    """One side of them."""

    def __init__(self, folder: str, side: int, channel: Channel, store: PosixStore, *, quick: bool) -> None:
        self._folder = folder
        self._side = side
        self._channel = channel
        self._store = store
        self._names = 40 if quick else 200
        self._increments = 5 if quick else 25

    @staticmethod
    def make(folder: str) -> None:
        os.mkdir(folder)
        for name in ("link", "create", "mkdir"):
            os.mkdir(f"{folder}/{name}")

    def run(self) -> Iterator[Tally]:
        """One after the other. Raises PeerGone, StoreError, OSError."""
        source = f"{self._folder}/source-{self._side}"
        create_durable(source, b"x")
        yield self._race(
            "link-race", "link() of two sides to the same new name", "link", lambda name: _link(source, name)
        )
        yield self._race("create-race", "Two sides creating the same file", "create", _create)
        yield self._race("mkdir-race", "Two sides making the same directory", "mkdir", _mkdir)
        yield self._count()

    def _race(self, code: str, question: str, folder: str, take: Callable[[str], bool]) -> Tally:
        self._channel.exchange(True, bool)
        mine = [take(f"{self._folder}/{folder}/{number}") for number in range(self._names)]
        theirs = self._channel.exchange(mine, list[bool], _PATIENCE)
        wrong = sum(one == other for one, other in zip(mine, theirs, strict=True))
        both = sum(one and other for one, other in zip(mine, theirs, strict=True))
        said = f"both sides made it {both} times, neither {wrong - both} times" if wrong else ""
        return Tally(code, question, self._names, wrong, required=True, said=said)

    def _count(self) -> Tally:
        """Both count up in one record, each its own number; an acknowledged number must be there ever after."""
        self._channel.exchange(True, bool)
        records, side = self._store.records, str(self._side)
        known = records.read(_COUNTER)
        lost = 0
        said = ""
        for number in range(1, self._increments + 1):
            acknowledged = number - 1
            until = time.monotonic() + REFUSED_SECONDS
            while not said:
                counts = json.loads(known.data) if known.data is not None else {}
                if counts.get(side, 0) == number:  # it was done, though that was not certain
                    break
                if counts.get(side, 0) != acknowledged:
                    lost += 1
                    acknowledged = counts.get(side, 0)
                try:
                    known = records.write(_COUNTER, json.dumps(counts | {side: number}).encode(), known)
                    break
                except (Conflict, OutcomeUnknown) as error:
                    known = records.read(_COUNTER, known)
                    if time.monotonic() > until:
                        said = f"refused for {REFUSED_SECONDS:.0f} s: {error}"
        lost += self._channel.exchange(lost, int, _PATIENCE)
        found = json.loads(records.read(_COUNTER, known).data or b"{}")
        lost += sum(found.get(side, 0) != self._increments for side in ("0", "1"))
        asked = 2 * self._increments
        return Tally("lost-update", "Two sides changing one record at once", asked, lost, required=True, said=said)


def _link(source: str, name: str) -> bool:
    try:
        os.link(source, name)
    except FileExistsError:
        return is_same_file(source, name)  # a request that the network repeated
    return True


def _create(name: str) -> bool:
    try:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    except FileExistsError:
        return False
    return True


def _mkdir(name: str) -> bool:
    try:
        os.mkdir(name)
    except FileExistsError:
        return False
    return True
