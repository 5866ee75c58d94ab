"""Which files lie in the drop-in folders: a list of names that is true now, at the price of a few opens.

Theory of operation
-------------------
Adding, removing and renaming a file changes the times of the directory that names it. So a tree of any number of files
is known to be unchanged when the identity of each of its directories is (`quire.store.directory` says what an identity
is, how it is asked for, and when it may be believed). Directories are few, files many: files are never looked at here,
not even once; the type of an entry comes with its name. A directory that did change is listed again, alone.

The walk goes from the top down and opens a directory before anything below it. That is also what a network file system
needs before "there is no such name" can be believed.

What a directory cannot tell is that a file's *content* was replaced under the same name: `Tree.look` is for that, and
is asked for the files of one project only.

Rules of what is listed:

- Names that begin with a dot are not, neither files nor directories.
- `quire/` directly under a root is not if it is a store (it then holds an entry called `format`).
- Symbolic links to directories are not followed. A symbolic link to a file is served if the file it leads to lies
  itself, by a real path, in one of the listed directories: whoever can write into a folder can thus not publish
  anything else of the machine (`/etc/shadow` as `x-1.0.zip`), nor the store, nor what a dot name hides.
- A directory below a root that cannot be read is left out, with one warning, and tried again each time; until it can,
  nobody knows which names are local (`Listing.unreadable`). Any other failure is an error, since a list that is
  silently too short would be a lie. `lost+found` is never looked into.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import structlog

from quire.errors import StoreError
from quire.names import ParsedFilename, guess_filename, guess_project
from quire.store.directory import Directories, Identity, Seen, SettleRule
from quire.store.filesystem import filesystem_type

_log = structlog.get_logger(__name__)

STORE_FOLDER = "quire"
"""The name under a root that a store lies under."""
_STORE_MARK = "format"

_UNREADABLE = {
    errno.EACCES,
    errno.EPERM,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ESTALE,
    errno.ENAMETOOLONG,
}

_GONE = {0, errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
"""Failures after which there is nothing (any more) that should have been read; 0 is none."""
_NO_PACKAGES = "lost+found"
"""A directory that mkfs makes, for root only."""


class Stamp(NamedTuple):
    """What tells one content of a file from another without reading it. The same on all clients of an NFS server."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)


class Look(NamedTuple):
    """A file as it was found at one moment."""

    path: str
    """Absolute, and real: a symbolic link has been followed."""
    stamp: Stamp
    ctime_ns: int
    """By the file system's clock; nobody can set it, unlike the mtime."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that, by its name, is a distribution. Nothing is known about its content."""

    root: int
    """Which of the roots, counted from 0."""
    relative: str
    """Its path below the root, separated by `/`."""
    path: str
    """Its absolute path."""
    is_link: bool
    is_signed: bool
    """Whether `<file>.asc` lies beside it."""
    parsed: ParsedFilename

    @property
    def key(self) -> str:
        """Names the file among those of all roots."""
        return f"{self.root}/{self.relative}"


@dataclass(frozen=True, slots=True)
class Listing:
    """All candidates at one moment. A later one shares every part with it that is still the same."""

    projects: dict[str, tuple[Candidate, ...]]
    """By normalized name; ordered by filename, and copies of one filename by which is preferred: the earlier root, then
    the shorter path, then the alphabet."""
    names: tuple[str, ...]
    """The keys of `projects`, sorted."""
    by_path: dict[str, Candidate]
    """By relative path. Where two roots have the same one, the later root's is hidden altogether."""
    folders: frozenset[str]
    """The absolute paths of all listed directories."""
    traces: frozenset[str]
    """The projects that files which are no candidates belong to, by their names: partial copies, signatures."""
    unreadable: tuple[str, ...]
    """The absolute paths of directories that may hold files, and cannot be read."""


_NOTHING = Listing({}, (), {}, frozenset(), frozenset(), ())


class _Directory:
    """What is remembered of one directory."""

    __slots__ = ("children", "entries", "failure", "is_listed", "others", "path", "relative", "root", "seen", "traces")

    def __init__(self, root: int, relative: str, path: str) -> None:
        self.root = root
        self.relative = relative
        self.path = path
        self.seen: Seen | None = None
        self.entries: dict[str, Candidate | None] = {}  # None: not a distribution; remembered so as not to guess again
        self.others: frozenset[str] = frozenset()
        """The names of files that are no candidates."""
        self.traces: frozenset[str] = frozenset()
        """The projects that these belong to."""
        self.children: tuple[str, ...] = ()
        self.failure = 0  # the errno with which it could not be read; 0: it could
        self.is_listed = False  # whether its files are served: read, and not a store

    def place(self, name: str) -> str:
        """The relative path of a name in it."""
        return f"{self.relative}/{name}" if self.relative else name


class Tree:
    """The directories below some roots. Safe to use from several threads."""

    def __init__(
        self,
        roots: Sequence[Path],
        *,
        exclude: Sequence[Path] = (),
        network: bool | None = None,
        settle: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`exclude`: directories never to list. `network`: None asks the file system. `settle`: see SettleRule.

        A root that is named twice counts once. Whether the roots exist is found by `refresh`.
        """
        self.roots = tuple(dict.fromkeys(os.path.realpath(root) for root in roots))
        self._excluded = frozenset(os.path.realpath(path) for path in exclude)
        self._openers = tuple(
            Directories(root, network=_is_network(root) if network is None else network) for root in self.roots
        )
        self._settle = settle
        self._clock = clock
        self._rules: dict[int, SettleRule] = {}  # by device: a mount below a root may have coarser times
        self._lock = threading.Lock()
        self._directories: dict[tuple[int, str], _Directory] = {}
        self._listing = _NOTHING
        self._is_stale = True  # the listing lags behind the directories

    @property
    def is_local(self) -> bool:
        """Whether a validation takes microseconds."""
        return not any(opener.network for opener in self._openers)

    def refresh(self) -> Listing:
        """The listing now: the very object of the last call when nothing has changed.

        Raises StoreError when a root cannot be read.
        """
        with self._lock:
            alive: dict[tuple[int, str], _Directory] = {}
            stack = [(number, "", path) for number, path in reversed(tuple(enumerate(self.roots)))]
            while stack:
                number, relative, path = stack.pop()
                key = (number, path)  # one root may lie below another: each has its own relative paths
                directory = self._directories.get(key)
                if directory is None:
                    directory = _Directory(number, relative, path)
                    self._is_stale = True
                self._visit(directory)
                alive[key] = directory
                stack += [(number, directory.place(child), f"{path}/{child}") for child in directory.children]
            if len(alive) != len(self._directories):
                self._is_stale = True
            self._directories = alive
            if self._is_stale:
                self._listing = _merge(tuple(alive.values()), self._listing)
                self._is_stale = False
            return self._listing

    def current(self) -> Listing | None:
        """The listing if it is certainly true now; None when that takes more than an open per directory to tell.

        Never lists a directory, waits for nobody, and raises nothing: on a local file system it may run on an event
        loop. None asks for a `refresh`, in a thread.
        """
        if not self._lock.acquire(blocking=False):
            return None
        try:
            if self._is_stale or not all(map(self._is_unchanged, self._directories.values())):
                return None
            return self._listing
        finally:
            self._lock.release()

    def look(self, candidate: Candidate, listing: Listing) -> Look | None:
        """The file as it is now; None when it is gone, not a plain file, or a link to where nothing is served from.

        On a network file system it is opened, because only that asks the server.
        """
        try:
            path = candidate.path
            if candidate.is_link:
                path = os.path.realpath(path, strict=True)
                folder, _, name = path.rpartition("/")
                if folder not in listing.folders or name.startswith("."):
                    return None
            if self._openers[candidate.root].network:
                fd = open_plain(path)
                try:
                    status = os.fstat(fd)
                finally:
                    os.close(fd)
            else:
                status = os.stat(path, follow_symlinks=False)
        except OSError:
            return None
        return Look(path, Stamp.of(status), status.st_ctime_ns) if stat.S_ISREG(status.st_mode) else None

    def is_same(self, candidates: Sequence[Candidate], looks: Sequence[Look | None], listing: Listing) -> bool:
        """Whether `look` would find all of them as it did before. This is the inner loop of every validation."""
        for candidate, before in zip(candidates, looks, strict=True):
            if before is None or candidate.is_link or self._openers[candidate.root].network:
                if self.look(candidate, listing) != before:
                    return False
                continue
            try:
                status = os.lstat(candidate.path)
            except OSError:
                return False
            size, mtime_ns, inode = before.stamp
            if (
                status.st_mtime_ns != mtime_ns
                or status.st_ctime_ns != before.ctime_ns
                or status.st_size != size
                or status.st_ino != inode
            ):
                return False
        return True

    # -- one directory, under the lock --------------------------------------------------------------------------------

    def _is_unchanged(self, directory: _Directory) -> bool:
        opener, seen = self._openers[directory.root], directory.seen
        if seen is not None and seen.settled and opener.has(directory.path, seen.identity):
            return True
        try:
            identity = opener.identity(directory.path)
        except OSError as error:
            return directory.failure != 0 and error.errno in _UNREADABLE
        return _is_believed(directory.seen, identity)

    def _visit(self, directory: _Directory) -> None:
        """Bring one directory up to date. Sets `_is_stale` when anything in it has changed."""
        try:
            opened = self._openers[directory.root].open(directory.path)
            if opened is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), directory.path)
            fd, identity = opened
            try:
                self._list_if_changed(directory, fd, identity)
            finally:
                os.close(fd)
        except OSError as error:
            if not directory.relative or error.errno not in _UNREADABLE:
                raise StoreError(
                    f"The directory {directory.path} cannot be read ({error.strerror or error}); "
                    "check that it exists, is mounted, and may be read by the server."
                ) from error
            if not directory.failure:
                _log.warning("directory left out", path=directory.path, reason=error.strerror)
            if directory.failure != error.errno:
                self._is_stale = True
            directory.failure, directory.is_listed = error.errno, False
            directory.seen, directory.entries, directory.children = None, {}, ()
            directory.others = directory.traces = frozenset()

    def _list_if_changed(self, directory: _Directory, fd: int, identity: Identity | None) -> None:
        if _is_believed(directory.seen, identity):
            return
        seen = self._rule(fd).see(identity, directory.seen)  # before the listing: the rule counts from its beginning
        directory.seen = seen._replace(settled=False)  # should the listing fail
        entries, others, children, is_listed = self._list(directory, fd)
        if (entries, children, is_listed) != (directory.entries, directory.children, directory.is_listed):
            directory.entries, directory.children, directory.is_listed = entries, children, is_listed
            self._is_stale = True
        if others != directory.others:
            directory.others = others
            directory.traces = frozenset(filter(None, map(guess_project, others)))
            self._is_stale = True
        if directory.failure:
            directory.failure, self._is_stale = 0, True
        directory.seen = seen

    def _rule(self, fd: int) -> SettleRule:
        device = os.fstat(fd).st_dev
        rule = self._rules.get(device)
        if rule is None:
            rule = self._rules[device] = SettleRule(self._settle, self._clock)
        return rule

    def _list(
        self, directory: _Directory, fd: int
    ) -> tuple[dict[str, Candidate | None], frozenset[str], tuple[str, ...], bool]:
        """The entries, the names of files that are no candidates, the children, and whether all these are served."""
        files: dict[str, bool] = {}  # name: whether it is a symbolic link
        others = set()
        children = []
        with os.scandir(fd) as found:
            for entry in found:
                name = entry.name
                if name.startswith("."):
                    others.add(name)
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if name.isprintable() and name != _NO_PACKAGES and f"{directory.path}/{name}" not in self._excluded:
                        children.append(name)
                elif entry.is_symlink():
                    files[name] = True
                elif entry.is_file(follow_symlinks=False):
                    files[name] = False
        if directory.relative == STORE_FOLDER and _STORE_MARK in files:
            return {}, frozenset(), (), False
        entries: dict[str, Candidate | None] = {}
        for name, is_link in files.items():
            is_signed = files.get(f"{name}.asc") is False
            old = directory.entries.get(name)
            if old is not None and (old.is_link, old.is_signed) == (is_link, is_signed):
                entries[name] = old
                continue
            if old is not None:
                parsed: ParsedFilename | None = old.parsed
            else:
                parsed = None if name in directory.entries else guess_filename(name)
            if parsed is None:
                entries[name] = None
                others.add(name)
                continue
            entries[name] = Candidate(
                directory.root, directory.place(name), f"{directory.path}/{name}", is_link, is_signed, parsed
            )
        return entries, frozenset(others), tuple(sorted(children)), True


def open_plain(path: str) -> int:
    """Open a file for reading, whatever may have been put in its place: never through a link, never waiting for a FIFO.

    The caller still checks that it is a plain file. Raises OSError.
    """
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)


def _is_believed(seen: Seen | None, identity: Identity | None) -> bool:
    """Whether what was listed under `seen` is still true, now that the directory has this identity."""
    return seen is not None and seen.settled and identity is not None and seen.identity == identity


def _is_network(root: str) -> bool:
    try:
        return not filesystem_type(root)[1]
    except OSError:  # not there (yet): what gets mounted later is treated with the greater care
        return True


def _candidates(directories: Sequence[_Directory]) -> Iterator[Candidate]:
    for directory in directories:
        yield from filter(None, directory.entries.values())


def _merge(directories: Sequence[_Directory], before: Listing) -> Listing:
    """The listing of all directories, made of the parts of the one before wherever they are equal."""
    by_path: dict[str, Candidate] = {}
    for candidate in sorted(_candidates(directories), key=lambda candidate: candidate.root):
        by_path.setdefault(candidate.relative, candidate)
    collected: dict[str, list[Candidate]] = {}
    for candidate in by_path.values():
        collected.setdefault(candidate.parsed.project, []).append(candidate)
    projects = {}
    for name, candidates in collected.items():
        candidates.sort(key=_preference)
        ordered, old = tuple(candidates), before.projects.get(name)
        projects[name] = old if old == ordered else ordered
    names = tuple(sorted(projects))
    return Listing(
        projects,
        before.names if before.names == names else names,
        by_path,
        folders=frozenset(directory.path for directory in directories if directory.is_listed),
        traces=frozenset().union(*(directory.traces for directory in directories)),
        unreadable=tuple(directory.path for directory in directories if directory.failure not in _GONE),
    )


def _preference(candidate: Candidate) -> tuple[str, int, int, str]:
    return (candidate.parsed.filename, candidate.root, len(candidate.relative), candidate.relative)
