"""Asking another index for the page of a project, for a mirror."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from quire.domain.errors import UpstreamBusy
from quire.upstream.answers import Answered
from quire.upstream.markup import ACCEPT
from quire.upstream.mirrored import Validators
from quire.upstream.pages import UpstreamPage, parse_page
from quire.upstream.server import OtherServer, Response

MAX_PAGE_BYTES: Final = 128 * 1024 * 1024
"""Longest project page, unpacked. The largest public projects have some 20 MB."""
MAX_VALIDATOR: Final = 500
"""Characters of an ETag; a longer one is not sent back."""
_SERIAL: Final = "X-PyPI-Last-Serial"
_HEAD: Final = 1000
"""Bytes in which a page in HTML begins, and in which it ends."""


class PageRequests:
    """An `Ask` of `quire.upstream.answers`: asks by HTTP."""

    def __init__(self, server: OtherServer) -> None:
        self._server = server

    async def __call__(self, name: str, known: Validators) -> Answered:
        headers = {"Accept": ACCEPT, "Accept-Encoding": "gzip"}
        if known.etag is not None:
            headers["If-None-Match"] = known.etag
        elif known.last_modified is not None:
            headers["If-Modified-Since"] = known.last_modified
        async with self._server.get(f"{self._server.url}{name}/", headers) as response:
            validators = Validators(_header(response, "ETag"), _header(response, "Last-Modified"))
            if response.status == 304 and (known.etag is not None or known.last_modified is not None):
                return Answered(None, unchanged=True, validators=validators)
            if response.status in {404, 410}:
                return Answered(None)
            response.check()
            packed = await response.packed(MAX_PAGE_BYTES)
            url, kind = response.url, response.headers.get("Content-Type", "")
            serial = response.headers.get(_SERIAL, "")
            may_be_cut = not response.is_delimited

        def read() -> UpstreamPage:
            body = packed.unpack()
            if may_be_cut and _is_cut(body):
                raise UpstreamBusy(f"The index ended the page of {name} before it was complete; repeat later.")
            return _numbered(parse_page(name, kind, body, url), serial)

        return Answered(read, validators=validators)


def _is_cut(body: bytes) -> bool:
    """Whether a page in HTML lacks its end. Half a page reads like a whole one with fewer files; JSON does not."""
    return b"<html" in body[:_HEAD].lower() and b"</html" not in body[-_HEAD:].lower()


def _numbered(page: UpstreamPage, serial: str) -> UpstreamPage:
    """The page with the serial number of a header, where it has none itself."""
    if page.serial is not None or not re.fullmatch(r"[1-9]\d{0,17}", serial):
        return page
    return msgspec.structs.replace(page, serial=int(serial))


def _header(response: Response, name: str) -> str | None:
    value = response.headers.get(name)
    return value if value and len(value) <= MAX_VALIDATOR and value.isprintable() else None
