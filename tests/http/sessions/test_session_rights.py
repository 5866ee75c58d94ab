"""Publishing sessions and rights: decided at each request, by those of the index that is published to.

Replaced here: the seconds after which the rights of a request are read again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from quire.access.records import AccessRecords
from quire.domain.publishing_sessions import OpenSession
from quire.http.app import access
from quire.index.audit.entries import Origin
from quire.operations import defining, granting
from quire.operations.publishing_sessions import Sessions
from quire.store.contracts import Store
from tests.asking import basic, password_file
from tests.attestations.instance import Instance
from tests.distributions import make_wheel, wheel_name
from tests.http.sessions.session_client import (
    HEADERS,
    META,
    TYPE,
    announce,
    create,
    legacy,
    listed,
    look,
    publish,
    send_bytes,
    serve,
    upload,
)
from tests.tokens import make_token

USERS = {name: f"secret of {name}" for name in ("ann", "bob", "eve", "rita", "boss")}
ORIGIN = Origin(user="root")

Act = Callable[[httpx.AsyncClient, "Site"], Awaitable[None]]


class Site:
    """A store with grants: ann and bob upload to all, eve to beta alone, rita reads."""

    def __init__(self, client: httpx.AsyncClient, store: Store) -> None:
        self.client = client
        self.access = AccessRecords(store)
        granting.begin(self.access, "boss", ["update", "download", "list"], ORIGIN)
        first = self.access.read().state.document.grants
        others = [each for each, grant in first.items() if grant.subject != "user:boss"]
        granting.take_back(self.access, others, ORIGIN)
        for user, rights, projects in (
            ("ann", ["read", "upload"], []),
            ("bob", ["read", "upload"], []),
            ("eve", ["upload"], ["beta"]),
            ("rita", ["read"], []),
        ):
            for right in rights:
                granting.give(self.access, f"user:{user}", [right], "main", projects, origin=ORIGIN)

    def be(self, user: str) -> None:
        """From here on the client is this user; it has no login where the name is empty."""
        self.client.headers.pop("authorization", None)
        if user:
            self.client.headers["authorization"] = basic(user, USERS[user])


def serve_site(folder: Path, act: Act, **more: Any) -> None:
    async def scenario(client: httpx.AsyncClient, store: Store) -> None:
        await act(client, Site(client, store))

    (folder / "packages").mkdir()
    users = password_file(folder, **USERS)
    everything = ("download", "list", "update")
    serve(folder / "packages", scenario, authenticate=everything, passwords=str(users), **more)


def test_each_request_takes_the_right_to_upload_to_the_project(tmp_path: Path) -> None:
    """A sender without it is refused before it learns whether there is a session; one that gets it takes part."""

    async def act(client: httpx.AsyncClient, site: Site) -> None:
        site.be("ann")
        assert (await legacy(client, "alpha", "0.9")).status_code == 200
        session = await create(client)
        for user, status in (("", 401), ("rita", 403), ("eve", 403)):
            site.be(user)
            await create(client, status=status)
            await look(client, session, status)
            await publish(client, session, status)
            assert (await client.delete(session["links"]["session"])).status_code == status
            await announce(client, session, wheel_name("alpha", "1.0"), b"x", status)
        site.be("bob")
        assert (await client.post(session["links"]["session"])).status_code == 405
        await create(client, status=409)
        await upload(client, session, "alpha", "1.0")
        assert (await publish(client, session))["status"] == "published"

    serve_site(tmp_path, act)


def test_a_sender_that_loses_the_right_is_refused_at_its_next_request(tmp_path: Path) -> None:
    """Also the one that created the session; and goes on when it has the right again."""

    async def act(client: httpx.AsyncClient, site: Site) -> None:
        site.be("ann")
        session = await create(client)
        await upload(client, session, "alpha", "1.0")
        grants = site.access.read().state.document.grants
        mine = [
            each for each, grant in grants.items() if grant.subject == "user:ann" and grant.permissions != ("read",)
        ]
        granting.take_back(site.access, mine, ORIGIN)
        await publish(client, session, 403)
        granting.give(site.access, "user:ann", ["upload"], "main", [], origin=ORIGIN)
        await asyncio.sleep(0)  # a request that comes over a network is in a later tick than the answer before it
        await publish(client, session)

    serve_site(tmp_path, act)


@pytest.mark.parametrize("step", ["files", "publish", "extend", "complete", "extend of a file", "attestations"])
def test_a_right_that_ends_while_a_body_is_open_is_not_used(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the project alone, which is decided once more: however long the client takes for the body."""
    monkeypatch.setattr(access, "DECIDED_AGAIN_SECONDS", -1.0)
    (tmp_path / "root.json").write_bytes(Instance().trust_root())

    async def act(client: httpx.AsyncClient, site: Site) -> None:
        beta = granting.give(site.access, "user:rita", ["upload"], "main", ["beta"], origin=ORIGIN)[0]
        site.be("ann")
        assert (await legacy(client, "beta", "0.9")).status_code == 200
        session = await create(client, "beta")
        content = make_wheel("beta", "1.0")
        file = await announce(client, session, wheel_name("beta", "1.0"), content)
        await send_bytes(client, file, content)
        granting.give(site.access, "user:rita", ["upload"], "main", ["alpha"], origin=ORIGIN)
        site.be("rita")
        url, kind = {
            "files": (session["links"]["upload"], TYPE),
            "publish": (session["links"]["publish"], TYPE),
            "extend": (session["links"]["extend"], TYPE),
            "complete": (file["links"]["complete"], TYPE),
            "extend of a file": (file["links"]["extend"], TYPE),
            "attestations": (file["mechanism"]["attestations_url"], "application/json"),
        }[step]
        body = {"meta": META, "extend-for": 60, "filename": "", "size": 1, "hashes": {}, "mechanism": ""}

        async def slow() -> AsyncIterator[bytes]:
            yield b" "
            granting.take_back(site.access, [beta], ORIGIN)
            await asyncio.sleep(0)  # over a network the rest comes in a later tick
            yield json.dumps(body).encode()

        answer = await client.post(url, content=slow(), headers={**HEADERS, "content-type": kind})
        assert answer.status_code == 403, answer.text

    serve_site(tmp_path, act, attestations_trust_root=str(tmp_path / "root.json"))


def test_the_preview_is_for_readers_of_the_index(tmp_path: Path) -> None:
    """Its address alone gives nothing that the index keeps for them."""

    async def act(client: httpx.AsyncClient, site: Site) -> None:
        site.be("ann")
        session = await create(client)
        name = await upload(client, session, "alpha", "1.0")
        stage = session["links"]["stage"]
        for user, files in (("", []), ("eve", []), ("rita", [name]), ("bob", [name])):
            site.be(user)
            for _ in range(3):
                assert await listed(client, "alpha", stage) == files, user
        site.be("rita")
        names = [each["name"] for each in (await client.get("/-/api/v1/indexes")).json()["indexes"]]
        assert names == ["main"]

    serve_site(tmp_path, act)


def test_a_new_name_is_reserved_for_its_session(tmp_path: Path) -> None:
    """Against the legacy API and sessions of others, until it ends; not against its own sender, nor other names."""

    async def act(client: httpx.AsyncClient, site: Site) -> None:
        site.be("ann")
        session = await create(client)
        site.be("bob")
        for version in ("1.0", "2.0"):
            refused = await legacy(client, "alpha", version)
            assert (refused.status_code, "reserved" in refused.text) == (403, True)
            assert session["session-token"] not in refused.text
            await create(client, "alpha", version, 403)
        await look(client, session, 403)
        assert (await legacy(client, "gamma", "1.0")).status_code == 200
        site.be("rita")
        assert await listed(client, "alpha") == []
        site.be("ann")
        assert (await legacy(client, "alpha", "0.1")).status_code == 200
        await upload(client, session, "alpha", "1.0")
        await publish(client, session)
        site.be("bob")
        assert (await legacy(client, "alpha", "2.0")).status_code == 200
        site.be("ann")
        other = await create(client, "delta")
        await client.delete(other["links"]["session"])
        site.be("bob")
        assert (await legacy(client, "delta", "1.0")).status_code == 200

    serve_site(tmp_path, act)


def test_the_sender_of_a_first_release_owns_its_project(tmp_path: Path) -> None:
    """Where the index has owned projects; to others of them a session takes an owner."""

    async def act(client: httpx.AsyncClient, site: Site) -> None:
        defining.set_index(site.access, "main", {"new_projects": "owned"}, default="main", origin=ORIGIN)
        site.be("ann")
        session = await create(client)
        await upload(client, session, "alpha", "1.0")
        await publish(client, session)
        site.be("bob")
        await create(client, "alpha", "2.0", 403)
        assert (await legacy(client, "alpha", "2.0")).status_code == 403
        site.be("ann")
        await create(client, "alpha", "2.0")

    serve_site(tmp_path, act)


def test_a_name_without_files_is_its_senders(tmp_path: Path) -> None:
    """A session that is published without files gives the name to its sender, where projects have owners."""

    async def act(client: httpx.AsyncClient, site: Site) -> None:
        defining.set_index(site.access, "main", {"new_projects": "owned"}, default="main", origin=ORIGIN)
        site.be("ann")
        for _ in range(2):
            session = await create(client, "alpha", "0.0.0a0")
            assert (await publish(client, session))["status"] == "published"
        assert await listed(client, "alpha") == []
        site.be("bob")
        assert (await legacy(client, "alpha", "1.0")).status_code == 403
        await create(client, "alpha", "1.0", 403)
        site.be("ann")
        assert (await legacy(client, "alpha", "1.0")).status_code == 200

    serve_site(tmp_path, act)


def test_a_name_is_free_when_its_project_has_a_release(tmp_path: Path) -> None:
    """Published by another session of its creator, or by an upload that came before the reservation was stored."""

    async def act(client: httpx.AsyncClient, site: Site) -> None:
        site.be("ann")
        await create(client, "alpha", "1.0")
        second = await create(client, "alpha", "2.0")
        await upload(client, second, "alpha", "2.0")
        await publish(client, second)
        definitions = site.access.read().state.document.indexes.values()
        assert [each.session.is_first for each in definitions if each.session is not None] == [False]
        site.be("bob")
        assert (await legacy(client, "alpha", "3.0")).status_code == 200
        await create(client, "alpha", "4.0")
        assert (await legacy(client, "beta", "1.0")).status_code == 200
        late = OpenSession(project="beta", version="2.0", by="user:ann", is_first=True)
        Sessions(site.access.store, site.access, "main").create("main", late, ORIGIN)
        assert (await legacy(client, "beta", "3.0")).status_code == 200
        await create(client, "beta", "4.0")

    serve_site(tmp_path, act)


def test_an_administrator_ends_a_reservation(tmp_path: Path) -> None:
    """And a sender that manages the project: they see the session and cancel it; they do not add to it."""

    async def act(client: httpx.AsyncClient, site: Site) -> None:
        granting.give(site.access, "user:rita", ["manage"], "main", ["alpha"], origin=ORIGIN)
        for user, name in (("boss", "gamma"), ("rita", "alpha")):
            site.be("ann")
            session = await create(client, name)
            site.be("bob")
            assert (await client.delete(session["links"]["session"])).status_code == 403
            site.be(user)
            assert (await look(client, session))["status"] == "open"
            await publish(client, session, 403)
            assert (await client.delete(session["links"]["session"])).status_code == 204
            site.be("bob")
            assert (await legacy(client, name, "1.0")).status_code == 200

    serve_site(tmp_path, act)


def test_a_token_that_is_revoked_reserves_nothing(tmp_path: Path) -> None:
    """It cannot finish its session any more."""

    async def act(client: httpx.AsyncClient, site: Site) -> None:
        token = make_token(site.access, ["read", "upload"], index="main", origin=ORIGIN)
        client.headers["authorization"] = basic("__token__", token.text)
        session = await create(client)
        site.be("bob")
        assert (await legacy(client, "alpha", "1.0")).status_code == 403
        granting.revoke_tokens(site.access, [token.identity], ORIGIN)
        assert (await legacy(client, "alpha", "1.0")).status_code == 200
        assert (await client.delete(session["links"]["session"])).status_code == 204

    serve_site(tmp_path, act)
