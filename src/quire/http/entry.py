"""Imported by servers: `application` (ASGI) and `wsgi_application`, made from QUIRE_SETTINGS when first asked for.

For one's own server: `create_application(settings)` of `quire.http.app.application`, or set QUIRE_SETTINGS, or
QUIRE_DIRECTORIES and the other QUIRE_* variables, and name `quire.http.entry:application`.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import Any

from starlette.types import ASGIApp

from quire.config.resolving import from_environment
from quire.http.app.application import create_application
from quire.http.app.reasons import install_reason_phrases
from quire.http.app.routes import RouteTable
from quire.http.app.tracing import traced
from quire.http.fast.fast_path import FastPath, FastPathApplication
from quire.observe.logs import configure
from quire.process.allocator import release_large_blocks

SWITCH_SECONDS = 0.0005
"""How long a thread that computes keeps others waiting. The event loop asks for the interpreter several times for each
answer, and with Python's own 5 ms another thread's rendering of a huge page would delay each answer several times."""


def __getattr__(name: str) -> Any:
    """Importing this module does nothing, so that a server may fork in between."""
    if name == "application":
        settings = from_environment(os.environ)
        configure(settings)
        install_reason_phrases()
        release_large_blocks(os.environ)
        sys.setswitchinterval(SWITCH_SECONDS)
        general = create_application(settings)
        worker = general.state.worker
        application: ASGIApp = traced(
            general, RouteTable(settings.server_base_url, settings.health_endpoint), os.environ
        )
        if not settings.no_fast_path:
            application = FastPathApplication(application, FastPath(worker, worker.indexes.default))
        globals()["application"] = application
        gc.freeze()  # the objects of a worker's start stay for good: no collection need go through them again
        return application
    if name == "wsgi_application":
        from quire.http.app.wsgi import WSGIApplication  # noqa: PLC0415 - ASGI servers need no adapter

        found = __getattr__("application")
        answering = found.application if isinstance(found, FastPathApplication) else found
        wsgi_application = globals()["wsgi_application"] = WSGIApplication(answering)
        return wsgi_application
    raise AttributeError(name)
