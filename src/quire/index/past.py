"""Reads a project as it was at a moment; see `quire.domain.past`."""

from __future__ import annotations

from typing import Final, NamedTuple

from quire.domain.errors import StoreError
from quire.domain.past import Past, past_of
from quire.domain.trash import files_of
from quire.index.audit.archive import archive_key
from quire.index.audit.entries import entries_of
from quire.index.audit.reading import Logged, LogReader
from quire.index.commits import decode
from quire.index.index import Index
from quire.store.contracts import Record

_MOST_ROUNDS: Final = 20  # of reading a project that changes meanwhile


class ReadPast(NamedTuple):
    """A project at a moment, by what is known of it now."""

    past: Past
    tag: str
    """Of the project's record; "" while a promotion of it is under way, where that alone says nothing."""
    others: tuple[Record, ...]
    """The other records that it was read from: it is true as long as the project's record and these are unchanged."""


def read_past(index: Index, name: str, moment: str, *, with_trash: bool = True) -> ReadPast:
    """The project of a normalized name at a moment; without files that are in the trash where `with_trash` is false.
    Blocks. Raises DamagedRecord, StoreError."""
    records = index.store.records
    for _ in range(_MOST_ROUNDS):
        record = records.read(index.key(name))
        stored = decode(record)
        project, record, _ = index.commits.journal.see(record, stored)
        tag = record.tag if stored is None or stored.pending is None else ""
        carried = entries_of(record)
        if not any(Logged(name, entry).at >= moment for entry in carried):
            return ReadPast(past_of(project, carried, (), moment), tag, ())
        archive = records.read(archive_key(index.name, name))
        log = [logged.entry for logged in LogReader(records, index.name, index.prefix).project(name)]
        trash = records.read(index.trash.key(name))
        trashed = files_of(decode(trash), trash.key) if with_trash else ()
        if records.read(record.key, record) is record:  # so all was true together
            others = (_validator(archive), _validator(trash))
            return ReadPast(past_of(project, log, trashed, moment), tag, others)
    raise StoreError(f"The project {name} changes faster than it can be read; repeat.")


def is_unchanged(index: Index, known: ReadPast) -> bool:
    """Whether the other records are still the same. Blocks. Raises StoreError."""
    records = index.store.records
    return all(records.read(record.key, record) is record for record in known.others)


def _validator(record: Record) -> Record:
    """The record without its content."""
    return Record(record.key, None if record.data is None else b"", record.tag, record.validation)
