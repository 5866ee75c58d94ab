"""Advisories over the JSON API."""

from __future__ import annotations

import re
import tempfile
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from quire.administration.advisory_documents import AdvisoriesRemoved, advisories_about, sources_of, updated_of
from quire.advisories.reading import MAX_ARCHIVE_BYTES
from quire.domain.advisory_sources import parse_source
from quire.domain.errors import InvalidRequest, NotFound, TooLarge
from quire.domain.names import MAX_NAME_CHARS, normalize_name
from quire.http.api.messages import answered
from quire.http.api.v1_access import changing_access
from quire.http.app.advisories import advisories_of
from quire.http.app.worker import worker_of
from quire.http.simple.forms import body_chunks
from quire.operations.advisories import remove_advisories, update_advisories
from quire.process.progress import Progress

_MEDIA_TYPES = {"application/zip": "archive.zip", "application/json": "document.json"}
_PIECE = 1024 * 1024


async def sources(request: Request) -> Response:
    """GET the sources of advisories."""
    state = await worker_of(request).access.state()
    return answered(sources_of(state.document.advisories))


async def project_advisories(request: Request) -> Response:
    """GET the advisories of a project, or with `version` those by which this version is affected."""
    known = await advisories_of(request)
    if not known:  # an empty list would look like a clean bill
        raise NotFound("There are no advisories in this store; 'quire osv update' takes some in.")
    project, version = normalize_name(request.path_params["name"]), request.query_params.get("version")
    if version is not None and len(version) > MAX_NAME_CHARS:
        raise InvalidRequest(f"A version has at most {MAX_NAME_CHARS} characters.")
    entries = await worker_of(request).in_reader(known.entries, project, version)
    return answered(advisories_about(project, version, entries))


async def update_source(request: Request) -> Response:
    """POST the documents of a source: an archive, or one document. They replace all that it had, in one step.

    The body goes to a temporary file, and is read by the same code, with the same limits, as a file of an operator.
    """
    name, query = request.path_params["source"], request.query_params
    parse_source(name)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in _MEDIA_TYPES:
        raise InvalidRequest("The body must be a zip archive or an OSV document, and say so: application/zip or json.")
    origin_name = query.get("origin", _MEDIA_TYPES[media_type])
    if not re.fullmatch(r"[^/\x00-\x1f\x7f]{1,200}", origin_name) or not origin_name.isprintable():
        raise InvalidRequest("origin is the name of a file, without its folder.")
    worker, access, origin = changing_access(request)
    with tempfile.NamedTemporaryFile(prefix="quire-osv-") as file:
        size, piece = 0, bytearray()
        async for chunk in body_chunks(request, worker.settings.body_timeout):
            size += len(chunk)
            if size > MAX_ARCHIVE_BYTES:
                raise TooLarge(f"The archive is larger than {MAX_ARCHIVE_BYTES >> 20} MiB.")
            piece += chunk
            if len(piece) >= _PIECE:
                await worker.in_reader(file.write, bytes(piece))
                piece.clear()
        file.write(piece)
        file.flush()
        work = partial(
            update_advisories,
            worker.default.store,
            access,
            file.name,
            name,
            origin=origin,
            progress=Progress(),
            shrinks=query.get("shrinks") == "true",
            called=origin_name,
        )
        done = await worker.for_large_upload(work)
    return answered(updated_of(name, done))


async def remove_source(request: Request) -> Response:
    """POST: remove a source."""
    worker, access, origin = changing_access(request)
    name = request.path_params["source"]
    await worker.in_writer(partial(remove_advisories, worker.default.store, access, name, origin=origin))
    return answered(AdvisoriesRemoved(source=name, removed=True))
