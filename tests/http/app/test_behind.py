"""Indexes behind others: one URL for the projects of several, of which the first that has a name owns it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from quire.access import defining
from quire.access.document import AccessDocument, Grant, with_fields
from quire.access.records import AccessRecords
from quire.index.audit.entries import Origin
from quire.store.opening import open_store
from tests.asking import JSON_V1, OPEN, Site, password_file, post, serve, twine_form
from tests.distributions import make_wheel, wheel_name
from tests.serving import run_quire
from tests.upstreams import FakeIndex, serving_index

FRESH = {"accept": JSON_V1, "connection": "close"}
"""Each request on a connection of its own, so that both workers get some."""


@dataclass
class Rig:
    """A server with two workers: `front` is before `middle`, that before the index at the root, that before an
    upstream."""

    site: Site
    upstream: FakeIndex

    def quire(self, *words: object, code: int = 0) -> str:
        done = run_quire(*map(str, words), "-d", self.site.root, cwd=self.site.root.parent)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def change(self, make: Callable[[AccessDocument], AccessDocument]) -> None:
        """Change grants or definitions by another process than the server's."""
        AccessRecords(open_store(str(self.site.root))).change(make, "index-set", {}, Origin(user="ann"))

    def behind(self, name: str, *others: str) -> None:
        self.change(lambda document: defining.with_settings(document, name, {"behind": others}, "main"))

    def grant(self, *grants: Grant) -> None:
        """Let these be all grants."""
        self.change(lambda document: with_fields(document, grants={str(at): each for at, each in enumerate(grants)}))

    def upload(self, at: str, name: str, version: str) -> None:
        filename = wheel_name(name, version)
        answer = post(self.site, twine_form(filename, make_wheel(name, version), name=name, version=version), at)
        assert answer.status_code == 200, answer.text

    def versions(self, name: str, at: str = "/front") -> list[str]:
        """Of the files that every worker lists: several answers, some of them prepared."""
        answers = [self.site.client.get(f"{at}/simple/{name}/", headers=FRESH) for _ in range(5)]
        assert {each.content for each in answers} == {answers[0].content}
        if answers[0].status_code == 404:
            return ["absent"]
        return [each["filename"].split("-")[1] for each in answers[0].json()["files"]]

    def asked(self, word: str) -> int:
        return sum(word in path for path in self.upstream.paths)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("behind")
    with serving_index() as upstream:
        upstream.has("far", {wheel_name("far", "9.0"): make_wheel("far", "9.0")})
        flags = (*OPEN, "--workers", 2, "--upstream", upstream.url, "--local", "acme-*")
        with serve(folder, *flags, NO_PROXY="*") as site:
            rig = Rig(site, upstream)
            rig.quire("index", "create", "middle", "--behind", "main")
            rig.quire("index", "create", "front", "--behind", "middle")
            yield rig


def test_a_name_belongs_to_the_first_index_that_has_it(rig: Rig) -> None:
    """From its first upload to a nearer index on, and for good."""
    rig.upload("/", "demo", "1.0")
    assert rig.versions("demo") == rig.versions("demo", "/middle") == ["1.0"]
    rig.upload("/middle/", "demo", "2.0")
    assert (rig.versions("demo"), rig.versions("demo", "")) == (["2.0"], ["1.0"])
    rig.upload("/front/", "demo", "3.0")
    assert (rig.versions("demo"), rig.versions("demo", "/middle")) == (["3.0"], ["2.0"])
    rig.quire("delete", "demo", "3.0", "--yes", "--index", "front")
    assert rig.versions("demo") == []
    assert rig.asked("demo") == 1  # by the first upload of all


def test_files_and_documents_come_from_the_url_of_the_front(rig: Rig) -> None:
    """Pages, files, metadata, JSON, names; but people count and list the files of an index itself."""
    rig.upload("/", "whole", "1.0")
    (file,) = rig.site.client.get("/front/simple/whole/", headers=FRESH).json()["files"]
    url = httpx.URL(f"{rig.site.base}front/simple/whole/").join(file["url"])
    assert url.path.startswith("/front/packages/")
    assert rig.site.client.get(url).content == make_wheel("whole", "1.0")
    assert rig.site.client.get(f"{url}.metadata").status_code == 200
    document = rig.site.client.get("/front/pypi/whole/json").json()
    assert document["urls"][0]["url"] == str(url)
    names = [each["name"] for each in rig.site.client.get("/front/simple/", headers=FRESH).json()["projects"]]
    assert "whole" in names
    assert file["filename"] not in rig.site.client.get("/front/packages/").text


def test_no_local_name_is_asked_upstream(rig: Rig) -> None:
    """Hosted, deleted, quarantined, reserved, dropped in (also half-copied) in the last index of the chain."""
    rig.upload("/", "of-main", "1.0")
    rig.upload("/", "gone", "1.0")
    rig.quire("delete", "gone", "1.0", "--yes")
    rig.upload("/middle/", "held", "1.0")
    rig.quire("status", "held", "quarantined", "--index", "middle")
    before = len(rig.upstream.paths)
    (rig.site.root / wheel_name("dropped", "1.0")).write_bytes(make_wheel("dropped", "1.0"))
    (rig.site.root / f".{wheel_name('copied', '1.0')}.Xy12Zz").write_bytes(b"half")
    for name, expected in (
        *(("of-main", ["1.0"]), ("gone", []), ("held", [])),
        *(("acme-private", []), ("dropped", ["1.0"]), ("copied", [])),
    ):
        for at in ("/front", "/middle"):
            assert rig.versions(name, at) in (expected, expected or ["absent"]), name
            rig.site.client.get(f"{at}/simple/{name.upper()}/", headers=FRESH, follow_redirects=True)
            rig.site.client.get(f"{at}/pypi/{name}/json")
    assert rig.upstream.paths[before:] == []
    assert rig.versions("far") == rig.versions("far", "") == ["9.0"]
    assert rig.asked("far") == 1


def test_what_a_nearer_index_owns_is_not_served_from_behind(rig: Rig) -> None:
    """Neither a claimed name, nor a dropped-in file by its address."""
    rig.quire("claim", "kept-*", "--index", "middle")
    rig.upload("/", "kept-name", "1.0")
    assert (rig.versions("kept-name", ""), rig.versions("kept-name"), rig.versions("kept-name", "/middle")) == (
        *(["1.0"], [], []),
    )
    filename = wheel_name("lying", "1.0")
    (rig.site.root / filename).write_bytes(make_wheel("lying", "1.0"))
    (file,) = rig.site.client.get("/front/simple/lying/", headers=FRESH).json()["files"]
    path = httpx.URL("/front/simple/lying/").join(file["url"].partition("#")[0]).path
    assert rig.site.client.get(path).status_code == 200
    rig.upload("/front/", "lying", "2.0")
    assert rig.versions("lying") == ["2.0"]
    assert {rig.site.client.get(path, headers=FRESH).status_code for _ in range(4)} == {404}
    assert rig.site.client.get(path.removeprefix("/front")).status_code == 200


def test_a_changed_chain_counts_for_the_next_request(rig: Rig) -> None:
    """Again and again, on every worker."""
    rig.upload("/", "changing", "1.0")
    rig.quire("index", "create", "turning")
    for _ in range(5):
        rig.behind("turning", "middle", "main")
        assert rig.versions("changing", "/turning") == ["1.0"]
        rig.behind("turning")
        assert rig.versions("changing", "/turning") == ["absent"]
    rig.quire("index", "set", "turning", "--behind", "main")
    assert "Behind it\tmain" in rig.quire("index", "show", "turning")
    assert "is behind turning" not in rig.quire("index", "delete", "turning")


def test_chains_that_are_refused(rig: Rig) -> None:
    """In a sentence; nothing changes."""
    assert "cannot be behind main" in rig.quire("index", "set", "main", "--behind", "front", code=1)
    assert "no index 'nothing'" in rig.quire("index", "create", "other", "--behind", "nothing", code=1)
    assert "The index middle is behind front" in rig.quire("index", "delete", "middle", "--yes", code=1)
    assert rig.versions("far", "/front") == ["9.0"]


def test_reading_takes_the_right_on_every_index_behind(tmp_path: Path) -> None:
    """On the fast path, too; a right that is taken back counts for the next request."""
    secrets = {"ann": "secret-a", "bob": "secret-b"}
    flags = ("-a", "list,download,update", "-P", password_file(tmp_path, **secrets), "--disable-fallback")
    with serve(tmp_path, *flags, "--workers", 2) as site, serving_index() as unused:
        rig = Rig(site, unused)
        grants = (
            Grant(subject="user:ann", permissions=("read", "upload")),
            Grant(subject="user:bob", permissions=("read",), index="team"),
        )
        rig.grant(*grants)
        rig.quire("index", "create", "team", "--behind", "main")
        content, filename = make_wheel("secret", "1.0"), wheel_name("secret", "1.0")
        form = twine_form(filename, content, name="secret", version="1.0")
        ann, bob = (httpx.BasicAuth(user, secret) for user, secret in secrets.items())
        site.client.auth = ann
        assert post(site, form).status_code == 200
        (file,) = site.client.get("/team/simple/secret/", headers=FRESH).json()["files"]
        path = httpx.URL("/team/simple/secret/").join(file["url"]).path

        def asked(user: httpx.BasicAuth) -> set[int]:
            pages = ("/team/simple/", "/team/simple/secret/", "/team/pypi/secret/json", path)
            return {site.client.get(each, headers=FRESH, auth=user).status_code for each in pages for _ in range(4)}

        assert (asked(ann), asked(bob)) == ({200}, {403})
        manager = Grant(subject="user:bob", permissions=("manage",), index="team")
        rig.grant(*grants, manager)
        bodies = {"yank": {"version": "1.0"}, "delete": {"version": "1.0"}, "status": {"status": "active"}}
        for path_of, body in bodies.items():
            for name in ("secret", "secrat"):
                api = f"/-/api/v1/indexes/team/projects/{name}/{path_of}"
                answer = site.client.post(api, json=body, auth=bob)
                assert (answer.status_code, "secret?" in answer.text, "main" in answer.text) == (404, False, False)
        removal = {":action": "remove_pkg", "name": "secret", "version": "1.0"}
        answers = [site.client.post("/team/", data={**removal, "version": each}, auth=bob) for each in ("1.0", "9.0")]
        assert [each.status_code for each in answers] == [404, 404]
        assert answers[0].text.replace("1.0", "9.0") == answers[1].text
        rig.grant(*grants)
        refused = site.client.get("/team/simple/secret/", auth=bob)
        assert refused.text == (
            "The user bob may not list here; it needs the right read on the index main, which is behind team.\n"
        )
        for _ in range(2):
            rig.grant(*grants, Grant(subject="user:bob", permissions=("read",), index="main"))
            assert asked(bob) == {200}
            rig.grant(*grants)
            assert asked(bob) == {403}
        rig.grant(*grants, Grant(subject="user:bob", permissions=("read",), index="main"))
        policy, at = {"deny": ("secret",), "reason": "stolen"}, "2026-11-01T00:00:00Z"
        rig.change(lambda known: defining.with_policy(known, "main", policy, "main", at=at, by="ann"))
        held = site.client.get(path, auth=bob)
        assert (held.status_code, "policy of the index main denies secret" in held.text) == (403, True)
        rig.grant(*grants)
        for each in (path, "/team/simple/secret/"):
            refused = site.client.get(each, auth=bob)
            assert (refused.status_code, "denies" in refused.text, "stolen" in refused.text) == (403, False, False)
