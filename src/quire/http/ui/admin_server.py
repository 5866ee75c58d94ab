"""The operator's pages of the server itself: its workers, its settings, and the upstreams as the workers see them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from quire.http.ui.asking import ask
from quire.http.ui.layout import page_response_of


async def server(request: Request) -> Response:
    """GET /-/admin/server/: the workers of the container that answers."""
    found = await ask(request, "GET", "/server")
    doctor = await ask(request, "GET", "/doctor")
    return await page_response_of(
        request, "admin_server.html", section="server", server=found, verdict=doctor["verdict"]
    )


async def settings(request: Request) -> Response:
    """GET /-/admin/settings/: every setting, its value, and where it was set."""
    found = await ask(request, "GET", "/settings")
    return await page_response_of(request, "admin_settings.html", section="settings", found=found)


async def upstreams(request: Request) -> Response:
    """GET /-/admin/upstreams/: whether each can be reached, and how much is served of what is kept."""
    found = await ask(request, "GET", "/upstreams")
    return await page_response_of(request, "admin_upstreams.html", section="upstreams", found=found)
