"""Records on a POSIX file system: a directory a name, a file a revision.

Theory of operation
-------------------
`records/main/projects/foo/00000017.json` is the seventeenth document stored under `main/projects/foo`; the highest
revision is the record. A deleted record is a revision that says `null`, and on further lines the note of the
deletion. The directory, once there, stays for good: NFS clients go on in a directory that was renamed or replaced.
Only `erase` takes it away, from names that do not return.

*Writing* revision 18 over 17: the document is written and fsynced in `incoming/`, then link()ed to `00000018.json`.
(The document may be written long before, see `draft`: file systems with a journal then write it in the same commit as
other files, and its own fsync returns at once.)
THE LINK IS THE COMMIT POINT. It fails if the name exists, also between NFS clients, which makes it the
compare-and-swap without any lock. A first revision appears together with its directory, complete, by one rename.
EEXIST may answer a LINK of our own that the network repeated: then the name is our own inode.

A writer that was stopped between reading 17 and linking 18 may find the name 18 free although the record went on to 30:
old revisions are pruned. Its link then succeeds and means nothing. So after the link the writer lists once. Ours is
the highest: committed. It is not, and 17, the very file that was read, is still there: pruning goes upwards, so 18
was never pruned, and later revisions are based on ours: committed. Neither: the outcome is not known, and the writer
raises OutcomeUnknown; a repetition finds the change done or does it. For this to be rare, pruning leaves everything
younger than a minute by the server's clock. The highest revision is never pruned, and a reader that loses the
revision it was about to open lists again.

A first revision that can be made again (`durable=False`) is written without any fsync where the file system is this
machine's own: the rename is as atomic for every process, and only a loss of power, which ends all of them, may take the
record away, or leave it empty or with damaged bytes. The record's second revision makes it durable: `_replace` syncs
its folder and the one above. Over a network there is nothing to win, since closing a file sends its bytes.

A reader may see a revision between its link and its fsync. If the power fails just then, the revision is lost: it was
not acknowledged. A writer that finds its change already made syncs before it acknowledges it (`confirm`).

Listing names is a matter of its own: see `names`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
from typing import NamedTuple

from quire.domain.errors import Conflict, OutcomeUnknown, StoreError, StoreReadOnly
from quire.store.contracts import NEVER_WRITTEN, Draft, Names, Record, check_record_key
from quire.store.posix.changes import Changes
from quire.store.posix.directory import Directories, Identity, RacyWindow, Seen
from quire.store.posix.errors import after_commit, if_there, is_vanishing, store_errors
from quire.store.posix.files import (
    DurableDirectories,
    PendingFile,
    create,
    create_durable,
    is_same_file,
    remove_quietly,
    sync_directory,
    unique_name,
)
from quire.store.posix.names import PosixNames

_REVISION = re.compile(r"([0-9]{8}|[1-9][0-9]{8,17})\.json")  # as `_filename` writes them
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_ATTEMPTS = 8
_PIECE = 1024 * 1024
_PATIENCE = 10.0  # seconds to wait for an instant at which no project is just being deleted or re-created
_TOMBSTONE = b"null\n"
_DELETED = ".deleted"
_CHANGING = ".changing"
_PRIVATE = "access"
"""The folder of the store-wide records. They hold secrets: other users of the machine get no right on it, nor on what
is written below it. Its group keeps its rights, since containers may share a volume by their group."""
_OTHERS = 0o007

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


class _Absence(NamedTuple):
    """The `validation` of a Record that was never written."""

    folder: str
    """The nearest directory above that exists: the record, or a directory on the way to it, is a new name there."""
    seen: Seen


class _Draft(Draft):
    """A document with the file in `incoming/` that holds it."""

    file: PendingFile

    def discard(self) -> None:
        self.file.discard()


class PosixRecords:
    """Fulfils `contracts.Records` below `<home>/records`. Safe to use from several threads."""

    def __init__(
        self,
        home: str,
        *,
        directories: Directories,
        racy_window: RacyWindow,
        writable: bool,
        durable: DurableDirectories,
        changes: Changes | None = None,
        prune_age: float = PRUNE_AGE,
    ) -> None:
        self._top = f"{home}/records"
        self._incoming = f"{home}/incoming"
        self._directories = directories
        self._racy_window = racy_window
        self._writable = writable
        self._durable = durable
        self._changes = changes or Changes()
        self._prune_age = prune_age
        self._home = home
        self._home_seen = os.path.isdir(home)
        self._is_private = False
        self.listing = PosixNames(
            self._top,
            directories=directories,
            racy_window=racy_window,
            writable=writable,
            changes=self._changes,
            read=self.read,
            check_store=self._check_home,
        )

    # -- reading ------------------------------------------------------------------------------------------------------

    def read(self, key: str, known: Record | None = None) -> Record:
        path = f"{self._top}/{key}"
        if known is not None and known.key == key:
            if self.unchanged(known):
                return known
        else:
            check_record_key(key)
            known = None
        with store_errors(f"read the record {key}"):
            for _ in range(_ATTEMPTS):
                try:
                    return self._read(path, key, known)
                except OSError as error:
                    if not is_vanishing(error, self._directories.root):
                        raise
        raise StoreError(f"The record {key} changes faster than it can be read; repeat.")

    def erase(self, key: str) -> None:
        """See `contracts.Records`. In one step, by a rename into `incoming/`, where the sweep finds what a death
        leaves; markers beside it say nothing without it, and go afterwards. Not durable: it is erased again then."""
        check_record_key(key)
        self._check_writable(key)
        path, doomed = f"{self._top}/{key}", f"{self._incoming}/{unique_name()}"
        parent, _, name = path.rpartition("/")
        with store_errors(f"erase the record {key}"):
            with if_there():
                os.rename(path, doomed)
                shutil.rmtree(doomed)
            with if_there():
                for entry in os.listdir(parent):
                    if entry.startswith(f"{name}.") and entry.endswith((_DELETED, _CHANGING)):
                        remove_quietly(f"{parent}/{entry}")
            self._changes.publish_change(parent)

    def unchanged(self, known: Record) -> bool:
        before = known.validation
        if isinstance(before, _Absence):
            return before.seen.past_racy_window and self._directories.has(before.folder, before.seen.identity)
        seen = before.seen if isinstance(before, _Revision) else None
        return (
            seen is not None
            and seen.past_racy_window
            and self._directories.has(f"{self._top}/{known.key}", seen.identity)
        )

    def _read(self, path: str, key: str, known: Record | None) -> Record:
        was_absent = known is not None and known.tag == NEVER_WRITTEN
        absence = self._absence(path, known) if was_absent else None  # before the record is looked for
        try:
            opened = self._directories.open(path)
        except NotADirectoryError:
            opened = None  # another file, not a record
        if opened is None:
            self._check_home()
            if known is None or not was_absent:
                return Record(key, None, NEVER_WRITTEN)
            known.validation = absence
            return known
        fd, identity = opened
        try:
            before = known.validation if known is not None else None
            if isinstance(before, _Revision) and before.seen is not None:
                if before.seen.past_racy_window and before.seen.identity == identity:
                    return known  # type: ignore[return-value]  # a validation came from a known record
                seen = self._racy_window.see(identity, before.seen)
            else:
                seen = self._racy_window.see(identity, None)
            number, inode = _highest(fd)
            if known is not None and known.tag == _tag(number, inode):
                known.validation = _Revision(number, inode, seen)
                return known
            if number == 0:
                return Record(key, None, NEVER_WRITTEN, _Revision(0, 0, seen))
            data = _read_file(fd, _filename(number))
            content, note = split_tombstone(data)
            return Record(key, content, _tag(number, inode), _Revision(number, inode, seen), note)
        finally:
            os.close(fd)

    def _absence(self, path: str, known: Record | None) -> _Absence | None:
        """How a record that is not there is recognised as absent later, by one system call; None over a network."""
        before = known.validation if known is not None else None
        if self._directories.network:
            return None
        folder = path
        while folder != self._home:
            folder = folder.rpartition("/")[0]
            try:
                status = os.lstat(folder)
            except (FileNotFoundError, NotADirectoryError):
                continue
            identity = Identity(status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
            known_as = before.seen if isinstance(before, _Absence) and before.folder == folder else None
            return _Absence(folder, self._racy_window.see(identity, known_as))
        return None

    def _check_home(self) -> None:
        """Raise when the whole store is gone: a volume that is not mounted must not be taken for deleted projects."""
        if os.path.isdir(self._home):
            self._home_seen = True
        elif self._home_seen:
            raise OSError(errno.ENODEV, "The store is gone", self._home)

    # -- writing ------------------------------------------------------------------------------------------------------

    def write(
        self, key: str, data: bytes | None, expected: Record, note: bytes | None = None, *, durable: bool = True
    ) -> Record:
        check_record_key(key)
        if expected.key != key:
            raise ValueError(f"expected is a record of {expected.key}, not of {key}")
        self._check_writable(key)
        path = f"{self._top}/{key}"
        number = int(expected.tag.partition(".")[0]) + 1
        file = data.file if isinstance(data, _Draft) else None
        content = _TOMBSTONE + (note or b"") if data is None else bytes(data)
        with store_errors(f"write the record {key}"):
            if not self._is_private and key.startswith(f"{_PRIVATE}/"):
                self._make_private()
            if expected.tag == NEVER_WRITTEN and not os.path.isdir(path):
                if data is not None:
                    return self._create(path, key, content, durable=durable or self._directories.network)
                if note is None:
                    return expected
                self._durable.ensure(path.rpartition("/")[0])
                with self.listing.intent(key):
                    record = self._create(path, key, content)
                    with after_commit(f"The record {key}"):
                        self.listing.match_marker(key)
                return record
            appears_or_vanishes = (data is None) != (expected.data is None)
            if not appears_or_vanishes:
                return self._replace(key, content, number, expected, file)
            with self.listing.intent(key):
                record = self._replace(key, content, number, expected, file)
                with after_commit(f"The record {key}"):
                    self.listing.match_marker(key)
            return record

    def draft(self, key: str, data: bytes) -> Draft:
        check_record_key(key)
        self._check_writable(key)
        draft = _Draft(data)
        with store_errors(f"write the record {key}"):
            draft.file = self._pending(key, data, begin=True)
        return draft

    def confirm(self, record: Record) -> None:
        if not self._writable or record.tag == NEVER_WRITTEN:
            return
        path = f"{self._top}/{record.key}"
        with after_commit(f"The record {record.key}"):
            sync_directory(path)
            self._durable.ensure(path)
            self._changes.publish_change(path, path.rpartition("/")[0])

    def _create(self, path: str, key: str, content: bytes, *, durable: bool = True) -> Record:
        """The first revision together with its directory, in one step."""
        staging = f"{self._incoming}/{unique_name()}"
        parent = path.rpartition("/")[0]
        self._durable.ensure(parent)
        os.mkdir(staging, mode_of(key, 0o777))
        document = f"{staging}/{_filename(1)}"
        try:
            if durable:
                create_durable(document, content, mode_of(key, 0o666))
                sync_directory(staging)
            else:
                create(document, content, mode_of(key, 0o666))
            inode = self._revisions(staging).get(1)
            if inode is None:
                raise StoreError(f"The record {key} was swept away while it was being written; repeat the change.")
            try:
                os.rename(staging, path)
            except OSError as error:
                # ENOENT: a repeated RENAME whose first try went through leaves nothing to rename.
                if error.errno == errno.ENOENT and self._revisions(path).get(1) == inode:
                    pass
                elif error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                    raise Conflict(f"The record {key} was made by another writer meanwhile.") from error
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
        with after_commit(f"The record {key}"):
            if durable:
                sync_directory(parent)
            self._changes.publish_change(parent)
        data, note = split_tombstone(content)
        return Record(key, data, _tag(1, inode), _Revision(1, inode, None), note)

    def _check_writable(self, key: str) -> None:
        if not self._writable:
            raise StoreReadOnly(f"The store cannot write the record {key}: it is served read-only.")

    def _make_private(self) -> None:
        """Take the rights of others on the private folder, which an older version may have given, once a process."""
        folder = f"{self._top}/{_PRIVATE}"
        self._durable.ensure(folder)
        mode = stat.S_IMODE(os.stat(folder).st_mode)
        if mode & _OTHERS:
            with contextlib.suppress(OSError):  # it is another user's, who alone may do it: what is new is private
                os.chmod(folder, mode & ~_OTHERS)
        self._is_private = True

    def _pending(self, key: str, content: bytes, *, begin: bool = False) -> PendingFile:
        """A document in `incoming/`, on its way to the disk if `begin`. Raises OSError; then it is not there."""
        file = PendingFile(f"{self._incoming}/{unique_name()}", mode=mode_of(key, 0o666))
        try:
            file.write(content)
            if begin:
                file.begin_writing()
        except BaseException:
            file.discard()
            raise
        return file

    def _replace(self, key: str, content: bytes, number: int, expected: Record, drafted: PendingFile | None) -> Record:
        path = f"{self._top}/{key}"
        file = drafted or self._pending(key, content)
        target = f"{path}/{_filename(number)}"
        try:
            file.make_durable()
            self._changes.await_tick()
            try:
                os.link(file.path, target)
            except FileExistsError as error:
                if not is_same_file(file.path, target):
                    raise Conflict(f"The record {key} was changed by another writer meanwhile.") from error
            with after_commit(f"The record {key}"):
                sync_directory(path)
                self._durable.ensure(path)
                self._changes.publish_change(path)
                revisions = self._revisions(path)
            if max(revisions, default=0) != number:
                self._judge_overtaken(key, number, expected, revisions)
        finally:
            file.discard()
        with contextlib.suppress(OSError):  # the write is committed: pruning may fail
            self._prune(path, revisions)
        data, note = split_tombstone(content)
        inode = revisions.get(number, 0)
        return Record(key, data, _tag(number, inode), _Revision(number, inode, None), note)

    def _judge_overtaken(self, key: str, number: int, expected: Record, revisions: dict[int, int]) -> None:
        """Ours is linked but not the highest: return when others built upon it, else raise."""
        if expected.tag != NEVER_WRITTEN and _tag(number - 1, revisions.get(number - 1, 0)) == expected.tag:
            return
        raise OutcomeUnknown(f"Other writers changed the record {key} while this change was being written; repeat it.")

    def _prune(self, path: str, revisions: dict[int, int]) -> None:
        """Remove old revisions, the oldest first, and never one that a writer may still build upon."""
        if len(revisions) <= PRUNE_ABOVE:
            return
        numbers = sorted(revisions)
        now = os.stat(f"{path}/{_filename(numbers[-1])}").st_ctime
        for number in numbers[:-KEEP_REVISIONS]:
            file = f"{path}/{_filename(number)}"
            if now - os.stat(file).st_ctime < self._prune_age:
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
        return self.listing.names(prefix, known)

    def written(self, prefix: str) -> tuple[str, ...]:
        return self.listing.written(prefix)

    def perhaps_changed(self, prefix: str, since: float) -> None:
        check_record_key(prefix)

    def prefixes(self) -> tuple[str, ...]:
        return self.listing.prefixes()

    def names_unchanged(self, known: Names) -> bool:
        with store_errors(f"list {known.prefix}"):
            return self.listing.unchanged(known)


def split_tombstone(content: bytes) -> tuple[bytes | None, bytes | None]:
    """The document of a revision, or (None, the note) of one that says that the record is deleted."""
    if not content.startswith(b"null"):
        return content, None
    first, _, rest = content.partition(b"\n")
    return (None, rest.strip() or None) if first.strip() == b"null" else (content, None)


def _tag(number: int, inode: int) -> str:
    """The inode distinguishes a revision from a pruned one of the same number."""
    return NEVER_WRITTEN if number == 0 else f"{number}.{inode}"


def mode_of(key: str, mode: int) -> int:
    """The mode, before the umask, of a new file or folder of a record."""
    return mode & ~_OTHERS if key.startswith(f"{_PRIVATE}/") else mode


def _filename(number: int) -> str:
    return f"{number:08d}.json"


def _revisions(fd: int) -> dict[int, int]:
    """Revision numbers with their inodes; every other name (dot names, foreign files) is ignored."""
    with os.scandir(fd) as entries:
        return {int(match[1]): entry.inode() for entry in entries if (match := _REVISION.fullmatch(entry.name))}


def _highest(fd: int) -> tuple[int, int]:
    return max(_revisions(fd).items(), default=(0, 0))


def _read_file(directory: int, name: str) -> bytes:
    # O_NONBLOCK: a pipe of that name, which no quire made, must not be waited for
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    try:
        size = os.fstat(fd).st_size
        data = os.read(fd, size + 1)
        if len(data) != size:  # no revision of ours grows, but a read may be short
            while piece := os.read(fd, _PIECE):
                data += piece
        return data
    finally:
        os.close(fd)
