"""OSV's API, for scanners: `/-/osv/v1/query`, `querybatch` and `vulns/ID`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response


async def query(request: Request) -> Response:
    """POST query."""
    from quire.http.api import osv_queries  # noqa: PLC0415 - advisories, for requests that most servers never get

    return await osv_queries.query(request)


async def querybatch(request: Request) -> Response:
    """POST querybatch."""
    from quire.http.api import osv_queries  # noqa: PLC0415 - as above

    return await osv_queries.querybatch(request)


async def vulnerability(request: Request) -> Response:
    """GET vulns/ID."""
    from quire.http.api import osv_queries  # noqa: PLC0415 - as above

    return await osv_queries.vulnerability(request)
