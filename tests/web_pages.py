"""The pages and forms of the web interface, as the route table has them: new ones join each test that asks all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import quote

from quire.http.app.routes import WEB, endpoints

_PEOPLE: Final = frozenset({WEB, "home", "account", "login", "packages"})
"""The labels of their routes."""
_NO_PAGES: Final = frozenset({"/-/static/{digest}/{name}", "/-/login/provider", "/-/login/callback"})
QUERY: Final = (
    *("q", "of", "user", "action", "since", "project", "subject", "cursor", "old", "new", "next", "index", "uploader"),
    *("python", "origin", "page", "yanked", "version", "from", "to", "id", "kind", "job", "source", "filename", "rule"),
)
"""The parameters of their queries."""
BROWSER: Final = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
"""The Accept header of browsers."""


def paths(method: Literal["GET", "POST"] = "GET") -> list[str]:
    """The paths of all pages, or of all forms, as the route table has them."""
    found = (each for each in endpoints("/health") if each.method == method and each.label in _PEOPLE)
    return [each.path for each in found if each.path not in _NO_PAGES]


def parameters(path: str) -> list[str]:
    """The names in a path."""
    return re.findall(r"\{(\w+)(?::path)?\}", path)


def address(path: str, values: Mapping[str, str]) -> str:
    """A path with these values in it."""

    def value(found: re.Match[str]) -> str:
        return quote(values[found[1]].encode("utf-8", "replace"), safe="/" if found[2] else "")

    return re.sub(r"\{(\w+)(:path)?\}", value, path)
