"""gunicorn's ASGI worker, that can also be stopped while it starts."""

from __future__ import annotations

from gunicorn.workers.gasgi import ASGIWorker

from quire.servers.loading import let_signals_end_the_process


class Worker(ASGIWorker):  # type: ignore[misc]  # gunicorn ships no types
    """One worker process: an event loop that serves many requests at once.

    gunicorn's own installs its signal handlers before it imports the application. uvloop loses what arrives before it
    runs, and the arbiter then waits for the worker until its patience ends.
    """

    def init_process(self) -> None:
        let_signals_end_the_process()  # until here the arbiter's handlers are in force, inherited by the fork
        super().init_process()

    def init_signals(self) -> None:
        """Called before the import: too early, see `run`."""

    def run(self) -> None:
        self.loop.call_soon(super().init_signals)
        super().run()
