"""Owners over HTTP: in an index of owned projects, the creator of a project decides which others change it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from starlette.applications import Starlette
from structlog.testing import capture_logs

from quire.access.document import AccessDocument, Token
from quire.access.records import AccessRecords
from quire.access.tokens import new_identity, new_token
from quire.config.settings import Settings
from quire.domain.indexes import IndexDefinition, NewProjects
from quire.http.app.application import create_application
from quire.index.audit.entries import Origin
from quire.operations import granting
from quire.publishing.publishers import Publisher
from tests.asking import basic, password_file
from tests.distributions import make_wheel, wheel_name
from tests.http.app.test_access import counted
from tests.tokens import make_token

USERS = {name: f"secret of {name}" for name in ("ann", "bob", "cy", "boss", "keeper", "reader")}
V1 = "/-/api/v1/indexes/main/projects"
ROOT = Origin(user="root")


@dataclass
class Rig:
    """An index of owned projects in this process."""

    app: Starlette
    access: AccessRecords
    made: int = 0

    def ask(self, *requests: tuple[str, str, dict[str, Any]]) -> list[httpx.Response]:
        async def scenario() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://index") as client:
                return list(
                    await asyncio.gather(*(client.request(method, path, **more) for method, path, more in requests))
                )

        return asyncio.run(scenario())

    def upload(self, project: str, *senders: str) -> list[httpx.Response]:
        """An upload of a new version by each sender (an Authorization header, or empty), all at once."""
        requests = []
        for sender in senders:
            self.made += 1
            version = f"1.{self.made}"
            requests.append(
                (
                    "POST",
                    "/",
                    {
                        "data": {":action": "file_upload", "name": project, "version": version},
                        "files": {"content": (wheel_name(project, version), make_wheel(project, version))},
                        "headers": {"authorization": sender} if sender else {},
                    },
                )
            )
        return self.ask(*requests)

    def api(self, method: str, path: str, sender: str, body: object = None) -> httpx.Response:
        headers = {"authorization": sender, "content-type": "application/json"}
        (answer,) = self.ask((method, f"{V1}/{path}", {"headers": headers, "content": json.dumps(body).encode()}))
        return answer

    def token(self, *rights: str, user: str | None = None, projects: tuple[str, ...] = ()) -> tuple[str, str]:
        """The id of a new token, and its header."""
        text = make_token(self.access, rights, projects, user=user, origin=ROOT)
        return text.identity, f"Bearer {text.text}"

    def owners(self, project: str) -> tuple[str, ...]:
        found = self.app.state.worker.default.hosted.stored(project)
        return found.owners if found is not None else ()


def user(name: str) -> str:
    return basic(name, USERS[name])


def make_rig(folder: Path, *, authenticate: tuple[str, ...] = ("update",)) -> Rig:
    (folder / "packages").mkdir()
    app = create_application(
        Settings(
            directories=(str(folder / "packages"),),
            authenticate=authenticate,
            passwords=str(password_file(folder, **USERS)),
            fallback_url=None,
        )
    )
    rig = Rig(app, AccessRecords(app.state.worker.default.store))
    define(rig, NewProjects.OWNED)
    return rig


def define(rig: Rig, new_projects: NewProjects) -> None:
    def with_definition(document: AccessDocument) -> AccessDocument:
        indexes = {"main": IndexDefinition(new_projects=new_projects)}
        changed: AccessDocument = msgspec.structs.replace(document, indexes=indexes)
        return changed

    rig.access.change(with_definition, "index-set", {}, ROOT)


@pytest.fixture(scope="module")
def granted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Every user but `reader` may upload to all projects; `keeper` manages all, and `cy` what begins with acme-."""
    rig = make_rig(tmp_path_factory.mktemp("granted"))
    granting.begin(rig.access, "boss", ["update"], ROOT)
    grants = rig.access.read().state.document.grants
    granting.take_back(rig.access, [each for each, grant in grants.items() if grant.subject == "authenticated"], ROOT)
    for subject, rights, projects in (
        *((f"user:{each}", ["upload"], []) for each in ("ann", "bob", "cy", "keeper")),
        ("user:keeper", ["manage"], []),
        ("user:cy", ["upload"], ["acme-*"]),
    ):
        granting.give(rig.access, subject, rights, "main", projects, origin=ROOT)
    yield rig
    rig.app.state.worker.close()


def statuses(answers: list[httpx.Response]) -> list[int]:
    return [answer.status_code for answer in answers]


def test_the_creator_owns_the_project(granted: Rig) -> None:
    """Others with the right to all projects are refused with a sentence; those that manage all of them, or that a
    pattern lets in, are not. The owner may change the project, too; the refusal is counted and logged."""
    assert statuses(granted.upload("acme-one", user("ann"))) == [200]
    version = f"1.{granted.made}"
    assert granted.owners("acme-one") == ("user:ann",)
    before = counted(granted.app).get("forbidden", 0)
    with capture_logs() as logs:
        (refused,) = granted.upload("acme-one", user("bob"))
    assert refused.status_code == 403
    assert refused.text == (
        "The user bob is no owner of acme-one on the index main; ask an owner or an administrator for "
        "'quire owner add acme-one'.\n"
    )
    assert counted(granted.app)["forbidden"] == before + 1
    assert [(log["user"], log["right"]) for log in logs if log["event"] == "access refused"] == [("bob", "upload")]
    assert statuses(granted.upload("acme-one", *map(user, ("cy", "keeper", "boss", "reader")))) == [200, 200, 200, 403]
    assert granted.owners("acme-one") == ("user:ann",)
    for name, status in (("ann", 200), ("keeper", 200), ("boss", 200), ("bob", 403), ("cy", 403), ("reader", 403)):
        yanked = granted.api("POST", "acme-one/yank", user(name), {"version": version})
        assert yanked.status_code == status, name
        assert granted.api("GET", "acme-one/log", user(name)).status_code == status
        assert granted.api("GET", "acme-one/owners", user(name)).status_code == status
    (removed,) = granted.ask(
        (
            "POST",
            "/",
            {
                "data": {":action": "remove_pkg", "name": "acme-one", "version": version},
                "headers": {"authorization": user("bob")},
            },
        )
    )
    assert removed.status_code == 403


def test_two_creators_at_once_are_one_owner(granted: Rig) -> None:
    """The other one is refused, whichever it is; eight of them at once as well."""
    senders = [user(name) for name in ("ann", "bob") for _ in range(4)]
    for number in range(3):
        project = f"race-{number}"
        answers = granted.upload(project, *senders)
        (owner,) = granted.owners(project)
        by_owner = [user(owner.removeprefix("user:")) == sender for sender in senders]
        assert statuses(answers) == [200 if is_owner else 403 for is_owner in by_owner]


def test_tokens_and_publishers_are_owners(granted: Rig) -> None:
    """A token of a user makes its user the owner, one that stands for itself itself, and a publisher's the publisher.
    None of them may do more by that than it may do at all."""
    _, of_ann = granted.token("upload", user="ann")
    identity, own = granted.token("upload")
    _, another = granted.token("upload")
    assert statuses(granted.upload("tools-a", of_ann)) == [200]
    assert granted.owners("tools-a") == ("user:ann",)
    assert statuses(granted.upload("tools-a", user("ann"), of_ann, own, user("bob"))) == [200, 200, 403, 403]
    assert granted.api("POST", "tools-a/yank", of_ann, {"version": "9"}).status_code == 403  # it may upload only
    assert statuses(granted.upload("tools-b", own)) == [200]
    assert granted.owners("tools-b") == (f"token:{identity}",)
    assert statuses(granted.upload("tools-b", own, another, user("ann"))) == [200, 403, 403]
    _, of_one = granted.token("upload", projects=("tools-*",))
    assert statuses(granted.upload("tools-b", of_one)) == [200]
    publisher, minted = _publisher(granted, ("pending",))
    assert statuses(granted.upload("pending", minted)) == [200]
    assert granted.owners("pending") == (f"publisher:{publisher}",)
    assert statuses(granted.upload("pending", minted, user("ann"))) == [200, 403]
    everywhere, of_all = _publisher(granted, ("*",))
    assert statuses(granted.upload("pending", of_all)) == [403]
    assert statuses(granted.upload("pending-too", of_all)) == [200]
    assert granted.owners("pending-too") == (f"publisher:{everywhere}",)


def _publisher(rig: Rig, projects: tuple[str, ...]) -> tuple[str, str]:
    """A publisher's id, and the header of a token that was minted for one of its jobs."""
    identity, text = new_identity(), new_token(new_identity())
    publisher = Publisher(
        platform="github", issuer="https://token.example", settings={}, claims={}, index="main", projects=projects
    )

    def add(document: AccessDocument) -> AccessDocument:
        token = msgspec.convert({"digest": text.digest, "permissions": [], "publishers": [identity]}, Token)
        changed: AccessDocument = msgspec.structs.replace(
            document,
            publishers={**document.publishers, identity: publisher},
            tokens={**document.tokens, text.identity: token},
        )
        return changed

    rig.access.change(add, "test", {}, ROOT)
    return identity, f"Bearer {text.text}"


def test_owners_admit_others(granted: Rig) -> None:
    """Over the API: an owner adds and removes owners; a stranger sees none. The last owner leaves only by force, or by
    an administrator's hand; then the project is open to all that may upload."""
    granted.upload("shared", user("ann"))
    assert granted.api("POST", "shared/owners/add", user("bob"), {"subject": "user:bob"}).status_code == 403
    added = granted.api("POST", "shared/owners/add", user("ann"), {"subject": "bob"})
    assert added.json() == {
        "project": "shared",
        "owners": ["user:ann", "user:bob"],
        "changed": True,
        "count": True,
    }
    assert granted.api("POST", "shared/owners/add", user("ann"), {"subject": "bob"}).json()["changed"] is False
    assert statuses(granted.upload("shared", user("bob"))) == [200]
    left = granted.api("POST", "shared/owners/remove", user("bob"), {"subject": "user:ann"})
    assert left.json()["owners"] == ["user:bob"]
    assert statuses(granted.upload("shared", user("ann"))) == [403]
    last = granted.api("POST", "shared/owners/remove", user("bob"), {"subject": "user:bob"})
    assert last.status_code == 400
    assert "last owner" in last.json()["detail"]
    for wrong in ("anonymous", "planet:mars", "user:", "user:" + "x" * 250):
        assert granted.api("POST", "shared/owners/add", user("bob"), {"subject": wrong}).status_code == 400
    assert granted.api("POST", "shared/owners/remove", user("boss"), {"subject": "user:bob"}).json()["owners"] == []
    assert statuses(granted.upload("shared", user("ann"))) == [200]
    assert granted.owners("shared") == ()
    log = granted.api("GET", "shared/log", user("boss")).json()["entries"]
    assert [(each["action"], each["user"], each["owners"]) for each in log if "owners" in each] == [
        ("publish", "ann", ["user:ann"]),
        ("owner-add", "ann", ["user:ann", "user:bob"]),
        ("owner-remove", "bob", ["user:bob"]),
        ("owner-remove", "boss", []),
    ]
    assert granted.api("GET", "nothing/owners", user("boss")).status_code == 404
    assert "owners" not in granted.api("GET", "shared", user("reader")).json()


def test_an_owner_without_a_grant_makes_tokens_for_its_projects(granted: Rig) -> None:
    """Of the rights that owners have, on an index of owned projects; they give nothing on the projects of others."""
    granted.upload("handed", user("ann"))
    granted.upload("not-handed", user("ann"))
    granted.api("POST", "handed/owners/add", user("ann"), {"subject": "user:reader"})

    def make(right: str, index: str = "main") -> httpx.Response:
        content = json.dumps({"rights": [right], "index": index, "expires_in": 3600}).encode()
        headers = {"authorization": user("reader"), "content-type": "application/json"}
        (answer,) = granted.ask(("POST", "/-/api/v1/account/tokens", {"headers": headers, "content": content}))
        return answer

    made = {right: make(right).json() for right in ("upload", "manage")}
    uploads, manages = (f"Bearer {made[right].get('text')}" for right in ("upload", "manage"))
    assert statuses(granted.upload("handed", uploads, manages)) == [200, 403], made
    assert statuses(granted.upload("not-handed", uploads)) == [403]
    assert statuses(granted.upload("of-nobody", uploads)) == [403]
    assert granted.api("POST", "handed/delete", uploads, {"all": True}).status_code == 403
    assert granted.api("POST", "not-handed/delete", manages, {"all": True}).status_code == 403
    assert granted.api("POST", "handed/delete", manages, {"all": True}).status_code == 200
    assert make("upload", "*").status_code == 403
    assert make("admin").status_code == 403


def test_the_name_of_a_deleted_project_stays_its_owners(granted: Rig) -> None:
    """No other user can publish other files under it."""
    granted.upload("former", user("ann"))
    assert granted.api("POST", "former/delete", user("ann"), {"all": True}).status_code == 200
    assert statuses(granted.upload("former", user("bob"))) == [403]
    assert statuses(granted.upload("former", user("ann"))) == [200]


def test_by_the_settings_a_project_is_its_owners(tmp_path: Path) -> None:
    """Without grants every user may upload and manage, but for the projects of others; a token with admin may all."""
    rig = make_rig(tmp_path)
    assert statuses(rig.upload("acme", user("ann"))) == [200]
    assert statuses(rig.upload("acme", user("bob"), "", user("ann"))) == [403, 401, 200]
    assert rig.api("POST", "acme/yank", user("bob"), {"version": "1.1"}).status_code == 403
    assert rig.api("POST", "acme/yank", user("ann"), {"version": "1.1"}).status_code == 200
    _, of_bob = rig.token("upload", user="bob")
    _, named = rig.token("upload", projects=("acme",))
    _, admin = rig.token("admin")
    assert statuses(rig.upload("acme", of_bob, named, admin)) == [403, 200, 200]
    define(rig, NewProjects.SHARED)
    assert statuses(rig.upload("acme", user("bob"))) == [200]
    assert rig.api("POST", "acme/owners/add", user("bob"), {"subject": "bob"}).status_code == 403
    assert rig.api("POST", "acme/owners/add", admin, {"subject": "bob"}).json()["count"] is False
    rig.app.state.worker.close()


def test_uploads_without_a_login_have_no_owner(tmp_path: Path) -> None:
    """But credentials that are sent make one, although none were asked for; wrong ones are refused."""
    rig = make_rig(tmp_path, authenticate=())
    assert statuses(rig.upload("open", "")) == [200]
    assert rig.owners("open") == ()
    assert statuses(rig.upload("open", user("ann"), "")) == [200, 200]
    assert statuses(rig.upload("mine", user("ann"))) == [200]
    assert rig.owners("mine") == ("user:ann",)
    assert statuses(rig.upload("mine", "", user("bob"), user("ann"), basic("ann", "guess"))) == [401, 403, 200, 401]
    rig.app.state.worker.close()
