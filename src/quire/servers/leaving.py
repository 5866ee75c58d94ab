"""The end of a process that waits neither for its threads nor, in the end, for anything else.

Python waits at its end for every thread of a pool, however long its work takes: the examination of an archive of
gigabytes, or a read from a disk that does not answer. The manager of the service would kill the process meanwhile. All
such work may be cut off at any point, as it is when a process is killed: what was acknowledged is on disk.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from typing import NoReturn

import structlog

from quire.observe.log_output import drain_all
from quire.process.siblings import folder_of

THREADS_SECONDS = 2.0
"""For threads to end what they do."""
_LAST_SECONDS = 1.0
"""For the last lines of the log, on a disk that may not answer."""

_log = structlog.stdlib.get_logger("quire.servers")


def leave_threads(code: int) -> None:
    """End the process with this exit code if threads still work after some seconds; return if none does. For the end of
    a process, in its first thread."""
    ends = time.monotonic() + THREADS_SECONDS
    working = [
        thread for thread in threading.enumerate() if not thread.daemon and thread is not threading.current_thread()
    ]
    for thread in working:
        thread.join(max(0.0, ends - time.monotonic()))
    left = sorted(thread.name for thread in working if thread.is_alive())
    if left:
        _leave(code, f"Stopped without waiting for the work of threads: {', '.join(left)}.", removes_folder=False)


def leave_at_last(seconds: float) -> None:
    """End the process, the only one of a server that was told to stop, with exit code 0 and without the folder that it
    made (`siblings`), if it is still there after so many seconds."""
    sentence = "Stopped before everything had ended, as that took too long."
    timer = threading.Timer(seconds, _leave, (0, sentence), {"removes_folder": True})
    timer.daemon = True
    timer.start()


def _leave(code: int, sentence: str, *, removes_folder: bool) -> NoReturn:
    def tidy() -> None:
        _log.warning(sentence)
        if removes_folder and (folder := folder_of(os.environ)) is not None:
            shutil.rmtree(folder, ignore_errors=True)
        drain_all()
        sys.stdout.flush()
        sys.stderr.flush()

    last = threading.Thread(target=tidy, daemon=True)
    last.start()
    last.join(_LAST_SECONDS)
    os._exit(code)
