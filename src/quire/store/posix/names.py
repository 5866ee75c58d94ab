"""The list of names on a POSIX file system: folders, and markers beside them for what is deleted.

Theory of operation
-------------------
A name is listed when it has a directory, unless a marker `foo.deleted` lies beside it. The marker
and the record cannot change in one step, so a writer that makes a record present or absent first writes its intent:
it creates `foo.<unique>.changing` beside the directory, then commits, then makes the marker match the record, reading
the record again after every change of the marker until both agree, and only then removes its intent marker. While any
intent marker for foo exists, readers ignore the marker and read the record itself. Hence:
- the last one to change the marker has afterwards seen the record agree with it: without an intent marker it is right;
- a writer that dies leaves an intent marker: the list stays right and costs one more read, until a sweep settles it;
- creating or removing either name changes the identity of the parent, so no reader misses it.

A folder of thousands of names is listed by several system calls, between which it changes. If intent markers were read
after markers, a deletion could slip through: no marker yet when its place was passed, no intent marker any more when
that place came. So the folder is listed twice, and the intent markers of both lists count: one that the first list
missed was removed before it ended, so the second finds its marker; or it was made after the first began, and then the
change belongs to the future of this answer. For each name the list is thus linearizable. To be true of all names at
one instant it is listed again until two lists in a row are equal, a few times at the most: while projects are created
faster than their folder can be listed, an answer may show a younger project and not yet a slightly older one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from quire.domain.errors import StoreError, StoreReadOnly
from quire.store.contracts import Names, Record, check_record_key
from quire.store.posix.changes import Changes
from quire.store.posix.directory import Directories, Identity, RacyWindow, Seen
from quire.store.posix.errors import after_commit, if_there, is_vanishing, store_errors
from quire.store.posix.files import sync_directory, unique_name, unless_gone

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_NOTHING = "0"  # the tag of a folder that is not there
_ATTEMPTS = 8
_QUIET_ATTEMPTS = 3  # how often to list again for two equal lists in a row, before taking what there is
_DELETED = ".deleted"
_CHANGING = ".changing"


class _Scan(NamedTuple):
    """One listing of a folder."""

    names: set[str]
    """That have a directory."""
    deleted: set[str]
    """That have a marker."""
    changing: set[str]
    """That have an intent marker."""


class _Validation(NamedTuple):
    """The `validation` of Names: what they were concluded from."""

    seen: Seen
    undecided: tuple[Record, ...]
    """The records that were read because of their intent markers."""


class PosixNames:
    """Lists names below the records' top folder, and keeps their markers right for `PosixRecords`."""

    def __init__(
        self,
        top: str,
        *,
        directories: Directories,
        racy_window: RacyWindow,
        writable: bool,
        changes: Changes | None = None,
        read: Callable[[str, Record | None], Record],
        check_store: Callable[[], None],
    ) -> None:
        """`read`: the records' own. `check_store`: raises OSError when the store as a whole is gone."""
        self._top = top
        self._directories = directories
        self._racy_window = racy_window
        self._writable = writable
        self._changes = changes or Changes()
        self._read = read
        self._check_store = check_store

    def names(self, prefix: str, known: Names | None = None) -> Names:
        """See `contracts.Records.names`."""
        if known is None or known.prefix != prefix:
            check_record_key(prefix)
            known = None
        path = f"{self._top}/{prefix}"
        if known is not None and isinstance(before := known.validation, _Validation):
            identity = before.seen.identity
            if self._directories.has(path, identity) and self._holds(before, identity):
                return known
        with store_errors(f"list {prefix}"):
            for _ in range(_ATTEMPTS):
                try:
                    return self._names(path, prefix, known)
                except OSError as error:
                    if not is_vanishing(error, self._directories.root):
                        raise
        raise StoreError(f"The folder {prefix} changes faster than it can be listed; repeat.")

    def written(self, prefix: str) -> tuple[str, ...]:
        """See `contracts.Records.written`."""
        check_record_key(prefix)
        with store_errors(f"list {prefix}"):
            opened = self._directories.open(f"{self._top}/{prefix}")
            if opened is None:
                self._check_store()
                return ()
            try:
                return tuple(sorted(_scan(opened[0]).names))
            finally:
                os.close(opened[0])

    def unchanged(self, known: Names) -> bool:
        """See `contracts.Records.names_unchanged`."""
        path, before = f"{self._top}/{known.prefix}", known.validation
        if known.tag == _NOTHING:
            return self._is_absent(path)
        if not isinstance(before, _Validation):
            return False
        identity = before.seen.identity
        if not self._directories.has(path, identity):
            identity = self._directories.identity(path)
        return identity is not None and self._holds(before, identity)

    def _is_absent(self, path: str) -> bool:
        opened = self._directories.open(path)
        if opened is None:
            self._check_store()
            return True
        os.close(opened[0])
        return False

    def _names(self, path: str, prefix: str, known: Names | None) -> Names:
        before = known.validation if known is not None else None
        opened = self._directories.open(path)
        if opened is None:
            self._check_store()
            return known if known is not None and known.tag == _NOTHING else Names(prefix, (), _NOTHING)
        fd, identity = opened
        try:
            if known is not None and isinstance(before, _Validation) and self._holds(before, identity):
                return known
            seen = self._racy_window.see(identity, before.seen if isinstance(before, _Validation) else None)
            first = _scan(fd)
        finally:
            os.close(fd)
        second = self._scan(path)
        for _ in range(_QUIET_ATTEMPTS):
            if first == second:
                break
            first, second = second, self._scan(path)
        undecided = {
            name: self._read(f"{prefix}/{name}", None) for name in (first.changing | second.changing) & second.names
        }
        deleted = second.deleted - undecided.keys()
        deleted |= {name for name, record in undecided.items() if record.data is None}
        listed = tuple(sorted(second.names - deleted))
        validation = _Validation(seen, tuple(undecided.values()))
        if known is not None and known.names == listed and known.tag != _NOTHING:
            known.validation = validation
            return known
        return Names(prefix, listed, unique_name(), validation)

    def _holds(self, validation: _Validation, identity: Identity | None) -> bool:
        """Whether nothing changed: neither the folder nor a record that was asked in place of a marker."""
        return (
            validation.seen.past_racy_window
            and validation.seen.identity == identity
            and all(self._read(record.key, record) is record for record in validation.undecided)
        )

    def _scan(self, path: str) -> _Scan:
        opened = self._directories.open(path)
        if opened is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        try:
            return _scan(opened[0])
        finally:
            os.close(opened[0])

    @contextlib.contextmanager
    def intent(self, key: str) -> Iterator[None]:
        """Keep readers from believing the marker of a name while it and the record change one after the other."""
        intent = self._write_intent(key)
        try:
            yield
        except Exception:
            # Only a crash may leave an intent marker behind. The result of the write is read from the record.
            with contextlib.suppress(OSError, StoreError):
                self.match_marker(key)
                self._remove_intent(intent)
            raise
        with after_commit(f"The record {key}"):
            while not self._remove_intent(intent):
                # It was swept: this writer was stopped for long, and its last change of the marker may have been late.
                intent = self._write_intent(key)
                self.match_marker(key)

    def _write_intent(self, key: str) -> str:
        intent = f"{self._top}/{key}.{unique_name()}{_CHANGING}"
        os.close(os.open(intent, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        sync_directory(intent.rpartition("/")[0])
        self._changes.publish_change(intent.rpartition("/")[0])
        return intent

    def _remove_intent(self, intent: str) -> bool:
        """False when it was removed already."""
        try:
            os.unlink(intent)
        except FileNotFoundError:
            return False
        sync_directory(intent.rpartition("/")[0])
        return True

    def match_marker(self, key: str) -> None:
        """Make the marker match the record. The caller holds an intent marker meanwhile."""
        path = f"{self._top}/{key}"
        marker = f"{path}{_DELETED}"
        record = self._read(key, None)
        while True:
            if record.data is None:
                with contextlib.suppress(FileExistsError):
                    os.close(os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
            else:
                with if_there():
                    os.unlink(marker)
            again = self._read(key, record)
            if again.tag == record.tag:
                sync_directory(path.rpartition("/")[0])
                return
            record = again

    def repair_marker(self, key: str) -> None:
        """Make the marker of a name match its record, if they do not (which no writer leaves behind). For repairs."""
        if not self._writable:
            raise StoreReadOnly(f"The store cannot tidy the record {key}: it is served read-only.")
        check_record_key(key)
        with store_errors(f"tidy the record {key}"), self.intent(key):
            self.match_marker(key)

    def prefixes(self) -> tuple[str, ...]:
        """See `contracts.Records`."""
        found = []
        with store_errors("list its indexes"):
            for directory, folders, _ in os.walk(self._top, onerror=unless_gone):
                depth = directory.removeprefix(self._top).count("/")
                if depth == 2:
                    found.append(directory.removeprefix(f"{self._top}/"))
                    folders.clear()
        return tuple(sorted(prefix for prefix in found if all(map(_NAME.fullmatch, prefix.split("/")))))

    def resolve_intents(self, prefix: str, older_than: float, now: float) -> int:
        """Finish the intents of writers that died. For the sweep; `now` is the server's time. Returns how many."""
        path = f"{self._top}/{prefix}"
        resolved = 0
        with store_errors(f"tidy {prefix}"):
            if not os.path.isdir(path):
                return 0
            for filename in os.listdir(path):
                name, _, rest = filename.partition(".")
                intent = f"{path}/{filename}"
                if not rest.endswith(_CHANGING.removeprefix(".")) or not _NAME.fullmatch(name):
                    continue
                with if_there():
                    if now - os.stat(intent).st_mtime >= older_than:
                        # under an intent marker of its own: the other's owner may only be slow, and remove it
                        self.repair_marker(f"{prefix}/{name}")
                        with if_there():
                            os.unlink(intent)
                        resolved += 1
        return resolved


def _scan(fd: int) -> _Scan:
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
    return _Scan(names, deleted, changing)
