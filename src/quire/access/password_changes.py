"""Changing an htpasswd file under running servers: one change at a time, all of it or nothing.

Theory of operation. Writers take a lock on the file itself (flock, which NFS passes on), so that of two changes none is
lost. Programs that know nothing of this lock, editors and Apache's htpasswd, are noticed as far as they can be: the
file is compared with what was read right before it is replaced.

The new content is written beside, made durable, given the old file's owner, mode and extended attributes, and renamed.
So a reader has the old file or the new one, and a crash leaves one of them. The lock is on the file that was replaced;
a process that waited for it finds another file under the name and starts over.

Where the name cannot be replaced (the file alone is mounted into a container; its folder cannot be written; it has
several names, or another owner), it is rewritten in place: with one write, filled up with blank lines to its old size,
and then cut. A server that reads it in that moment may see a line that is half old and half new; it keeps the users it
had where such a file makes no sense, and reads a file that has just changed again at its next request.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from quire.access.passwords import MAX_PASSWORD_FILE_BYTES, read_password_file
from quire.domain.errors import ConfigurationError, StoreError
from quire.store.posix.files import sync_directory

_LOCK_SECONDS = 10.0
_ATTEMPTS = 100
_NEW_FILE_MODE = 0o640
_NO_REPLACING = {errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS}


def change(
    path: str, edit: Callable[[bytes], bytes], *, create: bool = False, lock_seconds: float = _LOCK_SECONDS
) -> bool:
    """Replace the content of a password file by the result of `edit`; whether it changed.

    `edit` may be called several times, and may raise a QuireError to leave the file as it is. `create`: make a file
    that is not there, empty. `lock_seconds`: how long to wait for the lock of another program. Raises
    ConfigurationError for a file that cannot be used, StoreError when it cannot be written.
    """
    path = os.path.realpath(path)  # a symbolic link stays one
    try:
        for _ in range(_ATTEMPTS):
            with _locked(path, create=create, seconds=lock_seconds) as descriptor:
                before = read_password_file(path)
                after = edit(before)
                if after == before:
                    return False
                if len(after) > MAX_PASSWORD_FILE_BYTES:
                    raise ConfigurationError(
                        f"The password file {path} would be larger than 1 MiB; no server reads it."
                    )
                if _replace(path, descriptor, before, after):
                    return True
        raise StoreError(f"The password file {path} is being changed by another program all the time; try again.")
    except OSError as error:
        raise StoreError(
            f"The password file {path} cannot be written ({error.strerror}); nothing was changed."
        ) from error


@contextmanager
def _locked(path: str, *, create: bool, seconds: float) -> Iterator[int]:
    """The file, open and locked, and still the one that has the name."""
    deadline = time.monotonic() + seconds
    while True:
        descriptor = _open(path, create=create)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigurationError(f"The password file {path} is no regular file; name an htpasswd file.")
            if _lock(descriptor) and _is_named(descriptor, path):
                yield descriptor
                return
        finally:
            os.close(descriptor)  # and with it the lock
        if time.monotonic() > deadline:
            raise StoreError(f"The password file {path} is being changed by another program; try again.")
        time.sleep(0.01)


def _open(path: str, *, create: bool) -> int:
    flags = os.O_NONBLOCK | os.O_CLOEXEC  # not to wait for the other end of a FIFO
    try:
        return os.open(path, os.O_RDWR | flags | (os.O_CREAT if create else 0), _NEW_FILE_MODE)
    except FileNotFoundError:
        missing = "The folder of the password file" if create else "The password file"
        raise ConfigurationError(f"{missing} {path} does not exist.") from None
    except IsADirectoryError:
        raise ConfigurationError(f"The password file {path} is a directory; name an htpasswd file.") from None
    except OSError as error:
        if error.errno not in _NO_REPLACING:
            raise
        return os.open(path, os.O_RDONLY | flags)  # it can perhaps be replaced


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in {errno.ENOLCK, errno.ENOTSUP, errno.EBADF}:
            raise
        # a file system without locks, or NFS and a file that is open for reading only: the comparison has to do
    return True


def _is_named(descriptor: int, path: str) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    return False


def _replace(path: str, descriptor: int, before: bytes, after: bytes) -> bool:
    """Whether it was written; False when another process changed the file meanwhile. Raises OSError."""
    temporary = f"{path}.{os.getpid()}.{time.monotonic_ns()}.new"
    try:
        if os.fstat(descriptor).st_nlink > 1:
            raise OSError(errno.EBUSY, "it has several names")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(after)
            file.flush()
            _copy_attributes(descriptor, file.fileno())
            os.fsync(file.fileno())
        if not _is_unchanged(path, descriptor, before):
            return False
        os.rename(temporary, path)
    except OSError as error:
        if error.errno not in _NO_REPLACING:
            raise
        if not _is_unchanged(path, descriptor, before):
            return False
        _rewrite(path, before, after)
        return True
    finally:
        with suppress(OSError):  # it has got its name, or was never made
            os.unlink(temporary)
    sync_directory(os.path.dirname(path))
    return True


def _copy_attributes(old: int, new: int) -> None:
    """Give a file the owner, mode and extended attributes (access lists, SELinux) of another. Raises OSError."""
    wanted, has = os.fstat(old), os.fstat(new)
    if (wanted.st_uid, wanted.st_gid) != (has.st_uid, has.st_gid):
        os.fchown(new, wanted.st_uid, wanted.st_gid)
    os.fchmod(new, stat.S_IMODE(wanted.st_mode))
    with suppress(OSError):  # a file system without them
        for name in os.listxattr(old):
            with suppress(OSError):  # those that only the system may set
                os.setxattr(new, name, os.getxattr(old, name))


def _is_unchanged(path: str, descriptor: int, before: bytes) -> bool:
    return _is_named(descriptor, path) and read_password_file(path) == before


def _rewrite(path: str, before: bytes, after: bytes) -> None:
    """Write the file in place. Raises OSError; the file then has its old content again, if the disk lets it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        try:
            _write(descriptor, after + b"\n" * (len(before) - len(after)))
        except OSError:  # no space for the added bytes
            _write(descriptor, before)
            os.ftruncate(descriptor, len(before))
            raise
        os.ftruncate(descriptor, len(after))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    written = 0
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], written)
