"""Large files in forms: written by a thread while more of them arrives, in order and within bounds."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.types import Message

from quire.config.settings import Settings
from quire.domain.errors import QuireError, StoreFull
from quire.http.app.building import build_worker
from quire.http.app.worker import Worker
from quire.http.simple.forms import received_form
from quire.store.contracts import Staging
from tests.asking import content_type, multipart, twine_form

CHUNK = 256 * 1024
CONTENT = bytes(range(256)) * (8 * 1024 * 1024 // 256)
BODY = multipart(twine_form("large-1.0.tar.gz", CONTENT, name="large", version="1.0"))
CHUNKS = [BODY[at : at + CHUNK] for at in range(0, len(BODY), CHUNK)]


class Disk:
    """Records the pieces that the store's staging gets, and their size."""

    def __init__(self, worker: Worker, act: Callable[[int], object]) -> None:
        """`act`: called with the number of a piece, from 1, before it is written."""
        self.written = 0
        self._number = 0
        self._act = act
        blobs = worker.default.store.blobs
        stage = blobs.stage
        blobs.stage = lambda key, algorithms=(): self._watch(stage(key, algorithms))  # type: ignore[method-assign]

    def _watch(self, staging: Staging) -> Staging:
        write = staging.write

        def watched(chunk: bytes | bytearray | memoryview) -> None:
            self._number += 1
            self._act(self._number)
            write(chunk)
            self.written += len(chunk)

        staging.write = watched  # type: ignore[method-assign]
        return staging


@contextmanager
def a_worker(folder: Path) -> Iterator[Worker]:
    """A worker over a store of its own, of which nothing is left in staging."""
    root = folder / "packages"
    root.mkdir()
    worker = build_worker(Settings(directories=(str(root),)))
    try:
        yield worker
    finally:
        worker.close()
        assert list((root / "quire" / "incoming").iterdir()) == []


def receive(worker: Worker, messages: Callable[[int], Message]) -> str:
    """The sha256 of the file in a form, or the name of the error. `messages`: what arrives, by its number from 0.

    The event loop must not have been told of an error that no code waits for.
    """
    told: list[object] = []
    number = -1
    application = Starlette()
    application.state.worker = worker

    async def next_message() -> Message:
        nonlocal number
        number += 1
        return messages(number)

    async def read() -> str:
        headers = [(b"content-type", content_type().encode())]
        scope = {"type": "http", "app": application, "method": "POST", "path": "/", "headers": headers}
        request = Request(scope, next_message)
        try:
            async with received_form(request, worker, worker.default) as form:
                assert form.content is not None
                return (await worker.in_writer(form.content.finish)).digests.sha256
        except QuireError as error:
            return type(error).__name__

    async def scenario() -> str:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        found = await read()
        gc.collect()  # what a task was not asked for is told when it goes
        return found

    found = asyncio.run(scenario())
    assert told == []
    return found


def arriving(number: int) -> Message:
    return {"type": "http.request", "body": CHUNKS[number], "more_body": number + 1 < len(CHUNKS)}


def test_a_file_arrives_whole_and_in_order(tmp_path: Path) -> None:
    """Though its beginning takes the disk as long as the rest takes the network."""
    everything_came = threading.Event()

    def last(number: int) -> Message:
        if number == 8:
            everything_came.set()
        return arriving(number)

    with a_worker(tmp_path) as worker:
        Disk(worker, lambda number: everything_came.wait(60) if number == 1 else None)
        assert receive(worker, last) == hashlib.sha256(CONTENT).hexdigest()


def test_what_waits_for_the_disk_is_bounded(tmp_path: Path) -> None:
    """One piece is written while the next one arrives; no further one does."""
    on = threading.Event()

    with a_worker(tmp_path) as worker:
        disk = Disk(worker, lambda _: on.wait(60))

        def bounded(number: int) -> Message:
            if number == 0:
                asyncio.get_running_loop().call_later(0.2, on.set)
            assert (number + 1) * CHUNK - disk.written <= 2 * (1024 * 1024 + CHUNK)
            return arriving(number)

        assert receive(worker, bounded) == hashlib.sha256(CONTENT).hexdigest()


def test_a_write_that_fails_ends_the_form(tmp_path: Path) -> None:
    """With its error, before the whole form has arrived."""

    def fail(number: int) -> None:
        if number == 3:
            raise StoreFull("The disk is full.")

    def not_all(number: int) -> Message:
        assert number < len(CHUNKS) - 1
        return arriving(number)

    with a_worker(tmp_path) as worker:
        Disk(worker, fail)
        assert receive(worker, not_all) == "StoreFull"


def test_a_client_that_goes_away_while_a_write_fails(tmp_path: Path) -> None:
    """The first error counts, the other one is no news."""
    gone = threading.Event()

    def fail(_: int) -> None:
        gone.wait(60)
        raise StoreFull("The disk is full.")

    def cut_off(number: int) -> Message:
        if number < 5:
            return arriving(number)
        gone.set()
        return {"type": "http.disconnect"}

    with a_worker(tmp_path) as worker:
        Disk(worker, fail)
        assert receive(worker, cut_off) == "InvalidRequest"
