"""Passes through a place: what they find, and in a bucket the requests that they take.

Replaced here: the most bytes of a catalog, since two gigabytes take long to fill; how long a writer waits for another
one, since ten seconds are long; and the clock by which work that failed is done again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, suppress
from itertools import count
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from quire.access.decisions import AccessState
from quire.access.document import AccessDocument
from quire.access.principals import ANONYMOUS
from quire.catalog.hosted import Hosted
from quire.domain.errors import StoreError
from quire.index.index import Index
from quire.search import keeping, schema
from quire.search.catalog import Catalog, Progress, SearchUnavailable
from quire.search.facts import Facts
from quire.search.keeping import Keeper
from quire.search.places import DROP_INS, places_of
from quire.search.query import PAGE_SIZE, Query
from quire.search.results import Reader
from quire.store.bucket.objects import Listed, Object, Unchanged, Version
from quire.store.bucket.store import BucketStore
from quire.store.faults import Fault
from quire.store.memory import MemoryStore
from tests.index.test_index import staged_wheel
from tests.search.rig import Rig, rig
from tests.store.bucket.memory import MemoryBucket

WORDS = [f"word{number}" for number in range(60)]


class Aged(MemoryBucket):
    """All that is written before `since` was written a day ago; reads of records are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.since = 0.0
        self.reads: list[str] = []
        self.unread = ""
        """A record of this name cannot be read."""

    def get(self, key: str, known: Version | None = None) -> Object | Unchanged | None:
        if self.unread and key.endswith(f"/{self.unread}"):
            raise StoreError("The bucket answered 503.")
        if key.startswith("records/"):
            self.reads.append(key.rpartition("/")[2])
        return super().get(key, known)

    def list(self, prefix: str) -> Iterator[Listed]:
        for each in super().list(prefix):
            yield each if each.modified >= self.since else each._replace(modified=each.modified - 86_400)


def test_a_pass_reads_what_was_written_since_the_one_before(tmp_path: Path) -> None:
    """One listing says so; what is of no tag is read each time, and a project that was found changed is entered."""
    bucket = Aged()
    store = BucketStore(bucket, "memory:")
    index = Index(store)
    for name in ("one", "two", "three"):
        index.publish([staged_wheel(store, name, "1.0")])
    (place,) = places_of([Hosted(index)])
    with ThreadPoolExecutor(1) as executor:
        keeper = Keeper(Catalog(tmp_path), lambda: executor, waits=True)
        wait(keeper.look([place]))
        bucket.since = time.time()
        index.publish([staged_wheel(store, "two", "2.0")])
        hour_ago = time.time() - 3600
        keeper.catalog.note(place.key, Progress(3, 3, hour_ago, 1.0))
        bucket.reads.clear()
        wait(keeper.look([place]))
        keeper.close()
    assert set(bucket.reads) == {"two.json"}
    row = keeper.catalog.row(place.key, "two")
    assert row is not None
    assert row.facts is not None
    assert row.facts.version == "2.0"
    assert keeper.catalog.progress([place.key])[place.key].checked > hour_ago
    keeper.catalog.close()  # of the looks since


def test_a_record_is_known_by_its_tag_alone() -> None:
    """On each kind of store, one read says whether it is unchanged."""
    bucket = Aged()
    store = BucketStore(bucket, "memory:")
    index = Index(store)
    index.publish([staged_wheel(store, "one", "1.0")])
    hosted = Hosted(index)
    tag = store.records.read(index.key("one")).tag
    bucket.reads.clear()
    assert hosted.has_tag("one", tag)
    assert not hosted.has_tag("one", f"{tag}x")
    assert len(bucket.reads) == 2


def test_metadata_that_the_store_did_not_give_once_is_read_again(tmp_path: Path) -> None:
    """By the next pass, and by a search that shows the project; its words are found from then on."""
    store = MemoryStore()

    async def scenario(made: Rig) -> None:
        for name in ("one", "two"):
            made.publish(name)
        for _ in range(3):
            store.faults.next("open", Fault.BEFORE)
        made.make_pass()
        assert [hit.facts.summary for hit in await made.hits("one")] == [""]
        assert [hit.facts.summary for hit in await made.hits("one")] == ["one for tests"]
        assert await made.names("tests") == ["one"]
        made.make_pass()
        assert await made.names("tests") == ["one", "two"]

    with rig(tmp_path, store) as made:
        asyncio.run(scenario(made))


def test_a_project_that_a_pass_could_not_read_is_read_by_the_next(tmp_path: Path) -> None:
    """Also when nothing was written to the bucket since."""
    bucket = Aged()
    with rig(tmp_path, BucketStore(bucket, "memory:"), waits=True) as made:
        made.publish("one")
        made.publish("two")
        made.make_pass()
        made.publish("two", "2.0")
        bucket.since = time.time()
        bucket.unread = "two.json"
        made.make_pass(hours=48)
        assert made.version("two") == "1.0"
        bucket.unread = ""
        made.make_pass()
        assert made.version("two") == "2.0"


def test_a_pass_that_found_no_room_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, with all that it should have read."""
    monkeypatch.setattr(schema, "MOST_BYTES", 60 * 4096)
    bucket = Aged()
    with rig(tmp_path, BucketStore(bucket, "memory:"), waits=True) as made:
        made.publish("one")
        made.publish("two")
        made.make_pass()
        fill(made.keeper.catalog)
        made.publish("two", "2.0", keywords=",".join(WORDS))
        bucket.since = time.time()
        made.make_pass(hours=48)
        assert made.version("two") == "1.0"
        monkeypatch.setattr(schema, "MOST_BYTES", 2**30)
        assert made.keeper.look([made.place]) == []
        later = time.time() + 3600
        monkeypatch.setattr(keeping, "now", lambda: later)
        made.make_pass()
        assert made.version("two") == "2.0"


def test_a_full_catalog_takes_no_search_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new project is found by its name alone, and by its words after a pass that found room; it is logged once."""
    monkeypatch.setattr(schema, "MOST_BYTES", 60 * 4096)

    async def scenario(made: Rig) -> None:
        made.publish("one", keywords="apple")
        assert await made.names("apple") == ["one"]
        fill(made.keeper.catalog)
        made.publish("two", keywords=",".join(["apple", *WORDS]))
        with capture_logs() as lines:
            for _ in range(3):
                assert await made.names("apple") == ["one"]
        assert [line["event"] for line in lines] == ["search catalog not complete"]
        assert await made.names("two") == ["two"]
        monkeypatch.setattr(schema, "MOST_BYTES", 2**30)
        made.make_pass()
        assert await made.names("apple") == ["one", "two"]

    with rig(tmp_path, MemoryStore()) as made:
        asyncio.run(scenario(made))


def test_projects_leave_a_full_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A removal takes room as well, until it frees some; then there is room for others."""
    monkeypatch.setattr(schema, "MOST_BYTES", 200 * 4096)
    with closing(Catalog(tmp_path)) as catalog:
        fill(catalog)
        names = list(catalog.tags(DROP_INS))
        for name in names:
            catalog.remove(DROP_INS, [name])
        assert catalog.tags(DROP_INS) == {}
        fill(catalog)
        assert len(catalog.tags(DROP_INS)) > len(names) // 4
        assert catalog.path.stat().st_size <= 200 * 4096


def test_a_project_that_is_gone_is_no_result(tmp_path: Path) -> None:
    """Though a catalog that could not be written has it: it is not counted, and takes no place of another on a page."""
    names = [f"apple-{number:02}" for number in range(1, PAGE_SIZE)]

    async def scenario(made: Rig) -> None:
        for name in ("an-apple", *names):
            made.publish(name)
        made.make_pass()
        made.keeper.learn(made.place.key, "apple-00", "x", Facts(display="apple-00"))
        found = await made.searching.search(made.reader, Query("apple"), None)
        assert sorted(hit.name for hit in found.hits) == ["an-apple", *names]
        assert (found.total, found.has_more) == (PAGE_SIZE, False)

    with rig(tmp_path, MemoryStore()) as made:
        asyncio.run(scenario(made))


def test_an_index_that_could_not_be_forgotten_is_forgotten_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a search after a while, without another change of the indexes."""

    async def scenario(made: Rig) -> None:
        made.publish("one")
        made.publish("two", index="team")
        assert await made.names() == ["one", "two"]
        catalog = made.keeper.catalog
        alone = made._replace(reader=Reader(ANONYMOUS, AccessState(AccessDocument())))
        catalog.close()  # the connections that wait for long
        with closing(schema.connect(catalog.path)) as other, monkeypatch.context() as patched:
            other.execute("BEGIN IMMEDIATE")
            patched.setattr(schema, "_BUSY_SECONDS", 0.0)
            assert await alone.names() == ["one"]
            made.finish_work()
        assert await alone.names() == ["one"]
        made.finish_work()
        assert "hosted/team" in catalog.places()
        later = time.time() + 3600
        monkeypatch.setattr(keeping, "now", lambda: later)
        assert await alone.names() == ["one"]
        made.finish_work()
        assert "hosted/team" not in catalog.places()

    with rig(tmp_path, MemoryStore(), "team") as made:
        asyncio.run(scenario(made))


def fill(catalog: Catalog) -> None:
    """Enter other projects until there is no room."""
    with suppress(SearchUnavailable):
        for number in count():
            catalog.put(DROP_INS, {f"other-{number:05}": ("x", Facts(display="x", summary=f"word{number} " * 20))})
