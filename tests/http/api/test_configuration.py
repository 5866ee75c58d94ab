"""A declared configuration and namespaces over the JSON API."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from pathlib import Path
from typing import Any

import httpx

from quire import cli
from quire.config.settings import Settings
from quire.http.app.application import create_application
from quire.index.index import Index
from quire.store.opening import open_store
from tests.index.test_index import staged_wheel

PATH = "/-/api/v1/configuration"


def quire(*words: object) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert cli.main([*map(str, words)]) == 0
    return said.getvalue()


def test_a_configuration_is_applied_whole(tmp_path: Path) -> None:
    """By administrators only; a dry run and a wrong file change nothing; the next request has it, in each index."""
    (tmp_path / "packages").mkdir()
    store = open_store(str(tmp_path / "packages"))
    Index(store).publish([staged_wheel(store, "alpha", "1.0")])
    place = ("-d", tmp_path / "packages")
    quire("access", "init", "--admin", "ann", "-a", "update", *place)
    tokens = {
        right: json.loads(quire("token", "create", "--right", right, "--json", *place))["token"]
        for right in ("admin", "upload")
    }
    settings = Settings(directories=(str(tmp_path / "packages"),), no_drop_in=True, fallback_url=None)
    application = create_application(settings)
    wanted: dict[str, Any] = {
        "team": {"behind": ["main"], "quota": "1G"},
        "main": {"namespaces": [{"name": "acme", "owners": ["ann"]}], "policy": {"deny": ["leftpad"]}},
    }
    rights: dict[str, Any] = {"groups": {"ops": ["bob"]}, "grants": [{"subject": "group:ops", "rights": ["upload"]}]}

    async def scenario() -> None:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:

            async def send(right: str = "admin", **body: Any) -> httpx.Response:
                headers = {"authorization": f"Bearer {tokens[right]}"}
                return await client.post(PATH, json={"indexes": wanted, **body}, headers=headers)

            assert (await send("upload")).status_code == 403
            assert (await client.get(PATH)).status_code == 401
            tried = (await send(dry_run=True)).json()
            assert (tried["changed"], [each["index"] for each in tried["differences"]]) == (
                False,
                ["main", "main", "team", "team", "team"],
            )
            wrong = await send(indexes={**wanted, "other": {"qouta": 1}})
            assert (wrong.status_code, "did you mean quota" in wrong.json()["detail"]) == (400, True)
            assert (await client.get("/team/namespaces")).status_code == 404
            assert (await send()).json()["changed"]
            assert (await client.get("/team/namespaces")).json() == [{"name": "acme"}]
            assert (await send()).json() == {"differences": [], "changed": False}
            given = (await send(**rights)).json()["differences"]
            assert [(each["index"], each["setting"]) for each in given] == [(None, "groups.ops"), (None, "grants")]
            assert (await send(grants=[{"subject": "token:x", "rights": ["upload"]}])).status_code == 400
            headers = {"authorization": f"Bearer {tokens['admin']}"}
            state = (await client.get(PATH, headers=headers)).json()
            assert state["indexes"]["team"] == wanted["team"] | {"quota": "1G"}
            assert state["indexes"]["main"]["policy"] == {"deny": ["leftpad"]}
            assert (state["groups"], rights["grants"][0] in state["grants"]) == (rights["groups"], True)
            pruned = (await send(indexes={"main": {}}, prune=True)).json()
            assert {each["index"] for each in pruned["differences"]} == {"main", "team"}
            assert (await client.get("/team/namespaces")).status_code == 404

    asyncio.run(scenario())


def test_no_administrator_takes_its_own_right(tmp_path: Path) -> None:
    """As with `--prune` by a file that does not name it; other administrators, and the command on the store, may."""
    (tmp_path / "packages").mkdir()
    open_store(str(tmp_path / "packages"))
    place = ("-d", tmp_path / "packages")
    quire("access", "init", "--admin", "ann", "-a", "update", *place)
    quire("grant", "user:bob", "admin", *place)
    tokens = {
        user: json.loads(quire("token", "create", "--user", user, "--right", "admin", "--json", *place))["token"]
        for user in ("ann", "bob")
    }
    settings = Settings(directories=(str(tmp_path / "packages"),), no_drop_in=True, fallback_url=None)
    application = create_application(settings)
    pruned = {"indexes": {}, "grants": [{"subject": "user:bob", "rights": ["admin"]}], "prune": True}

    async def scenario() -> None:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:

            async def send(user: str, **body: Any) -> httpx.Response:
                headers = {"authorization": f"Bearer {tokens[user]}"}
                return await client.post(PATH, json={**pruned, **body}, headers=headers)

            for is_dry in (True, False):
                refused = await send("ann", dry_run=is_dry)
                assert (refused.status_code, "the right admin away from you" in refused.json()["detail"]) == (400, True)
            assert (await send("ann", dry_run=True, prune=False)).status_code == 200
            assert (await send("bob")).json()["changed"]
            assert (await send("ann")).status_code == 403

    asyncio.run(scenario())
    (tmp_path / "quire.toml").write_text('grants = [{ subject = "user:ann", rights = ["admin"] }]\n')
    quire("apply", tmp_path / "quire.toml", "--prune", *place)
    assert "bob" not in quire("grants", *place)
