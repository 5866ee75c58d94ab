"""Opens the index that a command works on, straight on its store, as servers do."""

from __future__ import annotations

import os

from quire.config.settings import Settings
from quire.domain.errors import ConfigurationError, QuireError
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.store.opening import is_in_memory, open_store


def open_index(
    settings: Settings, origin: Origin, *, writes: bool, create: bool = False, asks_the_time: bool = False
) -> Index:
    """The index that the settings name. `origin`: who makes the changes, for the audit log.

    `writes`: whether it is going to be changed. `create`: make the store when there is none. `asks_the_time`: whether
    ages matter; only a process that may write can ask a file system for its time.
    Raises ConfigurationError when it cannot be used for that.
    """
    check_place(settings.root)
    if writes:
        _check_owner(settings.root)
    try:
        store = open_store(
            settings.root,
            create=create,
            read_only=not (writes or asks_the_time),
            coarse_changes=settings.coarse_changes,
        )
    except QuireError as error:
        raise ConfigurationError(str(error)) from error
    if not store.exists and create:
        raise ConfigurationError(f"The directory {store.place} cannot be written; run this as the user who serves it.")
    if writes and store.exists and not store.writable:
        raise ConfigurationError(
            f"The store in {store.place} cannot be written by this user; run this as the user who serves it."
        )
    return Index(store, settings.index, origin)


def check_place(place: str) -> None:
    """Refuse a store that no other process can open. Raises ConfigurationError."""
    if is_in_memory(place):
        raise ConfigurationError(
            f"{place} is a store in the memory of one server process, which commands cannot reach; name a directory."
        )


def _check_owner(root: str) -> None:
    """What root makes belongs to root, and a server that runs as somebody else could not add to it."""
    if os.geteuid() != 0:
        return
    for path in (f"{root}/quire", root):
        try:
            owner = os.stat(path).st_uid
        except OSError:
            continue
        if owner != 0:
            raise ConfigurationError(
                f"{path} belongs to the user {owner}, and what root adds there that user's server could not change; "
                f"run this as that user (sudo -u '#{owner}' quire ...)."
            )
        return
