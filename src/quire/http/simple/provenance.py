"""Provenance objects (PEP 740), at the address that the public index's Integrity API has."""

from __future__ import annotations

import hashlib
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from quire.catalog.sources import Content
from quire.domain.errors import InvalidName, NotFound, StoreError
from quire.domain.names import normalize_name, same_version
from quire.domain.project import UNKNOWN_DIGEST
from quire.http.app.problems import HttpError
from quire.http.app.worker import index_of, worker_of
from quire.http.simple.pages import not_here, page_response
from quire.render.negotiation import choose
from quire.render.simple import make_page

OFFERED: Final = ("application/vnd.pypi.integrity.v1+json", "application/json")
"""The media types, the preferred first."""
_MOST_BYTES: Final = 4 * 1024 * 1024
"""Of the document: its attestations were at most 1 MiB when they were uploaded."""


async def provenance(request: Request) -> Response:
    """GET /integrity/<project>/<version>/<filename>/provenance."""
    media_type = choose(request.headers.get("accept"), OFFERED)
    if media_type is None:
        raise HttpError(406, f"Provenance is served as {' or '.join(OFFERED)}; accept one of them.")
    name, version, filename = (request.path_params[each] for each in ("name", "version", "filename"))
    try:
        project = normalize_name(name)
    except InvalidName as error:
        raise NotFound(str(error)) from error
    worker, index = worker_of(request), index_of(request)
    view = await index.project(project)
    if not view.exists:
        raise not_here(request, f"The project {project}")
    listed = view.offers(filename)
    if listed is None or not same_version(listed.file.version, version):
        raise NotFound(f"The project {project} has no file {filename[:200]} in a release {version[:100]}.")
    digest = listed.file.provenance_sha256
    if digest is None:
        raise NotFound(f"The file {filename} has no provenance: no attestations were verified when it was uploaded.")
    document = await worker.in_reader(_read, await index.open(listed, ".attestations"))
    if digest != UNKNOWN_DIGEST and hashlib.sha256(document).hexdigest() != digest:
        raise StoreError(f"The provenance of {filename} is damaged in the store; ask the operator for 'quire check'.")
    return await page_response(request, make_page(media_type, document))


def _read(content: Content) -> bytes:
    if isinstance(content.body, bytes):
        return content.body
    with content.body as opened:
        return opened.read_at(0, min(opened.size, _MOST_BYTES))
