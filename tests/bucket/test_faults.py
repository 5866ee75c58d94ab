"""Each way in which a request can fail, at each request of each operation: every outcome is the right one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from quire.domain.errors import BlobMissing, Conflict, StoreError
from quire.store.bucket.client import open_bucket
from quire.store.bucket.staging import SMALL
from quire.store.bucket.store import BucketStore
from quire.store.bucket.swaps import Swaps
from quire.store.contracts import Record, Store
from quire.store.opening import open_store
from tests.bucket.proxy import NETWORK, Fault, Proxy, Script, faulty_proxy

pytestmark = pytest.mark.bucket

FOLDER = "main/projects"
KEY = f"{FOLDER}/acme"
BLOB = "acme/1/acme-1.0.tar.gz"
_WRITTEN = {Fault.LOST, Fault.FAILED_AFTER, Fault.SLOW, Fault.TWICE, Fault.CUT_ANSWER}
"""Faults after which the first request has taken effect."""


@dataclass
class Faulty:
    """One store, as reached through a proxy that fails by the script, and as reached without."""

    script: Script
    proxy: Proxy
    store: Store
    direct: BucketStore

    def check_fault(self, fault: Fault) -> None:
        """It took place, once."""
        assert self.proxy.faults == {fault: 1}
        assert not self.script.scenes


@pytest.fixture
def faulty(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faulty]:
    script, server = Script(), os.environ["AWS_ENDPOINT_URL"]
    direct = BucketStore(open_bucket(url, os.environ), url)
    with faulty_proxy(server, script) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)  # as any user of a bucket names a server
        yield Faulty(script, proxy, open_store(url), direct)


def write(store: Store, data: bytes | None, key: str = KEY) -> Record:
    return store.records.write(key, data, store.records.read(key))


def nothing(_: Store) -> None:
    """Before an operation that needs nothing."""


def present(store: Store) -> None:
    write(store, b"before")


# -- records and names ------------------------------------------------------------------------------------------------

RECORD, ROOT = "/records/", f"/names/{FOLDER}.json"


def create(store: Store) -> None:
    write(store, b"after")


def delete(store: Store) -> None:
    write(store, None)


@pytest.mark.parametrize("fault", NETWORK)
@pytest.mark.parametrize(
    ("prepare", "operation", "method", "part", "left"),
    [
        pytest.param(nothing, create, "GET", RECORD, b"after", id="create-read"),
        pytest.param(nothing, create, "GET", ROOT, b"after", id="create-root-read"),
        pytest.param(nothing, create, "PUT", ROOT, b"after", id="create-announced"),
        pytest.param(nothing, create, "PUT", RECORD, b"after", id="create-committed"),
        pytest.param(nothing, create, "PUT", "/format.json", b"after", id="create-layout"),
        pytest.param(present, create, "GET", RECORD, b"after", id="swap-read"),
        pytest.param(present, create, "PUT", RECORD, b"after", id="swap-committed"),
        pytest.param(present, delete, "PUT", ROOT, None, id="delete-announced"),
        pytest.param(present, delete, "PUT", RECORD, None, id="delete-committed"),
    ],
)
def test_a_change_of_a_record_is_made_once(
    prepare: Callable[[Store], None],
    operation: Callable[[Store], None],
    method: str,
    part: str,
    left: bytes | None,
    fault: Fault,
    faulty: Faulty,
) -> None:
    """It succeeds, its state follows the one before it, and the list of names agrees with it."""
    if fault is Fault.BUSY and method != "PUT":
        pytest.skip("an answer to writes")
    if part != "/format.json":
        prepare(faulty.direct)
    before = faulty.direct.records.read(KEY) if part != "/format.json" else None
    faulty.script.add(fault, method, part)
    operation(faulty.store)
    faulty.check_fault(fault)
    _check_written_once(faulty, left, before)


@pytest.mark.parametrize("fault", NETWORK)
def test_a_name_is_settled_once(fault: Fault, faulty: Faulty) -> None:
    """The last write of a change that creates a project, which takes the token out of the root."""
    records = faulty.store.records
    expected = records.read(KEY)

    def meanwhile() -> None:
        faulty.script.add(fault, "PUT", ROOT)

    faulty.script.meanwhile = meanwhile
    faulty.script.add(Fault.SLOW, "PUT", RECORD)
    records.write(KEY, b"after", expected)
    assert faulty.proxy.faults[fault] == (2 if fault is Fault.SLOW else 1)
    _check_written_once(faulty, b"after", None)


def _check_written_once(faulty: Faulty, left: bytes | None, before: Record | None) -> None:
    for store in (faulty.store, faulty.direct):
        assert store.records.read(KEY).data == left
        assert store.records.names(FOLDER).names == (("acme",) if left is not None else ())
    found = Swaps(faulty.direct.bucket).read(f"records/{KEY}.json")
    assert found is not None
    assert found[1] is not None
    assert found[1].before[0] == (before.tag if before is not None and before.was_written else "0")
    assert faulty.direct.sweep(older_than=0, thorough=True) == 0, "a token or a marker was left"


@pytest.mark.parametrize("fault", NETWORK)
@pytest.mark.parametrize("is_new", [True, False], ids=["created", "replaced"])
def test_a_rival_is_a_conflict_only_where_it_was_first(fault: Fault, faulty: Faulty, *, is_new: bool) -> None:
    """Another writer follows right after the fault: one write is after the other, or one of them is a conflict."""
    if not is_new:
        present(faulty.direct)
    expected = faulty.store.records.read(KEY)
    faulty.script.add(fault, "PUT", RECORD)
    faulty.script.meanwhile = lambda: write(faulty.direct, b"rival")
    if fault in _WRITTEN:
        faulty.store.records.write(KEY, b"after", expected)
    else:
        with pytest.raises(Conflict):
            faulty.store.records.write(KEY, b"after", expected)
    faulty.check_fault(fault)
    for store in (faulty.store, faulty.direct):
        assert store.records.read(KEY).data == b"rival"
        assert store.records.names(FOLDER).names == ("acme",)
    with pytest.raises(Conflict):
        faulty.store.records.write(KEY, b"late", expected)


def test_a_swap_of_an_object_that_is_gone_is_a_conflict(faulty: Faulty) -> None:
    """If-Match on nothing, which a server answers with 404."""
    expected = write(faulty.store, b"before")
    faulty.direct.bucket.remove(f"records/{KEY}.json")
    with pytest.raises(Conflict):
        faulty.store.records.write(KEY, b"after", expected)
    assert faulty.direct.records.read(KEY).data is None


# -- blobs ------------------------------------------------------------------------------------------------------------


def publish(store: Store, content: bytes) -> None:
    staging = store.blobs.stage(BLOB)
    staging.write(content)
    staged = staging.finish()
    try:
        store.blobs.publish(staged, {f"{BLOB}.metadata": b"Name: acme\n"})
    finally:
        staged.discard()


def content_of(store: Store, key: str = BLOB) -> bytes | None:
    try:
        with store.blobs.open(key) as blob:
            return b"".join(blob.pieces())
    except BlobMissing:
        return None


@pytest.mark.parametrize("fault", NETWORK)
@pytest.mark.parametrize("part", [f"{BLOB}$", f"{BLOB}.metadata$"], ids=["file", "metadata"])
def test_a_small_blob_is_published(fault: Fault, part: str, faulty: Faulty) -> None:
    """In one piece; a second publication under its key is refused all the same, also with the same bytes."""
    faulty.script.add(fault, "PUT", part)
    publish(faulty.store, b"content")
    faulty.check_fault(fault)
    for store in (faulty.store, faulty.direct):
        assert content_of(store) == b"content"
        assert content_of(store, f"{BLOB}.metadata") == b"Name: acme\n"
        with pytest.raises(Conflict, match="there already"):
            publish(store, b"content")


@pytest.mark.parametrize("fault", NETWORK)
def test_a_blob_whose_key_is_taken_keeps_its_bytes(fault: Fault, faulty: Faulty) -> None:
    """Whatever happens to the request that would replace it."""
    publish(faulty.direct, b"first")
    faulty.script.add(fault, "PUT", f"{BLOB}$")
    with pytest.raises(Conflict, match="there already"):
        publish(faulty.store, b"other")
    assert content_of(faulty.direct) == b"first"


@pytest.mark.parametrize("fault", [fault for fault in NETWORK if fault is not Fault.BUSY])
@pytest.mark.parametrize("size", [1000, 5 * 1024 * 1024], ids=["small", "large"])
def test_a_blob_is_read(fault: Fault, size: int, faulty: Faulty) -> None:
    """Whole, whichever of its requests fails."""
    content = os.urandom(size)
    publish(faulty.direct, content)
    for _ in range(-(-size // (2 * 1024 * 1024))):
        faulty.script.add(fault, "GET", BLOB)
    assert content_of(faulty.store) == content
    assert not faulty.script.scenes


@pytest.mark.parametrize("fault", [fault for fault in NETWORK if fault is not Fault.BUSY])
def test_blobs_are_listed_and_removed(fault: Fault, faulty: Faulty) -> None:
    """Each listed once, and with its age; and gone after they were removed."""
    publish(faulty.direct, b"content")
    faulty.script.add(fault, "GET", "list-type=2")
    faulty.script.add(fault, "HEAD", "clock")
    faulty.script.add(fault, "PUT", "clock")
    found = list(faulty.store.blobs.list())
    assert [(each.key, each.size) for each in found] == [(BLOB, 7), (f"{BLOB}.metadata", 11)]
    assert not faulty.script.scenes
    faulty.script.add(fault, "PUT", "renewed/")
    faulty.store.blobs.renew(BLOB)
    faulty.script.add(fault, "DELETE", "blobs/")
    faulty.store.blobs.remove(BLOB)
    assert not faulty.script.scenes
    assert content_of(faulty.direct) is None
    assert content_of(faulty.direct, f"{BLOB}.metadata") is not None


def test_a_listing_goes_on_where_it_failed(faulty: Faulty) -> None:
    """Two pages of a thousand, each of which fails twice: every object is there once."""
    for number in range(1100):
        faulty.direct.bucket.overwrite(f"renewed/acme/{number:04}", b"")
    for fault in (Fault.RESET, Fault.CUT_ANSWER, Fault.UNAVAILABLE):
        faulty.script.add(fault, "GET", "list-type=2")
    faulty.script.add(Fault.UNAVAILABLE, "GET", "continuation-token")
    faulty.script.add(Fault.LOST, "GET", "start-after")
    keys = [each.key for each in faulty.store.bucket.list("renewed")]  # type: ignore[attr-defined]  # BucketStore
    assert keys == [f"renewed/acme/{number:04}" for number in range(1100)]
    assert not faulty.script.scenes


@pytest.mark.parametrize("fault", NETWORK)
@pytest.mark.parametrize(
    ("method", "part"),
    [("POST", "uploads"), ("PUT", "partNumber=2"), ("POST", "uploadId=")],
    ids=["begun", "part", "completed"],
)
def test_a_large_blob_is_published(fault: Fault, method: str, part: str, faulty: Faulty) -> None:
    """Whole, whichever of its requests fails; or not at all, and the publisher is told."""
    if fault is Fault.BUSY and method != "PUT":
        pytest.skip("an answer to writes")
    content = os.urandom(SMALL * 2 + 12345)
    faulty.script.add(fault, method, part)
    is_given_up = (fault, method) in {(Fault.CUT_ANSWER, "POST"), (Fault.BUSY, "PUT")} and part != "uploadId="
    if is_given_up:  # what obstore does not try again
        with pytest.raises(StoreError):
            publish(faulty.store, content)
    else:
        publish(faulty.store, content)
    faulty.check_fault(fault)
    assert content_of(faulty.direct) == (None if is_given_up else content)
