"""A place of backups: its objects and manifests as blobs of a store."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from typing import Final, NamedTuple, TypeVar

from quire.domain.errors import BlobMissing, Conflict, DamagedRecord, InvalidRequest, NotFound, StoreError
from quire.operations.backup import manifest as manifests
from quire.operations.backup.manifest import Bytes, Manifest
from quire.store.contracts import Blobs, Store
from quire.store.open_blob import OpenBlob

T = TypeVar("T")
R = TypeVar("R")

UNNAMED_SECONDS: Final = 7 * 86400.0
"""So old is an object that no manifest names before it is removed: a younger one may be of a backup under way."""
AT_ONCE: Final = 8
_OBJECT: Final = re.compile(r"objects/[0-9a-f]{2}/([0-9a-f]{64})")
_MANIFEST: Final = re.compile(r"manifests/([0-9TZ]+)\.json\.gz")


class Trouble(Enum):
    """Why an object cannot be relied on."""

    MISSING = auto()
    DAMAGED = auto()
    """Its bytes were read, and have another digest."""
    UNREAD = auto()
    """The place did not give all of its bytes, which may be good: backups that name it may be whole."""


class Fault(NamedTuple):
    """An object that cannot be relied on."""

    trouble: Trouble
    why: str
    """A sentence."""


class Backups:
    """The backups in one store. May be used from several threads."""

    def __init__(self, store: Store) -> None:
        self._blobs = store.blobs
        self._store = store
        self.place = store.place

    # -- manifests ----------------------------------------------------------------------------------------------------

    def moments(self) -> list[str]:
        """The names of all complete backups, the newest last. Raises StoreError."""
        found = (_MANIFEST.fullmatch(blob.key) for blob in self._blobs.list("manifests"))
        return sorted(match[1] for match in found if match is not None and manifests.is_moment(match[1]))

    def read(self, moment: str) -> Manifest:
        """Raises NotFound, DamagedRecord, StoreError."""
        try:
            with self._blobs.open(_manifest_key(moment)) as opened:
                return manifests.decode(opened.read(), moment)
        except BlobMissing:
            raise NotFound(f"There is no backup {moment} in {self.place}.") from None

    def chosen(self, moment: str | None) -> Manifest:
        """The backup of this name, or the newest one where all are of one store.

        Raises InvalidRequest, NotFound, DamagedRecord, StoreError.
        """
        if moment is not None:
            return self.read(manifests.parse_moment(moment))
        moments = self.moments()
        if not moments:
            raise NotFound(f"There is no complete backup in {self.place}.")
        newest = {store: each for each, store in self._stores(moments).items() if store is not None}
        if len(newest) > 1:
            choice = ", ".join(f"{each} of {store}" for store, each in sorted(newest.items()))
            raise InvalidRequest(
                f"{self.place} has backups of {len(newest)} stores; say which one with --at. The newest are {choice}."
            )
        return self.read(moments[-1])

    def _stores(self, moments: list[str]) -> dict[str, str | None]:
        """By backup, the store that it is of; None where its manifest is damaged. Raises StoreError."""
        found: dict[str, str | None] = {}
        for moment in moments:
            try:
                found[moment] = self.read(moment).store
            except DamagedRecord:
                found[moment] = None
            except NotFound:  # another command removed it
                continue
        return found

    def publish(self, manifest: Manifest) -> str:
        """THE STEP by which the backup exists; the SHA-256 of its manifest. Raises Conflict, StoreError."""
        data = manifests.encode(manifest)
        self._publish(_manifest_key(manifest.moment), [data], None)
        return hashlib.sha256(data).hexdigest()

    def withdraw(self, moment: str) -> None:
        """Remove a backup; its objects stay, and may be removed once this is durable. Raises StoreError."""
        self._blobs.remove(_manifest_key(moment), durable=True)

    # -- objects ------------------------------------------------------------------------------------------------------

    def objects(self) -> dict[str, int]:
        """The size of every object that is there, by digest. Raises StoreError."""
        found = ((_OBJECT.fullmatch(blob.key), blob.size) for blob in self._blobs.list("objects"))
        return {match[1]: size for match, size in found if match is not None}

    def put(self, digest: str, pieces: Iterable[bytes]) -> bool:
        """Store an object; whether its bytes had this digest, without which nothing is stored. Raises what the pieces
        raise, and StoreError."""
        return self._publish(_object_key(digest), pieces, digest)

    def claim(self, digest: str) -> bool:
        """Make an object that no manifest may name young and durable; whether it is there. Raises StoreError."""
        self._blobs.renew(_object_key(digest))
        try:
            self._blobs.open(_object_key(digest)).close()
        except BlobMissing:
            return False
        self._blobs.confirm(_object_key(digest))
        return True

    def open(self, digest: str) -> OpenBlob:
        """Raises BlobMissing, StoreError."""
        return self._blobs.open(_object_key(digest))

    def fault(self, each: Bytes, advance: Callable[[int], object]) -> Fault | None:
        """Read an object back; what is wrong with it."""
        hasher = hashlib.sha256()
        try:
            with self.open(each.sha256) as opened:
                for piece in opened.pieces():
                    hasher.update(piece)
                    advance(len(piece))
        except BlobMissing:
            return Fault(Trouble.MISSING, "It is missing.")
        except StoreError as error:
            return Fault(Trouble.UNREAD, str(error))
        is_good = hasher.hexdigest() == each.sha256
        return None if is_good else Fault(Trouble.DAMAGED, "Its bytes have another digest.")

    def discard(self, digest: str) -> None:
        """Remove a damaged object, so that the next backup stores it again. Raises StoreError."""
        self._blobs.remove(_object_key(digest))

    def _publish(self, key: str, pieces: Iterable[bytes], digest: str | None) -> bool:
        try:
            return publish_pieces(self._blobs, key, pieces, digest)
        except Conflict:
            if digest is None:
                raise StoreError(f"There is another {key} in {self.place}; repeat the command.") from None
        self._blobs.confirm(key)  # it is of another command, which may not have made it durable yet
        return True

    # -- removing -----------------------------------------------------------------------------------------------------

    def keep(self, number: int, store: str, *, unnamed_seconds: float = UNNAMED_SECONDS) -> list[str]:
        """Remove all but the newest backups of a store, and objects that no backup names; the names of those that were
        removed. Backups of other stores in this place stay; and where there are such, those whose store is not known.

        Raises DamagedRecord for a backup that stays and whose objects cannot be known, StoreError.
        """
        moments = self.moments()
        stores = self._stores(moments)
        mine = {store} if {*stores.values()} - {store, None} else {store, None}
        removed = [moment for moment, of in stores.items() if of in mine][:-number]
        if removed:
            self._named_by(
                [each for each in moments if each not in removed]
            )  # nothing is removed when one of those that stay cannot be read
        for moment in removed:
            self.withdraw(moment)
        named = self._named_by(self.moments())  # after the removal: a backup that relies on a removed one notices that
        for digest in self.objects().keys() - named:
            self._blobs.remove_old(_object_key(digest), unnamed_seconds)
        return removed

    def _named_by(self, moments: list[str]) -> set[str]:
        """The objects of these backups. Raises DamagedRecord, StoreError."""
        named: set[str] = set()
        for moment in moments:
            try:
                named |= self.read(moment).objects().keys()
            except DamagedRecord as error:
                raise DamagedRecord(f"{error} Older backups, and what only they use, stay until it is gone.") from None
            except NotFound:  # another command removed it
                continue
        return named

    def sweep(self, older_than: float) -> None:
        """Remove what interrupted backups have staged, so many seconds ago. Raises StoreError."""
        self._store.sweep(older_than, thorough=True)


def each_of(items: Iterable[T], work: Callable[[T], R]) -> list[R]:
    """The results of the work on all items, in their order; several at once. The first error ends it."""
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="backup") as pool:
        try:
            return list(pool.map(work, items))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def publish_pieces(blobs: Blobs, key: str, pieces: Iterable[bytes], digest: str | None) -> bool:
    """Publish a blob; whether its bytes had this SHA-256, without which it is not. Raises what the pieces raise,
    Conflict, StoreError."""
    staging = blobs.stage(key)
    staged = None
    try:
        for piece in pieces:
            staging.write(piece)
        staged = staging.finish()  # durable before it has its key: else a power cut leaves a part under it
        if digest not in {None, staged.digests.sha256}:
            return False
        blobs.publish(staged)
    finally:
        (staged or staging).discard()
    return True


def _object_key(digest: str) -> str:
    return f"objects/{digest[:2]}/{digest}"


def _manifest_key(moment: str) -> str:
    return f"manifests/{moment}.json.gz"
