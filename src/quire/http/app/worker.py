"""What the handlers call: the worker, one per process, and the index that their request is of.

Neither holds a truth of its own. Neither starts a thread or opens a file before the first request, so a server may make
a worker and fork after that.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import ParamSpec, TypeVar

import structlog
from starlette.requests import Request

from quire.access.authenticator import Accepted, Action, Authenticator, Busy, Throttled, Wrong, parse_basic
from quire.access.passwords import Passwords
from quire.catalog.served import IndexPolicy, ServedIndex
from quire.config.settings import Settings
from quire.domain.errors import NotFound, StoreError
from quire.domain.project import File
from quire.domain.reserved import Reserved
from quire.http.app.origins import AllowedHosts
from quire.http.app.periodic_sweep import sweep_periodically
from quire.http.app.problems import HttpError
from quire.http.app.proxies import TrustedProxies, peer_of
from quire.http.app.ready import Readiness, StoreProbe
from quire.http.app.renderings import Renderings
from quire.http.app.request_log import context_of
from quire.http.app.worker_metrics import WorkerMetrics
from quire.http.simple.accel import internal_location
from quire.index.index import Index
from quire.operations.opening import drop_ins_of
from quire.process.budget import Budget
from quire.process.siblings import folder_of, is_draining
from quire.process.threads import Threads
from quire.render.simple import Page
from quire.store.contracts import OpenBlob
from quire.store.opening import open_store

P = ParamSpec("P")
T = TypeVar("T")

LARGE_PAGES_PENDING = 128
"""Pieces of such work that run or wait. One takes up to some seconds, also for a client that has gone away."""
REMOVAL_DELAY = 300.0
"""Seconds that a file no longer listed stays on disk: who is downloading it over NFS could not finish otherwise."""
CHALLENGE = {"WWW-Authenticate": 'Basic realm="pypi", charset="UTF-8"'}
"""distutils' `register` gives its password to the realm `pypi` alone, which is that of pypiserver too."""

log = structlog.get_logger(__name__)


class Worker:
    """Everything one worker process needs to answer, beside its indexes."""

    def __init__(
        self,
        settings: Settings,
        indexes: Mapping[str, ServedIndex],
        *,
        budget: Budget,
        metrics: WorkerMetrics,
        threads: Threads,
        authenticator: Authenticator | None,
    ) -> None:
        """`indexes`: by name, at least that of the settings, which answers where a route names none."""
        self.settings = settings
        self.indexes = indexes
        self.default = indexes[settings.index]
        self.budget = budget
        self.metrics = metrics
        self.authenticator = authenticator
        self.readiness = Readiness(
            StoreProbe(self.default.hosted), lambda: is_draining(folder_of(os.environ)), shown=self.without_paths
        )
        self.proxies = TrustedProxies(settings.trusted_proxies, settings.trusted_headers)
        self.hosts = AllowedHosts(settings.allowed_hosts)
        self.renderings: Renderings[Page] = Renderings()
        self._roots = tuple(dict.fromkeys(os.path.realpath(directory) for directory in settings.directories))
        self._threads = threads
        self._large_pending = 0

    def start_periodic_sweep(self) -> asyncio.Task[None] | None:
        """Sweep the store now and then; the task to cancel at the end. None when it cannot be written."""
        if self.default.read_only:
            return None
        return asyncio.create_task(sweep_periodically(lambda age: self.in_writer(self.default.store.sweep, age)))

    def close(self) -> None:
        """Let go of threads. For the end of the process."""
        self._threads.close()
        if self.authenticator is not None:
            self.authenticator.close()

    # -- access -------------------------------------------------------------------------------------------------------

    async def authorize(self, request: Request, action: Action) -> str | None:
        """The user who may do this; None when nobody had to log in. Raises HttpError 401, 403, 429, 503."""
        if action not in self.settings.authenticate:
            return None
        user = await self.login(request, f"To {action}")
        if self.authenticator is not None and self.authenticator.may(user, action):
            return user
        raise HttpError(403, f"The user {user} has no right to {action}; ask the operator of the index.")

    async def login(self, request: Request, purpose: str) -> str:
        """The user whose credentials a request has. `purpose`: how the sentence begins that asks for some.

        Raises HttpError 401, 429, 503.
        """
        credentials = parse_basic(request.headers.get("authorization"))
        if credentials is None or self.authenticator is None:
            raise HttpError(401, f"{purpose} needs a login; give a user name and a password.", CHALLENGE)
        checks = self.authenticator.hash_checks
        client, context = self.proxies.client_address(request), context_of(request.scope)
        verdict = await self.authenticator.authenticate(credentials, client)
        if not isinstance(verdict, Accepted):
            raise self._refused(verdict, user=credentials.username[:100], client=client, request=context.request_id)
        self.metrics.tally.logins["remembered" if self.authenticator.hash_checks == checks else "checked"] += 1
        context.user = verdict.username
        return verdict.username

    def _refused(self, verdict: Wrong | Throttled | Busy, *, user: str, client: str, request: str) -> HttpError:
        """Count and log a login that was not accepted; what to tell the client."""
        logins = self.metrics.tally.logins
        if isinstance(verdict, Wrong):
            logins["wrong"] += 1
            log.warning("login failed", user=user, client=client, request=request)
            return HttpError(401, "The user name or the password is wrong.", CHALLENGE)
        again = f"try again in {verdict.retry_after} second{'s' * (verdict.retry_after > 1)}."
        if isinstance(verdict, Busy):
            logins["busy"] += 1
            log.info("login not looked at, too many are being checked", user=user, client=client, request=request)
            return HttpError(503, f"Too many logins are being checked; {again}", _retry_after(verdict.retry_after))
        logins["throttled"] += 1
        scope = verdict.scope.value
        log.info("login not looked at, too many failures", scope=scope, user=user, client=client, request=request)
        return HttpError(429, f"Too many failed logins {scope}; {again}", _retry_after(verdict.retry_after))

    def accel_location(self, request: Request, content: OpenBlob | bytes) -> str | None:
        """Where the proxy that asks finds the file, to send it itself; None for everybody else, and for HEAD."""
        locations = self.settings.accel_redirect
        if not locations or request.method != "GET" or not isinstance(content, OpenBlob) or not content.size:
            return None
        if not self.proxies.trusts(peer_of(request.scope)):
            return None
        return internal_location(content.path, self._roots, locations)

    def without_paths(self, sentence: str) -> str:
        """The sentence of an error with the served directories by their names alone: clients
        need not know where they are, and the operator finds the whole sentence in the log."""
        for root in sorted({*self.settings.directories, *self._roots}, key=len, reverse=True):
            name = os.path.basename(root)
            sentence = sentence.replace(root, name) if name else sentence
        return sentence

    # -- threads ------------------------------------------------------------------------------------------------------

    async def in_reader(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work that only reads."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads.readers(), partial(function, *args, **kwargs)
        )

    async def for_large_page(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what reads or renders much at once. Listings and downloads never wait behind it.

        Raises HttpError 503 when too much of it waits.
        """
        if self._large_pending >= LARGE_PAGES_PENDING:
            raise HttpError(503, "Too many large pages are being made; try again in some seconds.")
        self._large_pending += 1
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._threads.large_pages(), partial(function, *args, **kwargs))
        work.add_done_callback(self._large_page_done)
        return await work

    def _large_page_done(self, _: object) -> None:
        self._large_pending -= 1

    async def in_sender(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Read a piece of a file that is being downloaded."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads.senders(), partial(function, *args, **kwargs)
        )

    async def in_writer(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work that writes. Reads never wait behind it."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads.writers(), partial(function, *args, **kwargs)
        )

    def remove_blobs_later(self, index: Index, files: tuple[File, ...]) -> None:
        """Give the space of files that are no longer listed back, after a delay for those who still download them."""
        if files:
            loop = asyncio.get_running_loop()
            loop.call_later(REMOVAL_DELAY, lambda: self._threads.writers().submit(_remove_blobs, index, files))


def build_worker(settings: Settings) -> Worker:
    """Store, index, sources, access and worker, as the settings say: what every server serves.

    Starts no thread and opens no file before the first request, so a server may fork after that.
    Raises ConfigurationError, StoreError, UnknownLayout.
    """
    metrics, threads, budget = WorkerMetrics(settings), Threads(), Budget(settings.cache_size)
    store = open_store(settings.root, read_only=settings.read_only, coarse_changes=settings.coarse_changes)
    policy = IndexPolicy(
        overwrite=settings.overwrite,
        fallback_url=settings.fallback_url,
        reserved=Reserved(settings.local),
        hash_algorithm=settings.hash_algorithm,
    )
    folder = drop_ins_of(
        settings, store, stores_facts=store.writable, algorithms=policy.further_algorithms, budget=budget
    )
    index = ServedIndex(
        Index(store, settings.index), folder, policy, budget=budget, threads=threads, tallies=metrics.tally.barriers
    )
    authenticator = Authenticator(Passwords(settings.passwords)) if settings.passwords is not None else None
    worker = Worker(
        settings, {index.name: index}, budget=budget, metrics=metrics, threads=threads, authenticator=authenticator
    )
    metrics.watch(
        index.hosted.commits,
        folder,
        worker.readiness,
        project=index.projects.memory,
        projects=index.project_names.memory,
        facts=folder.facts,
        documents=folder.documents,
        count=index.file_count.memory,
    )
    return worker


def worker_of(request: Request) -> Worker:
    """The worker that answers a request."""
    worker: Worker = request.app.state.worker
    return worker


def index_of(request: Request) -> ServedIndex:
    """The index that a request is of: its route names it (`{index}`), or means the default one.

    Raises NotFound when there is no such index.
    """
    worker, name = worker_of(request), request.path_params.get("index")
    index = worker.default if name is None else worker.indexes.get(name)
    if index is None:
        raise NotFound(f"There is no index {str(name)[:200]!r}.")
    return index


def _remove_blobs(index: Index, files: tuple[File, ...]) -> None:
    try:
        index.remove_blobs(files)
    except StoreError as error:
        log.warning("blobs not removed, gc will", error=str(error))


def _retry_after(seconds: int) -> dict[str, str]:
    return {"Retry-After": str(seconds)}
