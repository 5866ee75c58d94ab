"""The index as of a moment, below `/@MOMENT/`. Most servers are never asked for it, so it is imported then."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response


async def projects_page(request: Request) -> Response:
    """GET /@MOMENT/simple/: the projects that had a file then."""
    from quire.http.simple import past  # noqa: PLC0415 - as said

    return await past.projects_page(request)


async def project_page(request: Request) -> Response:
    """GET /@MOMENT/simple/<name>/: the files that a project had then."""
    from quire.http.simple import past  # noqa: PLC0415 - as said

    return await past.project_page(request)


async def download(request: Request) -> Response:
    """GET /@MOMENT/packages/<path>: a file that was listed then, and is not any more."""
    from quire.http.simple import past  # noqa: PLC0415 - as said

    return await past.download(request)


async def refuse(request: Request) -> Response:
    """POST below /@MOMENT/."""
    from quire.http.simple import past  # noqa: PLC0415 - as said

    return await past.refuse(request)


async def elsewhere(request: Request) -> Response:
    """GET of any other address below /@MOMENT/."""
    from quire.http.simple import past  # noqa: PLC0415 - as said

    return await past.elsewhere(request)
