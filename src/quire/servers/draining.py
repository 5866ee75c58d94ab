"""Going on for a while after SIGTERM, so that load balancers notice before the listener closes.

Theory of operation. A load balancer learns that a server goes away from its health check, seconds later than the server
itself. Requests in between would meet a closed port. So on the first SIGTERM the main process only marks that it
is draining: `/ready` then answers 503 in all workers, and everything else is served as before. After `--drain-seconds`
the main process sends SIGTERM to itself once more, and this one stops the server in its usual way: the listener closes,
and running requests are finished within the grace. A second SIGTERM from outside does not wait for the rest of the
time. SIGINT, a person's Ctrl-C, stops at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import structlog

from quire.config.settings import Settings
from quire.process.siblings import folder_of, mark_draining

_log = structlog.stdlib.get_logger("quire.servers")


class Drain:
    """Belongs to the main process of a server, or to its only process."""

    def __init__(self, seconds: float, folder: Path | None) -> None:
        """`folder`: the one that the server's processes share; None when they share none."""
        self._seconds = seconds
        self._folder = folder
        self._begun = False

    @classmethod
    def of(cls, settings: Settings) -> Drain:
        """As the settings have it, in the folder that the environment names."""
        return cls(settings.drain_seconds, folder_of(os.environ))

    def goes_on(self) -> bool:
        """To be asked at each SIGTERM: whether the server goes on serving for now, as it has to at the first one.

        From then on `/ready` answers 503, whether it goes on or not.
        """
        if self._folder is not None:
            mark_draining(self._folder)
        if self._begun or self._seconds <= 0:
            return False
        self._begun = True
        _log.info(f"Draining: /ready answers 503; stopping in {self._seconds:g} seconds.")
        timer = threading.Timer(self._seconds, os.kill, (os.getpid(), signal.SIGTERM))
        timer.daemon = True  # a second signal may stop the server earlier
        timer.start()
        return True

    def before(self, handler: Callable[..., object]) -> Callable[..., None]:
        """A handler of signals that asks `goes_on` at SIGTERM before it does what `handler` does."""

        def drain_first(number: int, frame: FrameType | None) -> None:
            if number != signal.SIGTERM or not self.goes_on():
                handler(number, frame)

        return drain_first
