"""The blobs that the records name."""

from __future__ import annotations

import re
from collections.abc import Iterable

from quire.domain.names import is_normalized
from quire.domain.reserved import MIRROR
from quire.index.commits import blob_keys
from quire.index.index import Index

_PUBLICATION = re.compile(r"[0-9a-f]{64}-[0-9a-f]{8}")


def project_of(key: str) -> str | None:
    """The project that a blob's key is of; None when no publication would have made such a key."""
    parts = key.split("/")
    if len(parts) != 3 or not is_normalized(parts[0]) or not _PUBLICATION.fullmatch(parts[1]):
        return None
    return parts[0]


def is_mirrored(key: str) -> bool:
    """Whether a blob is a page or a file of another index (`quire.upstream`), which no record of a project lists."""
    return key.startswith(f"{MIRROR}/") and project_of(key) is None  # a project of that name has blobs as others have


def named_blobs(indexes: Iterable[Index], project: str) -> frozenset[str]:
    """The keys of the blobs that the records of a project promise now, in all these indexes.

    Raises DamagedRecord when a record cannot be understood, StoreError.
    """
    found: set[str] = set()
    for index in indexes:
        stored = Index.decode(index.store.records.read(index.key(project)))
        if stored is not None:
            pending = stored.pending.files.values() if stored.pending is not None else ()
            found.update(key for file in (*stored.files.values(), *pending) for key in blob_keys(file))
    return frozenset(found)
