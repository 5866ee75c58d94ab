"""Small durable steps on a POSIX file system that records and blobs have in common."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading

from quire.domain.errors import StoreError
from quire.store.posix.changes import Changes
from quire.store.posix.directory import GONE
from quire.store.posix.filesystem import begin_writing

_GIVEN_UP = "This was published or given up already; repeat it."


def write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    """write(2) until everything is written; a short write is not an error."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def create_durable(path: str, data: bytes, mode: int = 0o666) -> None:
    """A new file with this content, fsynced; the directory that names it is not."""
    create(path, data, mode, sync=True)


def create(path: str, data: bytes, mode: int = 0o666, *, sync: bool = False) -> None:
    """A new file with this content, which a loss of power may damage unless `sync`."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        write_all(fd, data)
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)


class PendingFile:
    """A new file that gets its lasting name later, or is given up. Its bytes are synced through the descriptor that
    wrote them, since only that one reports failed writes.

    May be used from several threads: a request that was cancelled gives its upload up while the last write still runs
    in a thread, and the descriptor's number must not become that of another file before that write is over.
    """

    def __init__(self, path: str, *, is_durable: bool = False, mode: int = 0o666) -> None:
        """`is_durable`: the file is there, and lasts already; else it is created, with this mode. Raises OSError."""
        self.path = path
        self._is_durable = is_durable
        self._is_discarded = False
        self._lock = threading.Lock()
        self._fd: int | None = None
        if not is_durable:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append. Raises OSError; StoreError when the file was made durable or given up before."""
        with self._lock:
            if self._fd is None:
                raise StoreError(_GIVEN_UP)
            write_all(self._fd, data)

    def begin_writing(self) -> None:
        """Early writeback of the bytes that `make_durable` will wait for. Raises OSError; then that will not succeed:
        an fsync might not report the failure a second time.
        """
        with self._lock:
            if self._fd is not None:
                try:
                    begin_writing(self._fd)
                except OSError:
                    self._close()
                    raise

    def make_durable(self) -> None:
        """fsync the bytes, once. Raises OSError; StoreError when it failed before, or the file was given up."""
        with self._lock:
            if self._is_discarded or (self._fd is None and not self._is_durable):
                raise StoreError(_GIVEN_UP)
            if self._fd is not None:
                try:
                    os.fsync(self._fd)
                    self._is_durable = True
                finally:
                    self._close()

    def discard(self) -> None:
        """Remove this name; other names of the file stay. Idempotent."""
        with self._lock:
            self._close()
            if not self._is_discarded:
                self._is_discarded = True
                remove_quietly(self.path)

    def _close(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            with contextlib.suppress(OSError):  # fsync has reported all errors that matter
                os.close(fd)


def sync_file(path: str) -> None:
    """Make the bytes of a file durable that another process may have written; its name is not."""
    _sync(path, os.O_NOFOLLOW | os.O_NONBLOCK)


def sync_directory(path: str) -> None:
    """Make the names in a directory durable (fsync(2): the file's own fsync does not)."""
    _sync(path, os.O_DIRECTORY)


def _sync(path: str, flags: int) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class DurableDirectories:
    """Makes directories durably: one whose maker died before it synced may not be durable.

    Directories that are known to be durable are remembered, so this costs one fsync per directory and process.
    """

    _REMEMBERED = 20_000

    def __init__(self, root: str, changes: Changes | None = None) -> None:
        """`root` exists; directories below it are meant. `changes`: how new ones are made to be noticed."""
        self._root = root
        self._changes = changes or Changes()
        self._certain: set[str] = set()

    def make(self, path: str) -> None:
        """The directory exists, below one that does, until a loss of power at least."""
        if path not in self._certain:
            self.ensure(path.rpartition("/")[0])
            with contextlib.suppress(FileExistsError):
                os.mkdir(path)

    def ensure(self, path: str) -> None:
        """Every directory from below the root down to `path` exists, and its parent names it durably."""
        if path == self._root or path in self._certain:
            return
        parent = path.rpartition("/")[0]
        self.ensure(parent)
        made = False
        with contextlib.suppress(FileExistsError):
            os.mkdir(path)
            made = True
        sync_directory(parent)
        if made:
            self._changes.publish_change(parent)
        if len(self._certain) >= self._REMEMBERED:
            self._certain.clear()
        self._certain.add(path)


def is_same_file(path: str, other: str) -> bool:
    """Whether two names are of one inode, asked of the server: a replayed LINK answers EEXIST though it was ours."""
    try:
        fd = os.open(other, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        there = os.fstat(fd)
    finally:
        os.close(fd)
    try:
        here = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (here.st_ino, here.st_dev) == (there.st_ino, there.st_dev)


def remove_quietly(path: str) -> None:
    """Unlink; that it is gone, or cannot be removed now, is no error: the sweep finds what is left."""
    with contextlib.suppress(OSError):
        os.unlink(path)


def unique_name() -> str:
    """A unique name."""
    return secrets.token_hex(16)


def unless_gone(error: OSError) -> None:
    """For os.walk: what vanished meanwhile is left out; what cannot be read is an error, not an empty folder."""
    if error.errno not in GONE:
        raise error
