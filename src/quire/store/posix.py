"""The store on a POSIX file system: a local disk, NFS, EFS.

<root>/quire/format                                          the layout version
<root>/quire/records/<kind>/<name>/<revision>.json           see posix_records
<root>/quire/blobs/<project>/<publication>/<filename>        see posix_blobs
<root>/quire/incoming/<unique>                               on the way in; same file system; swept when old
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path

from quire.errors import StoreError, StoreReadOnly, UnknownLayout
from quire.store.directory import Directories, SettleRule
from quire.store.filesystem import filesystem_type, mount_options
from quire.store.posix_blobs import PosixBlobs
from quire.store.posix_errors import store_errors
from quire.store.posix_files import DurableDirectories, create_durable, remove_quietly, sync_directory, unique_name
from quire.store.posix_records import PRUNE_AGE, PosixRecords

LAYOUT = 1
"""The layout version that this quire reads and writes."""
HOME = "quire"
"""The folder of the store in its root; drop-in folders leave it out."""

_FORMAT_FILE = "format"
_FORMAT_TEXT = f"quire {LAYOUT}\n"


class PosixStore:
    """Fulfils `contracts.Store`. Opened by every worker for itself; holds no descriptor and no thread."""

    def __init__(
        self,
        root: Path,
        *,
        writable: bool,
        network: bool,
        filesystem: str = "unknown",
        settle: float | None = None,
        prune_age: float = PRUNE_AGE,
    ) -> None:
        """Prefer `open`, which looks at the directory first."""
        home = f"{root}/{HOME}"
        self.root = root
        self.filesystem = filesystem
        self.writable = writable
        self.validates_inline = not network
        directories = Directories(str(root), network=network)
        durable = DurableDirectories(home)
        self.settle_rule = SettleRule(settle)
        self.records = PosixRecords(
            home,
            directories=directories,
            durable=durable,
            settle=self.settle_rule,
            writable=writable,
            prune_age=prune_age,
        )
        self.blobs = PosixBlobs(home, directories=directories, durable=durable, writable=writable)

    @classmethod
    def open(
        cls,
        root: Path | str,
        *,
        create: bool = True,
        read_only: bool = False,
        network: bool | None = None,
        settle: float | None = None,
        prune_age: float = PRUNE_AGE,
    ) -> PosixStore:
        """The store in the directory `root`.

        `create`: make the store's folder when there is none and it can be made; without it, an empty store is served.
        `read_only`: never write. A store that cannot be written is opened all the same, with `writable` False.
        `network`: None finds out by the file system's type; `settle`: seconds, None finds out too (see `directory`).
        Raises StoreError when the root is missing or cannot be read; UnknownLayout when the folder is of a newer
        quire, or not a store.
        """
        try:
            root = Path(os.path.realpath(os.path.expanduser(root), strict=True))
            with os.scandir(root):
                pass
            filesystem, local = filesystem_type(str(root))
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else "unknown error"
            raise StoreError(f"The directory {root} cannot be used: {reason}. Create it, or name another.") from error
        network = not local if network is None else network
        if network and "nocto" in mount_options(str(root)):
            raise StoreError(
                f"The directory {root} is mounted with the option nocto, with which workers on different machines see "
                f"different files; mount it without."
            )
        home = root / HOME
        is_certain = not create  # that the store's folder lasts; nothing may be acknowledged in one that does not
        if not read_only and create:
            with contextlib.suppress(StoreReadOnly):
                _create_layout(home)
                is_certain = True
        _check_layout(home)
        return cls(
            root,
            writable=not read_only and is_certain and _can_write(home),
            network=network,
            filesystem=filesystem,
            settle=settle,
            prune_age=prune_age,
        )

    def sweep(self, older_than: float) -> int:
        """Remove or finish what workers that died left behind, untouched for `older_than` seconds; returns how many."""
        with store_errors("sweep what was left behind"):
            swept = self.blobs.sweep(older_than)
            now = self.blobs.now()
            for prefix in self.records.listing.prefixes():
                swept += self.records.listing.settle_announcements(prefix, older_than, now)
            return swept


def _create_layout(home: Path) -> None:
    """Make the store's folder, complete, in one step."""
    with store_errors(f"make certain of its folder {home}"):
        if home.exists():
            sync_directory(str(home.parent))  # whoever made it may have died before it did
            return
    staging = home.with_name(f".quire-{unique_name()}")
    with store_errors(f"make its folder {home}"):
        os.mkdir(staging)
        try:
            for folder in ("records", "blobs", "incoming"):
                os.mkdir(staging / folder)
            create_durable(str(staging / _FORMAT_FILE), _FORMAT_TEXT.encode())
            sync_directory(str(staging))
            try:
                os.rename(staging, home)
            except OSError as error:
                if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT}:
                    raise
            sync_directory(str(home.parent))
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _check_layout(home: Path) -> None:
    try:
        with (home / _FORMAT_FILE).open("rb") as file:
            text = file.read(64)
    except FileNotFoundError:
        if not home.exists() or not any(home.iterdir()):
            return
        raise UnknownLayout(
            f"{home} is in the way: quire keeps its store in a folder of that name, and this is none. Move it away."
        ) from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "unknown error"
        raise StoreError(f"The store {home} cannot be read: {reason}.") from error
    if text != _FORMAT_TEXT.encode():
        found = text.decode(errors="replace").strip()
        raise UnknownLayout(
            f"The store {home} has layout {found!r}; this quire knows {_FORMAT_TEXT.strip()!r} only. Use a newer quire."
        )


def _can_write(home: Path) -> bool:
    """Whether a file can be made in the store: permissions, mount options and the file system all agree."""
    probe = str(home / "incoming" / unique_name())
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        # A full disk or quota is a passing state: uploads then fail one by one, each with its own sentence.
        return error.errno in {errno.ENOSPC, errno.EDQUOT}
    remove_quietly(probe)
    return True
