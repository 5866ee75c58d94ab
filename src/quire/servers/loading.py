"""Importing the application in a worker process.

A worker that was forked has its parent's signal handlers until it installs its own, after the application is
imported. A SIGTERM in between sets a flag in nobody's hands and is lost: the parent waits for that worker until its
patience ends. So, while starting, signals end the process at once.
"""

from __future__ import annotations

import importlib
import signal
import threading
from collections.abc import Callable
from typing import Any

from quire.errors import ConfigurationError


def load(target: str) -> Callable[..., Any]:
    """The object that "module:attribute" names. Raises ConfigurationError when there is none."""
    module, _, attribute = target.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"The application {target} cannot be loaded ({error}).") from error
    return found


def let_signals_end_the_process() -> None:
    """Give SIGTERM, SIGINT and SIGQUIT their default actions, until the server installs its handlers."""
    if threading.current_thread() is threading.main_thread():  # only this one may
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)


def load_in_forked_worker(target: str) -> Callable[..., Any]:
    """`load`, first thing in a worker that was forked."""
    let_signals_end_the_process()
    return load(target)
