"""The advisories of all sources of a store, as one process knows them.

The access document names the data of each source (`quire.domain.advisory_sources`), and every request validates that
document, so no request is decided by older data than the document names. The data itself is immutable: it is read once,
by the first that needs it, and shared by all until the document names other data.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from quire.advisories.packed import Packed
from quire.domain.advisories import Advisory
from quire.domain.advisory_sources import DEFAULT_SOURCE, AdvisorySource
from quire.domain.errors import BlobMissing, DamagedRecord
from quire.domain.osv import Entry
from quire.store.contracts import Blobs, Store
from quire.store.open_blob import OpenBlob


class SourceData:
    """The data of one source, read when it is first asked for. Any thread may ask."""

    def __init__(self, blobs: Blobs, source: AdvisorySource) -> None:
        self._blobs = blobs
        self._source = source
        self._lock = threading.Lock()
        self._packed: Packed | None = None

    @property
    def is_loaded(self) -> bool:
        return self._packed is not None

    @property
    def packed(self) -> Packed:
        """It takes some hundredths of a second, and a few round trips, once. Raises StoreError."""
        if self._packed is None:
            with self._lock:
                if self._packed is None:
                    with self._open() as blob:
                        self._packed = Packed(blob)
        return self._packed

    def documents(self, ids: Iterable[str]) -> dict[str, bytes]:
        """The documents of these ids, as the source has them; those that there are. Blocks. Raises StoreError."""
        ids = [each for each in ids if self.packed.has(each)]
        if not ids:
            return {}
        with self._open() as blob:
            return self.packed.documents(blob, ids)

    @contextmanager
    def _open(self) -> Iterator[OpenBlob]:
        try:
            opened = self._blobs.open(self._source.key)
        except BlobMissing as error:
            raise DamagedRecord(
                "Advisories that the store names are missing in it; take them in again with 'quire osv update'."
            ) from error
        with opened:
            yield opened


class KnownAdvisories:
    """A `quire.domain.advisories.Advisories`: those of all sources. Lookups raise StoreError for data that cannot be
    read; after `load` they do not wait."""

    def __init__(self, sources: Mapping[str, SourceData], *, number: int) -> None:
        """`sources`: in the order in which they count: of an id that several have, the first one's is taken."""
        self.sources = sources
        self._number = number

    def __bool__(self) -> bool:
        return self._number > 0

    @property
    def is_loaded(self) -> bool:
        """Whether lookups wait for nothing."""
        return all(each.is_loaded for each in self.sources.values())

    def load(self) -> None:
        """Read the data of all sources. Blocks. Raises StoreError."""
        for each in self.sources.values():
            _ = each.packed

    def of(self, project: str, version: str) -> Sequence[Advisory]:
        """See `Advisories`."""
        return [advisory_of(each) for each in self._counting(lambda packed: packed.of(project, version))]

    def fixed_by(self, project: str, version: str) -> Sequence[Advisory]:
        """See `Advisories`."""
        return [advisory_of(each) for each in self._counting(lambda packed: packed.fixed_by(project, version))]

    def entries(self, project: str, version: str | None) -> list[Entry]:
        """Those by which a version is affected; all of the project where None is asked for. By id."""
        found = self._counting(
            lambda packed: packed.entries(project) if version is None else packed.of(project, version)
        )
        return sorted(found, key=lambda each: each.id)

    def _counting(self, found_in: Callable[[Packed], Sequence[Entry]]) -> list[Entry]:
        """The entries of all sources, without those that an earlier source has another document of, perhaps a withdrawn
        one."""
        earlier: list[Packed] = []
        counting: list[Entry] = []
        for data in self.sources.values():
            packed = data.packed
            counting += (each for each in found_in(packed) if not any(other.has(each.id) for other in earlier))
            earlier.append(packed)
        return counting

    def documents(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The documents of these ids, as their sources have them; those that there are. Blocks. Raises StoreError."""
        found: dict[str, bytes] = {}
        for data in self.sources.values():
            found |= data.documents([each for each in ids if each not in found])
        return found


NO_ADVISORIES = KnownAdvisories({}, number=0)


class AdvisoryCache:
    """The advisories of a store, kept by one process. Any thread may ask."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known = NO_ADVISORIES
        self._made_of: Mapping[str, AdvisorySource] = {}
        self._data: dict[str, SourceData] = {}
        """By digest."""

    def at(self, sources: Mapping[str, AdvisorySource]) -> KnownAdvisories:
        """Those of these sources: the very object of the last call, if they are the same. Nothing is read yet."""
        if sources is self._made_of or sources == self._made_of:
            self._made_of = sources  # the next comparison is of one object
            return self._known
        names = sorted(sources, key=lambda name: (name == DEFAULT_SOURCE, name))  # an operator's own ones first
        data = {name: self._data_of(sources[name]) for name in names}
        number = sum(each.advisories for each in sources.values())
        self._known, self._made_of = KnownAdvisories(data, number=number), sources
        self._data = {sources[name].digest: each for name, each in data.items()}
        return self._known

    def _data_of(self, source: AdvisorySource) -> SourceData:
        return self._data.get(source.digest) or SourceData(self._store.blobs, source)


def advisory_of(entry: Entry) -> Advisory:
    """An entry as policies see it."""
    return Advisory(
        id=entry.id,
        severity=entry.severity,
        is_malicious=entry.is_malicious,
        summary=entry.summary,
        fixed=entry.fixed,
        published=entry.published,
    )
