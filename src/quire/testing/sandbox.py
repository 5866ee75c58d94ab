"""The sandbox in which a rule is checked: keys of its own on a store that may be in use."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from quire.store.contracts import Staged, Staging, Store

CENTURY = 100 * 365 * 86400.0


class Sandbox:
    """One rule's own part of the store: workers on it, keys in it, and the removal of all that was made."""

    def __init__(self, factory: Callable[[], Store]) -> None:
        self.worker = factory
        """Opens a new, independent handle."""
        self.folder = f"conformance/{uuid.uuid4().hex}"
        """An unused prefix for records and blobs."""
        self._keys: set[str] = set()
        self._blobs: set[str] = set()
        self._stagings: list[Staging | Staged] = []

    def record(self, name: str = "record") -> str:
        """The key of a record here; `name` may have folders."""
        key = f"{self.folder}/{name}"
        self._keys.add(key)
        return key

    def blob(self, name: str = "file") -> str:
        """The key of a blob here; `name` may have folders."""
        key = f"{self.folder}/{name}"
        self._blobs.add(key)
        return key

    def staging(self, worker: Store, key: str, algorithms: tuple[str, ...] | None = ()) -> Staging:
        staging = worker.blobs.stage(key, algorithms)
        self._stagings.append(staging)
        return staging

    def staged(self, worker: Store, key: str, *chunks: bytes, algorithms: tuple[str, ...] | None = ()) -> Staged:
        """Complete bytes that are not published."""
        staging = self.staging(worker, key, algorithms)
        for chunk in chunks:
            staging.write(chunk)
        return self.kept(staging.finish())

    def kept(self, staged: Staged) -> Staged:
        """The same, to be discarded at the end."""
        self._stagings.append(staged)
        return staged

    def clean_up(self) -> None:
        store = self.worker()
        for staging in self._stagings:
            staging.discard()
        for blob in self._blobs:
            store.blobs.remove(blob)
        for key in self._keys:
            record = store.records.read(key)
            if record.data is not None:
                store.records.write(key, None, record)


Rule = Callable[[Sandbox], None]
"""A promise of a store: its name states the promise, and the error it raises tells how the store broke it."""
