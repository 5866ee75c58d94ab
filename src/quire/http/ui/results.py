"""The result of a form that made a change, on the page that the browser is led to: loaded again, it sends nothing.

Theory of operation. The answer to such a form is 303 See Other, and a cookie with the sentence and the address of the
entry in the log. The cookie counts for one page and a minute, and is sealed with the token of the reader's forms: no
other page, no link and no other reader can put a text there. The page that shows the result removes the cookie.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final
from urllib.parse import urlencode, urljoin

from starlette.requests import Request
from starlette.responses import Response

from quire.http.ui.changes import Done
from quire.http.ui.forms import RESULT, cookie_of, put_cookie, token_of

_SECONDS: Final = 60
_MOST_BYTES: Final = 2000
"""Of the sentence: a browser keeps 4 KiB of a cookie."""
_MOST_OF_ADDRESS: Final = 800


async def led_on(request: Request, done: Done, to: str = "./") -> Response:
    """The answer to a form that made a change. `to`: the page that shows its result, relative to this one.

    Raises StoreError.
    """
    query = urlencode(request.query_params.multi_items())
    response = Response(status_code=303, headers={"Location": f"{to}?{query}" if query else to})
    response.headers["Cache-Control"] = "no-store"
    token = await token_of(request)
    if token is not None:
        payload = packed(done)
        seal = _seal(token, urljoin(request.url.path, to), payload)
        put_cookie(request, response, RESULT, f"{payload}.{seal}", _SECONDS)
    return response


async def result_of(request: Request) -> Done | None:
    """The result that this page shows, of the form that led to it. Raises StoreError."""
    payload, _, seal = cookie_of(request, RESULT).partition(".")
    token = await token_of(request) if seal else None
    if token is None or not hmac.compare_digest(seal.encode(), _seal(token, request.url.path, payload).encode()):
        return None
    return unpacked(payload)


def packed(done: Done) -> str:
    """A result that succeeded as the value of a cookie, which is not longer than a browser keeps."""
    sentence = done.sentence.encode()
    if len(sentence) > _MOST_BYTES:
        sentence = sentence[:_MOST_BYTES].decode(errors="ignore").encode() + "…".encode()
    entry = done.entry if len(done.entry or "") <= _MOST_OF_ADDRESS else None
    return urlsafe_b64encode((entry or "").encode() + b"\n" + sentence).decode()


def unpacked(value: str) -> Done:
    """The result of such a value that we have made."""
    entry, _, sentence = urlsafe_b64decode(value).decode().partition("\n")
    return Done(sentence, entry=entry or None)


def _seal(token: str, path: str, payload: str) -> str:
    return hmac.digest(token.encode(), f"{path}\0{payload}".encode(), "sha256").hex()
