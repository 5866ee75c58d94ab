"""A store in the memory of one process, for trials and tests, with fault injection.

It fulfils both contracts as strictly as any store does: several handles ("workers") share one `MemoryState`, every
operation is one step under one lock, tags are revisions, and an answer is never an object that another caller holds.

Faults belong to a handle, the data to the state, so a second handle without faults can always read what really
happened.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from quire.domain.errors import BlobMissing, Conflict, StoreError, StoreReadOnly
from quire.store.contracts import (
    NO_DOCUMENTS,
    Digests,
    Draft,
    Names,
    Record,
    Staged,
    Staging,
    StoredBlob,
    check_blob_key,
    check_record_key,
)
from quire.store.digester import Digester
from quire.store.faults import Faults
from quire.store.open_blob import OpenBlob
from quire.store.purposes import Purpose


@dataclass(slots=True, eq=False)
class _Incoming:
    """Bytes on their way in."""

    touched: float
    content: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True)
class _Blob:
    content: bytes
    published: float
    """Or last renewed."""


class _OpenBytes(OpenBlob):
    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        super().__init__(len(content))
        self._content: bytes | None = content

    def read_at(self, offset: int, size: int) -> bytes:
        content = self._content
        if content is None:
            raise StoreError("The file was closed before it was read.")
        return content[offset : offset + size]

    def close(self) -> None:
        self._content = None


class MemoryState:
    """The state that all handles on one store share, in the place of a directory or a bucket.

    `clock` gives seconds, for the ages of blobs and stagings only.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, place: str = "memory:") -> None:
        self.place = place
        self.lock = threading.Lock()
        self.clock = clock
        self.revisions: dict[str, tuple[int, bytes | None]] = {}
        """Revision and document by key. A deleted record keeps its revision, so that no tag ever comes back."""
        self.notes: dict[str, bytes | None] = {}
        """By key, the note of a deleted record; None for a present record, and for a deletion without one."""
        self.present: dict[str, set[str]] = {}
        self.changes: dict[str, int] = {}
        """How often the set of present names under a prefix has changed."""
        self.blobs: dict[str, _Blob] = {}
        self.incoming: set[_Incoming] = set()
        self.purpose = Purpose.INDEX


_lock = threading.Lock()
_states: dict[str, MemoryState] = {}
"""By place; see `MemoryStore.named`."""


class MemoryStore:
    """One worker's handle on a store in memory. Threads may share it.

    `MemoryStore()` begins a new store; `store.shared()`, or `MemoryStore(store.state)`, is another handle on it.
    """

    def __init__(
        self, state: MemoryState | None = None, faults: Faults | None = None, *, writable: bool = True
    ) -> None:
        self.state = state or MemoryState()
        self.faults = faults or Faults()
        self._writable = writable
        self._records = MemoryRecords(self.state, self.faults, writable=writable)
        self._blobs = MemoryBlobs(self.state, self.faults, writable=writable)

    @classmethod
    def named(cls, place: str, *, writable: bool = True) -> MemoryStore:
        """A handle on the one store of this process that has this place, `memory:NAME`; it is made when it is new."""
        with _lock:
            state = _states.setdefault(place, MemoryState(place=place))
        return cls(state, writable=writable)

    def shared(self, faults: Faults | None = None, *, writable: bool = True) -> MemoryStore:
        """Another handle on the same store, with faults of its own (by default none)."""
        return MemoryStore(self.state, faults, writable=writable)

    @property
    def records(self) -> MemoryRecords:
        return self._records

    @property
    def blobs(self) -> MemoryBlobs:
        return self._blobs

    @property
    def place(self) -> str:
        return self.state.place

    @property
    def home(self) -> None:
        return None

    @property
    def exists(self) -> bool:
        return True

    @property
    def validates_inline(self) -> bool:
        return True

    @property
    def writable(self) -> bool:
        return self._writable

    @property
    def pacing(self) -> None:
        return None

    @property
    def purpose(self) -> Purpose:
        return self.state.purpose

    def dedicate(self, purpose: Purpose) -> None:
        _check_writable(self._writable)
        with self.faults.around("write", "the mark"):
            self.state.purpose = purpose

    def probe(self) -> None:
        """There is nothing to ask."""

    def sweep(self, older_than: float, *, thorough: bool = False) -> int:
        return self._blobs.sweep(older_than)


def _check_writable(writable: bool) -> None:
    if not writable:
        raise StoreReadOnly("This handle on the store is read-only; nothing was written.")


class MemoryRecords:
    """See `contracts.Records`."""

    def __init__(self, state: MemoryState, faults: Faults, *, writable: bool) -> None:
        self._state = state
        self._faults = faults
        self._writable = writable

    def read(self, key: str, known: Record | None = None) -> Record:
        check_record_key(key)
        with self._faults.around("read", key), self._state.lock:
            revision, data = self._state.revisions.get(key, (0, None))
            note = self._state.notes.get(key)
        if known is not None and (known.key, known.tag) == (key, str(revision)):
            return known
        return Record(key, data, str(revision), note=note)

    def write(
        self, key: str, data: bytes | None, expected: Record, note: bytes | None = None, *, durable: bool = True
    ) -> Record:
        *folders, name = check_record_key(key)
        prefix = "/".join(folders)
        if expected.key != key:
            raise ValueError(f"expected is the record {expected.key}, not {key}")
        _check_writable(self._writable)
        note = note if data is None else None
        with self._faults.around("write", key), self._state.lock:
            revision, _ = self._state.revisions.get(key, (0, None))
            if expected.tag != str(revision):
                raise Conflict(f"The record {key} was changed by another writer; read it again.")
            self._state.revisions[key] = revision + 1, data
            self._state.notes[key] = note
            present = self._state.present.setdefault(prefix, set())
            if (name in present) != (data is not None):
                present ^= {name}
                self._state.changes[prefix] = self._state.changes.get(prefix, 0) + 1
        return Record(key, data, str(revision + 1), note=note)

    def draft(self, key: str, data: bytes) -> Draft:
        check_record_key(key)
        _check_writable(self._writable)
        return Draft(data)

    def confirm(self, record: Record) -> None:
        """Nothing here outlives the process, and nothing is visible that is less certain than the rest."""

    def names(self, prefix: str, known: Names | None = None) -> Names:
        check_record_key(prefix)
        with self._faults.around("names", prefix), self._state.lock:
            tag = str(self._state.changes.get(prefix, 0))
            if known is not None and (known.prefix, known.tag) == (prefix, tag):
                return known
            return Names(prefix, tuple(sorted(self._state.present.get(prefix, ()))), tag)

    def written(self, prefix: str) -> tuple[str, ...]:
        check_record_key(prefix)
        with self._faults.around("names", prefix), self._state.lock:
            keys = (key.rpartition("/") for key in self._state.revisions)
            return tuple(sorted(name for folder, _, name in keys if folder == prefix))

    def perhaps_changed(self, prefix: str, since: float) -> frozenset[str] | None:
        check_record_key(prefix)
        return None

    def prefixes(self) -> tuple[str, ...]:
        with self._faults.around("names", ""), self._state.lock:
            keys = [key.split("/") for key in self._state.revisions]
        return tuple(sorted({f"{parts[0]}/{parts[1]}" for parts in keys if len(parts) > 2}))

    def erase(self, key: str) -> None:
        check_record_key(key)
        _check_writable(self._writable)
        with self._faults.around("remove", key), self._state.lock:
            for each in [each for each in self._state.revisions if each == key or each.startswith(f"{key}/")]:
                prefix, _, name = each.rpartition("/")
                del self._state.revisions[each]
                self._state.notes.pop(each, None)
                self._state.present[prefix].discard(name)
                self._state.changes[prefix] += 1

    def unchanged(self, known: Record) -> bool:
        return self.read(known.key, known) is known

    def names_unchanged(self, known: Names) -> bool:
        return self.names(known.prefix, known) is known


class MemoryBlobs:
    """See `contracts.Blobs`."""

    keeps_staged = True

    def __init__(self, state: MemoryState, faults: Faults, *, writable: bool) -> None:
        self._state = state
        self._faults = faults
        self._writable = writable

    def stage(self, key: str, algorithms: tuple[str, ...] | None = ()) -> Staging:
        check_blob_key(key)
        _check_writable(self._writable)
        with self._faults.around("stage", key):
            return MemoryStaging(self._state, self._faults, key, algorithms)

    def publish(self, staged: Staged, documents: Mapping[str, bytes] = NO_DOCUMENTS, *, durable: bool = True) -> None:
        _check_writable(self._writable)
        assert isinstance(staged, MemoryStaged), "bytes staged in another kind of store"
        for key in documents:
            check_blob_key(key)
        with self._faults.around("publish", staged.key), self._state.lock:
            for key in (*documents, staged.key):
                if key in self._state.blobs:
                    raise Conflict(f"The blob {key} is there already; it keeps its bytes.")
            if staged.incoming not in self._state.incoming:
                raise StoreError(f"The bytes of {staged.key} are gone (published, discarded or swept); upload again.")
            self._state.incoming.remove(staged.incoming)
            contents = {**documents, staged.key: bytes(staged.incoming.content)}
            self._state.blobs |= {key: _Blob(content, self._state.clock()) for key, content in contents.items()}

    def adopt(self, path: str, key: str, notify: Callable[[int], object]) -> None:
        return None

    def open(self, key: str) -> OpenBlob:
        check_blob_key(key)
        with self._faults.around("open", key), self._state.lock:
            blob = self._state.blobs.get(key)
        if blob is None:
            raise BlobMissing(f"There is no blob {key} in the store (any more).")
        return _OpenBytes(blob.content)

    def confirm(self, key: str) -> None:
        """Nothing here outlives the process."""
        check_blob_key(key)
        _check_writable(self._writable)

    def remove(self, key: str, *, durable: bool = False) -> None:
        check_blob_key(key)
        _check_writable(self._writable)
        with self._faults.around("remove", key), self._state.lock:
            self._state.blobs.pop(key, None)

    def renew(self, key: str) -> None:
        check_blob_key(key)
        _check_writable(self._writable)
        with self._faults.around("renew", key), self._state.lock:
            blob = self._state.blobs.get(key)
            if blob is not None:
                self._state.blobs[key] = _Blob(blob.content, self._state.clock())

    def remove_old(self, key: str, older_than: float) -> bool:
        check_blob_key(key)
        _check_writable(self._writable)
        with self._faults.around("remove", key), self._state.lock:
            blob = self._state.blobs.get(key)
            if blob is None or self._state.clock() - blob.published < older_than:
                return False
            del self._state.blobs[key]
            return True

    def list(self, prefix: str = "") -> Iterator[StoredBlob]:
        if prefix:
            check_blob_key(prefix)
        with self._state.lock:
            now = self._state.clock()
            stored = [
                StoredBlob(key, len(blob.content), max(0.0, now - blob.published))
                for key, blob in self._state.blobs.items()
                if not prefix or key.startswith(prefix + "/")
            ]
        return iter(stored)

    def sweep(self, older_than: float) -> int:
        _check_writable(self._writable)
        with self._state.lock:
            now = self._state.clock()
            old = {incoming for incoming in self._state.incoming if now - incoming.touched >= older_than}
            self._state.incoming -= old
        return len(old)


class MemoryStaging:
    """See `contracts.Staging`."""

    def __init__(self, state: MemoryState, faults: Faults, key: str, algorithms: tuple[str, ...] | None) -> None:
        self._state = state
        self._key = key
        self._faults = faults
        self._algorithms = algorithms
        self._finished = False
        self._incoming = _Incoming(state.clock())
        with state.lock:
            state.incoming.add(self._incoming)

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        with self._faults.around("stage.write", "staged bytes"), self._state.lock:
            self._check_open()
            self._incoming.content += chunk
            self._incoming.touched = self._state.clock()

    def descriptor(self) -> None:
        return None

    def finish(self, *, durable: bool = True) -> Staged:
        with self._faults.around("finish", "staged bytes"), self._state.lock:
            self._check_open()
            self._finished = True
            return MemoryStaged(
                self._state, self._key, self._incoming, _digests(self._incoming.content, self._algorithms)
            )

    def discard(self) -> None:
        with self._state.lock:
            self._state.incoming.discard(self._incoming)

    def _check_open(self) -> None:
        if self._finished or self._incoming not in self._state.incoming:
            raise StoreError("These staged bytes are complete or gone (discarded or swept); begin again.")


class MemoryStaged:
    """See `contracts.Staged`."""

    def __init__(self, state: MemoryState, key: str, incoming: _Incoming, digests: Digests) -> None:
        self._state = state
        self.key = key
        self._digests = digests
        self.incoming = incoming

    @property
    def size(self) -> int:
        return len(self.incoming.content)

    @property
    def digests(self) -> Digests:
        return self._digests

    def open(self) -> BinaryIO:
        return io.BytesIO(self.incoming.content)

    def discard(self) -> None:
        with self._state.lock:
            self._state.incoming.discard(self.incoming)


def _digests(content: bytearray, algorithms: tuple[str, ...] | None) -> Digests:
    digester = Digester(algorithms)
    digester.update(content)
    return digester.digests()
