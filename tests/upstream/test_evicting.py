"""Kept files are removed when they have more bytes than they may: in order of their last use, and nothing else."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
import zstandard

from quire.domain.errors import StoreError
from quire.store.faults import Fault, Faults
from quire.store.memory import MemoryState, MemoryStore
from quire.upstream import mirrored
from quire.upstream.evicting import FREE, counted, evict
from quire.upstream.kept import kept_of
from quire.upstream.mirrored import Content, MirroredPage, Validators
from quire.upstream.pages import UpstreamFile, UpstreamPage
from quire.upstream.uses import FileUses

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
UPSTREAM = "index-example-0123456789ab"


class Place:
    """A store with files of another index, at a time that the test sets."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.faults = Faults()
        self.store = MemoryStore(MemoryState(lambda: self.now.timestamp()), self.faults)  # noqa: PLW0108 - it changes
        self.uses = FileUses(self.store.records, lambda: self.now)
        self.offered: dict[str, list[UpstreamFile]] = {}

    def put(self, key: str, content: bytes) -> str:
        staging = self.store.blobs.stage(key)
        staging.write(content)
        self.store.blobs.publish(staging.finish())
        return key

    def keep(self, number: int, size: int = 100, *, project: str = "foo", companion: str = "") -> str:
        """A file that is fetched now; an hour later the next one may be."""
        name = f"{project}-{number}.tar.gz"
        digest = hashlib.sha256(name.encode()).hexdigest()
        self.offered.setdefault(project, []).append(
            UpstreamFile(filename=name, url="https://x/", version=str(number), hashes={"sha256": digest})
        )
        key = self.put(f"mirror/{UPSTREAM}/{project}/{digest}/{name}{companion}", bytes(size))
        self.now += timedelta(hours=1)
        return key

    def use(self, key: str) -> None:
        self.uses.note(key)
        self.uses.write()
        self.now += timedelta(hours=1)

    def page(self, project: str = "foo", *, without: str = "", trouble: bool = False) -> MirroredPage:
        """The page with all files of a project."""
        offered = tuple(each for each in self.offered[project] if each.filename != without)
        content = Content.of(UpstreamPage(files=offered))
        blob = None
        if not content.is_small:
            blob = f"{content.name[:16]}-0123456789abcdef"
            self.put(f"mirror/{UPSTREAM}/{project}/{blob}", mirrored_bytes(content))
        page = mirrored.found(None, content, blob, Validators(), self.now)
        if trouble:
            page = mirrored.failed(page, "It is away.", 0.0, self.now)
        record = self.store.records.read(f"mirror/{UPSTREAM}/{project}")
        self.store.records.write(record.key, mirrored.encode_page(page), record)
        return page

    @property
    def kept(self) -> list[str]:
        return sorted(blob.key for blob in kept_of(self.store)[UPSTREAM].blobs)


def mirrored_bytes(content: Content) -> bytes:
    return zstandard.ZstdCompressor().compress(content.data)


@pytest.fixture
def at() -> Place:
    return Place()


def test_nothing_is_removed_within_the_bound(at: Place) -> None:
    """It is counted, and the count is there for all workers."""
    keys = [at.keep(number) for number in range(5)]
    at.page()
    done = evict(at.store, 500, at.now)
    assert (done.removed, done.left, at.kept) == ([], 500, sorted(keys))
    found = counted(at.store)
    assert found is not None
    assert (found.files, found.bytes, found.bound, found.at) == (5, 500, 500, at.now)


@pytest.mark.parametrize(("beside", "stay"), [(0, 10), (300, 6), (950, 1)])
def test_pages_and_made_metadata_count(at: Place, beside: int, stay: int) -> None:
    """They are not removed; files have the rest of the bound, and at least a quarter."""
    for number in range(10):
        at.keep(number)
    at.page()
    made = f"mirror/{UPSTREAM}/foo/made-{'a' * 64}"
    if beside:
        at.put(made, b"m" * beside)
    done = evict(at.store, 1000, at.now)
    assert (len(at.kept), done.left) == (stay if beside else 10, 100 * stay + beside)
    found = counted(at.store)
    assert found is not None
    assert found.bytes == done.left
    assert kept_of(at.store)[UPSTREAM].page_bytes == beside


def test_those_go_first_that_were_not_used_longest(at: Place) -> None:
    """A use counts as a fetch; documents beside a file have their own; a sixteenth is free then."""
    keys = [at.keep(number) for number in range(32)]
    document = at.keep(0, companion=".metadata")
    at.page()
    at.use(keys[0])
    at.use(keys[2])
    done = evict(at.store, 3200, at.now)
    assert [blob.key for blob in done.removed] == [keys[1], keys[3], keys[4]]
    assert done.left == 3000 == 3200 - 3200 // FREE
    assert at.kept == sorted({*keys, document} - {blob.key for blob in done.removed})
    assert done.oldest == (BEGIN + timedelta(hours=5)).timestamp()


@pytest.mark.parametrize("many", [0, 400])
def test_the_last_copy_is_removed_only_if_the_bound_does_not_hold_otherwise(at: Place, many: int) -> None:
    """Of a file that the page lists no more, on a small page and on a large one; then no more than the bound wants."""
    keys = [at.keep(number) for number in range(8)]
    for number in range(1000, 1000 + many):
        at.offered["foo"].append(UpstreamFile(filename=f"x{number}", url="https://x/", version="1"))
    page = at.page(without="foo-0.tar.gz")
    assert (page.blob is None) is (many == 0)
    beside = kept_of(at.store)[UPSTREAM].page_bytes
    done = evict(at.store, 700 + beside, at.now)
    assert ([blob.key for blob in done.removed], done.last_copies) == ([keys[1], keys[2]], 0)
    done = evict(at.store, 50, at.now)
    assert ([blob.key for blob in done.removed], done.last_copies) == ([*keys[3:], keys[0]], 1)


@pytest.mark.parametrize("case", ["trouble", "no page", "damaged page", "gone"])
def test_files_of_an_upstream_that_cannot_be_asked_go_last(at: Place, case: str) -> None:
    """They may be the last copies; but the bound holds."""
    mine = [at.keep(number, project="away") for number in range(3)]
    others = [at.keep(number) for number in range(3)]
    at.page()
    record = at.store.records.read(f"mirror/{UPSTREAM}/away")
    if case == "trouble":
        at.page("away", trouble=True)
    elif case == "gone":
        at.store.records.write(record.key, mirrored.encode_page(mirrored.gone(None, at.now)), record)
    elif case == "damaged page":
        at.store.records.write(record.key, b"garbage", record)
    done = evict(at.store, 300, at.now)
    assert ([blob.key for blob in done.removed], done.last_copies) == (others, 0)
    assert evict(at.store, 100, at.now).last_copies == 2
    assert at.kept == [mine[2]]


def test_pages_and_hosted_files_are_never_removed(at: Place) -> None:
    """Not even those of a project with the name of the folder."""
    at.keep(0)
    at.offered["foo"] += [UpstreamFile(filename=f"x{number}", url="https://x/", version="1") for number in range(1000)]
    assert at.page().blob is not None
    hosted = at.put(f"mirror/{'0' * 64}-01234567/mirror-1.0.tar.gz", bytes(1000))
    other = at.put(f"foo/{'0' * 64}-01234567/foo-1.0.tar.gz", bytes(1000))
    assert len(evict(at.store, 1, at.now).removed) == 1
    assert at.kept == []
    left = {blob.key for blob in at.store.blobs.list()}
    assert {hosted, other} < left
    assert len(left) == 3


def test_a_dry_run_changes_nothing(at: Place) -> None:
    """Neither files nor the count."""
    keys = [at.keep(number) for number in range(4)]
    at.page()
    done = evict(at.store, 200, at.now, dry_run=True)
    assert [blob.key for blob in done.removed] == keys[:3]
    assert (at.kept, counted(at.store)) == (sorted(keys), None)


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
@pytest.mark.parametrize("step", range(5))
def test_a_run_that_breaks_off_leaves_less_to_do(at: Place, fault: Fault, step: int) -> None:
    """At any removal, done or not: the next run ends where one run would have."""
    keys = [at.keep(number) for number in range(16)]
    at.page()
    at.faults.next("remove", fault, skip=step)
    with pytest.raises(StoreError):
        evict(at.store, 1000, at.now)
    assert len(at.kept) >= 16 - step - 1
    evict(at.store, 1000, at.now)
    assert at.kept == sorted(keys[7:])
