"""Publishing sessions (PEP 694) over HTTP: created, filled, previewed, published in one step, canceled."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from quire.access.records import AccessRecords
from quire.domain import publishing_sessions as documents
from quire.domain.changes import Selection
from quire.domain.errors import InvalidRequest
from quire.domain.project import Status as ProjectStatus
from quire.domain.publishing_sessions import SessionFile
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.operations import defining, promoting
from quire.operations.declaring.applying import apply
from quire.operations.declaring.reading import parse_declared
from quire.operations.publishing_sessions import Sessions
from quire.operations.session_files import remove_staged
from quire.store.contracts import Store
from quire.store.memory import MemoryStore
from tests.distributions import make_wheel, wheel_name
from tests.http.sessions.session_client import (
    HEADERS,
    META,
    PAGE,
    ROOT,
    TYPE,
    announce,
    create,
    legacy,
    listed,
    look,
    publish,
    send,
    send_bytes,
    serve,
    upload,
)


@pytest.mark.parametrize("kind", ["volume", "memory"])
def test_a_session_publishes_its_files_in_one_step(kind: str, tmp_path: Path) -> None:
    """Its preview has them before, with all that is behind it; the index has all of them then, the stage is gone."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        assert (await legacy(client, "alpha", "0.9")).status_code == 200
        session = await create(client, "Alpha", "1.0")
        assert session["status"] == "open"
        assert session["mechanisms"] == ["http-post-bytes"]
        assert session["files"] == {}
        token = session["session-token"]
        assert token in session["links"]["stage"]
        wheel = await upload(client, session, "alpha", "1.0")
        second = wheel.replace("py3-none-any", "py3-none-linux_x86_64")
        content = make_wheel("alpha", "1.0", files={"other.txt": b""})
        file = await announce(client, session, second, content)
        assert file["status"] == "pending"
        now = await look(client, session)
        assert {name: each["status"] for name, each in now["files"].items()} == {wheel: "completed", second: "pending"}
        refused = await publish(client, session, 409)
        assert f"{second} (pending)" in refused["detail"]
        assert refused["errors"][0]["message"] == refused["detail"]
        await send_bytes(client, file, content)
        await send(client, file["links"]["complete"], 201)
        assert await listed(client, "alpha") == [wheel_name("alpha", "0.9")]
        stage = session["links"]["stage"]
        assert set(await listed(client, "alpha", stage)) == {wheel_name("alpha", "0.9"), wheel, second}
        done = await publish(client, session)
        assert done["status"] == "published"
        assert set(await listed(client, "alpha")) == {wheel_name("alpha", "0.9"), wheel, second}
        page = (await client.get("/simple/alpha/", headers={"accept": "application/vnd.pypi.simple.v1+json"})).json()
        url = next(each["url"] for each in page["files"] if each["filename"] == second)
        assert (await client.get(f"/simple/alpha/{url}")).content == content
        assert (await client.get(f"{stage}alpha/")).status_code == 404
        assert (await publish(client, session))["status"] == "published"
        assert (await look(client, session))["status"] == "published"
        assert Index(store, token).names() == ()
        assert token not in AccessRecords(store).read().state.document.indexes

    serve(tmp_path if kind == "volume" else f"memory:{tmp_path.name}", scenario)


def test_a_second_session_of_a_release_is_told_of_the_first(tmp_path: Path) -> None:
    """However its name and version are spelled; another version, or one after the first has ended, is a new session."""

    async def scenario(client: httpx.AsyncClient, _: Store) -> None:
        session = await create(client, "alpha", "1.0")
        body = {"meta": META, "name": "Alpha", "version": "1.0.0"}
        answer = await client.post(ROOT, json=body, headers=HEADERS)
        assert answer.status_code == 409
        assert answer.headers["location"] == session["links"]["session"]
        other = await create(client, "alpha", "2.0")
        assert other["session-token"] != session["session-token"]
        assert (await client.delete(session["links"]["session"])).status_code == 204
        again = await create(client, "alpha", "1.0")
        assert again["session-token"] != session["session-token"]

    serve(tmp_path, scenario)


def test_a_canceled_session_leaves_nothing(tmp_path: Path) -> None:
    """Its status is told, its stage and files are gone, and it takes nothing any more."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        session = await create(client)
        await upload(client, session, "alpha", "1.0")
        for _ in range(2):
            assert (await client.delete(session["links"]["session"])).status_code == 204
        assert (await look(client, session))["status"] == "canceled"
        assert (await client.get(session["links"]["stage"])).status_code == 404
        assert Index(store, session["session-token"]).names() == ()
        await announce(client, session, wheel_name("alpha", "1.0"), b"x", 409)
        await publish(client, session, 409)
        assert await listed(client, "alpha") == []
        assert (await legacy(client, "alpha", "1.0")).status_code == 200

    serve(tmp_path, scenario)


def test_files_are_replaced_and_deleted_while_the_session_is_open(tmp_path: Path) -> None:
    """Only a completed or canceled upload makes room for another one; what is published is what the last one sent."""

    async def scenario(client: httpx.AsyncClient, _: Store) -> None:
        session = await create(client)
        name = await upload(client, session, "alpha", "1.0", "first")
        first = (await look(client, session))["files"][name]["link"]
        content = make_wheel("alpha", "1.0", files={"variant.txt": b"second"})
        pending = await announce(client, session, name, content)
        await announce(client, session, name, content, 409)
        await publish(client, session, 409)
        await send_bytes(client, pending, b"x" * len(content), 400)
        assert (await client.delete(pending["links"]["file-upload-session"])).status_code == 204
        now = (await look(client, session))["files"]
        assert (now[name]["link"], now[name]["status"]) == (first, "completed")
        pending = await announce(client, session, name, content)
        await send_bytes(client, pending, content)
        assert (await client.get(first)).json()["status"] == "canceled"
        assert (await client.delete(pending["links"]["file-upload-session"])).status_code == 204
        assert (await look(client, session))["files"] == {}
        assert await listed(client, "alpha", session["links"]["stage"]) == []
        await upload(client, session, "alpha", "1.0", "third")
        link = (await look(client, session))["files"][name]["link"]
        assert (await client.delete(link)).status_code == 204
        assert await listed(client, "alpha", session["links"]["stage"]) == []
        assert (await client.get(link)).json()["status"] == "canceled"
        await upload(client, session, "alpha", "1.0", "fourth")
        await publish(client, session)
        file = (await client.get("/simple/alpha/", headers={"accept": "application/vnd.pypi.simple.v1+json"})).json()
        published = await client.get(f"/simple/alpha/{file['files'][0]['url']}")
        assert published.content == make_wheel("alpha", "1.0", files={"variant.txt": b"fourth"})

    serve(tmp_path, scenario)


@pytest.mark.parametrize("first_deleted", [None, 0, 1], ids=["never", "at once", "later"])
def test_an_upload_that_is_deleted_while_its_bytes_arrive_leaves_the_earlier_file(
    first_deleted: int | None, tmp_path: Path
) -> None:
    """Also when its bytes are in the stage already, in place of those of the completed one."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        assert isinstance(store, MemoryStore)
        session = await create(client)
        token = session["session-token"]
        sessions, stage = Sessions(store.shared(), AccessRecords(store.shared()), "main"), Index(store.shared(), token)
        name = await upload(client, session, "alpha", "1.0", "first")
        content = make_wheel("alpha", "1.0", files={"variant.txt": b"second"})
        pending = await announce(client, session, name, content)

        first, second = sessions.change(token, lambda found: found).files

        def delete_elsewhere(identity: str) -> None:
            deleted = sessions.change(token, lambda found: documents.without_file(found, identity)).find(identity)
            if deleted.sha256 is not None:
                remove_staged(stage, "alpha", deleted, Origin())

        if first_deleted == 0:
            store.faults.call("write", lambda: delete_elsewhere(first), skip=0)
            store.faults.call("write", lambda: delete_elsewhere(second), skip=0)
        else:
            store.faults.call("write", lambda: delete_elsewhere(second), skip=1)
        if first_deleted == 1:
            store.faults.call("write", lambda: delete_elsewhere(first))
        await send_bytes(client, pending, content, 409)
        shown = [name] if first_deleted is None else []
        assert await listed(client, "alpha", session["links"]["stage"]) == shown
        assert [*(await look(client, session))["files"]] == shown
        assert (await publish(client, session))["status"] == "published"
        assert await listed(client, "alpha") == shown
        assert len([*store.blobs.list()]) == 2 * len(shown)  # with its metadata

    serve(f"memory:{tmp_path.name}", scenario)


@pytest.mark.parametrize("has_third", [False, True], ids=["", "and a third"])
@pytest.mark.parametrize("ends_first", [1, 2])
def test_two_uploads_that_are_deleted_while_their_bytes_arrive_leave_the_earlier_file(
    ends_first: int, has_third: bool, tmp_path: Path
) -> None:
    """Also when the bytes of the second one are in the stage in place of those of the first one, which replaced those
    of the completed file; a third one that is not deleted replaces it."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        assert isinstance(store, MemoryStore)
        session, loop = await create(client), asyncio.get_running_loop()
        name = await upload(client, session, "alpha", "1.0", "kept")
        contents = [make_wheel("alpha", "1.0", files={"variant.txt": each}) for each in (b"first", b"second", b"third")]
        first, others = await announce(client, session, name, contents[0]), list[asyncio.Task[None]]()
        second_is_stored, first_has_ended = asyncio.Event(), asyncio.Event()

        def elsewhere(steps: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
            return lambda: asyncio.run_coroutine_threadsafe(steps(), loop).result(30)

        async def replace_first() -> None:
            assert (await client.delete(first["mechanism"]["file_url"])).status_code == 204
            second = await announce(client, session, name, contents[1])

            async def delete_second() -> None:
                second_is_stored.set()
                if ends_first == 1:
                    await first_has_ended.wait()
                assert (await client.delete(second["mechanism"]["file_url"])).status_code == 204
                if has_third:
                    third = await announce(client, session, name, contents[2])
                    await send_bytes(client, third, contents[2])
                    await send(client, third["links"]["complete"], 201)

            store.faults.call("write", elsewhere(delete_second), skip=1)
            others.append(asyncio.create_task(send_bytes(client, second, contents[1], 409)))
            await (second_is_stored.wait() if ends_first == 1 else others[0])

        store.faults.call("write", elsewhere(replace_first), skip=1)
        await send_bytes(client, first, contents[0], 409)
        first_has_ended.set()
        await others[0]
        assert await listed(client, "alpha", session["links"]["stage"]) == [name]
        assert (await publish(client, session))["status"] == "published"
        assert await listed(client, "alpha") == [name]
        page = (await client.get("/simple/alpha/", headers=PAGE)).json()
        kept = contents[2] if has_third else make_wheel("alpha", "1.0", files={"variant.txt": b"kept"})
        assert (await client.get(page["files"][0]["url"])).content == kept
        if not has_third:  # else the bytes of the replaced one are left to `quire gc`
            assert len([*store.blobs.list()]) == 2  # with its metadata

    serve(f"memory:{tmp_path.name}", scenario)


@pytest.mark.parametrize("is_stored", [False, True], ids=["while it is stored", "afterwards"])
def test_an_upload_of_the_same_bytes_is_kept_when_an_earlier_one_is_deleted(is_stored: bool, tmp_path: Path) -> None:
    """Also when it arrives in the moment in which the bytes of the deleted one are taken out of the stage."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        assert isinstance(store, MemoryStore)
        session, loop = await create(client), asyncio.get_running_loop()
        name, content = wheel_name("alpha", "1.0"), make_wheel("alpha", "1.0")
        first = await announce(client, session, name, content)
        others: list[Any] = []

        def elsewhere(steps: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
            return lambda: asyncio.run_coroutine_threadsafe(steps(), loop).result(30)

        async def begin() -> None:
            assert (await client.delete(first["mechanism"]["file_url"])).status_code == 204
            others.append(await announce(client, session, name, content))
            store.faults.call("write", elsewhere(arrive))

        async def arrive() -> None:
            if not others:
                others.append(await announce(client, session, name, content))
            await send_bytes(client, others[0], content)

        if is_stored:
            await send_bytes(client, first, content)
            store.faults.call("write", elsewhere(arrive), skip=1)
            assert (await client.delete(first["mechanism"]["file_url"])).status_code == 204
        else:
            store.faults.call("write", elsewhere(begin), skip=1)
            await send_bytes(client, first, content, 409)
        await send(client, others[0]["links"]["complete"], 201)
        assert await listed(client, "alpha", session["links"]["stage"]) == [name]
        assert (await publish(client, session))["status"] == "published"
        assert await listed(client, "alpha") == [name]
        assert len([*store.blobs.list()]) == 2  # with its metadata

    serve(f"memory:{tmp_path.name}", scenario)


def test_bytes_that_the_stage_has_not_are_not_acknowledged(tmp_path: Path) -> None:
    """Those of an upload that arrived when the bytes of an equal one had been taken out, and of one that was completed
    after that."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        assert isinstance(store, MemoryStore)
        session, content = await create(client), make_wheel("alpha", "1.0")
        name = wheel_name("alpha", "1.0")
        file = await announce(client, session, name, content)
        stage = Index(store.shared(), session["session-token"])
        store.faults.call("write", lambda: stage.delete("alpha", Selection()), skip=1)
        await send_bytes(client, file, content, 409)
        refused = await send(client, file["links"]["complete"], 409)
        assert "delete it and upload it again" in refused["detail"]
        await send_bytes(client, file, content)
        assert (await send(client, file["links"]["complete"], 201))["status"] == "completed"
        assert (await publish(client, session))["status"] == "published"

    serve(f"memory:{tmp_path.name}", scenario)


def test_bytes_that_are_not_as_announced_are_refused(tmp_path: Path) -> None:
    """By length, by each digest, by their content; a completion without bytes is an error that a deletion clears."""

    async def scenario(client: httpx.AsyncClient, _: Store) -> None:
        session = await create(client)
        content, name = make_wheel("alpha", "1.0"), wheel_name("alpha", "1.0")
        file = await announce(client, session, name, content)
        await send_bytes(client, file, content[:-1], 400)
        await send_bytes(client, file, content + b"x", 400)
        await send_bytes(client, file, b"x" * len(content), 400)
        refused = await send(client, file["links"]["complete"], 400)
        assert name in refused["detail"]
        assert (await client.get(file["links"]["file-upload-session"])).json()["status"] == "error"
        assert (await look(client, session))["files"][name]["status"] == "error"
        await publish(client, session, 409)
        await announce(client, session, name, content, 409)
        assert (await client.delete(file["links"]["file-upload-session"])).status_code == 204
        other = make_wheel("beta", "1.0")
        file = await announce(client, session, name, other)
        await send_bytes(client, file, other, 400)
        await client.delete(file["links"]["file-upload-session"])
        sha256 = hashlib.sha256(content).hexdigest()
        for hashes in ({"sha256": "0" * 64, "sha512": "0" * 128}, {"sha256": sha256, "ripemd160": "0" * 40}):
            file = await announce(client, session, name, content, hashes=hashes)
            await send_bytes(client, file, content, 400)
            await client.delete(file["links"]["file-upload-session"])
        hashes = {
            "sha512_256": hashlib.new("sha512_256", content).hexdigest(),
            "sha3_256": hashlib.sha3_256(content).hexdigest(),
        }
        await send_bytes(client, await announce(client, session, name, content, hashes=hashes), content)
        await client.delete((await look(client, session))["files"][name]["link"])
        assert await listed(client, "alpha", session["links"]["stage"]) == []

    serve(tmp_path, scenario)


@pytest.mark.parametrize(
    ("more", "status", "word"),
    [
        ({"filename": "beta-1.0-py3-none-any.whl"}, 400, "no file of alpha 1.0"),
        ({"filename": "alpha-2.0-py3-none-any.whl"}, 400, "no file of alpha 1.0"),
        ({"filename": "../alpha-1.0.tar.gz"}, 400, ""),
        ({"size": 0}, 400, "size"),
        ({"size": 2**60}, 413, "larger"),
        ({"hashes": {"md5": "0" * 32}}, 400, "secure"),
        ({"hashes": {}}, 400, "secure"),
        ({"hashes": {"sha256": "0" * 64, "crc32": "0"}}, 400, "crc32"),
        ({"hashes": {"sha256": "0" * 64, "shake_128": "0"}}, 400, "shake_128"),
        ({"hashes": {"ripemd160": "0" * 40}}, 400, "secure"),
        ({"hashes": {"sha256": "0"}}, 400, "length"),
        ({"mechanism": "vnd-acme-mail"}, 422, "http-post-bytes"),
        ({"meta": {"api-version": "3.0"}}, 400, "2.0"),
        ({"size": "ten"}, 400, "size"),
    ],
)
def test_an_announcement_that_cannot_be_right_is_refused(
    more: dict[str, Any], status: int, word: str, tmp_path: Path
) -> None:
    """Before any byte is sent, with a sentence."""

    async def scenario(client: httpx.AsyncClient, _: Store) -> None:
        session = await create(client)
        refused = await announce(client, session, wheel_name("alpha", "1.0"), b"x", status, **more)
        assert word in refused["detail"]
        assert (await look(client, session))["files"] == {}

    serve(tmp_path, scenario)


def test_versions_and_types_are_negotiated(tmp_path: Path) -> None:
    """As the PEP says: 415 for other bodies, 406 for clients that want other answers; 404 without the setting."""

    async def scenario(client: httpx.AsyncClient, _: Store) -> None:
        body = {"meta": META, "name": "alpha", "version": "1.0"}
        assert (await client.post(ROOT, json=body)).status_code == 415
        newer = {**HEADERS, "accept": "application/vnd.pypi.upload.v3+json"}
        refused = await client.post(ROOT, json=body, headers=newer)
        assert refused.status_code == 406
        assert refused.json()["meta"] == META
        await send(client, ROOT, 400, {"name": "a/b", "version": "1.0"})
        await send(client, ROOT, 400, {"name": "alpha", "version": "one"})
        await send(client, ROOT, 400, {"name": "alpha", "version": "1." + "0" * 200})
        await send(client, ROOT, 400, {"name": "alpha"})
        assert (await client.get(f"{ROOT}s-{'0' * 48}")).status_code == 404
        assert (await client.get(f"{ROOT}..%2Fmain")).status_code == 404
        session = await create(client)
        answer = await client.get(session["links"]["session"], headers={"accept": f"{TYPE}, */*;q=0.1"})
        assert answer.headers["content-type"] == TYPE
        assert (await client.put(session["links"]["session"])).status_code == 405

    async def without(client: httpx.AsyncClient, _: Store) -> None:
        refused = await create(client, status=404)
        assert "--experimental" in refused["detail"]

    serve(tmp_path, scenario)
    serve(tmp_path, without, experimental=False)


def test_the_stage_takes_no_other_uploads(tmp_path: Path) -> None:
    """Neither by the legacy API nor by a promotion, and its name is in no list."""

    async def scenario(client: httpx.AsyncClient, _: Store) -> None:
        session = await create(client)
        token = session["session-token"]
        name = await upload(client, session, "alpha", "1.0")
        files = {"content": (wheel_name("alpha", "1.0"), make_wheel("alpha", "1.0"))}
        refused = await client.post(f"/{token}/", data={":action": "file_upload"}, files=files)
        assert refused.status_code == 403
        refused = await client.post(f"/-/api/v1/indexes/{token}/promote", json={})
        assert (refused.status_code, "session" in refused.json()["detail"]) == (400, True)
        names = [each["name"] for each in (await client.get("/-/api/v1/indexes")).json()["indexes"]]
        assert token not in names
        assert await listed(client, "alpha") == []
        assert await listed(client, "alpha", session["links"]["stage"]) == [name]

    serve(tmp_path, scenario)


def test_what_is_published_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    """The session stays as it was: its client deletes the file, and publishes the rest."""

    async def scenario(client: httpx.AsyncClient, _: Store) -> None:
        await legacy(client, "alpha", "0.9")
        session = await create(client)
        name = await upload(client, session, "alpha", "1.0", "session")
        assert (await legacy(client, "alpha", "1.0", "legacy")).status_code == 200
        refused = await publish(client, session, 409)
        assert name in refused["detail"]
        now = await look(client, session)
        assert (now["status"], now["files"][name]["status"]) == ("open", "completed")
        second = name.replace("py3-none-any", "py3-none-linux_x86_64")
        content = make_wheel("alpha", "1.0", files={"other.txt": b""})
        file = await announce(client, session, second, content)
        await send_bytes(client, file, content)
        await send(client, file["links"]["complete"], 201)
        await client.delete(now["files"][name]["link"])
        await announce(client, session, name, b"x", 409)
        await publish(client, session)
        assert set(await listed(client, "alpha")) == {wheel_name("alpha", "0.9"), name, second}

    serve(tmp_path, scenario, overwrite=True)


def test_a_named_index_has_sessions_of_its_own(tmp_path: Path) -> None:
    """Its addresses are below its name, and no session is reached through another index."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:

        defining.create_index(AccessRecords(store), "tools", {}, default="main", origin=Origin())
        session = await create(client, at="/tools")
        assert session["links"]["session"].startswith("http://127.0.0.1/tools/-/upload/2.0/s-")
        await upload(client, session, "alpha", "1.0")
        token = session["session-token"]
        assert (await client.get(f"{ROOT}{token}")).status_code == 404
        await publish(client, session)
        assert await listed(client, "alpha", "/tools/simple/") == [wheel_name("alpha", "1.0")]
        assert await listed(client, "alpha") == []

    serve(tmp_path, scenario)


def test_a_session_expires_later_when_it_is_extended(tmp_path: Path) -> None:
    """By as much as asked for, where that is allowed; else the answer says how long it is."""

    async def scenario(client: httpx.AsyncClient, _: Store) -> None:
        session = await create(client)
        ends = [session["expires-at"]]
        for seconds in (3600, 10**18, 60):
            answer = await send(client, session["links"]["extend"], 200, {"extend-for": seconds})
            ends += [answer["expires-at"]]
        assert ends[0] < ends[1] < ends[2] == ends[3]
        assert (await look(client, session))["expires-at"] == ends[-1]
        await send(client, session["links"]["extend"], 400, {"extend-for": 0})
        await client.delete(session["links"]["session"])
        await send(client, session["links"]["extend"], 409, {"extend-for": 60})

    serve(tmp_path, scenario)


def test_the_upload_of_a_file_is_extended_with_its_session(tmp_path: Path) -> None:
    """A file expires when its session does; one that was deleted, or is of a session that has ended, is refused."""

    async def scenario(client: httpx.AsyncClient, _: Store) -> None:
        session = await create(client)
        content, name = make_wheel("alpha", "1.0"), wheel_name("alpha", "1.0")
        file = await announce(client, session, name, content)
        assert file["expires-at"] == session["expires-at"]
        longer = await send(client, file["links"]["extend"], 200, {"extend-for": 3600})
        assert longer["status"] == "pending"
        assert longer["expires-at"] > file["expires-at"]
        assert (await look(client, session))["expires-at"] == longer["expires-at"]
        await send(client, file["links"]["extend"], 400, {"extend-for": -1})
        await send(client, f"{file['links']['file-upload-session']}0/extend", 404, {"extend-for": 60})
        await client.delete(file["links"]["file-upload-session"])
        await send(client, file["links"]["extend"], 409, {"extend-for": 60})
        file = await announce(client, session, name, content)
        await client.delete(session["links"]["session"])
        await send(client, file["links"]["extend"], 409, {"extend-for": 60})

    serve(tmp_path, scenario)


def test_quotas_count_the_files_of_a_session(tmp_path: Path) -> None:
    """Before their bytes are sent, and again at the publication."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        access, content = AccessRecords(store), make_wheel("alpha", "1.0", files={"variant.txt": b""})
        quota = {"project_quota": len(content) + 10}
        defining.set_index(access, "main", quota, default="main", origin=Origin())
        session = await create(client)
        name = await upload(client, session, "alpha", "1.0")
        refused = await announce(client, session, name.replace("none", "abi3"), content, 409)
        assert "quota" in refused["detail"]
        defining.set_index(access, "main", {"project_quota": 10}, default="main", origin=Origin())
        assert "quota" in (await publish(client, session, 409))["detail"]
        assert (await look(client, session))["status"] == "open"
        defining.set_index(access, "main", {"project_quota": None, "quota": 10}, default="main", origin=Origin())
        await announce(client, session, name.replace("none", "abi3"), content, 409)
        defining.set_index(access, "main", {"quota": None}, default="main", origin=Origin())
        await publish(client, session)

    serve(tmp_path, scenario)


def test_a_server_that_reads_no_definitions_has_no_sessions(tmp_path: Path) -> None:
    """It would not obey them, and refuse every request because of them."""

    async def scenario(client: httpx.AsyncClient, _: Store) -> None:
        assert "--rights settings" in (await create(client, status=404))["detail"]

    serve(tmp_path, scenario, rights="settings")


def test_a_stage_that_an_administrator_deletes_cancels_its_session(tmp_path: Path) -> None:
    """Its settings cannot be changed otherwise."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        session = await create(client)
        token, access = session["session-token"], AccessRecords(store)
        with pytest.raises(InvalidRequest, match="publishing session"):
            defining.set_index(access, token, {"uploads": True}, default="main", origin=Origin())
        await upload(client, session, "alpha", "1.0")
        defining.delete_index(access, Index(store, token), with_files=True, default="main", origin=Origin())
        await publish(client, session, 409)
        assert (await look(client, session))["status"] == "canceled"

    serve(tmp_path, scenario)


def test_the_policy_of_the_index_counts_for_its_sessions(tmp_path: Path) -> None:
    """When the bytes arrive, and again at the publication."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        access, content = AccessRecords(store), make_wheel("alpha", "1.0")
        session = await create(client)
        name = await upload(client, session, "alpha", "1.0")
        defining.set_policy(access, "main", {"deny": ["alpha"]}, default="main", origin=Origin())
        await publish(client, session, 403)
        link = (await look(client, session))["files"][name]["link"]
        assert (await client.delete(link)).status_code == 204
        file = await announce(client, session, name, content)
        await send_bytes(client, file, content, 403)

    serve(tmp_path, scenario)


def test_the_version_of_a_session_is_stored_as_it_is_usually_spelled(tmp_path: Path) -> None:
    """Without whitespace: it is a part of a document that every request reads."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        for version in (" 1.0 ", "v2.0\n"):
            await create(client, "alpha", version)
        definitions = AccessRecords(store).read().state.document.indexes.values()
        assert sorted(each.session.version for each in definitions if each.session is not None) == ["1.0", "2.0"]

    serve(tmp_path, scenario)


def test_bytes_that_arrive_when_the_session_has_ended_are_deleted(tmp_path: Path) -> None:
    """Its stage is gone without a change of its record, as it expired while they were sent."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        session, content, access = await create(client), make_wheel("alpha", "1.0"), AccessRecords(store)
        first = await upload(client, session, "alpha", "1.0")
        second = first.replace("py3-none-any", "py3-none-linux_x86_64")
        file, token = await announce(client, session, second, content), session["session-token"]

        async def slow() -> AsyncIterator[bytes]:
            yield content[:-1]
            promoting.end_stages(access, store, "main", Origin(), datetime.now(UTC) + timedelta(days=8))
            yield content[-1:]

        headers = {"content-type": "application/octet-stream"}
        answer = await client.post(file["mechanism"]["file_url"], content=slow(), headers=headers)
        assert (answer.status_code, "ended" in answer.text) == (409, True)
        assert Index(store, token).names() == ()
        assert (await look(client, session))["status"] == "canceled"

    serve(tmp_path, scenario)


@pytest.mark.parametrize("status", [ProjectStatus.ARCHIVED, ProjectStatus.QUARANTINED])
def test_a_project_that_takes_no_uploads_takes_no_sessions(status: ProjectStatus, tmp_path: Path) -> None:
    """It is said at their creation."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        await legacy(client, "alpha", "0.9")
        Index(store).set_status("alpha", status)
        assert str(status) in (await create(client, status=403))["detail"]

    serve(tmp_path, scenario)


@pytest.mark.parametrize("quota", ["quota", "project_quota"])
def test_uploads_that_begin_at_once_keep_the_quotas(quota: str, tmp_path: Path) -> None:
    """No more of them than fit; and what the other session of the project has announced counts."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        access, content = AccessRecords(store), b"x" * 100
        defining.set_index(access, "main", {quota: 450}, default="main", origin=Origin())
        other, session = await create(client, "alpha", "2.0"), await create(client, "alpha", "1.0")
        await announce(client, other, wheel_name("alpha", "2.0"), content)

        async def begin(number: int) -> int:
            body = {
                "filename": wheel_name("alpha", "1.0").replace("none-any", f"none-linux_{number}"),
                "size": len(content),
                "hashes": {"sha256": "0" * 64},
                "mechanism": "http-post-bytes",
            }
            answer = await client.post(session["links"]["upload"], json={"meta": META, **body}, headers=HEADERS)
            return answer.status_code

        answers = await asyncio.gather(*map(begin, range(6)))
        assert sorted(answers) == [202] * 3 + [409] * 3
        assert len((await look(client, session))["files"]) == 3

    serve(tmp_path, scenario)


@pytest.mark.parametrize("quota", ["quota", "project_quota"])
def test_two_sessions_that_begin_uploads_at_once_keep_the_quotas(quota: str, tmp_path: Path) -> None:
    """One that another server began, after it was looked for and before this one was written, is found then."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        assert isinstance(store, MemoryStore)
        access, content = AccessRecords(store), b"x" * 100
        defining.set_index(access, "main", {quota: 150}, default="main", origin=Origin())
        other, session = await create(client, "alpha", "2.0"), await create(client, "alpha", "1.0")
        sessions, token = Sessions(store.shared(), access, "main"), other["session-token"]
        file = SessionFile(filename=wheel_name("alpha", "2.0"), size=len(content), hashes={})

        def begin_elsewhere() -> None:
            sessions.change(token, lambda found: documents.with_file(found, "0", file))

        store.faults.call("write", begin_elsewhere)
        refused = await announce(client, session, wheel_name("alpha", "1.0"), content, 409)
        assert "quota" in refused["detail"]
        assert (await look(client, session))["files"] == {}
        assert wheel_name("alpha", "2.0") in (await look(client, other))["files"]
        sessions.cancel(token, None, Origin())
        await announce(client, session, wheel_name("alpha", "1.0"), content)

    serve(f"memory:{tmp_path.name}", scenario)


@pytest.mark.parametrize("quota", ["quota", "project_quota"])
def test_a_session_that_cannot_be_read_stops_no_upload_of_another_one(quota: str, tmp_path: Path) -> None:
    """It counts as nothing where there is a quota, since it cannot be published; requests for it alone are refused."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        content = make_wheel("alpha", "1.0", files={"variant.txt": b""})
        defining.set_index(AccessRecords(store), "main", {quota: 2 * len(content)}, default="main", origin=Origin())
        damaged, session = await create(client, "alpha", "2.0"), await create(client, "alpha", "1.0")
        record = store.records.read(f"access/publishing/{damaged['session-token']}")
        store.records.write(record.key, b"damaged", record)
        with capture_logs() as logs:
            await upload(client, session, "alpha", "1.0")
        assert record.key in str(logs)
        await announce(client, damaged, wheel_name("alpha", "2.0"), content, 503)
        await look(client, damaged, 503)
        assert (await publish(client, session))["status"] == "published"

    serve(tmp_path, scenario)


@pytest.mark.parametrize("way", ["delete", "apply"])
def test_sessions_are_canceled_with_their_index(way: str, tmp_path: Path) -> None:
    """An uploader that has one open does not keep an administrator from deleting the index."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        access, tools = AccessRecords(store), Index(store, "tools")
        defining.create_index(access, "tools", {}, default="main", origin=Origin())
        session, kept = await create(client, at="/tools"), await create(client)
        await upload(client, session, "alpha", "1.0")
        token = session["session-token"]
        if way == "delete":
            with pytest.raises(InvalidRequest, match="open publishing sessions"):
                defining.delete_index(access, tools, with_files=False, default="main", origin=Origin())
            defining.delete_index(access, tools, with_files=True, default="main", origin=Origin())
        else:
            apply(access, parse_declared({"indexes": {}}), default="main", prune=True, dry_run=False, origin=Origin())
        assert access.read().state.document.indexes.keys() == {kept["session-token"]}
        assert Index(store, token).names() == ()
        await look(client, session, 404)
        await upload(client, kept, "alpha", "1.0")
        await publish(client, kept)

    serve(tmp_path, scenario)
