"""Retention over an index: gc deletes the releases of a project in one step, also while others change it.

Replaced here: the times of uploads, which only a repair could change.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from quire import cli
from quire.config.settings import Settings
from quire.domain.project import Project, decode_project
from quire.http.app.application import create_application
from quire.index.audit.entries import entries_of
from quire.index.index import Index
from quire.operations import changing, retention
from quire.store.memory import MemoryState, MemoryStore
from quire.store.opening import open_store
from tests.index.test_index import staged_wheel

NOW = datetime.now(UTC)


def published(index: Index, name: str, **days: float) -> None:
    """Releases that were uploaded so many days ago; `_` in a version is a dot."""
    for version, ago in days.items():
        index.publish([staged_wheel(index.store, name, version.lstrip("v").replace("_", "."))])
        at = (NOW - timedelta(days=ago)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

        def aged(project: Project | None, version: str = version, at: str = at) -> Project:
            assert project is not None
            wanted = version.lstrip("v").replace("_", ".")
            files = {
                filename: msgspec.structs.replace(file, uploaded=at) if file.version == wanted else file
                for filename, file in project.files.items()
            }
            return msgspec.structs.replace(project, files=files)

        index.amend(name, aged)


def versions(index: Index, name: str) -> list[str]:
    project = index.project(name)
    return [] if project is None else sorted({file.version for file in project.files.values()})


@pytest.fixture
def index() -> Index:
    found = Index(MemoryStore(MemoryState()), trash_seconds=3600)
    published(found, "alpha", v1_0=90, v1_1_dev1=80, v1_1_dev2=70, v1_1_dev3=1)
    published(found, "beta", v2_0_dev1=50)
    return found


def test_a_project_loses_its_releases_in_one_step(index: Index) -> None:
    """Into the trash, with one entry of the log that says which command it was; others keep theirs."""
    before = len(entries_of(index.store.records.read(index.key("alpha"))))
    found = list(retention.apply(index, ["dev:1"]))
    assert [(each.project, [release.version for release in each.releases]) for each in found] == [
        ("alpha", ["1.1.dev1", "1.1.dev2"])
    ]
    assert versions(index, "alpha") == ["1.0", "1.1.dev3"]
    assert versions(index, "beta") == ["2.0.dev1"]
    entries = entries_of(index.store.records.read(index.key("alpha")))[before:]
    assert [(each["action"], each["command"], len(each["files"])) for each in entries] == [
        ("delete", retention.COMMAND, 2)
    ]
    assert {each.file.version for each in index.trash.files("alpha")} == {"1.1.dev1", "1.1.dev2"}
    assert list(retention.apply(index, ["dev:1"])) == []


def test_a_preview_changes_nothing(index: Index) -> None:
    """It says what `apply` does."""
    names = [(each.project, len(each.files)) for each in retention.preview(index, ["dev:1"])]
    assert names == [("alpha", 2)]
    assert versions(index, "alpha") == ["1.0", "1.1.dev1", "1.1.dev2", "1.1.dev3"]
    assert list(retention.preview(index, [])) == list(retention.apply(index, [])) == []


def test_a_change_in_between_is_looked_at_again(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest releases are those of the record that the step replaces, with an upload meanwhile among them."""
    delete = changing.delete
    tries: list[int] = []

    def late(*arguments: Any, **more: Any) -> Any:
        if not tries:
            published(index, "alpha", v1_1_dev4=0)
        tries.append(len(arguments[2].filenames))
        return delete(*arguments, **more)

    monkeypatch.setattr(changing, "delete", late)
    assert len(list(retention.apply(index, ["dev:2"]))) == 1
    assert tries == [1, 2]
    assert versions(index, "alpha") == ["1.0", "1.1.dev3", "1.1.dev4"]


def test_a_project_that_changes_all_the_time_is_left(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the next run; the others go on."""
    delete = changing.delete
    ago = iter(range(90, 60, -1))

    def late(*arguments: Any, **more: Any) -> Any:
        published(index, "alpha", **{f"v0_{(at := next(ago))}_dev1": at})
        return delete(*arguments, **more)

    monkeypatch.setattr(changing, "delete", late)
    assert list(retention.apply(index, ["dev:1"])) == []
    assert "1.1.dev1" in versions(index, "alpha")


def test_a_damaged_record_is_left(index: Index) -> None:
    """To `quire check`."""
    key = index.key("alpha")
    index.store.records.write(key, b"{", index.store.records.read(key))
    published(index, "beta", v2_0_dev2=1)
    assert [each.project for each in retention.apply(index, ["dev:1"])] == ["beta"]


def quire(*words: object, code: int = 0) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
        assert cli.main([*map(str, words)]) == code, said.getvalue()
    return said.getvalue()


def test_the_command_line(tmp_path: Path) -> None:
    """Tried, set, shown, done by gc alone; --keep none ends it."""
    index = Index(open_store(str(tmp_path)))
    published(index, "alpha", v1_0=90, v1_1_dev1=80, v1_1_dev2=70)
    place = ("-d", tmp_path)
    assert "has no rules" in quire("retention", *place)
    assert "would delete 1 file" in quire("retention", "--keep", "dev:1", *place)
    quire("index", "set", "main", "--keep", "Alpha/dev:1", "--keep", "pre:3d", *place)
    assert "Keeps\talpha/dev:1\n" in quire("index", "show", "main", *place)
    document = json.loads(quire("retention", "--json", *place))
    assert (document["keep"], document["projects"][0]["versions"]) == (["alpha/dev:1", "pre:3d"], ["1.1.dev1"])
    assert "alpha of main: 1 release would be removed by retention (1.1.dev1)." in quire("gc", "-n", *place)
    assert versions(index, "alpha") == ["1.0", "1.1.dev1", "1.1.dev2"]
    done = json.loads(quire("gc", "--json", *place))
    assert [(each["project"], each["versions"], each["files"]) for each in done["retention"]] == [
        ("alpha", ["1.1.dev1"], 1)
    ]
    assert versions(index, "alpha") == ["1.0", "1.1.dev2"]
    assert retention.COMMAND in quire("log", "alpha", *place)
    assert "alpha-1.1.dev1" in quire("trash", "list", *place)
    quire("trash", "restore", "alpha", *place)
    assert "1.1.dev1" in versions(index, "alpha")
    quire("gc", *place)
    quire("index", "set", "main", "--keep", "none", *place)
    assert "has no rules" in quire("retention", *place)
    quire("index", "set", "main", "--keep", "final:1", *place, code=1)


def test_the_preview_over_the_api_has_pages(tmp_path: Path) -> None:
    """Each of so many projects; with rules that are not set, too; a wrong rule is a sentence."""
    index = Index(open_store(str(tmp_path)))
    for name in ("alpha", "beta", "gamma"):
        published(index, name, v1_0=90, v1_1_dev1=80, v1_1_dev2=70)
    settings = Settings(directories=(str(tmp_path),), authenticate=(), no_drop_in=True, fallback_url=None)
    quire("access", "init", "--admin", "ann", "-a", "update", "-d", tmp_path)
    made = json.loads(quire("token", "create", "--right", "admin", "--json", "-d", tmp_path))
    headers = {"authorization": f"Bearer {made['token']}"}
    application = create_application(settings)

    async def run(scenario: Callable[[httpx.AsyncClient], Any]) -> None:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            await scenario(client)

    async def scenario(client: httpx.AsyncClient) -> None:
        path = "/-/api/v1/indexes/main/retention"
        assert (await client.get(path)).status_code == 401
        assert (await client.get(path, headers=headers)).json() == {
            "index": "main",
            "keep": [],
            "projects": [],
            "next": None,
        }
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            query = {"keep": "dev:1", "limit": "2", "cursor": cursor}
            answer = await client.get(path, params=query, headers=headers)
            page = answer.json()
            found += [each["project"] for each in page["projects"]]
            cursor = page["next"]
        assert found == ["alpha", "beta", "gamma"]
        refused = await client.get(path, params={"keep": "any:1"}, headers=headers)
        assert (refused.status_code, "acme-nightly" in refused.json()["detail"]) == (400, True)

    asyncio.run(run(scenario))
    record = index.store.records.read(index.key("alpha"))
    assert record.data is not None
    assert len(decode_project(record.data, "alpha").files) == 3
