"""The page for owners: trusted publishers, the name of a project, its promotion; and the entries that changes leave."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import httpx

from tests.asking import OPEN, Site, password_file, post, publish_wheel, serve, twine_form
from tests.distributions import make_wheel, wheel_name
from tests.http.ui.test_account import HTML, browser, log_in
from tests.http.ui.test_manage import BROWSER, LOGIN, MANAGE, basic_of, make_admin, said, send


def entry(site: Site, answer: httpx.Response, **headers: str) -> str:
    """The row of the log to which the result of a form leads, as text."""
    link = re.search(r'<a href="([^"]+)">See it in the log</a>', answer.text)
    assert link is not None, answer.text
    address, _, anchor = unescape(link[1]).partition("#")
    page = site.get(address, accept=BROWSER, **headers)
    assert page.status_code == 200, page.text
    row = re.search(rf'<tr id="{anchor}">.*?</tr>', page.text, re.DOTALL)
    assert row is not None, page.text
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", row[0])).split())


def test_each_change_leads_to_its_entry(tmp_path: Path) -> None:
    """Also of two changes that are alike; the log has the minute, and the whole time for programs."""
    with serve(tmp_path, *OPEN) as site:
        publish_wheel(site, "acme-tools", "1.0")
        publish_wheel(site, "acme-tools", "2.0")
        for version in ("1.0", "2.0"):
            answer = send(site, MANAGE, {"do": "yank", "version": version, "reason": f"bad {version}"})
            row = entry(site, answer)
            assert row.startswith("yank ")
            assert f"reason bad {version}" in row
            assert re.search(r"20\d\d-\d\d-\d\d \d\d:\d\d UTC$", row)
        page = site.get("/project/acme-tools/history/", accept=BROWSER).text
        assert re.search(r'<time datetime="20[0-9-]+T[0-9:]+\.[0-9]{6}Z">20[0-9-]+ [0-9:]{5} UTC</time>', page)


def test_a_form_that_fails_keeps_what_was_typed(tmp_path: Path) -> None:
    """In the form that was sent, and in no other one."""
    with serve(tmp_path, *OPEN) as site:
        publish_wheel(site, "acme-tools", "1.0")
        publish_wheel(site, "acme-tools", "2.0")
        wrong = send(site, MANAGE, {"do": "delete", "version": "1.0", "confirmation": "<1.1>"})
        assert wrong.status_code == 400
        assert wrong.text.count('value="&lt;1.1&gt;"') == 1
        assert wrong.text.count("<details open>") == 1
        reason = send(site, MANAGE, {"do": "status", "status": "archived", "reason": "x" * 20_000})
        assert reason.status_code == 400
        assert "<option selected>archived</option>" in reason.text
        assert "x" * 20_000 in reason.text
        owner = send(site, MANAGE, {"do": "delete-project", "confirmation": "acme"})
        assert owner.text.count('value="acme"') == 1
        good = send(site, MANAGE, {"do": "yank", "version": "1.0", "reason": "bad"})
        assert "<details open>" not in good.text


def test_publishers(tmp_path: Path) -> None:
    """An administrator trusts a workflow, and ends that; a reader that is none sees nothing of it."""
    password_file(tmp_path, alice="secret", bob="secret")
    with serve(tmp_path, *LOGIN) as site:
        alice, bob = basic_of("alice"), basic_of("bob")
        make_admin(tmp_path, "alice")
        publish_wheel(site, "acme-tools", authorization=alice)
        page = site.get(MANAGE, accept=BROWSER, authorization=bob)
        assert page.status_code == 200
        assert "Trusted publishers" not in page.text
        fields = {"do": "add-publisher", "platform": "github", "repository": "acme/tools", "workflow": "release.yml"}
        refused = send(site, MANAGE, fields, authorization=bob)
        assert refused.status_code == 403
        added = send(site, MANAGE, fields, authorization=alice)
        assert said(added).startswith("Added the publisher GitHub acme/tools release.yml: from its next run on, its ")
        row = entry(site, added, authorization=alice)
        assert row.startswith("publisher-add alice ")
        assert said(send(site, MANAGE, fields, authorization=alice)).startswith("There was already the publisher ")
        listed = site.client.get("/-/api/v1/publishers", headers={"authorization": alice}).json()["publishers"]
        assert [(each["projects"], each["settings"]["workflow"]) for each in listed] == [
            (["acme-tools"], "release.yml")
        ]
        removed = send(site, MANAGE, {"do": "remove-publisher", "id": listed[0]["id"]}, authorization=alice)
        assert "is removed: the next request" in said(removed)
        assert entry(site, removed, authorization=alice).startswith("rights publisher-remove alice publishers ")
        assert site.client.get("/-/api/v1/publishers", headers={"authorization": alice}).json()["publishers"] == []


def test_publishers_of_every_platform(tmp_path: Path) -> None:
    """Each has its fields; what is wrong with them is said, and what was typed stays."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, *LOGIN) as site:
        alice = basic_of("alice")
        make_admin(tmp_path, "alice")
        publish_wheel(site, "acme-tools", authorization=alice)
        for platform, field in (("gitlab", "repository"), ("circleci", "ci_project"), ("oidc", "issuer")):
            page = site.get(f"{MANAGE}?platform={platform}", accept=BROWSER, authorization=alice).text
            assert f'name="platform" value="{platform}"' in page
            assert f'name="{field}"' in page
        assert (
            'name="platform" value="github"'
            in site.get(f"{MANAGE}?platform=<b>", accept=BROWSER, authorization=alice).text
        )
        wrong = {"do": "add-publisher", "platform": "gitlab", "repository": "acme", "workflow": ".gitlab-ci.yml"}
        answer = send(site, MANAGE, wrong, authorization=alice)
        assert answer.status_code == 400
        assert said(answer) == "'acme' is no project; write it as GROUP/NAME, with all of its groups."
        assert 'name="platform" value="gitlab"' in answer.text
        assert 'value=".gitlab-ci.yml"' in answer.text
        for fields, sentence in (
            ({"platform": "github", "repository": "acme/tools"}, "A publisher of GitHub needs the workflow."),
            ({"platform": "<b>"}, "'<b>' is no platform; use "),
            (wrong | {"claims": "id"}, "'id' is no claim; write it as NAME=VALUE."),
        ):
            answer = send(site, MANAGE, {**fields, "do": "add-publisher"}, authorization=alice)
            assert answer.status_code == 400
            assert said(answer).startswith(sentence)


def test_a_publisher_of_more_projects_is_shown_with_all_of_them(tmp_path: Path) -> None:
    """It is removed for all of them, so the page says for which; one of other projects is not listed."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, *LOGIN) as site:
        alice = basic_of("alice")
        make_admin(tmp_path, "alice")
        publish_wheel(site, "acme-tools", authorization=alice)
        for projects, workflow in ((["acme-*", "other"], "both.yml"), (["other"], "one.yml")):
            body = {
                "platform": "github",
                "settings": {"repository": "acme/tools", "workflow": workflow},
                "projects": projects,
            }
            added = site.client.post("/-/api/v1/publishers", json=body, headers={"authorization": alice})
            assert added.status_code == 200, added.text
        page = site.get(MANAGE, accept=BROWSER, authorization=alice).text
        assert "for all of acme-*, other" in page
        assert "both.yml" in page
        assert "one.yml" not in page


def test_the_name(tmp_path: Path) -> None:
    """An administrator keeps it for the index, and gives that up again."""
    password_file(tmp_path, alice="secret", bob="secret")
    with serve(tmp_path, *LOGIN) as site:
        alice, bob = basic_of("alice"), basic_of("bob")
        make_admin(tmp_path, "alice")
        publish_wheel(site, "acme-tools", authorization=alice)
        assert "The name" not in site.get(MANAGE, accept=BROWSER, authorization=bob).text
        assert send(site, MANAGE, {"do": "claim"}, authorization=bob).status_code == 403
        kept = send(site, MANAGE, {"do": "claim"}, authorization=alice)
        assert said(kept) == "The index main keeps the name acme-tools for itself now."
        assert entry(site, kept, authorization=alice).startswith("index index-set alice ")
        assert said(send(site, MANAGE, {"do": "claim"}, authorization=alice)).endswith(" already.")
        released = send(site, MANAGE, {"do": "release"}, authorization=alice)
        assert said(released).startswith("The index main keeps the name acme-tools no more.")
        claimed = site.client.post("/-/api/v1/indexes/-", json={"claim": ["acme-*"]}, headers={"authorization": alice})
        assert claimed.status_code == 200, claimed.text
        assert "by the pattern acme-*" in site.get(MANAGE, accept=BROWSER, authorization=alice).text


def test_the_promotion_of_a_project(tmp_path: Path) -> None:
    """First what it would do, then what it did; other projects of the stage stay in it. With a session."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, *LOGIN, "-v") as site:
        alice = basic_of("alice")
        make_admin(tmp_path, "alice")
        made = site.client.post(
            "/-/api/v1/indexes", json={"name": "pr-1", "in_front_of": "main"}, headers={"authorization": alice}
        )
        assert made.status_code == 200, made.text
        for name in ("acme-tools", "acme-core"):
            filename = wheel_name(name, "1.0")
            form = twine_form(filename, make_wheel(name, "1.0"), name=name, version="1.0")
            assert post(site, form, "/pr-1/", authorization=alice).status_code == 200
        with browser(site) as client:
            log_in(client, "alice", "secret")
            page = client.get("/pr-1/project/acme-tools/manage/")
            token = re.search(r'name="token" value="([^"]+)"', page.text)
            assert token is not None, page.text
            assert "Promote acme-tools into main" not in page.text
            fields = {"token": token[1]}
            planned = client.post(page.url.path, data=fields | {"do": "plan-promotion"}, headers=HTML)
            assert said(planned) == "Would publish acme_tools-1.0-py3-none-any.whl into main."
            assert "Promote acme-tools into main" in planned.text
            assert "See it in the log" not in planned.text
            assert site.projects() == []
            done = client.post(page.url.path, data=fields | {"do": "promote"}, headers=HTML)
            assert said(done) == "Published acme_tools-1.0-py3-none-any.whl into main."
            row = entry(site, done, authorization=alice)
            assert row.startswith("publish alice ")
            assert "promoted from pr-1" in row
            assert "/main/" not in done.text
            again = client.post(page.url.path, data=fields | {"do": "plan-promotion"}, headers=HTML)
            assert (again.status_code, said(again)) == (
                404,
                "The index pr-1 has no files of acme-tools to promote.",
            )
        assert site.filenames("acme-tools") == ["acme_tools-1.0-py3-none-any.whl"]
        assert site.projects() == ["acme-tools"]
        assert "Promotion" not in site.get(MANAGE, accept=BROWSER, authorization=alice).text
