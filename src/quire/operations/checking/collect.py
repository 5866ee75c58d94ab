"""Removing blobs that no record lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from quire.access.records import AccessRecords
from quire.domain.advisory_sources import is_advisories
from quire.domain.errors import DamagedRecord
from quire.domain.project import File
from quire.domain.reserved import MIRROR
from quire.domain.trash import is_trash
from quire.index.audit.archive import expire
from quire.index.audit.entries import as_logged
from quire.index.index import Index
from quire.index.promoting import Promoter
from quire.operations.advisories import unnamed_advisories
from quire.operations.checking.references import named_blobs, project_of
from quire.operations.expiring import Expiry
from quire.store.contracts import Store, StoredBlob
from quire.upstream.renderings import unused

GRACE = 3600.0
"""Seconds that unlisted bytes are given to become listed."""


@dataclass(slots=True)
class Collected:
    """The result: files and blobs that were removed, or would be."""

    blobs: list[StoredBlob] = field(default_factory=list)
    expired: list[tuple[str, File]] = field(default_factory=list)
    """Files whose time in the trash is over, with their projects."""
    entries: int = 0
    """Archived entries of the audit log."""
    swept: int = 0
    """Remnants of uploads, changes and removals that ended without tidying up."""
    young: int = 0
    """Unlisted blobs that were left because they may be about to be listed, or are just being downloaded."""
    skipped: list[str] = field(default_factory=list)
    """Projects whose record cannot be understood, so that nothing of theirs was removed."""
    damaged: list[str] = field(default_factory=list)
    """Sentences about other records that cannot be understood; what takes them was left as it is."""

    @property
    def bytes(self) -> int:
        return sum(blob.size for blob in self.blobs) + sum(file.size for _, file in self.expired)


@contextmanager
def noting_damage(damaged: list[str]) -> Iterator[None]:
    """A step that ends where a record cannot be understood, which is noted; the steps after it go on."""
    try:
        yield
    except DamagedRecord as error:
        damaged.append(str(error))


def collect_garbage(
    store: Store,
    indexes: Callable[[], Sequence[Index]],
    *,
    older_than: float = GRACE,
    log_older_than: float | None = None,
    dry_run: bool = False,
) -> Collected:
    """Remove files whose time in the trash is over, blobs that no record lists and that are older than `older_than`
    seconds, also pages of upstreams, and the staged bytes of processes that died; finish or abort the promotions of
    such processes.

    `log_older_than`: archived entries of the audit log that are older go as well; None: none of them.
    `indexes`: all indexes of the store; asked once more after the blobs were listed, and before each removal. See the
    package's theory of operation for why this takes nothing from a publication under way. A journal that cannot be
    read leaves its promotions as they are, whose files are named by the records of their projects. Raises StoreError.
    """
    log_before = None if log_older_than is None else _as_logged(log_older_than)  # first: it must not fail half-way
    collected = Collected()
    _recover(indexes(), collected, dry_run=dry_run)
    by_project, of_advisories = _blobs_of(store)
    all_indexes = indexes()
    for project, blobs in sorted(by_project.items()):
        try:
            named = named_blobs(all_indexes, project)
            for blob in blobs:
                if blob.key in named:
                    continue
                # Deleted since the indexes were listed, it may be in a trash that is new: an index has none before its
                # first deletion. So all of them are asked right before an old blob goes.
                if blob.age < older_than or blob.key not in named_blobs(indexes(), project):
                    _collect(store, blob, collected, older_than, dry_run=dry_run)
        except DamagedRecord:
            collected.skipped.append(project)
    with suppress(DamagedRecord):  # until it is restored, the record of the sources may name any of them
        for blob in unnamed_advisories(AccessRecords(store), of_advisories):
            _collect(store, blob, collected, older_than, dry_run=dry_run)
    for blob in unused(store.blobs.list(MIRROR), store.records):
        _collect(store, blob, collected, older_than, dry_run=dry_run)
    if log_before is not None:
        _expire_log(store, all_indexes, log_before, collected, dry_run=dry_run)
    if not dry_run:
        with noting_damage(collected.damaged):
            collected.swept = store.sweep(older_than, thorough=True)
    return collected


def _recover(indexes: Sequence[Index], collected: Collected, *, dry_run: bool) -> None:
    """Finish or abort the promotions of processes that died, and empty the trash of each index."""
    for index in indexes:
        if is_trash(index.name):
            continue
        with noting_damage(collected.damaged):
            if dry_run:
                index.commits.journal.promotions()
            else:
                Promoter(index).recover()
        with noting_damage(collected.damaged):
            collected.expired += Expiry(index).run(dry_run=dry_run)


def _blobs_of(store: Store) -> tuple[dict[str, list[StoredBlob]], list[StoredBlob]]:
    """The blobs of each project, and those of advisories."""
    by_project: dict[str, list[StoredBlob]] = {}
    of_advisories: list[StoredBlob] = []
    for blob in store.blobs.list():
        project = project_of(blob.key)
        if project is not None:
            by_project.setdefault(project, []).append(blob)
        elif is_advisories(blob.key):
            of_advisories.append(blob)
    return by_project, of_advisories


def _collect(store: Store, blob: StoredBlob, collected: Collected, older_than: float, *, dry_run: bool) -> None:
    """Remove a blob that nothing names, if it is old enough."""
    # The age in the list may be from before the record changed, so it is asked for again.
    if blob.age < older_than or not (dry_run or store.blobs.remove_old(blob.key, older_than)):
        collected.young += 1
    else:
        collected.blobs.append(blob)


def _as_logged(age: float) -> str:
    """The time of a log's entries of this age, in seconds; of one before all calendars the earliest."""
    try:
        return as_logged(datetime.now(UTC) - timedelta(seconds=age))
    except OverflowError:
        return ""


def _expire_log(store: Store, indexes: Sequence[Index], before: str, collected: Collected, *, dry_run: bool) -> None:
    for folder in (*(f"{index.name}/log" for index in indexes), "access/log"):
        names: Sequence[str] = ()
        with noting_damage(collected.damaged):
            names = store.records.names(folder).names
        for name in names:
            with noting_damage(collected.damaged):
                collected.entries += expire(store.records, f"{folder}/{name}", before, dry_run=dry_run)
