"""Records as objects of a bucket, one each: see `quire.store.bucket.documents` and `quire.store.bucket.names`."""

from __future__ import annotations

from collections.abc import Callable

from quire.domain.errors import Conflict, StoreReadOnly
from quire.store.bucket.documents import Document, Kind
from quire.store.bucket.name_repairs import NameRepairs
from quire.store.bucket.names import NameLists
from quire.store.bucket.objects import Bucket
from quire.store.bucket.swaps import State, Swaps
from quire.store.contracts import NEVER_WRITTEN, Draft, Names, Record, check_record_key

_FENCES = 20
"""Attempts to write a record again that others change at the same time."""
_CLOCKS_APART = 900.0
"""Seconds by which the clocks of a machine and of a bucket may differ; buckets refuse requests of greater ones."""


class BucketRecords:
    """Fulfils `contracts.Records`. May be used from any thread."""

    def __init__(self, bucket: Bucket, *, writable: bool, check: Callable[[], None] = lambda: None) -> None:
        """`check`: called before each use; raises StoreError when the bucket must not be used."""
        self._check = check
        self._bucket = bucket
        self._swaps = Swaps(bucket)
        self._writable = writable
        self.lists = NameLists(bucket, self._swaps, self.read)

    def read(self, key: str, known: Record | None = None) -> Record:
        """See `contracts.Records`: one GET, which is conditional where something is known."""
        check_record_key(key)
        self._check()
        state = known.validation if known is not None and known.key == key else None
        found = self._swaps.read(_object_key(key), state if isinstance(state, State) else None)
        if found is None:
            assert known is not None
            return known
        record = _record(key, *found)
        if known is not None and state is not None and known.tag == record.tag != NEVER_WRITTEN:
            return known  # its version was not known, or another one means the same state
        return record

    def write(
        self, key: str, data: bytes | None, expected: Record, note: bytes | None = None, *, durable: bool = True
    ) -> Record:
        """See `contracts.Records`."""
        *folders, name = check_record_key(key)
        if expected.key != key:
            raise ValueError(f"expected is the record {expected.key}, not {key}")
        self._check_writable()
        state = expected.validation
        if not isinstance(state, State):
            raise Conflict(f"The record {key} was not read from this store; read it.")
        kind, content = (Kind.PRESENT, data) if data is not None else (Kind.DELETED, note or b"")
        note = (note or None) if data is None else None

        def commit() -> State:
            return self._swaps.swap(_object_key(key), state, kind, content)

        if (expected.data is None) == (data is None):
            written = commit()
        else:
            written = self.lists.change("/".join(folders), name, commit, is_present=data is not None)
        return Record(key, None if data is None else bytes(data), written.nonce, written, note)

    def draft(self, key: str, data: bytes) -> Draft:
        """See `contracts.Records`; nothing can be done beforehand."""
        check_record_key(key)
        self._check_writable()
        return Draft(data)

    def confirm(self, record: Record) -> None:
        """Do nothing: a record that can be read from a bucket is durable."""

    def names(self, prefix: str, known: Names | None = None) -> Names:
        """See `contracts.Records`."""
        check_record_key(prefix)
        self._check()
        return self.lists.names(prefix, known)

    def written(self, prefix: str) -> tuple[str, ...]:
        """See `contracts.Records`: the bucket's own listing, a request for each thousand."""
        check_record_key(prefix)
        self._check()
        keys = (each.key.removeprefix(f"records/{prefix}/") for each in self._bucket.list(f"records/{prefix}"))
        return tuple(sorted(key.removesuffix(".json") for key in keys if "/" not in key))

    def perhaps_changed(self, prefix: str, since: float) -> frozenset[str] | None:
        """See `contracts.Records`: the bucket's own listing has the time of each object, by the bucket's clock."""
        check_record_key(prefix)
        self._check()
        folder = f"records/{prefix}"
        found = (each for each in self._bucket.list(folder) if each.modified >= since - _CLOCKS_APART)
        return frozenset(each.key.removeprefix(f"{folder}/").removesuffix(".json") for each in found)

    def prefixes(self) -> tuple[str, ...]:
        """See `contracts.Records`: the folders that have a list of names."""
        return self.lists.folders(parts=2)

    def erase(self, key: str) -> None:
        """See `contracts.Records`: a list of the records below, one of their lists of names, and a removal of each."""
        check_record_key(key)
        self._check_writable()
        below = [each.key for prefix in (f"records/{key}", f"names/{key}") for each in self._bucket.list(prefix)]
        for each in (*below, _object_key(key), f"names/{key}.json"):
            self._bucket.remove(each)

    def unchanged(self, known: Record) -> bool:
        """See `contracts.Records`; a round trip all the same, so it is not asked on an event loop."""
        return self.read(known.key, known) is known

    def names_unchanged(self, known: Names) -> bool:
        """As `unchanged`."""
        return self.names(known.prefix, known) is known

    def fence(self, key: str) -> None:
        """Write a record again unchanged, so that a write that expects its present state fails. Raises StoreError."""
        for _ in range(_FENCES):
            found = self._swaps.read(_object_key(key))
            assert found is not None  # nothing was known
            state, document = found
            kind, data = (Kind.NEVER, b"") if document is None else (document.kind, document.data)
            try:
                self._swaps.swap(_object_key(key), state, kind, data)
            except Conflict:
                continue
            return
        raise Conflict(f"The record {key} has too many writers at once.")

    def repairs(self) -> NameRepairs:
        """Repairs of the lists of names. Raises StoreReadOnly."""
        self._check_writable()
        return NameRepairs(self._bucket, self._swaps, self.read)

    def _check_writable(self) -> None:
        if not self._writable:
            raise StoreReadOnly("The bucket is served read-only; nothing was written.")


def _object_key(key: str) -> str:
    return f"records/{key}.json"


def _record(key: str, state: State, document: Document | None) -> Record:
    if document is None or document.kind is Kind.NEVER:
        return Record(key, None, NEVER_WRITTEN, state)
    if document.kind is Kind.DELETED:
        return Record(key, None, document.nonce, state, document.data or None)
    return Record(key, document.data, document.nonce, state)
