"""Downloads of blobs that are no open files: those with a URL of their own, and those whose bytes end too early."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message
from structlog.testing import capture_logs

from quire.config.settings import Settings
from quire.domain.errors import NotFound, StoreError
from quire.http.app.application import create_application
from quire.http.simple.files import CHUNK, ZEROCOPY, FileResponse
from quire.index.upload import examine, upload_key
from quire.store.open_blob import OpenBlob
from quire.upstream.reading import KeptBlob
from tests.distributions import make_wheel, wheel_name

ELSEWHERE = "https://bucket.example/blobs/elsewhere?signature=abc"
CONTENT = make_wheel("demo", "1.0")


class _Elsewhere(OpenBlob):
    """Bytes that clients get at ELSEWHERE, and never here."""

    is_open = True

    def __init__(self, size: int) -> None:
        super().__init__(size)

    def redirect_url(self) -> str:
        return ELSEWHERE

    def read_at(self, offset: int, size: int) -> bytes:
        raise AssertionError("a client that is sent elsewhere needs no bytes from here")

    def close(self) -> None:
        self.is_open = False


def ask(
    tmp_path: Path, method: str, *, downloads: str = "redirect", companion: str = "", **headers: str
) -> tuple[httpx.Response, bool]:
    """The response to a request for a file, or a companion of it, and whether its blob was left open."""
    application = create_application(Settings(directories=(str(tmp_path),), downloads=downloads))
    index: Any = application.state.worker.default
    staging = index.store.blobs.stage(upload_key(wheel_name("demo", "1.0")))
    staging.write(CONTENT)
    index.hosted.publish([examine(staging.finish(), wheel_name("demo", "1.0"))])
    blob = _Elsewhere(len(CONTENT))
    index.store.blobs.open = lambda key: blob
    url = f"/packages/demo/{hashlib.sha256(CONTENT).hexdigest()}/{wheel_name('demo', '1.0')}{companion}"

    async def request() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://index") as client:
            return await client.request(method, url, headers=headers)

    return asyncio.run(request()), blob.is_open


@pytest.mark.parametrize("headers", [{}, {"range": "bytes=3-9"}])
def test_a_download_is_sent_to_the_stores_own_url(tmp_path: Path, headers: dict[str, str]) -> None:
    """GET is redirected there with its method and range, and no cache keeps the answer: the URL is good for minutes."""
    answer, is_open = ask(tmp_path, "GET", **headers)
    assert (answer.status_code, answer.headers["location"], answer.content) == (307, ELSEWHERE, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert not {"etag", "content-type", "accept-ranges", "content-range"} & set(answer.headers)
    assert not is_open


@pytest.mark.parametrize(("downloads", "companion"), [("stream", ""), ("redirect", ".metadata")])
def test_other_bytes_are_sent_from_here(tmp_path: Path, downloads: str, companion: str) -> None:
    """Without the setting all of them, with it what stands beside a file: it is small, and clients need it often."""
    answer, is_open = ask(tmp_path, "HEAD", downloads=downloads, companion=companion)
    assert (answer.status_code, is_open) == (200, False)
    with pytest.raises(AssertionError, match="needs no bytes from here"):
        ask(tmp_path, "GET", downloads=downloads, companion=companion)


def test_head_and_revalidation_are_answered_here(tmp_path: Path) -> None:
    """They need no bytes: the record says all."""
    answer, is_open = ask(tmp_path, "HEAD")
    assert (answer.status_code, answer.headers["content-length"]) == (200, str(len(CONTENT)))
    assert not is_open
    answer, is_open = ask(tmp_path, "GET", **{"if-none-match": answer.headers["etag"]})
    assert (answer.status_code, answer.content) == (304, b"")
    assert not is_open


def test_a_range_beyond_the_end_is_refused_here(tmp_path: Path) -> None:
    """Its size is known."""
    answer, is_open = ask(tmp_path, "GET", range=f"bytes={len(CONTENT)}-")
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(CONTENT)}")
    assert not is_open


async def no_more() -> Message:
    """`receive` of a request without more bytes, for a client that stays."""
    return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # never


class _Broken(OpenBlob):
    """Bytes that are there up to the middle."""

    def __init__(self, error: StoreError | None, size: int = 2 * CHUNK) -> None:
        super().__init__(size)
        self.error = error

    def read_at(self, offset: int, size: int) -> bytes:
        if offset < CHUNK:
            return b"x" * size
        if self.error is not None:
            raise self.error
        return b""

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (None, "the file became shorter"),
        (StoreError("The store cannot read a file: gone."), "The store cannot read a file: gone."),
    ],
)
def test_a_download_that_breaks_off_stays_incomplete(tmp_path: Path, error: StoreError | None, said: str) -> None:
    """The client has seen the length, and gets no end of the body; the log tells why."""
    worker = create_application(Settings(directories=(str(tmp_path),))).state.worker
    headers = {"ETag": '"x"', "Accept-Ranges": "bytes", "Content-Type": "application/zip"}
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "extensions": {ZEROCOPY: {}}}
    with capture_logs() as lines:
        asyncio.run(FileResponse(_Broken(error), headers=headers, worker=worker)(scope, no_more, send))
    start, *bodies = sent
    assert (b"content-length", str(2 * CHUNK).encode()) in start["headers"]
    assert [(len(body["body"]), body["more_body"]) for body in bodies] == [(CHUNK, True)]
    assert [(line["event"], line["error"]) for line in lines] == [("download broken off", said)]


class _Whole(_Broken):
    """The same bytes, all of them."""

    def read_at(self, offset: int, size: int) -> bytes:
        return b"x" * min(size, self.size - offset)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_mirrored_file_that_is_removed_meanwhile_is_fetched_again(tmp_path: Path, *, is_there: bool) -> None:
    """The download goes on where it was; it breaks off only if the upstream cannot give the file."""
    worker = create_application(Settings(directories=(str(tmp_path),))).state.worker
    sent = bytearray()

    async def again() -> OpenBlob:
        if not is_there:
            raise NotFound("It is gone there, too.")
        return _Whole(None)

    async def send(message: Message) -> None:
        sent.extend(message.get("body", b""))

    blob = KeptBlob(_Broken(StoreError("Removed.")), again, by_descriptor=False)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "extensions": {ZEROCOPY: {}}}
    asyncio.run(FileResponse(blob, headers={"ETag": '"x"', "Content-Type": "x/y"}, worker=worker)(scope, no_more, send))
    assert sent == b"x" * CHUNK * (2 if is_there else 1)


def test_a_download_ends_when_its_client_has_gone(tmp_path: Path) -> None:
    """Else the rest is read, perhaps from another index or a bucket, and discarded: servers take what is sent to a
    client that is gone."""
    worker = create_application(Settings(directories=(str(tmp_path),))).state.worker
    sent: list[int] = []

    async def main() -> None:
        gone = asyncio.Event()
        messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Message:
            if messages:
                return messages.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                sent.append(len(message["body"]))
                gone.set()

        blob = _Whole(None, 20 * CHUNK)
        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        response = FileResponse(blob, headers={"ETag": '"x"', "Content-Type": "x/y"}, worker=worker)
        await response(scope, receive, send)

    with capture_logs() as lines:
        asyncio.run(main())
    assert 1 <= len(sent) < 5
    assert lines == []
