"""The order of the steps of several actors over one store in memory, chosen one by one, and all orders gone through.

An actor is a thread whose every operation on a record waits until it is chosen. All that an actor does follows from the
answers that it got. So two runs in which each actor got the same answers, and that left the same records, go on alike:
only one of them is continued. That makes the number of runs finite, and small.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from typing import Any

from quire.store.contracts import Names, Record
from quire.store.memory import MemoryRecords, MemoryState, MemoryStore

Actor = Callable[[MemoryStore], object]
Seen = tuple[object, ...]


class Abandoned(BaseException):
    """The run is not continued."""


class _Pace:
    """One actor, which waits before each operation."""

    def __init__(self) -> None:
        self._go, self._arrived = threading.Semaphore(0), threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        self._ends = False
        self.answers: list[Seen] = []
        self.is_done = False
        self.error: BaseException | None = None

    def start(self, actor: Callable[[], object]) -> None:
        def run() -> None:
            try:
                actor()
            except Abandoned:
                pass
            except BaseException as error:  # noqa: BLE001 - raised by the test's thread
                self.error = error
            self.is_done = True
            self._arrived.release()

        self._thread = threading.Thread(target=run)
        self._thread.start()
        self._arrived.acquire()

    def wait(self) -> None:
        """Called by the actor."""
        self._arrived.release()
        self._go.acquire()
        if self._ends:
            raise Abandoned

    def step(self) -> None:
        """One operation, and on to the next one."""
        self._go.release()
        self._arrived.acquire()

    def end(self) -> None:
        assert self._thread is not None
        while not self.is_done:
            self._ends = True
            self.step()
        self._thread.join()


class _Records(MemoryRecords):
    """Records whose operations wait, and note what they answered."""

    def __init__(self, store: MemoryStore, paces: _Pace, number: int, versions: dict[str, tuple[Seen, ...]]) -> None:
        super().__init__(store.state, store.faults, writable=True)
        self._pace, self._number, self._versions = paces, number, versions

    def read(self, key: str, known: Record | None = None) -> Record:
        self._pace.wait()
        record = super().read(key, known)
        self._pace.answers.append(("read", key, self._versions.get(key, ()), record is known))
        return record

    def write(
        self, key: str, data: bytes | None, expected: Record, note: bytes | None = None, *, durable: bool = True
    ) -> Record:
        self._pace.wait()
        self._pace.answers.append(("write", key, self._versions.get(key, ()), expected.tag))
        record = super().write(key, data, expected, note, durable=durable)
        self._versions[key] = (*self._versions.get(key, ()), (self._number, len(self._pace.answers)))
        return record

    def names(self, prefix: str, known: Names | None = None) -> Names:
        self._pace.wait()
        names = super().names(prefix, known)
        self._pace.answers.append(("names", names.tag, names is known))
        return names

    def confirm(self, record: Record) -> None:
        """No step of its own: nothing follows from it."""

    def unchanged(self, known: Record) -> bool:
        return self.read(known.key, known) is known


class Run:
    """One run: a new store, its actors, and the steps that were chosen so far."""

    def __init__(self, prepare: Callable[[], MemoryState], actors: Mapping[str, Actor]) -> None:
        self.state = prepare()
        self.versions: dict[str, tuple[Seen, ...]] = {}
        self.paces = {name: _Pace() for name in actors}
        self.begun = 0
        for number, (name, actor) in enumerate(actors.items()):
            store = MemoryStore(self.state)
            store._records = _Records(store, self.paces[name], number, self.versions)
            self.paces[name].start(lambda actor=actor, store=store: actor(store))  # type: ignore[misc]

    @property
    def ready(self) -> list[str]:
        return [name for name, paces in self.paces.items() if not paces.is_done]

    @property
    def key(self) -> Any:
        """Equal for runs that go on alike."""
        return (
            tuple(tuple(paces.answers) for paces in self.paces.values()),
            tuple(sorted(self.versions.items())),
        )

    def step(self, name: str) -> None:
        self.paces[name].step()
        if self.paces[name].error is not None:
            raise AssertionError(f"{name} failed") from self.paces[name].error

    def end(self) -> None:
        for paces in self.paces.values():
            paces.end()


def explore(
    prepare: Callable[[], MemoryState],
    actors: Callable[[], Mapping[str, Actor]],
    observe: Callable[[MemoryState], object],
    judge: Callable[[list[object]], None],
    *,
    most: int | None = None,
) -> int:
    """Go through all orders, or `most` of them, drawn by chance; how many ended. `actors` are made for each run.

    `observe`: what is true of a state; `judge` gets what was observed after each step of a run, and raises.
    """
    known: set[Any] = set()
    chance = random.Random(7)
    ended, waiting = 0, [tuple[str, ...]()]
    while waiting and (most is None or ended < most):
        way = waiting.pop(chance.randrange(len(waiting)))
        run = Run(prepare, actors())
        try:
            seen = [observe(run.state)]
            for name in way:
                run.step(name)
                seen.append(observe(run.state))
            while True:
                judge(seen)
                ready = run.ready
                if not ready:
                    ended += 1
                    break
                if run.key in known:
                    break
                known.add(run.key)
                waiting += [(*way, name) for name in ready[1:]]
                way = (*way, ready[0])
                run.step(ready[0])
                seen.append(observe(run.state))
        except AssertionError as error:
            raise AssertionError(f"in the order {way}: {error}") from error
        finally:
            run.end()
    return ended
