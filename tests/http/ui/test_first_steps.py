"""The pages as a new user meets them: an empty index, a wrong address, a release that was yanked or deleted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import httpx
import pytest

from quire.config.settings import Settings
from quire.http.ui.usage import tabs_of, usage
from tests.asking import OPEN, password_file, publish_wheel, serve
from tests.http.ui.test_account import log_in
from tests.http.ui.test_manage import BROWSER, LOGIN, MANAGE, basic_of, said, send
from tests.http.ui.test_project import manage

PAGES: Final = {"": "Overview", "manage/": "Manage", "history/": "History", "diff/": "Changes"}
"""Of a project, and the label of each."""


def sections(text: str) -> list[str]:
    """The labels of the bar of a project."""
    return re.findall(r"<a[^>]*>([A-Z][a-z ]+)", text.partition('<nav class="sections"')[2].partition("</nav>")[0])


def main_of(text: str) -> str:
    return text.partition("<main")[2].partition("</main>")[0]


@pytest.mark.parametrize("spelling", ["Acme.Tools", "acme_tools", " ACME--tools "])
def test_a_name_to_confirm_may_have_any_spelling(spelling: str, tmp_path: Path) -> None:
    """PEP 503 has them all for the same project; another name, and what is none, delete nothing."""
    with serve(tmp_path, *OPEN) as site:
        publish_wheel(site, "acme-tools")
        for wrong in ("acme", "acme tools", "§"):
            assert send(site, MANAGE, {"do": "delete-project", "confirmation": wrong}).status_code == 400
        assert said(send(site, MANAGE, {"do": "delete-project", "confirmation": spelling})).startswith("Deleted ")
        assert site.filenames("acme-tools") == []


def test_a_version_to_confirm_may_have_any_spelling(tmp_path: Path) -> None:
    """PEP 440 has 1.0 and 1.0.0 for the same release."""
    with serve(tmp_path, *OPEN) as site:
        publish_wheel(site, "acme-tools", "1.0")
        for wrong in ("1.0.1", "x"):
            assert send(site, MANAGE, {"do": "delete", "version": "1.0", "confirmation": wrong}).status_code == 400
        assert said(send(site, MANAGE, {"do": "delete", "version": "1.0", "confirmation": "v1.0.0"})).startswith(
            "Deleted "
        )


def test_the_home_page_of_an_empty_index(tmp_path: Path) -> None:
    """It has the steps under a heading that is seen, and counts nothing; so does an empty search."""
    with serve(tmp_path, *OPEN) as site:
        text = main_of(site.get("/", accept=BROWSER).text)
        assert "<h2>The first package in three steps</h2>" in text
        assert "0 files" not in text
        assert "Newest releases" not in text
        found = main_of(site.get("/search", accept=BROWSER).text)
        assert "Nothing is published yet." in found
        assert "Fewer words" not in found
        assert "Fewer words" in site.get("/search?q=acme", accept=BROWSER).text
        publish_wheel(site, "acme-tools")
        assert "Nothing is published yet." not in site.get("/search", accept=BROWSER).text


def test_the_home_page_leads_to_the_login_and_to_tokens(tmp_path: Path) -> None:
    """Where a login is needed to publish, and not where none is."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, *LOGIN) as site:
        assert '<a href="/-/login?next=/">Log in</a>' in main_of(site.get("/", accept=BROWSER).text)
        with httpx.Client(base_url=site.base, headers={"accept": BROWSER}) as client:
            assert log_in(client, "alice", "secret").status_code == 303
            text = main_of(client.get("/").text)
        assert '<a href="/-/account/">' in text
        assert "Log in" not in text
        assert "QUIRE_PASSWORD" in text
    with serve(tmp_path, *OPEN) as site:
        text = main_of(site.get("/", accept=BROWSER).text)
        assert "Log in" not in text
        assert "/-/account/" not in text


def test_an_open_index_asks_for_no_secrets() -> None:
    """The tools want a user and a password all the same: the lines have some that work."""
    url = "https://packages.example/"
    settings = Settings(directories=("/packages",), authenticate=())
    tabs = dict(tabs_of(usage(url, settings, read_only=False), "main", url, settings, is_only=True).publish)
    for title in (".pypirc", "GitHub Actions", "GitLab CI"):
        (lines,) = tabs[title]
        assert not re.search("secret|QUIRE_|TOKEN", lines), lines
        assert lines.count(" any") == 2


def test_a_release_that_is_not_there(tmp_path: Path) -> None:
    """Its page leads to the releases that there are, in words for people."""
    with serve(tmp_path, *OPEN) as site:
        for version in ("1.0", "9.8"):
            publish_wheel(site, "acme-tools", version)
        answer = site.get("/project/acme-tools/9.9/", accept=BROWSER)
        assert answer.status_code == 404
        text = main_of(answer.text)
        assert "/pypi/" not in text
        assert "acme-tools has no release 9.9." in text
        assert '<a href="/project/acme-tools/9.8/">9.8</a>' in text
        assert '<a href="/project/acme-tools/#releases">' in text
        nowhere = main_of(site.get("/project/nowhere/", accept=BROWSER).text)
        assert '<a href="/simple/">all projects</a>' in nowhere


def test_a_project_in_the_trash_is_restored_by_a_page(tmp_path: Path) -> None:
    """The page of the project that is not there any more leads its manager to the trash, and tells no other reader."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, *LOGIN) as site:
        alice = basic_of("alice")
        publish_wheel(site, "acme-tools", authorization=alice)
        send(site, MANAGE, {"do": "delete-project", "confirmation": "acme-tools"}, authorization=alice)
        answer = site.get("/project/acme-tools/", accept=BROWSER, authorization=alice)
        assert answer.status_code == 404
        assert f'href="{MANAGE}"' in answer.text
        assert MANAGE not in site.get("/project/acme-tools/", accept=BROWSER).text
        assert MANAGE not in site.get("/project/nowhere/", accept=BROWSER, authorization=alice).text
        assert site.get("/project/nowhere/manage/", accept=BROWSER, authorization=alice).status_code == 404
        page = site.get(MANAGE, accept=BROWSER, authorization=alice)
        (filename,) = re.findall(r'name="filename" value="([^"]+)"', page.text)
        restored = send(site, MANAGE, {"do": "restore", "filename": filename}, authorization=alice)
        assert said(restored) == f"Published {filename} again."


def test_the_newest_release_is_yanked(tmp_path: Path) -> None:
    """Its page names the one that installers take, and the page for owners has the reason."""
    with serve(tmp_path, *OPEN) as site:
        for version in ("1.0", "2.0", "3.0rc1"):
            publish_wheel(site, "acme-tools", version)
        page = send(site, MANAGE, {"do": "yank", "version": "2.0", "reason": "loses <rows>"}).text
        assert "yanked: loses &lt;rows&gt;" in page
        newer = main_of(site.get("/project/acme-tools/2.0/", accept=BROWSER).text)
        assert "Newest release that is not yanked:" in newer
        assert "This is not the newest release." not in newer
        assert "Newest final release:" in site.get("/project/acme-tools/3.0rc1/", accept=BROWSER).text
        bars = [sections(site.get(f"/project/acme-tools/{path}", accept=BROWSER).text) for path in PAGES]
        assert bars == [["Overview", "Files", "Releases", "Changes", "Used by", "History", "Manage"]] * 4
        for path, label in PAGES.items():
            text = site.get(f"/project/acme-tools/{path}", accept=BROWSER).text
            assert re.findall(r'aria-current="page">([A-Z]\w+)', text) == [label]


def test_a_project_that_is_held_back_as_a_whole(tmp_path: Path) -> None:
    """It has releases, though none is offered."""
    with serve(tmp_path, *OPEN) as site:
        for version in ("1.0", "2.0"):
            publish_wheel(site, "acme-tools", version)
        for file in site.listing("acme-tools")["files"]:
            manage(site, "policy", "block", file["hashes"]["sha256"], "--reason", "bad")
        text = main_of(site.get("/project/acme-tools/", accept=BROWSER).text)
        assert "2 releases, all held back." in text
        assert "has no releases" not in text
