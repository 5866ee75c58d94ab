"""The two-node test: one side makes a change and sends a message; the other side then reads and must see the change.

Theory of operation
-------------------
The sides alternate, so each is writer and reader of every second round. Messages go over a TCP channel, so the volume
does not affect when a read begins (see `channel`). The reader has read everything before: records, absent records, the
list of names, files that exist and that do not. In two of three rounds it reads again while it waits, so that it reads
between two changes of one clock tick; in the third it does not, so that its cache is old. In some rounds the writer
waits until the reader is past the racy window. The change that comes last, just before the message, rotates.

No other program works in this store, so every answer but one is wrong; there is no tolerance and no timing in the
verdict.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from statistics import median
from typing import TypeVar

from quire.doctor import races
from quire.doctor.channel import Channel
from quire.doctor.findings import Finding, Tally, Weight
from quire.doctor.pairing import Plan
from quire.doctor.probes import KINDS, Probe, make_probes
from quire.doctor.scratch import make_store, open_store
from quire.domain.errors import BlobMissing, Conflict, OutcomeUnknown, StoreError
from quire.store.contracts import Record
from quire.store.posix.changes import Changes
from quire.store.posix.directory import Directories
from quire.store.posix.files import create_durable
from quire.store.posix.store import PosixStore

T = TypeVar("T")

_STEADY = "doctor/changed/steady"
_FOLDER = "doctor/names"
_RACY_EVERY = 16
_RACY_TEST_SECONDS = 30.0
"""Limit, for all rounds together, of the waits for the reader to pass the racy window."""
_NOTICES = 12
SLOW_NOTICE = 0.5
"""Seconds. A longer delay hides wrong answers."""

_PAUSE = 0.02

_QUESTIONS = {
    "change": "Changing a record without contention",
    "changed": "A record that changed, asked with an older answer in mind",
    "appeared": "A record that appeared, after it had been asked for in vain",
    "deleted": "A record that was deleted",
    "names": "The list of names, after one came and one went",
    "file": "A file that was published, after it had been asked for in vain",
    "file-gone": "A file that was removed, after it had been opened",
}


class Counts:
    """How often each question was asked and answered wrongly."""

    def __init__(self, check: Callable[[], None]) -> None:
        """`check` raises PeerGone when the other side has gone, and with it perhaps what is asked about."""
        self._check = check
        self._counts: dict[str, list[int]] = {}
        self._said: dict[str, str] = {}

    def ask(self, code: str, question: Callable[[], bool]) -> None:
        """An answer that is False, or an error, is a wrong one. Raises PeerGone."""
        count = self._counts.setdefault(code, [0, 0])
        count[0] += 1
        try:
            if question():
                return
        except (StoreError, OSError) as error:
            self._said.setdefault(code, str(error))
        self._check()
        count[1] += 1

    def tally(self, code: str, question: str, *, required: bool) -> Tally:
        asked, wrong = self._counts.get(code, [0, 0])
        return Tally(code, question, asked, wrong, required, self._said.get(code, ""))


class TwoNodeTest:
    """One side of it."""

    def __init__(
        self,
        folder: str,
        side: int,
        channel: Channel,
        plan: Plan,
        *,
        network: bool,
        coarse_changes: float = 0.0,
        advance: Callable[[int], object] = lambda done: None,
    ) -> None:
        """`folder` is the same for both sides; side 0 makes its content. `coarse_changes`: see PosixStore.open.
        `advance`: rounds done, of twice as many as planned.
        """
        self._folder = f"{folder}/two-nodes"
        self._side = side
        self._channel = channel
        self._plan = plan
        self._advance = advance
        self._network = network
        self._changes = Changes(coarse_changes)
        self._counts = Counts(channel.check)
        self._directories = Directories(self._folder, network=network)
        self._raced: list[Tally] = []
        self.notice_ms: float | None = None

    def run(self) -> None:
        """All of it, in step with the other side. Raises PeerGone; StoreError, OSError when nothing can be changed."""
        if self._side == 0:
            os.mkdir(self._folder)
            make_store(f"{self._folder}/store")
            os.mkdir(f"{self._folder}/probes")
            os.mkdir(f"{self._folder}/notices")
        probes: list[Probe] = []
        try:
            if self._side == 0:
                probes = self._probes(creates=True)
                races.Races.make(f"{self._folder}/races")
            self._channel.exchange(True, bool)
            if self._side == 1:
                probes = self._probes(creates=False)
            self._measure_notice()
            store = open_store(f"{self._folder}/store", network=self._network, coarse_changes=self._changes.tick)
            self._compare(probes)
        finally:
            for probe in probes:
                probe.close()
        reader = _Reader(store, self._counts)
        self._fresh(reader)
        contest = races.Races(f"{self._folder}/races", self._side, self._channel, store, quick=self._plan.quick)
        self._raced.extend(contest.run())

    def _probes(self, *, creates: bool) -> list[Probe]:
        return make_probes(f"{self._folder}/probes", self._directories, creates=creates, changes=self._changes)

    def tallies(self) -> list[Tally]:
        """The counts of each question so far."""
        asked = [self._counts.tally(code, question, required=True) for code, question in _QUESTIONS.items()]
        asked += [self._counts.tally(kind.code, kind.question, required=kind.required) for kind in KINDS]
        return [*asked, *self._raced]

    def _measure_notice(self) -> None:
        """The time until the other side sees a new file: a message, its open, and its message back."""
        times = []
        for number in range(2 * _NOTICES):
            if number % 2 == self._side:
                create_durable(f"{self._folder}/notices/{number}", b"")
                began = time.monotonic()
                self._channel.post()
                if self._channel.wait(bool):
                    times.append(time.monotonic() - began)
            else:
                self._channel.wait(bool)
                fd = self._directories.open_file(f"{self._folder}/notices", str(number))
                self._channel.post(fd is not None)
                if fd is not None:
                    os.close(fd)
        if times:
            self.notice_ms = round(median(times) * 1000, 3)

    def judge_notices(self) -> list[Finding]:
        """Whether questions came so late that wrong answers may have gone unseen."""
        if self.notice_ms is None or self.notice_ms < SLOW_NOTICE * 1000:
            return []
        return [
            Finding(
                "slow-notices",
                Weight.UNSURE,
                f"The other side sees a new file only {self.notice_ms / 1000:.1f} s after it was made, though a "
                f"message reports it; wrong answers that last less than that cannot be found.",
                "Run this on two machines with a fast network between them, and to the volume.",
            )
        ]

    def _alternate(self, rounds: int, change: Callable[[int], None], ready: Callable[[int], None],
                   reread: Callable[[], None], ask: Callable[[int], None]) -> None:  # fmt: skip
        """Rounds 1 to `rounds`. The side that changes in round n is `ready` for n + 1 before it says so."""
        for number in range(rounds + 1):
            if number % 2 == self._side:
                if number:
                    change(number)
                ready(number + 1)
                self._channel.post()
            else:
                self._channel.wait(bool, reread if number % 3 else None)
                if number:
                    ask(number)

    def _compare(self, probes: list[Probe]) -> None:
        def change(number: int) -> None:
            for probe in probes:
                probe.change(number)

        def ready(number: int) -> None:
            for probe in probes:
                probe.remember(number)

        def reread() -> None:
            for probe in probes:
                probe.reread()

        def ask(number: int) -> None:
            for probe in _rotated(probes, number):
                self._counts.ask(probe.code, lambda probe=probe: probe.sees(number))  # type: ignore[misc]
            self._advance(number)

        self._alternate(self._plan.rounds, change, ready, reread, ask)

    def _fresh(self, reader: _Reader) -> None:
        racy_window = reader.store.racy_window.seconds
        racy_rounds = max(2, int(_RACY_TEST_SECONDS / (1.5 * racy_window + _PAUSE)))
        every = max(_RACY_EVERY, self._plan.rounds // racy_rounds)

        def change(number: int) -> None:
            if number % every in {0, 1} and not self._plan.quick:
                # the other side goes on asking meanwhile, until it relies on the records that it remembers
                time.sleep(1.5 * reader.store.racy_window.seconds)
            reader.change(number)

        def ask(number: int) -> None:
            reader.ask(number)
            self._advance(self._plan.rounds + number)

        self._alternate(self._plan.rounds, change, reader.ready, reader.reread, ask)


class _Reader:
    """The records and names that one side remembers of the store, and the questions about them."""

    def __init__(self, store: PosixStore, counts: Counts) -> None:
        self.store = store
        self._counts = counts
        self._steady = store.records.read(_STEADY)
        self._coming: Record | None = None
        self._going: Record | None = None
        self._names = store.records.names(_FOLDER)

    def ready(self, number: int) -> None:
        """Ask in advance the questions that are asked after change `number`."""
        self._coming = self._going = None
        with contextlib.suppress(StoreError):  # only warming up; errors count when it is asked in earnest
            self._coming = self.store.records.read(f"{_FOLDER}/n{number}")
            self._going = self.store.records.read(f"{_FOLDER}/n{number - 1}")
        for blob in (number, number - 1):
            with contextlib.suppress(StoreError):
                self.store.blobs.open(_blob(blob)).close()
        self.reread()

    def reread(self) -> None:
        """Ask the questions that a working server asks all the time."""
        with contextlib.suppress(StoreError):
            self._steady = self.store.records.read(_STEADY, self._steady)
            self._names = self.store.records.names(_FOLDER, self._names)
            if self._coming is not None and self._going is not None:
                self._coming = self.store.records.read(self._coming.key, self._coming)
                self._going = self.store.records.read(self._going.key, self._going)

    def change(self, number: int) -> None:
        """Change everything. The last one before the message is another one each time."""
        for change in _rotated([self._publish, self._remove, self._create, self._delete, self._replace], number // 2):
            change(number)

    def ask(self, number: int) -> None:
        questions: list[tuple[str, Callable[[int], bool]]] = [
            ("changed", self._sees_changed),
            ("appeared", self._sees_appeared),
            ("deleted", self._sees_deleted),
            ("names", self._sees_names),
            ("file", self._sees_file),
            ("file-gone", self._sees_file_gone),
        ]
        for code, question in _rotated(questions, number // 2):
            self._counts.ask(code, lambda question=question: question(number))  # type: ignore[misc]

    def _replace(self, number: int) -> None:
        """Twice, so that the other side may read between two changes of one tick."""
        for part in (b"first", b"last"):
            self._steady = self._write(self._steady, b'"%d %s"' % (number, part))

    def _create(self, number: int) -> None:
        self._write(self.store.records.read(f"{_FOLDER}/n{number}"), b"%d" % number)

    def _delete(self, number: int) -> None:
        if number > 1:
            self._write(self.store.records.read(f"{_FOLDER}/n{number - 1}"), None)

    def _write(self, expected: Record, data: bytes | None) -> Record:
        """A volume with stale answers refuses valid writes. That counts, and the run goes on once one succeeds.

        Where nothing else happens none may ever succeed: Conflict or OutcomeUnknown then ends the run.
        """
        until = time.monotonic() + races.REFUSED_SECONDS
        refused = 0
        while True:
            try:
                written = self.store.records.write(expected.key, data, expected)
            except (Conflict, OutcomeUnknown):
                refused += 1
                if time.monotonic() > until:
                    self._counts.ask("change", lambda: False)
                    raise
                time.sleep(_PAUSE)
                expected = self.store.records.read(expected.key, expected)
            else:
                self._counts.ask("change", lambda refused=refused: not refused)  # type: ignore[misc]
                return written

    def _publish(self, number: int) -> None:
        staging = self.store.blobs.stage(_blob(number))
        staging.write(b"%d" % number)
        self.store.blobs.publish(staging.finish())

    def _remove(self, number: int) -> None:
        if number > 1:
            self.store.blobs.remove(_blob(number - 1))

    def _sees_changed(self, number: int) -> bool:
        self._steady = self.store.records.read(_STEADY, self._steady)
        return self._steady.data == b'"%d last"' % number

    def _sees_appeared(self, number: int) -> bool:
        return self.store.records.read(f"{_FOLDER}/n{number}", self._coming).data == b"%d" % number

    def _sees_deleted(self, number: int) -> bool:
        return self.store.records.read(f"{_FOLDER}/n{number - 1}", self._going).data is None

    def _sees_names(self, number: int) -> bool:
        self._names = self.store.records.names(_FOLDER, self._names)
        return self._names.names == (f"n{number}",)

    def _sees_file(self, number: int) -> bool:
        with self.store.blobs.open(_blob(number)) as opened:
            return opened.read_at(0, 20) == b"%d" % number

    def _sees_file_gone(self, number: int) -> bool:
        try:
            self.store.blobs.open(_blob(number - 1)).close()
        except BlobMissing:
            return True
        return False


def _blob(number: int) -> str:
    return f"doctor/{number}/file"


def _rotated(items: list[T], by: int) -> list[T]:
    by %= len(items)
    return items[by:] + items[:by]
