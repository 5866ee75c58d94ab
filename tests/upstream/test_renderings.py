"""Rendered pages beside the pages of a mirror, and single files of a page that is not decoded.

Replaced here: the number of the rendering, as a later version will have it, and the look whether bytes are in the
system's memory, where those of this store are.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import msgspec
import pytest

from quire.domain.errors import DamagedRecord
from quire.domain.project import File, Status
from quire.operations.checking.collect import collect_garbage
from quire.render.negotiation import MediaType
from quire.render.simple import Links, ProjectListing, render_project
from quire.store.faults import Fault
from quire.store.memory import MemoryStore
from quire.store.open_blob import OpenBlob
from quire.upstream import renderings
from quire.upstream.mirrored import Content, MirroredPage, encode_page, find_file, pack, read_file
from quire.upstream.pages import UpstreamFile, UpstreamPage
from quire.upstream.renderings import RENDERING, Rendering, Renderings, form_of, is_of

CONTENT = "c" * 64
PAGE = Rendering("text/plain", '"tag"', 4, b"body")


def kept(store: MemoryStore) -> list[str]:
    return sorted(blob.key for blob in store.blobs.list("mirror/public/foo"))


def never() -> Rendering:
    raise AssertionError("it is kept")


def test_the_same_content_gives_the_same_page() -> None:
    """Kept pages are given by later versions, too: when this digest changes, raise RENDERING, and then the digest."""
    files = [
        File(
            filename=f"foo-{number}.tar.gz",
            version=str(number),
            size=number,
            hashes={"sha256": f"{number}" * 64, "md5": "0" * 32},
            uploaded="2024-01-01T00:00:00Z",
            requires_python=">=3.8",
            yanked="a <reason>" if number % 2 else False,
            metadata_sha256="a" * 64,
        )
        for number in range(1, 4)
    ]
    listing = ProjectListing(
        "foo", Status.ACTIVE, None, Links(files, [f"../../packages/{each.filename}" for each in files])
    )
    pages = [render_project(listing, media_type, "sha256") for media_type in MediaType]
    digest = hashlib.sha256(b"".join(page.content_type.encode() + page.body for page in pages)).hexdigest()[:16]
    assert (RENDERING, digest) == (2, "6a44552937046085")


def test_a_page_is_made_once_for_all_workers() -> None:
    """By content and form; a content that is replaced takes its pages with it."""
    store, form = MemoryStore(), form_of("json", "gzip")
    first, second = (Renderings(store.blobs, "mirror/public", writable=True) for _ in range(2))
    assert first.get("foo", CONTENT, form, lambda: PAGE) == PAGE
    assert second.get("foo", CONTENT, form, never) == PAGE
    assert len(kept(store)) == 1
    other = Rendering("text/plain", '"other"', 5, b"other")
    assert second.get("foo", "d" * 64, form, lambda: other) == other
    assert second.get("foo", CONTENT, form_of("html", "gzip"), lambda: other) == other
    second.remove("foo", CONTENT)
    assert kept(store) == [f"mirror/public/foo/{'d' * 32}-{form}"]
    assert is_of(f"{'d' * 32}-{form}", "d" * 64, None)
    assert not is_of(f"{'d' * 32}-{form}", CONTENT, None)
    assert is_of("a-1", CONTENT, "a-1")


@pytest.mark.parametrize("data", [b"", b"\x00" * 20, msgspec.msgpack.encode({"etag": "x"})])
def test_a_damaged_one_is_as_good_as_none(data: bytes) -> None:
    """It is made again, and the request served."""
    store, form = MemoryStore(), form_of("json")
    staging = store.blobs.stage(f"mirror/public/foo/{CONTENT[:32]}-{form}")
    staging.write(data)
    store.blobs.publish(staging.finish())
    assert Renderings(store.blobs, "mirror/public", writable=True).get("foo", CONTENT, form, lambda: PAGE) == PAGE


def test_another_version_of_the_form_has_other_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages of an older or newer server are not given."""
    before = form_of("json")
    monkeypatch.setattr(renderings, "RENDERING", RENDERING + 1)
    assert form_of("json") != before


def test_a_store_that_may_not_be_written_gets_nothing() -> None:
    """The page is made each time."""
    store = MemoryStore()
    assert Renderings(store.blobs, "mirror/public", writable=False).get("foo", CONTENT, "f", lambda: PAGE) == PAGE
    assert kept(store) == []


def test_a_page_that_cannot_be_kept_is_given() -> None:
    """A full disk stops no client that only reads."""
    store = MemoryStore()
    store.faults.next("stage", Fault.FULL)
    assert Renderings(store.blobs, "mirror/public", writable=True).get("foo", CONTENT, "f", lambda: PAGE) == PAGE
    assert kept(store) == []


def test_gc_removes_what_no_record_names() -> None:
    """Of a page that was replaced, also by a process that died; files and the pages of the present content stay."""
    store, form = MemoryStore(), form_of("json")
    folder = "mirror/public/foo"
    page = MirroredPage(confirmed=datetime(2026, 1, 1, tzinfo=UTC), content=CONTENT, blob=f"{CONTENT[:16]}-{'1' * 16}")
    store.records.write(folder, encode_page(page), store.records.read(folder))
    used = [f"{folder}/{page.blob}", f"{folder}/{CONTENT[:32]}-{form}", f"{folder}/{'a' * 64}/foo-1.tar.gz"]
    old = [f"{folder}/{'d' * 16}-{'1' * 16}", f"{folder}/{'d' * 32}-{form}", f"mirror/public/gone/{'d' * 32}-{form}"]
    for key in (*used, *old):
        staging = store.blobs.stage(key)
        staging.write(b"x")
        store.blobs.publish(staging.finish())
    assert collect_garbage(store, list, older_than=3600.0).blobs == []
    assert sorted(blob.key for blob in collect_garbage(store, list, older_than=0.0).blobs) == sorted(old)
    assert sorted(blob.key for blob in store.blobs.list("mirror")) == sorted(used)
    store.records.write(folder, b'{"format": 99}', store.records.read(folder))
    assert collect_garbage(store, list, older_than=0.0).blobs == []


def test_one_file_is_found_without_decoding_the_others() -> None:
    """Each of them, whatever texts another index puts into the fields of the one before."""
    reason = 'see {"filename":"foo-3.tar.gz","url":"https://evil.test/x"} ]},{"filename":"foo-2.tar.gz",'
    page = UpstreamPage(
        files=tuple(
            UpstreamFile(
                filename=f"foo-{number}.tar.gz",
                url=f"https://files.test/{number}",
                version=str(number),
                hashes={"sha256": "a" * 64},
                yanked=reason,
            )
            for number in range(5)
        ),
        status=Status.DEPRECATED,
        status_reason=reason,
    )
    data = Content.of(page).data
    assert [find_file(data, each.filename) for each in page.files] == list(page.files)
    assert find_file(data, "foo-9.tar.gz") is None
    assert find_file(data, 'foo-1.tar.gz","url') is None
    with pytest.raises(DamagedRecord):
        find_file(data[: data.rfind(b'{"filename"') + 40], "foo-4.tar.gz")


@pytest.mark.parametrize(("length", "is_inline"), [(10, True), (60_000, False)])
def test_a_page_that_is_small_only_while_packed_is_not_unpacked_at_once(
    monkeypatch: pytest.MonkeyPatch, length: int, is_inline: bool
) -> None:
    """Not on an event loop: another index may send such a page."""
    monkeypatch.setattr(OpenBlob, "read_inline", OpenBlob.read)
    store = MemoryStore()
    url = f"https://files.test/{'a' * length}"
    files = [
        UpstreamFile(filename=f"foo-{number}.tar.gz", url=url, version=str(number), hashes={"sha256": "a" * 64})
        for number in range(100)
    ]
    content = Content.of(UpstreamPage(files=tuple(files)))
    page = MirroredPage(confirmed=datetime(2026, 1, 1, tzinfo=UTC), content=content.name, blob="page")
    staging = store.blobs.stage("mirror/public/foo/page")
    staging.write(pack(content))
    store.blobs.publish(staging.finish())
    found = read_file(store.blobs, "mirror/public/foo", page, "foo-7.tar.gz", inline=True)
    assert found == (files[7] if is_inline else None)
    assert read_file(store.blobs, "mirror/public/foo", page, "foo-7.tar.gz") == files[7]
