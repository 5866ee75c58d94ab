"""For authors of stores: the contracts of `quire.store.contracts` as something that runs.

    from quire.testing import check_store
    check_store(lambda: BucketStore("s3://bucket/index"))

`factory` opens a new, independent handle on the same storage at each call: what another worker process would hold.
Every rule is a function of RULES; its name says what a store promises, and what it raises says how that was broken.
A rule works in a sandbox of its own, under keys that nobody else uses, so a store in use can be checked as well; it
removes its blobs and deletes its records afterwards (a store that keeps tombstones keeps theirs).

Theory of operation. Most rules are short scenes of two workers, one of which remembers an older answer, since
memory is where stores go wrong. Others search for what nobody thought of: one runs a long seeded sequence of operations
against a dictionary, several let threads race. Their verdicts never depend on who wins or how long anything takes: each
checks only what must hold in every interleaving. For example, a document that a write acknowledged, or that any reader
got, before a read began is a lower bound for what that read may answer.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from quire.errors import BlobMissing, Conflict, InvalidName, QuireError, StoreError
from quire.store.contracts import Names, Record, Staged, Staging, Store
from quire.store.memory import Fault, Faults, MemoryStore

__all__ = [
    "EXCLUSIVE_RULES",
    "RULES",
    "Fault",
    "Faults",
    "MemoryStore",
    "Report",
    "Rule",
    "Sandbox",
    "check_rule",
    "check_store",
]

THREADS = 4
PATIENCE = 60.0
"""Seconds after which threads that have not finished count as hanging."""
CENTURY = 100 * 365 * 86400.0
T = TypeVar("T")


class Sandbox:
    """One rule's own part of the store: workers on it, keys in it, and the removal of all that was made."""

    def __init__(self, factory: Callable[[], Store]) -> None:
        self.worker = factory
        """Opens a new, independent handle."""
        self.folder = f"conformance/{uuid.uuid4().hex}"
        """A prefix for records and blobs that nobody else uses."""
        self._keys: set[str] = set()
        self._blobs: set[str] = set()
        self._stagings: list[Staging | Staged] = []

    def record(self, name: str = "record") -> str:
        """The key of a record here; `name` may have folders."""
        key = f"{self.folder}/{name}"
        self._keys.add(key)
        return key

    def blob(self, name: str = "file") -> str:
        """The key of a blob here; `name` may have folders."""
        key = f"{self.folder}/{name}"
        self._blobs.add(key)
        return key

    def staging(self, worker: Store, algorithms: tuple[str, ...] = ()) -> Staging:
        staging = worker.blobs.stage(algorithms)
        self._stagings.append(staging)
        return staging

    def staged(self, worker: Store, *chunks: bytes, algorithms: tuple[str, ...] = ()) -> Staged:
        """Complete bytes that are not published."""
        staging = self.staging(worker, algorithms)
        for chunk in chunks:
            staging.write(chunk)
        staged = staging.finish()
        self._stagings.append(staged)
        return staged

    def clean_up(self) -> None:
        store = self.worker()
        for staging in self._stagings:
            staging.discard()
        for blob in self._blobs:
            store.blobs.remove(blob)
        for key in self._keys:
            record = store.records.read(key)
            if record.data is not None:
                store.records.write(key, None, record)


Rule = Callable[[Sandbox], None]


@dataclass(frozen=True, slots=True)
class Report:
    """What was checked, by the names of the rules."""

    checked: tuple[str, ...]


def check_store(factory: Callable[[], Store], *, exclusive: bool = False) -> Report:
    """Check every rule; return which ones, or raise AssertionError with a sentence that says what is broken.

    `exclusive`: nobody else uses this storage, so rules that disturb others (EXCLUSIVE_RULES) are checked as well.
    """
    rules = RULES + EXCLUSIVE_RULES if exclusive else RULES
    for rule in rules:
        check_rule(factory, rule)
    return Report(tuple(rule.__name__ for rule in rules))


def check_rule(factory: Callable[[], Store], rule: Rule) -> None:
    """Check one rule in a new sandbox. Raises AssertionError as `check_store` does."""
    sandbox = Sandbox(factory)
    try:
        rule(sandbox)
    except Exception as error:
        with suppress(Exception):  # the rule's own failure is the one to report
            sandbox.clean_up()
        said = str(error) if isinstance(error, AssertionError) else f"the store raised {error!r}."
        raise AssertionError(f"{rule.__name__}: {said}") from error
    sandbox.clean_up()


# -- helpers of the rules ---------------------------------------------------------------------------------------------


def _require(holds: bool, otherwise: str) -> None:
    """Like assert, but there with `python -O` as well."""
    if not holds:
        raise AssertionError(otherwise)


@contextmanager
def _refused(error: type[QuireError], what: str) -> Iterator[None]:
    """The body must raise `error`."""
    try:
        yield
    except error:
        return
    except Exception as other:
        raise AssertionError(f"{what} must raise {error.__name__}, not {other!r}.") from other
    raise AssertionError(f"{what} must raise {error.__name__}.")


def _document(number: int, padding: int = 0) -> bytes:
    """A document that shows when it is torn: it begins and ends with its number."""
    return json.dumps({"first": number, "padding": "x" * padding, "last": number}).encode()


def _number(data: bytes | None, padding: int = 0) -> int:
    """The number of a document; -1 for absence."""
    if data is None:
        return -1
    number = int(data[:32].split(b":")[1].split(b",")[0])
    _require(data == _document(number, padding), f"a reader got a torn document of {len(data)} bytes.")
    return number


def _create(worker: Store, key: str, data: bytes) -> Record:
    return worker.records.write(key, data, worker.records.read(key))


def _content(worker: Store, key: str) -> bytes | None:
    """The bytes of a blob; None when it is missing."""
    try:
        opened = worker.blobs.open(key)
    except BlobMissing:
        return None
    with opened.file as file:
        content = file.read()
    _require(opened.size == len(content), f"OpenBlob.size is {opened.size} for {len(content)} bytes.")
    return content


def _race(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """Run all jobs at once, each in a thread; their results in order, or the exception of the first that failed.

    First means in the order of `jobs`: put those that cause something before those that only watch.
    """
    results: dict[int, T] = {}
    failures: dict[int, BaseException] = {}
    start = threading.Barrier(len(jobs))

    def run(index: int, job: Callable[[], T]) -> None:
        try:
            start.wait(PATIENCE)
            results[index] = job()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for this one
            failures[index] = error

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in enumerate(jobs)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # else a thread would often do all its work before the next one begins
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
            _require(not thread.is_alive(), f"threads hang: one has not finished within {PATIENCE:.0f} s.")
    finally:
        sys.setswitchinterval(interval)
    if failures:
        raise failures[min(failures)]
    return [results[index] for index in range(len(jobs))]


# -- records: one at a time -------------------------------------------------------------------------------------------


def a_store_describes_itself(sandbox: Sandbox) -> None:
    """`writable` and `validates_inline` are booleans, and a store under test is writable."""
    store = sandbox.worker()
    _require(store.writable is True, "the store is not writable, so it cannot be checked.")
    _require(isinstance(store.validates_inline, bool), "`validates_inline` must be True or False.")


def absence_is_an_answer(sandbox: Sandbox) -> None:
    """A key without a record reads as data None, with a tag that is the same for every worker; it can be kept."""
    first, second = sandbox.worker(), sandbox.worker()
    key = sandbox.record()
    absent = first.records.read(key)
    _require(absent.key == key and absent.data is None, "a key that was never written must read as data None.")
    _require(isinstance(absent.tag, str), "absence must have a tag.")
    _require(second.records.read(key).tag == absent.tag, "two workers must see the same tag for the same absence.")
    _require(first.records.read(key, absent) is absent, "known absence must be returned as the very same object.")
    _require(first.records.names(sandbox.folder).names == (), "a folder that was never written has no names.")


def a_write_is_read_at_once(sandbox: Sandbox) -> None:
    """After a write returned, every worker reads it, whatever that worker knew before."""
    writer, fresh, knows_absence, knows_old = (sandbox.worker() for _ in range(4))
    key = sandbox.record()
    absent = knows_absence.records.read(key)
    old = _create(writer, key, _document(1))
    _require(old.data == _document(1), "write must return the record as it is now stored.")
    _require(
        knows_absence.records.read(key, absent).data == _document(1), "a worker that knew of absence still answers it."
    )
    remembered = knows_old.records.read(key)
    for number in range(2, 12):
        written = writer.records.write(key, _document(number), old)
        for who, reader, known in (
            ("a worker that knew nothing", fresh, None),
            ("a worker that knew an older document", knows_old, remembered),
            ("a worker that once knew of absence", knows_absence, absent),
            ("the writer itself", writer, old),
        ):
            found = reader.records.read(key, known)
            _require(found.data == _document(number), f"{who} did not read what a completed write had stored.")
            _require(found.tag == written.tag, f"{who} sees another tag than the writer.")
        old = written
        if number % 3 == 0:
            remembered = knows_old.records.read(key, remembered)


def documents_are_kept_exactly(sandbox: Sandbox) -> None:
    """What is read is what was written, to the byte, for small documents and large ones."""
    writer, reader = sandbox.worker(), sandbox.worker()
    key = sandbox.record()
    for data in (b"{}", b'{"a": 1}\r\n\n', '{"a": "ü€😀"}'.encode(), _document(7, 2_000_000), b'{"\\u0000": 1}', b"{}"):
        _create(writer, key, data)
        _require(reader.records.read(key).data == data, f"a document of {len(data)} bytes did not come back the same.")


def an_unchanged_record_is_the_same_object(sandbox: Sandbox) -> None:
    """`read(key, known)` returns `known` itself while nothing changed, also what `write` returned."""
    writer, reader = sandbox.worker(), sandbox.worker()
    key = sandbox.record()
    written = _create(writer, key, _document(1))
    known = reader.records.read(key)
    for _ in range(3):
        _require(
            reader.records.read(key, known) is known, "an unchanged record must be the very object that was known."
        )
        _require(writer.records.read(key, written) is written, "what write returned must be known to the next read.")
    deleted = writer.records.write(key, None, written)
    _require(writer.records.read(key, deleted) is deleted, "a deletion that is known must be the very same object.")
    _require(reader.records.read(key, known) is not known, "a deleted record must not be answered from memory.")


def every_write_makes_a_new_state(sandbox: Sandbox) -> None:
    """Tags are equal for equal states only. A write makes a new state even if it brings old content back."""
    workers = sandbox.worker(), sandbox.worker()
    key = sandbox.record()
    first = workers[0].records.read(key)
    seen = {first.tag: "the absence before the first write"}
    current = first
    for step, data in enumerate((b'"A"', b'"B"', b'"A"', b'"A"', None, b'"A"', None)):
        stale = current
        current = workers[step % 2].records.write(key, data, workers[step % 2].records.read(key))
        _require(current.tag not in seen, f"write {step} ({data!r}) has the tag of {seen.get(current.tag)}.")
        for worker in workers:
            found = worker.records.read(key)
            _require(found.tag == current.tag, "two workers see different tags for the same state.")
            with _refused(Conflict, f"a write that expects the state before write {step}"):
                worker.records.write(key, b'"stale"', stale)
            with _refused(Conflict, "a write that expects the absence before the first write, after it"):
                worker.records.write(key, b'"stale"', first)
        seen[current.tag] = f"write {step} ({data!r})"


def a_conflict_changes_nothing(sandbox: Sandbox) -> None:
    """A write that is refused leaves document, tag and names as they are, for a write and for a deletion."""
    one, other = sandbox.worker(), sandbox.worker()
    key, elsewhere = sandbox.record("present"), sandbox.record("absent")
    absent, unborn = other.records.read(key), other.records.read(elsewhere)
    _create(one, key, _document(1))
    stale = other.records.read(key)
    current = one.records.write(key, _document(2), one.records.read(key))
    gone = one.records.write(elsewhere, None, _create(one, elsewhere, _document(3)))
    for expected in (absent, stale):
        for data in (_document(4), None):
            with _refused(Conflict, "a write whose expected record is no longer the stored one"):
                other.records.write(key, data, expected)
            found = other.records.read(key)
            _require((found.data, found.tag) == (_document(2), current.tag), "a refused write changed the record.")
    with _refused(Conflict, "a write that expects the absence before a record's whole life, after it"):
        other.records.write(elsewhere, _document(5), unborn)
    _require(other.records.read(elsewhere).tag == gone.tag, "a refused write changed a deleted record.")
    _require(other.records.names(sandbox.folder).names == ("present",), "a refused write changed the names.")
    _require(one.records.read(key, current) is current, "a refused write made the record look changed.")


def a_deleted_record_is_absent(sandbox: Sandbox) -> None:
    """Data None deletes, for everybody at once; the absence can be expected, written over, and deleted again."""
    one, other = sandbox.worker(), sandbox.worker()
    key = sandbox.record()
    known = before = None
    for number in range(4):
        present = _create(one, key, _document(number))
        if before is not None:
            _require(other.records.read(key, before) is not before, "a record from before a deletion is taken for new.")
            with _refused(Conflict, "a write that expects a record from before a deletion and a re-creation"):
                other.records.write(key, _document(-1), before)
        before = known = other.records.read(key, known)
        _require(known.data == _document(number), "a record written over its deletion must be present.")
        deleted = one.records.write(key, None, present)
        _require(deleted.data is None, "write must return an absent record for a deletion.")
        found = other.records.read(key, known)
        _require(found.data is None, "a worker that knew the record must see it absent as soon as it is deleted.")
        _require(found.tag == deleted.tag, "two workers must see the same tag for a deleted record.")
        with _refused(Conflict, "a write that expects a record as it was before its deletion"):
            other.records.write(key, _document(-1), known)
        known = found
    again = other.records.write(key, None, other.records.read(key))
    _require(again.data is None and one.records.read(key).data is None, "deleting what is absent must leave it absent.")
    _require(one.records.names(sandbox.folder).names == (), "a record deleted twice must not have a name.")
    unborn = sandbox.record("unborn")
    one.records.write(unborn, None, one.records.read(unborn))
    _require(other.records.read(unborn).data is None, "deleting what never was must leave it absent.")
    _require(other.records.names(sandbox.folder).names == (), "deleting what never was must not make a name.")
    _create(other, unborn, _document(9))
    _require(one.records.read(unborn).data == _document(9), "what was deleted unborn must be writable.")


def similar_keys_are_different_records(sandbox: Sandbox) -> None:
    """Keys that only look alike, and the longest ones allowed, each have their own record."""
    writer, reader = sandbox.worker(), sandbox.worker()
    names = [
        "a-b",
        "a_b",
        "ab",
        "a",
        "0",
        "00",
        "a--b",
        "a-",
        "b" * 195,
        "b" * 194,
        "tmp",
        "incoming",
        "records",
        "00000001",
    ]
    for number, name in enumerate(names):
        _create(writer, sandbox.record(name), _document(number))
    for number, name in enumerate(names):
        _require(reader.records.read(sandbox.record(name)).data == _document(number), f"{name!r} is not kept apart.")
    _require(reader.records.names(sandbox.folder).names == tuple(sorted(names)), "names must be sorted and complete.")


def record_keys_cannot_escape(sandbox: Sandbox) -> None:
    """A key that could leave its folder is refused as InvalidName by every operation, before anything else."""
    records = sandbox.worker().records
    inside = sandbox.folder
    hostile = ["../x", "A", "", "a//b", "a/.b", "a/../b", "/a", "a/", ".", "..", "a\n", "a\0", "a.b", "ä", "-a", "a b"]
    for key in [*hostile, f"{inside}/../../x", f"{inside}/" + "a" * 196, f"{inside}/" + "a" * 300, f"{inside}/X"]:
        with _refused(InvalidName, f"read({key!r})"):
            records.read(key)
        for data in (b"{}", None):
            with _refused(InvalidName, f"write({key!r})"):
                records.write(key, data, Record(key, None, ""))
        if key:
            with _refused(InvalidName, f"names({key!r})"):
                records.names(key)


# -- records: the names under a prefix --------------------------------------------------------------------------------


def names_follow_the_records(sandbox: Sandbox) -> None:
    """A name appears with its first write and vanishes with its deletion, for everybody at once; and so again."""
    one, other, fresh = (sandbox.worker() for _ in range(3))
    steady, coming = sandbox.record("steady"), sandbox.record("coming")
    known = other.records.names(sandbox.folder)
    _create(one, steady, _document(0))
    for number in range(4):
        for data, expected in ((_document(number), ("coming", "steady")), (None, ("steady",))):
            before = known
            _create(one, coming, data) if data else one.records.write(coming, None, one.records.read(coming))
            known = other.records.names(sandbox.folder, known)
            what = "written" if data else "deleted"
            _require(known.prefix == sandbox.folder, "Names.prefix must be the prefix that was asked for.")
            _require(known.names == expected, f"a worker that knew the names before missed a record just {what}.")
            _require(known.tag != before.tag, f"the tag of the names must change when a record is {what}.")
            _require(fresh.records.names(sandbox.folder).names == expected, f"names miss a record just {what}.")
            _require(one.records.names(sandbox.folder).names == expected, f"the writer misses what it has {what}.")


def unchanged_names_are_the_same_object(sandbox: Sandbox) -> None:
    """`names(prefix, known)` returns `known` itself while no name came or went, whatever happens to documents."""
    one, other = sandbox.worker(), sandbox.worker()
    empty = other.records.names(sandbox.folder)
    _require(other.records.names(sandbox.folder, empty) is empty, "an unchanged lack of names must be the same object.")
    key = sandbox.record()
    record = _create(one, key, _document(1))
    known = other.records.names(sandbox.folder, empty)
    for number in range(2, 6):
        _require(other.records.names(sandbox.folder, known) is known, "unchanged names must be the very same object.")
        record = one.records.write(key, _document(number), record)
    found = other.records.names(sandbox.folder, known)
    _require(found is known, "names must be the very same object when only a document under one of them changed.")


def names_are_those_of_one_folder(sandbox: Sandbox) -> None:
    """Only records in the folder itself have their names in it: none of a folder below, beside, or named alike."""
    one, other = sandbox.worker(), sandbox.worker()
    for key in ("here/a", "here-too/b", "here2/c", "deep/er/d", "deep/er/e", "deep/er2/f"):
        _create(one, sandbox.record(key), _document(1))
    for folder, expected in (
        ("here", ("a",)),
        ("here-too", ("b",)),
        ("here2", ("c",)),
        ("deep/er", ("d", "e")),
        ("deep/er2", ("f",)),
        ("her", ()),
        ("deep/e", ()),
        ("nowhere/at/all", ()),
    ):
        found = other.records.names(f"{sandbox.folder}/{folder}").names
        _require(found == expected, f"names in {folder!r} are {found}, not {expected}.")


def many_names_are_complete(sandbox: Sandbox) -> None:
    """However many names there are, all are there, sorted, while every second one is deleted again."""
    one, other = sandbox.worker(), sandbox.worker()
    names = [f"{chr(97 + number * 7 % 26)}{number}" for number in range(60)]
    known = other.records.names(sandbox.folder)
    for name in names:
        _create(one, sandbox.record(name), _document(1))
    known = other.records.names(sandbox.folder, known)
    _require(known.names == tuple(sorted(names)), "names are missing, too many, or not sorted.")
    for name in names[::2]:
        one.records.write(sandbox.record(name), None, one.records.read(sandbox.record(name)))
    known = other.records.names(sandbox.folder, known)
    _require(known.names == tuple(sorted(names[1::2])), "names of deleted records stay, or others went with them.")


def any_sequence_agrees_with_a_model(sandbox: Sandbox) -> None:
    """Three workers with whatever they remember do the same, step by step, as one dictionary would."""
    choose = random.Random(20200202)  # noqa: S311 - the same sequence every time
    workers = [sandbox.worker() for _ in range(3)]
    model: dict[str, tuple[int, bytes | None]] = dict.fromkeys("abc", (0, None))
    memory: dict[tuple[int, str], tuple[int, Record]] = {}
    listings: dict[int, Names] = {}
    for step in range(300):
        index, name = choose.randrange(3), choose.choice("abc")
        records, key = workers[index].records, sandbox.record(name)
        revision, data = model[name]
        remembered = memory.get((index, name))
        action = choose.choice(("read", "names", "write", "write", "delete"))
        if action == "names":
            listings[index] = records.names(sandbox.folder, listings.get(index))
            expected = tuple(sorted(name for name, (_, data) in model.items() if data is not None))
            _require(listings[index].names == expected, f"step {step}: names are {listings[index].names}.")
        elif action == "read" or remembered is None:
            found = records.read(key, remembered[1] if remembered else None)
            _require(found.data == data, f"step {step}: read {found.data!r}, but {data!r} was written last.")
            if remembered is not None:
                same = found is remembered[1]
                _require(same == (remembered[0] == revision), f"step {step}: same object: {same}.")
            memory[index, name] = revision, found
        else:
            # Whether deleting what is absent makes a new state is left to the store, so it is not done here.
            new = None if action == "delete" and remembered[1].data is not None else _document(step)
            try:
                written = records.write(key, new, remembered[1])
            except Conflict:
                _require(remembered[0] != revision, f"step {step}: Conflict, though nobody else wrote.")
                del memory[index, name]
            else:
                _require(remembered[0] == revision, f"step {step}: a write with a stale record was accepted.")
                model[name] = step + 1, new
                memory[index, name] = step + 1, written


# -- records: races ---------------------------------------------------------------------------------------------------


def racing_writers_lose_nothing(sandbox: Sandbox) -> None:
    """Counting by compare-and-swap from several workers counts exactly, and somebody always gets on."""
    key, each = sandbox.record(), 8
    _create(sandbox.worker(), key, _document(0))

    def count(worker: Store) -> list[int]:
        mine: list[int] = []
        known = None
        for _ in range(3 * THREADS * each):
            known = worker.records.read(key, known)
            number = _number(known.data) + 1
            try:
                known = worker.records.write(key, _document(number), known)
            except Conflict:
                continue
            mine.append(number)
            if len(mine) == each:
                return mine
        raise AssertionError("writers met more conflicts than there were writes.")

    counts = _race([partial(count, sandbox.worker()) for _ in range(THREADS)])
    won = sorted(number for mine in counts for number in mine)
    _require(won == list(range(1, THREADS * each + 1)), f"writers were acknowledged for {won}.")
    final = _number(sandbox.worker().records.read(key).data)
    _require(final == THREADS * each, f"after {THREADS * each} acknowledged increments the counter is {final}.")


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
                data = _document(0 if same else 100 * step + number) if present else None
                jobs.append(partial(swap, worker, data, known))
            winners = [record for record in _race(jobs) if record is not None]
            _require(len(winners) == 1, f"{len(winners)} of {THREADS} workers that expected the same state won.")
            for worker, known in zip(workers, expected, strict=True):
                found = worker.records.read(key, known)
                _require((found.data, found.tag) == (winners[0].data, winners[0].tag), "not the winner's is stored.")


def readers_see_whole_documents_in_order(sandbox: Sandbox) -> None:
    """While a document is replaced, no reader gets a torn one, or one older than any answer or acknowledgement."""
    key, last, padding = sandbox.record(), 30, 300_000
    writer = sandbox.worker()
    current = _create(writer, key, _document(0, padding))
    lock = threading.Lock()
    newest = 0  # the highest number that anybody was told of
    ended = threading.Event()

    def learn(number: int) -> None:
        nonlocal newest
        with lock:
            newest = max(newest, number)

    def write() -> None:
        nonlocal current
        try:
            for number in range(1, last + 1):
                current = writer.records.write(key, _document(number, padding), current)
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
                known, number = found, _number(found.data, padding)
            _require(number >= least, f"a reader got document {number} after somebody had seen {least}.")
            learn(number)

    jobs: list[Callable[[], None]] = [write, *(partial(read, sandbox.worker()) for _ in range(3))]
    _race(jobs)


def names_are_right_while_they_change(sandbox: Sandbox) -> None:
    """A change of names is in every listing that begins after the change was acknowledged, or was in any listing."""
    rounds = 15  # the even ones create, the odd ones delete
    names = [[f"name{writer}{number}" for number in range(2)] for writer in range(2)]
    begun = {name: -1 for mine in names for name in mine}  # the round of each name, set before its change
    certain = dict(begun)  # the round that everybody must see from now on
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
                    worker.records.write(key, None if turn % 2 else _document(turn), worker.records.read(key))
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
                    _require(right or certain_before[name] != turn, f"a name is {said} after its change was known.")
                    if right:
                        certain[name] = turn

    watchers = [
        partial(watch, worker, worker.records.names(sandbox.folder)) for worker in (sandbox.worker(), sandbox.worker())
    ]
    _race([*(partial(change, sandbox.worker(), mine) for mine in names), *watchers])


def names_agree_after_a_race(sandbox: Sandbox) -> None:
    """After workers created and deleted the same records at once, the names are those that read as present."""
    workers = [sandbox.worker() for _ in range(THREADS)]
    keys = {name: sandbox.record(name) for name in ("one", "two")}
    known: list[Names | None] = [None] * THREADS

    def quarrel(worker: Store) -> None:
        for key in list(keys.values()) * 2:
            record = worker.records.read(key)
            with suppress(Conflict):
                worker.records.write(key, _document(1) if record.data is None else None, record)

    for _ in range(6):
        _race([partial(quarrel, worker) for worker in workers])
        for index, worker in enumerate([*workers, sandbox.worker()]):
            listing = worker.records.names(sandbox.folder, known[index] if index < THREADS else None)
            present = tuple(name for name, key in keys.items() if worker.records.read(key).data is not None)
            _require(listing.names == present, f"names are {listing.names}, but {present} read as present.")
            if index < THREADS:
                known[index] = listing


# -- blobs ------------------------------------------------------------------------------------------------------------


def staged_bytes_have_their_digests(sandbox: Sandbox) -> None:
    """Size and digests are those of the bytes, however they came, with the further algorithms that were asked for."""
    worker = sandbox.worker()
    for chunks in ([], [b"hello"], [b"", b"he", b"", b"llo"], [bytes(range(256)) * 4096] * 3 + [b"tail"]):
        content = b"".join(chunks)
        staged = sandbox.staged(worker, *chunks, algorithms=("sha512", "sha3_256"))
        _require(staged.size == len(content), f"size is {staged.size} for {len(content)} bytes.")
        digests = staged.digests
        for name, found, digest in (
            ("sha256", digests.sha256, hashlib.sha256(content)),
            ("md5", digests.md5, hashlib.md5(content, usedforsecurity=False)),
            ("blake2b_256", digests.blake2b_256, hashlib.blake2b(content, digest_size=32)),
            ("sha512", digests.other.get("sha512"), hashlib.sha512(content)),
            ("sha3_256", digests.other.get("sha3_256"), hashlib.sha3_256(content)),
        ):
            _require(found == digest.hexdigest(), f"{name} of {len(content)} staged bytes is {found}.")
    staging = sandbox.staging(worker)
    chunk = bytearray(b"reused by the caller")
    staging.write(memoryview(chunk)[:6])
    staging.write(chunk)
    chunk[:] = bytes(len(chunk))
    staged = staging.finish()
    with staged.open() as file:
        _require(file.read() == b"reusedreused by the caller", "staged bytes change with the caller's buffer.")


def staged_bytes_can_be_read_but_not_found(sandbox: Sandbox) -> None:
    """Staged bytes are open to whoever staged them, seekable, as often as wanted; no key and no list shows them."""
    worker, other = sandbox.worker(), sandbox.worker()
    content = bytes(range(256)) * 300
    staged = sandbox.staged(worker, content)
    with staged.open() as file, staged.open() as second:
        _require(file.seekable(), "Staged.open must give a seekable file.")
        file.seek(-10, 2)
        _require(file.read() == content[-10:], "the end of staged bytes is wrong.")
        file.seek(1000)
        _require(file.read(500) == content[1000:1500], "the middle of staged bytes is wrong.")
        _require(second.read() == content, "a second reader of staged bytes must have its own position.")
    for observer in (worker, other):
        _require(_content(observer, sandbox.blob()) is None, "staged bytes are found under a key.")
        _require(not list(observer.blobs.list(sandbox.folder)), "staged bytes are listed.")


def a_published_blob_is_open_to_all_at_once(sandbox: Sandbox) -> None:
    """After publish returned every worker opens the blob, also one that had just seen it missing."""
    worker, other, fresh = (sandbox.worker() for _ in range(3))
    names = [
        "file",
        "file.metadata",
        "new folder/f-1.0+local!.tar.gz",
        "a/b/c/d",
        "a/b/ü",
        "a/b/" + "x" * 255,
        "a/b/%2e%2e",
    ]
    for number, name in enumerate(names):
        key, content = sandbox.blob(name), b"content %d" % number * 1000 * number
        for observer in (worker, other):
            with _refused(BlobMissing, "opening what was never published"):
                observer.blobs.open(key).file.close()
        worker.blobs.publish(sandbox.staged(worker, content), key)
        for observer in (other, worker, fresh):
            _require(_content(observer, key) == content, f"{name!r} is missing or wrong right after it was published.")
        opened = other.blobs.open(key)
        with opened.file as file:
            file.seek(len(content) // 2)
            _require(file.read() == content[len(content) // 2 :], "an open blob must be seekable.")
        if opened.path is not None:
            _require(Path(opened.path).read_bytes() == content, "OpenBlob.path is not where the bytes are.")


def a_taken_key_keeps_its_bytes(sandbox: Sandbox) -> None:
    """Publishing under a key that is taken raises Conflict; the first bytes stay, the others can still go elsewhere."""
    worker, other = sandbox.worker(), sandbox.worker()
    key, elsewhere = sandbox.blob("taken"), sandbox.blob("elsewhere")
    worker.blobs.publish(sandbox.staged(worker, b"first"), key)
    for late in (worker, other):
        for content in (b"second", b"first"):
            with _refused(Conflict, "publish under a key that is taken"):
                late.blobs.publish(sandbox.staged(late, content), key)
            _require(_content(late, key) == b"first", "a key got other bytes.")
    staged = sandbox.staged(other, b"second")
    with _refused(Conflict, "publish under a key that is taken"):
        other.blobs.publish(staged, key)
    other.blobs.publish(staged, elsewhere)
    _require(_content(worker, elsewhere) == b"second", "bytes refused under one key must be publishable under another.")


def a_removed_blob_is_missing_at_once(sandbox: Sandbox) -> None:
    """After remove returned nobody opens the blob; who has it open reads its bytes or an error."""
    worker, other = sandbox.worker(), sandbox.worker()
    key, content = sandbox.blob("folder/file"), b"content" * 50_000
    for _ in range(3):
        worker.blobs.publish(sandbox.staged(worker, content), key)
        opened = other.blobs.open(key)
        with opened.file as file:
            begin = file.read(10)
            worker.blobs.remove(key)
            for observer in (other, worker):
                with _refused(BlobMissing, "opening what was removed"):
                    observer.blobs.open(key).file.close()
            with suppress(OSError, StoreError):
                _require(begin + file.read() == content, "a reader of a removed blob got other bytes.")
        _require(not list(other.blobs.list(sandbox.folder)), "a removed blob is listed.")
        worker.blobs.remove(key)
        other.blobs.remove(key)
    worker.blobs.remove(sandbox.blob("never/there"))


def discarding_is_harmless(sandbox: Sandbox) -> None:
    """Discard forgets bytes that were not published, any number of times, and never touches a published blob."""
    worker = sandbox.worker()
    unfinished = sandbox.staging(worker)
    unfinished.write(b"half")
    unfinished.discard()
    unfinished.discard()
    key = sandbox.blob("discarded")
    staged = sandbox.staged(worker, b"whole")
    staged.discard()
    staged.discard()
    with _refused(StoreError, "publishing what was discarded"):
        worker.blobs.publish(staged, key)
    _require(_content(worker, key) is None, "discarded bytes were published.")
    staging = sandbox.staging(worker)
    staging.write(b"kept")
    staged = staging.finish()
    worker.blobs.publish(staged, key)
    for _ in range(2):
        staged.discard()
        staging.discard()
    _require(_content(sandbox.worker(), key) == b"kept", "discard after publish removed the published blob.")


def blobs_are_listed(sandbox: Sandbox) -> None:
    """`list` has every blob in the folder and below, with key, size and an age that is not negative; no others."""
    worker, other = sandbox.worker(), sandbox.worker()
    sizes = {"pro/a.whl": 3, "pro/deep/er/b.whl": 0, "pro-2/c.whl": 70_000, "pro2/d.whl": 5, "top": 1}
    for name, size in sizes.items():
        worker.blobs.publish(sandbox.staged(worker, b"x" * size), sandbox.blob(name))
    for prefix, expected in (("", set(sizes)), ("/pro", {"pro/a.whl", "pro/deep/er/b.whl"}), ("/nowhere", set())):
        found = list(other.blobs.list(sandbox.folder + prefix))
        names = sorted(blob.key.removeprefix(sandbox.folder + "/") for blob in found)
        _require(names == sorted(expected), f"list of {prefix!r} has {names}, not {sorted(expected)}.")
        for blob in found:
            _require(blob.size == sizes[blob.key.removeprefix(sandbox.folder + "/")], f"list has a wrong size: {blob}.")
            _require(0 <= blob.age < CENTURY, f"list has an impossible age: {blob}.")
    everything = {blob.key for blob in other.blobs.list()}
    _require(everything >= {sandbox.blob(name) for name in sizes}, "list without a prefix leaves blobs out.")


def blob_keys_cannot_escape(sandbox: Sandbox) -> None:
    """A key that could leave its folder is refused as InvalidName by every operation; staged bytes survive that."""
    worker = sandbox.worker()
    staged = sandbox.staged(worker, b"content")
    inside = sandbox.folder
    hostile = ["", "..", ".", "../x", "a/../b", "a/..", "/abs", "a/", "a//b", "./a", "a\0b", "a" * 300, "ü" * 128]
    for key in [*hostile, f"{inside}/../../x", f"{inside}/\0", f"{inside}/" + "a" * 256]:
        with _refused(InvalidName, f"publish({key!r})"):
            worker.blobs.publish(staged, key)
        with _refused(InvalidName, f"open({key!r})"):
            worker.blobs.open(key).file.close()
        with _refused(InvalidName, f"remove({key!r})"):
            worker.blobs.remove(key)
    worker.blobs.publish(staged, sandbox.blob())
    _require(_content(worker, sandbox.blob()) == b"content", "bytes refused under a bad key must still be publishable.")


def racing_publishers_have_one_winner(sandbox: Sandbox) -> None:
    """Of several workers that publish under one key one wins; nobody ever opens a part of a blob."""
    published = threading.Event()

    def publish(worker: Store, staged: Staged, key: str) -> bool:
        try:
            worker.blobs.publish(staged, key)
        except Conflict:
            return False
        finally:
            published.set()
        return True

    def read(worker: Store, contents: list[bytes], key: str) -> bool:
        finished = False
        while not finished:
            finished = published.is_set()
            content = _content(worker, key)
            _require(content is None or content in contents, "a reader opened a part of a blob.")
            _require(content is not None or not finished, "a blob is missing though it was published.")
        return False

    for turn in range(4):
        published.clear()
        key = sandbox.blob(f"folder{turn}/file")
        contents = [b"%d" % (number * (turn % 2)) * 400_000 for number in range(THREADS)]
        jobs = []
        for content in contents:
            worker = sandbox.worker()
            jobs.append(partial(publish, worker, sandbox.staged(worker, content), key))
        won = _race([*jobs, partial(read, sandbox.worker(), contents, key)])
        _require(won.count(True) == 1, f"{won.count(True)} of {THREADS} workers that published under one key won.")
        _require(_content(sandbox.worker(), key) == contents[won.index(True)], "the blob is not the winner's.")


def neighbours_do_not_disturb_each_other(sandbox: Sandbox) -> None:
    """While others publish into one folder and empty it, each worker finds what it published, and only that."""

    def come_and_go(worker: Store, name: str) -> None:
        key = sandbox.blob(f"folder/below/{name}")
        for turn in range(8):
            content = f"{name} {turn}".encode()
            worker.blobs.publish(sandbox.staged(worker, content), key)
            _require(_content(worker, key) == content, "a blob is missing while others in its folder come and go.")
            worker.blobs.remove(key)
            _require(_content(worker, key) is None, "a removed blob is there while others in its folder come and go.")

    _race([partial(come_and_go, sandbox.worker(), f"file{number}") for number in range(THREADS)])
    _require(not list(sandbox.worker().blobs.list(sandbox.folder)), "a removed blob is listed.")


def a_sweep_spares_the_young(sandbox: Sandbox) -> None:
    """A sweep leaves alone what was touched within the given time: staged bytes, complete or not, and blobs."""
    worker, other = sandbox.worker(), sandbox.worker()
    staging = sandbox.staging(worker)
    staging.write(b"first ")
    staged, key = sandbox.staged(worker, b"staged"), sandbox.blob("staged")
    other.blobs.sweep(CENTURY)
    other.sweep(CENTURY)
    staging.write(b"second")
    worker.blobs.publish(staged, key)
    worker.blobs.publish(staging.finish(), sandbox.blob())
    other.blobs.sweep(CENTURY)
    other.sweep(CENTURY)
    _require(_content(other, key) == b"staged", "a sweep removed a young staging or a blob.")
    _require(_content(other, sandbox.blob()) == b"first second", "a sweep removed bytes that were still coming in.")


# -- rules that disturb other users of the store ----------------------------------------------------------------------


def a_sweep_spares_the_published(sandbox: Sandbox) -> None:
    """A sweep of everything removes all that is staged, says how many, and touches no blob and no record."""
    worker, other = sandbox.worker(), sandbox.worker()
    key = sandbox.record()
    record = _create(worker, key, _document(1))
    deleted = _create(worker, sandbox.record("deleted"), _document(1))
    worker.records.write(deleted.key, None, deleted)
    worker.blobs.publish(sandbox.staged(worker, b"published"), sandbox.blob("published"))
    other.sweep(0)
    for sweep in (other.blobs.sweep, other.sweep):
        sandbox.staging(worker).write(b"half")
        staged = sandbox.staged(worker, b"whole")
        swept = sweep(0)
        _require(swept == 2, f"a sweep of two stagings says {swept}.")
        _require(sweep(0) == 0, "a second sweep found something left.")
        with _refused(StoreError, "publishing what was swept"):
            worker.blobs.publish(staged, sandbox.blob("swept"))
        _require(_content(worker, sandbox.blob("swept")) is None, "swept bytes were published.")
        _require(_content(other, sandbox.blob("published")) == b"published", "a sweep removed a published blob.")
        _require(worker.records.read(key, record) is record, "a sweep changed a record.")
        _require(other.records.names(sandbox.folder).names == ("record",), "a sweep changed the names.")


RULES: tuple[Rule, ...] = (
    a_store_describes_itself,
    absence_is_an_answer,
    a_write_is_read_at_once,
    documents_are_kept_exactly,
    an_unchanged_record_is_the_same_object,
    every_write_makes_a_new_state,
    a_conflict_changes_nothing,
    a_deleted_record_is_absent,
    similar_keys_are_different_records,
    record_keys_cannot_escape,
    names_follow_the_records,
    unchanged_names_are_the_same_object,
    names_are_those_of_one_folder,
    many_names_are_complete,
    any_sequence_agrees_with_a_model,
    racing_writers_lose_nothing,
    racing_swaps_have_one_winner,
    readers_see_whole_documents_in_order,
    names_are_right_while_they_change,
    names_agree_after_a_race,
    staged_bytes_have_their_digests,
    staged_bytes_can_be_read_but_not_found,
    a_published_blob_is_open_to_all_at_once,
    a_taken_key_keeps_its_bytes,
    a_removed_blob_is_missing_at_once,
    discarding_is_harmless,
    blobs_are_listed,
    blob_keys_cannot_escape,
    racing_publishers_have_one_winner,
    neighbours_do_not_disturb_each_other,
    a_sweep_spares_the_young,
)
"""Safe on a store in use."""

EXCLUSIVE_RULES: tuple[Rule, ...] = (a_sweep_spares_the_published,)
"""These disturb whoever else uses the store: uploads under way would fail."""
