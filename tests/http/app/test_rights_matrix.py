"""The rights matrix: each line of the route table, asked by each kind of principal.

A new route needs a line in ROWS, which says what it takes; the expected answers follow from that. The route table says
the same in its own words, so that a right which is changed in one of them only is found.

Replaced here: the seconds after which the rights of a request are read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import pytest
from starlette.types import ASGIApp

from quire.access.records import AccessRecords
from quire.access.tokens import new_token
from quire.config.settings import Settings
from quire.http.app import access as access_of_requests
from quire.http.app.application import create_application
from quire.http.app.routes import Endpoint, endpoints
from quire.http.fast.fast_path import FastPath, FastPathApplication
from quire.index.audit.entries import Origin
from quire.operations import granting
from tests.advisories.taking import document, take_in
from tests.asking import basic, password_file
from tests.distributions import make_wheel, wheel_name
from tests.tokens import make_token

OPEN, LOGIN, READ, FORM, UPDATE, MANAGE, ADMIN = "open", "login", "read", "form", "update", "manage", "admin"
"""Needs of a route. OPEN: none; LOGIN: no right, but credentials that are sent have to count; a right; FORM: upload or
manage, by the form; UPDATE: one of them on some project, and what else is needed is decided later."""
V1: Final = "/-/api/v1"
OSV: Final = "/-/osv/v1"
SESSIONS: Final = "/-/upload/2.0/"
FILE_STEPS: Final = tuple(f"files/{{file}}/{step}" for step in ("complete", "extend", "attestations"))
OF_PROJECT: Final = f"{V1}/indexes/{{index}}/projects/{{name}}"
ROWS: Final[dict[str, tuple[str, ...]]] = {
    OPEN: (
        *("GET /", "GET /health", "GET /ready", "GET /favicon.ico", "GET /{index}", "GET /{index}/"),
        "GET /-/static/{digest}/{name}",
        *("GET /-/login", "POST /-/login", "GET /-/login/provider", "GET /-/login/callback", "POST /-/logout"),
        *("POST /-/account/tokens", "POST /-/account/tokens/revoke"),
        *("GET /_/oidc/audience", "POST /_/oidc/mint-token", "POST /_/oidc/burn-token", "GET /.well-known/pytp"),
        *(f"{what}/@{{moment}}/{{path:path}}" for what in ("GET ", "GET /{index}", "POST ", "POST /{index}")),
    ),
    LOGIN: (
        *(f"GET {V1}/whoami", f"GET {V1}/indexes", "GET /-/account/"),
        *(f"GET {V1}/account/tokens", f"POST {V1}/account/tokens", f"POST {V1}/account/tokens/revoke"),
    ),
    READ: (
        *("GET /simple/", "GET /simple", "GET /simple/{name}/", "GET /simple/{name}", "GET /packages"),
        *("GET /packages/", "GET /packages/{path:path}", "GET /metrics", "GET /openapi.json", "GET /{name}/json"),
        *("GET /pypi/{name}/json", "GET /pypi/{name}/{version}/json", "POST /RPC2", "POST /pypi (no form)"),
        *(f"GET {at}/project/{{name}}{what}" for at in ("", "/{index}") for what in ("", "/", "/diff/")),
        *(f"GET {at}/project/{{name}}/{{version}}{slash}" for at in ("", "/{index}") for slash in ("", "/")),
        "GET /integrity/{name}/{version}/{filename}/provenance",
        *(f"GET /{{index}}/{what}" for what in ("simple/", "simple", "simple/{name}/", "simple/{name}", "packages/")),
        *(f"GET /{{index}}/{what}" for what in ("packages", "packages/{path:path}", "pypi/{name}/json")),
        *("GET /{index}/pypi/{name}/{version}/json", "POST /{index}/RPC2"),
        "GET /{index}/integrity/{name}/{version}/{filename}/provenance",
        *(f"GET {at}/project/{{name}}/{{version}}/files/{{filename}}/{{path:path}}" for at in ("", "/{index}")),
        *(f"GET {at}/@{{moment}}/simple{what}" for at in ("", "/{index}") for what in ("", "/", "/{name}", "/{name}/")),
        *("GET /@{moment}/packages/{path:path}", "GET /{index}/@{moment}/packages/{path:path}"),
        *(f"{what}{OSV}/query" for what in ("POST ", "POST /{index}")),
        *(f"{what}{OSV}/querybatch" for what in ("POST ", "POST /{index}")),
        *(f"{what}{OSV}/vulns/{{id}}" for what in ("GET ", "GET /{index}")),
        *("GET /project/{name}/used-by/", "GET /{index}/project/{name}/used-by/"),
        *("GET /-/advisories/{id}/", "GET /{index}/-/advisories/{id}/"),
        *("GET /index/{index}/", "GET /index/{index}"),
        *("GET /search", "GET /{index}/search", f"GET {V1}/search", f"GET {V1}/indexes/{{index}}/search"),
        *(f"GET {V1}/indexes/{{index}}/projects", f"GET {OF_PROJECT}", f"GET {OF_PROJECT}/dependents"),
        *(f"GET {OF_PROJECT}/files", f"GET {OF_PROJECT}/releases", f"GET {OF_PROJECT}/releases/{{version}}"),
        *(f"GET {at}/{what}" for at in ("", "/{index}") for what in ("namespaces", "namespace/{name}")),
        *(f"GET {V1}/indexes/{{index}}/policy/explain", f"GET {V1}/advisories/projects/{{name}}"),
    ),
    FORM: (
        *("POST /", "POST /legacy/", "POST /legacy", "POST /upload/", "POST /upload", "POST /pypi/", "POST /pypi"),
        *("POST /simple/", "POST /simple", "POST /packages/", "POST /packages"),
        *("POST /{index}/", "POST /{index}/legacy/", "POST /{index}/simple/"),
    ),
    UPDATE: (
        f"POST {V1}/indexes/{{index}}/promote",
        *(f"POST {at}{SESSIONS}" for at in ("", "/{index}")),
        *(f"{method} {at}{SESSIONS}{{session}}" for at in ("", "/{index}") for method in ("GET", "DELETE")),
        *(
            f"POST {at}{SESSIONS}{{session}}/{what}"
            for at in ("", "/{index}")
            for what in ("publish", "extend", "files", "files/{file}", *FILE_STEPS)
        ),
        *(
            f"{method} {at}{SESSIONS}{{session}}/files/{{file}}"
            for at in ("", "/{index}")
            for method in ("GET", "DELETE")
        ),
    ),
    MANAGE: (
        *(f"GET {at}/project/{{name}}/{what}/" for at in ("", "/{index}") for what in ("manage", "history")),
        *(f"POST {at}/project/{{name}}/manage/" for at in ("", "/{index}")),
        *(f"POST {OF_PROJECT}/{action}" for action in ("yank", "unyank", "delete", "status")),
        *(f"GET {OF_PROJECT}/{what}" for what in ("log", "owners", "trash")),
        *(f"POST {OF_PROJECT}/trash/restore", f"POST {OF_PROJECT}/trash/empty"),
    ),
    ADMIN: (
        *(f"GET /-/admin/{what}" for what in ("", "access/", "log/", "policy/", "storage/")),
        *(f"GET /-/admin/{what}" for what in ("server/", "settings/", "upstreams/", "jobs/")),
        *(f"GET {V1}/{what}" for what in ("server", "doctor", "settings", "upstreams", "jobs", "jobs/{job}")),
        f"POST {V1}/jobs",
        *(f"POST /-/admin/{what}" for what in ("access/", "jobs/", "policy/")),
        *(f"GET {V1}/{what}" for what in ("grants", "grants/explain", "groups", "tokens", "indexes/{index}/log")),
        *(f"POST {V1}/{what}" for what in ("grants", "grants/revoke", "groups/{group:path}", "indexes")),
        *(f"POST {V1}/{what}" for what in ("indexes/{defined}", "indexes/{defined}/delete")),
        # of an index with shared projects, as here; else their owners and people that manage them (test_owners)
        *(f"POST {OF_PROJECT}/owners/{action}" for action in ("add", "remove")),
        *(f"POST {V1}/{what}" for what in ("tokens", "tokens/revoke", "tokens/{token}/rotate")),
        *(f"GET {V1}/{what}" for what in ("grants/check", "publishers", "indexes/{index}/trash")),
        *(f"POST {V1}/{what}" for what in ("publishers", "publishers/remove", "publishers/audience", "sessions/end")),
        *(f"GET {V1}/{what}" for what in ("indexes/{index}/policy", "indexes/{index}/retention", "configuration")),
        *(f"POST {V1}/{what}" for what in ("indexes/{index}/policy", "indexes/{index}/policy/try", "configuration")),
        *(f"GET {V1}/{what}" for what in ("webhooks", "webhooks/{webhook}", "webhooks/{webhook}/deliveries")),
        *(f"POST {V1}/{what}" for what in ("webhooks", "webhooks/remove")),
        *(f"GET {V1}/advisories", f"POST {V1}/advisories/{{source}}", f"POST {V1}/advisories/{{source}}/remove"),
        *(f"POST {V1}/webhooks/{{webhook}}/{what}" for what in ("rotate", "resume", "test", "redeliver")),
    ),
}
NEEDS: Final = {row: need for need, rows in ROWS.items() for row in rows}

USERS: Final = {name: f"secret of {name}" for name in ("plain", "reader", "uploader", "manager", "member", "boss")}
ALLOWED: Final = {
    (READ, "acme-1"): {"reader", "member", "boss"},
    (READ, "other"): {"reader", "member", "boss"},
    (UPDATE, "acme-1"): {"uploader", "manager", "member", "boss"},
    (UPDATE, "other"): {"uploader", "manager", "member", "boss"},
    ("upload", "acme-1"): {"uploader", "member", "boss"},
    ("upload", "other"): {"boss"},
    (MANAGE, "acme-1"): {"manager", "boss"},
    (MANAGE, "other"): {"boss"},
    (ADMIN, "acme-1"): {"boss"},
    (ADMIN, "other"): {"boss"},
}
BODIES: Final = {
    "yank": b'{"version": "9"}',
    "unyank": b'{"version": "9"}',
    "delete": b'{"version": "9", "dry_run": true}',
    "status": b'{"status": "active"}',
    "add": b'{"subject": "anonymous"}',
    "remove": b'{"subject": "user:nobody"}',
}
"""For the API's changes, by the last word of the path; they change nothing."""
NO_LOGIN: Final = {"anonymous", "expired", "revoked", "foreign", "cut", "wrong password"}
PROJECTS: Final = ("acme-1", "other")


def row_of(endpoint: Endpoint) -> str:
    row = f"{endpoint.method} {endpoint.path}"
    return f"{row} (no form)" if row == "POST /pypi" and not endpoint.takes_forms_only else row


TABLE: Final = endpoints("/health")


def test_each_route_has_a_row() -> None:
    """And each row has a route."""
    assert {row_of(endpoint) for endpoint in TABLE} == set(NEEDS)


@dataclass
class Rig:
    """An index with grants, in this process, with the fast path before it."""

    app: ASGIApp
    folder: Path
    senders: dict[str, str]
    """By name: the Authorization header, empty without one."""
    access: AccessRecords

    def ask(self, requests: list[tuple[str, str, dict[str, Any]]]) -> list[httpx.Response]:
        """The answer of the second of two equal requests, which the fast path can have given."""

        async def scenario() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            answers = []
            async with httpx.AsyncClient(transport=transport, base_url="http://index") as client:
                for method, path, more in requests:
                    first, second = [await client.request(method, path, **more) for _ in range(2)]
                    assert decision(first) == decision(second), (method, path)
                    answers.append(second)
            return answers

        return asyncio.run(scenario())


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("matrix")
    (folder / "packages").mkdir()
    password_file(folder, **USERS)
    general = create_application(settings_of(folder))
    worker = general.state.worker
    access, origin = AccessRecords(worker.default.store), Origin(user="root")
    granting.begin(access, "boss", ["download", "list", "update"], origin)
    first = access.read().state.document.grants
    granting.take_back(access, [each for each, grant in first.items() if grant.subject == "authenticated"], origin)
    for subject, rights, projects in (
        ("user:reader", ["read"], []),
        ("user:uploader", ["upload"], ["acme-*"]),
        ("user:manager", ["manage"], ["acme-*"]),
        ("group:tools", ["read"], []),
        ("group:tools", ["upload"], ["acme-*"]),
    ):
        granting.give(access, subject, rights, "main", projects, origin=origin)
    granting.set_group(access, "tools", ["member"], origin)
    every = ["read", "upload", "manage", "admin"]

    def token(user: str | None, index: str = "*") -> str:
        return make_token(access, every, index=index, user=user, lifetime=timedelta(days=30), origin=origin).text

    ended = {name: token("boss") for name in ("expired", "revoked")}
    granting.revoke_tokens(access, [ended["revoked"].split("_")[1]], origin)
    expire(access, ended["expired"].split("_")[1])
    bearers = {
        **{f"token of {user}": token(user) for user in USERS},
        "token of the other index": token(None, "other"),
        **ended,
        "foreign": new_token("0000000000").text,
        "cut": token("boss")[:-1],
    }
    senders = {
        "anonymous": "",
        "wrong password": basic("boss", "guess"),
        **{user: basic(user, password) for user, password in USERS.items()},
        **{name: f"Bearer {text}" for name, text in bearers.items()},
        "Basic expired": basic("__token__", ended["expired"]),
        "Basic token of boss": basic("boss", bearers["token of boss"]),
    }
    rig = Rig(FastPathApplication(general, FastPath(worker, worker.default)), folder, senders, access)
    for project in PROJECTS:
        (answer,) = rig.ask([(*upload("POST /", project),)])
        assert answer.status_code == 200, answer.text
    take_in(folder / "packages", document("A-1", "acme-1", versions=["1.0"]))
    yield rig
    worker.close()


def settings_of(folder: Path, *, read_only: bool = False) -> Settings:
    return Settings(
        directories=(str(folder / "packages"),),
        authenticate=("download", "list", "update"),
        passwords=str(folder / "users"),
        fallback_url=None,
        read_only=read_only,
    )


def expire(access: AccessRecords, identity: str, *, ago: float = 1) -> None:
    """Let the time of a token be over since so many seconds."""

    def end(document: Any) -> Any:
        past = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat()
        token = msgspec.structs.replace(document.tokens[identity], expires=past)
        return msgspec.structs.replace(document, tokens={**document.tokens, identity: token})

    access.change(end, "test", {}, Origin())


def upload(row: str, project: str, sender: str = "") -> tuple[str, str, dict[str, Any]]:
    method, path = row.replace("{index}", "main").split(" ")[:2]
    headers = {"authorization": sender or basic("boss", USERS["boss"])}
    file = {"content": (wheel_name(project, "1.0"), make_wheel(project, "1.0"))}
    form = {":action": "file_upload", "name": project, "version": "1.0"}
    return method, path, {"data": form, "files": file, "headers": headers}


def decision(answer: httpx.Response) -> str:
    """login, forbidden or allowed, by the status; never an error of the server. 429: after many wrong passwords."""
    assert answer.status_code < 500, answer.text
    return {401: "login", 429: "login", 403: "forbidden"}.get(answer.status_code, "allowed")


def expected(need: str, project: str, sender: str) -> str:
    sender = sender.removeprefix("Basic ")
    if need == OPEN or (need == LOGIN and sender not in NO_LOGIN - {"anonymous"}):
        return "allowed"
    if sender in NO_LOGIN:
        return "login"
    return "allowed" if sender.removeprefix("token of ") in ALLOWED[need, project] else "forbidden"


def requests_of(row: str, project: str, sender: str) -> list[tuple[str, tuple[str, str, dict[str, Any]]]]:
    """The requests to a route, each with what it takes."""
    method, path = row.split(" ")[:2]
    need = NEEDS[row]
    headers = {"authorization": sender} if sender else {}
    if need == FORM:
        removal = {":action": "remove_pkg", "name": project, "version": "9"}
        sent = {"data": removal, "headers": headers}
        uploading = upload(row, project)
        uploading[2]["headers"] = headers
        return [("upload", uploading), (MANAGE, (method, uploading[1], sent))]
    filled = path.replace("{path:path}", f"{project}/{wheel_name(project, '1.0')}")
    for name, value in (
        ("index", "main"),
        ("name", project),
        ("version", "1.0"),
        ("token", "x"),
        ("group", "x"),
        ("source", "x"),
    ):
        filled = filled.replace(f"{{{name}}}", value)
    more: dict[str, Any] = {"headers": headers}
    if method == "POST":
        is_api = path.startswith(V1)
        body = BODIES.get(path.rpartition("/")[2], b"{}")
        more["content"] = body if is_api else b"<methodCall><methodName>list_packages</methodName></methodCall>"
        headers["content-type"] = "application/json" if is_api else "text/xml"
    return [(need, (method, filled, more))]


@pytest.mark.parametrize("row", sorted(NEEDS))
def test_the_matrix(rig: Rig, row: str) -> None:
    """Each principal is let in, sent for a login, or refused, as its rights have it; for a project that its pattern has
    and for one that it lacks."""
    asked = [
        (project, name, need, request)
        for project in PROJECTS
        for name, sender in rig.senders.items()
        for need, request in requests_of(row, project, sender)
    ]
    answers = rig.ask([request for *_, request in asked])
    got = {
        (need, project, name): decision(answer) for (project, name, need, _), answer in zip(asked, answers, strict=True)
    }
    wrong = {each: found for each, found in got.items() if found != expected(*each)}
    assert not wrong


def test_a_read_only_server_refuses_changes_alone(rig: Rig) -> None:
    """Each principal reads there all that it reads elsewhere, the log, the owners and the trash as well."""
    general = create_application(settings_of(rig.folder, read_only=True))
    few = ("anonymous", "reader", "uploader", "manager", "boss", "token of manager")
    asked = [
        (project, name, need, request)
        for project in PROJECTS
        for name in few
        for row in NEEDS
        for need, request in requests_of(row, project, rig.senders[name])
    ]
    answers = replace(rig, app=general).ask([request for *_, request in asked])
    general.state.worker.close()
    wrong = []
    for (project, name, need, (method, path, _)), answer in zip(asked, answers, strict=True):
        may = expected(need, project, name)
        if (method == "POST" or need == UPDATE) and need in {"upload", UPDATE, MANAGE, ADMIN} and may == "allowed":
            is_right = answer.status_code == 403 or (need == ADMIN and answer.status_code in {400, 404})
        else:
            is_right = decision(answer) == may
        if not is_right:
            wrong.append((method, path, name, answer.text[:150]))
    assert not wrong


CHANGES: Final = sorted(
    row
    for row, need in NEEDS.items()
    if row.startswith("POST ") and need not in {OPEN, LOGIN, READ} and SESSIONS not in row
    if row != f"POST {V1}/advisories/{{source}}/remove"  # it takes no body
)


@pytest.mark.parametrize("row", CHANGES)
def test_a_right_that_ends_while_a_body_is_open_is_not_used(
    rig: Rig, row: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client may take long for a body: the right that let its head in does not last as long, nor the token."""
    monkeypatch.setattr(access_of_requests, "DECIDED_AGAIN_SECONDS", -1.0)
    origin, every = Origin(user="root"), ["read", "upload", "manage", "admin"]
    given, _, _ = granting.give(rig.access, "user:plain", every, "*", [], origin=origin)
    text = make_token(rig.access, every, user="plain", origin=origin)
    *_, (_, (method, path, more)) = requests_of(row, "acme-1", f"Bearer {text.text}")
    if row.endswith("/manage/") or "/-/admin/" in row:
        more["headers"]["content-type"] = "application/x-www-form-urlencoded"

    answer = ask_slowly(rig, method, path, more, lambda: granting.revoke_tokens(rig.access, [text.identity], origin))
    assert (answer.status_code, "The token was revoked" in answer.text) == (401, True), answer.text
    more["headers"]["authorization"] = f"Bearer {make_token(rig.access, every, user='plain', origin=origin).text}"
    answer = ask_slowly(rig, method, path, more, lambda: granting.take_back(rig.access, [given], origin))
    assert (answer.status_code, "may not" in answer.text) == (403, True), answer.text


@pytest.mark.parametrize("how", ["rotated", "expired"])
def test_a_token_that_ends_while_a_body_is_open(rig: Rig, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was rotated may be in the wrong hands, and publishes nothing; one that has expired ends its upload. The
    time of grace of a rotated one is as always. None of it is counted as a second request."""
    monkeypatch.setattr(access_of_requests, "DECIDED_AGAIN_SECONDS", -1.0)
    origin, status = Origin(user="root"), {"rotated": 401, "expired": 200}[how]
    text = make_token(rig.access, ["upload"], lifetime=timedelta(days=1), rate=1, origin=origin)

    def end() -> None:
        if how == "expired":
            expire(rig.access, text.identity, ago=0)
        else:
            granting.rotate_token(rig.access, text.identity, new_token(text.identity).digest, timedelta(0), origin)

    method, path, more = upload("POST /", f"acme-{how}", f"Bearer {text.text}")
    answer = ask_slowly(rig, method, path, more, end)
    assert answer.status_code == status, answer.text
    (page,) = rig.ask([("GET", f"/simple/acme-{how}/", {"headers": {"authorization": rig.senders["boss"]}})])
    assert page.status_code == {401: 404, 200: 200}[status]
    (after,) = rig.ask([(*upload("POST /", f"acme-{how}", f"Bearer {text.text}"),)])
    assert after.status_code == 401, after.text


@pytest.mark.parametrize("users", [{}, {"late": "another"}], ids=["removed", "another password"])
def test_a_user_that_ends_while_a_body_is_open_changes_nothing(
    rig: Rig, users: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It publishes nothing, and makes no token that would outlive the password."""
    monkeypatch.setattr(access_of_requests, "DECIDED_AGAIN_SECONDS", -1.0)
    given, _, _ = granting.give(rig.access, "user:late", ["upload"], "main", [], origin=Origin(user="root"))
    headers = {"authorization": basic("late", "word"), "content-type": "application/json"}
    body = b'{"rights": ["upload"], "index": "main", "projects": [], "note": null, "expires_in": 3600}'
    try:
        for method, path, more in (
            upload("POST /", "acme-late", headers["authorization"]),
            ("POST", f"{V1}/account/tokens", {"headers": headers, "content": body}),
            ("POST", f"{V1}/account/tokens/revoke", {"headers": headers, "content": b'{"ids": []}'}),
        ):
            password_file(rig.folder, **USERS, late="word")
            answer = ask_slowly(rig, method, path, more, lambda: password_file(rig.folder, **USERS, **users))
            assert (answer.status_code, "password is wrong" in answer.text) == (401, True), answer.text
    finally:
        password_file(rig.folder, **USERS)
        granting.take_back(rig.access, [given], Origin(user="root"))
    assert not [each for each in rig.access.read().state.document.tokens.values() if each.user == "late"]


def test_a_user_makes_no_token_with_a_right_that_ended_while_the_body_was_open(rig: Rig) -> None:
    """Its own tokens need no right at the head: the body says which."""
    origin = Origin(user="root")
    given, _, _ = granting.give(rig.access, "user:plain", ["read"], "main", [], origin=origin)
    headers = {"authorization": rig.senders["plain"], "content-type": "application/json"}
    body = b'{"rights": ["read"], "index": "main", "projects": [], "note": null, "expires_in": 3600}'
    more = {"headers": headers, "content": body}
    answer = ask_slowly(
        rig, "POST", f"{V1}/account/tokens", more, lambda: granting.take_back(rig.access, [given], origin)
    )
    assert (answer.status_code, "A token has no right that its user has not" in answer.text) == (403, True), answer.text


def ask_slowly(
    rig: Rig, method: str, path: str, more: dict[str, Any], meanwhile: Callable[[], object]
) -> httpx.Response:
    """The answer to a request in the middle of whose body something else is done."""

    async def slow(content: bytes) -> AsyncIterator[bytes]:
        yield content[:1]
        meanwhile()
        await asyncio.sleep(0)  # over a network the rest comes in a later tick
        yield content[1:]

    async def scenario() -> httpx.Response:
        transport = httpx.ASGITransport(rig.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://index") as client:
            whole = client.build_request(method, path, **more)
            whole.read()
            headers = {name: value for name, value in whole.headers.items() if name != "content-length"}
            return await client.request(method, path, content=slow(whole.content), headers=headers)

    return asyncio.run(scenario())
