"""A mirrored page as a document of the Simple API in JSON, which `quire.upstream.pages` reads again.

So that a page is carried to another mirror in a form that is specified, and read there as strictly as an answer of the
other index itself. Sources: as in `quire.upstream.pages`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from quire.upstream.markup import JSON_TYPE
from quire.upstream.pages import UpstreamFile, UpstreamPage, parse_page

_API_VERSION: Final = "1.4"
_NO_URL: Final = "http://localhost/"
"""Every URL of such a document is absolute."""


def page_document(project: str, page: UpstreamPage) -> bytes:
    """The document, without the serial number. `project`: normalized name."""
    status: dict[str, str] = {"status": str(page.status)}
    if page.status_reason is not None:
        status["reason"] = page.status_reason
    document = {
        "meta": {"api-version": _API_VERSION},
        "name": project,
        "project-status": status,
        "files": [_entry(file) for file in page.files],
    }
    return msgspec.json.encode(document)


def read_document(project: str, data: bytes) -> UpstreamPage:
    """Raises UpstreamError for bytes that are no page."""
    return parse_page(project, JSON_TYPE, data, _NO_URL)


def _entry(file: UpstreamFile) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "filename": file.filename,
        "url": file.url,
        "hashes": file.hashes,
        "yanked": file.yanked,
        "size": file.size,
        "requires-python": file.requires_python,
        "upload-time": file.uploaded,
        "core-metadata": {"sha256": file.metadata} if isinstance(file.metadata, str) else file.metadata,
        "provenance": file.provenance,
        "gpg-sig": file.signed,
    }
    return {name: value for name, value in fields.items() if value is not None}
