"""Pages that are ready to be sent: the answers that a page in one content coding can be."""

from __future__ import annotations

from quire.http.app.conditions import matches
from quire.http.fast.responses import CachedResponse, Headers, as_lines
from quire.http.simple.pages import NO_HEADERS, PageHeaders, page_headers
from quire.render.negotiation import Encoding
from quire.render.simple import Page


class Prepared:
    """A page in one content coding, with the answers that it can be."""

    __slots__ = ("etag", "ok", "unchanged")

    def __init__(self, page: Page, encoding: Encoding, label: str, more: PageHeaders = NO_HEADERS) -> None:
        """`more`: headers beside those of every page, or in their place."""
        body, self.etag = page.encoded(encoding)
        headers = page_headers(page, self.etag, encoding, more)
        shared = [(name.lower(), value) for name, value in headers.validators.items()]
        whole = shared + [(name.lower(), value) for name, value in headers.content.items()]
        self.ok = CachedResponse(200, whole, body, label, lines=as_lines(whole))
        self.unchanged = CachedResponse(304, shared, b"", label, lines=as_lines(shared))

    def answer(self, headers: Headers) -> CachedResponse:
        """The whole page, or that a client has it already."""
        if "if-none-match" in headers and matches(headers.get("if-none-match"), self.etag):
            return self.unchanged
        return self.ok
