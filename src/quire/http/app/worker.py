"""The objects that handlers call: the worker, one per process, and the index that their request is of.

Neither holds a truth of its own. Neither starts a thread or opens a file before the first request, so a server may make
a worker and fork after that.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import structlog
from starlette.requests import Request

from quire.access.authenticator import Authenticator
from quire.access.authorization import AccessRules, Right
from quire.access.decisions import AccessState
from quire.access.document import AccessDocument
from quire.access.grants import ANY
from quire.access.passwords import Passwords
from quire.access.rates import TokenRates
from quire.access.records import AccessRecords, StoredAccess
from quire.access.settings_alone import SettingsAlone
from quire.access.uses import TokenUses
from quire.attestations.verification import AttestationVerifier
from quire.catalog.freshness import Barrier
from quire.catalog.served import IndexPolicy, ServedIndex
from quire.config.settings import Settings
from quire.domain.errors import NotFound, StoreError
from quire.domain.project import File
from quire.domain.upstreams import UpstreamDefinition, Upstreams, without_login
from quire.http.app.access import Access
from quire.http.app.composed import ComposedIndexes
from quire.http.app.origins import AllowedHosts
from quire.http.app.problems import HttpError
from quire.http.app.proxies import TrustedProxies, peer_of
from quire.http.app.ready import Readiness, StoreProbe
from quire.http.app.renderings import Renderings
from quire.http.app.request_log import context_of
from quire.http.app.routes import API
from quire.http.app.webhook_delivery import WebhookDelivery
from quire.http.app.worker_metrics import QuotaUse, WorkerMetrics
from quire.http.login.proxy_users import ProxyUsers
from quire.http.simple.accel import internal_location
from quire.index.index import Index
from quire.operations.last_backup import LastBackup
from quire.process.budget import Budget
from quire.process.in_thread import in_thread
from quire.process.siblings import folder_of, is_draining
from quire.process.threads import Threads
from quire.render.simple import Page
from quire.store.open_blob import OpenBlob

if TYPE_CHECKING:
    from quire.advisories.known import AdvisoryCache
    from quire.catalog.mirroring import Mirrors
    from quire.catalog.past import PastIndexes
    from quire.http.app.declared import DeclaredWatch
    from quire.http.app.looking import Looking
    from quire.http.app.readmes import Readmes
    from quire.http.login.sign_on import SignOn
    from quire.http.login.web_sessions import WebSessions
    from quire.http.publishing.exchange import TokenExchange
    from quire.process.children import Children
    from quire.search.results import Searching

P = ParamSpec("P")
T = TypeVar("T")

LARGE_PAGES_PENDING = 128
"""Pieces of such work that run or wait. One takes up to some seconds, also for a client that has gone away."""
REMOVAL_DELAY = 300.0
"""Seconds that an unlisted file stays on disk, so that downloads over NFS can finish."""

THE_DEFAULT = "-"
"""The name in a path that means the index at the server's root."""

log = structlog.get_logger(__name__)


class Worker:
    """Everything one worker process needs to answer, beside its indexes."""

    def __init__(
        self,
        settings: Settings,
        default: ServedIndex,
        *,
        budget: Budget,
        metrics: WorkerMetrics,
        threads: Threads,
        rules: AccessRules,
        stored_access: Barrier[StoredAccess],
        settings_alone: SettingsAlone | None,
        attestations: AttestationVerifier | None,
        confirms_pages: bool = False,
    ) -> None:
        """`default`: the index of the settings, which answers where a route names none, without upstreams.
        `settings_alone`: the source of `stored_access`, where no request reads the store's grants. `confirms_pages`:
        see `build_worker`."""
        self.settings = settings
        self.default = default
        """See `index_of`: its pages are those of the composition by the definitions."""
        self.budget = budget
        self.metrics = metrics
        self.settings_alone = settings_alone
        self.readiness = Readiness(
            StoreProbe(self.default.hosted, alone=settings_alone),
            lambda: is_draining(folder_of(os.environ)),
            shown=self.without_paths,
        )
        self.proxies = TrustedProxies(settings.trusted_proxies, settings.trusted_headers)
        self.hosts = AllowedHosts(settings.allowed_hosts)
        authenticator = Authenticator(Passwords(settings.passwords)) if settings.passwords is not None else None
        users = ProxyUsers(self.proxies, settings)
        self.access = Access(
            rules,
            authenticator,
            self.proxies,
            metrics.tally,
            stored_access,
            users=users,
            sign_on=self._sign_on(),
            sessions=self._sessions if settings_alone is None else None,
            uses=TokenUses(self.default.store.records),
            rates=TokenRates(settings.token_rate),
        )
        self.webhooks = WebhookDelivery(
            default.store,
            settings,
            self.definitions,
            validated=self.validated_definitions,
            in_writer=self.in_writer,
            tally=metrics.tally.webhooks,
        )
        self.attestations = attestations
        """None where the attestations of uploads are neither verified nor kept."""
        self.renderings: Renderings[Page] = Renderings()
        self._confirms_pages = confirms_pages
        self._roots = tuple(dict.fromkeys(os.path.realpath(directory) for directory in settings.directories))
        self._threads = threads
        self._large_pending = 0
        self.indexes = ComposedIndexes(
            default,
            self._make,
            lambda: self.mirrors,
            upstreams_of(settings),
            advisories=lambda state: self.advisories.at(state.document.advisories),
        )

    async def definitions(self) -> AccessDocument:
        """Of indexes, webhooks and tokens, as they are now. Raises StoreError."""
        if self.settings_alone is None:
            return (await self.access.state()).document
        # no request reads the definitions
        return (await self.in_reader(AccessRecords(self.default.store).read)).state.document

    def validated_definitions(self) -> AccessDocument | None:
        """The definitions as the last request found them; None where none read them."""
        known = self.access.stored.memory.get("") if self.settings_alone is None else None
        return None if known is None else known.state.document

    def served(self, name: str, state: AccessState) -> ServedIndex | None:
        """The index of this name by this state of the definitions; None when there is none."""
        return self.indexes.at(name, state)

    @cached_property
    def past(self) -> PastIndexes:
        """The indexes as they were."""
        from quire.catalog.past import PastIndexes  # noqa: PLC0415 - for rare requests

        return PastIndexes(self._threads, self.for_large_page)

    @cached_property
    def looking(self) -> Looking:
        """The archives that people look into."""
        from quire.http.app.looking import Looking  # noqa: PLC0415 - for people's pages only

        return Looking()

    @cached_property
    def advisories(self) -> AdvisoryCache:
        """The advisories of the store, as far as this worker has read them."""
        from quire.advisories.known import AdvisoryCache  # noqa: PLC0415 - most stores have none

        return AdvisoryCache(self.default.store)

    @cached_property
    def mirrors(self) -> Mirrors:
        """The mirrors of upstreams."""
        from quire.catalog.mirroring import Mirrors, Reach  # noqa: PLC0415 - the client of other indexes

        settings = self.settings
        reach = Reach(settings.upstream_netrc, settings.upstream_proxy, settings.upstream_ca, settings.upstream_offline)
        named = [] if settings.upstream is None else [settings.upstream]
        size = None if settings.upstream_offline else settings.mirror_size
        return Mirrors(
            self.default.store,
            self._threads,
            reach,
            named,
            size=size,
            tally=self.metrics.tally.mirror,
            confirms=self._confirms_pages,
        )

    @cached_property
    def readmes(self) -> Readmes:
        """The READMEs of pages."""
        from quire.http.app.readmes import Readmes  # noqa: PLC0415 - for people's pages alone

        return Readmes(self._threads, self.for_large_page)

    @cached_property
    def children(self) -> Children:
        """The processes of jobs that this worker began."""
        from quire.process.children import Children  # noqa: PLC0415 - for rare requests

        return Children()

    async def close_mirrors(self) -> None:
        """End what is being asked of upstreams."""
        if "mirrors" in self.__dict__:
            await self.mirrors.close()

    @staticmethod
    def limited(state: AccessState) -> dict[str, int]:
        """The quotas of the indexes that have one, by name."""
        definitions = sorted(state.document.indexes.items())
        return {name: definition.quota for name, definition in definitions if definition.quota is not None}

    def quota_uses(self) -> Iterator[QuotaUse]:
        """The indexes with a quota, as the last request found them; what this worker has not counted is not known.

        May be called from any thread.
        """
        known = self.access.stored.memory.get("")
        for name, quota in self.limited(known.state).items() if known is not None else ():
            served = self.indexes.known(name)
            counted = served.hosted.usage.known if served is not None else None
            yield QuotaUse(name, quota, counted.bytes if counted is not None else None)

    def expiring_tokens(self) -> int | None:
        """How many tokens expire soon, by the rights as they were last read; None before they were. May be called from
        any thread."""
        known = self.access.stored.memory.get("")
        return None if known is None else known.state.count_expiring(datetime.now(UTC))

    @cached_property
    def searching(self) -> Searching:
        """The searches for projects."""
        from quire.http.app.searching import make_searching  # noqa: PLC0415 - with SQLite; nothing of it before a search

        return make_searching(
            self.default,
            self._bare,
            upstreams=upstreams_of(self.settings),
            advisories=lambda state: self.advisories.at(state.document.advisories),
            rules=self.access.rules,
            threads=self._threads,
            run=self.for_large_page,
        )

    def _make(self, name: str) -> ServedIndex:
        index = self._bare(name)
        self.webhooks.listen_to(index)
        return index

    def _bare(self, name: str) -> ServedIndex:
        settings = self.settings
        return ServedIndex(
            Index(self.default.store, name, trash_seconds=settings.trash_seconds),
            [],
            IndexPolicy(hash_algorithm=settings.hash_algorithm, integrity_url=integrity_url(settings, f"{name}/")),
            budget=self.budget,
            threads=self._threads,
            tallies=self.metrics.tally.barriers,
        )

    def _sign_on(self) -> SignOn | None:
        if self.settings.oidc_issuer is None:
            return None
        from quire.http.login.sign_on import SignOn  # noqa: PLC0415 - of the extra `oidc`

        return SignOn(self.settings)

    def _sessions(self, authenticator: Authenticator | None) -> WebSessions:
        from quire.http.login.web_sessions import WebSessions  # noqa: PLC0415 - for people's pages only

        return WebSessions(self.settings, self.proxies, AccessRecords(self.default.store), authenticator)

    @cached_property
    def last_backup(self) -> LastBackup:
        """The time of the last backup of the store."""
        return LastBackup(self.default.store.records)

    @cached_property
    def declared(self) -> DeclaredWatch | None:
        """The comparison with the declared configuration; None where nothing is declared."""
        file = self.settings.declared
        if file is None:
            return None
        from quire.http.app.declared import DeclaredWatch  # noqa: PLC0415 - of few servers

        return DeclaredWatch(file, self.default.name)

    @cached_property
    def exchange(self) -> TokenExchange:
        """The exchange of CI jobs' tokens."""
        from quire.http.publishing.exchange import TokenExchange  # noqa: PLC0415 - for rare requests

        access = AccessRecords(self.default.store)
        return TokenExchange(access, self.access.state, self.in_writer, read_only=self.default.read_only)

    def close(self) -> None:
        """Let go of threads. For the end of the process."""
        if "searching" in self.__dict__:
            self.searching.close()
        self._threads.close()
        if "children" in self.__dict__:
            self.children.close()
        if "readmes" in self.__dict__:
            self.readmes.close()
        if self.access.authenticator is not None:
            self.access.authenticator.close()

    def accel_location(self, request: Request, content: OpenBlob | bytes) -> str | None:
        """The internal address from which a trusted proxy sends the file itself; None for others, and for HEAD."""
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
        return await in_thread(self._threads.readers(), function, *args, **kwargs)

    async def for_large_page(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function that reads or renders much at once. Listings and downloads never wait behind it.

        Raises HttpError 503 when too much of it waits.
        """
        if self._large_pending >= LARGE_PAGES_PENDING:
            raise HttpError(503, "Too many large pages are being made; try again in some seconds.")
        work = in_thread(self._threads.large_pages(), function, *args, **kwargs)
        self._large_pending += 1  # not before: where no thread can be started, `work` is an error
        work.add_done_callback(self._large_page_done)
        return await work

    def _large_page_done(self, _: object) -> None:
        self._large_pending -= 1

    async def in_sender(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Read a piece of a file that is being downloaded."""
        return await in_thread(self._threads.senders(), function, *args, **kwargs)

    async def in_writer(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work that writes. Reads never wait behind it."""
        return await in_thread(self._threads.writers(), function, *args, **kwargs)

    async def for_large_upload(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `in_writer`, for an upload that takes long. Other changes never wait behind it."""
        return await in_thread(self._threads.large_uploads(), function, *args, **kwargs)

    async def to_receiver(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work that waits for a receiver of webhooks. Changes never wait behind it."""
        return await in_thread(self._threads.receivers(), function, *args, **kwargs)

    def remove_blobs_later(self, index: Index, files: tuple[File, ...]) -> None:
        """Remove the bytes of unlisted files, after a delay for downloads under way."""
        if files:
            loop = asyncio.get_running_loop()
            loop.call_later(REMOVAL_DELAY, lambda: self._threads.writers().submit(_remove_blobs, index, files))


def integrity_url(settings: Settings, below: str = "") -> str | None:
    """See `IndexPolicy`. `below`: the part of the path that names an index."""
    return None if settings.public_url is None else f"{settings.public_url}{below}integrity/"


def upstreams_of(settings: Settings) -> Upstreams:
    """The upstreams of the settings, as definitions."""
    if settings.upstream is None:
        return ()
    return (
        UpstreamDefinition(
            url=without_login(settings.upstream),
            hosts=settings.upstream_hosts,
            max_age=settings.upstream_max_age,
            max_stale=settings.upstream_max_stale,
        ),
    )


def worker_of(request: Request) -> Worker:
    """The worker that answers a request."""
    worker: Worker = request.app.state.worker
    return worker


def index_of(request: Request) -> ServedIndex:
    """The index that a request is of: its route names it (`{index}`), or means the default one.

    Raises NotFound when there is no such index.
    """
    worker = worker_of(request)
    name = _named_index(request)
    state = context_of(request.scope).decided_by
    if name is None:
        return worker.indexes.default if state is None else worker.indexes.root(state)
    index = None if state is None else worker.served(name, state)
    if index is None:
        ended = None if state is None else state.definition(name).expires
        if ended is not None:
            raise HttpError(410, f"The stage {name} ended at {ended}; make another one with 'quire stage create'.")
        raise NotFound(f"There is no index {name[:200]!r}.")
    return index


def _named_index(request: Request) -> str | None:
    """The name of an index that the path has; None for the default one, which only the API calls `-`."""
    name: str | None = request.path_params.get("index")
    return None if name == THE_DEFAULT and API in request.url.path else name


async def authorize(request: Request, right: Right, *, takes_sessions: bool = False) -> None:
    """Let a request pass that has the right on some project of its index (`Access.authorize`).

    Also on an index that does not exist, so that a stranger does not learn which there are.
    Where the path names no index, administration is of all of them. `takes_sessions`: see there.
    Raises HttpError 303, 401, 403, 429, 503.
    """
    worker = worker_of(request)
    index = _named_index(request)
    if index is None:
        index = worker.default.name if "index" in request.path_params or right is not Right.ADMIN else ANY
    context = context_of(request.scope)
    context.needs = right, index
    try:
        await worker.access.authorize(request, right, index, takes_sessions=takes_sessions)
    finally:
        if context.decided_by is not None and index in context.decided_by.document.indexes:
            context.index = index


def _remove_blobs(index: Index, files: tuple[File, ...]) -> None:
    try:
        index.remove_blobs(files)
    except StoreError as error:
        log.warning("blobs not removed, gc will", error=str(error))
