"""uvicorn's server in a worker, of uvicorn's own main process or of gunicorn's."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator

from uvicorn import Server

_STOPS = (signal.SIGTERM, signal.SIGINT)


class WorkerServer(Server):
    """Ends at once by a signal to stop that comes before it serves.

    Its listener is open from before its start. uvicorn's own would look at the signal when the application is ready:
    meanwhile connections would wait in the listener's queue for an answer that never comes, however long the disk takes
    that the application reads from. No request is cut off, as none was read.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        with _signals_end_the_process():
            if self.should_exit:  # it came while the application was loaded
                signal.raise_signal(signal.SIGTERM)
            await super().startup(sockets)


@contextlib.contextmanager
def _signals_end_the_process() -> Iterator[None]:
    handlers = {number: signal.signal(number, signal.SIG_DFL) for number in _STOPS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
