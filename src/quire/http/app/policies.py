"""Headers that restrict browsers (Fetch, 3.6; Content Security Policy 3; Referrer Policy).

Names, versions and sentences in pages are written by publishers. They are escaped where a page is made; if one of
them ever was not, it could still load and run nothing. No site may show a page of ours in a frame of its own, and no
site that a page links to learns the name of the project. (`same-origin`, since `no-referrer` would make the Origin of
our own pages `null`, which `quire.http.app.origins` refuses.)
"""

from __future__ import annotations

from typing import Final

NO_SNIFFING: Final = {"X-Content-Type-Options": "nosniff"}
"""For everything: a browser believes the Content-Type, also for bytes that could be a page."""


def _page(policy: str) -> dict[str, str]:
    more = {"Content-Security-Policy": f"{policy}base-uri 'none'; frame-ancestors 'none'"}
    return {**NO_SNIFFING, **more, "Referrer-Policy": "same-origin"}


LIST: Final = _page("default-src 'none'; form-action 'none'; ")
"""For pages that are lists of links."""
WEB: Final = _page(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; "
)
"""For pages of the web interface: its own scripts and styles, and requests to this index alone. (`data:` is for icons
that are empty; an image cannot run.)"""
STATIC: Final = {
    **NO_SNIFFING,
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""For static files: an image of the operator's, opened by itself, runs nothing."""
WELCOME: Final = _page("")
"""For a home page of the operator's own, which may load anything."""
