"""The attestations of files of publishing sessions: sent before a file is completed, verified, published with it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import httpx
import msgspec
import pytest

from quire.domain import publishing_sessions as documents
from quire.domain.errors import SessionConflict
from quire.domain.publishing_sessions import PublishingSession, SessionFile
from quire.index.index import Index
from quire.store.contracts import Store
from quire.store.memory import MemoryStore
from tests.attestations.instance import JOB, SLSA, Instance, minted
from tests.distributions import make_wheel, wheel_name
from tests.http.sessions.session_client import PAGE, announce, create, legacy, look, publish, send, send_bytes, serve

NAME = wheel_name("alpha", "1.0")
CONTENT = make_wheel("alpha", "1.0")
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER_JOB = msgspec.structs.replace(JOB, claims={**JOB.claims, "repository_id": "99"})
PROVENANCE = f"/integrity/alpha/1.0/{NAME}/provenance"

Act = Callable[[httpx.AsyncClient, Store], Awaitable[None]]


@pytest.fixture(scope="module")
def instance() -> Instance:
    return Instance()


@pytest.fixture(scope="module")
def verifies(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The settings of a server that verifies attestations of this instance, and takes uploads with a login alone."""
    path = tmp_path_factory.mktemp("root") / "trusted_root.json"
    path.write_bytes(instance.trust_root())
    return {
        "attestations_trust_root": str(path),
        "authenticate": ("update",),
        "public_url": "http://127.0.0.1/",
    }


def as_job(act: Act) -> Act:
    """The scenario, whose client has the token of a CI job."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        client.headers["authorization"] = f"Bearer {minted(store)}"
        await act(client, store)

    return scenario


async def attest(client: httpx.AsyncClient, file: Any, sent: Any, status: int = 200, **headers: str) -> Any:
    headers = {"content-type": "application/json", **headers}
    answer = await client.post(file["mechanism"]["attestations_url"], content=json.dumps(sent), headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


async def provenance_of(client: httpx.AsyncClient) -> tuple[int, str | None]:
    """Whether the published file has its provenance, and the address that its page names."""
    page = (await client.get("/simple/alpha/", headers=PAGE)).json()
    urls = [each["provenance"] for each in page["files"] if each["filename"] == NAME]
    return (await client.get(PROVENANCE)).status_code, urls[0] if urls else None


@pytest.mark.parametrize("kind", ["volume", "memory"])
@pytest.mark.parametrize("first", ["bytes", "attestations"])
def test_attestations_are_published_with_their_file(
    kind: str, first: str, instance: Instance, verifies: dict[str, Any], tmp_path: Path
) -> None:
    """Whether they arrive before the bytes or after them; those that are sent again replace the first."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        session = await create(client)
        file = await announce(client, session, NAME, CONTENT)
        if first == "bytes":
            await send_bytes(client, file, CONTENT)
        await attest(client, file, [instance.attestation(NAME, SHA256, predicate=SLSA)])
        both = [instance.attestation(NAME, SHA256), instance.attestation(NAME, SHA256, predicate=SLSA)]
        assert (await attest(client, file, both))["status"] == "pending"
        if first == "attestations":
            await send_bytes(client, file, CONTENT)
        assert (await send(client, file["links"]["complete"], 201))["status"] == "completed"
        assert (await send(client, file["links"]["complete"], 201))["status"] == "completed"
        stage = Index(store, session["session-token"])
        staged = {each.key for each in store.blobs.list("alpha")}
        file_of_stage = next(iter(stage.project("alpha").files.values()))  # type: ignore[union-attr]
        assert all(key.startswith(f"{file_of_stage.blob}/") for key in staged), "the bytes are there once"
        await publish(client, session)
        assert await provenance_of(client) == (200, f"http://127.0.0.1{PROVENANCE}")
        bundles = (await client.get(PROVENANCE)).json()["attestation_bundles"]
        assert [len(bundle["attestations"]) for bundle in bundles] == [2]
        page = (await client.get("/simple/alpha/", headers=PAGE)).json()
        assert (await client.get(f"/simple/alpha/{page['files'][0]['url']}")).content == CONTENT

    serve(tmp_path if kind == "volume" else f"memory:{tmp_path.name}-{first}", as_job(scenario), **verifies)


def test_attestations_that_cannot_be_verified_are_refused(
    instance: Instance, verifies: dict[str, Any], tmp_path: Path
) -> None:
    """With a sentence; the upload is pending as before, and is completed without them."""

    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        assert (await legacy(client, "alpha", "0.9")).status_code == 200  # so that no session reserves the name
        session = await create(client)
        file = await announce(client, session, NAME, CONTENT)
        good = [instance.attestation(NAME, SHA256)]
        assert "JSON list" in (await attest(client, file, {"version": 1}, 400))["detail"]
        assert "empty" in (await attest(client, file, [], 400))["detail"]
        await attest(client, file, [instance.attestation(NAME, "0" * 64)], 400)
        await attest(client, file, [instance.attestation("beta-1.0.tar.gz", SHA256)], 400)
        await attest(client, file, [Instance().attestation(NAME, SHA256)], 400)
        await attest(client, file, [good[0] | {"version": 2}], 400)
        await attest(client, file, ["x" * 300_000], 413)
        await attest(client, file, good, 415, **{"content-type": "text/plain"})
        await attest(client, file, good, 401, authorization="")
        by_hand = {"authorization": f"Bearer {minted(store, None)}"}
        await asyncio.sleep(0)  # a request that comes over a network is in a later tick than the answer before it
        assert "trusted publish" in (await attest(client, file, good, 400, **by_hand))["detail"]
        other = {"authorization": f"Bearer {minted(store, OTHER_JOB)}"}
        await asyncio.sleep(0)
        assert "another identity" in (await attest(client, file, good, 400, **other))["detail"]
        await send_bytes(client, file, CONTENT)
        await send(client, file["links"]["complete"], 201)
        await attest(client, file, good, 409)
        await publish(client, session)
        assert await provenance_of(client) == (404, None)
        await attest(client, file, good, 409)

    serve(tmp_path, as_job(scenario), **verifies)


def test_attestations_are_of_the_bytes_that_are_published(
    instance: Instance, verifies: dict[str, Any], tmp_path: Path
) -> None:
    """Where no sha256 was announced they are sent after the bytes, which are not replaced then."""

    async def scenario(client: httpx.AsyncClient, _: Store) -> None:
        session = await create(client)
        other = make_wheel("alpha", "1.0", files={"variant.txt": b""})
        hashes = {"sha512": hashlib.sha512(CONTENT).hexdigest()}
        file = await announce(client, session, NAME, CONTENT, hashes=hashes)
        good = [instance.attestation(NAME, SHA256)]
        assert "sha256" in (await attest(client, file, good, 409))["detail"]
        await send_bytes(client, file, CONTENT)
        await attest(client, file, [instance.attestation(NAME, hashlib.sha256(other).hexdigest())], 400)
        await attest(client, file, good)
        await send_bytes(client, file, CONTENT)
        await send(client, file["links"]["complete"], 201)
        await publish(client, session)
        assert (await provenance_of(client))[0] == 200

    serve(tmp_path, as_job(scenario), **verifies)


def test_attestations_of_an_upload_that_is_replaced_go_with_it(
    instance: Instance, verifies: dict[str, Any], tmp_path: Path
) -> None:
    """The file that replaces it has none, unless its own are sent; one without bytes is in error."""

    async def scenario(client: httpx.AsyncClient, _: Store) -> None:
        session = await create(client)
        for attested in (True, False):
            file = await announce(client, session, NAME, CONTENT)
            await send_bytes(client, file, CONTENT)
            if attested:
                await attest(client, file, [instance.attestation(NAME, SHA256)])
            await send(client, file["links"]["complete"], 201)
            if attested:
                await client.delete(file["links"]["file-upload-session"])
        bare_name = NAME.replace("py3", "py2")
        bare = await announce(client, session, bare_name, CONTENT)
        await attest(client, bare, [instance.attestation(bare_name, SHA256)])
        await send(client, bare["links"]["complete"], 400)
        await client.delete(bare["links"]["file-upload-session"])
        await publish(client, session)
        assert await provenance_of(client) == (404, None)

    serve(tmp_path, as_job(scenario), **verifies)


def test_a_server_that_verifies_none_offers_no_address(instance: Instance, tmp_path: Path) -> None:
    """The PEP: no key, no support. A client that asks nevertheless is told."""

    async def scenario(client: httpx.AsyncClient, _: Store) -> None:
        session = await create(client)
        file = await announce(client, session, NAME, CONTENT)
        assert "attestations_url" not in file["mechanism"]
        file["mechanism"]["attestations_url"] = f"{file['mechanism']['file_url']}/attestations"
        refused = await attest(client, file, [instance.attestation(NAME, SHA256)], 404)
        assert "verifies no attestations" in refused["detail"]
        assert (await look(client, session))["files"][NAME]["status"] == "pending"

    serve(tmp_path, scenario, attestations="ignore")


def test_the_last_attestations_before_the_completion_count(
    instance: Instance, verifies: dict[str, Any], tmp_path: Path
) -> None:
    """Of a completion and of attestations that are sent at once, one may be refused; what was accepted is published."""

    async def scenario(client: httpx.AsyncClient, _: Store) -> None:
        for number in range(4):
            version = f"1.{number}"
            name, content = wheel_name("alpha", version), make_wheel("alpha", version)
            session = await create(client, version=version)
            file = await announce(client, session, name, content)
            await send_bytes(client, file, content)
            sent = [instance.attestation(name, hashlib.sha256(content).hexdigest())]
            body = {"meta": {"api-version": "2.0"}}
            kind = {"content-type": "application/vnd.pypi.upload.v2+json"}
            answers = await asyncio.gather(
                client.post(file["mechanism"]["attestations_url"], json=sent),
                client.post(file["links"]["complete"], json=body, headers=kind),
            )
            assert {each.status_code for each in answers} <= {200, 201, 409}
            await send(client, file["links"]["complete"], 201)
            await publish(client, session)
            found = await client.get(f"/integrity/alpha/{version}/{name}/provenance")
            assert (found.status_code == 200) == (answers[0].status_code == 200)

    serve(tmp_path, as_job(scenario), **verifies)


@pytest.mark.parametrize("step", ["open", "write"])
def test_a_completion_that_is_sent_twice_at_once_is_one(
    step: Literal["open", "write"], instance: Instance, verifies: dict[str, Any], tmp_path: Path
) -> None:
    """As by a client that repeats it after a time-out: both are told so, and one copy of the file is kept."""

    async def act(client: httpx.AsyncClient, store: Store) -> None:
        assert isinstance(store, MemoryStore)
        session, loop = await create(client), asyncio.get_running_loop()
        file = await announce(client, session, NAME, CONTENT)
        await send_bytes(client, file, CONTENT)
        await attest(client, file, [instance.attestation(NAME, SHA256)])
        complete = send(client, file["links"]["complete"], 201)
        store.faults.call(step, lambda: asyncio.run_coroutine_threadsafe(complete, loop).result(30))
        assert (await send(client, file["links"]["complete"], 201))["status"] == "completed"
        assert len([*store.blobs.list()]) == 3  # with its metadata and provenance
        await publish(client, session)
        assert (await provenance_of(client))[0] == 200

    serve(f"memory:{tmp_path.name}", as_job(act), **verifies)


def test_attestations_that_wait_are_bounded_and_survive_in_the_record() -> None:
    """They are a part of the record until their upload is completed; an earlier version does not read such a record."""
    file = SessionFile(filename=NAME, size=1, hashes={"sha256": SHA256})
    files = {str(number): msgspec.structs.replace(file, filename=f"{number}-{NAME}") for number in range(20)}
    at = "2026-11-01T00:00:00Z"
    session = PublishingSession(index="main", project="alpha", version="1.0", created=at, expires=at, files=files)
    assert b'"format": 1' in documents.encode_session(session)
    large = "x" * 100_000
    for identity in list(files)[:10]:
        session = documents.attested(session, identity, SHA256, large)
    assert b'"format": 2' in documents.encode_session(session)
    assert documents.decode_session(documents.encode_session(session)) == session
    with pytest.raises(SessionConflict, match="complete uploads"):
        documents.attested(session, "15", SHA256, large)
    with pytest.raises(SessionConflict, match="Other bytes"):
        documents.attested(session, "1", "0" * 64, large)
    with pytest.raises(SessionConflict, match="arrived meanwhile"):
        documents.completed(documents.arrived(session, "0", SHA256), "0")
    done = documents.completed(documents.arrived(session, "0", SHA256), "0", large)
    assert documents.attested(documents.without_file(done, "1"), "15", SHA256, large).is_attested
    with pytest.raises(SessionConflict, match="of other bytes"):
        documents.arrived(documents.arrived(session, "2", SHA256), "2", "0" * 64)
