"""A check for schemathesis: the answers of pages for people are what `tests.http.ui.test_every_page` says of them.

Loaded by schemathesis (`SCHEMATHESIS_HOOKS`).
"""

from __future__ import annotations

from typing import Any

import httpx
import schemathesis

from tests.http.ui.test_every_page import check

ENCODED = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""Of bytes that were decoded since."""


@schemathesis.check
def is_a_page(ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]) -> None:
    """A bounded page with its policy, or an error that says so. Raises AssertionError."""
    lines = [(name, value) for name, values in response.headers.items() for value in values]
    asked = httpx.Request(response.request.method or "GET", response.request.url or "")
    check(
        httpx.Response(
            response.status_code,
            headers=[line for line in lines if line[0].lower() not in ENCODED],
            content=response.content,
            request=asked,
        )
    )
