"""Records on a POSIX file system: a directory a name, a file a revision.

Theory of operation
-------------------
`records/main/projects/foo/00000017.json` is the seventeenth document stored under `main/projects/foo`; the highest
revision is the record. A deleted record is a revision that says `null`. The directory, once there, stays for good:
NFS clients go on in a directory that was renamed or replaced.

*Writing* revision 18 over 17: the document is written and fsynced in `incoming/`, then link()ed to `00000018.json`.
THE LINK IS THE COMMIT POINT. It fails if the name exists, also between NFS clients, which makes it the
compare-and-swap without any lock. A first revision appears together with its directory, complete, by one rename.
EEXIST may answer a LINK of our own that the network repeated: then the name is our own inode.

A writer that slept between reading 17 and linking 18 may find the name 18 free although the record went on to 30:
old revisions are pruned. Its link then succeeds and means nothing. So after the link the writer lists once. Ours is
the highest: committed. It is not, and 17, the very file that was read, is still there: pruning goes upwards, so 18
was never pruned, so others built upon ours: committed. Neither: it cannot be told, and the writer says so
(OutcomeUnknown); whoever repeats the change finds it done or does it. For this to be rare, pruning leaves everything
younger than a minute by the server's clock. The highest revision is never pruned, and a reader that loses the
revision it was about to open lists again.

*Listing* names: a name is listed when it has a directory, unless a marker `foo.deleted` lies beside it. The marker
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
from collections.abc import Iterator
from typing import NamedTuple

from quire.errors import Conflict, OutcomeUnknown, StoreError, StoreReadOnly
from quire.store.contracts import Names, Record, check_record_key
from quire.store.directory import Directories, Seen, SettleRule
from quire.store.posix_errors import store_errors
from quire.store.posix_files import (
    create_durable,
    is_same_file,
    make_directories,
    remove_quietly,
    sync_directory,
    unique_name,
)

_REVISION = re.compile(r"(\d{8,})\.json")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_ABSENT = "0"
_ATTEMPTS = 8
_PATIENCE = 10.0  # seconds to wait for an instant at which no project is just being deleted or re-created
_TOMBSTONE = b"null\n"
_DELETED = ".deleted"
_CHANGING = ".changing"

KEEP_REVISIONS = 4
"""So many of the newest revisions always stay, for people and for `check --repair`."""
PRUNE_ABOVE = 12
"""Pruning starts when a record has more revisions than this: one listing pays for several."""
PRUNE_AGE = 60.0
"""Seconds. A revision younger than this, by the server's clock, stays: see the theory above."""


class _Revision(NamedTuple):
    """The `validation` of a Record read from this store."""

    number: int
    inode: int
    seen: Seen | None


class PosixRecords:
    """Fulfils `contracts.Records` below `<home>/records`. Safe to use from several threads."""

    def __init__(
        self,
        home: str,
        *,
        directories: Directories,
        settle: SettleRule,
        writable: bool,
        prune_age: float = PRUNE_AGE,
    ) -> None:
        self._top = f"{home}/records"
        self._incoming = f"{home}/incoming"
        self._directories = directories
        self._settle = settle
        self._writable = writable
        self._prune_age = prune_age
        self._home = home
        self._home_seen = os.path.isdir(home)

    # -- reading ------------------------------------------------------------------------------------------------------

    def read(self, key: str, known: Record | None = None) -> Record:
        if known is None or known.key != key:
            check_record_key(key)
            known = None
        path = f"{self._top}/{key}"
        with store_errors(f"read the record {key}"):
            for _ in range(_ATTEMPTS):
                try:
                    return self._read(path, key, known)
                except OSError as error:
                    if error.errno not in {errno.ENOENT, errno.ESTALE} or not os.path.isdir(self._directories.root):
                        raise
        raise StoreError(f"The record {key} changes faster than it can be read; repeat.")

    def _read(self, path: str, key: str, known: Record | None) -> Record:
        try:
            opened = self._directories.open(path)
        except NotADirectoryError:
            opened = None  # somebody's file, not a record
        if opened is None:
            self._check_home()
            return known if known is not None and known.tag == _ABSENT else Record(key, None, _ABSENT)
        fd, identity = opened
        try:
            before = known.validation if known is not None else None
            if isinstance(before, _Revision) and before.seen is not None:
                if before.seen.settled and before.seen.identity == identity:
                    return known  # type: ignore[return-value]  # a validation came from a known record
                seen = self._settle.see(identity, before.seen)
            else:
                seen = self._settle.see(identity, None)
            number, inode = _highest(fd)
            if known is not None and known.tag == _tag(number, inode):
                known.validation = _Revision(number, inode, seen)
                return known
            if number == 0:
                return Record(key, None, _ABSENT, _Revision(0, 0, seen))
            data = _read_file(fd, _filename(number))
            return Record(
                key,
                None if data.strip() == b"null" else data,
                _tag(number, inode),
                _Revision(number, inode, seen),
            )
        finally:
            os.close(fd)

    def _check_home(self) -> None:
        """Raise when the store as a whole is gone: a volume that is not mounted must not look like deleted projects."""
        if os.path.isdir(self._home):
            self._home_seen = True
        elif self._home_seen:
            raise OSError(errno.ENODEV, "The store is gone", self._home)

    # -- writing ------------------------------------------------------------------------------------------------------

    def write(self, key: str, data: bytes | None, expected: Record) -> Record:
        check_record_key(key)
        if expected.key != key:
            raise ValueError(f"expected is a record of {expected.key}, not of {key}")
        if not self._writable:
            raise StoreReadOnly(f"The store cannot write the record {key}: it is served read-only.")
        path = f"{self._top}/{key}"
        number = int(expected.tag.partition(".")[0]) + 1
        content = _TOMBSTONE if data is None else data
        with store_errors(f"write the record {key}"):
            if expected.tag == _ABSENT and not os.path.isdir(path):
                if data is None:
                    return expected
                return self._create(path, key, content)
            appears_or_vanishes = (data is None) != (expected.data is None)
            with self._announced(path) if appears_or_vanishes else contextlib.nullcontext():
                record = self._replace(path, key, content, number, expected)
                if appears_or_vanishes:
                    self._settle_marker(path, key)
            return record

    def _create(self, path: str, key: str, content: bytes) -> Record:
        """The first revision together with its directory, in one step."""
        staging = f"{self._incoming}/{unique_name()}"
        parent = path.rpartition("/")[0]
        make_directories(self._top.rpartition("/")[0], parent)
        os.mkdir(staging)
        document = f"{staging}/{_filename(1)}"
        try:
            create_durable(document, content)
            sync_directory(staging)
            inode = self._revisions(staging)[1]
            try:
                os.rename(staging, path)
            except OSError as error:
                # ENOENT: a repeated RENAME whose first try went through leaves nothing to rename.
                if error.errno == errno.ENOENT and self._revisions(path).get(1) == inode:
                    pass
                elif error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                    raise Conflict(f"The record {key} was made by somebody else meanwhile.") from error
                elif error.errno == errno.ENOTDIR:
                    raise StoreError(
                        f"A file that is not quire's lies where the record {key} belongs; "
                        f"the operator of the index must move it out of the store."
                    ) from error
                else:
                    raise
        except BaseException:
            remove_quietly(document)
            with contextlib.suppress(OSError):
                os.rmdir(staging)
            raise
        sync_directory(parent)
        return Record(key, content, _tag(1, inode), _Revision(1, inode, None))

    def _replace(self, path: str, key: str, content: bytes, number: int, expected: Record) -> Record:
        staging = f"{self._incoming}/{unique_name()}"
        target = f"{path}/{_filename(number)}"
        create_durable(staging, content)
        try:
            try:
                os.link(staging, target)
            except FileExistsError as error:
                if not is_same_file(staging, target):
                    raise Conflict(f"The record {key} was changed by somebody else meanwhile.") from error
            sync_directory(path)
            revisions = self._revisions(path)
            if max(revisions, default=0) != number:
                self._judge_overtaken(key, number, expected, revisions)
        finally:
            remove_quietly(staging)
        with contextlib.suppress(OSError):  # committed: what remains is tidying
            self._prune(path, revisions)
        return Record(
            key,
            None if content is _TOMBSTONE else content,
            _tag(number, revisions.get(number, 0)),
            _Revision(number, revisions.get(number, 0), None),
        )

    def _judge_overtaken(self, key: str, number: int, expected: Record, revisions: dict[int, int]) -> None:
        """Ours is linked but not the highest: return when others built upon it, else raise."""
        if expected.tag != _ABSENT and _tag(number - 1, revisions.get(number - 1, 0)) == expected.tag:
            return
        raise OutcomeUnknown(f"The record {key} went on while this change was being written; repeat the change.")

    def _prune(self, path: str, revisions: dict[int, int]) -> None:
        """Remove old revisions, the oldest first, and never one that a writer may still build upon."""
        if len(revisions) <= PRUNE_ABOVE:
            return
        numbers = sorted(revisions)
        now = os.stat(f"{path}/{_filename(numbers[-1])}").st_mtime
        for number in numbers[:-KEEP_REVISIONS]:
            file = f"{path}/{_filename(number)}"
            if now - os.stat(file).st_mtime < self._prune_age:
                return
            os.unlink(file)

    def _revisions(self, path: str) -> dict[int, int]:
        opened = self._directories.open(path)
        if opened is None:
            return {}
        try:
            return _revisions(opened[0])
        finally:
            os.close(opened[0])

    # -- names --------------------------------------------------------------------------------------------------------

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
            self._check_home()
            return known if known is not None and known.tag == _ABSENT else Names(prefix, (), _ABSENT)
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
            absent = {name for name in changing & names if self.read(f"{prefix}/{name}").data is None}
            if self._scan(path) != (names, deleted, changing):
                return None
            deleted = deleted - changing | absent
        listed = tuple(sorted(names - deleted))
        if known is not None and known.names == listed and known.tag != _ABSENT:
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
    def _announced(self, path: str) -> Iterator[None]:
        """Keep readers from believing the marker of `path` while it and the record change one after the other."""
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

    def _settle_marker(self, path: str, key: str) -> None:
        """Make the marker match the record; may be called by anybody who keeps an announcement."""
        marker = f"{path}{_DELETED}"
        record = self.read(key)
        while True:
            if record.data is None:
                with contextlib.suppress(FileExistsError):
                    os.close(os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
            else:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(marker)
            again = self.read(key, record)
            if again.tag == record.tag:
                sync_directory(path.rpartition("/")[0])
                return
            record = again

    def settle_marker(self, key: str) -> None:
        """Make the marker of a name match its record, if they do not (which no writer leaves behind). For repairs."""
        if not self._writable:
            raise StoreReadOnly(f"The store cannot tidy the record {key}: it is served read-only.")
        check_record_key(key)
        path = f"{self._top}/{key}"
        with store_errors(f"tidy the record {key}"), self._announced(path):
            self._settle_marker(path, key)

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
                        self._settle_marker(f"{path}/{name}", f"{prefix}/{name}")
                        os.unlink(announcement)
                        settled += 1
        return settled


def _tag(number: int, inode: int) -> str:
    """The inode tells a revision from another that was once stored under the same number and pruned."""
    return _ABSENT if number == 0 else f"{number}.{inode}"


def _filename(number: int) -> str:
    return f"{number:08d}.json"


def _revisions(fd: int) -> dict[int, int]:
    """Revision numbers with their inodes; every other name (dot names, foreign files) is ignored."""
    with os.scandir(fd) as entries:
        return {int(match[1]): entry.inode() for entry in entries if (match := _REVISION.fullmatch(entry.name))}


def _highest(fd: int) -> tuple[int, int]:
    return max(_revisions(fd).items(), default=(0, 0))


def _read_file(directory: int, name: str) -> bytes:
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=directory)
    with open(fd, "rb", buffering=0) as file:
        return file.readall()


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
