"""The HTML of a rendered README, made a harmless part of a page.

`readme_renderer` makes HTML of Markdown and reStructuredText, and sanitizes it. The rest is ours: a README must not
look like a part of the page around it, send a request when it is shown, or break the page for keyboards and readers.

- Every id and every class has a prefix, so that none is one of the page or of its style sheet.
- Links are `nofollow noopener noreferrer`, to http, https and mail addresses, and within the README. A path alone would
  lead to this server, and so would `https:/path`: a browser on a page of https takes the scheme away.
- An image is a link to it, with its description or filename: to load it would tell its server which project is
  read by whose address. (PyPI has a proxy for them.)
- Headings are below those of the page, landmarks are plain boxes, check boxes are characters, and blocks that scroll
  can be reached by a keyboard.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from html.parser import HTMLParser
from typing import Final
from urllib.parse import unquote

import nh3

from quire.domain.foreign_text import visible

ID_PREFIX: Final = "user-content-"
"""That of PyPI: links to sections are the same here and there."""
CLASS_PREFIX: Final = "r-"
"""No class of our pages begins with it."""

_RENAMED: Final = {
    **{f"h{level}": f"h{min(level + 1, 6)}" for level in range(1, 7)},
    **dict.fromkeys(("section", "aside", "nav", "figure", "figcaption"), "div"),
}
_VOID: Final = frozenset({"br", "hr", "col"})
_TAGS: Final = frozenset(
    {
        *("a", "abbr", "acronym", "b", "blockquote", "br", "caption", "cite", "code", "col", "colgroup", "dd", "del"),
        *("details", "div", "dl", "dt", "em", "h2", "h3", "h4", "h5", "h6", "hr", "i", "kbd", "li", "ol", "p", "pre"),
        *("span", "strong", "sub", "summary", "sup", "table", "tbody", "td", "th", "thead", "tr", "tt", "ul", "var"),
    }
)
_ALIGNED: Final = frozenset({"div", "p", "td", "th", "h2", "h3", "h4", "h5", "h6"})
_ATTRIBUTES: Final = {
    "*": {"id", "class"},
    "a": {"href", "title"},
    "abbr": {"title"},
    "acronym": {"title"},
    "td": {"colspan", "rowspan"},
    "ol": {"start"},
    "pre": {"tabindex"},
} | {tag: {"align"} for tag in _ALIGNED - {"td"}}
_ATTRIBUTES["td"].add("align")
_CLASS: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
_SCHEMES: Final = frozenset({"http", "https", "mailto"})
_WEB: Final = re.compile("https?://", re.IGNORECASE)
_WEB_OR_MAIL: Final = re.compile("https?://|mailto:", re.IGNORECASE)
_MOST_NAME: Final = 100
_SPANNED: Final = re.compile(r"[1-4]?[0-9]")
"""Cells that one cell may span: a table of millions would stop a browser."""


def sanitized(html: str) -> str:
    """A part of a page."""
    rewriter = _Rewriter()
    rewriter.feed(html)
    rewriter.close()
    return nh3.clean(
        rewriter.result,
        tags=set(_TAGS),
        attributes=_ATTRIBUTES,
        attribute_filter=_filtered,
        url_schemes=set(_SCHEMES),
        link_rel="nofollow noopener noreferrer",
    )


def _filtered(tag: str, name: str, value: str) -> str | None:
    """The value of an attribute; None where it is left out."""
    match name:
        case "id":
            kept = _prefixed(ID_PREFIX, value)
        case "class":
            classes = [_prefixed(CLASS_PREFIX, each) for each in value.split() if _CLASS.fullmatch(each)]
            kept = " ".join(classes)
        case "href" if value.startswith("#"):
            kept = f"#{_prefixed(ID_PREFIX, value[1:])}"
        case "href":
            kept = value if _WEB_OR_MAIL.match(value) else ""
        case "colspan" | "rowspan":
            kept = value if _SPANNED.fullmatch(value) else ""
        case "tabindex":
            kept = "0"
        case _:
            kept = value
    return kept or None


def _prefixed(prefix: str, value: str) -> str:
    return value if value.startswith(prefix) else f"{prefix}{value}"


class _Rewriter(HTMLParser):
    """Writes the same HTML with other tags. Its result is to be sanitized."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._links: list[tuple[int, str | None]] = []
        """Those that are open: the number of parts before each, and its id."""

    @property
    def result(self) -> str:
        return "".join(self._parts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "img":
            self._write_image(given)
        elif tag == "input":
            self._parts.append("☑" if "checked" in given else "☐")
        else:
            if tag == "a":
                self._links.append((len(self._parts), given.get("id")))
            if tag == "pre":
                given["tabindex"] = "0"
            self._parts.append(_start(_RENAMED.get(tag, tag), given))

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._links:
            place, anchor = self._links.pop()
            if len(self._parts) == place + 1:  # nothing to click at
                self._parts[place] = "" if anchor is None else _start("span", {"id": anchor}) + "</span>"
                return
        if tag not in _VOID:
            self._parts.append(f"</{_RENAMED.get(tag, tag)}>")

    def handle_data(self, data: str) -> None:
        self._parts.append(escape(data, quote=False))

    def _write_image(self, given: Mapping[str, str]) -> None:
        source = given.get("src", "")
        words = given.get("alt", "").strip() or _last_part(source) or "image"
        image = f'<span class="image">{escape(words)}</span>'
        if self._links or not _WEB.match(source):
            self._parts.append(image)  # within a link, that is where the image leads
        else:
            self._parts.append(f"{_start('a', {'href': source})}{image}</a>")


def _last_part(address: str) -> str:
    """The name of the file that an address leads to; empty where it has none."""
    path = re.split("[?#]", address, maxsplit=1)[0].partition("://")[2]
    return visible(unquote(path.rpartition("/")[2]))[:_MOST_NAME] if "/" in path else ""


def _start(tag: str, given: Mapping[str, str]) -> str:
    attributes = "".join(f' {name}="{escape(value)}"' for name, value in given.items())
    return f"<{tag}{attributes}>"
