"""Importing the application in a worker process.

A worker that was forked has its parent's signal handlers until it installs its own, after the application is
imported. A SIGTERM in between sets a flag in nobody's hands and is lost: the parent waits for that worker until its
patience ends. So, while importing, signals end the process at once.
"""

from __future__ import annotations

import importlib
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from quire.errors import ConfigurationError

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def load(target: str) -> Callable[..., Any]:
    """The object that "module:attribute" names. Raises ConfigurationError when there is none."""
    module, _, attribute = target.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"The application {target} cannot be loaded ({error}).") from error
    return found


@contextmanager
def signals_end_the_process() -> Iterator[None]:
    """Inside the block the default actions of SIGTERM, SIGINT and SIGQUIT; then the handlers of before again."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may change handlers
        return
    before = {number: signal.signal(number, signal.SIG_DFL) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: installed by something other than Python
                signal.signal(number, handler)


def load_in_forked_worker(target: str) -> Callable[..., Any]:
    """`load`, for a worker that installs its own handlers right after it: the parent's never come back."""
    if threading.current_thread() is threading.main_thread():
        for number in _ENDING:
            signal.signal(number, signal.SIG_DFL)
    return load(target)
