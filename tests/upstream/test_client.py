"""Asking another index: bounded and checked answers, retries, downloads.

Replaced here: the deadline of a page, which is two minutes.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from quire.domain.errors import DigestMismatch, TooLarge, UpstreamError
from quire.upstream import client as upstream
from quire.upstream.client import ATTEMPTS, Upstream
from quire.upstream.pages import UpstreamFile
from tests.serving import free_port
from tests.upstreams import JSON, Answer, FakeIndex, page, serving_index

T = TypeVar("T")
URL = "http://host.test/simple/foo/"
SHA = "a" * 64


class Pauses:
    """Instead of sleeping: remembers how long it should have."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def with_upstream(url: str, use: Callable[[Upstream], Awaitable[T]], pauses: Pauses | None = None) -> T:
    async def main() -> T:
        async with Upstream(url, pause=pauses or Pauses()) as asked:
            return await use(asked)

    return asyncio.run(main())


def files_of(url: str, name: str, pauses: Pauses | None = None) -> tuple[UpstreamFile, ...] | None:
    return with_upstream(url, lambda asked: asked.project(name), pauses)


class Memory:
    """A sink."""

    def __init__(self) -> None:
        self.data = b""
        self.discarded = False

    def write(self, chunk: bytes) -> None:
        self.data += chunk

    def discard(self) -> None:
        self.discarded = True


# -- asking -----------------------------------------------------------------------------------------------------------


def test_json_is_preferred_and_the_name_is_normalized(index: FakeIndex) -> None:
    """The request names the project by PEP 503 and prefers JSON over HTML."""
    index.has("foo-bar", {"foo_bar-1.0.tar.gz": b"x"})
    files = files_of(index.url, "Foo.Bar")
    assert files is not None
    assert files[0].url == f"{index.base}/files/foo_bar-1.0.tar.gz"
    path, headers = index.requests[0]
    assert path == "/simple/foo-bar/"
    assert headers["accept"].startswith(JSON)
    assert "text/html;q=0.01" in headers["accept"]


@pytest.mark.parametrize("status", [404, 410])
def test_an_unknown_project_is_none(index: FakeIndex, status: int) -> None:
    """404 and 410 are answers, not failures, and are not asked for twice."""
    index.at("/simple/foo/", Answer(status=status))
    assert files_of(index.url, "foo") is None
    assert len(index.requests) == 1


def test_links_are_relative_to_where_a_redirect_led(index: FakeIndex) -> None:
    """PEP 503 redirects are followed; relative links are taken from the last URL."""
    index.at("/simple/foo/", Answer(status=301, headers={"Location": "/other/simple/foo/"}))
    index.at("/other/simple/foo/", page([{"filename": "foo-1.0.tar.gz", "url": "foo-1.0.tar.gz"}]))
    files = files_of(index.url, "foo")
    assert files is not None
    assert files[0].url == f"{index.base}/other/simple/foo/foo-1.0.tar.gz"


@pytest.mark.parametrize("location", ["/simple/foo/", "ftp://host.test/", "http://[bad/"])
def test_redirects_to_nowhere_end(index: FakeIndex, location: str) -> None:
    """A loop, another scheme and a broken URL are refused in one sentence."""
    index.at("/simple/foo/", Answer(status=302, headers={"Location": location}))
    with pytest.raises(UpstreamError):
        files_of(index.url, "foo")
    assert len(index.requests) <= 3 * 6


def test_what_may_pass_is_tried_again(index: FakeIndex) -> None:
    """503 and 429 are repeated, after as long as Retry-After says, within reason."""
    index.at(
        "/simple/foo/",
        Answer(status=503),
        Answer(status=429, headers={"Retry-After": "99999"}),
        page([]),
    )
    pauses = Pauses()
    assert files_of(index.url, "foo", pauses) == ()
    assert pauses.seconds == [0.5, upstream.MAX_PAUSE]


@pytest.mark.parametrize(("status", "attempts"), [(500, ATTEMPTS), (401, 1), (403, 1), (400, 1), (204, 1)])
def test_a_persistent_error_is_reported(index: FakeIndex, status: int, attempts: int) -> None:
    """The sentence names server and status; what will not change is not repeated."""
    index.at("/simple/foo/", Answer(status=status))
    with pytest.raises(UpstreamError, match=rf"127\.0\.0\.1 answers {status} "):
        files_of(index.url, "foo")
    assert len(index.requests) == attempts


def test_a_closed_port(index: FakeIndex) -> None:
    """A refused connection is tried again, then told; `reached` says that there was never an answer."""
    pauses = Pauses()

    async def use(asked: Upstream) -> bool:
        with pytest.raises(UpstreamError, match=r"cannot be reached: Connection refused\.$") as caught:
            await asked.project("foo")
        assert "127.0.0.1" not in caught.value.told
        return asked.reached

    assert with_upstream(f"http://127.0.0.1:{free_port()}/simple/", use, pauses) is False
    assert pauses.seconds == [0.5, 1.0]


def test_silence_ends(index: FakeIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that is never complete is given up at its deadline."""
    monkeypatch.setattr(upstream, "PAGE_SECONDS", 0.0)
    index.at("/simple/foo/", page([]))
    with pytest.raises(UpstreamError, match="does not answer in time"):
        files_of(index.url, "foo")


def test_a_truncated_page_is_not_believed(index: FakeIndex) -> None:
    """Fewer bytes than announced: tried again, never taken for a page."""
    whole = page([{"filename": "foo-1.0.tar.gz", "url": "x"}])
    cut = Answer(whole.body[:-10], JSON, length=len(whole.body), headers={"Connection": "close"})
    index.at("/simple/foo/", cut, whole)
    assert len(files_of(index.url, "foo") or ()) == 1


def test_compressed_pages_are_bounded(index: FakeIndex) -> None:
    """gzip is understood; a bomb is refused at the limit, as are a long plain page and encodings not asked for."""
    gzipped = {"Content-Encoding": "gzip"}
    index.at("/simple/foo/", Answer(gzip.compress(page([]).body), JSON, headers=gzipped))
    assert files_of(index.url, "foo") == ()
    refused = [
        Answer(gzip.compress(b" " * (upstream.MAX_PAGE_BYTES + 1)), JSON, headers=gzipped),
        Answer(b" " * (upstream.MAX_PAGE_BYTES + 1), JSON),
        Answer(b"no gzip", JSON, headers=gzipped),
        Answer(gzip.compress(page([]).body)[:-9], JSON, headers=gzipped),
        Answer(gzip.compress(page([]).body) + b"behind its end", JSON, headers=gzipped),
        Answer(page([]).body, JSON, headers={"Content-Encoding": "br"}),
    ]
    for answer in refused:
        index.at("/simple/foo/", answer)
        with pytest.raises(UpstreamError):
            files_of(index.url, "foo")


def test_a_login_goes_to_its_own_origin_only(index: FakeIndex) -> None:
    """User and password of the URL are sent to the index, to no other host, and are in no error."""
    with serving_index() as other:
        data = b"content"
        entry = {
            "filename": "foo-1.0.tar.gz",
            "url": f"{other.base}/f",
            "hashes": {"sha256": hashlib.sha256(data).hexdigest()},
        }
        index.at("/simple/foo/", page([entry]))
        other.at("/f", Answer(data))
        url = index.url.replace("//", "//us%40er:pa%3Ass@")

        async def use(asked: Upstream) -> bytes:
            assert asked.url == index.url
            files = await asked.project("foo")
            assert files is not None
            index.at("/simple/bar/", Answer(status=401))
            with pytest.raises(UpstreamError) as caught:
                await asked.project("bar")
            assert "pa:ss" not in str(caught.value)
            return (await asked.download(files[0], Memory, limit=100)).data

        assert with_upstream(url, use) == data
        assert index.requests[0][1]["authorization"] == "Basic dXNAZXI6cGE6c3M="
        assert "authorization" not in other.requests[0][1]


# -- downloads --------------------------------------------------------------------------------------------------------


def download(index: FakeIndex, limit: int = 1000) -> tuple[bytes, list[Memory]]:
    """The data of the first file of foo, and all sinks."""
    sinks: list[Memory] = []

    def open_sink() -> Memory:
        sinks.append(Memory())
        return sinks[-1]

    async def use(asked: Upstream) -> bytes:
        files = await asked.project("foo")
        assert files is not None
        return (await asked.download(files[0], open_sink, limit=limit)).data

    try:
        return with_upstream(index.url, use), sinks
    except (DigestMismatch, TooLarge, UpstreamError):
        assert all(sink.discarded for sink in sinks)
        raise


def test_a_file_arrives_as_it_is(index: FakeIndex) -> None:
    """The bytes are the file's, also when the server calls its gzip a Content-Encoding; a cut one is read again."""
    data = gzip.compress(b"an sdist")
    index.has("foo", {"foo-1.0.tar.gz": data})
    index.at(
        "/files/foo-1.0.tar.gz",
        Answer(data[:5], length=len(data), headers={"Connection": "close"}),
        Answer(data, headers={"Content-Encoding": "gzip"}),
    )
    found, sinks = download(index)
    assert found == data
    assert [sink.discarded for sink in sinks] == [True, False]
    assert index.requests[-1][1]["accept-encoding"] == "identity"


class Slow(Memory):
    """Its first write waits; it notes the order of its calls, and their threads."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.goes_on = threading.Event(), threading.Event()
        self.calls: list[str] = []
        self.threads = set[int]()

    def write(self, chunk: bytes) -> None:
        self.entered.set()
        self.goes_on.wait(60)
        self.calls.append("written")
        self.threads.add(threading.get_ident())
        super().write(chunk)

    def discard(self) -> None:
        self.calls.append("discarded")


def test_the_disk_does_not_hold_up_other_connections(index: FakeIndex) -> None:
    """Files are written in threads, also one that has more bytes than are written at once; pages arrive meanwhile."""
    data, sink = bytes(3 * 1024 * 1024 + 1), Slow()
    index.has("foo", {"foo-1.0.tar.gz": data})

    async def use(asked: Upstream) -> None:
        files = await asked.project("foo")
        assert files is not None
        fetching = asyncio.create_task(asked.download(files[0], lambda: sink, limit=len(data)))
        assert await asyncio.to_thread(sink.entered.wait, 60)
        assert await asked.project("foo") == files
        sink.goes_on.set()
        await fetching

    with_upstream(index.url, use)
    assert sink.data == data
    assert threading.get_ident() not in sink.threads


def test_a_sink_is_discarded_after_its_last_write(index: FakeIndex) -> None:
    """Also where the download is cancelled while a thread writes: its descriptor may be that of another file then."""
    sink = Slow()
    index.has("foo", {"foo-1.0.tar.gz": b"content"})

    async def use(asked: Upstream) -> None:
        files = await asked.project("foo")
        assert files is not None
        fetching = asyncio.create_task(asked.download(files[0], lambda: sink, limit=1000))
        assert await asyncio.to_thread(sink.entered.wait, 60)
        fetching.cancel()
        asyncio.get_running_loop().call_soon(sink.goes_on.set)
        with pytest.raises(asyncio.CancelledError):
            await fetching

    with_upstream(index.url, use)
    assert sink.calls == ["written", "discarded"]


@pytest.mark.parametrize("size", [None, 7])
def test_wrong_bytes_are_discarded(index: FakeIndex, size: int | None) -> None:
    """Other content than announced is not kept, whatever its size."""
    index.has("foo", {"foo-1.0.tar.gz": b"content"}, foo_1_0_tar_gz={"size": size})
    for wrong in (b"CONTENT", b"conten", b"content."):
        index.at("/files/foo-1.0.tar.gz", Answer(wrong))
        with pytest.raises(DigestMismatch):
            download(index)


def test_too_much_is_refused(index: FakeIndex) -> None:
    """Over the limit: not begun when the size is announced, ended there when it is not."""
    index.has("foo", {"foo-1.0.tar.gz": b"content"})
    with pytest.raises(TooLarge):
        download(index, limit=6)
    assert index.paths == ["/simple/foo/"]
    index.has("foo", {"foo-1.0.tar.gz": b"content"}, foo_1_0_tar_gz={"size": None})
    with pytest.raises(TooLarge):
        download(index, limit=6)


@pytest.mark.parametrize("hashes", [{}, {"md5": "0" * 32}, {"sha256": "no digest"}])
def test_what_cannot_be_verified_is_not_downloaded(index: FakeIndex, hashes: dict[str, str]) -> None:
    """Without a strong digest on the page no byte is asked for."""
    index.has("foo", {"foo-1.0.tar.gz": b"content"}, foo_1_0_tar_gz={"hashes": hashes})
    with pytest.raises(UpstreamError, match="cannot be verified"):
        download(index)
    assert index.paths == ["/simple/foo/"]


def test_a_stronger_digest_alone_is_enough(index: FakeIndex) -> None:
    """An index that announces sha512 only can be read."""
    hashes = {"sha512": hashlib.sha512(b"content").hexdigest()}
    index.has("foo", {"foo-1.0.tar.gz": b"content"}, foo_1_0_tar_gz={"hashes": hashes})
    assert download(index)[0] == b"content"


def test_a_missing_file_is_an_error(index: FakeIndex) -> None:
    """A listed file that answers 404 is one sentence."""
    index.has("foo", {"foo-1.0.tar.gz": b"content"})
    index.at("/files/foo-1.0.tar.gz", Answer(status=404))
    with pytest.raises(UpstreamError, match="answers 404"):
        download(index)
