"""Ways to find out whether a folder changed, compared: those that quire uses, and those that it does not trust.

Each has a folder of its own, so that one probe does not refresh the cache for another one. A probe has two sides: one
`remember`s the state, the other `change`s it, and the first, after a message, reports whether it `sees` the change of
that number. The change always makes a directory or a link, so that it shows in a count,
too: two changes within a tick of the clock are not taken for a stale answer.
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from typing import ClassVar

from quire.store.posix.changes import Changes
from quire.store.posix.directory import Directories
from quire.store.posix.files import create_durable

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_BURST = 24
"""Names: enough to go on for more than a tick of a clock, so that the last ones share theirs with a listing."""


class Probe(ABC):
    """One way to find out."""

    code: ClassVar[str]
    question: ClassVar[str]
    required: ClassVar[bool] = False

    def __init__(self, folder: str, directories: Directories, *, creates: bool, changes: Changes | None = None) -> None:
        """`changes`: how the store makes its changes to be noticed; what quire relies on is tried with that."""
        self.folder = f"{folder}/{self.code}"
        self.directories = directories
        self.changes = changes or Changes()
        if creates:
            os.mkdir(self.folder)

    @abstractmethod
    def sees(self, number: int) -> bool: ...

    def change(self, number: int) -> None:
        os.mkdir(f"{self.folder}/{number}")

    def remember(self, number: int) -> None:  # noqa: B027 - not every probe caches
        """Read the state before change `number`, as a working server does."""

    def reread(self) -> None:  # noqa: B027 - nor reads again
        """Read again while waiting."""

    def close(self) -> None:  # noqa: B027 - nor has open files
        """Close open files."""

    def names(self) -> list[str]:
        """A fresh open and a listing: what the store does."""
        opened = self.directories.open(self.folder)
        if opened is None:
            return []
        try:
            return os.listdir(opened[0])
        finally:
            os.close(opened[0])


class Listing(Probe):
    code = "listing"
    question = "Opening a folder and listing it, for names added one by one and many at once"
    required = True

    def remember(self, number: int) -> None:
        self.names()

    def reread(self) -> None:
        self.names()

    def change(self, number: int) -> None:
        for part in range(_BURST if number % 4 < 2 else 1):
            os.mkdir(f"{self.folder}/{number}-{part}")
        self.changes.publish_change(self.folder)

    def sees(self, number: int) -> bool:
        expected = {f"{number}-{part}" for part in range(_BURST if number % 4 < 2 else 1)}
        return expected <= set(self.names())


class Opening(Probe):
    """A file that was not there when last asked, through the store's own way of opening."""

    code = "opening"
    question = "Opening a new file, its folder first"
    required = True

    def remember(self, number: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.close(os.open(f"{self.folder}/{number}", os.O_RDONLY | os.O_CLOEXEC))

    def change(self, number: int) -> None:
        create_durable(f"{self.folder}/{number}", b"here")
        self.changes.publish_change(self.folder)

    def sees(self, number: int) -> bool:
        fd = self.directories.open_file(self.folder, str(number))
        if fd is None:
            return False
        with open(fd, "rb", buffering=0) as file:
            return file.read(10) == b"here"


class OpenAndFstat(Probe):
    code = "open-fstat"
    question = "Opening a folder and fstat of it"

    _known: tuple[int, ...] = ()

    def remember(self, number: int) -> None:
        self._known = self._identity()

    def sees(self, number: int) -> bool:
        return self._identity() != self._known

    def _identity(self) -> tuple[int, ...]:
        fd = os.open(self.folder, _OPEN)
        try:
            return _identity(os.fstat(fd))
        finally:
            os.close(fd)


class Stat(OpenAndFstat):
    code = "stat"
    question = "stat of a folder, without opening it"

    def _identity(self) -> tuple[int, ...]:
        return _identity(os.stat(self.folder))


class Held(OpenAndFstat):
    code = "held-fstat"
    question = "fstat of a folder that is held open"

    _fd: int | None = None

    def _identity(self) -> tuple[int, ...]:
        if self._fd is None:
            self._fd = os.open(self.folder, _OPEN)
        return _identity(os.fstat(self._fd))

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class AskedBefore(Opening):
    """The same by name alone: the client may remember that it was not there."""

    code = "open-by-name"
    question = "Opening a new file by its name alone"
    required = False

    def sees(self, number: int) -> bool:
        try:
            os.close(os.open(f"{self.folder}/{number}", os.O_RDONLY | os.O_CLOEXEC))
        except FileNotFoundError:
            return False
        return True


class Replaced(Probe):
    """A file renamed over another one, of which this side holds the old."""

    code = "replaced-by-name"
    question = "Opening a replaced file by its name alone"

    _fd: int | None = None

    def remember(self, number: int) -> None:
        self.close()
        with contextlib.suppress(FileNotFoundError):
            self._fd = os.open(f"{self.folder}/file", os.O_RDONLY | os.O_CLOEXEC)
            os.read(self._fd, 10)

    def change(self, number: int) -> None:
        self.close()
        create_durable(f"{self.folder}/{number}", str(number).encode())
        os.rename(f"{self.folder}/{number}", f"{self.folder}/file")

    def sees(self, number: int) -> bool:
        try:
            with open(f"{self.folder}/file", "rb", buffering=0) as file:
                return file.read(20) == str(number).encode()
        except FileNotFoundError:
            return False

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


KINDS: tuple[type[Probe], ...] = (Listing, Opening, OpenAndFstat, Stat, Held, AskedBefore, Replaced)


def make_probes(folder: str, directories: Directories, *, creates: bool, changes: Changes | None = None) -> list[Probe]:
    """One of each kind; one side `creates` their folders, before the other begins."""
    return [kind(folder, directories, creates=creates, changes=changes) for kind in KINDS]


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_nlink, status.st_size
