"""Stages over HTTP and the command line: published to, installed from, promoted in one step, ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from quire import cli
from quire.access.records import AccessRecords
from quire.config.settings import Settings
from quire.http.app.application import create_application
from quire.index.audit.entries import Origin, entries_of
from quire.index.index import Index
from quire.operations import defining, granting
from quire.store.contracts import Store
from tests.distributions import make_wheel, wheel_name

JSON = {"accept": "application/vnd.pypi.simple.v1+json"}
API = "/-/api/v1/indexes"
ORIGIN = Origin(user="ann")

Scenario = Callable[[httpx.AsyncClient, Store], Awaitable[None]]


def serve(where: object, scenario: Scenario) -> None:
    settings = Settings(directories=(str(where),), authenticate=(), no_drop_in=True, fallback_url=None)
    application = create_application(settings)

    async def run() -> None:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            await scenario(client, application.state.worker.default.store)

    asyncio.run(run())


def stage(store: Store, name: str, **settings: object) -> None:
    defining.create_index(
        AccessRecords(store), name, {"in_front_of": "main", **settings}, default="main", origin=ORIGIN
    )


async def upload(client: httpx.AsyncClient, at: str, name: str, version: str, variant: str = "") -> httpx.Response:
    content = make_wheel(name, version, files={"variant.txt": variant.encode()})
    return await client.post(
        at, data={":action": "file_upload"}, files={"content": (wheel_name(name, version), content)}
    )


async def listed(client: httpx.AsyncClient, at: str, name: str) -> list[str]:
    answer = await client.get(f"{at}simple/{name}/", headers=JSON)
    return [each["filename"] for each in answer.json()["files"]] if answer.status_code == 200 else []


async def promote(client: httpx.AsyncClient, name: str, status: int = 200, **body: object) -> Any:
    answer = await client.post(f"{API}/{name}/promote", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.mark.parametrize("kind", ["volume", "memory"])
def test_a_stage_is_promoted_in_one_step(kind: str, tmp_path: Path) -> None:
    """All of its projects are in the index then, and none in the stage; the log says whose work it was."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        await asyncio.to_thread(stage, store, "pr-1")
        assert (await upload(client, "/", "alpha", "1.0")).status_code == 200
        for name, version in (("alpha", "2.0"), ("beta", "1.0")):
            assert (await upload(client, "/pr-1/", name, version)).status_code == 200
        assert await listed(client, "/", "beta") == []
        planned = await promote(client, "pr-1", dry_run=True)
        assert await listed(client, "/", "beta") == []
        done = await promote(client, "pr-1")
        assert done == {**planned, "dry_run": False}
        assert done["to"] == "main"
        assert {each["project"]: each["files"] for each in done["projects"]} == {
            "alpha": [wheel_name("alpha", "2.0")],
            "beta": [wheel_name("beta", "1.0")],
        }
        assert await listed(client, "/", "alpha") == [wheel_name("alpha", version) for version in ("1.0", "2.0")]
        assert await listed(client, "/", "beta") == [wheel_name("beta", "1.0")]
        page = (await client.get("/simple/beta/", headers=JSON)).json()["files"][0]
        file = await client.get(f"/simple/beta/{page['url']}")
        assert file.content == make_wheel("beta", "1.0", files={"variant.txt": b""})
        assert (await client.get(f"/simple/beta/{page['url'].partition('#')[0]}.metadata")).status_code == 200
        assert Index(store, "pr-1").names() == ()
        entry = entries_of(store.records.read("main/projects/beta"))[-1]
        assert (entry["action"], entry["promoted_from"]) == ("publish", "pr-1")
        assert "no files to promote" in (await promote(client, "pr-1", 404))["detail"]

    serve(tmp_path if kind == "volume" else f"memory:{tmp_path.name}", scenario)


def test_one_refusal_publishes_nothing(tmp_path: Path) -> None:
    """A dry run names every project that stands against it; the promotion the first one."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        await asyncio.to_thread(stage, store, "pr-1")
        for name in ("alpha", "beta"):
            await upload(client, "/pr-1/", name, "1.0", "theirs")
        await upload(client, "/", "beta", "1.0", "ours")
        planned = await promote(client, "pr-1", dry_run=True)
        assert [each["problem"] is None for each in planned["projects"]] == [True, False]
        assert "already exists" in (await promote(client, "pr-1", 409))["detail"]
        assert await listed(client, "/", "alpha") == []
        assert Index(store, "pr-1").names() == ("alpha", "beta")
        assert "is no stage" in (await promote(client, "main", 400))["detail"]
        await promote(client, "pr-2", 404)

    serve(tmp_path, scenario)


def test_the_rights_of_both_indexes_are_needed(tmp_path: Path) -> None:
    """On the stage and on the index, for each project; an index that takes no uploads takes no promotion."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        await asyncio.to_thread(stage, store, "pr-1")
        await upload(client, "/pr-1/", "alpha", "1.0")
        access = AccessRecords(store)

        async def give(index: str, *projects: str) -> None:
            await asyncio.to_thread(
                granting.give, access, "anonymous", ["upload"], index, list(projects), origin=ORIGIN
            )

        async def take_uploads(uploads: bool) -> None:
            await asyncio.to_thread(
                defining.set_index, access, "main", {"uploads": uploads}, default="main", origin=ORIGIN
            )

        await asyncio.to_thread(granting.begin, access, "boss", ["download", "list", "update"], ORIGIN)
        await promote(client, "pr-1", 401)
        await give("pr-1")
        await promote(client, "pr-1", 401)
        await give("main", "beta*")
        await promote(client, "pr-1", 401)
        await give("main")
        await take_uploads(False)
        assert "takes no uploads" in (await promote(client, "pr-1", 403))["detail"]
        await take_uploads(True)
        assert len((await promote(client, "pr-1"))["projects"]) == 1

    serve(tmp_path, scenario)


def test_commands_on_the_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Made, shown, promoted, deleted; sentences for what cannot be."""

    def quire(*words: str, code: int = 0) -> str:
        assert cli.main([*words, "-d", str(tmp_path)]) == code
        captured = capsys.readouterr()
        return captured.out + captured.err

    async def publish(client: httpx.AsyncClient, store: Store) -> None:
        await upload(client, "/pr-1/", "alpha", "1.0")

    serve(tmp_path, lambda client, store: upload(client, "/", "beta", "1.0"))  # type: ignore[arg-type,return-value]
    made = quire("stage", "create", "pr-1", "--in-front-of", "main", "--expires", "14d")
    assert "Made the stage pr-1 in front of main: publish to /pr-1/ until 2" in made
    serve(tmp_path, publish)
    assert "is a stage itself" in quire("stage", "create", "pr-2", "--in-front-of", "pr-1", code=1)
    assert "There is no index 'nothing'" in quire("stage", "create", "pr-2", "--in-front-of", "nothing", code=1)
    assert json.loads(quire("stage", "list", "--json"))["stages"][0]["in_front_of"] == "main"
    assert "main" in quire("stage", "show", "pr-1")
    assert "There is no stage 'pr-3'" in quire("stage", "show", "pr-3", code=1)
    assert "Would promote 1 file of 1 project from pr-1 into main." in quire("promote", "pr-1", "--dry-run")
    assert "Promoted 1 file of 1 project from pr-1 into main." in quire("promote", "pr-1")
    assert "no files to promote" in quire("promote", "pr-1", code=1)
    assert "no such stage" not in quire("stage", "delete", "pr-1")
    assert json.loads(quire("stage", "list", "--json")) == {"stages": []}
    assert "alpha" in quire("ls")
