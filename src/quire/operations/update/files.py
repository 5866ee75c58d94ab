"""Where the files that `quire update` downloads go: into a directory, or into the store.

Nothing is visible before all files of a project have arrived and were checked. In a directory each file then appears
complete, in one step, and only under an unused name; in the store they appear together. A process that dies leaves a
file `.quire-...` that is not served, or a staged one that the store sweeps.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from quire.domain.errors import FileExists, StoreError, StoreFull, StoreReadOnly
from quire.dropin.files import open_regular
from quire.index.index import Index
from quire.index.upload import examine
from quire.operations import changing
from quire.store.contracts import Staging
from quire.store.posix.files import remove_quietly, sync_directory, unique_name, write_all

_NO_HARD_LINKS = {errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS}


@contextmanager
def _directory_errors(directory: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreFull(f"The directory {directory} takes no more: the disk or the quota is full.") from error
        reason = os.strerror(error.errno or 0)
        if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
            raise StoreReadOnly(f"The directory {directory} cannot be written: {reason}.") from error
        raise StoreError(f"The directory {directory} cannot be used: {reason}.") from error


class ForDirectory:
    """One file on its way into a directory (a `quire.upstream.client.Sink`)."""

    def __init__(self, directory: str, filename: str) -> None:
        """Raises StoreFull, StoreReadOnly, StoreError. The directory is made when it is missing."""
        self.directory = directory
        self.filename = filename
        self.path = f"{directory.rstrip('/')}/{filename}"
        self._digest = hashlib.sha256()
        with _directory_errors(directory):
            os.makedirs(directory, exist_ok=True)
            # a dot name, which no listing shows; in the very directory, so that it can be linked
            self._temporary = f"{directory.rstrip('/')}/.quire-{unique_name()}"
            self._fd: int | None = os.open(
                self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666
            )

    def write(self, chunk: bytes) -> None:
        assert self._fd is not None
        self._digest.update(chunk)
        with _directory_errors(self.directory):
            write_all(self._fd, chunk)

    def place(self) -> bool:
        """Give the file its name, durably; False when the very same file is there already.

        Raises FileExists when the name is taken by other content.
        """
        assert self._fd is not None
        try:
            with _directory_errors(self.directory):
                os.fsync(self._fd)
                placed = self._link()
                sync_directory(self.directory)
        finally:
            self.discard()
        if not placed and not self._is_there():
            raise FileExists(f"The file {self.path} already exists with other content; it was left as it is.")
        return placed

    def _link(self) -> bool:
        try:
            os.link(self._temporary, self.path, follow_symlinks=False)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            # Without hard links: O_EXCL takes the name, and the rename then replaces nothing but our own placeholder.
            try:
                os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
            except FileExistsError:
                return False
            os.rename(self._temporary, self.path)
        return True

    def _is_there(self) -> bool:
        try:
            with open(open_regular(self.path), "rb") as file:
                return hashlib.file_digest(file, "sha256").digest() == self._digest.digest()
        except OSError:
            return False

    def discard(self) -> None:
        """Discard the bytes, or their temporary name. Idempotent."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
            remove_quietly(self._temporary)


class ForStore:
    """One file on its way into the store (a `quire.upstream.client.Sink`)."""

    def __init__(self, staging: Staging, filename: str) -> None:
        self.staging = staging
        self.filename = filename

    def write(self, chunk: bytes) -> None:
        self.staging.write(chunk)

    def discard(self) -> None:
        self.staging.discard()


def settle(sinks: Sequence[ForDirectory | ForStore], index: Index) -> list[tuple[str, str]]:
    """Make a project's complete downloads visible; what happened to each: ("downloaded" or "present", its path), or
    ("published" or "present", its filename).

    The hosted ones first: they can be refused (the project's status, an invalid archive), all of them or none.
    Raises QuireError; files that are not visible by then are discarded.
    """
    hosted = [sink for sink in sinks if isinstance(sink, ForStore)]
    done: list[tuple[str, str]] = []
    try:
        if hosted:
            change = changing.publish(index, [examine(sink.staging.finish(), sink.filename) for sink in hosted])
            before = change.before.files if change.before is not None else {}
            done += [("present" if sink.filename in before else "published", sink.filename) for sink in hosted]
        for sink in sinks:
            if isinstance(sink, ForDirectory):
                done.append(("downloaded" if sink.place() else "present", sink.path))
    finally:
        for sink in sinks:
            sink.discard()
    return done
