"""The changes of sources of advisories, as pure functions from document to document."""

from __future__ import annotations

import msgspec

from quire.access.document import AccessDocument, with_fields
from quire.domain.advisory_sources import MOST_SOURCES, AdvisorySource
from quire.domain.errors import InvalidRequest, NotFound


def with_source(document: AccessDocument, name: str, source: AdvisorySource) -> AccessDocument:
    """With this data of a source in place of what it had. Raises InvalidRequest."""
    if name not in document.advisories and len(document.advisories) >= MOST_SOURCES:
        raise InvalidRequest(f"There are {MOST_SOURCES} sources of advisories; remove one, or put them into one file.")
    known = document.advisories.get(name)
    if known is not None:
        source = msgspec.structs.replace(source, unknown=known.unknown)
    return with_fields(document, advisories={**document.advisories, name: source})


def without_source(document: AccessDocument, name: str) -> AccessDocument:
    """Without a source. Raises NotFound."""
    if name not in document.advisories:
        known = ", ".join(document.advisories) or "none"
        raise NotFound(f"There is no source of advisories {name!r}; there is {known}.")
    return with_fields(document, advisories={each: it for each, it in document.advisories.items() if each != name})
