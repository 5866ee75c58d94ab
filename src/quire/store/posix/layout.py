"""The store's own folder: how it is made, recognised, tried for writing, and what is swept beside it.

Theory of operation
-------------------
*Birth.* The folder is made complete under a name of its own beside where it belongs, `.quire-<unique>`, and renamed
into place. A process that dies before leaves it there. `sweep_unfinished_layouts` takes such a folder away once it is
old, by name first: should its maker only be slow, its rename then finds nothing to rename, which is as good as finding
the place taken, for the sweep works in a store that is there. Nothing but the empty skeleton of a store is removed.

*Writable or not* is found out once, when a worker starts, and holds until it ends, so a passing trouble must not decide
it. The errors that say "read-only" are EROFS, EACCES and EPERM, and they alone. A full disk or quota is a passing
state: the store counts as writable, and each upload fails with a sentence of its own until there is room. Anything else
(EIO, ESTALE, ETIMEDOUT, ...) is tried again for about a second, and then refuses to open the store, with the error's
name: a worker that came up read-only beside others that are not would refuse uploads now and then for weeks, while one
that does not start is seen, and started again. To go on reading from such a disk, use `--read-only`.
An fsync is never tried again: after a failure the next one may succeed without having written anything.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from quire.domain.errors import ConfigurationError, StoreError, UnknownLayout
from quire.store.posix.changes import Changes
from quire.store.posix.errors import FULL, PASSING, READ_ONLY, reason, store_errors
from quire.store.posix.files import create_durable, remove_quietly, sync_directory, unique_name
from quire.store.purposes import Purpose, check_purpose

T = TypeVar("T")

HOME = "quire"
"""The folder of the store in its root; drop-in folders leave it out."""
LAYOUT = 1
"""The layout version that this quire reads and writes."""
PAUSES = (0.05, 0.15, 0.3, 0.5)
"""Seconds between the attempts at what fails with an error that may pass."""

_FORMAT_FILE = "format"
_FORMAT_TEXT = f"quire {LAYOUT}\n"
_MARKS = {
    _FORMAT_TEXT.encode(): Purpose.INDEX,
    f"quire {Purpose.BACKUPS} {LAYOUT}\n".encode(): Purpose.BACKUPS,
    f"quire {Purpose.RESTORE} {LAYOUT}\n".encode(): Purpose.RESTORE,
}
"""The contents of the format file. A version that knows only the first one refuses the others as a newer layout."""
_OTHERS = 0o007
_FOLDERS = ("records", "blobs", "incoming")
_UNFINISHED = re.compile(r"\.quire-[0-9a-f]{32}")
_SCRATCH = re.compile(r"\.quire-doctor-[0-9a-f]{16}")


def create_layout(home: Path, changes: Changes, purpose: Purpose = Purpose.INDEX) -> None:
    """Make the store's folder, complete, in one step, unless it is there. Raises StoreError or a subclass."""
    with store_errors(f"make certain of its folder {home}"):
        if home.exists():
            sync_directory(str(home.parent))  # its maker may have died before it did
            return
    staging = home.with_name(f".quire-{unique_name()}")
    with store_errors(f"make its folder {home}"):
        os.mkdir(staging)
        try:
            _fill(staging, purpose)
            try:
                os.rename(staging, home)
            except OSError as error:
                if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT}:
                    raise
            sync_directory(str(home.parent))
            changes.publish_change(str(home.parent))
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _fill(staging: Path, purpose: Purpose) -> None:
    for folder in _FOLDERS:
        os.mkdir(staging / folder)
    create_durable(str(staging / _FORMAT_FILE), _mark(purpose))
    if purpose is Purpose.BACKUPS:  # backups have the secrets of all that they are of
        os.chmod(staging, os.stat(staging).st_mode & ~_OTHERS)
    sync_directory(str(staging))


def _mark(purpose: Purpose) -> bytes:
    return next(text for text, each in _MARKS.items() if each is purpose)


def dedicate(home: Path, purpose: Purpose) -> None:
    """Replace the mark of the store in one step, durably. Raises StoreError or a subclass."""
    staging = home / "incoming" / unique_name()
    with store_errors("be marked"):
        create_durable(str(staging), _mark(purpose))
        os.replace(staging, home / _FORMAT_FILE)
        sync_directory(str(home))


def check_layout(home: Path, purpose: Purpose = Purpose.INDEX) -> None:
    """Raises UnknownLayout when the folder is no store of this version or for another purpose, StoreError when it
    cannot be read.

    A folder that is not there, or is empty, is an empty store.
    """
    found = purpose_of(home)
    if found is not None:
        check_purpose(str(home.parent), found, purpose)


def purpose_of(home: Path) -> Purpose | None:
    """The purpose of the store; None where there is none yet. Raises UnknownLayout, StoreError."""
    try:
        text = _patiently(lambda: _read_format(home))
    except OSError as error:
        raise StoreError(
            f"The store {home} cannot be read: {reason(error)}. Give this user the right to read it, or repair the "
            f"file system."
        ) from error
    if text is None:
        raise UnknownLayout(
            f"{home} is in the way: quire keeps its store in a folder of that name, and this is none. Move it away."
        )
    if text and text not in _MARKS:
        found = text.decode(errors="replace").strip()
        raise UnknownLayout(
            f"The store {home} has layout {found!r}; this quire knows {_FORMAT_TEXT.strip()!r} only. Use a newer quire."
        )
    return _MARKS.get(text)


def is_store(home: Path) -> bool:
    """Whether this folder is a store, of any layout. False for one that cannot be read."""
    try:
        return home.name == HOME and (_read_format(home) or b"").startswith(b"quire ")
    except OSError:
        return False


def check_directory(directory: str) -> None:
    """Raises ConfigurationError for a path in a store, where a person meant the directory that carries it: a store in
    a store would be served as an index without files, and sweeps of the outer one would take it for litter."""
    path = Path(os.path.realpath(directory))
    for folder in (path, *path.parents):
        if is_store(folder):
            what = "is a store; name its parent" if folder == path else f"is in the store {folder}; name its parent"
            raise ConfigurationError(f"{directory} {what}, {folder.parent}.")


def nearest_store() -> Path | None:
    """The directory with a store that is the nearest to the working directory: `packages/` in it or in a folder above
    it, or one of these folders itself. None when there is none."""
    try:
        here = Path.cwd()
    except OSError:  # it was removed
        return None
    for folder in (here, *here.parents):
        for root in (folder / "packages", folder):
            if is_store(root / HOME):
                return root
    return None


def _read_format(home: Path) -> bytes | None:
    """The bytes of the format file; empty where there is no store yet; None where something else is. Raises OSError."""
    try:
        with (home / _FORMAT_FILE).open("rb") as file:
            return file.read(64) or b"\n"  # an empty one is damaged, not absent
    except NotADirectoryError:
        return None
    except FileNotFoundError:
        try:
            with os.scandir(home) as entries:
                return b"" if next(entries, None) is None else None
        except FileNotFoundError:
            return b""
        except NotADirectoryError:
            return None


def can_write(home: Path) -> bool:
    """Whether files can be made in the store: permissions, mount options and the file system all agree.

    False also where there is no store. Raises StoreError when it is not known; see the theory above.
    """
    try:
        return _patiently(lambda: _try_to_write(f"{home}/incoming/{unique_name()}"))
    except FileNotFoundError as error:
        if not os.path.lexists(home):
            return False
        raise StoreError(f"The store {home} lacks its folder incoming; make it again.") from error
    except OSError as error:
        raise StoreError(
            f"It is not known whether the store {home} can be written: {reason(error)}. Repair the file system, "
            f"or serve it read-only."
        ) from error


def _try_to_write(probe: str) -> bool:
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        remove_quietly(probe)  # an error may come after it was made
        if error.errno in READ_ONLY | FULL:
            return error.errno in FULL
        raise
    remove_quietly(probe)
    return True


def _patiently(attempt: Callable[[], T]) -> T:
    """Its answer. Errors that may pass are given the time to; raises the last one."""
    for pause in PAUSES:
        try:
            return attempt()
        except OSError as error:
            if error.errno not in PASSING:
                raise
        time.sleep(pause)
    return attempt()


def sweep_unfinished_layouts(home: str, older_than: float, now: float) -> int:
    """Remove leftovers beside the store's folder: unfinished stores, and folders of a killed doctor from before there
    was a store. `now`: by the clock of the files' times. Returns how many. Those that cannot be removed stay.
    """
    root = home.rpartition("/")[0]
    swept = 0
    with os.scandir(root) as entries:
        found = [entry.name for entry in entries if _UNFINISHED.fullmatch(entry.name) or _SCRATCH.fullmatch(entry.name)]
    for name in found:
        with contextlib.suppress(OSError):  # a missing right, or a change by others; the store itself is not concerned
            status = os.stat(f"{root}/{name}", follow_symlinks=False)
            if now - status.st_ctime >= older_than and os.path.isdir(home):
                swept += _dismantle(root, name)
    return swept


def _dismantle(root: str, name: str) -> bool:
    """Whether it is gone. Raises OSError."""
    is_unfinished = _UNFINISHED.fullmatch(name) is not None
    if is_unfinished and not _is_skeleton(f"{root}/{name}"):
        return False
    doomed = f"{root}/.quire-{unique_name()}"
    os.rename(f"{root}/{name}", doomed)
    if not is_unfinished:
        shutil.rmtree(doomed)
        return True
    remove_quietly(f"{doomed}/{_FORMAT_FILE}")
    for folder in _FOLDERS:
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(f"{doomed}/{folder}")
    os.rmdir(doomed)
    return True


def _is_skeleton(path: str) -> bool:
    """Whether there is nothing but what `create_layout` makes, all of it empty."""
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name == _FORMAT_FILE and entry.is_file(follow_symlinks=False):
                continue
            if entry.name not in _FOLDERS or not entry.is_dir(follow_symlinks=False) or os.listdir(entry.path):
                return False
    return True
