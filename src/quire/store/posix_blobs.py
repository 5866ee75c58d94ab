"""Blobs on a POSIX file system: staged in `incoming/`, published by one link() below `blobs/`.

A key is written once. Whoever publishes makes the key unique, so that removing what one publication stored can
never remove what another one did, however long either of them slept.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO

from quire.errors import BlobMissing, Conflict, InvalidName, StoreError, StoreReadOnly
from quire.store.contracts import Digests, OpenBlob, Staged, StoredBlob, check_blob_key
from quire.store.directory import Directories
from quire.store.posix_errors import store_errors
from quire.store.posix_files import (
    DurableDirectories,
    is_same_file,
    remove_quietly,
    sync_directory,
    unique_name,
    unless_gone,
    write_all,
)

_CHUNK = 1024 * 1024
_CANNOT_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.ENOENT}


class _Digester:
    """All digests of one stream of bytes."""

    def __init__(self, algorithms: tuple[str, ...]) -> None:
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._blake2b_256 = hashlib.blake2b(digest_size=32)
        self._other = {name: hashlib.new(name) for name in algorithms}

    def update(self, chunk: bytes | bytearray | memoryview) -> None:
        self._sha256.update(chunk)
        self._md5.update(chunk)
        self._blake2b_256.update(chunk)
        for digest in self._other.values():
            digest.update(chunk)

    def digests(self) -> Digests:
        return Digests(
            sha256=self._sha256.hexdigest(),
            md5=self._md5.hexdigest(),
            blake2b_256=self._blake2b_256.hexdigest(),
            other={name: digest.hexdigest() for name, digest in self._other.items()},
        )


class PosixStaged:
    """Fulfils `contracts.Staged`."""

    def __init__(self, path: str, size: int, digests: Digests) -> None:
        self.path = path
        self.size = size
        self.digests = digests

    def open(self) -> BinaryIO:
        with store_errors("read an upload back"):
            return open(self.path, "rb")

    def discard(self) -> None:
        remove_quietly(self.path)


class PosixStaging:
    """Fulfils `contracts.Staging`."""

    def __init__(self, path: str, algorithms: tuple[str, ...]) -> None:
        self._path = path
        self._size = 0
        self._digester = _Digester(algorithms)
        # A cancelled request discards while its last write still runs in a thread; the descriptor's number must not
        # be given to somebody else's file before that write is done with it.
        self._lock = threading.Lock()
        with store_errors("take an upload in"):
            self._fd: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        with self._lock, store_errors("take an upload in"):
            write_all(self._open_descriptor(), chunk)
            self._size += len(chunk)
            self._digester.update(chunk)

    def finish(self) -> PosixStaged:
        with self._lock, store_errors("make an upload durable"):
            fd = self._open_descriptor()
            self._fd = None
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
            return PosixStaged(self._path, self._size, self._digester.digests())

    def discard(self) -> None:
        with self._lock:
            if self._fd is not None:
                fd, self._fd = self._fd, None
                with contextlib.suppress(OSError):
                    os.close(fd)
            remove_quietly(self._path)

    def _open_descriptor(self) -> int:
        if self._fd is None:
            raise StoreError("This upload was finished or given up already; repeat it.")
        return self._fd


class PosixBlobs:
    """Fulfils `contracts.Blobs` below `<home>/blobs`. Safe to use from several threads."""

    def __init__(self, home: str, *, directories: Directories, durable: DurableDirectories, writable: bool) -> None:
        self._home = home
        self._durable = durable
        self._top = f"{home}/blobs"
        self._incoming = f"{home}/incoming"
        self._directories = directories
        self._writable = writable

    def stage(self, algorithms: tuple[str, ...] = ()) -> PosixStaging:
        self._check_writable("take an upload in")
        return PosixStaging(f"{self._incoming}/{unique_name()}", algorithms)

    def adopt(self, path: str, notify: Callable[[int], object] = lambda _: None) -> PosixStaged | None:
        """Stage a file that lies on the same file system, by a hard link instead of a copy.

        The store and the other name then share one inode: whoever writes into the file in place, by that name,
        changes what is published. So this is only for files that nobody will write into, and it is not done where
        anybody but this user could: the file must belong to it, with no write permission for group or others.
        None when it cannot be done (another file system, such permissions, no hard links); copy it then.
        The link is made first and hashed through its own name, so it does not matter what happens to `path` meanwhile.
        `notify` is called with the size of each piece that was read. Raises StoreError when `path` cannot be read.
        """
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
                staged = self._measure_link(staging, notify)
            finally:
                if staged is None:
                    remove_quietly(staging)
            return staged

    @staticmethod
    def _measure_link(path: str, notify: Callable[[int], object]) -> PosixStaged | None:
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
            digester, size = _Digester(()), 0
            while chunk := file.read(_CHUNK):
                digester.update(chunk)
                size += len(chunk)
                notify(len(chunk))
            os.fsync(fd)
        return PosixStaged(path, size, digester.digests())

    def publish(self, staged: Staged, key: str) -> None:
        check_blob_key(key)
        if not isinstance(staged, PosixStaged):
            raise TypeError("a blob is published by the store that staged it")
        target = f"{self._top}/{key}"
        directory = target.rpartition("/")[0]
        with store_errors("publish a file"):
            self._link(staged, target, directory)
            sync_directory(directory)
            remove_quietly(staged.path)

    def _link(self, staged: PosixStaged, target: str, directory: str) -> None:
        while True:
            try:
                os.link(staged.path, target)
                return
            except FileExistsError as error:
                if is_same_file(staged.path, target):  # a LINK of ours that the network repeated
                    return
                raise Conflict("A file is already stored under this key.") from error
            except FileNotFoundError:
                if not os.path.exists(staged.path):
                    raise
                self._durable.ensure(directory.rpartition("/")[0])
                with contextlib.suppress(FileExistsError):
                    os.mkdir(directory)
                sync_directory(directory.rpartition("/")[0])

    def open(self, key: str) -> OpenBlob:
        path = f"{self._top}/{'/'.join(check_blob_key(key))}"
        directory, _, name = path.rpartition("/")
        with store_errors("open a file"):
            try:
                fd = self._directories.open_file(directory, name)
            except OSError as error:
                if error.errno not in {errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}:
                    raise
                fd = None
            if fd is None:
                raise BlobMissing("This file is not in the store (any more).")
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                os.close(fd)
                raise BlobMissing("This is not a file of the store.")
            return OpenBlob(file=open(fd, "rb", buffering=0), size=status.st_size, path=path)

    def remove(self, key: str) -> None:
        check_blob_key(key)
        self._check_writable("remove a file")
        path = f"{self._top}/{key}"
        directory = path.rpartition("/")[0]
        with store_errors("remove a file"):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(path)
            if directory.rpartition("/")[0] not in {self._top, self._home}:
                with contextlib.suppress(OSError):  # not empty, or gone: either is fine
                    os.rmdir(directory)

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
                    try:
                        check_blob_key(filename)
                        status = os.stat(path, follow_symlinks=False)
                    except (FileNotFoundError, InvalidName):
                        continue
                    key = path.removeprefix(f"{self._top}/")
                    yield StoredBlob(key, status.st_size, max(0.0, now - status.st_ctime))

    def sweep(self, older_than: float) -> int:
        self._check_writable("sweep what was left behind")
        swept = 0
        with store_errors("sweep what was left behind"):
            now = self.now()
            for entry in os.scandir(self._incoming):
                with contextlib.suppress(FileNotFoundError):
                    # the ctime: a link to an old file (see `adopt`) is as young as the link
                    if now - entry.stat(follow_symlinks=False).st_ctime < older_than:
                        continue
                    if entry.is_dir(
                        follow_symlinks=False
                    ):  # a first revision that never appeared, or what a killed doctor tried
                        # Taken away by name first: if its writer is only slow, its rename fails, and says so.
                        doomed = f"{self._incoming}/{unique_name()}"
                        os.rename(entry.path, doomed)
                        shutil.rmtree(doomed)
                    else:
                        os.unlink(entry.path)
                    swept += 1
        return swept

    def now(self) -> float:
        """The time by the clock that stamps the files: the server's, not this machine's, on a network file system."""
        if not self._writable:
            return max(
                (os.stat(path).st_ctime for path in (self._top, self._incoming) if os.path.isdir(path)), default=0.0
            )
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
