"""Requests and their indexes: the route says which index a request is of, for pages, downloads and uploads alike."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.routing import Mount

from quire.catalog.served import IndexPolicy, ServedIndex
from quire.config.settings import Settings
from quire.http.app.application import create_application
from quire.index.index import Index
from quire.process.budget import Budget
from quire.process.threads import Threads
from tests.distributions import make_wheel, wheel_name


def _with_two_indexes(folder: Path) -> Starlette:
    """An application whose routes answer for the default index, and below `/<name>` for the index of that name."""
    application = create_application(
        Settings(directories=(str(folder),), authenticate=(), no_drop_in=True, fallback_url=None)
    )
    worker = application.state.worker
    other = ServedIndex(
        Index(worker.default.store, "other"),
        [],
        IndexPolicy(),
        budget=Budget(2**20),
        threads=Threads(),
        tallies=worker.metrics.tally.barriers,
    )
    worker.indexes = {**worker.indexes, other.name: other}
    application.router.routes.insert(0, Mount("/at/{index}", routes=list(application.router.routes)))
    return application


def test_the_route_says_which_index_a_request_is_of(tmp_path: Path) -> None:
    """A file published to one index is in its pages and downloads, and in none of another index of the same store."""
    content, filename = make_wheel("demo", "1.0"), wheel_name("demo", "1.0")
    file = f"packages/demo/{hashlib.sha256(content).hexdigest()}/{filename}"

    async def scenario() -> dict[str, int]:
        transport = httpx.ASGITransport(_with_two_indexes(tmp_path))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            published = await client.post(
                "/at/other/", data={":action": "file_upload"}, files={"content": (filename, content)}
            )
            assert published.status_code == 200, published.text
            asked = (
                f"{prefix}{path}" for prefix in ("/at/other/", "/at/main/", "/") for path in ("simple/demo/", file)
            )
            answers = {path: (await client.get(path)).status_code for path in (*asked, "/at/missing/simple/")}
            assert "demo" in (await client.get("/at/other/packages/")).text
            assert "demo" not in (await client.get("/packages/")).text
        return answers

    assert asyncio.run(scenario()) == {
        "/at/other/simple/demo/": 200,
        f"/at/other/{file}": 200,
        "/at/main/simple/demo/": 404,
        f"/at/main/{file}": 404,
        "/simple/demo/": 404,
        f"/{file}": 404,
        "/at/missing/simple/": 404,
    }
