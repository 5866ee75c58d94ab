"""The JSON API under `/-/api/v1/`: every answer has the form that the OpenAPI document gives, and is true on every
worker at once."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from starlette.applications import Starlette

from quire.access.tokens import new_identity, new_token
from quire.config.settings import Settings
from quire.domain.changes import Selection
from quire.domain.project import File, Project
from quire.http.api.openapi import document
from quire.http.app.application import create_application
from quire.http.app.lazily import lazily
from quire.http.app.routes import endpoints
from quire.index.audit.archive import MOST_CARRIED, archive_key, expire
from quire.operations import changing
from tests.asking import Site, password_file, publish, serve
from tests.distributions import make_wheel, wheel_name
from tests.serving import run_quire

BASE = "/-/api/v1"
PROJECT = f"{BASE}/indexes/-/projects/acme"
OPENAPI = document()
SECRETS = {"root": "secret-r", "ann": "secret-a"}


def basic(user: str) -> str:
    return f"Basic {b64encode(f'{user}:{SECRETS[user]}'.encode()).decode()}"


def _schema_of(method: str, path: str, status: int) -> dict[str, Any]:
    """The schema of an answer, by the OpenAPI document."""
    for template, operations in OPENAPI["paths"].items():
        if method in operations and re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path):
            described = operations[method]["responses"].get(str(status))
            if described is None:
                continue
            content = described["content"]
            schema: dict[str, Any] = content.get("application/json", content.get("application/problem+json"))["schema"]
            return schema
    raise AssertionError(f"{method} {path} answers {status}, which the OpenAPI document does not have")


def many(names: Iterable[str]) -> Starlette:
    """An application on a store in memory that has these projects, of a file each; no request needs a login."""
    settings = Settings(directories=("memory:",), fallback_url=None, passwords=None, authenticate=())
    application = create_application(settings)
    add(application, names)
    return application


def add(application: Starlette, names: Iterable[str]) -> None:
    for name in names:
        file = File(filename=f"{name}-1.0.tar.gz", version="1.0", size=1, hashes={"sha256": "0" * 64}, blob=f"{name}/0")
        project = Project(name=name, files={file.filename: file})

        def become(_: Project | None, project: Project = project) -> Project:
            return project

        changing.repair(application.state.worker.default.hosted, name, become)


@dataclass
class Api:
    """Asks as one sender; each request on a connection of its own, so that every worker gets some."""

    site: Site
    authorization: str = ""

    def get(self, path: str, *, status: int = 200, **headers: str) -> Any:
        return self._send("GET", path, None, status, headers)

    def post(self, path: str, body: object, *, status: int = 200, **headers: str) -> Any:
        return self._send("POST", path, json.dumps(body).encode(), status, headers)

    def send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> httpx.Response:
        sent = {"connection": "close", "content-type": "application/json"} if body is not None else {}
        sent |= {"authorization": self.authorization} if self.authorization else {}
        return self.site.client.request(method, path, content=body, headers=sent | headers)

    def _send(self, method: str, path: str, body: bytes | None, status: int, headers: dict[str, str]) -> Any:
        answer = self.send(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        assert answer.status_code == status, answer.text
        found = answer.json()
        schema = _schema_of(method.lower(), answer.url.path, status)
        jsonschema_rs.validate({**schema, "components": OPENAPI["components"]}, found)
        assert answer.headers["x-content-type-options"] == "nosniff"
        if status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert found["status"] == status
            assert re.fullmatch(r"[^\n]+\.", found["detail"])
        return found


def upload(site: Site, name: str, version: str, authorization: str = "") -> None:
    headers = {"authorization": authorization} if authorization else {}
    content = make_wheel(name, version)
    answer = publish(site, wheel_name(name, version), content, name=name, version=version, **headers)
    assert answer.status_code == 200, answer.text


def quire(site: Site, *words: str) -> str:
    """A command on the store."""
    done = run_quire(*words, "-d", site.root, cwd=site.root)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two workers, with grants that `root` administers; every login may read, upload and manage."""
    folder = tmp_path_factory.mktemp("api")
    users = password_file(folder, **SECRETS)
    flags = ("-a", "update", "-P", users, "--disable-fallback", "--workers", 2)
    with serve(folder, *flags) as served:
        quire(served, "access", "init", "--admin", "root", "-a", "update")
        yield served


@pytest.fixture
def root(site: Site) -> Api:
    return Api(site, basic("root"))


@pytest.fixture
def ann(site: Site) -> Api:
    return Api(site, basic("ann"))


def test_every_endpoint_has_a_handler() -> None:
    """Also in the modules that are imported at the first request."""
    for handler in sorted({each.handler for each in endpoints("/health")}):
        module, _, name = handler.partition(":")
        found = getattr(import_module(f"quire.http.{module}"), name)
        if found.__module__ == lazily.__module__:
            named = inspect.getclosurevars(found).nonlocals
            found = getattr(import_module(f"quire.http.{named['module']}"), named["function"])
        assert callable(found), handler


def test_projects_are_read(site: Site, ann: Api) -> None:
    """The list, a project, its files, releases and metadata; what is not there is 404 with the name that was meant."""
    upload(site, "Reading-1", "1.0", basic("ann"))
    upload(site, "Reading-1", "1.10", basic("ann"))
    upload(site, "reading-2", "2.0", basic("ann"))
    anyone = Api(site)
    base = f"{BASE}/indexes/main/projects/reading.1"
    listed = {each["name"]: each for each in anyone.get(f"{BASE}/indexes/-/projects")["projects"]}
    assert listed["reading-1"]["versions"] == ["1.0", "1.10"]
    assert (listed["reading-1"]["latest"], listed["reading-1"]["files"]) == ("1.10", 2)
    found = anyone.get(base)
    assert [each["filename"] for each in found["files"]] == [wheel_name("Reading-1", v) for v in ("1.0", "1.10")]
    assert (found["index"], found["project"], found["status"]) == ("main", "reading-1", "active")
    assert found["files"][0]["uploader"] == "ann"
    assert anyone.get(f"{base}/files")["files"] == found["files"]
    assert [each["version"] for each in anyone.get(f"{base}/releases")["releases"]] == ["1.0", "1.10"]
    release = anyone.get(f"{base}/releases/1.10.0")
    assert (release["version"], release["metadata"]["version"]) == ("1.10", "1.10")
    assert anyone.get(f"{base}/releases/-")["version"] == "1.10"
    anyone.get(f"{base}/releases/9", status=404)
    assert anyone.get(f"{BASE}/indexes/other/projects", status=404)["detail"] == "There is no index 'other'."
    missing = anyone.get(f"{BASE}/indexes/-/projects/readin-1", status=404)
    assert "did you mean" in missing["detail"].lower()
    assert anyone.get(f"{BASE}/indexes")["indexes"] == [
        {
            "name": "main",
            "is_default": True,
            "read_only": False,
            "uploads": True,
            "overwrite": False,
            "new_projects": "shared",
            "quota": None,
            "project_quota": None,
            "behind": [],
            "claims": None,
            "upstreams": None,
            "in_front_of": None,
            "expires": None,
            "session": None,
            "merged": [],
            "keep": [],
            "past_trash": "shown",
            "downloads": True,
            "namespaces": None,
            "used": None,
        }
    ]
    first = anyone.get(f"{BASE}/indexes/-/projects?limit=1")
    assert anyone.get(f"{BASE}/indexes/-/projects?limit=1&cursor={first['next']}")["projects"] != first["projects"]
    for bad in ("0", "501", "x", "-1", "99999", "\u0661"):
        anyone.get(f"{BASE}/indexes/-/projects?limit={bad}", status=400)


def test_a_change_is_made_once_and_seen_by_every_worker(site: Site, ann: Api) -> None:
    """Yank, unyank, status and delete: repeated, they say that nothing changed; the log has user and address."""
    upload(site, "acme", "1.0", basic("ann"))
    upload(site, "acme", "2.0", basic("ann"))
    for expected in (True, False, False):
        answer = ann.post(f"{PROJECT}/yank", {"version": "1.0.0", "reason": "broken"})
        assert (answer["changed"], answer["files"][0]["yanked"]) == (expected, "broken")
        pages = [site.client.get("/simple/acme/", headers={"connection": "close"}).text for _ in range(4)]
        assert all('data-yanked="broken"' in page for page in pages)
    for expected in (True, False):
        assert ann.post(f"{PROJECT}/unyank", {"filename": wheel_name("acme", "1.0")})["changed"] is expected
    for expected in (True, False):
        answer = ann.post(f"{PROJECT}/status", {"status": "archived", "reason": "old"})
        assert answer == {"project": "acme", "status": "archived", "reason": "old", "changed": expected}
    plan = ann.post(f"{PROJECT}/delete", {"version": "1.0", "dry_run": True})
    assert (plan["changed"], plan["deleted"], plan["dry_run"]) == (False, [wheel_name("acme", "1.0")], True)
    assert len(ann.get(PROJECT)["files"]) == 2
    done = ann.post(f"{PROJECT}/delete", {"version": "1.0"})
    assert (done["changed"], done["deleted"], done["bytes"]) == (True, plan["deleted"], plan["bytes"])
    for again in ({"version": "1.0"}, {"filename": wheel_name("acme", "1.0")}):
        assert (ann.post(f"{PROJECT}/delete", again)["changed"], len(ann.get(PROJECT)["files"])) == (False, 1)
    assert ann.post(f"{PROJECT}/delete", {"all": True})["changed"] is True
    assert ann.post(f"{PROJECT}/delete", {"all": True})["changed"] is False
    assert ann.post(f"{PROJECT}/status", {"status": "active"})["changed"] is True
    gone = ann.get(PROJECT)
    assert (gone["exists"], gone["files"], len(gone["deleted"])) == (False, [], 2)
    assert ann.post(f"{PROJECT}/delete", {"all": True})["changed"] is False
    ann.post(f"{PROJECT}/delete", {"version": "9.9"}, status=404)
    ann.post(f"{BASE}/indexes/-/projects/never/delete", {"all": True}, status=404)
    entries = ann.get(f"{PROJECT}/log")["entries"]
    actions = [each["action"] for each in entries]
    assert actions == ["publish", "publish", "yank", "unyank", "status", "delete", "delete", "status"]
    assert {(each["user"], each["address"]) for each in entries} == {("ann", "127.0.0.1")}


def test_a_change_of_what_the_client_has_seen(site: Site, ann: Api) -> None:
    """If-Match: nothing is changed when the project is another one by now."""
    upload(site, "seen", "1.0", basic("ann"))
    base = f"{BASE}/indexes/-/projects/seen"
    answer = ann.send("GET", base, None, {})
    etag = answer.headers["etag"]
    assert ann.send("GET", base, None, {"if-none-match": etag}).status_code == 304
    upload(site, "seen", "2.0", basic("ann"))
    for path, body in (("delete", {"all": True}), ("yank", {"version": "1.0"}), ("status", {"status": "archived"})):
        ann.post(f"{base}/{path}", body, status=412, if_match=etag)
    assert [each["yanked"] for each in ann.get(base)["files"]] == [False, False]
    fresh = ann.send("GET", base, None, {}).headers["etag"]
    assert fresh != etag
    assert ann.post(f"{base}/yank", {"version": "1.0"}, if_match=fresh)["changed"] is True


def test_rights_limit_what_is_done(site: Site, root: Api) -> None:
    """A token changes its own projects only; grants, tokens and the whole log are for administrators of all indexes."""
    upload(site, "mine-1", "1.0", basic("ann"))
    upload(site, "other-1", "1.0", basic("ann"))

    def token(*rights: str, **more: object) -> Api:
        made = root.post(f"{BASE}/tokens", {"rights": rights, **more})
        return Api(site, f"Bearer {made['text']}")

    manager, reader, admin_of_main = token("manage", projects=["mine-*"]), token("read"), token("admin", index="main")
    yank = {"version": "1.0"}
    assert manager.post(f"{BASE}/indexes/-/projects/mine-1/yank", yank)["changed"] is True
    manager.post(f"{BASE}/indexes/-/projects/other-1/yank", yank, status=403)
    manager.get(f"{BASE}/indexes/-/projects/other-1/log", status=403)
    reader.post(f"{BASE}/indexes/-/projects/mine-1/unyank", yank, status=403)
    Api(site).post(f"{BASE}/indexes/-/projects/mine-1/unyank", yank, status=401)
    assert admin_of_main.get(f"{BASE}/indexes/main/log?limit=1")["entries"]
    for sender in (manager, reader, admin_of_main):
        sender.get(f"{BASE}/grants", status=403)
        said = sender.post(f"{BASE}/indexes", {"name": "pr-1", "in_front_of": "main"}, status=403)
        assert "may not administer indexes and stages, grants and tokens, the log and the trash" in said["detail"]
        sender.get(f"{BASE}/tokens", status=403)
        sender.post(f"{BASE}/tokens", {"rights": ["admin"]}, status=403)
        sender.post(f"{BASE}/grants", {"subject": "user:ann", "rights": ["admin"]}, status=403)
        sender.post(f"{BASE}/groups/ops", {"users": ["ann"]}, status=403)
    manager.get(f"{BASE}/indexes/main/log", status=403)
    assert root.get(f"{BASE}/grants")["decide"] is True


def test_names_are_suggested_to_those_that_may_know_them(tmp_path: Path) -> None:
    """Those of projects to readers of the index, those of deleted ones to managers of these projects."""
    rights = "list,download,update"
    with serve(tmp_path, "-a", rights, "-P", password_file(tmp_path, **SECRETS), "--disable-fallback") as site:
        quire(site, "access", "init", "--admin", "root", "-a", rights)
        root, all_of = Api(site, basic("root")), f"{BASE}/indexes/-/projects"
        for name in ("payroll-one", "payload-two"):
            upload(site, name, "1.0", root.authorization)
        root.post(f"{all_of}/payload-two/delete", {"all": True})

        def suggested(name: str, *rights: str) -> list[str]:
            made = root.post(f"{BASE}/tokens", {"rights": rights, "projects": ["pay-*"]})
            sender = Api(site, f"Bearer {made['text']}")
            answers = [sender.get(f"{all_of}/{name}/{what}", status=404) for what in ("owners", "trash")]
            answers += [sender.post(f"{all_of}/{name}/yank", {"version": "1.0"}, status=404)]
            answers += [sender.post(f"{all_of}/{name}/trash/restore", {}, status=404)]
            return [each["detail"].partition("did you mean ")[2] for each in answers]

        assert suggested("pay-oll-one", "manage") == suggested("pay-load-two", "manage") == [""] * 4
        assert suggested("pay-oll-one", "manage", "read") == ["payroll-one?)."] * 4
        assert suggested("pay-load-two", "manage", "read") == [""] * 4
        assert "payload-two?" in root.get(f"{all_of}/pay-load-two/trash", status=404)["detail"]


def test_settings_of_an_index_need_admin_on_all(site: Site, root: Api) -> None:
    """Admin on the index itself is not enough, as its administrator could lift its quota; bodies are checked."""
    body = {"rights": ["admin"], "index": "main"}
    admin_of_main = Api(site, f"Bearer {root.post(f'{BASE}/tokens', body)['text']}")
    admin_of_main.post(f"{BASE}/indexes/main", {"quota": 1}, status=403)
    changed = root.post(f"{BASE}/indexes/-", {"quota": 1 << 40, "project_quota": None})
    assert (changed["index"]["quota"], changed["changed"]) == (1 << 40, True)
    assert {admin_of_main.get(f"{BASE}/indexes")["indexes"][0]["quota"] for _ in range(4)} == {1 << 40}
    assert root.post(f"{BASE}/indexes/main", {"quota": 1 << 40})["changed"] is False
    assert root.post(f"{BASE}/indexes/main", {"quota": None})["index"]["quota"] is None
    root.post(f"{BASE}/indexes/other", {"quota": 1}, status=404)
    for wrong in ({}, {"quota": 0}, {"quota": 2**62}, {"quota": "1G"}, {"new_projects": "all"}, {"planet": 1}):
        root.post(f"{BASE}/indexes/main", wrong, status=400)


def test_the_sender_is_told(site: Site, root: Api, ann: Api) -> None:
    """Without a login, too; wrong credentials are 401."""
    assert Api(site).get(f"{BASE}/whoami") == {
        "user": None, "token": None, "groups": [], "rights": ["read"], "index": "main", "quire": ""
    }  # fmt: skip
    root.post(f"{BASE}/groups/ops", {"users": ["ann"]})
    assert ann.get(f"{BASE}/whoami")["groups"] == ["ops"]
    assert ann.get(f"{BASE}/whoami")["rights"] == ["read", "upload", "manage"]
    Api(site, "Basic eDp5").get(f"{BASE}/whoami", status=401)
    assert root.post(f"{BASE}/groups/ops", {"users": []})["changed"] is True


def test_tokens_are_made_once(site: Site, root: Api) -> None:
    """One whose text the client has made may be sent again; it counts on every worker at once, until it is revoked."""
    text = new_token(new_identity())
    body = {"rights": ["read"], "note": "ci", "expires_in": 3600, "id": text.identity, "digest": text.digest}
    for expected in (True, False, False):
        made = root.post(f"{BASE}/tokens", body)
        assert (made["changed"], made["text"], made["token"]["by"]) == (expected, None, "root")
    sender = Api(site, f"Bearer {text.text}")
    for _ in range(4):
        assert sender.get(f"{BASE}/whoami")["token"] == text.identity
    taken = root.post(f"{BASE}/tokens", body | {"digest": "0" * 64}, status=400)
    assert "another token's" in taken["detail"]
    assert sender.get(f"{BASE}/whoami")["token"] == text.identity
    new = new_token(text.identity)
    for expected in (True, False):
        rotated = root.post(f"{BASE}/tokens/{text.identity}/rotate", {"grace": 0, "digest": new.digest})
        assert rotated["changed"] is expected
    sender.get(f"{BASE}/whoami", status=401)
    assert Api(site, f"Bearer {new.text}").get(f"{BASE}/whoami")["token"] == text.identity
    for expected in (True, False):
        assert root.post(f"{BASE}/tokens/revoke", {"ids": [text.identity]})["changed"] is expected
    for _ in range(4):
        Api(site, f"Bearer {new.text}").get(f"{BASE}/whoami", status=401)
    first = root.get(f"{BASE}/tokens?limit=1")
    found, cursor = first["tokens"], first["next"]
    while cursor is not None:
        page = root.get(f"{BASE}/tokens?limit=1&cursor={cursor}")
        found, cursor = found + page["tokens"], page["next"]
    assert [each["state"] for each in found if each["id"] == text.identity] == ["revoked"]
    assert len({each["id"] for each in found}) == len(found)
    assert "digest" not in json.dumps(found)
    root.post(f"{BASE}/tokens/revoke", {"ids": ["0000000000"]}, status=404)
    root.post(f"{BASE}/tokens/0000000000/rotate", {}, status=404)
    assert text.text not in site.served.output()


def test_grants_and_groups_are_changed(site: Site, root: Api, ann: Api) -> None:
    """A right that was given counts at once on every worker, and so does what was taken back."""
    body = {"subject": "user:eve", "rights": ["manage"], "projects": ["acme-*"]}
    made = root.post(f"{BASE}/grants", body)
    assert (made["changed"], root.post(f"{BASE}/grants", body)["changed"]) == (True, False)
    identity = made["grant"]["id"]
    assert identity in {each["id"] for each in root.get(f"{BASE}/grants")["grants"]}
    explained = root.get(f"{BASE}/grants/explain?subject=user:eve&project=acme-x")
    assert explained["rights"] == {"read": True, "upload": True, "manage": True, "admin": False}
    taken = root.post(f"{BASE}/grants/revoke", {"ids": [identity]})
    assert [each["subject"] for each in taken["grants"]] == ["user:eve"]
    root.post(f"{BASE}/grants/revoke", {"ids": [identity]}, status=404)
    ann.get(f"{BASE}/grants", status=403)
    admin = root.post(f"{BASE}/grants", {"subject": "user:ann", "rights": ["admin"]})["grant"]["id"]
    assert {len(ann.get(f"{BASE}/groups")["groups"]) for _ in range(4)} == {0}
    root.post(f"{BASE}/grants/revoke", {"ids": [admin]})
    for _ in range(4):
        ann.get(f"{BASE}/grants", status=403)
    last = next(each["id"] for each in root.get(f"{BASE}/grants")["grants"] if "admin" in each["rights"])
    assert "last right admin" in root.post(f"{BASE}/grants/revoke", {"ids": [last]}, status=400)["detail"]
    root.get(f"{BASE}/grants/explain", status=400)
    root.get(f"{BASE}/grants/explain?subject=nobody:x", status=400)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000, b'{"version": 1}',
        b'{"version": "1", "filename": "a"}',
        b'{"version": "1", "dry_run": true}', b'{"version": "1", "reason": 5}', b'{"version": "\\ud800"}', b"{}",
        b'{"version": "1", "reason": "%b"}' % (b"x" * 501), b'{"version": "1", "reason": "a\\u0007b"}',
        b'{"version": "%b"}' % (b"1" * 301), b'{"version":"1","version":null}',
    ],
    ids=lambda body: body[:20].decode("latin-1"),
)  # fmt: skip
def test_what_is_no_body_is_refused(site: Site, ann: Api, body: bytes) -> None:
    """With a sentence; nothing is changed."""
    answer = ann.send("POST", f"{BASE}/indexes/-/projects/bodies/yank", body, {})
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert re.fullmatch(r"[^\n]{20,700}\.", answer.json()["detail"]), answer.text


def test_bodies_are_bounded_and_of_json(site: Site, root: Api) -> None:
    """A form is none: a page of another site could send it."""
    huge = json.dumps({"subject": "user:" + "x" * 300_000, "rights": ["read"]}).encode()
    assert root.send("POST", f"{BASE}/grants", huge, {}).status_code == 413
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert root.send("POST", f"{BASE}/grants", b"subject=user:eve&rights=admin", form).status_code == 400
    other_site = {"origin": "https://evil.example"}
    refused = root.send("POST", f"{BASE}/grants", b'{"subject": "user:eve", "rights": ["admin"]}', other_site)
    assert (refused.status_code, refused.headers["content-type"]) == (403, "application/problem+json")
    for words in (["unknown"], [], ["read"] * 1001):
        assert (
            root.send(
                "POST", f"{BASE}/grants", json.dumps({"subject": "user:eve", "rights": words}).encode(), {}
            ).status_code
            == 400
        )
    long = {"rights": ["read"], "expires_in": 1e300}
    assert root.send("POST", f"{BASE}/tokens", json.dumps(long).encode(), {}).status_code == 400
    for method, path in (("DELETE", PROJECT), ("PUT", f"{BASE}/tokens"), ("GET", f"{PROJECT}/yank")):
        assert root.send(method, path, None, {}).status_code == 405
    unknown = root.send("GET", f"{BASE}/nothing", None, {})
    assert (unknown.status_code, unknown.headers["content-type"]) == (404, "application/problem+json")
    assert not any(each["subject"] == "user:eve" for each in root.get(f"{BASE}/grants")["grants"])


def test_the_log_is_read_page_by_page(site: Site, root: Api) -> None:
    """All pages together have each entry once, in the order of a project's revisions; filters hold for all pages."""
    for version in ("1.0", "2.0", "3.0"):
        for name in ("log-a", "log-b"):
            upload(site, name, version, basic("ann"))
    whole = root.get(f"{BASE}/indexes/-/log?limit=500")
    assert whole["next"] is None
    found, cursor = [], "?limit=2"
    while cursor:
        page = root.get(f"{BASE}/indexes/-/log{cursor}")
        assert len(page["entries"]) <= 2
        found += page["entries"]
        cursor = f"?limit=2&cursor={page['next']}" if page["next"] is not None else ""
    assert found == whole["entries"]
    since = next(each["at"] for each in found if each["project"] == "log-a" and each["revision"] == 2)
    filtered = root.get(f"{BASE}/indexes/-/log?limit=500&since={since}&user=ann&action=publish")["entries"]
    assert [each["revision"] for each in filtered if each["project"] == "log-a"] == [2, 3]
    for bad in ("since=yesterday", "cursor=x", "cursor=a/-1", "since=99999-01-01"):
        root.get(f"{BASE}/indexes/-/log?{bad}", status=400)


@pytest.mark.parametrize("gone", [5, 10, 15])
def test_entries_that_expire_between_two_pages_move_no_others(gone: int) -> None:
    """Ten entries were read when the first ones are removed: fewer than were read, those, or more."""
    application = many(["acme"])
    hosted = application.state.worker.default.hosted
    for number in range(2 * MOST_CARRIED):
        changing.yank(hosted, "acme", Selection(), (), f"reason {number}")

    def page(**query: str) -> Any:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://index") as client:
                return await client.get(f"{PROJECT}/log", params=query)

        answer = asyncio.run(ask())
        assert answer.status_code == 200, answer.text
        return answer.json()

    whole = page(limit="500")["entries"]
    first = page(limit="10")
    before = whole[gone]["at"]
    assert expire(hosted.store.records, archive_key(hosted.name, "acme"), before) == gone
    rest = page(limit="500", cursor=first["next"])
    assert (first["entries"], rest["entries"]) == (whole[:10], whole[max(10, gone) :])


def test_the_trash_is_read_page_by_page(site: Site, root: Api, ann: Api) -> None:
    """By project and filename, each file once; a filter holds for all pages. Changes may be repeated."""
    place = f"{BASE}/indexes/-/projects/binned-1"
    for name in ("binned-1", "binned-2"):
        for version in ("1.0", "2.0", "3.0"):
            upload(site, name, version, basic("ann"))
        ann.post(f"{BASE}/indexes/-/projects/{name}/delete", {"all": True})
    found, cursor = [], "?limit=2"
    while cursor:
        page = root.get(f"{BASE}/indexes/-/trash{cursor}")
        assert len(page["files"]) <= 2
        found += page["files"]
        cursor = f"?limit=2&cursor={page['next']}" if page["next"] is not None else ""
    keys = [(each["project"], each["version"]) for each in found if each["project"].startswith("binned")]
    assert keys == [(name, version) for name in ("binned-1", "binned-2") for version in ("1.0", "2.0", "3.0")]
    assert {each["deleted_by"] for each in found} == {"ann"}
    assert root.get(f"{BASE}/indexes/-/trash?before=2020-01-01")["files"] == []
    assert [each["version"] for each in ann.get(f"{place}/trash?version=2&by=ann&limit=1")["files"]] == ["2.0"]
    for bad in ("before=yesterday", "since=99999-01-01", "limit=0"):
        ann.get(f"{place}/trash?{bad}", status=400)
    assert "did you mean binned-" in ann.get(f"{BASE}/indexes/-/projects/binned-9/trash", status=404)["detail"]
    wheel = wheel_name("binned-1", "1.0")
    assert ann.post(f"{place}/trash/restore", {"version": "1", "dry_run": True})["restored"] == [wheel]
    assert ann.post(f"{place}/trash/restore", {"filename": wheel})["changed"] is True
    assert ann.post(f"{place}/trash/restore", {"filename": wheel}) == {
        "project": "binned-1",
        "dry_run": False,
        "restored": [],
        "changed": False,
    }
    assert len(ann.post(f"{place}/trash/empty", {})["removed"]) == 2
    assert ann.post(f"{place}/trash/empty", {})["changed"] is False
    ann.post(f"{place}/trash/empty", {"version": "9"}, status=404)
    ann.post(f"{place}/trash/restore", {"version": "2.0"}, status=404)
    ann.post(f"{place}/trash/restore", {"verison": "2.0"}, status=400)
    ann.post(f"{place}/trash/empty", {"before": "soon"}, status=400)
    ann.get(f"{BASE}/indexes/-/trash", status=403)


def test_publishers_and_sessions(site: Site, root: Api, ann: Api) -> None:
    """Publishers are listed page by page; what is wrong with one is a sentence."""
    bodies = [
        {
            "platform": "github",
            "settings": {"repository": f"acme/tools-{number}", "workflow": "release.yml"},
            "projects": ["acme-new"],
        }
        for number in range(3)
    ]
    added = [root.post(f"{BASE}/publishers", body) for body in bodies]
    assert [(each["changed"], each["publisher"]["pending"]) for each in added] == [(True, ["acme-new"])] * 3
    again = root.post(f"{BASE}/publishers", bodies[0])
    assert (again["changed"], again["publisher"]["id"]) == (False, added[0]["publisher"]["id"])
    first = root.get(f"{BASE}/publishers?limit=2")
    rest = root.get(f"{BASE}/publishers?limit=2&cursor={first['next']}")
    ids = [each["id"] for each in [*first["publishers"], *rest["publishers"]]]
    assert (ids, rest["next"]) == (sorted(each["publisher"]["id"] for each in added), None)
    assert root.post(f"{BASE}/publishers/audience", {"audience": "acme.example"})["changed"] is True
    assert root.post(f"{BASE}/publishers/audience", {"audience": "acme.example"})["changed"] is False
    for bad in (
        {"platform": "nothing", "projects": ["a"]},
        {"platform": "github", "projects": ["a"]},
        {**bodies[0], "index": "../x"},
        {**bodies[0], "projects": ["/"]},
        {**bodies[0], "issuer": "http://issuer.example"},
        {**bodies[0], "settings": {"repository": 5}},
    ):
        root.post(f"{BASE}/publishers", bad, status=400)
    root.post(f"{BASE}/publishers/audience", {"audience": "a b"}, status=400)
    assert root.post(f"{BASE}/publishers/remove", {"ids": ids})["changed"] is True
    root.post(f"{BASE}/publishers/remove", {"ids": ids}, status=404)
    ann.get(f"{BASE}/publishers", status=403)
    assert root.post(f"{BASE}/sessions/end", {"users": ["ann"]}) == {"users": ["ann"], "all": False}
    for bad_end in ({}, {"users": ["ann"], "all": True}, {"users": ["a\nb"]}):
        root.post(f"{BASE}/sessions/end", bad_end, status=400)
    assert root.get(f"{BASE}/grants/check")["users_known"] is True


def test_all_of_many_projects_are_listed_while_some_change() -> None:
    """10,000 projects in pages of 500: a project that is there all the time is on exactly one page, in order, also when
    others are published and deleted between two pages."""
    names = [f"p{number:05}" for number in range(10_000)]
    application = many(names)
    hosted = application.state.worker.default.hosted

    async def scenario() -> list[str]:
        found: list[str] = []
        cursor: str | None = ""
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://index") as client:
            while cursor is not None:
                query = {"limit": "500", **({"cursor": cursor} if cursor else {})}
                page = (await client.get(f"{BASE}/indexes/-/projects", params=query)).json()
                assert 0 < len(page["projects"]) <= 500
                found += [each["name"] for each in page["projects"]]
                cursor = page["next"]
                add(application, [f"a-new-{len(found)}", f"p{len(found):05}-new"])
                changing.delete(hosted, found[-1], Selection(), ())
        return found

    found = asyncio.run(scenario())
    assert found == sorted(set(found))
    assert set(names) <= set(found)
    assert {each for each in found if each.startswith("a-new")} == set()
