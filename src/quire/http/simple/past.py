"""The simple API of an index as it was at a moment: `/@2026-11-01/simple/`. For installers without `exclude-newer`.

Pages of the past are like all others: with a validator, never fresh without asking, since what is known of the past
becomes less. No client is ever sent on to another index from here, which would know nothing of the moment.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from quire.access.authorization import ALLOWED, EACH_PROJECT, UNKNOWN_OWNERS, Right
from quire.catalog.hosted import Hosted
from quire.catalog.past import key_of
from quire.catalog.served import ServedIndex
from quire.domain.errors import BlobMissing, HeldBack, NotFound
from quire.domain.indexes import PastTrash
from quire.domain.moments import parse_moment
from quire.domain.names import is_normalized
from quire.http.app.problems import HttpError
from quire.http.app.request_log import context_of
from quire.http.app.worker import Worker, index_of, worker_of
from quire.http.simple.files import Target, file_response, log_held_back, log_warning, split_companion
from quire.http.simple.pages import moved, negotiated, normalized, page_response
from quire.render.simple import Page

_MOST_LISTS = 4
"""At once. Each reads every project, and clients choose the moments: other large pages must not wait behind them."""
_INDEX = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
_MOST_SHOWN = 200
"""Of the parts of an address that a sentence names."""
_FEW = 200  # files or names, which are rendered faster than they are handed to a thread


async def projects_page(request: Request) -> Response:
    """GET /@MOMENT/simple/: the projects that had a file then."""
    moment, worker = _moment_of(request), worker_of(request)
    index, media_type = index_of(request), negotiated(request)
    past, hidden = worker.past.of(index), await _hidden(request, index, EACH_PROJECT)
    if worker.past.listing >= _MOST_LISTS:
        raise HttpError(503, "Too many lists of the past are being made; repeat in some seconds.")
    worker.past.listing += 1
    try:
        view = await past.names(moment, hidden)
    finally:
        worker.past.listing -= 1
    if len(view.names) > _FEW:
        page: Page = await worker.for_large_page(view.page, media_type)
    else:
        page = view.page(media_type)
    response = await page_response(request, page, worker.for_large_page)
    past.project_names.memory.account(key_of("", moment, hidden), view)
    return response


async def project_page(request: Request) -> Response:
    """GET /@MOMENT/simple/<name>/: the files that a project had then. As now, the page of a local name is empty, and
    no 404, if there were none."""
    moment, worker, index = _moment_of(request), worker_of(request), index_of(request)
    name = request.path_params["name"]
    if not is_normalized(name):
        return moved(request, f"../{normalized(name)}/")
    past, media_type = worker.past.of(index), negotiated(request)
    hidden = await _hidden(request, index, name)
    view = await past.project(name, moment, hidden)
    if not await index.is_local(view):
        raise NotFound(f"The project {name} does not exist.")
    algorithm = index.policy.hash_algorithm
    if len(view.files) > _FEW:
        page: Page = await worker.for_large_page(view.page, media_type, algorithm)
    else:
        page = view.page(media_type, algorithm)
    response = await page_response(request, page, worker.for_large_page)
    past.projects.memory.account(key_of(name, moment, hidden), view)
    return response


async def download(request: Request) -> Response:
    """GET /@MOMENT/packages/NAME/SHA256/FILENAME: a file that a page of the past links here, or a companion of it.

    Raises NotFound, HeldBack, StoreError."""
    moment, index = _moment_of(request), index_of(request)
    name, _, rest = request.path_params["path"].partition("/")
    filename, companion = split_companion(rest.rpartition("/")[2])
    missing = NotFound(f"The index has no file {filename[:200]} of that moment, or has it no more.")
    if not is_normalized(name):
        raise missing
    hidden = await _hidden(request, index, name)
    view = await worker_of(request).past.of(index).project(name, moment, hidden)
    known = view.every.get(filename)
    if known is None or f"{known.place}{companion}" != f"{name}/{rest}":
        raise missing
    try:
        listed = view.offers(filename)
    except HeldBack as error:
        log_held_back(request, index, error)
        raise
    if listed is None:
        raise missing
    log_warning(request, index, view.held.decisions.get(filename))
    try:
        content = await index.open(listed, companion)
    except BlobMissing as error:  # the trash was emptied since
        raise missing from error
    # A file of the trash goes with it: no cache keeps it under this address.
    return file_response(request, Target(listed, companion, is_at_its_place=False), content)


async def elsewhere(request: Request) -> Response:
    """GET of any other address below /@MOMENT/. Raises NotFound, which names the address that was meant.

    Whether there is such an index is not said: the client may have no right to know."""
    shown = {name: quote(text[:_MOST_SHOWN], safe="/@:+") for name, text in request.path_params.items()}
    base, at = worker_of(request).settings.server_base_url, f"@{shown['moment']}"
    name, _, rest = shown["path"].partition("/")
    if "index" not in shown and _INDEX.fullmatch(name) and f"{rest}/".startswith(("simple/", "packages/", "/")):
        raise NotFound(f"The name of an index comes before the moment: {base}/{name}/{at}/{rest or 'simple/'}")
    index = f"/{shown['index']}" if "index" in shown else ""
    raise NotFound(f"There is nothing at this address; the projects of that moment are at {base}{index}/{at}/simple/")


async def refuse(request: Request) -> Response:
    """POST below /@MOMENT/. Raises HttpError 405."""
    raise HttpError(
        405,
        "An index as of a moment of the past takes no uploads and no changes; send them to the address without @.",
        {"Allow": "GET, HEAD"},
    )


def _moment_of(request: Request) -> str:
    """Raises InvalidRequest."""
    return parse_moment(request.path_params["moment"], datetime.now(UTC))


async def _hidden(request: Request, index: ServedIndex, project: str) -> tuple[str, ...]:
    """The indexes whose deleted files the sender of a request does not see at past moments, by the state of the
    definitions and grants that the request was let in by. `project`: EACH_PROJECT for the list of them, which has the
    names of deleted ones for those that manage them all."""
    context, rules = context_of(request.scope), worker_of(request).access.rules
    state = context.decided_by
    if state is None:
        return ()
    names = [
        name
        for name in (index.name, *state.behind(index.name))
        if state.definition(name).past_trash is PastTrash.HIDDEN
    ]
    owners: dict[str, tuple[str, ...]] = dict.fromkeys(names, UNKNOWN_OWNERS)
    if project != EACH_PROJECT and any(map(state.has_owned_projects, names)):
        owners = await _owners(worker_of(request), index, project)

    def manages(name: str) -> bool:
        found = owners.get(name, ())
        return rules.authorize(context.principal, Right.MANAGE, name, project, state, owners=found) is ALLOWED

    return tuple(name for name in names if not manages(name))


async def _owners(worker: Worker, index: ServedIndex, project: str) -> dict[str, tuple[str, ...]]:
    """The owners of a project, by the indexes that have a record of it, perhaps one without files."""
    view, found = await index.look_up(project), dict[str, tuple[str, ...]]()
    for source, part in view.parts:
        if isinstance(source, Hosted) and part.was_written:
            stored = await worker.in_reader(source.index.stored, project)
            found[source.index.name] = stored.owners if stored is not None else ()
    return found
