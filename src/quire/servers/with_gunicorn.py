"""gunicorn, for installations that have a gunicorn.conf.py already.

Precedence is gunicorn's own: GUNICORN_CMD_ARGS, then gunicorn.conf.py, then our own defaults (address,
workers). Two things stand above it: `--workers` given to quire, and the worker class: quire is an ASGI application,
which the sync, gthread and gevent workers cannot run.
"""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import structlog
from gunicorn.app.base import Application, BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config, get_default_config_file
from gunicorn.errors import ConfigError

from quire.config.resolving import check_workers
from quire.config.settings import Settings
from quire.domain.errors import ConfigurationError, reason_of
from quire.servers import GRACE_SECONDS, host_and_port, log_start
from quire.servers.binding import free_address
from quire.servers.draining import Drain
from quire.servers.limits import raise_descriptor_limit
from quire.servers.loading import forked_workers_obey_signals, load

WORKER = "quire.servers.gunicorn_worker.Worker"

_OF_ITS_OWN_WORKERS = (
    *("access_log_format", "limit_request_field_size", "limit_request_fields", "limit_request_line", "post_request"),
    *("pre_request", "proxy_protocol", "worker_connections"),
)
"""gunicorn's settings that have no effect here."""

_log = structlog.stdlib.get_logger("quire.servers")


def serve(settings: Settings, target: str, *, grants_decide: bool = False) -> int:
    """See quire.servers.run. gunicorn leaves by SystemExit, in the main process and in its workers."""
    application = _Application(settings, target)
    _check_addresses(application.cfg)
    check_workers(settings.root, application.cfg.workers)
    raise_descriptor_limit()
    forked_workers_obey_signals()
    addresses = [each if isinstance(each, str) else host_and_port(each) for each in application.cfg.address]
    log_start(settings, addresses, "gunicorn", application.cfg.workers, grants_decide=grants_decide)
    application.run()
    return 0


class _Arbiter(Arbiter):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn's main process."""

    drain: Drain

    def handle_term(self) -> None:
        if not self.drain.goes_on():
            super().handle_term()


class _Running(BaseApplication):  # type: ignore[misc]  # as above
    """The last step of gunicorn's `run`, where it makes its main process; comes after `Application` in the order."""

    drain: Drain

    def run(self) -> None:
        """Raises ConfigurationError where gunicorn itself would print and leave."""
        try:
            arbiter = _Arbiter(self)
            arbiter.drain = self.drain
            arbiter.run()
        except RuntimeError as error:
            raise ConfigurationError(f"gunicorn cannot serve: {error}.") from error


class _Application(Application, _Running):  # type: ignore[misc]  # as above
    """Configuration and target, as gunicorn's arbiter asks for them; again at each reload (SIGHUP)."""

    def __init__(self, settings: Settings, target: str) -> None:
        self._settings = settings
        self._target = target
        self.drain = Drain.of(settings)
        super().__init__(prog="gunicorn")

    def load(self) -> Callable[..., Any]:
        return load(self._target)

    def do_load_config(self) -> None:
        """Raises ConfigurationError, where gunicorn itself would print and leave."""
        try:
            self.load_default_config()
            self.load_config()
            self.cfg.validate()
        except (ConfigError, ValueError, TypeError, RuntimeError, AttributeError, OSError, ImportError) as error:
            raise ConfigurationError(f"gunicorn's configuration is wrong: {reason_of(error)}.") from error

    def load_config(self) -> None:
        """gunicorn's own order of sources; but never sys.argv, which holds our flags."""
        for name, value in _our_defaults(self._settings).items():
            self.cfg.set(name, value)
        self.chdir()
        parser = self.cfg.parser()
        try:
            arguments = parser.parse_args(self.cfg.get_cmd_args_from_env())
        except SystemExit as error:  # argparse has printed which one
            raise ConfigurationError("GUNICORN_CMD_ARGS is not understood by gunicorn; see above.") from error
        if file := arguments.config or get_default_config_file():
            self.load_config_from_file(file)
        elif self._settings.verbosity < 2 and not self.cfg.get_cmd_args_from_env():
            self.cfg.set("loglevel", "warning")  # its start takes a line for each worker; ours says the same in one
        for name, value in vars(arguments).items():
            if value is not None and name != "args":
                self.cfg.set(name.lower(), value)
        overridden = _override(self.cfg, self._settings)
        if overridden:
            _log.warning(f"Of gunicorn's configuration quire overrides {'; '.join(overridden)}.")
        self.chdir()

    def get_config_from_filename(self, filename: str) -> dict[str, Any]:
        """The names that a configuration file defines. Raises ConfigurationError when it does not run."""
        if not Path(filename).is_file():
            raise ConfigurationError(f"gunicorn's configuration file {filename} does not exist.")
        try:
            return vars(_execute(filename))
        except Exception as error:  # it is a program: anything can come out of it
            line = _line_in(filename, error)
            raise ConfigurationError(
                f"gunicorn's configuration file {filename} fails{line} with {type(error).__name__}: {error}."
            ) from error


def _our_defaults(settings: Settings) -> dict[str, Any]:
    """The settings of the weakest source."""
    return {
        "bind": host_and_port((settings.host, settings.port)),
        "workers": settings.workers,
        "proc_name": "quire",
        "graceful_timeout": GRACE_SECONDS,
        "keepalive": settings.keep_alive_seconds,
        # gunicorn ends a body that is silent for this long without a word; the application, a little earlier, with one
        "timeout": max(30, math.ceil(settings.body_timeout) + 5),
        # a thread in the main process and a socket in the home directory, for a tool that few people run
        "control_socket_disable": True,
    }


def _override(configuration: Config, settings: Settings) -> list[str]:
    """Set the values that quire needs; the returned clauses name a person's other choices and why they do not count."""
    clauses = []
    chosen = configuration.settings["worker_class"].get()
    name = chosen if isinstance(chosen, str) else getattr(chosen, "__name__", str(chosen))
    if name not in {"sync", "uvicorn_worker.UvicornWorker"}:  # sync: gunicorn's default, not a choice
        clauses.append(f"worker_class {name!r} by uvicorn's worker, as quire is an ASGI application")
    configuration.set("worker_class", WORKER)
    if configuration.threads > 1:
        clauses.append("threads, as an ASGI worker serves many requests in one thread")
        configuration.set("threads", 1)
    if settings.workers_chosen and configuration.workers != settings.workers:
        clauses.append(f"workers = {configuration.workers}, as --workers {settings.workers} was given")
        configuration.set("workers", settings.workers)
    for name, none in (("forwarded_allow_ips", ""), ("secure_scheme_headers", {})):
        if _is_chosen(configuration, name):
            clauses.append(f"{name}, as --trusted-proxies and --trusted-headers say what is believed")
        configuration.set(name, none)
    ignored = [name for name in _OF_ITS_OWN_WORKERS if _is_chosen(configuration, name)]
    if ignored:
        clauses.append(f"{', '.join(ignored)}, which only gunicorn's own workers know")
    if configuration.settings["wsgi_app"].get() or configuration.settings["paste"].get():
        clauses.append("the application, as quire serves itself")
    return clauses


def _is_chosen(configuration: Config, name: str) -> bool:
    """Whether a setting has another value than gunicorn's default."""
    setting = configuration.settings[name]
    return bool(setting.get() != type(setting)().get())


def _execute(filename: str) -> ModuleType:
    name = "__config__"
    specification = importlib.util.spec_from_file_location(name, filename)
    if specification is None or specification.loader is None:
        raise ConfigurationError(f"gunicorn's configuration file {filename} is not a .py file.")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _line_in(filename: str, error: Exception) -> str:
    """Where in the file the error came from, as ` in line 7`; empty when unknown."""
    found = error.lineno if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == filename:
            found = trace.tb_lineno
        trace = trace.tb_next
    return f" in line {found}" if found else ""


def _check_addresses(configuration: Config) -> None:
    """Raise ConfigurationError when an address cannot be bound: gunicorn would try for five seconds, then leave."""
    if "GUNICORN_FD" in os.environ or "LISTEN_FDS" in os.environ:
        return  # the sockets are inherited: from the gunicorn that is being upgraded, or from systemd
    for address in configuration.address:
        if isinstance(address, tuple):
            free_address(*address)
