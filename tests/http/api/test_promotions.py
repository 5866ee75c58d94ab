"""Stages over HTTP and the command line: published to, installed from, promoted in one step, ended.

Replaced here: `Commits.settle`, to interrupt a promotion between its commit and the end, which no request can do.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from quire import cli
from quire.access.document import AccessDocument, with_fields
from quire.access.records import AccessRecords
from quire.access.tokens import new_identity, new_token
from quire.config.settings import Settings
from quire.domain.errors import InvalidRequest, StoreError
from quire.domain.indexes import IndexDefinition
from quire.domain.project import Status
from quire.domain.promotions import State
from quire.domain.publishing_sessions import OpenSession
from quire.http.app.application import create_application
from quire.index.audit.entries import Origin, entries_of
from quire.index.commits import Commits
from quire.index.file_blobs import entry_of, store_blobs
from quire.index.index import Index
from quire.index.promoting import Part, Promoter
from quire.operations import defining, granting, promoting
from quire.operations.publishing_sessions import KEPT, LIFETIME, Sessions
from quire.operations.sweeping import Sweeper
from quire.store.contracts import Store
from quire.store.faults import Fault, Faults, Operation
from quire.store.memory import MemoryState, MemoryStore
from tests.clocks import Clock
from tests.distributions import make_wheel, wheel_name
from tests.index.test_index import staged_wheel

LONG_AGO = "2019-01-01T00:00:00.000000Z"
JSON = {"accept": "application/vnd.pypi.simple.v1+json"}
API = "/-/api/v1/indexes"
ORIGIN = Origin(user="ann")
MOST_STEPS = 12
"""More than the end of a stage has operations of a kind."""

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


def test_a_stage_is_installed_from_with_all_that_is_behind_it(tmp_path: Path) -> None:
    """Files of both under one name, its status there, no upload that could not be promoted; and the rights of both."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        await asyncio.to_thread(stage, store, "pr-1")
        for name in ("alpha", "beta"):
            await upload(client, "/", name, "1.0")
        await upload(client, "/pr-1/", "alpha", "2.0")
        files = [wheel_name("alpha", version) for version in ("1.0", "2.0")]
        for _ in range(3):
            assert await listed(client, "/pr-1/", "alpha") == files
        assert await listed(client, "/", "alpha") == files[:1]
        assert await listed(client, "/pr-1/", "beta") == [wheel_name("beta", "1.0")]
        names = (await client.get("/pr-1/simple/", headers=JSON)).json()["projects"]
        assert [each["name"] for each in names] == ["alpha", "beta"]
        for each in (await client.get("/pr-1/simple/alpha/", headers=JSON)).json()["files"]:
            assert (await client.get(f"/pr-1/simple/alpha/{each['url']}")).status_code == 200
        assert (await upload(client, "/pr-1/", "beta", "1.0", "other")).status_code == 409
        await upload(client, "/", "alpha", "1.1")
        assert len(await listed(client, "/pr-1/", "alpha")) == 3
        index = Index(store)
        await asyncio.to_thread(index.set_status, "alpha", Status.QUARANTINED)
        assert await listed(client, "/pr-1/", "alpha") == []
        await asyncio.to_thread(index.set_status, "alpha", Status.ACTIVE)
        access = AccessRecords(store)
        await asyncio.to_thread(granting.begin, access, "boss", [], ORIGIN)
        first = access.read().state.document.grants
        everyone = [each for each, grant in first.items() if grant.subject != "user:boss"]
        await asyncio.to_thread(granting.take_back, access, everyone, ORIGIN)
        await asyncio.to_thread(granting.give, access, "anonymous", ["read"], "pr-1", [], origin=ORIGIN)
        assert (await client.get("/pr-1/simple/alpha/", headers=JSON)).status_code == 401
        await asyncio.to_thread(granting.give, access, "anonymous", ["read"], "main", [], origin=ORIGIN)
        assert len(await listed(client, "/pr-1/", "alpha")) == 3

    serve(tmp_path, scenario)


def test_a_stage_ends(tmp_path: Path) -> None:
    """Its addresses say so, and the next sweep removes it with its files; the index behind it is as it was."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        ends = datetime.now(UTC) + timedelta(days=1)
        await asyncio.to_thread(stage, store, "pr-1", expires=ends.strftime("%Y-%m-%dT%H:%M:%SZ"))
        await upload(client, "/", "alpha", "1.0")
        await upload(client, "/pr-1/", "alpha", "2.0")
        access = AccessRecords(store)
        assert promoting.end_stages(access, store, "main", ORIGIN) == 0
        for settings, sentence in (({"in_front_of": None}, "for a stage"), ({"expires": "soon"}, "a time in UTC")):
            with pytest.raises(InvalidRequest, match=sentence):
                stage(store, "pr-2", **{"expires": "2026-11-23T12:00:00Z", **settings})
        past = (datetime.now(UTC) - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        await asyncio.to_thread(defining.set_index, access, "pr-1", {"expires": past}, default="main", origin=ORIGIN)
        answer = await client.get("/pr-1/simple/alpha/", headers={"accept": "application/problem+json"})
        assert (answer.status_code, "The stage pr-1 ended at" in answer.text) == (410, True)
        assert (await upload(client, "/pr-1/", "alpha", "3.0")).status_code == 410
        await promote(client, "pr-1", 410)
        over = {"over": IndexDefinition(behind=("pr-1",))}  # which is refused, but may be in a record
        for more, deleted in ((over, 0), ({}, 1)):
            indexes = {"pr-1": access.read().state.document.indexes["pr-1"], **more}

            def changed(document: AccessDocument, indexes: dict[str, IndexDefinition] = indexes) -> AccessDocument:
                return with_fields(document, indexes=indexes)

            await asyncio.to_thread(access.change, changed, "index-set", {}, ORIGIN)
            assert await asyncio.to_thread(promoting.end_stages, access, store, "main", ORIGIN) == deleted
        assert (await client.get("/pr-1/simple/alpha/")).status_code == 404
        assert {each.key.rpartition("/")[2] for each in store.blobs.list()} == {
            wheel_name("alpha", "1.0") + suffix for suffix in ("", ".metadata")
        }
        assert await listed(client, "/", "alpha") == [wheel_name("alpha", "1.0")]

    serve(tmp_path, scenario)


def test_a_machine_with_a_fast_clock_ends_no_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store's clock has to agree that the files have been there until the end: their deletion is for good."""
    clock = Clock()
    store = MemoryStore(MemoryState(clock))
    index, access = Index(store, "pr-1"), AccessRecords(store)
    stage(store, "pr-1", expires=(datetime.now(UTC) + timedelta(days=7)).strftime("%Y-%m-%dT%H:%M:%SZ"))
    index.publish([staged_wheel(store, "alpha", "1.0")])

    class Fast(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Fast:
            return super().now(tz) + timedelta(days=8)

    monkeypatch.setattr(promoting, "datetime", Fast)
    sweeper = Sweeper(Index(store, "main"), ends_stages=True)
    sweeper.sweep(86400)
    assert "pr-1" in access.read().state.document.indexes
    project = index.project("alpha")
    assert project is not None
    assert len(project.files) == 1
    clock.now += 8 * 86400
    sweeper.sweep(86400)
    assert "pr-1" not in access.read().state.document.indexes
    assert list(store.blobs.list()) == []


def test_a_stage_of_imported_files_ends() -> None:
    """They have upload times of years ago; a month is long enough for the store's clock to agree."""
    clock = Clock()
    store = MemoryStore(MemoryState(clock))
    access = AccessRecords(store)
    stage(store, "pr-1", expires="2026-01-01T00:00:00Z")
    Index(store, "pr-1").publish([dataclasses.replace(staged_wheel(store, "alpha", "1.0"), uploaded=LONG_AGO)])
    assert promoting.end_stages(access, store, "main", ORIGIN) == 0
    clock.now += 30 * 86400
    assert promoting.end_stages(access, store, "main", ORIGIN) == 1


def ending(store: Store) -> datetime:
    """A stage with files of three projects; a time at which it has ended."""
    ends = datetime.now(UTC) + timedelta(days=1)
    stage(store, "pr-1", expires=ends.strftime("%Y-%m-%dT%H:%M:%SZ"))
    for name in ("alpha", "beta", "gamma"):
        Index(store, "pr-1").publish([staged_wheel(store, name, "1.0")])
    return ends + timedelta(days=1)


def end(store: Store, now: datetime) -> int:
    return promoting.end_stages(AccessRecords(store), store, "main", ORIGIN, now)


def is_defined(store: Store, name: str) -> bool:
    return name in AccessRecords(store).read().state.document.indexes


@pytest.mark.parametrize("step", range(MOST_STEPS))
def test_an_end_that_was_interrupted_goes_on(step: int) -> None:
    """At any write: the stage is still one that has ended, or nothing is left of it; the next sweep does the rest."""
    store, faults = MemoryStore(), Faults()
    now = ending(store)
    faults.next("write", Fault.BEFORE, skip=step)
    try:
        end(MemoryStore(store.state, faults), now)
    except StoreError:
        assert is_defined(store, "pr-1")
    else:
        assert step >= 4, "it has fewer steps than that"
    end(store, now)
    assert not is_defined(store, "pr-1")
    assert Index(store, "pr-1").names() == ()
    assert list(store.blobs.list()) == []


@pytest.mark.parametrize("operation", ["read", "names", "write"])
@pytest.mark.parametrize("step", range(MOST_STEPS))
def test_an_upload_that_was_let_in_before_the_end_is_deleted_with_its_stage(operation: Operation, step: int) -> None:
    """Whenever it is published: at once, or by the next sweep, which finds the stage still defined."""
    store, faults = MemoryStore(), Faults()
    now = ending(store)
    late = staged_wheel(store, "beta", "2.0")
    faults.call(operation, lambda: Index(store, "pr-1").publish([late]), skip=step)
    end(MemoryStore(store.state, faults), now)
    assert is_defined(store, "pr-1") == bool(Index(store, "pr-1").names())
    end(store, now)
    assert not is_defined(store, "pr-1") or not Index(store, "pr-1").names()
    end(store, now)
    assert (is_defined(store, "pr-1"), Index(store, "pr-1").names()) == (False, ())


@pytest.mark.parametrize("operation", ["read", "names", "write"])
@pytest.mark.parametrize("step", range(MOST_STEPS))
def test_a_stage_that_was_made_again_stays(operation: Operation, step: int) -> None:
    """Another worker was faster with its end: neither the new one nor its files are deleted."""
    store, faults = MemoryStore(), Faults()
    now = ending(store)

    def made_again() -> None:
        end(store, now)
        stage(store, "pr-1")
        Index(store, "pr-1").publish([staged_wheel(store, "beta", "2.0")])

    faults.call(operation, made_again, skip=step)
    end(MemoryStore(store.state, faults), now)
    if is_defined(store, "pr-1"):
        project = Index(store, "pr-1").project("beta")
        assert project is not None
        assert set(project.files) == {wheel_name("beta", "2.0")}


@pytest.mark.parametrize(
    ("key", "field"),
    [
        ("access/publishing/TOKEN", None),
        ("access/publishing/TOKEN", "expires"),
        ("bad/projects/beta", None),
        ("bad/projects/beta", "uploaded"),
        ("main/projects/promotions_", None),
    ],
)
def test_a_record_that_cannot_be_read_does_not_stop_the_sweep(key: str, field: str | None) -> None:
    """Other stages end, other sessions are forgotten, promotions into other indexes are finished, staged bytes go."""
    store = MemoryStore()
    for name in ("bad", "pr-1"):
        stage(store, name, expires="2026-01-01T00:00:00Z")
        Index(store, name).publish([staged_wheel(store, "beta", "1.0")])
    access = AccessRecords(store)
    sessions = Sessions(store, access, "main", lambda: datetime.now(UTC) - LIFETIME - 2 * KEPT)
    tokens = [sessions.create("main", OpenSession(project=name, version="1.0"), ORIGIN)[0] for name in ("a", "b")]
    damaged, forgotten = sorted(tokens)
    _interrupt_a_promotion(store, "other")
    record = store.records.read(key.replace("TOKEN", damaged))
    damaged_record = b"damaged" if field is None else _with_no_time(record.data or b"", field)
    store.records.write(record.key, damaged_record, record)
    store.blobs.stage("alpha/1/alpha-1.0.zip")
    assert Sweeper(Index(store, "main"), ends_stages=True).sweep(0) > 0
    assert is_defined(store, "bad") == key.startswith("bad/")
    assert not is_defined(store, "pr-1")
    assert sessions.read(forgotten) is None
    assert Index(store, "other").commits.journal.promotions() == {}
    assert Sessions(store, access, "main").forget_ended(ORIGIN, thorough=True) == 0  # as `quire gc` does
    assert store.records.read(record.key).data == damaged_record


def _with_no_time(data: bytes, field: str) -> bytes:
    damaged = re.sub(rf'("{field}": ")[^"]+'.encode(), rb"\1no time", data)
    assert damaged != data
    return damaged


def _interrupt_a_promotion(store: MemoryStore, name: str) -> None:
    """After its commit, before its files are folded."""
    index, faults = Index(store, name), Faults()
    upload = staged_wheel(store, "alpha", "1.0")
    store_blobs(store.blobs, upload, entry_of(upload))

    def interrupt() -> None:
        raise KeyboardInterrupt

    faults.call("write", interrupt, skip=3)
    with pytest.raises(KeyboardInterrupt):
        Promoter(Index(MemoryStore(store.state, faults), name)).promote("pr-1", [Part("alpha", [entry_of(upload)])])
    [promotion] = index.commits.journal.promotions().values()
    assert promotion.state is State.COMMITTED


def test_attestations_of_a_file_that_the_index_has_are_promoted() -> None:
    """They are added to it, and kept in the stage where that is not possible: its own file has what theirs lacks."""
    store = MemoryStore()
    stage(store, "pr-1")
    for name, signature in (("alpha", None), ("beta", b"signature")):
        Index(store).publish([staged_wheel(store, name, "1.0", signature=signature)])
        upload = dataclasses.replace(staged_wheel(store, name, "1.0"), provenance=b"{}")
        Index(store, "pr-1").publish([upload])
    source, target = Index(store, "pr-1", ORIGIN), promoting.Target(Index(store, "main", ORIGIN))
    files = [wheel_name("alpha", "1.0")]
    for expected in (files, None):
        done = promoting.promote(source, promoting.projects_of(source), target)
        assert [list(each.files) for each in done] == [*([expected] if expected else []), []]
        assert source.names() == ("beta",)
    project = Index(store).project("alpha")
    assert project is not None
    assert project.files[files[0]].provenance_sha256 is not None


@pytest.mark.parametrize("skip", range(16))
def test_a_read_that_fails_does_not_hide_what_was_published(skip: int) -> None:
    """Also not the one for the attestations of a file that the index had already."""
    store, faults = MemoryStore(), Faults()
    stage(store, "pr-1")
    Index(store).publish([staged_wheel(store, "beta", "1.0", signature=b"signature")])
    for version in ("1.0", "2.0"):
        upload = dataclasses.replace(staged_wheel(store, "beta", version), provenance=b"{}")
        Index(store, "pr-1").publish([upload])
    faults.next("read", Fault.BEFORE, skip=skip)
    failing = MemoryStore(store.state, faults)
    source, target = Index(failing, "pr-1", ORIGIN), promoting.Target(Index(failing, "main", ORIGIN))
    failed = False
    try:
        promoting.promote(source, promoting.projects_of(source), target)
    except StoreError:
        failed = True
    project = Index(store).project("beta")
    assert project is not None
    assert (wheel_name("beta", "2.0") not in project.files) == failed


def test_an_interruption_after_the_commit_keeps_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit was made: its files are published, whatever happens to the process that folds them."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        await asyncio.to_thread(stage, store, "pr-1")
        await upload(client, "/pr-1/", "alpha", "1.0")
        source, target = Index(store, "pr-1", ORIGIN), promoting.Target(Index(store, "main", ORIGIN))

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(Commits, "settle", interrupted)
            with pytest.raises(KeyboardInterrupt):
                promoting.promote(source, promoting.projects_of(source), target)
        page = (await client.get("/simple/alpha/", headers=JSON)).json()
        address = f"/simple/alpha/{page['files'][0]['url']}"
        assert (await client.get(address)).status_code == 200
        await promote(client, "pr-1")
        assert (await client.get(address)).status_code == 200

    serve(tmp_path, scenario)


def test_one_refusal_publishes_nothing(tmp_path: Path) -> None:
    """A dry run names every project that stands against it; the promotion the first one."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        await asyncio.to_thread(stage, store, "pr-1")
        for name in ("alpha", "beta"):
            assert (await upload(client, "/pr-1/", name, "1.0", "theirs")).status_code == 200
        assert (await upload(client, "/", "beta", "1.0", "ours")).status_code == 200
        planned = await promote(client, "pr-1", dry_run=True)
        assert [each["problem"] is None for each in planned["projects"]] == [True, False]
        assert "already exists" in (await promote(client, "pr-1", 409))["detail"]
        assert await listed(client, "/", "alpha") == []
        assert Index(store, "pr-1").names() == ("alpha", "beta")
        alone = await promote(client, "pr-1", dry_run=True, projects=["Alpha"])
        assert [each["project"] for each in alone["projects"]] == ["alpha"]
        assert "no files of gamma" in (await promote(client, "pr-1", 404, projects=["alpha", "gamma"]))["detail"]
        assert [each["project"] for each in (await promote(client, "pr-1", projects=["alpha"]))["projects"]] == [
            "alpha"
        ]
        assert Index(store, "pr-1").names() == ("beta",)
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


def test_a_dry_run_names_every_project_without_the_right(tmp_path: Path) -> None:
    """In both indexes; to a sender that may list the stage. The promotion names the first one."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        await asyncio.to_thread(stage, store, "pr-1")
        for name in ("alpha", "beta", "gamma"):
            await upload(client, "/pr-1/", name, "1.0")
        access = AccessRecords(store)
        await asyncio.to_thread(granting.begin, access, "boss", ["download", "list", "update"], ORIGIN)
        (open_to_all,) = [
            each for each, grant in access.read().state.document.grants.items() if "upload" in grant.permissions
        ]
        await asyncio.to_thread(granting.take_back, access, [open_to_all], ORIGIN)

        async def sender(*rights: str) -> None:
            text = new_token(new_identity())
            make = partial(granting.create_token, identity=text.identity, digest=text.digest, user=None, note=None)
            await asyncio.to_thread(make, access, rights, "*", ["beta"], lifetime=None, origin=ORIGIN)
            client.headers["authorization"] = f"Bearer {text.text}"

        await sender("upload")
        assert "alpha" in (await promote(client, "pr-1", 403, dry_run=True))["detail"]
        await sender("read", "upload")
        planned = (await promote(client, "pr-1", dry_run=True))["projects"]
        assert {each["project"]: each["files"] for each in planned} == {
            "alpha": [], "beta": [wheel_name("beta", "1.0")], "gamma": []
        }  # fmt: skip
        for each in (planned[0], planned[2]):
            assert f"the right upload on {each['project']} on the index pr-1" in each["problem"]
        assert "alpha" in (await promote(client, "pr-1", 403))["detail"]
        assert Index(store, "pr-1").names() == ("alpha", "beta", "gamma")

    serve(tmp_path, scenario)


def test_a_name_that_the_stage_alone_keeps_is_not_asked_for(tmp_path: Path) -> None:
    """The target's upstreams would learn it. An upload to the stage does not tell digests of the target's files."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        await asyncio.to_thread(stage, store, "pr-1")
        access, far = AccessRecords(store), {"url": "http://127.0.0.1:9/simple/"}

        async def define(index: str, **changes: object) -> None:
            await asyncio.to_thread(defining.set_index, access, index, changes, default="main", origin=ORIGIN)

        await define("main", claim=("beta",), upstream=far)
        await define("pr-1", claim=("alpha",))
        assert (await upload(client, "/", "beta", "1.0")).status_code == 200
        assert (await upload(client, "/pr-1/", "alpha", "1.0")).status_code == 200
        refused = await upload(client, "/pr-1/", "beta", "1.0", "another")
        assert (refused.status_code, "sha256" in refused.text) == (409, False)
        said = (await promote(client, "pr-1", 403))["detail"]
        assert "'quire claim alpha --index main'" in said
        await define("main", claim=("alpha",))
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
    assert "no files of beta to promote" in quire("promote", "pr-1", "--project", "beta", code=1)
    assert "Would promote 1 file of 1 project" in quire("promote", "pr-1", "--dry-run", "--project", "Alpha")
    assert "Would promote 1 file of 1 project from pr-1 into main." in quire("promote", "pr-1", "--dry-run")
    assert "Promoted 1 file of 1 project from pr-1 into main." in quire("promote", "pr-1")
    assert "no files to promote" in quire("promote", "pr-1", code=1)
    assert "no such stage" not in quire("stage", "delete", "pr-1")
    assert json.loads(quire("stage", "list", "--json")) == {"stages": []}
    assert "alpha" in quire("ls")
