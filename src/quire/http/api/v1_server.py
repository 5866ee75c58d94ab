"""The server itself over the JSON API: its workers, and the upstreams as they see them."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

import quire
from quire.access.decisions import AccessState
from quire.administration.describing_server import (
    Offered,
    requests_of,
    upstream_statuses,
    verdict_entry,
    worker_entries,
)
from quire.administration.server_documents import KeptCount, LastVerdict, ServerStatus, UpstreamStatusList
from quire.config.settings import UNSUPPORTED_SERVERS, Settings
from quire.doctor.kept import last_verdict
from quire.domain.reserved import MIRROR
from quire.domain.times import stamp
from quire.http.api.messages import answered
from quire.http.app.worker import Worker, upstreams_of, worker_of
from quire.process.in_thread import in_thread
from quire.process.siblings import folder_of
from quire.store.contracts import Store
from quire.store.opening import has_scheme
from quire.upstream.evicting import Counted, counted
from quire.upstream.kept import upstreams as kept_upstreams

_MOST: Final = 1000
"""Upstreams of one document."""


async def server(request: Request) -> Response:
    """GET server: the workers of this container."""
    worker = worker_of(request)
    values, processes = await in_thread(None, worker.metrics.shared)
    place = worker.default.store.place
    return answered(
        ServerStatus(
            container=socket.gethostname(),
            version=quire.__version__,
            server=_server_of(worker.settings),
            store=place,
            backend=place.partition(":")[0] if has_scheme(place) else "directory",
            read_only=worker.default.read_only,
            draining=worker.metrics.is_draining,
            workers=worker_entries(processes),
            requests=requests_of(values),
        )
    )


async def doctor(request: Request) -> Response:
    """GET doctor: the last verdict on the store."""
    worker = worker_of(request)
    found = await worker.in_reader(last_verdict, worker.default.store.records)
    return answered(LastVerdict(verdict=None if found is None else verdict_entry(found)))


async def upstreams(request: Request) -> Response:
    """GET upstreams: their health and hit rate, by the counts of the workers of this container."""
    worker = worker_of(request)
    state = await worker.access.state()
    values, processes = await in_thread(None, worker.metrics.shared)
    last = await worker.in_reader(counted, worker.default.store)
    offered = await worker.for_large_page(_offered, worker.default.store, _urls(worker, state), last)
    kept = None
    if last is not None:
        kept = KeptCount(at=stamp(last.at), files=last.files, bytes=last.bytes, bound=last.bound)
    return answered(
        UpstreamStatusList(
            container=socket.gethostname(),
            workers=len(processes),
            offline=worker.settings.upstream_offline,
            kept=kept,
            upstreams=upstream_statuses(values, offered, now=time.time())[:_MOST],
        )
    )


def _server_of(settings: Settings) -> str:
    if folder_of(os.environ) is None:
        return "another program"
    return "uvicorn" if settings.server in {"auto", *UNSUPPORTED_SERVERS} else settings.server


def _urls(worker: Worker, state: AccessState) -> dict[str, list[str]]:
    """The indexes of each upstream, by its URL."""
    found: dict[str, list[str]] = {}
    root = worker.default.name
    definitions = {root: state.definition(root), **state.document.indexes}
    for name, definition in sorted(definitions.items()):
        for each in definition.upstreams or (upstreams_of(worker.settings) if name == root else ()):
            found.setdefault(each.url, []).append(name)
    return found


def _offered(store: Store, urls: Mapping[str, list[str]], last: Counted | None) -> dict[str, Offered]:
    """By the name of the mirror. Blocks. Raises StoreError."""
    kept = kept_upstreams(store.records)
    if not urls and not kept:
        return {}
    from quire.catalog.mirroring import mirror_name  # noqa: PLC0415 - with the client of other indexes

    named = {mirror_name(url): url for url in urls}
    found = {}
    for name in [*named, *(each for each in kept if each not in named)][:_MOST]:
        url, pages = named.get(name), 0
        if name in kept:
            pages = len(store.records.names(f"{MIRROR}/{name}").names)
        files = None if last is None or last.upstreams is None else last.upstreams.get(name)
        known = last is not None and last.upstreams is not None
        found[name] = Offered(
            url,
            urls.get(url or "", ()),
            pages,
            files.files if files is not None else 0 if known else None,
            files.bytes if files is not None else 0 if known else None,
        )
    return found
