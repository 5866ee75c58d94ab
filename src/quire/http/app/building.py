"""Puts a worker together, as the settings say."""

from __future__ import annotations

from quire.access.authorization import AccessRules
from quire.access.records import AccessRecords
from quire.access.settings_alone import SettingsAlone
from quire.attestations.verification import make_verifier
from quire.catalog.drop_ins import DropIns
from quire.catalog.freshness import Barrier
from quire.catalog.served import IndexPolicy, ServedIndex
from quire.config.settings import Settings
from quire.domain.reserved import Reserved
from quire.http.app.worker import Worker, integrity_url
from quire.http.app.worker_metrics import WorkerMetrics
from quire.index.index import Index
from quire.operations.opening import drop_ins_of
from quire.process.budget import Budget
from quire.process.threads import Threads
from quire.store.contracts import BlobOptions
from quire.store.opening import open_store, requests_of


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
        integrity_url=integrity_url(settings),
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
        backup=lambda: worker.last_backup.began,
        expiring=worker.expiring_tokens,
    )
    return worker
