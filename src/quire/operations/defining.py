"""Changes of the definitions of indexes: the one door for commands and requests, with the same checks and log lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from quire.access import defining
from quire.access.records import AccessRecords
from quire.domain.errors import InvalidRequest
from quire.domain.indexes import DEFAULT, IndexDefinition
from quire.index.audit.entries import Origin

log = structlog.stdlib.get_logger(__name__)


def set_index(
    access: AccessRecords, name: str, changes: Mapping[str, Any], *, default: str, origin: Origin
) -> tuple[IndexDefinition, bool]:
    """Change fields of an index's definition: the definition, and whether that changed it.

    `default`: the name of the index at the server's root. Raises InvalidRequest, NotFound, StoreError.
    """
    if not changes:
        raise InvalidRequest("No setting of the index was named.")
    details = {"index": name, "set": dict(changes)}
    before, after = access.change(
        lambda document: defining.with_settings(document, name, changes, default), "index-set", details, origin
    )
    if before is not after:
        log.info("index changed", index=name, user=origin.user)
    return after.indexes.get(name, DEFAULT), before is not after
