"""Work in a process of its own, which leaves no trace in this one.

For libraries that start threads at their first use: a server that forks its workers must not have used them before.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def run_apart(work: Callable[[], T]) -> T:
    """Run this in a forked child; its result, which has to be picklable. Raises its errors. To be called while the
    process has no other threads.

    Raises OSError when no process can be made, RuntimeError when it died.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        result: T | None = None
        error: BaseException | None = None
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001 - raised again in the parent
            error = raised
        try:
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(pickle.dumps((error, result)))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    if not answer:
        raise RuntimeError("A process that was to check the store died; look at the system's log.")
    failure, value = pickle.loads(answer)  # noqa: S301 - of our own child
    if failure is not None:
        raise failure
    result_of_child: T = value
    return result_of_child
