"""Every action of people on their account and their projects: light and dark, on desktop and phone, with scripts and
without, and by the keyboard alone. Each state between is as usable as any page, and leaves a picture.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.asking import Site, password_file, post, publish_wheel, serve, twine_form
from tests.browser.conftest import VARIANTS, Variant, new_context
from tests.browser.watching import Watched, watched
from tests.distributions import make_wheel, wheel_name
from tests.http.ui.test_account import TOKEN
from tests.http.ui.test_manage import LOGIN, basic_of, make_admin

pytestmark = pytest.mark.browser

ALICE: Final = basic_of("alice")
MANAGE: Final = "/project/acme-tools/manage/"
_MOST_STOPS: Final = 300


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A project with two releases, which alice owns and administers; and a stage with a release of another one."""
    password_file(tmp_path, alice="secret", bob="secret")
    with serve(tmp_path, *LOGIN, "--disable-fallback", "--web-title", "Acme packages") as site:
        make_admin(tmp_path, "alice")
        for path, body in (
            ("indexes/-", {"new_projects": "owned"}),
            ("indexes", {"name": "pr-1", "in_front_of": "main"}),
        ):
            answer = site.client.post(f"/-/api/v1/{path}", json=body, headers={"authorization": ALICE})
            assert answer.status_code == 200, answer.text
        for version in ("1.0", "2.0"):
            publish_wheel(site, "acme-tools", version, authorization=ALICE)
        form = twine_form(
            wheel_name("acme-next", "1.0"), make_wheel("acme-next", "1.0"), name="acme-next", version="1.0"
        )
        assert post(site, form, "/pr-1/", authorization=ALICE).status_code == 200
        yield site


class Person:
    """A person at a browser. It examines each page."""

    def __init__(self, shown: Watched, axe: str | None, variant: str) -> None:
        """`axe`: None in a browser that runs no script of a test either."""
        self.shown = shown
        self.page = shown.page
        self._axe = axe
        self._variant = variant

    def examines(self, name: str) -> None:
        """Keep a picture, and find nothing that is wrong with the page."""
        self.shown.picture(f"{name}-{self._variant}")
        assert self.shown.problems == []
        if self._axe is not None:
            assert self.shown.overflow() == []
            assert self.shown.violations(self._axe) == []

    def logs_in(self, user: str, password: str) -> None:
        self.shown.open("/-/login?next=/-/account/")
        self.page.fill("input[name=user]", user)
        self.page.fill("input[name=password]", password)
        self.page.click("main form button")

    def presses(self, label: str) -> None:
        """A button with exactly this label."""
        self.page.get_by_role("button", name=label, exact=True).click()

    def reads(self, *words: str) -> None:
        """The result of a form has these words."""
        result = self.page.locator("main [role=status], main [role=alert]").first
        for each in words:
            expect(result).to_contain_text(each)

    def opens_release(self, version: str) -> None:
        release = self.page.locator("details", has=self.page.get_by_text(f"Change {version}", exact=True))
        if release.get_attribute("open") is None:
            release.locator("summary").click()

    def follows_to_the_log(self, action: str) -> None:
        """The link leads to the entry itself, which stands out."""
        self.page.get_by_role("link", name="See it in the log").click()
        row = self.page.locator("tr:target")
        expect(row).to_contain_text(action)
        expect(row).to_contain_text("alice")
        expect(row).to_be_in_viewport()


@contextmanager
def person(
    browser: Browser, site: Site, axe: str | None, variant: str, *, runs_scripts: bool = True
) -> Iterator[Person]:
    kind: Variant = VARIANTS[variant]
    with (
        new_context(browser, kind, runs_scripts=runs_scripts) as context,
        watched(context, site.base.rstrip("/")) as shown,
    ):
        yield Person(shown, axe, variant if runs_scripts else f"{variant}-none")


@pytest.fixture
def alice(browser: Browser, site: Site, axe: str, variant: str) -> Iterator[Person]:
    with person(browser, site, axe, variant) as found:
        found.logs_in("alice", "secret")
        yield found


def test_logins(browser: Browser, site: Site, axe: str, variant: str) -> None:
    """With a wrong password, which keeps the name; the right one; and, after the way out, a token."""
    body = {"rights": ["read"], "note": "laptop"}
    made = site.client.post("/-/api/v1/tokens", json=body, headers={"authorization": ALICE})
    with person(browser, site, axe, variant) as someone:
        page = someone.page
        someone.logs_in("alice", "wrong")
        someone.reads("The user name or the password is wrong.")
        expect(page.locator("input[name=user]")).to_have_value("alice")
        expect(page.locator("input[name=password]")).to_have_value("")
        someone.examines("login-wrong")
        page.fill("input[name=password]", "secret")
        page.click("main form button")
        expect(page.locator("#user")).to_have_text("alice")
        someone.examines("account-empty")
        someone.presses("Log out in all browsers")
        expect(page.locator("header")).to_contain_text("Log in")
        someone.logs_in("", made.json()["text"])
        expect(page.locator("main")).to_contain_text("You are logged in with the token")
        someone.examines("account-token")


def test_own_tokens(alice: Person, variant: str) -> None:
    """Made, shown once, copied, and revoked; a form that fails keeps what was typed."""
    page = alice.page
    page.fill("input[name=note]", "CI of acme")
    page.uncheck("input[name=right][value=read]")
    page.fill("input[name=projects]", "not a name!")
    page.select_option("select[name=days]", "30")
    alice.presses("Make the token")
    alice.reads("right")
    expect(page.locator("input[name=note]")).to_have_value("CI of acme")
    expect(page.locator("input[name=projects]")).to_have_value("not a name!")
    expect(page.locator("select[name=days]")).to_have_value("30")
    alice.examines("account-failed")
    page.check("input[name=right][value=upload]")
    page.fill("input[name=projects]", "acme-*")
    alice.presses("Make the token")
    alice.reads("This is the only time that this token is shown.")
    text = page.locator("#made").text_content() or ""
    assert TOKEN.fullmatch(text)
    alice.examines("account-made")
    if VARIANTS[variant].scripts:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=alice.shown.origin)
        button = page.locator("button[data-copy=made]")
        button.click()
        expect(button).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == text
    alice.shown.open("/-/account/")
    assert text not in page.content()
    identity = text.split("_")[1]
    expect(page.locator("main table")).to_contain_text(identity)
    alice.examines("account-tokens")
    alice.presses(f"Revoke {identity}")
    expect(page.locator("main")).to_contain_text(f"The token {identity} is revoked")
    expect(page.get_by_role("button", name=f"Revoke {identity}")).to_have_count(0)
    alice.examines("account-revoked")


def releases(alice: Person) -> None:
    """Yank, offer again, delete with a wrong and the right version, restore."""
    page = alice.page
    alice.shown.open(MANAGE)
    alice.examines("manage")
    alice.opens_release("1.0")
    page.locator("details[open] input[name=reason]").fill("loses rows on retry")
    alice.examines("manage-release")
    alice.presses("Yank 1.0")
    alice.reads("Yanked ", "installers take it only where a lock file or == names it")
    alice.examines("manage-yanked")
    alice.follows_to_the_log("yank")
    alice.examines("history-entry")
    page.go_back()
    page.reload()
    expect(page.locator("main [role=status]")).to_have_count(0)
    alice.opens_release("1.0")
    alice.presses("Offer 1.0 again")
    alice.reads("Took the yanked mark")
    alice.opens_release("1.0")
    page.get_by_label("Type 1.0 to delete it").fill("1.1")
    alice.presses("Delete 1.0")
    alice.reads("Nothing was deleted: type the version, 1.0, to confirm.")
    expect(page.get_by_label("Type 1.0 to delete it")).to_have_value("1.1")
    alice.examines("manage-wrong")
    page.get_by_label("Type 1.0 to delete it").fill("1.0")
    alice.presses("Delete 1.0")
    alice.reads("Deleted ", "They can be restored for 7 days.")
    alice.examines("manage-deleted")
    alice.presses(f"Restore {wheel_name('acme-tools', '1.0')}")
    alice.reads(f"Published {wheel_name('acme-tools', '1.0')} again.")


def the_project(alice: Person) -> None:
    """Its status, and its end."""
    page = alice.page
    alice.shown.open(MANAGE)
    page.select_option("select[name=status]", "deprecated")
    page.locator("form", has=page.locator("select[name=status]")).locator("input[name=reason]").fill("use acme-core")
    alice.presses("Set the status")
    alice.reads("The project is deprecated now.")
    alice.follows_to_the_log("status")
    alice.shown.open(MANAGE)
    expect(page.locator("select[name=status]")).to_have_value("deprecated")
    page.get_by_label("Type acme-tools to delete all of it").fill("acme")
    alice.presses("Delete acme-tools")
    alice.reads("Nothing was deleted: type the name of the project, acme-tools, to confirm.")
    expect(page.get_by_label("Type acme-tools to delete all of it")).to_have_value("acme")
    page.get_by_label("Type acme-tools to delete all of it").fill("acme-tools")
    alice.presses("Delete acme-tools")
    alice.reads("Deleted ")
    alice.examines("manage-gone")


def owners(alice: Person) -> None:
    """Another one, one that is no subject, and the last one."""
    page = alice.page
    alice.shown.open(MANAGE)
    page.get_by_label("Add an owner").fill("crowd:bob")
    alice.presses("Add the owner")
    expect(page.get_by_label("Add an owner")).to_have_value("crowd:bob")
    alice.examines("manage-no-owner")
    page.get_by_label("Add an owner").fill("user:bob")
    alice.presses("Add the owner")
    alice.reads("user:bob is an owner now.")
    alice.examines("manage-owners")
    alice.follows_to_the_log("owner")
    alice.shown.open(MANAGE)
    alice.presses("Remove user:bob")
    alice.reads("user:bob is no owner any more.")


def publishers(alice: Person) -> None:
    """Of a platform that is chosen first."""
    page = alice.page
    alice.shown.open(MANAGE)
    page.get_by_text("Add a publisher").click()
    page.get_by_role("link", name="GitLab", exact=True).click()
    page.locator("input[name=repository]").fill("acme")
    page.locator("input[name=workflow]").fill(".gitlab-ci.yml")
    alice.presses("Let it publish acme-tools")
    alice.reads("'acme' is no project; write it as GROUP/NAME, with all of its groups.")
    expect(page.locator("input[name=repository]")).to_have_value("acme")
    alice.examines("manage-no-publisher")
    page.locator("input[name=repository]").fill("acme/tools")
    alice.presses("Let it publish acme-tools")
    alice.reads("Added the publisher GitLab acme/tools .gitlab-ci.yml")
    alice.examines("manage-publisher")
    alice.follows_to_the_log("publisher-add")
    alice.shown.open(MANAGE)
    alice.presses("Remove GitLab acme/tools .gitlab-ci.yml")
    alice.reads("is removed: the next request with a token of its jobs is refused")


def the_name(alice: Person) -> None:
    """Kept, and given up again."""
    alice.shown.open(MANAGE)
    alice.presses("Keep acme-tools")
    alice.reads("The index main keeps the name acme-tools for itself now.")
    alice.examines("manage-kept")
    alice.follows_to_the_log("index-set")
    alice.examines("admin-log-entry")
    alice.shown.open(MANAGE)
    alice.presses("Keep acme-tools no more")
    alice.reads("The index main keeps the name acme-tools no more.")


def promotion(alice: Person) -> None:
    """First the plan, then the promotion."""
    alice.shown.open("/pr-1/project/acme-next/manage/")
    alice.presses("Show what would happen")
    alice.reads(f"Would publish {wheel_name('acme-next', '1.0')} into main.")
    alice.examines("manage-planned")
    alice.presses("Promote acme-next into main")
    alice.reads(f"Published {wheel_name('acme-next', '1.0')} into main.")
    alice.examines("manage-promoted")
    alice.follows_to_the_log("publish")


ACTIONS: Final = (releases, owners, publishers, the_name, promotion, the_project)


def test_everything_that_owners_do(alice: Person) -> None:
    """Each form says what happened, and a change leads to its entry in the log."""
    for action in ACTIONS:
        action(alice)


def test_everything_without_scripts(browser: Browser, site: Site) -> None:
    """In a browser that runs none at all."""
    with person(browser, site, None, "desktop-light", runs_scripts=False) as alice:
        alice.logs_in("alice", "secret")
        for action in ACTIONS:
            action(alice)


def test_by_the_keyboard_alone(browser: Browser, site: Site, axe: str) -> None:
    """Log in, make a token and revoke it, yank and delete a release, log out: no pointer is used."""
    with person(browser, site, axe, "desktop-light") as alice:
        page = alice.page
        alice.shown.open("/-/login?next=/-/account/")
        types(page, "input[name=user]", "alice")
        types(page, "input[name=password]", "secret")
        page.keyboard.press("Enter")
        expect(page.locator("#user")).to_have_text("alice")
        types(page, "input[name=note]", "laptop")
        page.keyboard.press("Enter")
        identity = (page.locator("#made").text_content() or "").split("_")[1]
        reaches(page, f'button[aria-label="Revoke {identity}"]')
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_contain_text(f"The token {identity} is revoked")
        alice.shown.open(MANAGE)
        reaches(page, "summary")
        page.keyboard.press("Enter")
        version = re.sub(r"\D+", "", page.locator("details[open] summary").inner_text()[:9])[:1] + ".0"
        types(page, "details[open] input[name=reason]", "loses rows")
        page.keyboard.press("Enter")
        alice.reads("Yanked ")
        reaches(page, "summary")
        page.keyboard.press("Space")
        types(page, "details[open] input[name=confirmation]", version)
        page.keyboard.press("Enter")
        alice.reads("Deleted ")
        reaches(page, 'main a[href*="#change-"]')
        page.keyboard.press("Enter")
        expect(page.locator("tr:target")).to_contain_text("delete")
        alice.shown.open("/-/account/")
        reaches(page, 'form[action$="/-/logout"] button')
        page.keyboard.press("Enter")
        expect(page.locator("header")).to_contain_text("Log in")
        assert alice.shown.problems == []


def reaches(page: Page, selector: str) -> None:
    """Press the tabulator until the focus is there."""
    for _ in range(_MOST_STOPS):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement?.matches(selector) ?? false", selector):
            return
    raise AssertionError(f"the keyboard does not reach {selector}")


def types(page: Page, selector: str, text: str) -> None:
    reaches(page, selector)
    page.keyboard.type(text)
