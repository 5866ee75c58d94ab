"""The real code of the list of names, step by step, in every order: one record, its root, and some actors.

An actor is a thread that runs the store's own code over a bucket whose every operation waits until it is chosen. All
that an actor does follows from the answers that it got, and identities are counted instead of drawn. So two runs in
which each actor got the same answers, and that left the same objects, go on alike: only one of them is continued. That
makes the number of runs finite, and small enough to go through all of them.

After each step the objects must agree: a name that the root calls present has a record, one that is missing has none.

Replaced here: pauses and random tokens, so that runs can be compared.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from unittest import mock

from quire.domain.errors import Conflict
from quire.store.bucket import documents, names
from quire.store.bucket.documents import Kind
from quire.store.bucket.listing import Root
from quire.store.bucket.objects import Listed, Object, Refused, Unchanged, Version
from quire.store.bucket.records import BucketRecords

FOLDER, NAME = "main/projects", "acme"
KEY = f"{FOLDER}/{NAME}"
ROOT_KEY, RECORD_KEY = f"names/{FOLDER}.json", f"records/{KEY}.json"
MOST_STEPS = 60

Actor = Callable[[BucketRecords], None]


class Abandoned(BaseException):
    """The run is not continued."""


class Violation(AssertionError):
    """The objects disagree."""


# -- actors -----------------------------------------------------------------------------------------------------------


def create(records: BucketRecords) -> None:
    """A writer that publishes the first file of a project, until there is one."""
    _write(records, b"{}")


def delete(records: BucketRecords) -> None:
    """A writer that deletes the last file of a project, until there is none."""
    _write(records, None)


def _write(records: BucketRecords, data: bytes | None) -> None:
    while (found := records.read(KEY)).data != data:
        try:
            records.write(KEY, data, found)
        except Conflict:
            continue
        return


def heal(records: BucketRecords) -> None:
    """A sweep that takes every token for one of a dead writer."""
    records.lists.heal(FOLDER, 0, records.fence)


ACTORS: dict[str, Actor] = {"create": create, "delete": delete, "heal": heal}


# -- one run ----------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Running:
    """An actor under way."""

    number: int
    chosen: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    answers: list[str] = field(default_factory=list)
    identities: int = 0
    is_done: bool = False
    error: BaseException | None = None


class Bucket:
    """The objects of a run. Equal bytes are an equal version, since each document has a nonce."""

    def __init__(self, wait: Callable[[], Callable[[object], None]]) -> None:
        self.objects: dict[str, bytes] = {}
        self._wait = wait

    def get(self, key: str, known: Version | None = None) -> Object | Unchanged | None:
        answered = self._wait()
        data = self.objects.get(key)
        answered(data)
        if data is None:
            return None
        return Unchanged.UNCHANGED if known == _version(data) else Object(data, _version(data))

    def put(self, key: str, data: bytes, expected: Version | None) -> Version:
        answered = self._wait()
        stored = self.objects.get(key)
        if (None if stored is None else _version(stored)) != expected:
            answered(None)
            raise Refused
        answered(data)
        self.objects[key] = data
        return _version(data)

    def remove(self, key: str) -> None:
        self._wait()(None)
        self.objects.pop(key, None)

    def list(self, prefix: str) -> Iterator[Listed]:
        raise NotImplementedError  # no actor lists


def _version(data: bytes) -> Version:
    return Version(hashlib.sha256(data).hexdigest(), None)


class Run:
    """Actors over one bucket, stopped before their next operations."""

    def __init__(self, actors: list[Actor], *, is_present: bool) -> None:
        self._local = threading.local()
        self._arrived = threading.Semaphore(0)
        self._is_abandoned = False
        self.bucket = Bucket(self._wait)
        self._is_present = is_present
        self.running = [_Running(number) for number in range(len(actors))]
        self._threads = [
            threading.Thread(target=self._act, args=(each, actor), daemon=True)
            for each, actor in zip(self.running, actors, strict=True)
        ]

    def start(self) -> None:
        """Up to each actor's first operation."""
        if self._is_present:
            before = Bucket(lambda: lambda _: None)
            records = BucketRecords(before, writable=True)
            records.write(KEY, b"{}", records.read(KEY))
            self.bucket.objects = before.objects
        for thread in self._threads:
            thread.start()
            self._arrived.acquire()

    def step(self, number: int) -> None:
        """Let an actor do its next operation, up to the one after it."""
        self.running[number].chosen.release()
        self._arrived.acquire()
        error = self.running[number].error
        if error is not None:
            raise error
        self.check()

    @property
    def able(self) -> list[int]:
        return [each.number for each in self.running if not each.is_done]

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for runs that go on alike."""
        objects = tuple(sorted((key, _version(data).e_tag) for key, data in self.bucket.objects.items()))
        return objects, tuple((tuple(each.answers), each.is_done) for each in self.running)

    def check(self) -> None:
        """Raises Violation."""
        stored = self.bucket.objects.get(ROOT_KEY)
        root = Root() if stored is None else names._decode(documents.decode(stored, ROOT_KEY).data, FOLDER)
        if NAME in root.changing:
            return
        record = self.bucket.objects.get(RECORD_KEY)
        is_present = record is not None and documents.decode(record, RECORD_KEY).kind is Kind.PRESENT
        if root.settled.get(NAME, False) != is_present:
            raise Violation(f"The list says {root.settled.get(NAME, False)}, the record is there: {is_present}.")

    def end(self) -> None:
        self._is_abandoned = True
        for each in self.running:
            each.chosen.release()
        for thread in self._threads:
            thread.join()

    def _act(self, running: _Running, actor: Actor) -> None:
        self._local.running = running
        try:
            actor(BucketRecords(self.bucket, writable=True))
        except Abandoned:
            return
        except BaseException as error:  # noqa: BLE001 - raised by the thread that chooses
            running.error = error
        running.is_done = True
        self._arrived.release()

    def _wait(self) -> Callable[[object], None]:
        running: _Running = self._local.running
        self._arrived.release()
        running.chosen.acquire()
        if self._is_abandoned:
            raise Abandoned
        return lambda answer: running.answers.append(hashlib.sha256(repr(answer).encode()).hexdigest()[:16])

    def identity(self, _size: int) -> str:
        """In the place of random bits."""
        running: _Running | None = getattr(self._local, "running", None)
        if running is None:
            return f"{0:016x}"
        running.identities += 1
        return f"{running.number + 1:08x}{running.identities:08x}"


# -- all runs ---------------------------------------------------------------------------------------------------------


def explore(actors: list[Actor], *, is_present: bool, most: int | None = None) -> int:
    """Go through every order of the actors' steps; how many different states there were, at most `most`.

    Raises Violation, with the steps that led there.
    """
    seen: set[object] = set()
    todo: list[list[int]] = [[]]
    current: Run | None = None

    def identity(size: int = 8) -> str:
        assert current is not None
        return current.identity(size)

    def no_pause(attempt: int) -> None:
        """An actor waits until it is chosen."""

    with mock.patch("secrets.token_hex", identity), mock.patch.object(names, "pause", no_pause):
        while todo and (most is None or len(seen) < most):
            schedule = todo.pop()
            current = Run(actors, is_present=is_present)
            current.start()
            try:
                for number in schedule:
                    current.step(number)
                while current.key not in seen and len(schedule) < MOST_STEPS:
                    seen.add(current.key)
                    able = current.able
                    if not able:
                        break
                    todo += [[*schedule, number] for number in able[1:]]
                    schedule.append(able[0])
                    current.step(able[0])
            except Violation as violation:
                order = " ".join(str(number) for number in schedule)
                raise Violation(f"{violation} Steps, by the actors' numbers: {order}") from None
            finally:
                current.end()
    return len(seen)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--actors", nargs="+", default=list(ACTORS), choices=list(ACTORS))
    parser.add_argument("--most", type=int)
    arguments = parser.parse_args()
    for is_present in (False, True):
        actors = [ACTORS[name] for name in arguments.actors]
        print(f"{explore(actors, is_present=is_present, most=arguments.most)} states, no violation", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
