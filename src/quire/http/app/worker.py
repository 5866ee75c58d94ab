"""The objects that handlers call: the worker, one per process, and the index that their request is of.

Neither holds a truth of its own. Neither starts a thread or opens a file before the first request, so a server may make
a worker and fork after that.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cached_property, partial
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
from quire.access.settings_alone import SECONDS as LOOK_SECONDS
from quire.access.settings_alone import SettingsAlone
from quire.access.uses import TokenUses
from quire.attestations.verification import AttestationVerifier, make_verifier
from quire.catalog.drop_ins import DropIns
from quire.catalog.freshness import Barrier
from quire.catalog.served import IndexPolicy, ServedIndex
from quire.config.settings import Settings
from quire.domain.errors import NotFound, StoreError
from quire.domain.project import File
from quire.domain.publishing_sessions import is_token
from quire.domain.reserved import Reserved
from quire.domain.trash import is_trash
from quire.domain.upstreams import UpstreamDefinition, Upstreams, without_login
from quire.http.app.access import Access
from quire.http.app.composed import ComposedIndexes
from quire.http.app.origins import AllowedHosts
from quire.http.app.periodic_sweep import sweep_periodically
from quire.http.app.problems import HttpError
from quire.http.app.proxies import TrustedProxies, peer_of
from quire.http.app.ready import Readiness, StoreProbe
from quire.http.app.renderings import Renderings
from quire.http.app.request_log import context_of
from quire.http.app.routes import API
from quire.http.app.worker_metrics import QuotaUse, WorkerMetrics
from quire.http.login.proxy_users import ProxyUsers
from quire.http.simple.accel import internal_location
from quire.index.audit.entries import Origin
from quire.index.index import Index, all_indexes
from quire.operations.expiring import Expiry
from quire.operations.opening import drop_ins_of
from quire.process.budget import Budget
from quire.process.siblings import folder_of, is_draining
from quire.process.threads import Threads
from quire.render.simple import Page
from quire.store.contracts import BlobOptions
from quire.store.open_blob import OpenBlob
from quire.store.opening import open_store, requests_of

if TYPE_CHECKING:
    from quire.advisories.known import AdvisoryCache
    from quire.catalog.mirroring import Mirrors
    from quire.catalog.past import PastIndexes
    from quire.http.app.declared import DeclaredWatch
    from quire.http.login.sign_on import SignOn
    from quire.http.publishing.exchange import TokenExchange
    from quire.webhooks.deliverer import Deliverer
    from quire.webhooks.sending import Sender

DECLARED_SECONDS = 60.0
"""Between two comparisons with the declared configuration: each is a read of the record that every request validates.
"""
P = ParamSpec("P")
T = TypeVar("T")

LARGE_PAGES_PENDING = 128
"""Pieces of such work that run or wait. One takes up to some seconds, also for a client that has gone away."""
REMOVAL_DELAY = 300.0
"""Seconds that an unlisted file stays on disk, so that downloads over NFS can finish."""

THE_DEFAULT = "-"
"""The name in a path that means the index at the server's root."""

USES_SECONDS = 60.0
"""Seconds, at the most, after which the use of a token is written; see `quire.access.uses`."""

WEBHOOK_SEARCH_SECONDS = 60.0
"""Seconds between two searches for events that are not delivered, where the store is on a local disk."""
WEBHOOK_SEARCH_FAR_SECONDS = 900.0
"""The same where each project takes a round trip."""

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
        self._expiries = {default.name: Expiry(default.hosted)}
        self.budget = budget
        self.metrics = metrics
        self._settings_alone = settings_alone
        self._delivering_loop: asyncio.AbstractEventLoop | None = None
        """None until it delivers to webhooks."""
        self._searched_for: AccessDocument | None = None
        """The definitions of webhooks by which events were searched for last."""
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
            uses=TokenUses(self.default.store.records),
            rates=TokenRates(settings.token_rate),
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

    def served(self, name: str, state: AccessState) -> ServedIndex | None:
        """The index of this name by this state of the definitions; None when there is none."""
        return self.indexes.at(name, state)

    @cached_property
    def past(self) -> PastIndexes:
        """The indexes as they were."""
        from quire.catalog.past import PastIndexes  # noqa: PLC0415 - for rare requests

        return PastIndexes(self._threads, self.for_large_page)

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

    def _make(self, name: str) -> ServedIndex:
        settings = self.settings
        index = ServedIndex(
            Index(self.default.store, name, trash_seconds=settings.trash_seconds),
            [],
            IndexPolicy(hash_algorithm=settings.hash_algorithm, integrity_url=_integrity_url(settings, f"{name}/")),
            budget=self.budget,
            threads=self._threads,
            tallies=self.metrics.tally.barriers,
        )
        self._listen_to(index)
        return index

    def _sign_on(self) -> SignOn | None:
        if self.settings.oidc_issuer is None:
            return None
        from quire.http.login.sign_on import SignOn  # noqa: PLC0415 - of the extra `oidc`

        return SignOn(self.settings, self.proxies, AccessRecords(self.default.store))

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

    def start_periodic_sweep(self) -> asyncio.Task[None] | None:
        """Sweep the store and its trash now and then; the task to cancel at the end. None when it cannot be written."""
        if self.default.read_only:
            return None
        return asyncio.create_task(sweep_periodically(lambda age: self.in_writer(self.sweep, age)))

    def sweep(self, older_than: float) -> int:
        """Sweep once: `Store.sweep`, and what has been in the trash for its time. Blocks. Raises StoreError."""
        from quire.index.promoting import Promoter  # noqa: PLC0415 - rare
        from quire.operations.promoting import end_stages  # noqa: PLC0415 - as above
        from quire.operations.publishing_sessions import Sessions  # noqa: PLC0415 - as above

        if self._settings_alone is None:
            store = self.default.store
            access = AccessRecords(store)
            end_stages(access, store, self.default.name, Origin())
            Sessions(store, access, self.default.name).forget_ended(Origin())
        for index in all_indexes(self.default.store):
            # The stages of sessions have no trash, and nothing is promoted into them; there is one for each release.
            if index.name not in self._expiries and not is_trash(index.name) and not is_token(index.name):
                self._expiries[index.name] = Expiry(index)
        for name, expiry in self._expiries.items():
            Promoter(Index(self.default.store, name)).recover()
            expiry.run()
        return self.default.store.sweep(older_than)

    def start_writing_uses(self) -> asyncio.Task[None] | None:
        """Write the uses of tokens now and then; the task to cancel at the end. None when they cannot be written."""
        if self.default.read_only or self._settings_alone is not None:
            return None

        async def write_periodically() -> None:
            while True:
                await asyncio.sleep(USES_SECONDS * random.uniform(0.5, 1))  # noqa: S311 - spreads the workers
                await self.write_uses()

        return asyncio.create_task(write_periodically())

    def start_looking_for_grants(self) -> asyncio.Task[None] | None:
        """Look now and then whether the store has grants that this server would not obey; the task to cancel at the
        end. None where requests read them."""
        alone = self._settings_alone
        if alone is None:
            return None

        async def look_periodically() -> None:
            while True:
                try:
                    await self.in_reader(alone.look)
                except StoreError as error:
                    log.warning("grants not looked for", error=str(error))
                await asyncio.sleep(LOOK_SECONDS * random.uniform(0.5, 1))  # noqa: S311 - spreads the workers

        return asyncio.create_task(look_periodically())

    def start_comparing_declared(self) -> asyncio.Task[None] | None:
        """Compare the store now and then with the declared configuration; the task to cancel at the end. None where
        nothing is declared, and where the server reads no definitions."""
        watch = self.declared
        if watch is None or self._settings_alone is not None:
            return None

        async def compare_periodically() -> None:
            while True:
                try:
                    document = (await self.access.state()).document
                    await self.in_reader(watch.compare, document)
                except StoreError as error:
                    log.warning("store not compared with what is declared", error=str(error))
                await asyncio.sleep(DECLARED_SECONDS * random.uniform(0.9, 1.1))  # noqa: S311 - spreads the workers

        return asyncio.create_task(compare_periodically())

    async def write_uses(self) -> None:
        """Write the uses of tokens that this worker has noted; those that cannot be written stay noted."""
        uses = self.access.uses
        day, identities = uses.take(datetime.now(UTC))
        if not identities or self.default.read_only:
            return
        try:
            tokens = (await self.access.state()).document.tokens
            await self.in_writer(uses.write, day, identities, tokens)
        except StoreError as error:
            uses.give_back(identities)
            log.warning("uses of tokens not written", error=str(error))

    @cached_property
    def webhook_sender(self) -> Sender:
        """Sends to the receivers of webhooks."""
        from quire.webhooks.sending import Sender  # noqa: PLC0415 - most stores have no webhook

        return Sender(self.settings.webhook_networks)

    @cached_property
    def deliverer(self) -> Deliverer:
        """Delivers events to webhooks."""
        from quire.webhooks.deliverer import Deliverer  # noqa: PLC0415 - as above

        return Deliverer(self.default.store, self.webhook_sender, self.metrics.tally.webhooks)

    def start_delivering(self) -> asyncio.Task[None] | None:
        """Deliver the events of changes to webhooks; the task to cancel at the end. None when the store cannot be
        written: such a server delivers nothing, as it could not remember it."""
        if self.default.read_only:
            return None
        self._delivering_loop = asyncio.get_running_loop()
        self._listen_to(self.default)
        every = self.settings.webhook_search_seconds or (
            WEBHOOK_SEARCH_SECONDS if self.default.store.validates_inline else WEBHOOK_SEARCH_FAR_SECONDS
        )

        async def search_periodically() -> None:
            spread = random.uniform(0, 1)  # noqa: S311 - spreads the workers
            await asyncio.sleep(min(every, 60.0) * spread)
            while True:
                # The worker that searches comes back a little earlier than the others look whether it has.
                was_turn = await self.search_for_events()
                await asyncio.sleep(every * (0.9 if was_turn else 1.1 + 0.3 * spread))

        return asyncio.create_task(search_periodically())

    def _listen_to(self, index: ServedIndex) -> None:
        """Tell the deliverer of changes of an index, where this worker delivers."""
        if self._delivering_loop is not None:
            index.hosted.commits.listener = partial(self._tell_deliverer, self._delivering_loop, index.name)

    async def search_for_events(self) -> bool:
        """Search for events that are not delivered, if it is this worker's turn; whether it was."""
        try:
            if self._settings_alone is None:
                found = (await self.access.state()).document
            else:  # no request reads the definitions
                found = (await self.in_reader(AccessRecords(self.default.store).read)).state.document
            self._searched_for = found
            if not found.webhooks:
                return False
            return await self.in_writer(self.deliverer.search)
        except StoreError as error:
            log.warning("events of webhooks not searched for", error=str(error))
            return False

    def _tell_deliverer(self, loop: asyncio.AbstractEventLoop, index: str, project: str, action: str) -> None:
        """A change was made, by another thread."""

        def tell() -> None:
            known = self.access.stored.memory.get("")  # the request of the change has validated it
            document = known.state.document if known is not None and self._settings_alone is None else None
            document = document or self._searched_for
            if document is not None and document.webhooks:
                self.deliverer.changed(document, index, project, action)

        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell)

    async def stop_delivering(self) -> None:
        """Wait some seconds for deliveries that are under way, and begin no more."""
        if "deliverer" in self.__dict__:
            await asyncio.to_thread(self.deliverer.close)

    def close(self) -> None:
        """Let go of threads. For the end of the process."""
        self._threads.close()
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
        return await asyncio.get_running_loop().run_in_executor(
            self._threads.readers(), partial(function, *args, **kwargs)
        )

    async def for_large_page(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function that reads or renders much at once. Listings and downloads never wait behind it.

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

    async def for_large_upload(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `in_writer`, for an upload that takes long. Other changes never wait behind it."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads.large_uploads(), partial(function, *args, **kwargs)
        )

    async def to_receiver(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work that waits for a receiver of webhooks. Changes never wait behind it."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads.receivers(), partial(function, *args, **kwargs)
        )

    def remove_blobs_later(self, index: Index, files: tuple[File, ...]) -> None:
        """Remove the bytes of unlisted files, after a delay for downloads under way."""
        if files:
            loop = asyncio.get_running_loop()
            loop.call_later(REMOVAL_DELAY, lambda: self._threads.writers().submit(_remove_blobs, index, files))


def blob_options_of(settings: Settings) -> BlobOptions:
    """How the store takes in and gives out large blobs."""
    return BlobOptions(
        spool_size=settings.spool_size,
        largest=settings.max_upload_size,
        redirect_seconds=settings.redirect_seconds if settings.downloads == "redirect" else None,
    )


def build_worker(settings: Settings, *, confirms_pages: bool = False) -> Worker:
    """Store, index, sources, access and worker, as the settings say: what every server serves.

    `confirms_pages`: whether upstreams are asked for each mirrored page once more, however fresh it is.
    Starts no thread and opens no file before the first request, so a server may fork after that.
    Raises ConfigurationError, StoreError, UnknownLayout.
    """
    metrics, threads, budget = WorkerMetrics(settings), Threads(), Budget(settings.cache_size)
    store = open_store(
        settings.root,
        read_only=settings.read_only,
        coarse_changes=settings.coarse_changes,
        blob_options=blob_options_of(settings),
    )
    policy = IndexPolicy(
        overwrite=settings.overwrite,
        fallback_url=settings.fallback_url,
        reserved=Reserved(settings.local),
        hash_algorithm=settings.hash_algorithm,
        integrity_url=_integrity_url(settings),
    )
    folder = drop_ins_of(
        settings, store, stores_facts=store.writable, algorithms=policy.further_algorithms, budget=budget
    )
    index = ServedIndex(
        Index(store, settings.index, trash_seconds=settings.trash_seconds),
        [DropIns(folder)],
        policy,
        budget=budget,
        threads=threads,
        tallies=metrics.tally.barriers,
    )
    rules = AccessRules(
        settings.authenticate,
        metrics=settings.metrics,
        read_only=index.read_only,
        has_users=settings.has_logins,
        takes_grants=settings.rights == "store",
    )
    access = AccessRecords(store)
    settings_alone = SettingsAlone(access) if settings.rights == "settings" else None
    stored_access = Barrier(
        settings_alone or access,
        inline=store.validates_inline or settings_alone is not None,
        pacing=store.pacing,
        budget=budget,
        executor=threads.readers,
        tally=metrics.tally.barriers["access"],
    )
    worker = Worker(
        settings,
        index,
        budget=budget,
        metrics=metrics,
        threads=threads,
        rules=rules,
        stored_access=stored_access,
        settings_alone=settings_alone,
        attestations=make_verifier(settings.attestations, settings.attestations_trust_root),
        confirms_pages=confirms_pages,
    )
    if settings.upstream_netrc or settings.upstream_ca:
        worker.mirrors.reach.check()
    index = worker.indexes.default
    metrics.watch(
        index.hosted.commits,
        folder.left_out,
        worker.readiness,
        requests_of(store),
        worker.quota_uses,
        project=index.projects.memory,
        projects=index.project_names.memory,
        facts=folder.facts,
        documents=folder.documents,
        count=index.counted,
        declared=lambda: None if worker.declared is None else worker.declared.count,
    )
    return worker


def _integrity_url(settings: Settings, below: str = "") -> str | None:
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
