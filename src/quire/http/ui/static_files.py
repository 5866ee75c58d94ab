"""The static files of the web interface: style sheet, scripts, and an operator's logo and colour.

Each has its digest in its address, so a browser keeps it for ever, and a new version of quire has new addresses. They
are read once by a worker, when the first page for people is made.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from quire.config.settings import Settings
from quire.domain.errors import NotFound
from quire.http.app import policies
from quire.http.app.worker import worker_of
from quire.http.simple.pages import PageHeaders, page_response
from quire.render.simple import Page, make_page

FOLDER: Final = "-/static/"
"""Where they are below the root of the server."""
_MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}
_HEADERS: Final = PageHeaders(
    {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}, policies.STATIC
)
_BUILT_IN: Final = ("style.css", "quire.js", "htmx.min.js")


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file with its address."""

    path: str
    """Below the root of the server."""
    page: Page


StaticFiles = dict[str, StaticFile]
"""By name: `style.css`, `quire.js`, `htmx.min.js`; `site.css` where a colour is set, `logo` where one is."""


@cache
def static_files(logo: str | None, color: str | None) -> StaticFiles:
    """The files for these settings. An image that cannot be read any more is left out."""
    found = [(name, _built_in(name), name) for name in _BUILT_IN]
    if color is not None:
        found.append(("site.css", _colored(color).encode(), "site.css"))
    if logo is not None:
        with suppress(OSError):  # checked at the start; a page without its logo is better than none
            found.append(("logo", Path(logo).read_bytes(), f"logo{Path(logo).suffix.lower()}"))
    return {key: _static_file(name, body) for key, body, name in found}


@cache
def paths(logo: str | None, color: str | None) -> tuple[tuple[str, str], ...]:
    """The name of each file with its path."""
    return tuple((name, each.path) for name, each in static_files(logo, color).items())


def of_settings(settings: Settings) -> StaticFiles:
    return static_files(settings.web_logo, settings.web_color)


async def static(request: Request) -> Response:
    """GET /-/static/<digest>/<name>."""
    wanted = f"{FOLDER}{request.path_params['digest']}/{request.path_params['name']}"
    found = next((each for each in of_settings(worker_of(request).settings).values() if each.path == wanted), None)
    if found is None:
        raise NotFound("There is no such file of the web interface; load the page again.")
    return await page_response(request, found.page, more=_HEADERS)


def _static_file(name: str, body: bytes) -> StaticFile:
    digest = hashlib.sha256(body).hexdigest()[:16]
    return StaticFile(f"{FOLDER}{digest}/{name}", make_page(_MEDIA_TYPES[Path(name).suffix], body))


def _built_in(name: str) -> bytes:
    return files("quire.http.ui").joinpath("static", name).read_bytes()


def _colored(color: str) -> str:
    """The operator's colour as the accent: in the dark a lighter one, on which dark letters are read."""
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    ink = "#10131c" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 140 else "#ffffff"
    dark = f"--accent: color-mix(in oklab, {color} 55%, white); --accent-ink: #10131c;"
    return (
        f":root {{ --accent: {color}; --accent-ink: {ink}; }}\n"
        f'@media (prefers-color-scheme: dark) {{ :root:not([data-theme="light"]) {{ {dark} }} }}\n'
        f':root[data-theme="dark"] {{ {dark} }}\n'
    )
