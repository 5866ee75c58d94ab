"""A page in the browser, of which everything is noted that must not happen: see `Watched.problems`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request

from tests.browser.rig import PICTURES

RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
_AXE: Final = "async (tags) => (await axe.run(document, {runOnly: tags, resultTypes: ['violations']})).violations"
_OVERFLOW: Final = """() => {
    const room = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= room) { return []; }
    return [...document.querySelectorAll("body *")]
        .filter((each) => each.getBoundingClientRect().right > room + 1).map((each) => each.outerHTML.slice(0, 120));
}"""


@dataclass
class Watched:
    """One page of one site."""

    page: Page
    origin: str
    requests: list[str] = field(default_factory=list)
    """The URLs of all requests."""
    errors: list[str] = field(default_factory=list)
    """Complaints of the browser: errors of scripts, what the policy forbids, files that are not there."""

    def open(self, path: str) -> int:
        """Show the page at this path; its status."""
        answer = self.page.goto(f"{self.origin}{path}")
        assert answer is not None
        return answer.status

    @property
    def problems(self) -> list[str]:
        """In sentences: requests to other origins, and errors."""
        foreign = [url for url in self.requests if not _is_of(self.origin, url)]
        return [*(f"a request leaves the origin: {url}" for url in foreign), *self.errors]

    def overflow(self) -> list[str]:
        """The elements that are wider than the window, where the page has to be moved sideways."""
        return list(self.page.evaluate(_OVERFLOW))

    def violations(self, axe: str) -> list[str]:
        """The rules of WCAG 2.2 (A and AA) that the page breaks, in words. `axe`: the script of axe-core."""
        self.page.evaluate(axe)
        return [
            f"{found['id']} ({found['impact']}): {found['help']}: {node['target']}: {node['failureSummary']}"
            for found in self.page.evaluate(_AXE, RULES)
            for node in found["nodes"]
        ]

    def picture(self, name: str) -> None:
        """Keep a picture of the whole page, to be looked at."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


@contextmanager
def watched(context: BrowserContext, origin: str) -> Iterator[Watched]:
    """A new page."""
    page = context.new_page()
    found = Watched(page, origin)

    def on_console(message: ConsoleMessage) -> None:
        place: Any = message.location
        if str(place.get("url")).endswith("/favicon.ico"):
            return  # asked for by the browser, at times, where a page for programs names no icon; there is none
        # the status of the page itself is judged by the test
        if message.type == "error" and place.get("url") != page.url:
            found.errors.append(f"{message.text} ({place.get('url')})")
        elif message.type == "error" and "status of" not in message.text:
            found.errors.append(message.text)

    def on_request(request: Request) -> None:
        found.requests.append(request.url)

    page.on("console", on_console)
    page.on("request", on_request)
    page.on("pageerror", lambda error: found.errors.append(str(error)))
    try:
        yield found
    finally:
        page.close()


def _is_of(origin: str, url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "data" or f"{parts.scheme}://{parts.netloc}" == origin
