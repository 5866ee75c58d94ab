"""Jobs in forked processes: what one remembers, no other does."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

Job = Callable[[], dict[str, Any]]
_FORK = multiprocessing.get_context("fork")


class Counters:
    """Numbers that all processes see, each written by one of them."""

    def __init__(self, count: int) -> None:
        self._numbers = _FORK.Array("Q", count, lock=False)

    def __getitem__(self, which: int) -> int:
        return int(self._numbers[which])

    def __setitem__(self, which: int, number: int) -> None:
        self._numbers[which] = number


def together(jobs: Sequence[Job]) -> Iterator[dict[str, Any]]:
    """Run each job in a process of its own; what they return, as they end. Raises RuntimeError when one fails."""
    answers: Any = _FORK.SimpleQueue()

    def answer_for(job: Job) -> None:
        try:
            answers.put(job())
        except BaseException:  # noqa: BLE001 - shown by the process that waits
            answers.put({"failed": traceback.format_exc()})

    with background([partial(answer_for, job) for job in jobs]):
        for _ in jobs:
            answer = answers.get()
            if "failed" in answer:
                raise RuntimeError(answer["failed"])
            yield answer


@contextmanager
def background(jobs: Sequence[Callable[[], object]]) -> Iterator[None]:
    """Run jobs that need not end: they are killed afterwards."""
    processes = [_FORK.Process(target=job) for job in jobs]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()
