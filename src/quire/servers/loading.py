"""Importing the application in a worker process, and how a worker that is not ready yet can be stopped.

Theory of operation. A worker that was forked has its parent's signal handlers until it installs its own, after the
application is imported. A SIGTERM in between sets a flag that is never read and is lost: the parent waits for that
worker until its patience ends. So from its first moment on, while starting, signals end the process at once. That
first moment is the fork itself: signals are blocked around it, and one that arrived meanwhile is delivered to the
child when its handlers are the default ones.
"""

from __future__ import annotations

import importlib
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from quire.domain.errors import ConfigurationError

_PR_SET_PDEATHSIG = 1
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def load(target: str) -> Callable[..., Any]:
    """The object that "module:attribute" names. Raises ConfigurationError when there is none."""
    module, _, attribute = target.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"The application {target} cannot be loaded ({error}).") from error
    return found


def forked_workers_obey_signals() -> None:
    """Have SIGTERM, SIGINT and SIGQUIT end every process that this one forks from now on, from its first moment on,
    until its server installs its handlers.

    For a main process whose server forks its workers itself; once per process: it cannot be undone.
    """

    def hold() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)  # those that waited are delivered at once

    def begin() -> None:
        if threading.current_thread() is threading.main_thread():  # only this one may
            for number in _STOPPING:
                signal.signal(number, signal.SIG_DFL)
        release()

    os.register_at_fork(before=hold, after_in_parent=release, after_in_child=begin)


def end_with_parent(parent: int) -> None:
    """Have the system send this process SIGTERM when the process that forked it, `parent`, ends in any way.

    Without it the workers of a killed server keep its port (prctl(2), PR_SET_PDEATHSIG). Does nothing where the system
    cannot do it.
    """
    try:
        import ctypes  # noqa: PLC0415 - the worker has it for its allocator in any case

        set_option = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return
    set_option(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != parent:  # it ended before
        os.kill(os.getpid(), signal.SIGTERM)
