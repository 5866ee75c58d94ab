"""A small client of publishing sessions, as the text of PEP 694 has it, and an application that it talks to."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx

from quire.config.settings import Settings
from quire.http.app.application import create_application
from quire.store.contracts import Store
from tests.distributions import make_wheel, wheel_name

ROOT: Final = "/-/upload/2.0/"
TYPE: Final = "application/vnd.pypi.upload.v2+json"
HEADERS: Final = {"content-type": TYPE, "accept": TYPE}
PAGE: Final = {"accept": "application/vnd.pypi.simple.v1+json"}
META: Final = {"api-version": "2.0"}

Scenario = Callable[[httpx.AsyncClient, Store], Awaitable[None]]


def serve(where: object, scenario: Scenario, **more: Any) -> None:
    """Run a scenario against the application, in this process. `more`: settings."""
    fields: dict[str, Any] = {"authenticate": (), "no_drop_in": True, "fallback_url": None, "experimental": True}
    application = create_application(Settings(directories=(str(where),), **{**fields, **more}))

    async def run() -> None:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            await scenario(client, application.state.worker.default.store)

    asyncio.run(run())


async def send(
    client: httpx.AsyncClient, url: str, status: int, body: dict[str, Any] | None = None, **more: Any
) -> Any:
    """POST a message; the document of the answer, whose status is checked."""
    answer = await client.post(url, json={"meta": META, **(body or {})}, headers={**HEADERS, **more})
    assert answer.status_code == status, answer.text
    expected = TYPE if status < 400 else "application/problem+json"
    assert answer.headers["content-type"] == expected
    return answer.json()


async def create(
    client: httpx.AsyncClient, name: str = "alpha", version: str = "1.0", status: int = 201, at: str = "", **more: Any
) -> Any:
    return await send(client, f"{at}{ROOT}", status, {"name": name, "version": version}, **more)


async def announce(
    client: httpx.AsyncClient, session: Any, filename: str, content: bytes, status: int = 202, /, **more: Any
) -> Any:
    body = {
        "filename": filename,
        "size": len(content),
        "hashes": {"sha256": hashlib.sha256(content).hexdigest(), "blake2b": hashlib.blake2b(content).hexdigest()},
        "mechanism": "http-post-bytes",
    }
    return await send(client, session["links"]["upload"], status, body | more)


async def send_bytes(client: httpx.AsyncClient, file: Any, content: bytes, status: int = 200) -> None:
    url, kind = file["mechanism"]["file_url"], "application/octet-stream"
    answer = await client.post(url, content=content, headers={"content-type": kind})
    assert answer.status_code == status, answer.text


async def upload(client: httpx.AsyncClient, session: Any, name: str, version: str, variant: str = "") -> str:
    """Upload a wheel; its filename."""
    content = make_wheel(name, version, files={"variant.txt": variant.encode()})
    file = await announce(client, session, wheel_name(name, version), content)
    await send_bytes(client, file, content)
    done = await send(client, file["links"]["complete"], 201)
    assert done["status"] == "completed"
    return wheel_name(name, version)


async def publish(client: httpx.AsyncClient, session: Any, status: int = 201) -> Any:
    return await send(client, session["links"]["publish"], status)


async def look(client: httpx.AsyncClient, session: Any, status: int = 200) -> Any:
    answer = await client.get(session["links"]["session"])
    assert answer.status_code == status, answer.text
    return answer.json()


async def listed(client: httpx.AsyncClient, name: str, at: str = "/simple/") -> list[str]:
    answer = await client.get(f"{at}{name}/", headers=PAGE)
    return [each["filename"] for each in answer.json()["files"]] if answer.status_code == 200 else []


async def legacy(client: httpx.AsyncClient, name: str, version: str, variant: str = "", **more: Any) -> httpx.Response:
    """Upload a wheel by the legacy API."""
    content = make_wheel(name, version, files={"variant.txt": variant.encode()})
    files = {"content": (wheel_name(name, version), content)}
    return await client.post("/", data={":action": "file_upload"}, files=files, **more)
