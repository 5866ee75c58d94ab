"""The blobs that the records name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from quire.domain.names import is_normalized
from quire.domain.reserved import MIRROR
from quire.index.commits import blob_keys
from quire.index.index import Index
from quire.store.contracts import Record

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


class References:
    """The blobs that the records of one project promise, in all indexes, as often as it is asked."""

    def __init__(self, indexes: Sequence[Index], project: str) -> None:
        self._indexes = indexes
        self._project = project
        self._records: dict[str, Record] = {}
        self._keys: dict[str, frozenset[str]] = {}

    def now(self) -> frozenset[str]:
        """The keys that are promised now. Raises DamagedRecord when a record cannot be understood, StoreError."""
        for index in self._indexes:
            known = self._records.get(index.name)
            record = index.store.records.read(index.key(self._project), known)
            if record is known:
                continue
            project = Index.decode(record)
            files = list(project.files.values()) if project is not None else []
            if project is not None and project.pending is not None:
                files += project.pending.files.values()
            self._keys[index.name] = frozenset(key for file in files for key in blob_keys(file))
            self._records[index.name] = record
        return frozenset().union(*self._keys.values())
