"""Opening directories so that what is then read of them is true now, on local and on network file systems.

Theory of operation
-------------------
A reader wants to know, for one round trip, whether a directory is as it remembers it. On NFS the client's kernel
answers `stat`, and `fstat` of a descriptor held open, from memory that may be seconds old. Opening is the one
call for which close-to-open consistency makes it ask the server, so: open, then fstat, then close. The values
that fstat then returns - inode, mtime, ctime - are the directory's identity. Three things can still go wrong:

1. *A late reply.* A worker on the same machine changes the directory while our answer from the server is under way.
   The kernel notices, drops the answer and marks what it has as invalid; fstat returns it nevertheless. statx,
   forbidden to ask the server, shows which attributes the kernel holds valid. If mtime and ctime are not among them,
   or differ from what fstat said, open again; after a few tries give up on an identity (None): list, and remember
   nothing.
2. *Absence.* A name that did not exist when last asked is answered "no such file" from memory, for as long as the
   parent's remembered attributes are trusted. So ENOENT counts only after the parent was opened the same way and
   the name was looked up in it again. ESTALE (the remembered file or directory was removed) is treated the same.
3. *Two changes within one clock tick.* File times move in ticks of 1 to 10 ms, on a few file systems in whole seconds.
   If a directory is listed between two changes of one tick, its identity does not show the second change. So an
   identity is trusted only *past the racy window*: the listing began at least `racy_window` after the identity was
   first seen, by this process's monotonic clock. Any change with the same times was then in that listing. (Git calls an
   index entry "racy" for the same reason.)

On a file system that is this kernel's own, with no other machine and no other layer behind it, stat is as true as open
and costs a third. It is used where the identity alone is wanted, the path is on a file system of such a type, and on
the very device whose type was asked for when the process began.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from typing import NamedTuple

from quire.store.posix.filesystem import cached_times, own_device

_ROOT_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FLAGS = _ROOT_FLAGS | os.O_NOFOLLOW
_ATTEMPTS = 4
GONE = frozenset({errno.ENOENT, errno.ESTALE})
"""Errors for a name that another process, or another client of the file server (ESTALE), has removed."""

COARSE_RACY_SECONDS = 2.5
"""Seconds that cover the coarsest timestamps in use: whole seconds, and two of FAT."""
FINE_RACY_SECONDS = 0.1
"""Seconds that cover ticks of 1 to 10 ms tenfold."""


_FILE_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a FIFO must not block this process


class Identity(NamedTuple):
    """Identifies a state of a directory, within the resolution of its clock."""

    inode: int
    mtime_ns: int
    ctime_ns: int


class Seen(NamedTuple):
    """When an identity was first met, and whether a listing has begun late enough after that."""

    identity: Identity | None
    first_seen: float
    past_racy_window: bool


class RacyWindow:
    """How long an identity must have been known before a listing under it is final. One per file system."""

    def __init__(self, seconds: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """`seconds`: fixed; None starts coarse and turns fine once the file system shows finer timestamps."""
        self.seconds = COARSE_RACY_SECONDS if seconds is None else seconds
        self.clock = clock
        self._may_refine = seconds is None

    def observe(self, identity: Identity) -> None:
        """Learn from a timestamp. The ctime is the kernel's own; any program can set an mtime."""
        if self._may_refine and identity.ctime_ns % 10_000_000:
            self.seconds = FINE_RACY_SECONDS
            self._may_refine = False

    def see(self, identity: Identity | None, before: Seen | None) -> Seen:
        """Judge an identity just read, BEFORE the directory is listed under it."""
        now = self.clock()
        if identity is None:
            return Seen(None, now, False)
        self.observe(identity)
        if before is None or before.identity != identity:
            return Seen(identity, now, self.seconds <= 0)
        return Seen(identity, before.first_seen, now - before.first_seen >= self.seconds)


class Directories:
    """Opens directories below one root."""

    def __init__(self, root: str, *, network: bool) -> None:
        self.root = root
        self.network = network
        self._own_device = None if network else own_device(root)

    def open(self, path: str) -> tuple[int, Identity | None] | None:
        """Open `path` (the root, or a path below it) freshly; the caller closes the descriptor.

        Returns None when it does not exist, the identity None when it could not be made certain.
        Raises OSError when it cannot be opened, or when the root itself is gone.
        """
        for _ in range(_ATTEMPTS):
            fd = self._descriptor(path)
            if fd is None:
                return None
            try:
                status = os.fstat(fd)
                if not self.network or cached_times(fd) == (status.st_mtime_ns, status.st_ctime_ns):
                    return fd, Identity(status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
            except OSError as error:
                os.close(fd)
                if error.errno != errno.ESTALE:
                    raise
            else:
                os.close(fd)
        fd = self._descriptor(path)
        return None if fd is None else (fd, None)

    def identity(self, path: str) -> Identity | None:
        """The identity of `path` now; None when it does not exist or is not certain."""
        opened = self.open(path)
        if opened is None:
            return None
        os.close(opened[0])
        return opened[1]

    def has(self, path: str, identity: Identity | None) -> bool:
        """Whether the directory `path` certainly has this identity now; False when only opening it can tell.

        The innermost step of every answer on a local file system: one system call.
        """
        if self._own_device is None or identity is None:
            return False
        try:
            status = os.lstat(path)
        except OSError:
            return False
        return (
            status.st_ctime_ns == identity.ctime_ns
            and status.st_mtime_ns == identity.mtime_ns
            and status.st_ino == identity.inode
            and status.st_dev == self._own_device
        )

    def open_file(self, directory: str, name: str) -> int | None:
        """Open a file for reading, its directory first; None when there is none."""
        if not self.network:
            try:
                return os.open(f"{directory}/{name}", _FILE_FLAGS)
            except FileNotFoundError:
                return None
        for _ in range(_ATTEMPTS):
            opened = self.open(directory)
            if opened is None:
                return None
            try:
                return os.open(name, _FILE_FLAGS, dir_fd=opened[0])
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno != errno.ESTALE:
                    raise
            finally:
                os.close(opened[0])
        return None

    def _descriptor(self, path: str) -> int | None:
        try:
            return os.open(path, _ROOT_FLAGS if path == self.root else _FLAGS)
        except OSError as error:
            if error.errno not in GONE or path == self.root:
                raise
            if not self.network and error.errno == errno.ENOENT:
                return None
        parent, _, name = path.rpartition("/")
        for _ in range(_ATTEMPTS):
            opened = self.open(parent)
            if opened is None:
                return None
            try:
                return os.open(name, _FLAGS, dir_fd=opened[0])
            except OSError as error:
                if error.errno == errno.ENOENT:
                    return None
                if error.errno != errno.ESTALE:
                    raise
            finally:
                os.close(opened[0])
        return None


def revalidate_name(path: str) -> None:
    """Make an NFS client look the name of a file up again, which it does after it has opened the directory again.

    Until then it may go on opening a file that another client removed or replaced. Raises OSError.
    """
    os.close(os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
