"""All records of a store as they were together, name by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from quire.access.document import KEY, decode_access
from quire.domain.errors import DamagedRecord, StoreError
from quire.domain.project import File
from quire.domain.promotions import JOURNAL
from quire.domain.reserved import MIRROR
from quire.domain.trash import SUFFIX, trash_of
from quire.index.commits import blob_keys
from quire.index.index import Index
from quire.operations.backup.manifest import Bytes, Document
from quire.operations.backup.place import each_of
from quire.operations.last_backup import FOLDER
from quire.process.progress import Progress
from quire.store.contracts import Record, Records

_PASSES: Final = 20
_READINGS: Final = 200
_LEFT_OUT: Final = frozenset({"dropins", FOLDER})
"""The folders of what is known of drop-in files, which are read again, and of the time of the last backup."""


class Wanted(NamedTuple):
    """A blob that a record names."""

    key: str
    sha256: str | None
    """None where only its bytes tell."""
    size: int | None


@dataclass(frozen=True, slots=True)
class Captured:
    """A record as it is in the backup."""

    record: Record
    """Without its data: to ask whether it is still the same."""
    document: Document
    files: tuple[Wanted, ...]
    damage: str | None = None
    """A sentence about a record that is no document: its bytes are kept, the files that it named are not known."""


@dataclass(slots=True)
class Snapshot:
    """All of them, by key."""

    captured: dict[str, Captured] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    """By key, a sentence about each record of which the store itself finds that it is damaged."""


class Reader:
    """Reads the records of one store, and stores their bytes at once, so that they are not all kept in memory."""

    def __init__(self, records: Records, put: Callable[[bytes], Bytes]) -> None:
        """`put`: stores bytes in the backup."""
        self._records = records
        self._put = put

    def snapshot(self, known: Mapping[str, Captured], progress: Progress) -> Snapshot:
        """All records now. `known`: those of an earlier snapshot, which are read only as far as they changed.
        Raises StoreError."""
        for _ in range(_PASSES):
            # Listed once, before the journals: no record is read of a folder that is new since, whose journal is not
            # watched.
            found, folders = Snapshot(), self._prefixes()
            journals = self._journals(folders)

            def work(keys: list[str], found: Snapshot = found, known: Mapping[str, Captured] = known) -> None:
                for each in self._group(keys, known, found):
                    found.captured[each.document.key] = each
                progress.advance(1)

            groups = self._groups(folders)
            progress.step("reading records", len(groups))
            each_of(groups, work)
            if all(self._records.read(each.key, each) is each for each in journals):
                return found
            known = found.captured
        raise StoreError("Promotions are published all the time; repeat the backup when there are fewer.")

    def _prefixes(self) -> list[str]:
        found = (prefix.partition("/") for prefix in self._records.prefixes())
        return [f"{index}/{kind}" for index, _, kind in found if index != MIRROR and kind not in _LEFT_OUT]

    def _journals(self, folders: list[str]) -> list[Record]:
        prefixes = [folder for folder in folders if folder.endswith("/projects")]
        return [self._records.read(f"{prefix}/{JOURNAL}") for prefix in prefixes]

    def _groups(self, folders: list[str]) -> list[list[str]]:
        """The keys of each name: in all folders of the indexes that have it, also those that are about to get it."""
        families: dict[str, set[str]] = {}
        for folder in folders:
            family = _family(folder)
            families.setdefault(family, {f"{trash_of(family)}/projects", f"{family}/log"}).add(folder)
        groups: dict[str, set[str]] = {}
        for folder in folders:
            for name in self._records.written(folder):
                groups.setdefault(name, set()).update(f"{each}/{name}" for each in families[_family(folder)])
        return [sorted(groups[name]) for name in sorted(groups)]

    def _group(self, keys: list[str], known: Mapping[str, Captured], found: Snapshot) -> list[Captured]:
        records = [self._read(key, known, found) for key in keys]
        for _ in range(_READINGS):
            again = [None if each is None else self._records.read(each.key, each) for each in records]
            if all(one is other for one, other in zip(records, again, strict=True)):
                return [self._captured(each, known) for each in records if each is not None and each.was_written]
            records = again
        raise StoreError(f"{keys[0]} changes faster than it can be read; repeat the backup.")

    def _read(self, key: str, known: Mapping[str, Captured], found: Snapshot) -> Record | None:
        try:
            return self._records.read(key, known[key].record if key in known else None)
        except DamagedRecord as error:  # the store itself cannot understand it
            found.unreadable[key] = str(error)
            return None

    def _captured(self, record: Record, known: Mapping[str, Captured]) -> Captured:
        earlier = known.get(record.key)
        if earlier is not None and earlier.record is record:
            return earlier
        data = None if record.data is None else self._put(record.data)
        note = None if record.note is None else self._put(record.note)
        light, document = Record(record.key, None, record.tag, record.validation), Document(record.key, data, note)
        try:
            return Captured(light, document, _named_by(record))
        except DamagedRecord as error:
            return Captured(light, document, (), str(error))


def bytes_of(data: bytes) -> Bytes:
    """Their digest and size."""
    return Bytes(hashlib.sha256(data).hexdigest(), len(data))


def _family(folder: str) -> str:
    """The index that a folder of records is of; that of its trash is the same."""
    return folder.partition("/")[0].removesuffix(SUFFIX)


def _named_by(record: Record) -> tuple[Wanted, ...]:
    """The blobs that a record names. Raises DamagedRecord."""
    _, kind, name = (*record.key.split("/"), "", "")[:3]
    if record.key == KEY:
        sources = decode_access(record.data).advisories.values()
        return tuple(Wanted(each.key, each.digest, each.size) for each in sources)
    if kind != "projects" or name == JOURNAL:
        return ()
    project = Index.decode(record)
    if project is None:
        return ()
    files = [*project.files.values(), *(project.pending.files.values() if project.pending is not None else ())]
    return tuple(each for file in files for each in _stored_for(file))


def _stored_for(file: File) -> list[Wanted]:
    first = f"{file.blob}/{file.filename}"
    known: dict[str, tuple[str | None, int | None]] = {
        first: (file.sha256, file.size),
        f"{first}.metadata": (file.metadata_sha256, None),
        f"{first}.attestations": (file.provenance_sha256, None),
    }
    return [Wanted(key, *known.get(key, (None, None))) for key in blob_keys(file)]
