"""Every store keeps every rule of the contracts; and the rules notice when one does not."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import obstore.store
import pytest

from quire.domain.errors import BlobMissing
from quire.store.bucket.client import ObjectBucket
from quire.store.bucket.store import BucketStore
from quire.store.contracts import NO_DOCUMENTS, Digests, Draft, Names, Record, Staged, Staging, Store, StoredBlob
from quire.store.memory import MemoryBlobs, MemoryRecords, MemoryStaged, MemoryState, MemoryStore
from quire.store.open_blob import OpenBlob
from quire.store.posix.store import PosixStore
from quire.testing import EXCLUSIVE_RULES, RULES, Rule, check_rule, check_store
from quire.testing.helpers import THREADS

Factory = Callable[[], Store]


def memory(_: Path) -> Factory:
    return MemoryStore().shared


def posix(root: Path) -> Factory:
    return lambda: PosixStore.open(root, network=False)


def posix_network(root: Path) -> Factory:
    """The rules for network file systems, on a local disk."""
    return lambda: PosixStore.open(root, network=True)


def bucket(_: Path) -> Factory:
    """Through the library that reaches real buckets, into its memory."""
    objects = ObjectBucket(obstore.store.MemoryStore(), "memory:///", {})
    return lambda: BucketStore(objects, objects.url)


@pytest.mark.parametrize("rule", RULES + EXCLUSIVE_RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("make", [memory, posix, posix_network, bucket], ids=lambda make: make.__name__)
def test_a_store_keeps_every_rule(make: Callable[[Path], Factory], rule: Rule, tmp_path: Path) -> None:
    """Each store fulfils each rule of the contracts."""
    check_rule(make(tmp_path), rule)


def test_rules_are_named_and_described() -> None:
    """A report is readable: every rule has a name of its own and one sentence that states it."""
    rules = RULES + EXCLUSIVE_RULES
    assert len({rule.__name__ for rule in rules}) == len(rules)
    assert all(rule.__doc__ and rule.__doc__.strip().endswith(".") for rule in rules)


def test_check_store_reports_what_it_checked_and_leaves_nothing_behind() -> None:
    """A store in use can be checked: its content is as before, and what the rules made is absent again."""
    store = MemoryStore()
    mine = store.records.write("main/projects/foo", b"{}", store.records.read("main/projects/foo"))
    staging = store.blobs.stage("foo/1/foo.whl")
    staging.write(b"wheel")
    under_way = store.blobs.stage("foo/x/f")
    store.blobs.publish(staging.finish())

    assert check_store(store.shared).checked == tuple(rule.__name__ for rule in RULES)

    assert store.records.read("main/projects/foo", mine) is mine
    assert [key for key, (_, data) in store.state.revisions.items() if data is not None] == ["main/projects/foo"]
    assert [blob.key for blob in store.blobs.list()] == ["foo/1/foo.whl"]
    assert len(store.state.incoming) == 1
    under_way.finish()


def test_disturbing_rules_are_checked_on_request_only() -> None:
    """A sweep of everything, which would end other people's uploads, happens only on an exclusive store."""
    names = {rule.__name__ for rule in EXCLUSIVE_RULES}
    assert not names & set(check_store(MemoryStore().shared).checked)
    assert names <= set(check_store(MemoryStore().shared, exclusive=True).checked)


def test_a_read_only_store_is_refused_with_a_sentence() -> None:
    """A store that cannot be written cannot be checked, and the error says so."""
    state = MemoryState()
    with pytest.raises(AssertionError, match="a_store_describes_itself: the store is not writable"):
        check_store(lambda: MemoryStore(state, writable=False))


# -- flawed stores: each breaks one rule ------------------------------------------------------------------------------


class TrustsMemory(MemoryRecords):
    def read(self, key: str, known: Record | None = None) -> Record:
        return known or super().read(key)


class TrustsAbsence(MemoryRecords):
    def read(self, key: str, known: Record | None = None) -> Record:
        return known if known is not None and known.data is None else super().read(key, known)


class RemembersByItself(MemoryRecords):
    """A cache in the handle that only its own writes refresh."""

    def read(self, key: str, known: Record | None = None) -> Record:
        cache: dict[str, Record] = self.__dict__.setdefault("cache", {})
        return cache.setdefault(key, super().read(key, known))

    def write(
        self, key: str, data: bytes | None, expected: Record, note: bytes | None = None, *, durable: bool = True
    ) -> Record:
        written = super().write(key, data, expected, note, durable=durable)
        self.__dict__.setdefault("cache", {})[key] = written
        return written


class NeverTheSame(MemoryRecords):
    def read(self, key: str, known: Record | None = None) -> Record:
        return super().read(key)

    def names(self, prefix: str, known: Names | None = None) -> Names:
        return super().names(prefix)


class TagsByContent(MemoryRecords):
    def read(self, key: str, known: Record | None = None) -> Record:
        found = super().read(key)
        tag = hashlib.sha256(found.data or b"").hexdigest()
        return known if known is not None and known.tag == tag else Record(key, found.data, tag)

    def write(
        self, key: str, data: bytes | None, expected: Record, note: bytes | None = None, *, durable: bool = True
    ) -> Record:
        current = super().read(key)
        stale = self.read(key).tag != expected.tag
        super().write(key, data, Record(key, None, "stale") if stale else current, note, durable=durable)
        return self.read(key)


class WritesBlindly(MemoryRecords):
    def write(
        self, key: str, data: bytes | None, expected: Record, note: bytes | None = None, *, durable: bool = True
    ) -> Record:
        return super().write(key, data, self.read(key), note, durable=durable)


class ChecksThenWrites(MemoryRecords):
    """Compares, and only then writes. The barrier lets all racing writers compare before one of them writes."""

    barrier = threading.Barrier(THREADS)

    def write(
        self, key: str, data: bytes | None, expected: Record, note: bytes | None = None, *, durable: bool = True
    ) -> Record:
        current = self.read(key)
        if threading.current_thread() is threading.main_thread() or current.tag != expected.tag:
            return super().write(key, data, expected, note, durable=durable)
        self.barrier.wait(30)
        with self._state.lock:
            revision, _ = self._state.revisions.get(key, (0, None))
            self._state.revisions[key] = revision + 1, data
        return Record(key, data, str(revision + 1))


class ForgetsDeletions(MemoryRecords):
    """Deletes for real, so that a later record has the tags of the earlier one."""

    def write(
        self, key: str, data: bytes | None, expected: Record, note: bytes | None = None, *, durable: bool = True
    ) -> Record:
        written = super().write(key, data, expected, note, durable=durable)
        if data is None:
            del self._state.revisions[key]
            return self.read(key)
        return written


class Truncates(MemoryRecords):
    def read(self, key: str, known: Record | None = None) -> Record:
        found = super().read(key, known)
        return found if found is known else Record(key, found.data and found.data[:1_000_000], found.tag)


class WritesDrafts(MemoryRecords):
    """Stores a draft as soon as it is made."""

    def draft(self, key: str, data: bytes) -> Draft:
        return Draft(self.write(key, data, self.read(key)).data or b"")


class KeepsDrafts(MemoryRecords):
    """Discarding a draft takes back what was written of it."""

    def draft(self, key: str, data: bytes) -> Draft:
        made, before = super().draft(key, data), self.read(key)

        class Undone(Draft):
            def discard(_) -> None:  # noqa: N805 - self is the records
                if self.read(key).data == made:
                    self.write(key, before.data, self.read(key))

        return Undone(data)


class ChecksNoRecordKeys(MemoryRecords):
    def read(self, key: str, known: Record | None = None) -> Record:
        return Record(key, None, "0")


class TrustsNames(MemoryRecords):
    def names(self, prefix: str, known: Names | None = None) -> Names:
        return known or super().names(prefix)


class ListsDeleted(MemoryRecords):
    def names(self, prefix: str, known: Names | None = None) -> Names:
        keys = [key for key in self._state.revisions if key.rpartition("/")[0] == prefix]
        return Names(prefix, tuple(sorted(key.rpartition("/")[2] for key in keys)), str(len(keys)))


class ListsByPrefix(MemoryRecords):
    def names(self, prefix: str, known: Names | None = None) -> Names:
        found = [key.rpartition("/")[2] for key in self._state.revisions if key.startswith(prefix)]
        return Names(prefix, tuple(sorted(found)), str(len(found)))


class ListsUnsorted(MemoryRecords):
    def names(self, prefix: str, known: Names | None = None) -> Names:
        found = super().names(prefix, known)
        return found if found is known else Names(prefix, found.names[::-1], found.tag)


class ForgetsPrefixes(MemoryRecords):
    def prefixes(self) -> tuple[str, ...]:
        return tuple(prefix for prefix in super().prefixes() if super(ForgetsPrefixes, self).names(prefix).names)


class ErasesOneOnly(MemoryRecords):
    def erase(self, key: str) -> None:
        if key in self._state.revisions:
            super().erase(key)


class ForgetsDeleted(MemoryRecords):
    def written(self, prefix: str) -> tuple[str, ...]:
        return self.names(prefix).names


class ForgetsChanges(MemoryRecords):
    def perhaps_changed(self, prefix: str, since: float) -> frozenset[str] | None:
        return frozenset()


class KeepsNoFirstNote(MemoryRecords):
    def write(
        self, key: str, data: bytes | None, expected: Record, note: bytes | None = None, *, durable: bool = True
    ) -> Record:
        return super().write(key, data, expected, note if expected.was_written else None, durable=durable)


class Overwrites(MemoryBlobs):
    def publish(self, staged: Staged, documents: Mapping[str, bytes] = NO_DOCUMENTS, *, durable: bool = True) -> None:
        for key in (*documents, staged.key):
            self.remove(key)
        super().publish(staged, documents, durable=durable)


class RemembersMissing(MemoryBlobs):
    def open(self, key: str) -> OpenBlob:
        missing: set[str] = self.__dict__.setdefault("missing", set())
        try:
            if key in missing:
                raise BlobMissing(key)
            return super().open(key)
        except BlobMissing:
            missing.add(key)
            raise


class RemembersContent(MemoryBlobs):
    def open(self, key: str) -> OpenBlob:
        content: dict[str, Any] = self.__dict__.setdefault("content", {})
        self._state.blobs.setdefault(key, content[key]) if key in content else None
        opened = super().open(key)
        content[key] = self._state.blobs[key]
        return opened


class Flawed(OpenBlob):
    """An open blob with a flaw, which the others have of `whole`."""

    def __init__(self, whole: OpenBlob) -> None:
        super().__init__(whole.size)
        self.whole = whole

    def read_at(self, offset: int, size: int) -> bytes:
        return self.whole.read_at(offset, size)

    def close(self) -> None:
        self.whole.close()


class IgnoresSizes(MemoryBlobs):
    def open(self, key: str) -> OpenBlob:
        class ToTheEnd(Flawed):
            def read_at(self, offset: int, size: int) -> bytes:
                return super().read_at(offset, self.size)

        return ToTheEnd(super().open(key))


class ReadsAfterClose(MemoryBlobs):
    def open(self, key: str) -> OpenBlob:
        class StaysOpen(Flawed):
            def close(self) -> None:
                pass

        return StaysOpen(super().open(key))


class SharesAPosition(MemoryBlobs):
    """Seeks, and reads in a second step."""

    def open(self, key: str) -> OpenBlob:
        class Seeks(Flawed):
            position = 0

            def read_at(self, offset: int, size: int) -> bytes:
                self.position = offset
                time.sleep(0)
                return super().read_at(self.position, size)

        return Seeks(super().open(key))


class PublishesInParts(MemoryBlobs):
    """Makes the key visible before the bytes are there."""

    def publish(self, staged: Staged, documents: Mapping[str, bytes] = NO_DOCUMENTS, *, durable: bool = True) -> None:
        super().publish(staged, documents, durable=durable)
        whole = self._state.blobs[staged.key]
        if threading.current_thread() is not threading.main_thread():
            self._state.blobs[staged.key] = replace(whole, content=b"part")


class KeepsRemoved(MemoryBlobs):
    def remove(self, key: str, *, durable: bool = False) -> None:
        pass


class ListsByLetters(MemoryBlobs):
    def list(self, prefix: str = "") -> Iterator[StoredBlob]:
        return (blob for blob in super().list() if blob.key.startswith(prefix))


class ListsTheFuture(MemoryBlobs):
    def list(self, prefix: str = "") -> Iterator[StoredBlob]:
        return (replace(blob, age=-1.0) for blob in super().list(prefix))


class SweepsEverything(MemoryBlobs):
    def sweep(self, older_than: float) -> int:
        return super().sweep(0)


class SweepsNothing(MemoryBlobs):
    def sweep(self, older_than: float) -> int:
        return 0


class ChecksNoBlobKeys(MemoryBlobs):
    def remove(self, key: str, *, durable: bool = False) -> None:
        self._state.blobs.pop(key, None)


class RemovesTheYoung(MemoryBlobs):
    def remove_old(self, key: str, older_than: float) -> bool:
        return super().remove_old(key, 0)


class ConfirmsAnything(MemoryBlobs):
    def confirm(self, key: str) -> None:
        pass


class WronglyDigested(MemoryStaged):
    def __init__(self, staged: MemoryStaged, digests: Digests) -> None:
        vars(self).update(vars(staged))
        self.wrong = digests

    @property
    def digests(self) -> Digests:
        return self.wrong


class WrongBlake(MemoryBlobs):
    def stage(self, key: str, algorithms: tuple[str, ...] | None = ()) -> Staging:
        staging = super().stage(key, algorithms)
        finish = staging.finish

        def finish_wrongly(*, durable: bool = True) -> Staged:
            staged = finish(durable=durable)
            assert isinstance(staged, MemoryStaged)
            found: Digests = staged.digests
            with staged.open() as file:
                wrong = replace(found, blake2b_256=hashlib.blake2b(file.read()).hexdigest())
            return WronglyDigested(staged, wrong)

        staging.finish = finish_wrongly  # type: ignore[method-assign]  # the flaw
        return staging


class ForgetsDocuments(MemoryBlobs):
    def publish(self, staged: Staged, documents: Mapping[str, bytes] = NO_DOCUMENTS, *, durable: bool = True) -> None:
        super().publish(staged, durable=durable)


class DiscardsPublished(MemoryBlobs):
    def publish(self, staged: Staged, documents: Mapping[str, bytes] = NO_DOCUMENTS, *, durable: bool = True) -> None:
        super().publish(staged, documents, durable=durable)
        staged.discard = lambda: self.remove(staged.key)  # type: ignore[method-assign]  # the flaw


FLAWS: list[tuple[type[MemoryRecords] | type[MemoryBlobs], str]] = [
    (TrustsMemory, "a_write_is_read_at_once"),
    (TrustsAbsence, "a_write_is_read_at_once"),
    (RemembersByItself, "a_write_is_read_at_once"),
    (RemembersByItself, "any_sequence_agrees_with_a_model"),
    (NeverTheSame, "an_unchanged_record_is_the_same_object"),
    (NeverTheSame, "unchanged_names_are_the_same_object"),
    (TagsByContent, "every_write_makes_a_new_state"),
    (WritesBlindly, "a_conflict_changes_nothing"),
    (WritesBlindly, "racing_swaps_have_one_winner"),
    (ChecksThenWrites, "racing_swaps_have_one_winner"),
    (ForgetsDeletions, "every_write_makes_a_new_state"),
    (ForgetsDeletions, "a_deleted_record_is_absent"),
    (Truncates, "documents_are_kept_exactly"),
    (WritesDrafts, "a_draft_is_written_as_its_bytes_are"),
    (KeepsDrafts, "a_draft_is_written_as_its_bytes_are"),
    (ChecksNoRecordKeys, "record_keys_cannot_escape"),
    (TrustsNames, "names_follow_the_records"),
    (TrustsNames, "names_are_right_while_they_change"),
    (ListsDeleted, "names_follow_the_records"),
    (ListsDeleted, "many_names_are_complete"),
    (ListsByPrefix, "names_are_those_of_one_folder"),
    (ListsUnsorted, "similar_keys_are_different_records"),
    (ForgetsPrefixes, "prefixes_have_all_records"),
    (ErasesOneOnly, "an_erased_record_leaves_no_trace"),
    (ForgetsDeleted, "written_has_deleted_records_too"),
    (ForgetsChanges, "changes_are_among_those_that_there_may_be"),
    (KeepsNoFirstNote, "a_deletion_keeps_its_note"),
    (Overwrites, "a_taken_key_keeps_its_bytes"),
    (Overwrites, "racing_publishers_have_one_winner"),
    (ForgetsDocuments, "documents_are_published_with_the_bytes"),
    (RemembersMissing, "a_published_blob_is_open_to_all_at_once"),
    (RemembersContent, "a_removed_blob_is_missing_at_once"),
    (IgnoresSizes, "an_open_blob_is_read_by_position"),
    (ReadsAfterClose, "an_open_blob_is_read_by_position"),
    (SharesAPosition, "an_open_blob_is_shared_by_threads"),
    (PublishesInParts, "racing_publishers_have_one_winner"),
    (KeepsRemoved, "neighbours_do_not_disturb_each_other"),
    (ListsByLetters, "blobs_are_listed"),
    (ListsTheFuture, "blobs_are_listed"),
    (SweepsEverything, "a_sweep_spares_the_young"),
    (SweepsNothing, "a_sweep_spares_the_published"),
    (ChecksNoBlobKeys, "blob_keys_cannot_escape"),
    (RemovesTheYoung, "only_old_blobs_are_removed_by_age"),
    (ConfirmsAnything, "a_confirmed_blob_is_as_it_was"),
    (WrongBlake, "staged_bytes_have_their_digests"),
    (DiscardsPublished, "discarding_is_harmless"),
]


class FlawedStore(MemoryStore):
    def __init__(self, state: MemoryState, flaw: type[MemoryRecords] | type[MemoryBlobs]) -> None:
        super().__init__(state)
        flawed = flaw(self.state, self.faults, writable=True)
        if isinstance(flawed, MemoryRecords):
            self._records = flawed
        else:
            self._blobs = flawed


@pytest.mark.parametrize(("flaw", "name"), FLAWS, ids=[f"{flaw.__name__}-{name}" for flaw, name in FLAWS])
def test_a_flawed_store_is_found_out(flaw: type[MemoryRecords] | type[MemoryBlobs], name: str) -> None:
    """The rule that a flaw breaks says so, by its name and in a sentence."""
    (rule,) = (rule for rule in RULES + EXCLUSIVE_RULES if rule.__name__ == name)
    state = MemoryState()
    with pytest.raises(AssertionError, match=rf"^{name}: .+\.$"):
        check_rule(lambda: FlawedStore(state, flaw), rule)


def test_a_store_that_raises_what_no_contract_knows_is_found_out() -> None:
    """An unexpected exception is reported under the rule that met it."""

    class Crashes(MemoryRecords):
        def read(self, key: str, known: Record | None = None) -> Record:
            raise ZeroDivisionError

    state = MemoryState()
    with pytest.raises(AssertionError, match="absence_is_an_answer: the store raised ZeroDivisionError"):
        check_store(lambda: FlawedStore(state, Crashes))
