"""Which files lie in the drop-in folders: a list of names that is true now, at the price of a few opens.

Theory of operation
-------------------
Adding, removing and renaming a file changes the times of the directory that names it. So a tree of any number of files
is known to be unchanged when the identity of each of its directories is (`quire.store.posix.directory` says what an
identity is, how it is asked for, and when it may be believed). Directories are few, files many: files are never looked
at here, not even once; the type of an entry comes with its name. A directory that did change is listed again, alone.

The walk goes from the top down and opens a directory before anything below it. That is also what a network file system
needs before "there is no such name" can be believed.

A file that is renamed is never absent, but two things can hide it. It can move from a directory that the walk has yet
to reach to one that it has left; so after a walk that found a change there is another one. And readdir(2) need not
report a name that a rename gives to another file meanwhile (btrfs does not); so a known name that is missing from a
listing is opened by itself before it counts as gone. Where the file system makes no difference between upper and lower
case, that finds a file under its new name: the old one is gone all the same when the listing has the same inode under
a name that differs by case alone, and the file has no other.

A directory does not show that a file's *content* was replaced under the same name: `Tree.stat` is for that, and
is asked for the files of one project only.

Rules of what is listed:

- Names that begin with a dot are not, neither files nor directories.
- `quire/` directly under a root is not if it is a store (it then holds an entry called `format`).
- Symbolic links to directories are not followed. A symbolic link to a file is served if the file it leads to lies
  itself, by a real path, in one of the listed directories: so write access to a folder does not allow to publish
  anything else of the machine (`/etc/shadow` as `x-1.0.zip`), nor the store, nor what a dot name hides.
- Nothing is served whose relative path has a character that cannot be printed (bytes that are no UTF-8, a no-break
  space): pages, records and logs could not write it as it is. Such directories are read all the same, since their files
  keep the names of their projects here (`Listing.traces`); they are logged, and `quire check` names them.
- A directory below a root that cannot be read is left out, with one warning, and tried again each time; until it can,
  it is not known which names are local (`Listing.unreadable`). Any other failure is an error, since a list that is
  silently too short would be wrong. `lost+found` is never read.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from quire.domain.errors import StoreError
from quire.domain.names import ParsedFilename, guess_filename, guess_project, printable
from quire.dropin.files import FileStat, Fingerprint, open_regular, public_name
from quire.dropin.listing import NOTHING, Candidate, Directory, Listing, merge
from quire.dropin.reports import Reports, state_of
from quire.store.posix.directory import COARSE_RACY_SECONDS, Directories, Identity, RacyWindow, Seen
from quire.store.posix.filesystem import is_network
from quire.store.posix.mounts import mounts_below, read_mounts

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

_WALKS = 3
"""At most so many for one answer, where directories change all the time."""
_UNPRINTABLE = "a name in its path has characters that cannot be printed"
_NO_PACKAGES = "lost+found"
"""A directory that mkfs makes, for root only."""


class Tree:
    """The directories below some roots. Safe to use from several threads."""

    def __init__(
        self,
        roots: Sequence[Path],
        *,
        exclude: Sequence[Path] = (),
        network: bool | None = None,
        racy_window: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        reports: Reports | None = None,
    ) -> None:
        """`exclude`: directories never to list. `network`: None asks the file systems of the root and of all that is
        mounted below it now: of one that is mounted later it is not known that it is on a network. `racy_window`: see
        RacyWindow.
        `reports`: where directories that cannot be read are reported; None: to reports of its own.

        A root that is named twice counts once. Whether the roots exist is found by `refresh`.
        """
        self.roots = tuple(dict.fromkeys(os.path.realpath(root) for root in roots))
        self._excluded = frozenset(os.path.realpath(path) for path in exclude)
        self._openers = tuple(
            Directories(root, network=self._is_network(root) if network is None else network) for root in self.roots
        )
        self._racy_window = racy_window
        self._clock = clock
        self._reports = reports or Reports()
        self._rules: dict[int, RacyWindow] = {}  # by device: a mount below a root may have coarser times
        self._lock = threading.Lock()
        self._directories: dict[tuple[int, str], Directory] = {}
        self._listing = NOTHING
        self._is_stale = True  # the listing lags behind the directories

    def _is_network(self, root: str) -> bool:
        """Whether a file below a root may be on a network file system."""
        below = [point for point in mounts_below(root, read_mounts()) if not self._is_excluded(point)]
        return is_network(root) or any(map(is_network, below))

    def _is_excluded(self, path: str) -> bool:
        return any(path == each or path.startswith(f"{each}/") for each in self._excluded)

    @property
    def is_local(self) -> bool:
        """Whether a validation takes microseconds."""
        return not any(opener.network for opener in self._openers)

    def refresh(self) -> Listing:
        """The listing now: the very object of the last call when nothing has changed.

        Raises StoreError when a root cannot be read.
        """
        with self._lock:
            for _ in range(_WALKS):
                self._walk()
                if not self._is_stale:
                    break
                self._listing = merge(tuple(self._directories.values()), self._listing)
                self._is_stale = False
            return self._listing

    def moved(self) -> tuple[str, ...]:
        """The relative paths of files that an import has renamed before it removes them, sorted. As `refresh`."""
        self.refresh()
        with self._lock:
            directories = tuple(self._directories.values())
        names = [(directory, name, public_name(name)) for directory in directories for name in directory.others]
        return tuple(
            sorted(
                directory.place(name)
                for directory, name, public in names
                if public is not None and guess_filename(public.removesuffix(".asc")) is not None
            )
        )

    def unprintable(self) -> tuple[str, ...]:
        """The relative paths of distributions that are not served for a character of their path, sorted. As `refresh`.

        Those in the middle of being copied are among them.
        """
        self.refresh()
        with self._lock:
            directories = tuple(self._directories.values())
        paths = [directory.place(name) for directory in directories for name in _distributions(directory.others)]
        return tuple(sorted(path for path in paths if not path.isprintable()))

    @property
    def racy_window(self) -> float:
        """Seconds after which two changes of a file no longer share a ctime, on the coarsest of the file systems."""
        return max((rule.seconds for rule in self._rules.values()), default=COARSE_RACY_SECONDS)

    def current(self) -> Listing | None:
        """The listing if it is certainly true now; None when that takes more than one open per directory.

        Never lists a directory, never waits, and raises nothing: on a local file system it may run on an event
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

    def stat(self, candidate: Candidate, listing: Listing) -> FileStat | None:
        """The file as it is now; None when it is gone, not a plain file, or a link to where nothing is served from.

        On a network file system it is opened, because only that asks the server.
        """
        try:
            if self._openers[candidate.root].network:
                file_stat, fd = self.open(candidate, listing)
                os.close(fd)
                return file_stat
            path = _real_path(candidate, listing)
            status = os.stat(path, follow_symlinks=False)
        except OSError:
            return None
        return FileStat(path, Fingerprint.of(status)) if stat.S_ISREG(status.st_mode) else None

    def open(self, candidate: Candidate, listing: Listing) -> tuple[FileStat, int]:
        """The file, and a descriptor of it, which the caller closes.

        Raises OSError; FileNotFoundError also where it is no plain file, or a link to where nothing is served from.
        """
        path = _real_path(candidate, listing)
        fd = open_regular(path)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise _not_served(path)
        except OSError:
            os.close(fd)
            raise
        return FileStat(path, Fingerprint.of(status)), fd

    def is_same(self, candidates: Sequence[Candidate], file_stats: Sequence[FileStat | None], listing: Listing) -> bool:
        """Whether `file_stat` would find all of them as it did before. This is the inner loop of every validation."""
        for candidate, before in zip(candidates, file_stats, strict=True):
            if before is None or candidate.is_link or self._openers[candidate.root].network:
                if self.stat(candidate, listing) != before:
                    return False
                continue
            try:
                status = os.lstat(candidate.path)
            except OSError:
                return False
            size, mtime_ns, inode, ctime_ns = before.fingerprint
            if (
                status.st_ctime_ns != ctime_ns
                or status.st_mtime_ns != mtime_ns
                or status.st_size != size
                or status.st_ino != inode
            ):
                return False
        return True

    # -- one directory, under the lock --------------------------------------------------------------------------------

    def _walk(self) -> None:
        """Bring every directory up to date. Sets `_is_stale` when anything in them has changed."""
        alive: dict[tuple[int, str], Directory] = {}
        stack = [(number, "", path) for number, path in reversed(tuple(enumerate(self.roots)))]
        while stack:
            number, relative, path = stack.pop()
            key = (number, path)  # one root may lie below another: each has its own relative paths
            directory = self._directories.get(key)
            if directory is None:
                directory = Directory(number, relative, path)
                self._is_stale = True
            self._visit(directory)
            alive[key] = directory
            stack += [(number, directory.place(child), f"{path}/{child}") for child in directory.children]
        if len(alive) != len(self._directories):
            self._is_stale = True
        self._directories = alive

    def _is_unchanged(self, directory: Directory) -> bool:
        opener, seen = self._openers[directory.root], directory.seen
        if seen is not None and seen.past_racy_window and opener.has(directory.path, seen.identity):
            return True
        try:
            identity = opener.identity(directory.path)
        except OSError as error:
            return directory.failure != 0 and error.errno in _UNREADABLE
        return _is_believed(directory.seen, identity)

    def _visit(self, directory: Directory) -> None:
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
                    f"The directory {printable(directory.path)} cannot be read ({error.strerror or error}); "
                    "check that it exists, is mounted, and may be read by the server."
                ) from error
            if not directory.failure:
                self._reports.left_out("directory", printable(directory.path), state_of(directory.path), error.strerror)
            if directory.failure != error.errno:
                self._is_stale = True
            directory.failure, directory.is_listed = error.errno, False
            directory.seen, directory.entries, directory.children = None, {}, ()
            directory.others = directory.traces = frozenset()

    def _list_if_changed(self, directory: Directory, fd: int, identity: Identity | None) -> None:
        if _is_believed(directory.seen, identity):
            return
        seen = self._rule(fd).see(identity, directory.seen)  # before the listing: the rule counts from its beginning
        directory.seen = seen._replace(past_racy_window=False)  # should the listing fail
        entries, others, children, is_listed = self._list(directory, fd)
        if (entries, children, is_listed) != (directory.entries, directory.children, directory.is_listed):
            directory.entries, directory.children, directory.is_listed = entries, children, is_listed
            self._is_stale = True
        if others != directory.others:
            directory.others = others
            directory.traces = frozenset(filter(None, map(guess_project, others)))
            self._is_stale = True
            self._report_unprintable(directory)
        if directory.failure:
            directory.failure, self._is_stale = 0, True
        directory.seen = seen

    def _report_unprintable(self, directory: Directory) -> None:
        names = _distributions(directory.others)
        if directory.is_printable:
            for name in names:
                if not name.isprintable():
                    path = printable(f"{directory.path}/{name}")
                    self._reports.left_out("unreadable", path, None, _UNPRINTABLE)
        elif names:
            self._reports.left_out("directory", printable(directory.path), None, _UNPRINTABLE)

    def _rule(self, fd: int) -> RacyWindow:
        device = os.fstat(fd).st_dev
        rule = self._rules.get(device)
        if rule is None:
            rule = self._rules[device] = RacyWindow(self._racy_window, self._clock)
        return rule

    def _list(
        self, directory: Directory, fd: int
    ) -> tuple[dict[str, Candidate | None], frozenset[str], tuple[str, ...], bool]:
        """The entries, the names of files that are no candidates, the children, and whether all these are served."""
        files, others, children = self._scan(directory, fd)
        if missing := directory.entries.keys() - files.keys():
            files |= _still_there(fd, missing, files)
        if directory.relative == STORE_FOLDER and _STORE_MARK in files:
            return {}, frozenset(), (), False
        if not directory.is_printable:
            return dict.fromkeys(files), frozenset(others | files.keys()), tuple(sorted(children)), False
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

    def _scan(self, directory: Directory, fd: int) -> tuple[dict[str, bool], set[str], list[str]]:
        """The files by name, and whether each is a symbolic link; the names that begin with a dot; the directories."""
        files: dict[str, bool] = {}
        hidden = set()
        children = []
        with os.scandir(fd) as found:
            for entry in found:
                name = entry.name
                if name.startswith("."):
                    hidden.add(name)
                elif entry.is_dir(follow_symlinks=False):
                    if name != _NO_PACKAGES and f"{directory.path}/{name}" not in self._excluded:
                        children.append(name)
                elif entry.is_symlink():
                    files[name] = True
                elif entry.is_file(follow_symlinks=False):
                    files[name] = False
        return files, hidden, children


def _distributions(names: Collection[str]) -> list[str]:
    """Those that are, or are to become, the names of distributions."""
    return [name for name in names if not name.startswith(".") and guess_project(name) is not None]


def _is_believed(seen: Seen | None, identity: Identity | None) -> bool:
    """Whether what was listed under `seen` is still true, now that the directory has this identity."""
    return seen is not None and seen.past_racy_window and identity is not None and seen.identity == identity


def _still_there(directory: int, missing: Collection[str], listed: Collection[str]) -> dict[str, bool]:
    """Those of the missing names that are files of a directory all the same, and whether each is a symbolic link."""
    found = {}
    by_letters = {name.casefold(): name for name in listed}
    for name in missing:
        status = _status(directory, name)
        if status is None or not (stat.S_ISLNK(status.st_mode) or stat.S_ISREG(status.st_mode)):
            continue
        other = by_letters.get(name.casefold())
        if other is None or status.st_nlink > 1 or not _is_inode(_status(directory, other), status.st_ino):
            found[name] = stat.S_ISLNK(status.st_mode)
    return found


def _is_inode(status: os.stat_result | None, inode: int) -> bool:
    return status is not None and status.st_ino == inode


def _status(directory: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return None


def _real_path(candidate: Candidate, listing: Listing) -> str:
    """Where the file lies. Raises OSError; FileNotFoundError where nothing is served from."""
    if not candidate.is_link:
        return candidate.path
    path = os.path.realpath(candidate.path, strict=True)
    folder, _, name = path.rpartition("/")
    if folder not in listing.folders or name.startswith("."):
        raise _not_served(path)
    return path


def _not_served(path: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
