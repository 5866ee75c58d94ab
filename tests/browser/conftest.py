"""These tests run when they are asked for (`make test-browser`), in Debian's Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final, NamedTuple

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, expect, sync_playwright

from tests.asking import Site
from tests.browser.content import filled_site
from tests.browser.rig import CHROMIUM, axe_source
from tests.long_suites import leave_out

_MILLISECONDS: Final = 30_000


class Variant(NamedTuple):
    """One way in which people look at a page."""

    width: int
    height: int
    dark: bool
    scripts: bool
    """Else those of the site are empty. (axe-core needs a browser that runs scripts.)"""


VARIANTS: Final = {
    "desktop-light": Variant(1280, 800, dark=False, scripts=True),
    "desktop-dark-noscript": Variant(1280, 800, dark=True, scripts=False),
    "phone-light-noscript": Variant(390, 844, dark=False, scripts=False),
    "phone-dark": Variant(390, 844, dark=True, scripts=True),
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    leave_out(config, items, "browser")


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """The one of this process, which can have no second one."""
    expect.set_options(timeout=_MILLISECONDS)
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    launched = playwright.chromium.launch(executable_path=CHROMIUM)
    yield launched
    launched.close()


@pytest.fixture(scope="session")
def axe() -> str:
    return axe_source()


@pytest.fixture(scope="session", params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def context(browser: Browser, variant: str) -> Iterator[BrowserContext]:
    """The browser in each variant."""
    with new_context(browser, VARIANTS[variant]) as made:
        yield made


@pytest.fixture(scope="session")
def desktop(browser: Browser) -> Iterator[BrowserContext]:
    with new_context(browser, VARIANTS["desktop-light"]) as made:
        yield made


def new_context(browser: Browser, variant: Variant, *, runs_scripts: bool = True) -> BrowserContext:
    """A browser without cookies. Close it. `runs_scripts`: else none at all, so that axe-core cannot be used."""
    context = browser.new_context(
        java_script_enabled=runs_scripts,
        viewport={"width": variant.width, "height": variant.height},
        color_scheme="dark" if variant.dark else "light",
        reduced_motion="reduce",
    )
    if not variant.scripts:
        context.route("**/*.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    context.set_default_timeout(_MILLISECONDS)
    return context


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An index with projects of all kinds."""
    with ExitStack() as stack:
        yield stack.enter_context(filled_site(tmp_path_factory.mktemp("browser")))
