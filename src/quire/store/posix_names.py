"""The list of names on a POSIX file system: folders, and markers beside them for what is deleted.

Theory of operation
-------------------
A name is listed when it has a directory, unless a marker `foo.deleted` lies beside it. The marker
and the record cannot change in one step, so whoever is about to make a record present or absent first announces it:
it creates `foo.<unique>.changing` beside the directory, then commits, then makes the marker match the record, reading
the record again after every change of the marker until both agree, and only then removes its announcement. While any
announcement for foo lies there, nobody believes the marker: the record itself is asked. Hence:
- the last one to change the marker has afterwards seen the record agree with it: without an announcement it is right;
- a writer that dies leaves an announcement: the list stays right and costs one more read, until a sweep settles it;
- creating or removing either name changes the identity of the parent, so no reader misses it.
A list that had to ask records is taken again until nothing changed meanwhile, so that it is true at one instant.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import re
import time
from collections.abc import Callable, Iterator

from quire.errors import Conflict, StoreError, StoreReadOnly
from quire.store.contracts import Names, Record, check_record_key
from quire.store.directory import Directories, Seen, SettleRule
from quire.store.posix_errors import store_errors
from quire.store.posix_files import sync_directory, unique_name

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_NOTHING = "0"  # the tag of a folder that is not there
_PATIENCE = 10.0  # seconds to wait for an instant at which no project is just being deleted or re-created
_DELETED = ".deleted"
_CHANGING = ".changing"


class PosixNames:
    """Lists names below the records' top folder, and keeps their markers right for `PosixRecords`."""

    def __init__(
        self,
        top: str,
        *,
        directories: Directories,
        settle: SettleRule,
        writable: bool,
        read: Callable[[str, Record | None], Record],
        check_store: Callable[[], None],
    ) -> None:
        """`read`: the records' own. `check_store`: raises OSError when the store as a whole is gone."""
        self._top = top
        self._directories = directories
        self._settle = settle
        self._writable = writable
        self._read = read
        self._check_store = check_store

    def names(self, prefix: str, known: Names | None = None) -> Names:
        if known is None or known.prefix != prefix:
            check_record_key(prefix)
            known = None
        path = f"{self._top}/{prefix}"
        deadline = time.monotonic() + _PATIENCE
        with store_errors(f"list {prefix}"):
            while time.monotonic() < deadline:
                try:
                    names = self._names(path, prefix, known)
                except OSError as error:
                    if error.errno not in {errno.ENOENT, errno.ESTALE} or not os.path.isdir(self._directories.root):
                        raise
                    names = None
                if names is not None:
                    return names
                time.sleep(random.uniform(0, 0.01))  # noqa: S311 - lets writers finish, hides nothing
        raise StoreError(f"The names in {prefix} change faster than they can be listed; repeat.")

    def _names(self, path: str, prefix: str, known: Names | None) -> Names | None:
        """None when a change came between, so that the list would not be true at one instant."""
        opened = self._directories.open(path)
        if opened is None:
            self._check_store()
            return known if known is not None and known.tag == _NOTHING else Names(prefix, (), _NOTHING)
        fd, identity = opened
        try:
            before = known.validation if known is not None else None
            if isinstance(before, Seen) and before.settled and before.identity == identity:
                return known
            seen = self._settle.see(identity, before if isinstance(before, Seen) else None)
            names, deleted, changing = _scan_names(fd)
        finally:
            os.close(fd)
        if changing:
            seen = Seen(None, seen.first_seen, False)
            absent = {name for name in changing & names if self._read(f"{prefix}/{name}", None).data is None}
            if self._scan(path) != (names, deleted, changing):
                return None
            deleted = deleted - changing | absent
        listed = tuple(sorted(names - deleted))
        if known is not None and known.names == listed and known.tag != _NOTHING:
            known.validation = seen
            return known
        return Names(prefix, listed, unique_name(), seen)

    def _scan(self, path: str) -> tuple[set[str], set[str], set[str]] | None:
        opened = self._directories.open(path)
        if opened is None:
            return None
        try:
            return _scan_names(opened[0])
        finally:
            os.close(opened[0])

    @contextlib.contextmanager
    def announced(self, key: str) -> Iterator[None]:
        """Keep readers from believing the marker of a name while it and the record change one after the other."""
        path = f"{self._top}/{key}"
        announcement = f"{path}.{unique_name()}{_CHANGING}"
        os.close(os.open(announcement, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        parent = path.rpartition("/")[0]
        sync_directory(parent)
        settled = False
        try:
            yield
            settled = True
        except Conflict:
            settled = True  # nothing was written, so the marker is as right as it was
            raise
        finally:
            if settled:
                os.unlink(announcement)
                sync_directory(parent)

    def match_marker(self, key: str) -> None:
        """Make the marker match the record; only for who keeps an announcement meanwhile."""
        path = f"{self._top}/{key}"
        marker = f"{path}{_DELETED}"
        record = self._read(key, None)
        while True:
            if record.data is None:
                with contextlib.suppress(FileExistsError):
                    os.close(os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
            else:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(marker)
            again = self._read(key, record)
            if again.tag == record.tag:
                sync_directory(path.rpartition("/")[0])
                return
            record = again

    def settle_marker(self, key: str) -> None:
        """Make the marker of a name match its record, if they do not (which no writer leaves behind). For repairs."""
        if not self._writable:
            raise StoreReadOnly(f"The store cannot tidy the record {key}: it is served read-only.")
        check_record_key(key)
        with store_errors(f"tidy the record {key}"), self.announced(key):
            self.match_marker(key)

    def prefixes(self) -> list[str]:
        """Every folder that holds names, e.g. "main/projects"."""
        found = []
        for directory, folders, _ in os.walk(self._top):
            depth = directory.removeprefix(self._top).count("/")
            if depth == 2:
                found.append(directory.removeprefix(f"{self._top}/"))
                folders.clear()
        return sorted(found)

    def settle_announcements(self, prefix: str, older_than: float, now: float) -> int:
        """Finish what writers that died had announced. For the sweep; `now` is the server's time. Returns how many."""
        path = f"{self._top}/{prefix}"
        settled = 0
        with store_errors(f"tidy {prefix}"):
            if not os.path.isdir(path):
                return 0
            for filename in os.listdir(path):
                name, _, rest = filename.partition(".")
                announcement = f"{path}/{filename}"
                if not rest.endswith(_CHANGING.removeprefix(".")) or not _NAME.fullmatch(name):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    if now - os.stat(announcement).st_mtime >= older_than:
                        # under an announcement of its own: the other's owner may only be slow, and remove it
                        self.settle_marker(f"{prefix}/{name}")
                        os.unlink(announcement)
                        settled += 1
        return settled


def _scan_names(fd: int) -> tuple[set[str], set[str], set[str]]:
    """(names with a directory, names with a deleted marker, names with an announcement)."""
    names: set[str] = set()
    deleted: set[str] = set()
    changing: set[str] = set()
    with os.scandir(fd) as entries:
        for entry in entries:
            name, dot, rest = entry.name.partition(".")
            if not dot:
                if _NAME.fullmatch(name) and entry.is_dir(follow_symlinks=False):
                    names.add(name)
            elif f".{rest}" == _DELETED:
                deleted.add(name)
            elif rest.endswith(_CHANGING):
                changing.add(name)
    return names, deleted, changing
