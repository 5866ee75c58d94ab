"""Jobs of several threads for one key, done together in the order of their arrival (flat combining).

Theory of operation. Each key with work has a queue. The first thread in it leads: it takes the jobs that wait, at most
`MOST_JOBS`, and has them attempted in one go; the other threads sleep until their job is done. A leader leaves as soon
as its own job is done, and the next thread in the queue leads. So no thread works for others for longer than for
itself, no job waits for one that arrived after it, and while one attempt waits for the disk the next one collects its
jobs.
(Hendler, Incze, Shavit, Tzafrir: Flat Combining and the Synchronization-Parallelism Tradeoff, SPAA 2010.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

MOST_JOBS: Final = 32
"""Jobs of one attempt."""


class Job(Protocol):
    """The work that a thread waits for. An attempt that finishes it makes `done` true."""

    @property
    def done(self) -> bool: ...


J = TypeVar("J", bound=Job)


class _Place(Generic[J]):
    """A thread in a queue."""

    __slots__ = ("job", "leads", "wakes")

    def __init__(self, job: J) -> None:
        self.job = job
        self.leads = False
        self.wakes = threading.Lock()  # held until the thread has something to do
        self.wakes.acquire()


class Combiner(Generic[J]):
    """The queues of all keys. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[str, list[_Place[J]]] = {}

    def run(self, key: str, job: J, attempt: Callable[[Sequence[J]], None]) -> None:
        """Return when `job` is done.

        `attempt` is called in one thread at a time for each key, with jobs that are not done, the oldest first. It
        finishes some of them, perhaps none: then it is called again. It must not raise for a job's sake; an exception
        such as KeyboardInterrupt ends the wait of the thread that meets it, and no other one's.
        """
        place = _Place(job)
        with self._lock:
            queue = self._queues.setdefault(key, [])
            queue.append(place)
            place.leads = queue[0] is place
        try:
            if not place.leads:
                place.wakes.acquire()
            while not job.done:
                with self._lock:
                    jobs = [each.job for each in queue[:MOST_JOBS]]
                attempt(jobs)
                if not job.done:
                    self._wake(self._finished(queue, place))
        finally:
            self._leave(key, queue, place)

    def waiting(self, key: str) -> int:
        """Jobs of this key that are not done."""
        with self._lock:
            return len(self._queues.get(key, ()))

    def _finished(self, queue: list[_Place[J]], leader: _Place[J]) -> list[_Place[J]]:
        with self._lock:
            return _take_finished(queue, leader)

    def _leave(self, key: str, queue: list[_Place[J]], place: _Place[J]) -> None:
        """Take the place away and pass on the lead, if the thread has it, in one step: a queue always has a leader."""
        with self._lock:
            finished = _take_finished(queue, place) if place.leads else []
            if place in queue:  # else its leader took it away
                queue.remove(place)
            if place.leads and queue:
                queue[0].leads = True
                finished.append(queue[0])
            elif place.leads:
                del self._queues[key]
        self._wake(finished)

    @staticmethod
    def _wake(places: Sequence[_Place[J]]) -> None:
        for each in places:
            each.wakes.release()


def _take_finished(queue: list[_Place[J]], leader: _Place[J]) -> list[_Place[J]]:
    """Take the places whose jobs are done out of the queue, but for the leader's: that ends with `_leave`."""
    finished = [each for each in queue if each.job.done and each is not leader]
    queue[:] = [each for each in queue if not each.job.done or each is leader]
    return finished
