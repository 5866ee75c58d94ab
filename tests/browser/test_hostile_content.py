"""Hostile contents in a real browser: whatever publishers, owners and addresses say, no page runs it or is broken.

Each page is shown twice: on a narrow phone as it is, where any breach of the policy is an error, and without the
policy, so that it is seen that nothing would run if the policy were not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Dialog, Page, Route

from tests.browser.hostile_site import PASSWORD, USER, Filled, addresses, hostile_site, missing
from tests.browser.watching import Watched, watched
from tests.hostile_content import README_ATTACKS, TEXTS
from tests.web_pages import paths

pytestmark = pytest.mark.browser

_RAN: Final = 'window.ran = () => console.error("a content ran");'
_FORMS: Final = "main form:has(input:not([type]), textarea)"
_FAULTS: Final = (Path(__file__).parent / "faults.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with hostile_site(tmp_path_factory.mktemp("hostile")) as made:
        yield made


@contextmanager
def shown(browser: Browser, filled: Filled, *, has_policy: bool, scripts: bool = True) -> Iterator[Watched]:
    """A page that is logged in; `has_policy`: else the browser ignores the policy of pages."""
    context = browser.new_context(
        viewport={"width": 360 if has_policy else 1280, "height": 800},
        bypass_csp=not has_policy,
        java_script_enabled=scripts,
        reduced_motion="reduce",
    )
    context.add_init_script(_RAN)
    try:
        with watched(context, filled.site.base.rstrip("/")) as found:
            found.page.on("dialog", lambda dialog: _note(found, dialog))
            log_in(found, USER, PASSWORD)
            yield found
    finally:
        context.close()


def log_in(found: Watched, user: str, password: str) -> None:
    assert found.open("/-/login") == 200
    found.page.fill("input[name=user]", user)
    found.page.fill("input[name=password]", password)
    found.page.click("main form button")
    assert user in found.page.inner_text("header nav"), found.page.content()


def _note(found: Watched, dialog: Dialog) -> None:
    found.errors.append(f"a dialog: {dialog.message}")
    dialog.dismiss()


def faults_of(found: Watched, *, is_ours: bool = True, is_typed: bool = False) -> list[str]:
    """All that is wrong with the page that is shown; what was noted is forgotten. `is_typed`: it gives back what its
    reader typed."""
    said = [
        *found.problems,
        *found.overflow()[:3],
        *found.page.evaluate(_FAULTS, {"isOurs": is_ours, "isTyped": is_typed}),
    ]
    found.requests.clear()
    found.errors.clear()
    return said


@pytest.fixture(scope="module", params=[True, False], ids=["with its policy", "without it"])
def visitor(request: pytest.FixtureRequest, browser: Browser, filled: Filled) -> Iterator[Watched]:
    with shown(browser, filled, has_policy=request.param) as found:
        yield found


def _visit(visitor: Watched, addresses: Iterable[str]) -> dict[str, list[str]]:
    """The faults of pages, by their addresses."""
    faults = {}
    for each in addresses:
        status = visitor.open(each)
        is_ours = not visitor.page.url.partition("?")[0].endswith(("/simple/", "/packages/"))
        said = faults_of(visitor, is_ours=is_ours)
        if status not in {200, 304, 400, 401, 403, 404, 410, 414}:
            said.append(f"status {status}")
        if said:
            faults[each] = said[:4]
    return faults


@pytest.mark.rotates("visitor")
@pytest.mark.parametrize("path", paths())
def test_no_page_runs_what_it_shows(visitor: Watched, filled: Filled, path: str) -> None:
    """Every page of the route table, with all that is there and with hostile addresses."""
    assert _visit(visitor, addresses(filled, path)) == {}


def test_no_error_runs_what_it_shows(visitor: Watched) -> None:
    """Pages of addresses that are not there."""
    assert _visit(visitor, missing()) == {}


@pytest.mark.rotates("text")
@pytest.mark.parametrize("text", TEXTS)
def test_words_that_are_typed_are_text(browser: Browser, filled: Filled, text: str) -> None:
    """In the search as they are typed, and in each form that takes words: refused or not, the page says so."""
    words = TEXTS[text][:200]
    with shown(browser, filled, has_policy=True) as found:
        page = found.page
        found.open("/search")
        with page.expect_response(lambda answer: "/search?" in answer.url):
            page.locator("#q").press_sequentially("hostile ")
            page.fill("#q", f"hostile {words}")
        page.wait_for_load_state("networkidle")
        assert faults_of(found) == []
        for address in ("/-/account/", "/project/hostile-00/manage/", "/-/admin/access/", "/-/admin/policy/"):
            found.open(address)
            count = page.locator(_FORMS).count()
            for number in range(count):
                found.open(address)
                if number < page.locator(_FORMS).count():  # a change can have taken a form away
                    _send(page, number, words)
                    assert faults_of(found, is_typed=True) == [], (address, number)


def _send(page: Page, number: int, words: str) -> None:
    """Fill in all words of a form and send it."""
    form = page.locator(_FORMS).nth(number)
    for each in form.locator("input:not([type]), textarea").all():
        each.evaluate("(field, value) => { field.value = value; }", words)
    with page.expect_navigation():
        form.evaluate("(form) => { form.noValidate = true; form.requestSubmit(); }")


@pytest.mark.parametrize("attack", [*list(TEXTS.values())[:4], *README_ATTACKS[:6], "\u202e", "{{ 'ranran' }}ranran"])
def test_a_page_that_shows_contents_as_they_are_is_convicted(browser: Browser, filled: Filled, attack: str) -> None:
    """So the checks above see an attack that succeeds."""

    def answer(route: Route) -> None:
        html = (
            route.fetch().text().replace('<main id="main">', f'<main id="main"><div class="readme">{attack}</div>', 1)
        )
        route.fulfill(body=html, content_type="text/html; charset=utf-8")

    with shown(browser, filled, has_policy=False) as found:
        found.page.route("**/project/readme-plain/", answer)
        found.open("/project/readme-plain/")
        assert faults_of(found) != []
