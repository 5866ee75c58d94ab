"""Downloads from a store that gives a file a URL of its own."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from quire.config.settings import Settings
from quire.http.app.application import create_application
from quire.index.upload import examine
from quire.store.contracts import OpenBlob
from tests.distributions import make_wheel, wheel_name

ELSEWHERE = "https://bucket.example/blobs/elsewhere?signature=abc"
CONTENT = make_wheel("demo", "1.0")


class _Elsewhere(OpenBlob):
    """Bytes that clients get at ELSEWHERE, and nobody here."""

    is_open = True

    def __init__(self, size: int) -> None:
        super().__init__(size, redirect_url=ELSEWHERE)

    def read_at(self, offset: int, size: int) -> bytes:
        raise AssertionError("a client that is sent elsewhere needs no bytes from here")

    def close(self) -> None:
        self.is_open = False


def ask(tmp_path: Path, method: str, **headers: str) -> tuple[httpx.Response, bool]:
    """The response to a request for a file, and whether its blob was left open."""
    application = create_application(Settings(directories=(str(tmp_path),)))
    index: Any = application.state.worker.default
    staging = index.store.blobs.stage()
    staging.write(CONTENT)
    index.hosted.publish([examine(staging.finish(), wheel_name("demo", "1.0"))])
    blob = _Elsewhere(len(CONTENT))
    index.store.blobs.open = lambda key: blob
    url = f"/packages/demo/{hashlib.sha256(CONTENT).hexdigest()}/{wheel_name('demo', '1.0')}"

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
