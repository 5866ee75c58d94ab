"""Pages and documents that a mirror keeps without waiting for the disk, and what a loss of power may do to them.

Replaced here: `os.fsync`, which is counted.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from quire.domain.errors import BlobMissing, DamagedRecord
from quire.store.contracts import Store
from quire.store.opening import open_store
from quire.upstream.documents import MirroredDocuments
from quire.upstream.mirror import Mirror
from quire.upstream.mirrored import MirroredPage, Validators, decode_page, encode_page, now_utc
from quire.upstream.pages import UpstreamFile
from quire.upstream.renderings import Rendering, Renderings
from quire.upstream.server import OtherServer
from quire.upstream.space import MirrorSpace
from tests.upstream.test_mirror import AGES, Inline, Other, answer, number_of
from tests.upstreams import Answer, FakeIndex

DOCUMENT = b"Metadata-Version: 2.1\nName: foo\nVersion: 1\n"
LARGE = 400
"""Files of a page that is kept in a blob."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each fsync."""
    calls: list[int] = []
    real = os.fsync

    def counted(fd: int) -> None:
        calls.append(fd)
        real(fd)

    monkeypatch.setattr(os, "fsync", counted)
    return calls


def mirror(store: Store, other: Other, *, durable: bool = False) -> Mirror:
    return Mirror(store, "public", other, AGES, executor=Inline, durable=durable)


def asked(store: Store, other: Other, name: str = "foo", *, durable: bool = False) -> str | None:
    return number_of(asyncio.run(mirror(store, other, durable=durable).get(name, None)))


def other_of(*numbers: int, files: int = 1) -> Other:
    other = Other()
    other.answers = [answer(number, files) for number in numbers]
    return other


def damaged(data: bytes) -> Iterator[bytes]:
    """The bytes as a loss of power may leave them: none, a part, blocks that were never written."""
    yield b""
    yield b"\0" * len(data)
    for place in range(0, len(data), max(1, len(data) // 40)):
        yield data[:place]
        yield data[:place] + b"\0" * (len(data) - place)
        yield data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def files_of(store: Store, pattern: str) -> list[Path]:
    assert store.home is not None
    return [path for path in Path(store.home).glob(pattern) if path.is_file()]


@pytest.mark.parametrize("files", [1, LARGE])
def test_a_new_page_does_not_wait_for_the_disk(files: int, store: Store, synced: list[int]) -> None:
    """It can be asked for again. Those that a command fetches are durable when it ends."""
    asked(store, other_of(1, files=files), "bar")  # the folders of the mirror are durable from now on
    synced.clear()
    mirrored, other = mirror(store, Other()), other_of(1, files=files)
    mirrored = mirror(store, other)
    asyncio.run(mirrored.get("foo", None))
    first = len(synced)
    for name in ("one", "two", "three"):
        asyncio.run(mirrored.get(name, None))
    assert len(synced) == first <= 2
    asked(store, other, "four", durable=True)
    assert len(synced) >= first + 3


def test_a_page_that_replaces_another_is_durable(store: Store, synced: list[int]) -> None:
    """No loss of power takes it back behind an answer that was given, nor the record that was not durable before."""
    asked(store, other_of(1))
    before = len(synced)
    record = store.records.read("mirror/public/foo")
    store.records.write("mirror/public/foo", encode_page(MirroredPage(confirmed=now_utc())), record)
    assert len(synced) >= before + 2


@pytest.mark.parametrize("files", [1, LARGE])
@pytest.mark.parametrize("pattern", ["records/mirror/public/foo/*.json", "blobs/mirror/public/foo/*"])
def test_a_page_that_was_damaged_is_asked_for_again(pattern: str, files: int, store: Store) -> None:
    """As one that was never kept; then it is there again, durably."""
    asked(store, other_of(1, files=files))
    found = files_of(store, pattern)
    assert len(found) == (files == LARGE or "records" in pattern)
    for path in found:
        path.write_bytes(b"")
        other = other_of(2, files=files)
        read = asyncio.run(read_of(mirror(store, other)))
        assert (read, len(other.asked)) == ("foo-2.0.tar.gz", 1)
        assert asked(store, Other()) == "foo-2.0.tar.gz"


async def read_of(mirrored: Mirror) -> str | None:
    """As the catalog reads: a page that cannot be read is asked for once more."""
    with suppress(BlobMissing, DamagedRecord):
        return number_of(await mirrored.get("foo", None))
    return number_of(await mirrored.get("foo", None))


def test_no_damaged_record_is_taken_for_a_page() -> None:
    """Whichever of its bytes were lost; records of older versions, without a digest, are read as they are."""
    page = MirroredPage(confirmed=now_utc(), content="a" * 64, validators=Validators('"a"'))
    data = encode_page(page)
    assert decode_page(data) == page
    for each in damaged(data):
        with pytest.raises(DamagedRecord):
            decode_page(each)
    assert decode_page(msgspec.json.encode(page)) == page


def test_no_damaged_rendering_is_given(store: Store) -> None:
    """It is made again, and kept in its place."""
    page = Rendering("text/html", '"a"', 3, b"abc" * 100)
    renderings = Renderings(store.blobs, "mirror/public", writable=True)
    renderings.get("foo", "a" * 64, "form", lambda: page)
    (path,) = files_of(store, "blobs/mirror/public/foo/*")
    for each in damaged(path.read_bytes()):
        path.write_bytes(each)
        assert renderings.get("foo", "a" * 64, "form", lambda: page) == page
        assert Renderings(store.blobs, "mirror/public", writable=True).get("foo", "a" * 64, "form", never) == page


def never() -> Rendering:
    raise AssertionError("it was kept")


def test_no_damaged_metadata_is_given(store: Store, index: FakeIndex) -> None:
    """It is compared with its digest by each worker once, removed, and fetched again."""
    key = f"mirror/public/foo/{'a' * 64}/foo-1.tar.gz"
    index.at("/files/foo-1.tar.gz.metadata", Answer(DOCUMENT))
    url, digest = f"{index.base}/files/foo-1.tar.gz", sha256(DOCUMENT).hexdigest()
    file = UpstreamFile(filename="foo-1.tar.gz", url=url, version="1", metadata=digest)

    def worker(server: OtherServer) -> MirroredDocuments:
        return MirroredDocuments(store, server, MirrorSpace(store, None, Inline), readers=Inline, writers=Inline)

    async def given() -> bytes:
        server = OtherServer(index.url)
        try:
            found = await worker(server).metadata(key, file)
            return found if isinstance(found, bytes) else found.read()
        finally:
            await server.close()

    assert asyncio.run(given()) == DOCUMENT
    (path,) = files_of(store, f"blobs/mirror/public/foo/{'a' * 64}/*")
    for number, each in enumerate([b"", b"\0" * len(DOCUMENT), DOCUMENT[:-1]], start=2):
        path.write_bytes(each)
        with pytest.raises(BlobMissing):
            worker(OtherServer(index.url)).open_kept(f"{key}.metadata", digest)
        assert asyncio.run(given()) == DOCUMENT
        assert len(index.requests) == number
        with worker(OtherServer(index.url)).open_kept(f"{key}.metadata", digest) as found:
            assert found.read() == DOCUMENT
