"""Jobs of several threads are done together, in order, each thread working for no longer than its own job takes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from quire.index.batches import MOST_JOBS, Combiner
from tests.serving import until


@dataclass(eq=False)
class Job:
    number: int
    done: bool = False


def finish(jobs: Sequence[Job]) -> None:
    for job in jobs:
        job.done = True


@dataclass
class Scene:
    """A combiner whose first attempt waits until it is told to go on."""

    combiner: Combiner[Job] = field(default_factory=Combiner)
    attempts: list[list[int]] = field(default_factory=list)
    leaders: list[int] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    outcome: Callable[[Sequence[Job]], None] = finish

    def attempt(self, jobs: Sequence[Job]) -> None:
        self.attempts.append([job.number for job in jobs])
        self.leaders.append(threading.get_ident())
        assert self.gate.wait(30)
        self.outcome(jobs)

    def begin(self, number: int) -> None:
        """Another thread with a job, in the queue when this returns."""
        job = Job(number)

        def run() -> None:
            self.combiner.run("key", job, self.attempt)
            assert job.done

        thread = threading.Thread(target=run)
        self.threads.append(thread)
        thread.start()
        until(lambda: self.combiner.waiting("key") == len(self.threads))

    def end(self) -> None:
        self.gate.set()
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive()
        assert self.combiner.waiting("key") == 0


def test_jobs_that_wait_are_done_together_in_their_order() -> None:
    """While one is attempted the others collect, and the next attempt has all of them; another thread leads it."""
    scene = Scene()
    for number in range(5):
        scene.begin(number)
    scene.end()
    assert scene.attempts == [[0], [1, 2, 3, 4]]
    assert len(set(scene.leaders)) == 2


def test_an_attempt_has_a_bound() -> None:
    """However many wait, no attempt takes more than MOST_JOBS."""
    scene = Scene()
    for number in range(MOST_JOBS + 3):
        scene.begin(number)
    scene.end()
    assert [len(attempt) for attempt in scene.attempts] == [1, MOST_JOBS, 2]


def test_unfinished_jobs_are_attempted_again_before_later_ones() -> None:
    """An attempt may finish some of its jobs only; the others keep their places."""
    scene = Scene()

    def only_even(jobs: Sequence[Job]) -> None:
        for job in jobs:
            job.done = job.number % 2 == 0 or len(scene.attempts) > 2

    scene.outcome = only_even
    for number in range(5):
        scene.begin(number)
    scene.end()
    assert scene.attempts == [[0], [1, 2, 3, 4], [1, 3]]


def test_an_interrupted_leader_passes_on_the_lead() -> None:
    """KeyboardInterrupt in one thread, and the jobs of the others are done."""
    scene = Scene()
    interrupted = threading.Event()

    def interrupt() -> None:
        def attempt(jobs: Sequence[Job]) -> None:
            assert scene.gate.wait(30)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            scene.combiner.run("key", Job(0), attempt)
        interrupted.set()

    scene.threads.append(threading.Thread(target=interrupt))
    scene.threads[0].start()
    until(lambda: scene.combiner.waiting("key") == 1)
    for number in (1, 2):
        scene.begin(number)
    scene.end()
    assert interrupted.is_set()
    assert scene.attempts == [[1, 2]]


def test_the_lead_is_never_lost_between_threads() -> None:
    """Threads come and go between each other's steps: every job is done once, and no thread waits for ever."""
    combiner: Combiner[Job] = Combiner()
    done: list[int] = []
    errors: list[BaseException] = []

    def attempt(jobs: Sequence[Job]) -> None:
        done.extend(job.number for job in jobs if not job.done)
        finish(jobs)

    def work(first: int) -> None:
        try:
            for number in range(first, first + 3000):
                combiner.run("key", Job(number), attempt)
        except BaseException as error:  # noqa: BLE001 - told to the test
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(first,), daemon=True) for first in range(0, 24_000, 3000)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(interval)
    assert errors == []
    assert not any(thread.is_alive() for thread in threads)
    assert sorted(done) == list(range(24_000))
    assert combiner.waiting("key") == 0


def test_keys_do_not_wait_for_each_other() -> None:
    """A job of another key is done while the first key's attempt is held."""
    scene = Scene()
    scene.begin(0)
    other = Job(1)
    scene.combiner.run("other", other, finish)
    assert other.done
    scene.end()
