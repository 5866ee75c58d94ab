"""What the handlers call: one per worker process, made from the settings, holding no truth of its own.

Nothing here starts a thread or opens a file before the first request, so a server may make it and fork after that.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import structlog
from starlette.requests import Request

from quire.access.authenticator import Accepted, Action, Authenticator, Busy, Throttled, Wrong, parse_basic
from quire.access.passwords import Passwords
from quire.catalog.freshness import Barrier
from quire.catalog.views import NamesView, Pages, ProjectNames, Projects, ProjectView
from quire.config.settings import Settings
from quire.domain.errors import NotFound, StoreError
from quire.domain.names import is_normalized
from quire.domain.project import File
from quire.domain.reserved import Reserved
from quire.dropin.folder import Folder
from quire.http.app.origins import AllowedHosts
from quire.http.app.periodic_sweep import sweep_periodically
from quire.http.app.problems import HttpError
from quire.http.app.proxies import TrustedProxies, peer_of
from quire.http.app.ready import Readiness, StoreProbe
from quire.http.app.renderings import Renderings
from quire.http.app.request_log import context_of
from quire.http.app.worker_metrics import WorkerMetrics
from quire.http.simple.accel import internal_location
from quire.http.simple.file_list import FileList, FileLists
from quire.http.simple.overview import FileCount
from quire.index.index import Index
from quire.process.budget import Budget, Memory
from quire.process.siblings import folder_of, is_draining
from quire.render.simple import Page
from quire.store.contracts import OpenBlob
from quire.store.opening import open_store

P = ParamSpec("P")
T = TypeVar("T")

READ_THREADS = 16
SEND_THREADS = 16  # of their own: slow disks under downloads must not hold up the listings
LARGE_PAGE_THREADS = 2  # for what takes the processor for long: more of them would only take it from the others
LARGE_PAGES_PENDING = 128
"""Pieces of such work that run or wait. One takes up to some seconds, also for a client that has gone away."""
SEARCHED_BYTES = 8 * 1024 * 1024
"""What searches may remember: some thousand projects with a few files each."""
WRITE_THREADS = 32  # a write mostly waits for the disk
REMOVAL_DELAY = 300.0
"""Seconds that a file no longer listed stays on disk: who is downloading it over NFS could not finish otherwise."""
CHALLENGE = {"WWW-Authenticate": 'Basic realm="pypi", charset="UTF-8"'}
"""distutils' `register` gives its password to the realm `pypi` alone, which is that of pypiserver too."""

log = structlog.get_logger(__name__)


class Service:
    """Everything one worker needs to answer."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigurationError, StoreError, UnknownLayout."""
        self.settings = settings
        self.budget = Budget(settings.cache_size)
        self.store = open_store(settings.root, read_only=settings.read_only, coarse_changes=settings.coarse_changes)
        self.index = Index(self.store, settings.index)
        # The store's own folder is never one of packages (opening it has made sure), so it need not be looked at.
        self.folder = Folder(
            [Path(directory) for directory in settings.drop_in_roots],
            digests=self.store.records,
            index=settings.index,
            exclude=[] if self.store.home is None else [Path(self.store.home)],
            algorithms=self.further_algorithms,
            budget=self.budget,
            facts_are_stored=self.store.writable,
        )
        self._reserved = Reserved(settings.local)
        self._roots = tuple(dict.fromkeys(os.path.realpath(directory) for directory in settings.directories))
        self.searched: Memory[ProjectView] = Memory(Budget(SEARCHED_BYTES))
        """Views for searches (`quire.http.api.xmlrpc`), apart from those of pages."""
        self.file_count = FileCount(self.index, self.folder, budget=self.budget)
        self.metrics = WorkerMetrics(settings)
        self.readiness = Readiness(
            StoreProbe(self.index), lambda: is_draining(folder_of(os.environ)), shown=self.without_paths
        )
        self.proxies = TrustedProxies(settings.trusted_proxies, settings.trusted_headers)
        self.hosts = AllowedHosts(settings.allowed_hosts)
        self.authenticator = Authenticator(Passwords(settings.passwords)) if settings.passwords is not None else None
        self._reading: ThreadPoolExecutor | None = None
        self._sending: ThreadPoolExecutor | None = None
        self._large: ThreadPoolExecutor | None = None
        self._large_pending = 0
        self._writing: ThreadPoolExecutor | None = None
        inline = self.store.validates_inline and self.folder.validates_inline
        beside = self.folder if self.folder.roots else None
        self.projects: Barrier[ProjectView] = Barrier(
            Projects(self.index, beside),
            inline=inline,
            budget=self.budget,
            executor=self._readers,
            tally=self.metrics.tally.barriers["project"],
        )
        self.project_names: Barrier[NamesView] = Barrier(
            ProjectNames(self.index, beside),
            inline=inline,
            budget=self.budget,
            executor=self._readers,
            tally=self.metrics.tally.barriers["projects"],
        )
        self.file_list: Barrier[FileList] = Barrier(
            FileLists(self.index, beside), inline=False, budget=self.budget, executor=self._large_pages
        )
        self.renderings: Renderings[Page] = Renderings()
        self.home_pages = Pages()
        self.metrics.watch(
            self.index.commits,
            self.folder,
            self.readiness,
            project=self.projects.memory,
            projects=self.project_names.memory,
            facts=self.folder.facts,
            documents=self.folder.documents,
            count=self.file_count.memory,
        )

    @property
    def further_algorithms(self) -> tuple[str, ...]:
        """The hash of file links, where it is none that every file has anyway."""
        algorithm = self.settings.hash_algorithm
        return () if algorithm in {None, "sha256", "md5"} else (str(algorithm),)

    @property
    def read_only(self) -> bool:
        """Whether uploads and other changes are refused."""
        return not self.store.writable

    def start_periodic_sweep(self) -> asyncio.Task[None] | None:
        """Sweep the store now and then; the task to cancel at the end. None when it cannot be written."""
        if self.read_only:
            return None
        return asyncio.create_task(sweep_periodically(lambda age: self.in_writer(self.store.sweep, age)))

    def close(self) -> None:
        """Let go of threads. For the end of the process."""
        for executor in (self._reading, self._sending, self._large, self._writing):
            if executor is not None:
                executor.shutdown(wait=False, cancel_futures=True)
        if self.authenticator is not None:
            self.authenticator.close()

    # -- reading ------------------------------------------------------------------------------------------------------

    async def project(self, name: str) -> ProjectView:
        """The project of this normalized name as it is now; see ProjectView.exists. Raises NotFound for a bad name."""
        if not is_normalized(name):
            raise NotFound(f"{name[:200]!r} is not a normalized project name.")
        return await self.projects.get(name)

    async def is_local(self, view: ProjectView) -> bool:
        """Whether a project's name belongs to this index, also while it has no files: then nobody is sent elsewhere.

        Raises StoreError when that cannot be told.
        """
        if view.exists or view.record.was_written or view.name in self._reserved:
            return True
        return await self.in_reader(self.folder.claims, view.name)

    async def names(self) -> NamesView:
        """The list of projects as it is now."""
        return await self.project_names.get("")

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

    def _readers(self) -> ThreadPoolExecutor:
        if self._reading is None:
            self._reading = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="read")
        return self._reading

    def _large_pages(self) -> ThreadPoolExecutor:
        if self._large is None:
            self._large = ThreadPoolExecutor(LARGE_PAGE_THREADS, thread_name_prefix="large")
        return self._large

    def _writers(self) -> ThreadPoolExecutor:
        if self._writing is None:
            self._writing = ThreadPoolExecutor(WRITE_THREADS, thread_name_prefix="write")
        return self._writing

    async def in_reader(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work that only reads."""
        return await asyncio.get_running_loop().run_in_executor(self._readers(), partial(function, *args, **kwargs))

    async def for_large_page(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what reads or renders much at once. Listings and downloads never wait behind it.

        Raises HttpError 503 when too much of it waits.
        """
        if self._large_pending >= LARGE_PAGES_PENDING:
            raise HttpError(503, "Too many large pages are being made; try again in some seconds.")
        self._large_pending += 1
        work = asyncio.get_running_loop().run_in_executor(self._large_pages(), partial(function, *args, **kwargs))
        work.add_done_callback(self._large_page_done)
        return await work

    def _large_page_done(self, _: object) -> None:
        self._large_pending -= 1

    async def in_sender(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Read a piece of a file that is being downloaded."""
        if self._sending is None:
            self._sending = ThreadPoolExecutor(SEND_THREADS, thread_name_prefix="send")
        return await asyncio.get_running_loop().run_in_executor(self._sending, partial(function, *args, **kwargs))

    async def in_writer(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work that writes. Reads never wait behind it."""
        return await asyncio.get_running_loop().run_in_executor(self._writers(), partial(function, *args, **kwargs))

    def remove_blobs_later(self, files: tuple[File, ...]) -> None:
        """Give the space of files that are no longer listed back, after a delay for those who still download them."""
        if files:
            loop = asyncio.get_running_loop()
            loop.call_later(REMOVAL_DELAY, lambda: self._writers().submit(self._remove_blobs, files))

    def _remove_blobs(self, files: tuple[File, ...]) -> None:
        try:
            self.index.remove_blobs(files)
        except StoreError as error:
            log.warning("blobs not removed, gc will", error=str(error))


def _retry_after(seconds: int) -> dict[str, str]:
    return {"Retry-After": str(seconds)}
