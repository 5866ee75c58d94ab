"""Uploads of large archives beside small ones."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

import httpx

from quire.config.settings import Settings
from quire.http.app.application import create_application
from quire.http.app.worker import Worker
from quire.http.simple.uploads import LARGE_BYTES
from quire.process.threads import LARGE_UPLOADS, WRITERS
from quire.store.posix.staging import PosixStaged, PosixStaging
from tests.asking import content_type, multipart, twine_form
from tests.distributions import make_wheel, wheel_name
from tests.serving import DEADLINE


class HeldArchives:
    """Large archives are not read before `go` is set, as if they took that long to examine."""

    def __init__(self, worker: Worker) -> None:
        self.go = threading.Event()
        self.most = 0
        """So many were held at once."""
        self.are_enough = threading.Event()
        """There are as many as can be examined at once."""
        self._held = 0
        self._lock = threading.Lock()
        blobs = worker.default.store.blobs
        stage = blobs.stage

        def watched(key: str, algorithms: tuple[str, ...] | None = ()) -> PosixStaging:
            staging = stage(key, algorithms)
            assert isinstance(staging, PosixStaging)
            finish = staging.finish
            staging.finish = lambda *, durable=True: self._watch(finish(durable=durable))  # type: ignore[method-assign]
            return staging

        blobs.stage = watched  # type: ignore[method-assign]

    def _watch(self, staged: PosixStaged) -> PosixStaged:
        opening = staged.open

        def opened() -> BinaryIO:
            if staged.size > LARGE_BYTES:
                with self._lock:
                    self._held += 1
                    self.most = max(self.most, self._held)
                    if self._held == LARGE_UPLOADS:
                        self.are_enough.set()
                self.go.wait(DEADLINE)
                with self._lock:
                    self._held -= 1
            return opening()

        staged.open = opened  # type: ignore[method-assign]
        return staged


def test_small_uploads_do_not_wait_for_large_archives(tmp_path: Path) -> None:
    """Though more of these arrive at once than there are threads for changes; they are examined a few at a time."""
    root = tmp_path / "packages"
    root.mkdir()
    application = create_application(Settings(directories=(str(root),), authenticate=()))
    held = HeldArchives(application.state.worker)
    content = make_wheel("large", "1.0", files={"data": os.urandom(LARGE_BYTES)})
    form = multipart(twine_form(wheel_name("large", "1.0"), content, name="large", version="1.0"))
    small = multipart(twine_form(wheel_name("small", "1.0"), make_wheel("small", "1.0"), name="small", version="1.0"))
    headers = {"Content-Type": content_type()}

    async def scenario() -> None:
        arrived = asyncio.Semaphore(0)

        async def pieces() -> AsyncIterator[bytes]:
            for at in range(0, len(form), 1024 * 1024):
                yield form[at : at + 1024 * 1024]
            arrived.release()

        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://index", timeout=None) as client:
            many = [
                asyncio.create_task(client.post("/", content=pieces(), headers=headers)) for _ in range(WRITERS + 1)
            ]
            try:
                for _ in many:
                    await asyncio.wait_for(arrived.acquire(), DEADLINE)
                assert await asyncio.to_thread(held.are_enough.wait, DEADLINE)
                answer = await asyncio.wait_for(client.post("/", content=small, headers=headers), DEADLINE)
                assert answer.status_code == 200, answer.text
                assert not any(task.done() for task in many)
            finally:
                held.go.set()
            assert [answer.status_code for answer in await asyncio.gather(*many)] == [200] * len(many)
            assert held.most == LARGE_UPLOADS

    try:
        asyncio.run(scenario())
    finally:
        application.state.worker.close()
