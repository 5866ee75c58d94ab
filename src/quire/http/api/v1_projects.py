"""Reading over the JSON API: indexes, projects, files, releases. Every answer is made from views that are true now."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from quire.administration import describing
from quire.administration.describing_policies import decision_entry
from quire.administration.documents import FileList, HeldFile, ProjectEntry, ProjectPage
from quire.catalog.composing import Projects
from quire.catalog.hosted import HostedProject, record_of
from quire.catalog.served import ServedIndex
from quire.catalog.views import ProjectView
from quire.domain.errors import StoreError
from quire.domain.names import normalize_name
from quire.http.api.managing import missing
from quire.http.api.messages import answered, limit_of
from quire.http.app.conditions import is_unchanged
from quire.http.app.request_log import context_of
from quire.http.app.worker import index_of, worker_of

NEWEST: Final = "-"
"""In place of a version in an address."""
_READERS: Final = 8
"""Threads for one page of projects, where each project is a round trip or more."""

log = structlog.get_logger(__name__)


async def projects(request: Request) -> Response:
    """GET projects: those whose names come after the cursor, which is the last name of the page before.

    So a project that is there all the time is on exactly one page, whatever is published or deleted meanwhile.
    """
    worker, index, limit = worker_of(request), index_of(request), limit_of(request)
    names = await index.own_names()
    begin = bisect_right(names, request.query_params.get("cursor", ""))
    chosen = names[begin : begin + limit]
    found = await worker.for_large_page(_entries, index, chosen)
    is_last = begin + limit >= len(names)
    return answered(ProjectPage(index=index.name, projects=found, next=None if is_last else chosen[-1]))


async def project(request: Request) -> Response:
    """GET a project; with an ETag, for `If-Match` of a change."""
    worker, index = worker_of(request), index_of(request)
    name = normalize_name(request.path_params["name"])
    view = await index.project(name)
    deleted = await worker.in_reader(deleted_of, index, view) if view.had_record else {}
    if not (view.exists or deleted):
        raise await missing(request, index, name)
    etag = etag_of(view)
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if is_unchanged(request.headers, etag):
        return Response(status_code=304, headers=headers)
    return answered(await worker.in_reader(describing.project_of, index.name, view, deleted), headers)


async def files(request: Request) -> Response:
    """GET the files of a project."""
    view = await _existing(request)
    return answered(await worker_of(request).in_reader(_files, view))


def _files(view: ProjectView) -> FileList:
    """Blocks for as long as it takes to go through all of them."""
    decisions = view.held.decisions
    found = [describing.file_entry(each, decision=decisions.get(name)) for name, each in view.files.items()]
    held = [
        HeldFile(filename=name, version=each.file.version, decision=decision_entry(decisions[name]))
        for name, each in view.every.items()
        if name not in view.files
    ]
    return FileList(project=view.name, files=found, held_back=held)


async def releases(request: Request) -> Response:
    """GET the releases of a project."""
    view = await _existing(request)
    return answered(await worker_of(request).in_reader(describing.releases_of, view))


async def release(request: Request) -> Response:
    """GET a release."""
    view, version = await _existing(request), request.path_params["version"]
    found = describing.release_of
    return answered(await worker_of(request).in_reader(found, view, None if version == NEWEST else version))


def etag_of(view: ProjectView) -> str:
    """A strong validator of all that a view has: of its record, and of the files of other sources."""
    digest = hashlib.sha256()
    for (_, part), (_, files) in zip(view.parts, view.listed, strict=True):
        if isinstance(part, HostedProject):
            digest.update(f"record {part.record.tag}\n".encode())
        else:
            digest.update("".join(f"file {each.place} {each.file.sha256}\n" for each in files).encode())
    for filename, decision in view.held.decisions.items():
        digest.update(f"held {filename} {decision.effect}\n".encode())
    return f'"{digest.hexdigest()[:32]}"'


def deleted_of(index: ServedIndex, view: ProjectView) -> dict[str, str]:
    """The deleted files of a project, as `Index.deleted` has them. Blocks."""
    record = record_of(view)
    if record is None:
        return index.hosted.deleted(view.name)
    return {name: digest for name, digest in record.deleted.entries().items() if name not in record.files}


async def _existing(request: Request) -> ProjectView:
    index, name = index_of(request), normalize_name(request.path_params["name"])
    view = await index.project(name)
    if not view.exists:
        raise await missing(request, index, name)
    context_of(request.scope).project = name
    return view


def _entries(index: ServedIndex, names: Sequence[str]) -> list[ProjectEntry]:
    """Blocks. The views that it reads are remembered where those of searches are, apart from the views of pages."""
    source = Projects(index.own_sources, policies=index.policies)

    def entry(name: str) -> ProjectEntry | None:
        known = index.searched.get(name) or index.projects.memory.get(name)
        try:
            view = source.load_blocking(name, known)
        except StoreError as error:
            log.error("project cannot be read", project=name, error=str(error))
            return describing.entry(name, {}, stored=True, drop_in=False, error="Its record cannot be read.")
        return describing.entry_of(view) if view.exists else None

    if index.store.validates_inline:
        found = [entry(name) for name in names]
    else:
        with ThreadPoolExecutor(_READERS) as pool:
            found = list(pool.map(entry, names))
    return [each for each in found if each is not None]
