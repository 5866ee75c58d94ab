"""The index as of a moment: what installers get from `/@MOMENT/simple/`, and where the files are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from quire.access import defining
from quire.access.document import Grant, with_fields
from quire.access.records import AccessRecords
from quire.domain.changes import Selection
from quire.domain.indexes import IndexDefinition, NewProjects, PastTrash
from quire.domain.project import Status
from quire.index.audit.entries import Origin, timestamp
from quire.index.index import Index
from quire.store.opening import open_store
from tests.asking import HTML_V1, JSON_V1, OPEN, Site, basic, password_file, post, publish_wheel, serve, twine_form
from tests.distributions import make_wheel, wheel_name
from tests.serving import run_quire, until
from tests.upstreams import FakeIndex, serving_index

FRESH = {"accept": JSON_V1, "connection": "close"}
"""Each request on a connection of its own, so that both workers get some."""
LATER = "2999-01-01T00:00:00Z"
ALL = Selection()
OLD = "2020-05-01T10:00:00.000000Z"


@dataclass
class Rig:
    """A server with two workers: the index `front` is before that at the root, and that before an upstream."""

    site: Site
    upstream: FakeIndex

    def index(self, name: str = "main") -> Index:
        """The same as another process sees it."""
        return Index(open_store(str(self.site.root)), name, trash_seconds=86_400)

    def define(self, name: str, definition: IndexDefinition) -> None:
        """Create an index."""
        AccessRecords(open_store(str(self.site.root))).change(
            lambda document: defining.with_index(document, name, definition, "main"),
            "index-set",
            {},
            Origin(user="ann"),
        )

    def decide(self, **changes: object) -> None:
        """Change the policy of the index at the root."""
        access = AccessRecords(open_store(str(self.site.root)))
        access.change(
            lambda known: defining.with_policy(known, "main", changes, "main", at=timestamp(), by="ann"),
            *("policy-set", {}, Origin()),
        )

    def upload(self, name: str, version: str = "1.0", at: str = "/", data: bytes = b"") -> str:
        """Upload a wheel; a moment after that."""
        content, filename = make_wheel(name, version, files={"data": data}), wheel_name(name, version)
        answer = post(self.site, twine_form(filename, content, name=name, version=version), at)
        assert answer.status_code == 200, answer.text
        return timestamp()

    def page(self, name: str, moment: str, at: str = "") -> dict[str, Any]:
        """The same page of both workers."""
        answers = [self.site.client.get(f"{at}/@{moment}/simple/{name}/", headers=FRESH) for _ in range(5)]
        assert {each.content for each in answers} == {answers[0].content}
        assert answers[0].status_code == 200, answers[0].text
        document: dict[str, Any] = answers[0].json()
        return document

    def versions(self, name: str, moment: str, at: str = "") -> list[str]:
        return [each["filename"].split("-")[1] for each in self.page(name, moment, at)["files"]]

    def yanked(self, name: str, moment: str) -> list[bool | str]:
        return [each["yanked"] for each in self.page(name, moment)["files"]]

    def links(self, name: str, moment: str, at: str = "") -> list[httpx.URL]:
        base = httpx.URL(f"{self.site.base}{at.lstrip('/')}{'/' if at else ''}@{moment}/simple/{name}/")
        return [base.join(each["url"]) for each in self.page(name, moment, at)["files"]]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("as-of")
    with serving_index() as upstream:
        flags = (*OPEN, "--workers", 2, "--upstream", upstream.url, "--overwrite", "-v")
        with serve(folder, *flags, NO_PROXY="*") as site:
            rig = Rig(site, upstream)
            rig.define("front", IndexDefinition(behind=("main",)))
            rig.define("pr", IndexDefinition(in_front_of="main", expires=LATER))
            yield rig


def test_files_that_were_uploaded_since_are_not_there(rig: Rig) -> None:
    """At a moment between two uploads; before the first one the page is empty. Files keep their usual addresses."""
    before = timestamp()
    first = rig.upload("grows", "1.0")
    second = rig.upload("grows", "2.0")
    assert rig.versions("grows", before) == []
    assert rig.versions("grows", first) == ["1.0"]
    assert rig.versions("grows", second) == ["1.0", "2.0"]
    (link,) = rig.links("grows", first)
    assert link.path.startswith("/packages/grows/")
    assert rig.site.client.get(link).content == make_wheel("grows", "1.0", files={"data": b""})
    assert rig.site.client.get(f"{link}.metadata").status_code == 200
    usual = rig.site.client.get("/simple/grows/", headers=FRESH).json()
    assert rig.page("grows", second)["files"] == [{**each, "url": f"../{each['url']}"} for each in usual["files"]]


def test_deleted_files_are_there_as_long_as_the_trash_has_them(rig: Rig) -> None:
    """Below the address of the moment, with their metadata; restored ones at their usual address again."""
    there = rig.upload("goes")
    rig.index().delete("goes", ALL)
    gone = timestamp()
    assert (rig.versions("goes", there), rig.versions("goes", gone)) == (["1.0"], [])
    (link,) = rig.links("goes", there)
    assert link.path.startswith(f"/@{there}/packages/goes/")
    assert rig.site.client.get(link).content == make_wheel("goes", "1.0", files={"data": b""})
    assert rig.site.client.get(f"{link}.metadata").text.startswith("Metadata-Version")
    partial = rig.site.client.get(link, headers={"range": "bytes=0-1"})
    assert (partial.status_code, partial.content) == (206, b"PK")
    assert "immutable" not in partial.headers["cache-control"]
    assert rig.site.client.get(str(link).replace(there, gone)).status_code == 404
    assert rig.site.client.get(f"/packages/{link.path.partition('/packages/')[2]}").status_code == 404
    rig.index().restore("goes", lambda _: True)
    back = timestamp()
    assert [rig.versions("goes", each) for each in (there, gone, back)] == [["1.0"], [], ["1.0"]]
    assert rig.links("goes", there)[0].path.startswith("/packages/goes/")
    rig.index().delete("goes", ALL)
    assert rig.site.client.get(link).status_code == 200
    rig.index().empty_trash("goes", lambda _: True)
    assert rig.versions("goes", there) == []
    assert rig.site.client.get(link).status_code == 404


def test_yanks_and_statuses_are_as_they_were(rig: Rig) -> None:
    first = rig.upload("turns")
    rig.index().yank("turns", ALL, "broken")
    second = timestamp()
    rig.index().unyank("turns", ALL)
    rig.index().set_status("turns", Status.DEPRECATED, "use another")
    third = timestamp()
    rig.index().set_status("turns", Status.ACTIVE)
    assert [rig.yanked("turns", each) for each in (first, second, third)] == [[False], ["broken"], [False]]
    assert rig.page("turns", third)["project-status"] == {"status": "deprecated", "reason": "use another"}
    assert rig.page("turns", second).get("project-status", {"status": "active"})["status"] == "active"
    rig.index().set_status("turns", Status.QUARANTINED)
    assert rig.versions("turns", first) == []


def test_content_that_was_overwritten_is_left_out(rig: Rig) -> None:
    """Its bytes are gone, and the new ones were not there."""
    first = rig.upload("changes", data=b"1")
    second = rig.upload("changes", data=b"2")
    assert (rig.versions("changes", first), rig.versions("changes", second)) == ([], ["1.0"])


def test_drop_ins_count_by_their_time(rig: Rig) -> None:
    for name, day in (("dropped-old", 1), ("dropped-new", 3)):
        path = rig.site.root / wheel_name(name, "1.0")
        path.write_bytes(make_wheel(name, "1.0"))
        os.utime(path, times=(datetime(2021, 6, day, 12, tzinfo=UTC).timestamp(),) * 2)
    assert (rig.versions("dropped-old", "2021-06-02"), rig.versions("dropped-new", "2021-06-02")) == (["1.0"], [])
    (link,) = rig.links("dropped-old", "2021-06-02")
    assert rig.site.client.get(link).content == make_wheel("dropped-old", "1.0")


def test_mirrored_files_count_by_the_upload_time_of_the_upstream(rig: Rig) -> None:
    """A file without one is left out; a moment shows no name of this index to the upstream."""
    files = {wheel_name("far", version): make_wheel("far", version) for version in ("1.0", "2.0", "3.0")}
    rig.upstream.has(
        "far",
        files,
        **{
            wheel_name("far", "1.0").replace(".", "_").replace("-", "_"): {"upload-time": OLD},
            wheel_name("far", "2.0").replace(".", "_").replace("-", "_"): {"upload-time": "2021-05-01T10:00:00Z"},
        },
    )
    for at in ("", "/front"):
        assert rig.versions("far", "2020-05-01", at) == ["1.0"]
        assert rig.versions("far", "2022-01-01", at) == ["1.0", "2.0"]
        assert rig.versions("far", "2020-05-01T10:00:00Z", at) == []
    (link,) = rig.links("far", "2020-05-01", "/front")
    assert rig.site.client.get(link).content == make_wheel("far", "1.0")
    rig.upload("near")
    asked = len(rig.upstream.paths)
    assert rig.versions("near", "2020-05-01", "/front") == []
    assert len(rig.upstream.paths) == asked
    assert rig.site.client.get("/@2020-05-01/simple/never-heard-of/").status_code == 404


def test_a_file_that_is_held_back_now_is_not_offered_as_of_yesterday(rig: Rig) -> None:
    """Neither a listed one nor a deleted one; in front of the index with the policy as well."""
    there = rig.upload("held", "1.0")
    there = rig.upload("held", "2.0")
    rig.index().delete("held", Selection(version="2.0"))
    rig.decide(min_age=86_400)  # of upstreams alone
    assert rig.versions("held", there) == ["1.0", "2.0"]
    (_, deleted) = rig.links("held", there)
    rig.decide(deny=("held",), reason="malware")
    assert rig.versions("held", there) == rig.versions("held", there, "/front") == []
    answer = rig.site.client.get(deleted)
    assert (answer.status_code, "malware" in answer.text) == (403, True)
    until(
        lambda: f"file held back index=main path={deleted.path.partition('/packages/')[2]}" in rig.site.served.output()
    )
    rig.decide(not_deny=("held",), min_age=0)
    assert rig.versions("held", there, "/front") == ["1.0", "2.0"]
    assert rig.site.client.get(deleted).status_code == 200


def test_named_indexes_and_those_behind_them(rig: Rig) -> None:
    """A name belongs to the index that it belongs to now, at each moment."""
    first = rig.upload("shared", "1.0")
    assert rig.versions("shared", first, "/front") == ["1.0"]
    second = rig.upload("shared", "2.0", "/front/")
    assert (rig.versions("shared", first, "/front"), rig.versions("shared", first)) == ([], ["1.0"])
    assert rig.versions("shared", second, "/front") == ["2.0"]
    rig.index("front").delete("shared", ALL)
    (link,) = rig.links("shared", second, "/front")
    assert link.path.startswith(f"/front/@{second}/packages/shared/")
    assert rig.site.client.get(link).status_code == 200
    assert rig.site.client.get(str(link).replace("/front", "")).status_code == 404
    assert rig.site.client.get(f"/nowhere/@{second}/simple/shared/").status_code == 404


def test_the_list_has_the_projects_with_a_file_then(rig: Rig) -> None:
    """Also those that are deleted since; both workers say the same, and follow each change."""
    before = timestamp()
    rig.upload("listed-first")
    between = rig.upload("listed-deleted")
    rig.index().delete("listed-deleted", ALL)
    after = rig.upload("listed-later")

    def names(moment: str, at: str = "") -> set[str]:
        answers = [rig.site.client.get(f"{at}/@{moment}/simple/", headers=FRESH) for _ in range(4)]
        assert {each.content for each in answers} == {answers[0].content}
        return {each["name"] for each in answers[0].json()["projects"] if each["name"].startswith("listed-")}

    assert [names(each) for each in (before, between, after)] == [
        set(),
        {"listed-first", "listed-deleted"},
        {"listed-first", "listed-later"},
    ]
    assert names(between, "/front") == names(between)
    rig.index().empty_trash("listed-deleted", lambda _: True)
    assert names(between) == {"listed-first"}


def test_pages_have_validators_and_both_forms(rig: Rig) -> None:
    """Always asked for again: what is known of the past becomes less."""
    moment = rig.upload("formal")
    for accept in (JSON_V1, HTML_V1):
        answer = rig.site.get(f"/@{moment}/simple/formal/", accept=accept)
        assert (answer.headers["content-type"].split(";")[0], answer.headers["cache-control"]) == (accept, "no-cache")
        again = rig.site.get(f"/@{moment}/simple/formal/", accept=accept, if_none_match=answer.headers["etag"])
        assert again.status_code == 304
    html = rig.site.get(f"/@{moment}/simple/formal/", accept="text/html").text
    assert '<a href="../../../packages/formal/' in html
    assert 'data-core-metadata="sha256=' in html
    rig.index().yank("formal", ALL)  # since: it does not show
    assert rig.site.get(f"/@{moment}/simple/formal/", if_none_match=answer.headers["etag"]).status_code == 200
    assert rig.site.get(f"/@{moment}/simple/formal/", accept=HTML_V1, if_none_match=answer.headers["etag"]).is_redirect


@pytest.mark.parametrize("at", ["", "/front"])
def test_addresses(rig: Rig, at: str) -> None:
    """Each spelling of a moment, percent-encoded or not; names and slashes as at the usual address."""
    moment = rig.upload("spelt")
    whole = moment[:-1]
    plus_two = (datetime.fromisoformat(moment) + timedelta(hours=2)).replace(tzinfo=None).isoformat()
    for spelling in (moment, quote(moment, safe=""), f"{whole}+00:00", f"{plus_two}%2B02:00", f"{plus_two}+02:00"):
        assert rig.site.client.get(f"{at}/@{spelling}/simple/spelt/", headers=FRESH).status_code == 200, spelling
    for path, location in (("spelt", "spelt/"), ("Spelt/", "../spelt/"), ("", "simple/")):
        answer = rig.site.client.get(f"{at}/@{moment}/simple/{path}" if path else f"{at}/@{moment}/simple")
        assert (answer.status_code, answer.headers["location"]) == (301, location)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/@2026-01-01/front/simple/", "comes before the moment: /front/@2026-01-01/simple/"),
        ("/@2026-01-01/front/simple/acme/", "/front/@2026-01-01/simple/acme/"),
        ("/@2026-01-01/front/", "/front/@2026-01-01/simple/"),
        ("/@2026-01-01/nothing/simple/", "/nothing/@2026-01-01/simple/"),
        ("/@2026-01-01/", "are at /@2026-01-01/simple/"),
        ("/front/@2026-01-01/", "are at /front/@2026-01-01/simple/"),
        ("/front/@2026-01-01/main/simple/", "are at /front/@2026-01-01/simple/"),
        ("/@2026-01-01/a/b/c", "are at /@2026-01-01/simple/"),
        ("/@2026-01-01/front/simple/%1b%3Cx", "/front/@2026-01-01/simple/%1B%3Cx"),
    ],
)
def test_other_addresses_name_the_right_one(rig: Rig, path: str, named: str) -> None:
    """Such as those of the other order; whether there is such an index is not said."""
    answer = rig.site.client.get(path)
    assert (answer.status_code, answer.text.count("\n")) == (404, 1)
    assert named in answer.text


@pytest.mark.parametrize("moment", ["2999-01-01", "yesterday", "2026-13-01", "2026-11-01T10:00:00", "%00", "x" * 3000])
def test_silly_moments_are_refused_in_one_sentence(rig: Rig, moment: str) -> None:
    for path in ("simple/", "simple/acme/", "packages/acme/0/a.whl"):
        answer = rig.site.client.get(f"/@{moment}/{path}")
        assert (answer.status_code, answer.text.count("\n")) == (400, 1), answer.text
        assert "moment" in answer.text


@pytest.mark.parametrize("path", ["", "simple/", "legacy/", "upload/", "packages/x"])
@pytest.mark.parametrize("at", ["", "/front"])
def test_uploads_are_refused(rig: Rig, at: str, path: str) -> None:
    form = twine_form(wheel_name("late", "1.0"), make_wheel("late", "1.0"), name="late", version="1.0")
    answer = post(rig.site, form, f"{at}/@2026-01-01/{path}")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert "takes no uploads" in answer.text


def test_rights_are_those_of_the_index(tmp_path: Path) -> None:
    users = password_file(tmp_path, ann="secret")
    with serve(tmp_path, "-P", users, "-a", "update,download,list", "--disable-fallback") as site:
        for path in ("simple/", "simple/acme/", "packages/acme/0/a.whl"):
            assert site.get(f"/@2026-01-01/{path}").status_code == 401
        assert site.client.get("/@2026-01-01/simple/", auth=("ann", "secret")).status_code == 200


def test_trashed_files_can_be_hidden_from_readers(tmp_path: Path) -> None:
    """Of an index and of one behind it: from pages, lists and downloads, for the next request; from all but those that
    may manage the project."""
    users = {"ann": "secret-a", "bob": "secret-b"}
    flags = ("-a", "list,download,update", "-P", password_file(tmp_path, **users), "--disable-fallback")
    with serve(tmp_path, *flags, "--workers", 2) as site:
        ann, bob = (httpx.BasicAuth(user, secret) for user, secret in users.items())

        def quire(*words: str) -> None:
            done = run_quire(*words, "-d", site.root, cwd=tmp_path)
            assert done.returncode == 0, done.stderr

        grants = {
            "1": Grant(subject="user:ann", permissions=("admin",)),
            "2": Grant(subject="user:bob", permissions=("read", "upload")),
        }
        AccessRecords(open_store(str(site.root))).change(
            lambda document: with_fields(document, grants=grants), "grant", {}, Origin(user="ann")
        )
        quire("index", "create", "front", "--behind", "main")
        site.client.auth = ann
        publish_wheel(site, "secret")
        there = timestamp()
        quire("delete", "secret", "--all", "--yes")
        page = site.client.get(f"/@{there}/simple/secret/", headers=FRESH)
        link = page.url.join(page.json()["files"][0]["url"]).path

        def seen(user: httpx.BasicAuth, at: str) -> set[tuple[int, int, int]]:
            found = set()
            for _ in range(4):
                files = site.client.get(f"{at}/@{there}/simple/secret/", headers=FRESH, auth=user).json()["files"]
                names = site.client.get(f"{at}/@{there}/simple/", headers=FRESH, auth=user).json()["projects"]
                found.add((len(files), len(names), site.client.get(f"{at}{link}", auth=user).status_code))
            return found

        for at in ("", "/front"):
            assert seen(ann, at) == seen(bob, at) == {(1, 1, 200)}
        quire("index", "set", "main", "--past-trash", "hidden")
        for at in ("", "/front"):
            assert (seen(bob, at), seen(ann, at)) == ({(0, 0, 404)}, {(1, 1, 200)})
        quire("index", "set", "main", "--past-trash", "shown")
        assert seen(bob, "/front") == {(1, 1, 200)}


def test_hidden_files_are_there_for_those_that_manage_their_project(tmp_path: Path) -> None:
    """Its owners, and principals with the right on it: its page. The list has the name of a deleted project for those
    that manage all of them: a right on some other project tells nothing of this one."""
    users = {"ann": "secret-a", "bob": "secret-b", "cyd": "secret-c"}
    flags = ("-a", "list,download,update", "-P", password_file(tmp_path, **users), "--disable-fallback")
    with serve(tmp_path, *flags) as site:
        grants = {
            "1": Grant(subject="user:ann", permissions=("admin",)),
            "2": Grant(subject="user:bob", permissions=("read",)),
            "3": Grant(subject="user:bob", permissions=("manage",), projects=("acme-*", "?")),
            "4": Grant(subject="user:cyd", permissions=("read", "upload")),
        }
        indexes = {"main": IndexDefinition(new_projects=NewProjects.OWNED, past_trash=PastTrash.HIDDEN)}
        AccessRecords(open_store(str(site.root))).change(
            lambda document: with_fields(document, grants=grants, indexes=indexes), "grant", {}, Origin(user="ann")
        )
        for owner, project in (("ann", "secret"), ("ann", "acme-tool"), ("cyd", "mine")):
            publish_wheel(site, project, authorization=basic(owner, users[owner]))
        there = timestamp()
        for project in ("secret", "acme-tool", "mine"):
            done = run_quire("delete", project, "--all", "--yes", "-d", site.root, cwd=tmp_path)
            assert done.returncode == 0, done.stderr

        def seen(user: str) -> tuple[set[str], set[str]]:
            site.client.auth = httpx.BasicAuth(user, users[user])
            names = site.client.get(f"/@{there}/simple/", headers=FRESH).json()["projects"]
            with_files = {
                project
                for project in ("secret", "acme-tool", "mine")
                if site.client.get(f"/@{there}/simple/{project}/", headers=FRESH).json()["files"]
            }
            return {each["name"] for each in names}, with_files

        assert seen("ann") == ({"secret", "acme-tool", "mine"},) * 2
        assert seen("bob") == (set(), {"acme-tool"})
        assert seen("cyd") == (set(), {"mine"})


def test_no_client_is_sent_to_another_index(tmp_path: Path) -> None:
    """The fallback knows nothing of the moment."""
    flags = ("-a", ".", "-P", ".", "--fallback-url", "http://fallback.invalid/simple/")
    with serve(tmp_path, *flags) as site:
        assert site.get("/simple/elsewhere/").status_code == 303
        assert site.get("/@2026-01-01/simple/elsewhere/").status_code == 404


def test_every_store_knows_the_past(place: str, tmp_path: Path) -> None:
    """Uploaded and deleted by requests, on each kind of store."""
    with serve(tmp_path, *OPEN, place=place) as site:
        publish_wheel(site, "demo")
        there = timestamp()
        form = [(":action", "remove_pkg"), ("name", "demo"), ("version", "1.0")]
        assert post(site, form).status_code == 200
        gone = timestamp()
        assert site.get(f"/@{gone}/simple/demo/", accept=JSON_V1).json()["files"] == []
        page = site.get(f"/@{there}/simple/demo/", accept=JSON_V1)
        (file,) = page.json()["files"]
        assert site.client.get(page.url.join(file["url"])).content == make_wheel("demo", "1.0")


def test_a_stage_shows_both_as_they_were(rig: Rig) -> None:
    first = rig.upload("staged", "1.0")
    second = rig.upload("staged", "2.0", "/pr/")
    assert (rig.versions("staged", first, "/pr"), rig.versions("staged", second, "/pr")) == (["1.0"], ["1.0", "2.0"])
