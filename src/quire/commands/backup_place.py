"""The place of backups that a command line names, and what both commands say of it."""

from __future__ import annotations

from collections.abc import Mapping

from quire.domain.errors import ConfigurationError, QuireError
from quire.operations.backup import Backups
from quire.operations.opening import check_place
from quire.store.opening import is_directory, open_store, parse_place
from quire.store.posix.layout import check_directory
from quire.store.purposes import Purpose


def open_backups(target: str, *, writes: bool = False) -> Backups:
    """The backups in a place. `writes`: make it a place of backups, if it is none. Raises ConfigurationError."""
    place = parse_place(target)
    check_place(place)
    if is_directory(place):
        check_directory(place)
    try:
        store = open_store(place, create=writes, read_only=not writes, purpose=Purpose.BACKUPS)
        exists = store.exists
    except QuireError as error:
        raise ConfigurationError(str(error)) from error
    if not exists:
        raise ConfigurationError(f"There are no backups in {place}; 'quire backup {place}' makes one.")
    if writes and not store.writable:
        raise ConfigurationError(f"{place} cannot be written by this user; backups are made there by its owner.")
    return Backups(store)


def faults_as_rows(found: Mapping[str, str]) -> list[dict[str, str]]:
    """Sentences about records and files, by key, as JSON has them."""
    return [{"key": key, "why": why} for key, why in sorted(found.items())]
