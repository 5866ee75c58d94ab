"""Namespaces (PEP 752) over HTTP and the command line: uploads below them, what pages say of them, their addresses."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from quire import cli
from tests.asking import JSON_V1, Site, basic, password_file, post, serve, twine_form
from tests.distributions import make_wheel, wheel_name
from tests.upstreams import FakeIndex, serving_index

FRESH = {"accept": JSON_V1, "connection": "close"}


@dataclass
class Rig:
    """A server with two workers, the users ann (in the group ops) and bob, and an upstream."""

    site: Site
    upstream: FakeIndex

    def quire(self, *words: object, code: int = 0) -> str:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            assert cli.main([*map(str, words), "-d", str(self.site.root)]) == code, said.getvalue()
        return said.getvalue()

    def upload(self, name: str, user: str | None, at: str = "/", version: str = "1.0") -> httpx.Response:
        filename = wheel_name(name, version)
        headers = {} if user is None else {"authorization": basic(user, "pw")}
        form = twine_form(filename, make_wheel(name, version), name=name, version=version)
        return post(self.site, form, at, **headers)

    def namespaces(self, name: str, at: str = "") -> Any:
        """As every worker has them."""
        answers = [self.site.client.get(f"{at}/simple/{name}/", headers=FRESH) for _ in range(5)]
        assert {each.content for each in answers} == {answers[0].content}
        document = answers[0].json()
        assert document["meta"]["api-version"] == ("1.5" if "namespaces" in document else "1.4")
        return document.get("namespaces")

    def listed(self, path: str) -> Any:
        answer = self.site.client.get(path, headers=FRESH)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == JSON_V1
        return answer.json()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("namespaces")
    users = password_file(folder, ann="pw", bob="pw")
    with serving_index() as upstream:
        flags = ("-a", "update", "-P", users, "--workers", 2, "--upstream", upstream.url)
        with serve(folder, *flags, NO_PROXY="*") as site:
            rig = Rig(site, upstream)
            rig.quire("group", "ops", "ann")
            rig.quire("index", "create", "front", "--behind", "main")
            yield rig


def test_only_owners_upload_below_a_namespace(rig: Rig) -> None:
    """409 for others, also through an index in front and for a sender without a login (then 401); 1.4's rights stay."""
    rig.quire("namespace", "grant", "Solo", "group:ops")
    for name in ("solo", "solo-tools"):
        refused = rig.upload(name, "bob")
        assert (refused.status_code, "is in the namespace solo" in refused.text) == (409, True), refused.text
        assert rig.upload(name, "bob", "/front/").status_code == 409
        assert rig.upload(name, None).status_code == 401
        assert rig.upload(name, "ann").status_code == 200
    assert rig.upload("soloist", "bob").status_code == 200
    assert rig.upload("solo-tools", "bob", version="2.0").status_code == 409
    rig.quire("namespace", "grant", "solo", "bob")
    assert rig.upload("solo-tools", "bob", version="2.0").status_code == 200
    rig.quire("namespace", "revoke", "solo", "user:bob")
    assert rig.upload("solo-tools", "bob", version="3.0").status_code == 409
    rig.quire("namespace", "revoke", "solo")
    assert rig.upload("solo-tools", "bob", version="3.0").status_code == 200


def test_deleted_files_are_not_restored_below_the_namespace_of_others(rig: Rig) -> None:
    """They would be published there as by an upload."""
    assert rig.upload("past-tools", "bob").status_code == 200
    rig.quire("delete", "past-tools", "--all", "--yes")
    rig.quire("namespace", "grant", "past", "group:ops")
    path = "/-/api/v1/indexes/-/projects/past-tools/trash/restore"
    login = {"authorization": basic("bob", "pw")}
    refused = rig.site.client.post(path, json={}, headers=login)
    assert (refused.status_code, "is in the namespace past" in refused.text) == (409, True), refused.text
    rig.quire("namespace", "revoke", "past")
    assert rig.site.client.post(path, json={}, headers=login).status_code == 200


def test_no_upstream_is_asked_for_a_name_below(rig: Rig) -> None:
    """As for a claim: not by pages, nor by an upload."""
    rig.quire("namespace", "grant", "quiet", "ann")
    for at in ("", "/front"):
        for name in ("quiet", "quiet-tools"):
            rig.site.client.get(f"{at}/simple/{name}/", headers=FRESH)
    assert rig.upload("quiet-new", "ann").status_code == 200
    assert rig.upload("quiet-other", "bob").status_code == 409
    assert not [path for path in rig.upstream.paths if "quiet" in path]
    assert "below the namespace quiet" in rig.quire("merge", "quiet-x", "--yes", code=1)


def test_pages_say_which_namespaces_a_project_is_below(rig: Rig) -> None:
    """PEP 752, "Project Detail": at once on every worker, null for others and after the grant has ended."""
    assert rig.upload("page-old", "bob").status_code == 200
    assert not rig.namespaces("page-old")
    said = rig.quire("namespace", "grant", "page", "group:ops")
    assert said == "page belongs to group:ops in the index main. Projects from before that go on as they were: 1.\n"
    assert rig.upload("page-new", "ann").status_code == 200
    assert rig.upload("page-old", "bob", version="2.0").status_code == 200
    assert rig.upload("page-old", "bob", "/front/", version="2.0").status_code == 409
    for at in ("", "/front"):
        assert rig.namespaces("page-old", at) == [{"name": "page", "owned": False}]
        assert rig.namespaces("page-new", at) == [{"name": "page", "owned": True}]
    html = rig.site.client.get("/simple/page-new/", headers={"accept": "text/html"}).text
    assert 'repository-version" content="1.4"' in html
    rig.quire("namespace", "grant", "page", "group:ops", "--with-existing")
    assert rig.namespaces("page-old") == [{"name": "page", "owned": True}]
    assert rig.upload("page-old", "bob", version="3.0").status_code == 409
    rig.quire("namespace", "revoke", "page")
    assert not rig.namespaces("page-new")


def test_an_index_without_namespaces_is_as_before(rig: Rig) -> None:
    """Clients of API version 1.4 warn of 1.5, and so get it only where it has something to say."""
    rig.quire("index", "create", "apart")
    assert rig.upload("alone", "bob", "/apart/").status_code == 200
    before = rig.site.client.get("/apart/simple/alone/", headers=FRESH)
    assert (before.json()["meta"], "namespaces" in before.json()) == ({"api-version": "1.4"}, False)
    rig.quire("namespace", "grant", "other", "ann", "--index", "apart")
    assert rig.site.client.get("/apart/simple/alone/", headers=FRESH).json()["namespaces"] is None
    rig.quire("namespace", "revoke", "other", "--index", "apart")
    after = rig.site.client.get("/apart/simple/alone/", headers=FRESH)
    assert (after.content, after.headers["etag"]) == (before.content, before.headers["etag"])


def test_a_file_in_a_served_folder_is_listed_and_not_owned(rig: Rig) -> None:
    """It cannot be refused; what it says of itself was not checked."""
    rig.quire("namespace", "grant", "folder", "ann")
    (rig.site.root / wheel_name("folder-tools", "1.0")).write_bytes(make_wheel("folder-tools", "1.0"))
    os.utime(rig.site.root)
    assert rig.namespaces("folder-tools") == [{"name": "folder", "owned": False}]


def test_namespaces_have_addresses(rig: Rig) -> None:
    """PEP 752, "Namespace List" and "Namespace Detail": of the index and of those behind it."""
    for name in ("tree", "tree-a", "tree-a-b-c"):
        rig.quire("namespace", "grant", name, "ann")
    rig.quire("namespace", "grant", "fronted", "bob", "--index", "front")
    for path, is_front in (("/namespaces", False), ("/front/namespaces", True)):
        names = [each["name"] for each in rig.listed(path)]
        assert [name for name in names if name.startswith("tree")] == ["tree", "tree-a", "tree-a-b-c"]
        assert ("fronted" in names) is is_front
    assert rig.listed("/namespace/tree") == {"name": "tree", "parent": None, "children": ["tree-a"]}
    assert rig.listed("/namespace/tree-a") == {"name": "tree-a", "parent": "tree", "children": []}
    assert rig.listed("/front/namespace/tree-a-b-c")["parent"] is None
    client = rig.site.client
    assert client.get("/namespace/fronted").status_code == client.get("/namespace/nothing").status_code == 404
    assert client.get("/namespace/Tree_A", follow_redirects=False).headers["location"] == "tree-a"
    assert client.get("/namespace/*", follow_redirects=False).status_code == 404
    assert client.get("/namespaces", headers={"accept": "text/html"}).status_code == 406
    known = client.get("/namespaces")
    assert client.get("/namespaces", headers={"if-none-match": known.headers["etag"]}).status_code == 304


def test_a_stage_is_promoted_by_an_owner(rig: Rig) -> None:
    """Its uploads are below the namespaces of the index that it is in front of; so is what another sender promotes."""
    rig.quire("stage", "create", "pr-1", "--in-front-of", "main")
    assert rig.upload("staged-x", "bob", "/pr-1/").status_code == 200
    rig.quire("namespace", "grant", "staged", "ann", "--with-existing")
    assert rig.upload("staged-y", "bob", "/pr-1/").status_code == 409
    assert rig.upload("staged-y", "ann", "/pr-1/").status_code == 200
    assert rig.namespaces("staged-y", "/pr-1") == [{"name": "staged", "owned": True}]
    path = "/-/api/v1/indexes/pr-1/promote"
    refused = rig.site.client.post(path, json={}, headers={"authorization": basic("bob", "pw")})
    assert (refused.status_code, "namespace staged" in refused.json()["detail"]) == (409, True)
    assert rig.site.client.post(path, json={}, headers={"authorization": basic("ann", "pw")}).status_code == 200
    assert rig.namespaces("staged-x") == [{"name": "staged", "owned": True}]


def test_the_command_lists_and_shows(rig: Rig) -> None:
    """With the owners; each change is in the log; what cannot be is refused in a sentence."""
    rig.quire("namespace", "grant", "shown", "user:ann", "group:ops", "--index", "front")
    assert "shown\tuser:ann, group:ops\t" in rig.quire("namespace", "list", "--index", "front")
    document = {"name": "shown", "owners": ["user:ann", "group:ops"], "exempt": []}
    assert json.loads(rig.quire("namespace", "show", "shown", "--index", "front", "--json")) == document
    assert "did you mean shown" in rig.quire("namespace", "show", "showm", "--index", "front", code=1)
    assert "as before" in rig.quire("namespace", "grant", "shown", "ann", "--index", "front")
    assert '"name": "shown"' in rig.quire("log", "--access", "--json").replace("\n", "")
    assert "cannot own" in rig.quire("namespace", "grant", "shown", "authenticated", code=1)
    assert "without '-*'" in rig.quire("namespace", "grant", "shown-*", "ann", code=1)
    assert "no namespace 'nothing'" in rig.quire("namespace", "revoke", "nothing", code=1)
    assert "no index 'fromt'" in rig.quire("namespace", "list", "--index", "fromt", code=1)


def test_readers_do_not_learn_the_owners(rig: Rig) -> None:
    """The API gives namespaces to administrators; what they are called is at their addresses."""
    indexes = rig.site.client.get("/-/api/v1/indexes").json()["indexes"]
    assert {each["namespaces"] for each in indexes} == {None}
