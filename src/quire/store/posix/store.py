"""The store on a POSIX file system: a local disk, NFS, EFS.

<root>/quire/format                                          the layout version
<root>/quire/records/<kind>/<name>/<revision>.json           see `records`
<root>/quire/blobs/<project>/<publication>/<filename>        see `blobs`
<root>/quire/incoming/<unique>                               on the way in; same file system; swept when old
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from quire.domain.errors import StoreError, StoreReadOnly
from quire.store.contracts import Pacing
from quire.store.posix.blobs import PosixBlobs
from quire.store.posix.changes import Changes
from quire.store.posix.directory import Directories, RacyWindow
from quire.store.posix.errors import reason, store_errors
from quire.store.posix.files import DurableDirectories
from quire.store.posix.filesystem import filesystem_type
from quire.store.posix.layout import (
    HOME,
    can_write,
    check_layout,
    create_layout,
    dedicate,
    purpose_of,
    sweep_unfinished_layouts,
)
from quire.store.posix.mounts import mount_of, read_mounts
from quire.store.posix.records import PRUNE_AGE, PosixRecords
from quire.store.purposes import Purpose

__all__ = ["HOME", "PosixStore"]

PACING = Pacing(busy_waiters=3, batch_size=12, seconds=0.0125)
"""For network file systems. One client asks for one thing after the other, so three requests together are demand. With
two round trips a validation, as a project has them beside a drop-in folder, a batch of twelve is a sixth of one for
each request. Two workers with smaller batches ask about 320 times a second, which is a sixth of 2,000."""


class PosixStore:
    """Fulfils `contracts.Store`. Opened by every worker for itself; holds no descriptor and no thread."""

    def __init__(
        self,
        root: Path,
        *,
        writable: bool,
        network: bool,
        filesystem: str = "unknown",
        racy_window: float | None = None,
        prune_age: float = PRUNE_AGE,
        coarse_changes: float = 0.0,
    ) -> None:
        """Prefer `open`, which checks the directory first."""
        home = f"{root}/{HOME}"
        self.root = root
        self.place = str(root)
        self.home = home
        self.filesystem = filesystem
        self.coarse_changes = coarse_changes
        self.writable = writable
        self.validates_inline = not network
        directories = Directories(str(root), network=network)
        changes = Changes(coarse_changes)
        durable = DurableDirectories(home, changes)
        self.racy_window = RacyWindow(racy_window)
        self.records = PosixRecords(
            home,
            directories=directories,
            durable=durable,
            racy_window=self.racy_window,
            writable=writable,
            changes=changes,
            prune_age=prune_age,
        )
        self.blobs = PosixBlobs(home, directories=directories, durable=durable, writable=writable, changes=changes)

    @classmethod
    def open(
        cls,
        root: Path | str,
        *,
        create: bool = True,
        read_only: bool = False,
        network: bool | None = None,
        racy_window: float | None = None,
        prune_age: float = PRUNE_AGE,
        coarse_changes: float = 0.0,
        purpose: Purpose = Purpose.INDEX,
    ) -> PosixStore:
        """The store in the directory `root`.

        `create`: make the store's folder when there is none and it can be made; without it, an empty store is served.
        `read_only`: never write. A store that cannot be written is opened all the same, with `writable` False.
        `coarse_changes`: seconds in which the file server's change attribute moves on, where it does not count changes
        (see `changes`). `purpose`: the one that it is opened for, see `quire.store.purposes`.
        `network`: None finds out by the file system's type; `racy_window`: seconds, None finds out too (see
        `directory`). Raises StoreError when the root is missing or cannot be read, or when it is not known whether
        the store can be written (see `layout`); UnknownLayout when the folder is of a newer quire, not a store, or
        for another purpose.
        """
        try:
            root = Path(os.path.realpath(os.path.expanduser(root), strict=True))
            with os.scandir(root):
                pass
            home = root / HOME
            held = str(home if os.path.isdir(home) else root)  # it may be a mount of its own
            filesystem, local = filesystem_type(held)
        except OSError as error:
            raise StoreError(
                f"The directory {root} cannot be used: {reason(error)}. Create it, or name another."
            ) from error
        network = not local if network is None else network
        mount = mount_of(os.path.realpath(held), read_mounts()) if network else None
        if mount is not None and "nocto" in mount.options:
            raise StoreError(
                f"The directory {root} is mounted with the option nocto, with which workers on different machines see "
                f"different files; mount it without."
            )
        is_certain = not create  # that the store's folder lasts; nothing may be acknowledged in one that does not
        if not read_only and create:
            with contextlib.suppress(StoreReadOnly):
                create_layout(home, Changes(coarse_changes), purpose)
                is_certain = True
        check_layout(home, purpose)
        return cls(
            root,
            writable=not read_only and is_certain and can_write(home),
            network=network,
            filesystem=filesystem,
            racy_window=racy_window,
            prune_age=prune_age,
            coarse_changes=coarse_changes,
        )

    @property
    def exists(self) -> bool:
        # unlike Path.is_dir it raises nothing; opening it reports errors
        return os.path.isdir(self.home)

    @property
    def purpose(self) -> Purpose:
        """See `contracts.Store`."""
        return purpose_of(Path(self.home)) or Purpose.INDEX

    def dedicate(self, purpose: Purpose) -> None:
        """See `contracts.Store`."""
        if not self.writable:
            raise StoreReadOnly("The store cannot be marked: it is served read-only.")
        dedicate(Path(self.home), purpose)

    @property
    def pacing(self) -> Pacing:
        return PACING

    def probe(self) -> None:
        """See `contracts.Store`: `open` has asked already."""

    def sweep(self, older_than: float, *, thorough: bool = False) -> int:
        """See `contracts.Store`. A step that fails does not stop the next ones; raises the first error."""
        with store_errors("sweep what was left behind"):
            now = self.blobs.now()
        steps: list[Callable[[], int]] = [
            partial(self.blobs.sweep, older_than),
            partial(sweep_unfinished_layouts, self.home, older_than, now),
            partial(self._resolve_intents, older_than, now),
        ]
        if thorough:
            steps.append(partial(self.blobs.remove_empty_folders, older_than))
        swept, failure = 0, None
        for step in steps:
            try:
                with store_errors("sweep what was left behind"):
                    swept += step()
            except StoreError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return swept

    def _resolve_intents(self, older_than: float, now: float) -> int:
        prefixes = self.records.prefixes()
        return sum(self.records.listing.resolve_intents(prefix, older_than, now) for prefix in prefixes)
