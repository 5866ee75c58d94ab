"""The two forms of all pages of other indexes, JSON and HTML: which one an answer has, and the links of HTML."""

from __future__ import annotations

import codecs
import re
from email.message import Message
from html.parser import HTMLParser
from typing import Final

from quire.domain.errors import UpstreamError

JSON_TYPE: Final = "application/vnd.pypi.simple.v1+json"
ACCEPT: Final = f"{JSON_TYPE}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
"""The Accept header of a request for a page (PEP 691)."""
_HTML: Final = {"application/vnd.pypi.simple.v1+html", "text/html", "application/xhtml+xml"}

_CHARSETS: Final = frozenset(
    {"utf-8", "ascii", "iso8859-1", "iso8859-15", *(f"cp{each}" for each in range(1250, 1259))}
)
"""Names of codecs whose time is that of the text; of punycode and idna it grows with its square."""

_VERSION: Final = re.compile(r"(\d{1,9})\.\d{1,9}")


def kind_and_text(content_type: str, body: bytes) -> tuple[str, str]:
    """The type of an answer, and of HTML its text. Raises UpstreamError when it is none of the Simple API's."""
    kind, charset = _type_and_charset(content_type)
    if kind == JSON_TYPE:
        return kind, ""
    if kind in _HTML:
        try:
            is_usual = codecs.lookup(charset).name in _CHARSETS
            text = body.decode(charset if is_usual else "utf-8", errors="replace")
        except (LookupError, ValueError):
            text = body.decode(errors="replace")
        return kind, text
    raise UpstreamError(f"The index answers with {content_type[:80]!a}, which is no page of the Simple API.")


def _type_and_charset(content_type: str) -> tuple[str, str]:
    header = Message()
    header["Content-Type"] = content_type
    try:
        return header.get_content_type() if content_type else "", header.get_content_charset("utf-8")
    except (ValueError, TypeError):  # raised by the email package for odd parameters (RFC 2231)
        return content_type.partition(";")[0].strip().lower(), "utf-8"


def check_version(version: str) -> None:
    """Raises UpstreamError for another version of the Simple API than 1 (PEP 629)."""
    match = _VERSION.fullmatch(version)
    if match is None or int(match[1]) != 1:
        raise UpstreamError(
            f"The index speaks version {version[:20]!a} of the Simple API; this quire understands version 1."
        )


class Links(HTMLParser):
    """The links of a page, its base URL, the version of the API it follows, and its status."""

    def __init__(self) -> None:
        super().__init__()
        self.base: str | None = None
        self.version: str | None = None
        self.status: dict[str, str | None] = {}
        self.links: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes)
        elif tag == "base" and self.base is None:
            self.base = attributes.get("href")
        elif tag == "meta":
            name, content = attributes.get("name"), attributes.get("content")
            if name == "pypi:repository-version":
                self.version = content or ""
            elif name in {"pypi:project-status", "pypi:project-status-reason"}:
                self.status["reason" if name.endswith("reason") else "status"] = content


def read_html(text: str, most: int) -> Links:
    """`most`: tags that it may have, each of which takes far more memory than its bytes. Raises UpstreamError."""
    if text.count("<") > most:
        raise UpstreamError(f"The index answers with HTML that has more than {most} tags, which is not read.")
    page = Links()
    try:
        page.feed(text)  # no close(): it reads what is incomplete at the end once more for each tag that it could begin
    except (ValueError, AssertionError) as error:  # raised by html.parser for hostile documents
        raise UpstreamError(f"The index answers with HTML that cannot be read ({error}).") from error
    return page
