"""The list of names: which records of a folder are present, known by one conditional read.

Theory of operation. A bucket's own listing has no validator, comes by the thousand, and may be late. So each folder has
a root (`quire.store.bucket.listing`), an object that is replaced by compare-and-swap, like a record is. A record and
the root cannot be swapped in one step. Only a writer that changes whether a record is present touches the root, in this
order:

1. it has read the record (the caller has: that is what its write expects);
2. it adds a fresh token of its own to the name in the root;
3. it swaps the record, from the state that it read in 1. THIS IS THE COMMIT POINT;
4. it takes the token out. If that was the last one, the name is settled: present or missing. Where the root is still
the one that 2 wrote, no other writer can have committed a change of presence since (each needs a token first), so
   the writer knows the answer; else it reads the record again, after the root that it is going to replace.

A reader trusts settled names, and reads the records of changing ones. So the list agrees with the records in
every state, also when the writer dies between two steps: its token stays, which costs readers one read more.

An old token is removed by fencing. Its writer may have died, or be stopped before step 3 and about to commit. So the
record is written again first, unchanged, under a new version: from then on the swap of that writer fails. Then the name
is settled by a swap of the root that was read before. A record that never existed gets a document that says so, as a
fence needs an object.

Several names. The list is a snapshot: the records of names that are changing are read before and after a read of the
root, and if none of them moved in between, all of them had these states at the moment of that read. Where so many names
come and go that this never happens within `SNAPSHOT_TRIES` rounds, the list is exact for each name by itself, at a
moment of its own within the read: never stale, but not one moment for all.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import msgspec
import structlog

from quire.domain.errors import Conflict, DamagedRecord, OutcomeUnknown, StoreError
from quire.domain.structs import decode_as
from quire.store.bucket.documents import Kind
from quire.store.bucket.listing import MOST_SETTLED, Root, Segment, apply, compose, split
from quire.store.bucket.objects import Bucket, Unchanged
from quire.store.bucket.swaps import PATIENCE, State, Swaps, create_once
from quire.store.contracts import NEVER_WRITTEN, Names, Record

SNAPSHOT_TRIES: Final = 8
ATTEMPTS: Final = 200
"""Swaps of a root that many writers want to change, before one of them gives up."""
_LOADS: Final = 16
"""Objects that are read at a time."""
_ROOT_PAUSE: Final = 0.005
TOO_MANY: Final = "Too many projects are created or deleted at once; try again in some seconds."

log = structlog.stdlib.get_logger("quire.store.bucket")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """The stored state from which a list of names was made."""

    state: State
    root: Root
    segments: dict[str, tuple[str, ...]]
    """The names in each segment of the root, by identity."""


class NameLists:
    """The lists of names of one bucket. May be used from any thread."""

    def __init__(self, bucket: Bucket, swaps: Swaps, read: Callable[[str, Record | None], Record]) -> None:
        """`read`: reads a record, given what is known of it."""
        self._bucket = bucket
        self._swaps = swaps
        self._read = read
        self._seen: dict[tuple[str, str, str], float] = {}
        """When this process first saw a token that is still there: folder, name, token."""
        self._unsettled: set[str] = set()
        """Folders in which this process met tokens, or may have left a token or a segment that nothing names."""
        self._lock = threading.Lock()

    # -- reading ------------------------------------------------------------------------------------------------------

    def names(self, folder: str, known: Names | None) -> Names:
        """See `contracts.Records.names`."""
        before = known.validation if known is not None and known.prefix == folder else None
        cached = before if isinstance(before, _Known) else None
        current = self._current(folder, cached)
        if current is cached and known is not None and not current.root.changing:
            return known
        current, resolved = self._complete(folder, current)
        names = compose(current.root, [current.segments[each.identity] for each in current.root.segments], resolved)
        if known is not None and cached is not None and names == known.names:
            known.validation = current  # the validator of these names
            return known
        tag = NEVER_WRITTEN if current.state.is_absent else current.state.nonce
        if resolved:
            tag += "".join(f" {name}:{is_present:d}" for name, is_present in sorted(resolved.items()))
        return Names(folder, names, tag, current)

    def _current(self, folder: str, cached: _Known | None) -> _Known:
        """The root now; the very object `cached` when it is still that."""
        found = self._swaps.read(_root_key(folder), cached.state if cached is not None else None)
        if found is None:
            assert cached is not None
            return cached
        state, document = found
        root = Root() if document is None else _decode(document.data, folder)
        if root.changing:
            self._unsettled.add(folder)
        return _Known(state, root, cached.segments if cached is not None else {})

    def _complete(self, folder: str, current: _Known) -> tuple[_Known, dict[str, bool]]:
        """The root with its segments, and whether the names that are being changed are present."""
        for _ in range(SNAPSHOT_TRIES):
            current, resolved = self._resolved(folder, current)
            try:
                return self._loaded(folder, current), resolved
            except SegmentMissing:  # the root was replaced, and a segment that it named was removed
                again = self._current(folder, current)
                if again is current:
                    break
                current = again
        raise DamagedRecord(f"A part of the list of names of {folder} is missing in the bucket; restore it.")

    def _resolved(self, folder: str, current: _Known) -> tuple[_Known, dict[str, bool]]:
        """The root, and whether the names that are being changed are present, all at one moment if that can be had."""
        records: dict[str, Record] = {}
        for _ in range(SNAPSHOT_TRIES):
            names = list(current.root.changing)
            if not names:
                return current, {}
            fresh = dict(zip(names, self._records(folder, names, records), strict=True))
            if all(records.get(name) is record for name, record in fresh.items()):
                break  # read before and after the root, and the same
            again = self._current(folder, current)
            if len(names) == 1 and again is current:
                records = fresh
                break  # the root was the same before and after: at the moment of the read between, all of this was true
            records, current = fresh, again
        else:
            names = list(current.root.changing)
            records = dict(zip(names, self._records(folder, names, {}), strict=True))
        return current, {name: records[name].data is not None for name in current.root.changing}

    def _records(self, folder: str, names: list[str], known: dict[str, Record]) -> list[Record]:
        return _at_once(lambda name: self._record(folder, name, known.get(name)), names)

    def _record(self, folder: str, name: str, known: Record | None) -> Record:
        return self._read(f"{folder}/{name}", known)

    def _loaded(self, folder: str, current: _Known) -> _Known:
        """With the names of all segments of its root. Raises SegmentMissing when it is not the root any more."""
        missing = [each.identity for each in current.root.segments if each.identity not in current.segments]
        found = _at_once(lambda identity: self._segment(folder, identity), missing)
        loaded = current.segments | dict(zip(missing, found, strict=True))
        kept = {each.identity: loaded[each.identity] for each in current.root.segments}
        return _Known(current.state, current.root, kept)

    def _segment(self, folder: str, identity: str) -> tuple[str, ...]:
        found = self._bucket.get(_segment_key(folder, identity))
        if found is None or found is Unchanged.UNCHANGED:
            raise SegmentMissing
        return tuple(found.data.decode().split("\n")) if found.data else ()

    def folders(self, parts: int) -> tuple[str, ...]:
        """The folders of so many parts that have a list, sorted."""
        return tuple(sorted(folder for folder in self.stored() if folder.count("/") == parts - 1))

    def stored(self) -> dict[str, list[str]]:
        """Every folder that has a list, and the identities of the segments that are stored for it."""
        return self._listed("names")

    def unsettled(self) -> dict[str, list[str]]:
        """The same of the folders where this process knows of something that a sweep may find, since the last call."""
        with self._lock:
            folders, self._unsettled = self._unsettled, set()
        found: dict[str, list[str]] = {}
        try:
            for folder in sorted(folders):
                found |= {folder: []} | self._listed(f"names/{folder}")
        except StoreError:
            with self._lock:
                self._unsettled |= folders
            raise
        return found

    @contextmanager
    def unsettled_on_error(self, folder: str) -> Iterator[None]:
        """Let the next sweep look at a folder again where this one fails."""
        try:
            yield
        except StoreError:
            with self._lock:
                self._unsettled.add(folder)
            raise

    def _listed(self, prefix: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for each in self._bucket.list(prefix):
            key = each.key.removeprefix("names/")
            if key.endswith(".json"):
                found.setdefault(key.removesuffix(".json"), [])
            else:
                folder, _, identity = key.rpartition("/")
                found.setdefault(folder, []).append(identity)
        return found

    # -- writing ------------------------------------------------------------------------------------------------------

    def change(self, folder: str, name: str, commit: Callable[[], T], *, is_present: bool) -> T:
        """Run the swap of a record that changes whether its name is present, and keep the list true.

        Raises what the swap raises, and StoreError when nothing was written.
        """
        token = secrets.token_hex(8)
        with_token = self._add_token(folder, name, token)
        try:
            result = commit()
        except Conflict:
            self._leave(folder, name, token, None, is_present=None)
            raise
        except BaseException:  # the token stays, and readers ask the record, until it is fenced
            self._unsettled.add(folder)
            raise
        self._leave(folder, name, token, with_token, is_present=is_present)
        return result

    def _add_token(self, folder: str, name: str, token: str) -> _Known:
        """The root with the token. Where it is not known whether a swap was made, the root tells: the token is in it,
        or is put in once more."""
        ends = time.monotonic() + PATIENCE
        is_unclear = False
        try:
            for attempt in range(ATTEMPTS):
                current = self._current(folder, None)
                if is_unclear and current.root.holds(name, token):
                    return current
                try:
                    added = self._swapped(folder, current, current.root.with_token(name, token))
                except OutcomeUnknown:
                    is_unclear = True
                    if time.monotonic() >= ends:
                        raise
                else:
                    if added is not None:
                        return added
                pause(attempt)
            raise StoreError(TOO_MANY)
        except StoreError as error:
            if not is_unclear:
                raise
            self._unsettled.add(folder)
            raise StoreError(f"Nothing was changed in {folder}/{name}: the bucket is failing; try again.") from error

    def _leave(self, folder: str, name: str, token: str, with_token: _Known | None, *, is_present: bool | None) -> None:
        """Take the token out. The change is made, or is known not to be: a failure here costs readers a read, no more.

        `with_token`: the root with the token; with it, `is_present` is what was committed.
        """
        try:
            if with_token is not None and is_present is not None:
                settled = left(with_token.root, name, token, is_present=is_present)
                if self._swapped(folder, with_token, settled) is not None:
                    return
            for attempt in range(ATTEMPTS):
                current = self._current(folder, None)
                if not current.root.holds(name, token):
                    return  # it was fenced meanwhile
                if not current.root.others(name, token):
                    is_present = self._record(folder, name, None).data is not None
                settled = left(current.root, name, token, is_present=bool(is_present))
                if self._swapped(folder, current, settled) is not None:
                    return
                pause(attempt)
        except StoreError as error:
            self._unsettled.add(folder)
            log.warning("name not settled", record=f"{folder}/{name}", error=str(error))

    def _replace(self, folder: str, change: Callable[[Root], Root]) -> _Known:
        """Swap the root for another one. Raises StoreError when too many others do the same."""
        for attempt in range(ATTEMPTS):
            current = self._current(folder, None)
            replaced = self._swapped(folder, current, change(current.root))
            if replaced is not None:
                return replaced
            pause(attempt)
        raise StoreError(TOO_MANY)

    def _swapped(self, folder: str, current: _Known, root: Root) -> _Known | None:
        """The root swapped in; None when another writer was faster.

        A segment is rewritten first where too many names ride in the root.
        """
        if len(root.settled) >= MOST_SETTLED:
            root = self._folded(folder, root)
        try:
            state = self._swaps.swap(_root_key(folder), current.state, Kind.PRESENT, msgspec.json.encode(root))
        except Conflict:
            return None
        return _Known(state, root, {})

    def _folded(self, folder: str, root: Root) -> Root:
        """The root with the segment rewritten that most of its settled names belong to."""
        number, changes = root.fullest()
        old = root.segments[number] if number >= 0 else None
        try:
            names = self._segment(folder, old.identity) if old is not None else ()
        except SegmentMissing:
            return root  # another one was faster, and the swap will fail
        try:
            written = self._written(folder, apply(names, changes), old.first if old is not None else "")
        except StoreError:
            return root  # the names ride in the root until a later change can fold them
        return root.rewritten(number, written, changes)

    def _written(self, folder: str, names: tuple[str, ...], first: str) -> tuple[Segment, ...]:
        """New segments with these names, in the place of the one that begins with `first`. Raises StoreError."""
        self._unsettled.add(folder)  # the old segment, or the new ones if the swap fails, will have no name
        written = []
        for start, piece in split(names, first):
            identity = secrets.token_hex(8)
            key, data = _segment_key(folder, identity), "\n".join(piece).encode()
            # the key is new: an object there is this one
            create_once(key, partial(self._bucket.put, key, data, None), partial(self._bucket.get, key))
            written.append(Segment(start, identity))
        return tuple(written)

    # -- healing ------------------------------------------------------------------------------------------------------

    def heal(self, folder: str, older_than: float, fence: Callable[[str], None]) -> int:
        """Remove tokens that this process has known for so many seconds; how many names were settled.

        `fence`: writes a record again unchanged. Raises StoreError.
        """
        now = time.monotonic()
        current = self._current(folder, None)
        tokens = {(folder, name, token) for name, all_ in current.root.changing.items() for token in all_}
        with self._lock:
            self._seen = {key: seen for key, seen in self._seen.items() if key[0] != folder or key in tokens} | {
                key: self._seen.get(key, now) for key in tokens
            }
            old = {name for _, name, token in tokens if now - self._seen[folder, name, token] >= older_than}
        healed = 0
        for name in sorted(old):
            healed += self._heal(folder, name, older_than, now, fence)
        return healed

    def _heal(self, folder: str, name: str, older_than: float, now: float, fence: Callable[[str], None]) -> bool:
        current = self._current(folder, None)
        tokens = current.root.changing.get(name, ())
        with self._lock:
            if not tokens or any(now - self._seen.get((folder, name, token), now) < older_than for token in tokens):
                return False  # a writer is at work: it settles the name itself, or is fenced later
        fence(f"{folder}/{name}")
        is_present = self._record(folder, name, None).data is not None
        return self._swapped(folder, current, current.root.with_settled(name, is_present=is_present)) is not None

    def collect(self, folder: str, identities: Iterable[str]) -> int:
        """Remove these segments where the root does not name them; how many were removed. For old ones only.

        A writer that has written a segment and is stopped before its swap of the root is fenced first.
        """
        loose = set(identities) - self._named(folder)
        if not loose:
            return 0
        self._replace(folder, lambda root: root)
        loose -= self._named(folder)
        for identity in loose:
            self._bucket.remove(_segment_key(folder, identity))
        return len(loose)

    def _named(self, folder: str) -> set[str]:
        return {each.identity for each in self._current(folder, None).root.segments}


class SegmentMissing(Exception):
    """A segment is not there, since its root was replaced."""


def left(root: Root, name: str, token: str, *, is_present: bool) -> Root:
    """The root after a writer took its token out."""
    if root.others(name, token):
        return root.without_token(name, token)
    return root.with_settled(name, is_present=is_present)


def _root_key(folder: str) -> str:
    return f"names/{folder}.json"


def _segment_key(folder: str, identity: str) -> str:
    return f"names/{folder}/{identity}"


def _decode(data: bytes, folder: str) -> Root:
    try:
        return decode_as(data, Root)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamagedRecord(f"The list of names of {folder} cannot be understood; restore it.") from error


def _at_once(load: Callable[[str], T], keys: list[str]) -> list[T]:
    """`load` of each key, several at a time."""
    if len(keys) < 2:
        return [load(key) for key in keys]
    with ThreadPoolExecutor(min(_LOADS, len(keys)), thread_name_prefix="names") as executor:
        return list(executor.map(load, keys))


def pause(attempt: int) -> None:
    time.sleep(_ROOT_PAUSE * min(attempt + 1, 40) * (0.5 + secrets.randbelow(1000) / 1000))
