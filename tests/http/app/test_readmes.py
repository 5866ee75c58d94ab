"""READMEs that take long: pages wait for their own README at most.

Replaced here: the rendering, by one that waits for the test, since no README takes a time that a test can choose.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import httpx
import pytest

from quire.config.settings import Settings
from quire.http.app.application import create_application
from quire.http.app.readmes import MOST_PENDING
from quire.index.index import Index
from quire.index.upload import examine, upload_key
from quire.readme.process import Readme, ReadmeProcess
from quire.store.posix.store import PosixStore
from tests.distributions import make_wheel, metadata_text, wheel_name
from tests.serving import DEADLINE

BROWSER = {"Accept": "text/html,application/xhtml+xml"}
MARKDOWN = "Description-Content-Type: text/markdown\n"


def publish(store: PosixStore, project: str, readme: str = "") -> None:
    text = metadata_text(project, "1.0", extra=MARKDOWN).partition("\n\n")[0]
    staging = store.blobs.stage(upload_key(wheel_name(project, "1.0")))
    staging.write(make_wheel(project, "1.0", metadata=f"{text}\n\n{readme}"))
    Index(store).publish([examine(staging.finish(), wheel_name(project, "1.0"))])


def hold_up(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let READMEs wait until the event is set."""
    goes_on, render = threading.Event(), ReadmeProcess.render

    def waiting_render(self: ReadmeProcess, description: str, content_type: str | None) -> Readme:
        goes_on.wait()
        return render(self, description, content_type)

    monkeypatch.setattr(ReadmeProcess, "render", waiting_render)
    return goes_on


def test_slow_readmes_hold_up_no_other_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without one and documents are made meanwhile. The README that is one too many is shown as text, this once;
    several requests for the same one take one place."""
    goes_on = hold_up(monkeypatch)
    application, store = create_application(Settings(directories=(str(tmp_path),))), PosixStore.open(str(tmp_path))
    projects = [f"p-{number}" for number in range(MOST_PENDING + 1)]
    for name in projects:
        publish(store, name, f"*of {name}*\n")
    publish(store, "plain")

    async def ask() -> None:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://index", headers=BROWSER) as client:
            asked = [asyncio.create_task(client.get(f"/project/{name}/")) for name in projects]
            try:
                async with asyncio.timeout(DEADLINE):
                    first = await next(asyncio.as_completed(asked))
                    plain = await client.get("/project/plain/")
                    document = await client.get("/pypi/plain/json")
            finally:
                goes_on.set()
            assert '<pre class="plain"' in first.text
            assert (plain.status_code, document.status_code) == (200, 200)
            assert "has no description" in plain.text
            texts = [answer.text for answer in await asyncio.gather(*asked)]
            assert sum("<em>of p-" in text for text in texts) == MOST_PENDING
            assert "<em>of p-" in (await client.get(first.url)).text
            goes_on.clear()
            publish(store, "shared", "*of all*")
            hosts = [{"Host": f"host-{number}"} for number in range(MOST_PENDING + 1)]
            asked = [asyncio.create_task(client.get("/project/shared/", headers=host)) for host in hosts]
            try:
                plain = await client.get("/project/plain/", headers={"Host": "another"})
            finally:
                goes_on.set()
            assert plain.status_code == 200
            assert all("<em>of all" in answer.text for answer in await asyncio.gather(*asked))

    try:
        asyncio.run(ask())
    finally:
        application.state.worker.close()
