"""Files of drop-in folders that cannot be served: logged once for all workers, and counted for the metrics."""

from __future__ import annotations

import os
import threading
from typing import Literal

import structlog

from quire.process.siblings import is_first_report

Reason = Literal["damaged", "unreadable", "directory"]
"""A file that is not whole and does not grow; a file that cannot be read; a directory that cannot be."""

_log = structlog.get_logger(__name__)


class Reports:
    """The reports of one worker. Safe to use from several threads."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {"damaged": 0, "unreadable": 0, "directory": 0}
        """By Reason: reports that no other worker of this server had made before. So the sum over the workers has each
        state of a file once."""
        self._lock = threading.Lock()

    def left_out(
        self, reason: Reason, path: str, state: object, sentence: str | None, *, is_known: bool = False
    ) -> None:
        """Report a file or directory that is not served, unless a worker of this server has.

        `state`: changes when the file does; another state is another report.
        `is_known`: an earlier server has logged it, so it is only counted.
        """
        if not is_first_report(f"{reason} {path} {state}", os.environ):
            return
        with self._lock:
            self.counts[reason] += 1
        if not is_known:
            event = "directory left out" if reason == "directory" else "file left out"
            _log.warning(event, path=path, reason=sentence)

    @staticmethod
    def store_failed(event: str, record: str, error: Exception) -> None:
        """Log that shared digests could not be stored or read; it costs time, no answer."""
        if is_first_report(f"{event} {record} {error}", os.environ):
            _log.warning(event, record=record, reason=str(error))


def state_of(path: str) -> object:
    """A value that changes with an unreadable file or directory, its permissions included; None if it has no status."""
    try:
        return os.lstat(path).st_ctime_ns
    except OSError:
        return None
