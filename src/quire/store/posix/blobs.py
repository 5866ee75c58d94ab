"""Blobs on a POSIX file system: staged in `incoming/`, published by one link() below `blobs/`. Small documents that
belong to one are written where they stay.

A key is written once. The publisher makes it unique, so that removing the blobs of one publication can never remove
those of another one, however long either process was stopped.

*Order.* A publication is made to last after it was linked, not before: file systems with a journal then write all its
names with its first bytes, in one commit, where otherwise each fsync would begin one; and as the bytes of its further
files are on their way to the disk by then, there is little left for their own fsyncs. Its key is unknown until the
record names it, and that is written when `publish` has returned. A power cut before that leaves garbage that nothing
names, as it does anyway.

*Bytes that can be made again* (`durable=False`) are linked without any fsync where the file system is this machine's
own: the kernel writes them in its own time. A loss of power may leave a name without bytes, or with damaged ones.

*Ages* are those of the inode (ctime): a link makes a blob young, and so does setting its times to what they are, which
is how `renew` resets its age. An NFS client answers `stat` of a file from a cache that may be a minute old, so a
removal by age (`remove_old`) opens the file first, as for reading it.

*Folders.* A publication's folder goes with its last blob. It stays, empty, when its remover died in between, when its
publisher died before the first link, or when an NFS client that had the blob open left a `.nfs...` name in it for a
while. `remove_empty_folders` takes those that are old and empty, two levels below `blobs/`. That is safe at any time:
rmdir(2) fails on a folder that has anything in it, and a publisher that finds the folder gone, between its mkdir and
its first name in it, makes it again and syncs its parent after that (`_in_folder`); kernels look a path up once more,
asking the server, before they let ESTALE out of a link. A project's folder is never removed: `DurableDirectories`
remembers that it is there.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TypeVar

import structlog

from quire.domain.errors import BlobMissing, Conflict, InvalidName, StoreReadOnly
from quire.process.siblings import is_first_report
from quire.store.contracts import NO_DOCUMENTS, Staged, StoredBlob, check_blob_key
from quire.store.digester import Digester
from quire.store.posix.changes import Changes
from quire.store.posix.directory import GONE, Directories
from quire.store.posix.errors import FULL, if_there, reason, store_errors
from quire.store.posix.files import (
    DurableDirectories,
    PendingFile,
    is_same_file,
    remove_quietly,
    sync_directory,
    sync_file,
    unique_name,
    unless_gone,
)
from quire.store.posix.open_file import OpenFile
from quire.store.posix.staging import PosixStaged, PosixStaging

T = TypeVar("T")

log = structlog.stdlib.get_logger("quire.store.posix")

_CHUNK = 1024 * 1024
_ATTEMPTS = 8
_EXISTS = "A file is already stored under this key."
_CANNOT_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.ENOENT}


class PosixBlobs:
    """Fulfils `contracts.Blobs` below `<home>/blobs`. Safe to use from several threads."""

    keeps_staged = True

    def __init__(
        self,
        home: str,
        *,
        directories: Directories,
        durable: DurableDirectories,
        writable: bool,
        changes: Changes | None = None,
    ) -> None:
        self._home = home
        self._changes = changes or Changes()
        self._durable = durable
        self._top = f"{home}/blobs"
        self._incoming = f"{home}/incoming"
        self._directories = directories
        self._writable = writable

    def stage(self, key: str, algorithms: tuple[str, ...] | None = ()) -> PosixStaging:
        check_blob_key(key)
        self._check_writable("take an upload in")
        return PosixStaging(key, f"{self._incoming}/{unique_name()}", algorithms)

    def adopt(self, path: str, key: str, notify: Callable[[int], object] = lambda _: None) -> PosixStaged | None:
        """Stage a file that lies on the same file system, by a hard link instead of a copy.

        The store and the other name then share one inode: a write into the file in place, by that name, changes the
        published bytes. So this is only for files that are not written any more, and only this user may have the right
        to write: the file must belong to it, without write permission for group or others.
        None when it cannot be done (another file system, such permissions, no hard links); copy it then.
        The link is made first and hashed through its own name, so it does not matter what happens to `path` meanwhile.
        `notify` is called with the size of each piece that was read. Raises StoreError when `path` cannot be read.
        """
        check_blob_key(key)
        self._check_writable("take a file in")
        staging = f"{self._incoming}/{unique_name()}"
        with store_errors("take a file in"):
            try:
                os.link(path, staging, follow_symlinks=False)
            except OSError as error:
                if error.errno in _CANNOT_LINK:
                    return None
                raise
            staged = None
            try:
                staged = self._measure_link(key, staging, notify)
            finally:
                if staged is None:
                    remove_quietly(staging)
            return staged

    @staticmethod
    def _measure_link(key: str, path: str, notify: Callable[[int], object]) -> PosixStaged | None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENXIO, errno.EACCES}:  # not a plain file, or not ours to read
                return None
            raise
        with open(fd, "rb", buffering=0) as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
                return None
            digester, size = Digester(()), 0
            while chunk := file.read(_CHUNK):
                digester.update(chunk)
                size += len(chunk)
                notify(len(chunk))
            os.fsync(fd)
        return PosixStaged(key, PendingFile(path, is_durable=True), size, digester.digests())

    def publish(self, staged: Staged, documents: Mapping[str, bytes] = NO_DOCUMENTS, *, durable: bool = True) -> None:
        if not isinstance(staged, PosixStaged):
            raise TypeError("a blob is published by the store that staged it")
        durable = durable or self._directories.network or bool(documents)
        changed: dict[str, bool] = {}
        files: list[PendingFile] = []
        with store_errors("publish a file"), contextlib.ExitStack() as undo:
            for key, content in documents.items():
                path, directory = self._place(key, changed)
                file = self._in_folder(directory, changed, partial(_create, path))
                undo.callback(file.discard)
                file.write(content)
                files.append(file)
            path, directory = self._place(staged.key, changed, durable=durable)
            self._in_folder(directory, changed, partial(_link, staged.file.path, path))
            files.append(staged.file)
            if durable:
                for file in files[1:]:
                    file.begin_writing()
                for file in files:
                    file.make_durable()
                for directory in changed:
                    sync_directory(directory)
            undo.pop_all()
            self._changes.publish_change(*(directory for directory, has_new_name in changed.items() if has_new_name))
            staged.discard()

    def _place(self, key: str, changed: dict[str, bool], *, durable: bool = True) -> tuple[str, str]:
        """The path of a key, and its folder, which is made: nearly always it is new, as the key is."""
        path = f"{self._top}/{'/'.join(check_blob_key(key))}"
        directory = path.rpartition("/")[0]
        if directory not in changed:
            self._make(directory, changed, durable=durable)
        return path, directory

    def _make(self, directory: str, changed: dict[str, bool], *, durable: bool = True) -> None:
        """The folder of a publication. Adds to `changed` what must be synced, and whether a name came into it."""
        parent = directory.rpartition("/")[0]
        if durable:
            self._durable.ensure(parent)
        else:
            self._durable.make(parent)
        changed.setdefault(parent, False)
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory)
            changed[parent] = True

    def _in_folder(self, directory: str, changed: dict[str, bool], step: Callable[[], T]) -> T:
        """The result of `step`, which puts a name into the folder. Adds to `changed` as `_make` does."""
        remaining = _ATTEMPTS
        while True:
            try:
                made = step()
            except Conflict:
                # the refusal reveals the name, and its writer may not have touched the directory yet
                self._changes.publish_change(directory, directory.rpartition("/")[0])
                raise
            except OSError as error:
                remaining -= 1
                if error.errno not in GONE or not remaining:
                    raise
                self._make(directory, changed)
            else:
                changed[directory] = True
                return made

    def open(self, key: str) -> OpenFile:
        path = f"{self._top}/{'/'.join(check_blob_key(key))}"
        directory, _, name = path.rpartition("/")
        with store_errors("open a file"):
            fd = None
            try:
                fd = self._directories.open_file(directory, name)
                status = None if fd is None else os.fstat(fd)
            except OSError as error:
                if fd is not None:
                    os.close(fd)
                # ESTALE: another client of the file server removed it while it was opened
                if error.errno not in {errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ESTALE}:
                    raise
                fd = status = None
            if fd is None or status is None:
                raise BlobMissing("This file is not in the store (any more).")
            if not stat.S_ISREG(status.st_mode):
                os.close(fd)
                raise BlobMissing("This is not a file of the store.")
            return OpenFile(io.FileIO(fd, "rb"), status.st_size, path)

    def confirm(self, key: str) -> None:
        """See `contracts.Blobs`: as `publish` ends, for bytes and names of another process."""
        path = f"{self._top}/{'/'.join(check_blob_key(key))}"
        self._check_writable("make a file durable")
        directory = path.rpartition("/")[0]
        parent = directory.rpartition("/")[0]
        with store_errors("make a file durable"), if_there():
            sync_file(path)
            self._durable.ensure(parent)
            for folder in (directory, parent):
                sync_directory(folder)
            self._changes.publish_change(directory, parent)

    def remove(self, key: str, *, durable: bool = False) -> None:
        check_blob_key(key)
        self._check_writable("remove a file")
        path = f"{self._top}/{key}"
        directory = path.rpartition("/")[0]
        with store_errors("remove a file"):
            with if_there():
                os.unlink(path)
            with if_there():
                if durable:
                    sync_directory(directory)
            if directory.rpartition("/")[0] not in {self._top, self._home}:
                with contextlib.suppress(OSError):  # not empty, or gone: either is fine
                    os.rmdir(directory)
            self._changes.publish_change(directory, directory.rpartition("/")[0])

    def renew(self, key: str) -> None:
        path = f"{self._top}/{'/'.join(check_blob_key(key))}"
        self._check_writable("renew a file's age")
        with store_errors("renew a file's age"), if_there():
            status = os.stat(path, follow_symlinks=False)
            # the same times: a file that was linked in (see `adopt`) shares them with its other name
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)

    def remove_old(self, key: str, older_than: float) -> bool:
        self._check_writable("remove a file")
        try:
            opened = self.open(key)
        except BlobMissing:
            return False
        age = -1.0
        with opened, store_errors("remove a file"), if_there():
            assert opened.descriptor is not None
            age = max(0.0, self.now() - os.fstat(opened.descriptor).st_ctime)
        if age < older_than:
            return False
        self.remove(key)
        return True

    def remove_empty_folders(self, older_than: float) -> int:
        """Remove folders of publications that are empty, and untouched for `older_than` seconds; returns how many."""
        self._check_writable("remove empty folders")
        removed = 0
        with store_errors("remove empty folders"):
            now = self.now()
            for project in _folders(self._top):
                for publication in _folders(project):
                    with if_there():
                        if now - os.stat(publication, follow_symlinks=False).st_ctime >= older_than:
                            removed += _remove_if_empty(publication)
        return removed

    def list(self, prefix: str = "") -> Iterator[StoredBlob]:
        if prefix:
            check_blob_key(prefix)
        with store_errors("list the files"):
            now = self.now()
            for directory, _, filenames in os.walk(
                f"{self._top}/{prefix}" if prefix else self._top, onerror=unless_gone
            ):
                for filename in filenames:
                    path = f"{directory}/{filename}"
                    status = None
                    with contextlib.suppress(InvalidName), if_there():
                        check_blob_key(filename)
                        status = os.stat(path, follow_symlinks=False)
                    if status is not None:
                        key = path.removeprefix(f"{self._top}/")
                        yield StoredBlob(key, status.st_size, max(0.0, now - status.st_ctime))

    def sweep(self, older_than: float) -> int:
        self._check_writable("sweep what was left behind")
        swept = 0
        with store_errors("sweep what was left behind"):
            now = self.now()
            for entry in os.scandir(self._incoming):
                swept += self._sweep_entry(entry, older_than, now)
        return swept

    def _sweep_entry(self, entry: os.DirEntry[str], older_than: float, now: float) -> bool:
        """Whether an entry of `incoming/` was old, and is gone. One that cannot be removed is logged, and stays."""
        path = entry.path
        try:
            status = entry.stat(follow_symlinks=False)
            # the ctime: a link to an old file (see `adopt`) is as young as the link
            if now - status.st_ctime < older_than:
                return False
            if stat.S_ISDIR(status.st_mode):  # a first revision that never appeared, or a folder of a killed doctor
                # Taken away by name first: if its writer is only slow, its rename fails, and says so. The name is the
                # same at each sweep, for one that cannot be removed.
                doomed = f"{self._incoming}/swept-{status.st_ino:x}"
                os.rename(path, doomed)
                path = doomed
                shutil.rmtree(path)
            else:
                os.unlink(path)
        except OSError as error:
            if error.errno not in GONE | {errno.ENOTDIR} and is_first_report(f"sweep {entry.inode()}", os.environ):
                log.warning("not swept", path=path, error=reason(error))
            return False
        return True

    def now(self) -> float:
        """The time by the clock of the files' times: on a network file system the server's, not this machine's.

        Where no file can be made, a time at which it certainly was no earlier: nothing seems older than it is.
        """
        if self._writable:
            try:
                return self._probed()
            except OSError as error:
                if error.errno not in FULL:  # what frees space has to go on
                    raise
        return max((os.stat(path).st_ctime for path in (self._top, self._incoming) if os.path.isdir(path)), default=0.0)

    def _probed(self) -> float:
        probe = f"{self._incoming}/{unique_name()}"
        fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            return os.fstat(fd).st_ctime
        finally:
            os.close(fd)
            remove_quietly(probe)

    def _check_writable(self, doing: str) -> None:
        if not self._writable:
            raise StoreReadOnly(f"The store cannot {doing}: it is served read-only.")


def _create(path: str) -> PendingFile:
    try:
        return PendingFile(path)
    except FileExistsError as error:
        raise Conflict(_EXISTS) from error


def _link(path: str, target: str) -> None:
    try:
        os.link(path, target)
    except FileExistsError as error:
        if not is_same_file(path, target):  # else it was a LINK of ours that the network repeated
            raise Conflict(_EXISTS) from error


def _folders(path: str) -> list[str]:
    found: list[str] = []
    with if_there(), os.scandir(path) as entries:
        found += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return found


def _remove_if_empty(path: str) -> bool:
    try:
        os.rmdir(path)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT}:
            return False
        raise
    return True
