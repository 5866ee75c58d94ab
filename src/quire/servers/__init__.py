"""The HTTP servers that quire can run in: uvicorn, gunicorn and, for trying out, wsgiref.

Each one starts its worker processes by itself. None of them gets an application object: a worker imports the target
("module:attribute") and builds the application from QUIRE_SETTINGS, so that nothing that a fork or a spawn breaks (a
thread, a descriptor, an event loop) exists before it. A worker that dies is replaced by its server, but for uvicorn's
only one, which is the whole server.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence

from quire.config.settings import SETTINGS_VARIABLE, UNSUPPORTED_SERVERS, Settings
from quire.domain.errors import ConfigurationError
from quire.process.lean_structlog import (
    structlog,  # here too: a worker that is spawned, not forked, begins with this package
)
from quire.process.siblings import shared_folder
from quire.servers.leaving import leave_threads

ASGI_TARGET = "quire.http.entry:application"
WSGI_TARGET = "quire.http.entry:wsgi_application"

GRACE_SECONDS = 30
"""Seconds for running requests after the server began to stop."""
ENDING_SECONDS = 5
"""Seconds after the grace in which a process has to end. Both together, and some seconds of draining, are less than
service managers wait before they kill (`deploy/`)."""

_log = structlog.stdlib.get_logger("quire.servers")

# server: (our module, the distribution's extra that it needs)
_MODULES = {
    "uvicorn": ("quire.servers.with_uvicorn", None),
    "gunicorn": ("quire.servers.with_gunicorn", "gunicorn"),
    "wsgiref": ("quire.servers.with_wsgiref", None),
}


def chosen_server(settings: Settings) -> str:
    """The server that the setting stands for; says in a log line when that is not the one that was named."""
    if settings.server in UNSUPPORTED_SERVERS:
        _log.warning(f"--server {settings.server} is not needed any more; serving with uvicorn.")
        return "uvicorn"
    return "uvicorn" if settings.server == "auto" else settings.server


def log_start(
    settings: Settings, addresses: Sequence[str], server: str, workers: int, *, grants_decide: bool = False
) -> None:
    """Log one line: the directory, the addresses, the server, and the users who may upload. `addresses`: as in URLs."""
    where = " and ".join(f"http://{address}{settings.server_base_url}/" for address in addresses)
    more = f" and {len(settings.directories) - 1} more" if len(settings.directories) > 1 else ""
    if settings.read_only:
        uploads = "read-only"
    elif grants_decide:
        uploads = "the grants say which users may upload ('quire grants')"
    elif "update" not in settings.authenticate:
        uploads = "uploads need no login"
    elif not settings.has_logins:
        uploads = "uploads need a token" if settings.rights == "store" else "no user may upload"
    else:
        users = [] if settings.passwords is None else [f"the users in {settings.passwords}"]
        users += [] if settings.user_header is None else ["those that the proxy names"]
        uploads = f"{' and '.join(users)} may upload"
    count = "1 worker" if workers == 1 else f"{workers} workers"
    _log.info(f"Serving {settings.root}{more} on {where} with {server}, {count}; {uploads}.")


def host_and_port(address: Sequence[object]) -> str:
    """A socket's address as it stands in a URL."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def run(settings: Settings, target: str | None = None, *, grants_decide: bool = False) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code, 0 after such a signal.

    The process ends here when threads still work after that: work that no request waits for.

    `target` is "module:attribute" of an ASGI application (for wsgiref: WSGI); quire's own when None.
    `grants_decide`: whether the store's grants say which users may upload, and not the settings; for the log.
    Raises ConfigurationError when the server is not installed or the address cannot be bound. Some servers leave by
    SystemExit, in the main process and in forked workers.
    """
    name = chosen_server(settings)
    module_name, extra = _MODULES[name]
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if extra is None or (error.name or "").startswith("quire"):
            raise
        raise ConfigurationError(
            f"The server {name} is not installed; install it beside quire, or quire with its extra [{extra}]."
        ) from error
    os.environ[SETTINGS_VARIABLE] = settings.dump()
    serve: Callable[..., int] = module.serve
    with shared_folder():
        target = target or (WSGI_TARGET if name == "wsgiref" else ASGI_TARGET)
        code = serve(settings, target, grants_decide=grants_decide)
    leave_threads(code)
    return code
