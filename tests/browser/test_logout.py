"""Browsers after a logout: they keep nothing that its next user can go back to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, expect

from tests.asking import password_file, publish_wheel, serve
from tests.browser.rig import CHROMIUM
from tests.http.ui.test_manage import basic_of, make_admin

pytestmark = pytest.mark.browser
PAGES = (
    "/project/acme-secret/",
    "/-/admin/log/",
    "/project/acme-secret/history/",
    "/-/admin/access/",
    "/search?q=acme",
)


@pytest.fixture(params=["with pages kept for going back", "without"])
def chromium(request: pytest.FixtureRequest, playwright: Playwright) -> Iterator[Browser]:
    """Browsers keep whole pages for going back; playwright turns that off."""
    keeps = request.param != "without"
    launched = playwright.chromium.launch(
        executable_path=CHROMIUM,
        ignore_default_args=["--disable-back-forward-cache"] if keeps else None,
    )
    yield launched
    launched.close()


def test_going_back_after_a_logout_shows_no_page_of_the_user(chromium: Browser, tmp_path: Path) -> None:
    """Neither from the pages that the browser keeps, nor from its cache."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, "-a", "list,download,update", "-P", "users") as site, chromium.new_context() as context:
        make_admin(tmp_path, "alice", alone=True)
        publish_wheel(site, "acme-secret", authorization=basic_of("alice"))
        page = context.new_page()
        base = site.base.rstrip("/")
        page.goto(f"{base}/-/login")
        page.fill("input[name=user]", "alice")
        page.fill("input[name=password]", "secret")
        page.click("main form button")
        for path in PAGES:
            page.goto(f"{base}{path}")
            assert "alice" in page.inner_text("header"), path
        page.goto(f"{base}/-/account/")
        page.click("form[action$='/-/logout'] button")
        expect(page.locator("html")).not_to_contain_text("alice")
        for _ in range(len(PAGES) + 1):
            with page.expect_event("framenavigated"):
                page.evaluate("setTimeout(() => history.back(), 0)")  # by itself it may end before it is answered
            expect(page.locator("html")).not_to_contain_text("alice")
            expect(page.locator("html")).not_to_contain_text("acme-secret")
