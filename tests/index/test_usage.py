"""Quotas where changes are made: the quota of a project is exact, that of an index knows what its process knows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from quire.catalog.hosted import Hosted
from quire.domain.changes import Selection
from quire.domain.errors import FileExists, NotFound, QuotaExceeded, StoreFull
from quire.domain.project import Status
from quire.domain.quotas import Quotas, size_of
from quire.index.commits import Change
from quire.index.index import Index
from quire.index.upload import Upload, examine, upload_key
from quire.store.contracts import NO_DOCUMENTS, Staged, Store
from quire.store.memory import MemoryState, MemoryStore
from quire.store.posix.store import PosixStore
from tests.distributions import make_wheel, wheel_name
from tests.serving import DEADLINE
from tests.store.test_conformance import bucket


def wheel(store: Store, name: str, version: str = "1.0", *, filler: bytes = b"") -> Upload:
    """A distribution that is staged in a store. `filler`: what makes it larger, and another one."""
    staging = store.blobs.stage(upload_key(wheel_name(name, version)))
    staging.write(make_wheel(name, version, files={"filler": filler} if filler else None))
    return examine(staging.finish(), wheel_name(name, version))


def _all_bytes(index: Index) -> int:
    return sum(size_of(index.project(name)) for name in index.names())


NAMES = ("alder", "birch", "cedar")
PUBLICATIONS = st.tuples(st.sampled_from(NAMES), st.sampled_from(("1.0", "2.0")), st.integers(0, 3))
"""Of which project, which version, and in how many hundred bytes more than nothing."""


class InterruptedHosted(Hosted):
    """Counts; other things happen before a project is read, and after it."""

    def __init__(self, index: Index) -> None:
        super().__init__(index)
        self.happens: dict[tuple[str, bool], Callable[[], None]] = {}
        """By the project, and whether it is after its record was read."""

    def _count(self, name, before):  # type: ignore[no-untyped-def]
        self.happens.pop((name, False), lambda: None)()
        found = super()._count(name, before)
        self.happens.pop((name, True), lambda: None)()
        return found


class UsageMachine(RuleBasedStateMachine):
    """Two processes change an index; one of them follows its bytes, and knows them but for the changes of the other."""

    @initialize()
    def begin(self) -> None:
        self.state = MemoryState()
        self.own, self.other = (Index(MemoryStore(self.state), trash_seconds=60) for _ in range(2))
        self.hosted = InterruptedHosted(self.own)
        self.own.usage.follow()
        self.unknown = 0
        """Bytes that the other process has added since the last count began."""
        self.hosted.count()

    def publish(self, index: Index, publication: tuple[str, str, int], quotas: Quotas) -> None:
        name, version, more = publication
        before, known = index.project(name), index.usage.known
        replaced = before.files.get(wheel_name(name, version)) if before is not None else None
        upload = wheel(index.store, name, version, filler=bytes(range(100)) * more)
        added = upload.staged.size - (replaced.size if replaced is not None else 0)
        fits = added <= 0 or (
            (quotas.project is None or size_of(before) + added <= quotas.project)
            and (quotas.index is None or known is None or known.bytes + added <= quotas.index)
        )
        if fits:
            index.publish([upload], overwrite=True, quotas=quotas)
            return
        with pytest.raises(QuotaExceeded):
            index.publish([upload], overwrite=True, quotas=quotas)
        assert index.project(name) == before

    @rule(
        publication=PUBLICATIONS,
        project=st.none() | st.integers(400, 1500),
        whole=st.none() | st.integers(400, 4000),
    )
    def publish_here(self, publication: tuple[str, str, int], project: int | None, whole: int | None) -> None:
        self.publish(self.own, publication, Quotas(whole, project))

    @rule(publication=PUBLICATIONS)
    def publish_elsewhere(self, publication: tuple[str, str, int]) -> None:
        before = _all_bytes(self.other)
        self.publish(self.other, publication, Quotas())
        self.unknown += _all_bytes(self.other) - before

    @rule(name=st.sampled_from(NAMES), version=st.none() | st.just("1.0"), is_here=st.booleans())
    def delete(self, name: str, version: str | None, *, is_here: bool) -> None:
        before = _all_bytes(self.other)
        try:
            (self.own if is_here else self.other).delete(name, Selection(version=version))
        except NotFound:
            return
        if not is_here:
            self.unknown += _all_bytes(self.other) - before

    @rule(name=st.sampled_from(NAMES), quota=st.none() | st.integers(400, 1500))
    def restore(self, name: str, quota: int | None) -> None:
        before = self.own.project(name)
        try:
            self.own.restore(name, lambda _: True, quotas=Quotas(project=quota))
        except NotFound:
            return
        except QuotaExceeded:
            assert quota is not None
            assert self.own.project(name) == before
            return
        except FileExists:
            return
        after = self.own.project(name)
        assert quota is None or size_of(after) <= max(quota, size_of(before))

    @rule(
        interruptions=st.dictionaries(
            st.tuples(st.sampled_from(NAMES), st.booleans()), PUBLICATIONS | st.sampled_from(NAMES), max_size=4
        )
    )
    def count(self, interruptions: dict[tuple[str, bool], tuple[str, str, int] | str]) -> None:
        """Every interruption is a publication of this process, or a deletion."""

        def change(what: tuple[str, str, int] | str) -> None:
            if isinstance(what, str):
                self.delete(what, None, is_here=True)
            else:
                self.publish(self.own, what, Quotas())

        self.hosted.happens = {when: partial(change, what) for when, what in interruptions.items()}
        self.unknown = 0
        self.hosted.count()

    @invariant()
    def knows_all_but_changes_of_others(self) -> None:
        known = self.own.usage.known
        assert known is not None
        assert known.bytes == _all_bytes(self.own) - self.unknown


TestUsageMachine = UsageMachine.TestCase
TestUsageMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize("kind", ["memory", "directory", "bucket"])
def test_of_publications_at_one_time_no_more_fit_than_the_quota_of_the_project_allows(
    kind: str, tmp_path: Path
) -> None:
    """On every store, from as many processes as there are writers: the sum of a project is decided by the record that
    is replaced."""
    makers: dict[str, Callable[[], Store]] = {
        "memory": MemoryStore().shared,
        "directory": lambda: PosixStore.open(tmp_path),
        "bucket": bucket(tmp_path),
    }
    writers = [Index(makers[kind]()) for _ in range(4)]
    uploads = [wheel(index.store, "alder", f"{number}.0") for number, index in enumerate(writers)]
    quota = sum(upload.staged.size for upload in uploads[:2]) + 10
    all_are_ready, outcomes = threading.Barrier(len(writers)), []

    def publish(index: Index, upload: Upload) -> None:
        all_are_ready.wait()
        try:
            index.publish([upload], quotas=Quotas(project=quota))
        except QuotaExceeded as error:
            outcomes.append(str(error))
        else:
            outcomes.append("published")

    threads = [threading.Thread(target=publish, args=each) for each in zip(writers, uploads, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome == "published" for outcome in outcomes) == [False, False, True, True], outcomes
    assert size_of(writers[0].project("alder")) <= quota
    assert len(list(writers[0].store.blobs.list())) == 2 * 2  # a refused one leaves neither a file nor its metadata


def test_publications_of_one_process_at_one_time_share_what_is_left_of_the_index() -> None:
    """Two of which each fits alone, of two projects: bytes that are about to be published are taken."""
    index = Index(MemoryStore())
    index.usage.follow()
    Hosted(index).count()
    first, second = wheel(index.store, "alder"), wheel(index.store, "birch")
    quotas = Quotas(index=first.staged.size + second.staged.size - 1)
    store_blobs, is_inside, may_go_on = index.store.blobs.publish, threading.Event(), threading.Event()

    def publish(staged: Staged, documents: Mapping[str, bytes] = NO_DOCUMENTS, *, durable: bool = True) -> None:
        is_inside.set()
        may_go_on.wait(DEADLINE)
        store_blobs(staged, documents, durable=durable)

    index.store.blobs.publish = publish  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as pool:
        begun = pool.submit(index.publish, [first], quotas=quotas)
        assert is_inside.wait(DEADLINE)
        index.store.blobs.publish = store_blobs  # type: ignore[method-assign]
        with pytest.raises(QuotaExceeded, match="The index main has"):
            index.publish([second], quotas=quotas)
        may_go_on.set()
        assert begun.result(DEADLINE).changed
    assert index.usage.known is not None
    assert index.usage.known.bytes == first.staged.size


def test_a_failed_publication_gives_its_room_back() -> None:
    """The bytes that it had reserved are free for the next one."""
    store = MemoryStore()
    index = Index(store)
    index.usage.follow()
    Hosted(index).count()
    first, second = wheel(store, "alder"), wheel(store, "birch")
    quotas = Quotas(index=max(first.staged.size, second.staged.size))
    store_blobs = store.blobs.publish

    def fail(staged: Staged, documents: Mapping[str, bytes] = NO_DOCUMENTS, *, durable: bool = True) -> None:
        raise StoreFull("No space is left.")

    store.blobs.publish = fail  # type: ignore[method-assign]
    with pytest.raises(StoreFull):
        index.publish([first], quotas=quotas)
    store.blobs.publish = store_blobs  # type: ignore[method-assign]
    assert index.publish([second], quotas=quotas).changed


def test_the_first_count_is_of_what_is_there_and_until_then_nothing_is_refused() -> None:
    """A count that was under way when changes began to be followed may have missed some, and does not count."""
    store = MemoryStore()
    index = Index(store)
    index.publish([wheel(store, "alder")])
    hosted = InterruptedHosted(index)
    hosted.happens["alder", True] = index.usage.follow
    hosted.count()
    assert (index.usage.known, index.usage.needs_count) == (None, True)
    assert index.publish([wheel(store, "alder", "2.0")], quotas=Quotas(index=1)).changed
    hosted.count()
    known = index.usage.known
    assert known is not None
    assert known.bytes == _all_bytes(index)
    assert not index.usage.needs_count


def test_a_change_that_ends_after_a_count_is_counted_once() -> None:
    """Its project was read by the count after the change was stored, and before this process had added it up."""
    store = MemoryStore()
    index = Index(store)
    index.usage.follow()
    hosted, make = Hosted(index), index.commits.make
    hosted.count()

    def make_and_count(*arguments: Any, **named: Any) -> Change:
        change = make(*arguments, **named)
        hosted.count()
        return change

    index.commits.make = make_and_count  # type: ignore[method-assign]
    index.publish([wheel(store, "alder")])
    assert index.usage.known is not None
    assert index.usage.known.bytes == _all_bytes(index)


def test_files_of_a_quarantined_project_count() -> None:
    """They are not offered, and take space."""
    store = MemoryStore()
    index = Index(store)
    index.publish([wheel(store, "alder")])
    index.set_status("alder", Status.QUARANTINED)
    index.usage.follow()
    assert Hosted(index).count() == 0
    assert index.usage.known is not None
    assert index.usage.known.bytes == _all_bytes(index) > 0
