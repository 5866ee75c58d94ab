"""The two contracts every store fulfils: records and blobs.

A store knows nothing of Python packaging, and its users know nothing of directories or buckets.
`quire.testing.check_store` is the executable form of this page; a store that passes it can carry an index.

Keys are `/`-separated. A folder of keys holds records or further folders, never both. Each part of a record key
matches `[a-z0-9][a-z0-9_-]*`; parts of a blob key may be any filename that is not empty, `.` or `..` and holds neither
`/` nor NUL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol

from quire.domain.errors import InvalidName
from quire.store.open_blob import OpenBlob
from quire.store.purposes import Purpose

_RECORD_KEY_PART = re.compile(r"[a-z0-9][a-z0-9_-]*")
MAX_KEY_PART_BYTES = 255  # NAME_MAX of every file system in use
MAX_RECORD_PART = 200
"""Characters; leaves a store room for suffixes of its own."""
NO_DOCUMENTS: Final[Mapping[str, bytes]] = {}
NEVER_WRITTEN = "0"
"""The tag of a record that was never written, in every store. No other state has it."""


class Record:
    """One document as it was at one moment.

    `data` is None when nothing is stored under the key: never written, or deleted. Absence has a tag like
    anything else, so that it is revalidated, compared and swapped like anything else.
    `tag` is opaque and equal exactly for equal stored states of one key. Every write makes a new state, also of equal
    bytes; a tag never returns. Never written and deleted are two states.
    `note` was given with the deletion of the record; None for a present record, and for a deletion without one.
    `validation` belongs to the store that made the record; only it reads it.
    """

    __slots__ = ("data", "key", "note", "tag", "validation")

    def __init__(
        self, key: str, data: bytes | None, tag: str, validation: object = None, note: bytes | None = None
    ) -> None:
        self.key = key
        self.data = data
        self.tag = tag
        self.validation = validation
        self.note = note

    @property
    def was_written(self) -> bool:
        """Whether there is, or ever was, a document under the key: a deleted record goes on saying so."""
        return self.tag != NEVER_WRITTEN

    def __repr__(self) -> str:
        size = "absent" if self.data is None else f"{len(self.data)} bytes"
        return f"<Record {self.key} {self.tag} {size}>"


class Draft(bytes):
    """A document that a store has begun to write, to be stored by `Records.write` like any other, or to be discarded.

    It is no more than its bytes: a store that can do nothing beforehand has nothing to add.
    """

    def discard(self) -> None:
        """Discard the draft. Idempotent. A draft is written once, and not after this."""


class Names:
    """The names in a folder that have a present record, sorted. `tag` changes whenever they do."""

    __slots__ = ("names", "prefix", "tag", "validation")

    def __init__(self, prefix: str, names: tuple[str, ...], tag: str, validation: object = None) -> None:
        self.prefix = prefix
        self.names = names
        self.tag = tag
        self.validation = validation


class Records(Protocol):
    """Small documents, replaced atomically, read conditionally. Linearizable per key, and per prefix for `names`."""

    def read(self, key: str, known: Record | None = None) -> Record:
        """The record now: the very object `known` when it is unchanged. Never raises for absence.

        Raises StoreError when the store cannot answer.
        """
        ...

    def write(
        self, key: str, data: bytes | None, expected: Record, note: bytes | None = None, *, durable: bool = True
    ) -> Record:
        """Replace atomically what is stored, if it is still `expected`; None deletes. Durable when it returns.

        `note`: a JSON document kept in place of a deleted one, in the same step; ignored when `data` is given. It is
        kept also where there never was a document.
        `durable`: False for the first document of a record, if it can be made again: it need not survive a loss of
        power, after which there may be none, or damaged bytes, which the caller recognises. The death of any process
        loses nothing. The next write makes the record durable; a store may always do so.

        Raises Conflict (nothing written) when the stored one is no longer `expected`; StoreReadOnly, StoreFull
        (nothing written); another StoreError when it is not known whether it was written.
        """
        ...

    def draft(self, key: str, data: bytes) -> Draft:
        """Prepare a `write` of these bytes that is probable, so that the store can begin with it early (early
        writeback). The caller discards the draft in the end.

        Raises StoreReadOnly, StoreFull, StoreError (nothing stored).
        """
        ...

    def confirm(self, record: Record) -> None:
        """Make a record that was just read durable. For a caller that finds its change already made by a writer that
        may have died between making it visible and making it durable. Raises StoreError.
        """
        ...

    def names(self, prefix: str, known: Names | None = None) -> Names:
        """The present names in the folder `prefix` now: the very object `known` when they are unchanged."""
        ...

    def prefixes(self) -> tuple[str, ...]:
        """The folders two parts deep, such as `main/projects`, that have a record or ever had one, sorted. There may
        be others among them, which never had any.
        """
        ...

    def written(self, prefix: str) -> tuple[str, ...]:
        """The names in the folder `prefix` that have a record or ever had one, sorted. For copies of a whole store: it
        may take a walk through the folder. Records made or deleted meanwhile may be missing.
        """
        ...

    def perhaps_changed(self, prefix: str, since: float) -> frozenset[str] | None:
        """The names in the folder `prefix` whose records may have been written after a moment, by the clock of this
        machine (seconds since the epoch); more of them than were. None where to ask for each record costs no more.

        For copies of all records, which are compared with the store now and then. Raises StoreError.
        """
        ...

    def erase(self, key: str) -> None:
        """Remove a record, and all below it where it is a folder, present and deleted ones, without a trace: they were
        never written then. For keys that nothing reads or writes any more, since a tag may come back. Idempotent; when
        it raises, a part may be gone.

        Raises StoreReadOnly, StoreError.
        """
        ...

    def unchanged(self, known: Record) -> bool:
        """Whether `read` would certainly return `known`. False when only reading can tell: this never reads."""
        ...

    def names_unchanged(self, known: Names) -> bool:
        """Whether `names` would certainly return `known`. False when only listing can tell: this never lists."""
        ...


@dataclass(frozen=True, slots=True)
class Digests:
    """Hex digests of one blob, by the names that PEP 691 and the upload form give the algorithms; each "" where none
    was wanted."""

    sha256: str
    md5: str
    blake2b_256: str
    other: dict[str, str]
    """Further hashlib algorithms that the store was asked for, e.g. {"sha512": "..."}."""


class Staging(Protocol):
    """Bytes that are being staged; not visible until published. Discard it, or leave it to the sweep."""

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append. Raises StoreFull, StoreReadOnly, StoreError."""
        ...

    def descriptor(self) -> int | None:
        """A descriptor of a file that has each byte as soon as it is written, also after all were published or
        discarded; the caller closes it. None in a store without such a file. Raises StoreError."""
        ...

    def finish(self, *, durable: bool = True) -> Staged:
        """Make the bytes durable and compute their digests.

        `durable`: False if they are published or discarded at once: publishing then makes them durable, and a
        refusal does not wait for the disk. A store may hold a descriptor until one of the two is done.
        """
        ...

    def discard(self) -> None:
        """Discard the bytes. Idempotent."""
        ...


class Staged(Protocol):
    """Complete bytes that can be published once, and are durable then."""

    @property
    def key(self) -> str:
        """The key that they were staged for."""
        ...

    @property
    def size(self) -> int: ...

    @property
    def digests(self) -> Digests: ...

    def open(self) -> BinaryIO:
        """A seekable reader of the bytes."""
        ...

    def discard(self) -> None:
        """Discard the bytes if they were not published. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """One blob as the store lists it, for check and gc."""

    key: str
    size: int
    age: float
    """Seconds since it was published or last renewed, by the store's clock; never negative."""


class Blobs(Protocol):
    """Large immutable bytes. A key is written once; the same key never gets other bytes."""

    @property
    def keeps_staged(self) -> bool:
        """Whether staged bytes are in the store, where `sweep` finds those that were left behind; else they end with
        the process that staged them."""
        ...

    def stage(self, key: str, algorithms: tuple[str, ...] | None = ()) -> Staging:
        """Begin to take in the bytes of the blob `key`, which a store may write where they stay: the key is chosen
        before they are known, and no other upload uses it. `algorithms`: hashlib names to compute besides the three
        of `Digests`; None for no digest at all, where the caller has its own: they cost more than the bytes.
        """
        ...

    def publish(self, staged: Staged, documents: Mapping[str, bytes] = NO_DOCUMENTS, *, durable: bool = True) -> None:
        """Give staged bytes their key, and small documents in the same folder theirs, at the price of little more than
        one; durable when it returns. A key that is taken raises Conflict.

        `durable`: False for bytes that can be made again: as with `Records.write`, a loss of power may leave damaged
        ones, which the reader recognises.

        Until it returns, a part of a document may be found under its key. When it raises, it is not known which of
        them were published: remove them, or leave them to `gc`.
        """
        ...

    def adopt(self, path: str, key: str, notify: Callable[[int], object]) -> Staged | None:
        """Stage a file of this system for `key` without a copy of its bytes, for a caller that knows that the file
        is not written any more. None when that cannot be done, as in most stores: copy it then.

        `notify` is called with the size of each piece that was read. Raises StoreError when `path` cannot be read.
        """
        ...

    def open(self, key: str) -> OpenBlob:
        """Raises BlobMissing when there is none under this key (any more)."""
        ...

    def confirm(self, key: str) -> None:
        """Make a blob that was just found durable; a missing one is no error. For a caller that relies on what another
        process published, which may have died before it was durable. Raises StoreReadOnly, StoreError.
        """
        ...

    def remove(self, key: str, *, durable: bool = False) -> None:
        """Remove; a missing one is no error. `durable`: it does not come back after a power cut."""
        ...

    def renew(self, key: str) -> None:
        """Reset a blob's age; a missing one is no error. Call it before a write that unlists the blob: see `gc`."""
        ...

    def remove_old(self, key: str, older_than: float) -> bool:
        """Remove it if it was published and last renewed at least `older_than` seconds ago, as it is now; whether."""
        ...

    def list(self, prefix: str = "") -> Iterator[StoredBlob]:
        """Every blob whose key begins with the folder `prefix`, in no particular order. For check and gc."""
        ...

    def sweep(self, older_than: float) -> int:
        """Remove staged bytes of processes that died, untouched for `older_than` seconds; returns how many."""
        ...


@dataclass(frozen=True, slots=True)
class Pacing:
    """How validations of one value are batched where each is a question to a server; see `quire.catalog.freshness`."""

    busy_waiters: int
    """Requests for one value, on the way together, by which it is known to be in demand."""
    batch_size: int
    """Requests that wait for a validation and for which it is not held back for more."""
    seconds: float
    """Between the beginnings of two validations of a value in demand for which fewer wait."""


@dataclass(frozen=True, slots=True)
class BlobOptions:
    """How a store in a bucket takes in and gives out large blobs. Other stores have no use for it."""

    spool_size: int = 256 * 1024**2
    """Bytes that all uploads of a process keep in the temporary directory together; see `quire.store.bucket.spool`."""
    largest: int = 2 * 1024**3
    """Bytes of the largest blob that is expected: the size of the parts follows from it."""
    redirect_seconds: int | None = None
    """How long a URL is valid at which clients get a blob from the bucket; None: they get it from quire."""


DEFAULT_BLOB_OPTIONS: Final = BlobOptions()


class Store(Protocol):
    """Both, and what the layers above need to know to use them well."""

    @property
    def records(self) -> Records: ...

    @property
    def blobs(self) -> Blobs: ...

    @property
    def place(self) -> str:
        """Where it is, for people: a directory or a URL, which `quire.store.opening.open_store` takes."""
        ...

    @property
    def home(self) -> str | None:
        """The folder of this system that belongs to the store alone, so that others leave it out; None without one."""
        ...

    @property
    def exists(self) -> bool:
        """Whether there is a store by now, or only a place for one."""
        ...

    @property
    def validates_inline(self) -> bool:
        """Whether a read that finds nothing changed takes microseconds, so that it may run on an event loop."""
        ...

    @property
    def pacing(self) -> Pacing | None:
        """How reads that are not inline are batched; None when each may begin as soon as it can."""
        ...

    @property
    def writable(self) -> bool:
        """Whether this process may change the store (found when it was opened)."""
        ...

    @property
    def purpose(self) -> Purpose:
        """The use that its mark names now. Raises StoreError."""
        ...

    def dedicate(self, purpose: Purpose) -> None:
        """Replace its mark in one step, durably. Idempotent; for one caller at a time.

        Raises StoreReadOnly, StoreError (not known whether it was done).
        """
        ...

    def probe(self) -> None:
        """Ask the store whether it can be used as it was opened, where opening it asked nothing.

        Raises StoreError in the sentence that an operator should read.
        """
        ...

    def sweep(self, older_than: float, *, thorough: bool = False) -> int:
        """Remove or finish what workers that died left behind, untouched for `older_than` seconds; returns how many.

        `thorough`: also what takes a walk through the whole store to find. For gc.
        """
        ...


def check_record_key(key: str) -> tuple[str, ...]:
    """Split a record key into its parts. Raises InvalidName when a part could leave its folder."""
    parts = tuple(key.split("/"))
    for part in parts:
        if not _RECORD_KEY_PART.fullmatch(part) or len(part) > MAX_RECORD_PART:
            raise InvalidName(f"{key!r} cannot be a record key; use lower-case letters, digits, '-' and '_'.")
    return parts


def check_blob_key(key: str) -> tuple[str, ...]:
    """Split a blob key into its parts. Raises InvalidName when a part could leave its folder."""
    parts = tuple(key.split("/"))
    for part in parts:
        if part in {"", ".", ".."} or "\0" in part or len(part.encode(errors="replace")) > MAX_KEY_PART_BYTES:
            raise InvalidName(f"{key!r} cannot be a blob key; use filenames joined by '/'.")
    return parts
