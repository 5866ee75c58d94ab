"""The parts that servers and commands are built from: an index, straight on its store, and the drop-ins beside it.

`build_worker` of `quire.http.app.worker` makes a server's worker of them.
"""

from __future__ import annotations

import os
from pathlib import Path

from quire.access.records import AccessRecords
from quire.access.settings_alone import obstacle
from quire.config.settings import Settings
from quire.domain.errors import ConfigurationError, QuireError
from quire.domain.reserved import MIRROR
from quire.domain.upstreams import without_login
from quire.dropin.folder import Folder
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.process.budget import Budget
from quire.store.contracts import Store
from quire.store.opening import is_directory, is_in_memory, open_store
from quire.store.purposes import Purpose


def open_index(
    settings: Settings,
    origin: Origin,
    *,
    writes: bool,
    create: bool = False,
    asks_the_time: bool = False,
    purpose: Purpose = Purpose.INDEX,
) -> Index:
    """The index that the settings name. `origin`: of the changes, for the audit log.

    `writes`: whether it is going to be changed. `create`: make the store when there is none. `asks_the_time`: whether
    ages matter; only a process that may write can ask a file system for its time. `purpose`: see
    `quire.store.purposes`.
    Raises ConfigurationError when it cannot be used for that.
    """
    check_place(settings.root)
    if writes and is_directory(settings.root):
        _check_owner(settings.root)
    try:
        store = open_store(
            settings.root,
            create=create,
            read_only=not (writes or asks_the_time),
            coarse_changes=settings.coarse_changes,
            purpose=purpose,
        )
    except QuireError as error:
        raise ConfigurationError(str(error)) from error
    if not store.exists and create:
        raise ConfigurationError(
            f"The directory {store.place} cannot be written; run this as the user that runs the server."
        )
    if writes and store.exists and not store.writable:
        raise ConfigurationError(
            f"The store in {store.place} cannot be written by this user; run this as the user that runs the server."
        )
    return Index(store, settings.index, origin, trash_seconds=settings.trash_seconds)


def drop_ins_of(
    settings: Settings,
    store: Store,
    *,
    stores_facts: bool,
    algorithms: tuple[str, ...] = (),
    budget: Budget | None = None,
) -> Folder:
    """The drop-in files that are served with a store. `stores_facts`: store the facts about them, too.

    `algorithms`, `budget`: see Folder. Raises ConfigurationError.
    """
    return Folder(
        [Path(directory) for directory in settings.drop_in_roots],
        digests=store.records,
        index=settings.index,
        # The store's own folder is never one of packages (opening it has made sure), so it need not be checked.
        exclude=[] if store.home is None else [Path(store.home)],
        algorithms=algorithms,
        budget=budget,
        facts_are_stored=stores_facts,
    )


def rules_of_grants(store: Store, settings: Settings) -> str | None:
    """A sentence for the log of a server where the grants of its store decide, or do not count; None where its settings
    decide until there are some.

    Raises ConfigurationError for grants that could not count (`--rights settings`), and StoreError.
    """
    state = AccessRecords(store).read().state
    if settings.rights == "settings":
        found = obstacle(state.document)
        if found is not None:
            raise ConfigurationError(found)
        kept = {"tokens": len(state.document.tokens), "trusted publishers": len(state.document.publishers)}
        unused = " and ".join(f"{name} ({number})" for name, number in kept.items() if number)
        return (
            "The settings alone decide on rights (--rights settings): grants, tokens and definitions of indexes do "
            f"not count here{f', nor do the {unused} that the store has' if unused else ''}."
        )
    if not state.decides:
        return None
    actions = ", ".join(settings.authenticate) or "."
    return f"Access is decided by the store's grants ({len(state.document.grants)}); -a ({actions}) does not count."


def unnamed_mirrors(store: Store, settings: Settings) -> str | None:
    """A sentence about the upstreams of which the store keeps pages although no setting and no index names them; None
    without any, and for a server of a bucket that is not to have any: it would be a request of each start. Raises
    StoreError."""
    if settings.upstream is None and not settings.upstream_offline and not is_directory(settings.root):
        return None
    if not any(each.startswith(f"{MIRROR}/") for each in store.records.prefixes()):
        return None
    from quire.catalog.mirroring import mirror_name  # noqa: PLC0415 - with the client of other indexes
    from quire.upstream.kept import upstreams  # noqa: PLC0415 - most stores have no mirror

    urls = [] if settings.upstream is None else [without_login(settings.upstream)]
    for definition in AccessRecords(store).read().state.document.indexes.values():
        urls += [upstream.url for upstream in definition.upstreams]
    unnamed = sorted({*upstreams(store.records)} - {mirror_name(url) for url in urls})
    if not unnamed:
        return None
    return (
        f"The store keeps pages of {', '.join(unnamed)}, which no setting names, so they are not served: --upstream "
        "names an upstream by exactly the URL that its pages were fetched from, like https://index.example/simple/."
    )


def has_tokens(store: Store, settings: Settings) -> bool:
    """Whether there are tokens, or trusted publishers, which a server with these settings takes. Raises StoreError."""
    if settings.rights == "settings":
        return False
    document = AccessRecords(store).read().state.document
    return bool(document.tokens or document.publishers)


def check_place(place: str) -> None:
    """Refuse a store that no other process can open. Raises ConfigurationError."""
    if is_in_memory(place):
        raise ConfigurationError(
            f"{place} is a store in the memory of one server process, which commands cannot reach; name a directory."
        )


def _check_owner(root: str) -> None:
    """Files that root makes belong to root, and a server of another user could not change them."""
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
