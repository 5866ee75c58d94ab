"""The rules for records while several workers change and read them at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from quire.domain.errors import Conflict
from quire.store.contracts import Names, Record, Store
from quire.testing.helpers import THREADS, create, document, number_of, race, require
from quire.testing.sandbox import Rule, Sandbox


def racing_writers_lose_nothing(sandbox: Sandbox) -> None:
    """Counting by compare-and-swap from several workers counts exactly, and one writer always succeeds."""
    key, each = sandbox.record(), 8
    create(sandbox.worker(), key, document(0))

    def count(worker: Store) -> list[int]:
        mine: list[int] = []
        known = None
        for _ in range(3 * THREADS * each):
            known = worker.records.read(key, known)
            number = number_of(known.data) + 1
            try:
                known = worker.records.write(key, document(number), known)
            except Conflict:
                continue
            mine.append(number)
            if len(mine) == each:
                return mine
        raise AssertionError("writers met more conflicts than there were writes.")

    counts = race([partial(count, sandbox.worker()) for _ in range(THREADS)])
    won = sorted(number for mine in counts for number in mine)
    require(won == list(range(1, THREADS * each + 1)), f"writers were acknowledged for {won}.")
    final = number_of(sandbox.worker().records.read(key).data)
    require(final == THREADS * each, f"after {THREADS * each} acknowledged increments the counter is {final}.")


def racing_swaps_have_one_winner(sandbox: Sandbox) -> None:
    """Of several workers that expect the same state one wins, to create, change or delete, same bytes or not."""

    def swap(worker: Store, data: bytes | None, expected: Record) -> Record | None:
        try:
            return worker.records.write(expected.key, data, expected)
        except Conflict:
            return None

    workers = [sandbox.worker() for _ in range(THREADS)]
    for turn, same in enumerate((True, False, True)):
        key = sandbox.record(f"record{turn}")
        for step, present in enumerate((True, True, False, True, False)):
            expected = [worker.records.read(key) for worker in workers]
            jobs = []
            for number, (worker, known) in enumerate(zip(workers, expected, strict=True)):
                data = document(0 if same else 100 * step + number) if present else None
                jobs.append(partial(swap, worker, data, known))
            winners = [record for record in race(jobs) if record is not None]
            require(len(winners) == 1, f"{len(winners)} of {THREADS} workers that expected the same state won.")
            for worker, known in zip(workers, expected, strict=True):
                found = worker.records.read(key, known)
                require((found.data, found.tag) == (winners[0].data, winners[0].tag), "not the winner's is stored.")


def readers_see_whole_documents_in_order(sandbox: Sandbox) -> None:
    """While a document is replaced, no reader gets a torn one, or one older than any answer or acknowledgement."""
    key, last, padding = sandbox.record(), 30, 300_000
    writer = sandbox.worker()
    current = create(writer, key, document(0, padding))
    lock = threading.Lock()
    newest = 0  # the highest acknowledged number
    ended = threading.Event()

    def learn(number: int) -> None:
        nonlocal newest
        with lock:
            newest = max(newest, number)

    def write() -> None:
        nonlocal current
        try:
            for number in range(1, last + 1):
                current = writer.records.write(key, document(number, padding), current)
                learn(number)
        finally:
            ended.set()

    def read(worker: Store) -> None:
        known, number = None, -1
        finished = False
        while not finished:
            finished = ended.is_set()
            with lock:
                least = newest
            found = worker.records.read(key, known)
            if found is not known:
                known, number = found, number_of(found.data, padding)
            require(number >= least, f"a reader got document {number} after another one had seen {least}.")
            learn(number)

    jobs: list[Callable[[], None]] = [write, *(partial(read, sandbox.worker()) for _ in range(3))]
    race(jobs)


def names_are_right_while_they_change(sandbox: Sandbox) -> None:
    """A change of names is in every listing that begins after the change was acknowledged, or was in any listing."""
    rounds = 15  # the even ones create, the odd ones delete
    names = [[f"name{writer}{number}" for number in range(2)] for writer in range(2)]
    begun = {name: -1 for mine in names for name in mine}  # the round of each name, set before its change
    certain = dict(begun)  # the round that all readers must see from now on
    writing = len(names)
    lock = threading.Lock()

    def change(worker: Store, mine: Sequence[str]) -> None:
        nonlocal writing
        try:
            for turn in range(rounds):
                for name in mine:
                    key = sandbox.record(name)
                    with lock:
                        begun[name] = turn
                    worker.records.write(key, None if turn % 2 else document(turn), worker.records.read(key))
                    with lock:
                        certain[name] = turn
        finally:
            with lock:
                writing -= 1

    def watch(worker: Store, known: Names) -> None:
        ended = False
        while not ended:
            with lock:
                ended, begun_before, certain_before = not writing, dict(begun), dict(certain)
            known = worker.records.names(sandbox.folder, known)
            with lock:
                for name, turn in begun.items():
                    if begun_before[name] != turn:
                        continue
                    right = (name in known.names) == (turn % 2 == 0)
                    said = "still listed" if turn % 2 else "missing"
                    require(right or certain_before[name] != turn, f"a name is {said} after its change was known.")
                    if right:
                        certain[name] = turn

    watchers = [
        partial(watch, worker, worker.records.names(sandbox.folder)) for worker in (sandbox.worker(), sandbox.worker())
    ]
    race([*(partial(change, sandbox.worker(), mine) for mine in names), *watchers])


def names_agree_after_a_race(sandbox: Sandbox) -> None:
    """After workers created and deleted the same records at once, the names are those that read as present."""
    workers = [sandbox.worker() for _ in range(THREADS)]
    keys = {name: sandbox.record(name) for name in ("one", "two")}
    known: list[Names | None] = [None] * THREADS

    def quarrel(worker: Store) -> None:
        for key in list(keys.values()) * 2:
            record = worker.records.read(key)
            with suppress(Conflict):
                worker.records.write(key, document(1) if record.data is None else None, record)

    for _ in range(6):
        race([partial(quarrel, worker) for worker in workers])
        for index, worker in enumerate([*workers, sandbox.worker()]):
            listing = worker.records.names(sandbox.folder, known[index] if index < THREADS else None)
            present = tuple(name for name, key in keys.items() if worker.records.read(key).data is not None)
            require(listing.names == present, f"names are {listing.names}, but {present} read as present.")
            if index < THREADS:
                known[index] = listing


RULES: tuple[Rule, ...] = (
    racing_writers_lose_nothing,
    racing_swaps_have_one_winner,
    readers_see_whole_documents_in_order,
    names_are_right_while_they_change,
    names_agree_after_a_race,
)
