"""Every page on desktop and phone, light and dark, with and without scripts; by keyboard; and its copy buttons."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.asking import OPEN, Site, password_file, serve
from tests.browser.conftest import VARIANTS, new_context
from tests.browser.content import WHEEL
from tests.browser.watching import Watched, watched
from tests.http.ui.test_admin import LOGIN, OF_THE_SERVER, begun
from tests.http.ui.test_admin import PAGES as ADMIN_PAGES
from tests.serving import until
from tests.upstreams import serving_index

pytestmark = pytest.mark.browser

_INSIDE: Final = f"/project/acme-tools/2.4.1/files/{WHEEL}/"
PAGES: Final = {
    "home": ("/", 200),
    "index": ("/index/main/", 200),
    "advisory": ("/-/advisories/ACME-2026-1/", 200),
    "project-affected": ("/project/acme-core/", 200),
    "error": ("/nowhere/at/all", 404),
    "project": ("/project/acme-tools/", 200),
    "release-yanked": ("/project/acme-tools/2.4.0/", 200),
    "project-archived": ("/project/acme-billing/", 200),
    "project-unknown": ("/project/acme-tool/", 404),
    "project-long-name": (f"/project/{'a' * 80}/", 200),
    "diff": ("/project/acme-tools/diff/?from=2.4.0&to=2.4.1", 200),
    "used-by": ("/project/acme-core/used-by/", 200),
    "manage": ("/project/acme-tools/manage/", 200),
    "history": ("/project/acme-tools/history/", 200),
    "search": ("/search?q=acme", 200),
    "search-nothing": ("/search?q=zzzzqqq", 200),
    "inside": (_INSIDE, 200),
    "inside-folder": (f"{_INSIDE}acme_tools/deep/", 200),
    "inside-text": (f"{_INSIDE}acme_tools/hostile.html", 200),
    "inside-long": (f"{_INSIDE}acme_tools/deep/folder/of/one/file.py", 200),
    "inside-wide": (f"{_INSIDE}acme_tools/wide.txt", 200),
    "inside-binary": (f"{_INSIDE}acme_tools/logo.png", 200),
}
"""The address and the status of each page of the web interface."""
LISTS: Final = ("/simple/", "/simple/acme-tools/", "/packages/")
"""Lists for installers, which browsers show too. Their bytes are given by standards, so they have no look."""

_FOCUSED: Final = """() => {
    const outlined = (style) => style.outlineStyle !== "none" && style.outlineWidth !== "0px";
    const each = document.activeElement;
    if (!each || each === document.body) { return null; }
    const styles = [each, ...(each.labels ?? [])].map((shown) => getComputedStyle(shown));
    each.dataset.wasFocused = "";
    return {what: each.outerHTML.slice(0, 120), visible: styles.some(outlined)};
}"""
_MISSED: Final = """() => [...document.querySelectorAll(
        "a[href], button, input, select, textarea, summary, [tabindex='0']")]
    .filter((each) => each.checkVisibility() && !("wasFocused" in each.dataset))
    .filter((each) => !each.disabled && each.type !== "hidden" && !(each.type === "radio" && !each.checked))
    .map((each) => each.outerHTML.slice(0, 120))"""


@pytest.fixture
def shown(context: BrowserContext, site: Site) -> Iterator[Watched]:
    with watched(context, site.base.rstrip("/")) as page:
        yield page


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_usable_and_stays_on_its_site(shown: Watched, name: str, axe: str, variant: str) -> None:
    """axe-core finds nothing, nothing is wider than the window, no request leaves the site, no policy is broken."""
    path, status = PAGES[name]
    assert shown.open(path) == status
    shown.picture(f"{name}-{variant}")
    assert shown.page.title() not in {"", "ran"}
    assert shown.problems == []
    assert shown.overflow() == []
    assert shown.violations(axe) == []


def test_pages_of_users_and_operators(browser: Browser, tmp_path: Path, axe: str, variant: str) -> None:
    """The login is a form in the browser, and the pages behind it are as usable as those for all."""
    password_file(tmp_path, alice="secret", bob="secret")
    with (
        serving_index() as upstream,
        serve(tmp_path, *LOGIN, "--upstream", upstream.url, "--workers", 2, NO_PROXY="*") as site,
        new_context(browser, VARIANTS[variant]) as context,
        watched(context, site.base.rstrip("/")) as shown,
    ):
        begun(tmp_path, site)
        found = {"login": _faults(shown, "/-/login", axe, f"login-{variant}")}
        shown.page.fill("input[name=user]", "alice")
        shown.page.fill("input[name=password]", "secret")
        shown.page.click("main form button")
        assert "alice" in shown.page.inner_text("header")
        for path in ("/-/account/", *ADMIN_PAGES, *OF_THE_SERVER):
            found[path] = _faults(shown, path, axe, f"{path.strip('/-').replace('/', '-')}-{variant}")
        found["jobs"] = _a_job(shown, axe, f"admin-jobs-done-{variant}")
        found["tried policy"] = _tried_policy(shown, axe, f"admin-policy-tried-{variant}")
        assert {path: faults for path, faults in found.items() if faults} == {}


def _a_job(shown: Watched, axe: str, name: str) -> list[str]:
    """A search for garbage is begun; the page shows its end by itself, or by its link without scripts."""
    page = shown.page
    shown.open("/-/admin/jobs/")
    page.click("button:has-text('See what can be removed')")
    assert "removes nothing" in page.inner_text("main [role=status]")

    def is_over() -> bool:
        refresh = page.locator("a:has-text('Refresh')")
        if refresh.count() and not page.evaluate("'htmx' in window"):
            refresh.click()
        return page.locator("button:has-text('Remove what can be removed now')").count() > 0

    until(is_over)
    shown.picture(name)
    return [*shown.problems, *shown.overflow(), *shown.violations(axe)]


def _tried_policy(shown: Watched, axe: str, name: str) -> list[str]:
    """A change is tried, and put in force by the button that follows."""
    page = shown.page
    shown.open("/-/admin/policy/")
    page.click("summary:has-text('Names')")
    page.fill("input[name=deny]", "acme-*")
    page.fill("textarea[name=releases]", "acme-tools")
    page.click("button:has-text('Try it')")
    assert "would be held back" in page.inner_text("main [role=status]")
    shown.picture(name)
    found = [*shown.problems, *shown.overflow(), *shown.violations(axe)]
    page.click("button:has-text('Put this change in force')")
    assert "counts for the next request" in page.inner_text("main [role=status]")
    return found


def _faults(shown: Watched, path: str, axe: str, name: str) -> list[str]:
    assert shown.open(path) == 200
    shown.picture(name)
    return [*shown.problems, *shown.overflow(), *shown.violations(axe)]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_needs_no_scripts(browser: Browser, site: Site, name: str) -> None:
    """In a browser that runs none, no control that needs one is shown, and each tab can be chosen."""
    with (
        browser.new_context(java_script_enabled=False) as context,
        watched(context, site.base.rstrip("/")) as shown,
    ):
        assert shown.open(PAGES[name][0]) == PAGES[name][1]
        page = shown.page
        assert not [each for each in page.locator(".needs-script").all() if each.is_visible()]
        for number, label in enumerate(page.locator(".install:first-of-type > label").all()):
            label.click()
            assert page.locator(".install:first-of-type > div").nth(number).is_visible()
        assert shown.problems == []


@pytest.mark.parametrize("path", LISTS)
def test_lists_for_installers_stay_on_their_site(shown: Watched, path: str) -> None:
    """They load nothing."""
    assert shown.open(path) == 200
    assert shown.problems == []
    assert [url for url in shown.requests if not url.endswith("/favicon.ico")] == [shown.page.url]


def test_an_empty_index_leads_to_the_first_package(
    context: BrowserContext, tmp_path: Path, axe: str, variant: str
) -> None:
    """In three steps."""
    with serve(tmp_path, *OPEN) as site, watched(context, site.base.rstrip("/")) as shown:
        assert shown.open("/") == 200
        shown.picture(f"empty-{variant}")
        assert "Publish it" in shown.page.inner_text("main")
        assert (shown.problems, shown.overflow(), shown.violations(axe)) == ([], [], [])


@pytest.mark.parametrize("name", PAGES)
def test_the_keyboard_reaches_every_control(desktop: BrowserContext, site: Site, name: str) -> None:
    """Each has a visible focus; the first one leads to the content."""
    with watched(desktop, site.base.rstrip("/")) as shown:
        shown.open(PAGES[name][0])
        page = shown.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: url.endswith("#main"))
        page.goto("about:blank")
        shown.open(PAGES[name][0])
        stops = _stops(page)
        assert [stop["what"] for stop in stops if not stop["visible"]] == []
        assert page.evaluate(_MISSED) == []


def _stops(page: Page) -> list[dict[str, object]]:
    """Where the tabulator goes, up to the end of the page."""
    stops: list[dict[str, object]] = []
    for _ in range(500):
        page.keyboard.press("Tab")
        stop = page.evaluate(_FOCUSED)
        if stop is None:
            return stops
        stops.append(stop)
    raise AssertionError("the focus goes round within the page")


def test_copy_buttons_copy_their_line(desktop: BrowserContext, site: Site) -> None:
    """Those of every tab."""
    desktop.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.base.rstrip("/"))
    with watched(desktop, site.base.rstrip("/")) as shown:
        shown.open("/")
        page = shown.page
        copied = 0
        for label in page.locator(".install > label").all():
            label.click()
            for button in page.locator("button[data-copy]:visible").all():
                button.click()
                page.wait_for_function(
                    "(button) => button.textContent === button.dataset.done", arg=button.element_handle()
                )
                wanted = page.locator(f"#{button.get_attribute('data-copy')}").text_content()
                assert page.evaluate("navigator.clipboard.readText()") == wanted
                copied += 1
        assert copied >= 8
        assert shown.problems == []


def test_light_and_dark_by_choice(desktop: BrowserContext, site: Site) -> None:
    """The button changes it, and the browser remembers it."""
    with watched(desktop, site.base.rstrip("/")) as shown:
        shown.open("/")
        page = shown.page
        colour = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(colour)
        page.click("[data-theme-toggle]")
        dark = page.evaluate(colour)
        assert dark != light
        shown.open("/nowhere")
        assert page.evaluate(colour) == dark
        page.click("[data-theme-toggle]")
        assert page.evaluate(colour) == light


def test_the_slash_goes_to_the_search(desktop: BrowserContext, site: Site) -> None:
    """But not while something is written."""
    with watched(desktop, site.base.rstrip("/")) as shown:
        shown.open(PAGES["inside"][0])
        shown.page.keyboard.press("/")
        shown.page.keyboard.type("acme/tools")
        assert shown.page.input_value("input[type=search]") == "acme/tools"
