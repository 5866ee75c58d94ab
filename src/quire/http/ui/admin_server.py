"""The operator's pages of the server itself: its workers, its settings, and the upstreams as the workers see them."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from quire.config.settings import OPTIONS
from quire.http.ui.asking import ask
from quire.http.ui.layout import page_response_of

_TIMES: Final = frozenset({"upstream_max_age", "upstream_max_stale", "cache_control"})
"""Settings in seconds whose names do not say so."""
_UNITS_OF_TIMES: Final = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_UNITS_OF_SIZES: Final = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1))


async def server(request: Request) -> Response:
    """GET /-/admin/server/: the workers of the container that answers."""
    found = await ask(request, "GET", "/server")
    doctor = await ask(request, "GET", "/doctor")
    return await page_response_of(
        request, "admin_server.html", section="server", server=found, verdict=doctor["verdict"]
    )


async def settings(request: Request) -> Response:
    """GET /-/admin/settings/: every setting, its value, and where it was set, in the order of the reference."""
    found = await ask(request, "GET", "/settings")
    values = {each["name"]: each for each in found["settings"]}
    shown = [
        {**values[option.name], "flag": option.flag, "words": with_unit(option.name, values[option.name]["value"])}
        for option in OPTIONS
        if option.name in values
    ]
    return await page_response_of(
        request, "admin_settings.html", section="settings", container=found["container"], settings=shown
    )


def with_unit(name: str, value: str) -> str | None:
    """A time or a size in the largest unit that gives a whole number; None for all else."""
    if not value.isdecimal() or value == "0":
        return None
    if name.endswith("_seconds") or name in _TIMES:
        units = _UNITS_OF_TIMES
    elif name.endswith("_size"):
        units = _UNITS_OF_SIZES
    else:
        return None
    number = int(value)
    word, size = next(each for each in units if number % each[1] == 0)
    return f"{number // size} {word}"


async def upstreams(request: Request) -> Response:
    """GET /-/admin/upstreams/: whether each can be reached, and how much is served of what is kept."""
    found = await ask(request, "GET", "/upstreams")
    return await page_response_of(request, "admin_upstreams.html", section="upstreams", found=found)
