"""The changes of definitions of indexes, as pure functions from document to document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from quire.access.document import AccessDocument, with_fields
from quire.domain.errors import NotFound
from quire.domain.indexes import DEFAULT

_MOST_TEXT = 200


def with_settings(document: AccessDocument, name: str, changes: Mapping[str, Any], default: str) -> AccessDocument:
    """With other values of some fields of an index's definition; the very document when it has them already.

    `default`: the index at the server's root, which exists without a definition. Raises NotFound for another index
    without one.
    """
    if name != default and name not in document.indexes:
        raise NotFound(f"There is no index {name[:_MOST_TEXT]!r}; 'quire index list' lists them.")
    before = document.indexes.get(name, DEFAULT)
    after = msgspec.structs.replace(before, **changes)
    return document if after == before else with_fields(document, indexes={**document.indexes, name: after})
