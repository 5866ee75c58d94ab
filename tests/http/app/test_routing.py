"""One regular expression chooses the routes that Starlette would choose one after the other."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match, Mount, Route
from starlette.types import Scope

from quire.http.app.routes import endpoints
from quire.http.app.routing import Routes


async def _nothing(request: Request) -> Response:
    return PlainTextResponse("")


_METHODS = {
    path: sorted({each.method for each in endpoints("/health") if each.path == path})
    for path in dict.fromkeys(each.path for each in endpoints("/health"))
}
_ROUTES = [Route(path, _nothing, methods=methods) for path, methods in _METHODS.items()]
_VALUES = ("six", "simple", "@2026-01-01", "new\nline")


def _paths() -> list[str]:
    found = dict.fromkeys(["", "/", "//", "no slash", "/six\n", "/-/six", "/none/of/these/at/all"])
    for path in _METHODS:
        for value in _VALUES:
            filled = path
            while "{" in filled:
                begin, _, rest = filled.partition("{")
                filled = f"{begin}{value}{rest.partition('}')[2]}"
            found |= dict.fromkeys((filled, filled.rstrip("/"), f"{filled}\n"))
    return list(found)


def _one_after_the_other(scope: Scope) -> tuple[Match, Route | None]:
    """The choice of Starlette's router: the first route for path and method, else the first for the path."""
    partial = None
    for route in _ROUTES:
        match, _ = route.matches(scope)
        if match is Match.FULL:
            return match, route
        if match is Match.PARTIAL and partial is None:
            partial = route
    return (Match.NONE, None) if partial is None else (Match.PARTIAL, partial)


@pytest.mark.parametrize("method", ["HEAD", "POST", "DELETE"])
def test_the_choice_is_that_of_starlette(method: str) -> None:
    routes, chosen = Routes(_ROUTES), set()
    for path in _paths():
        scope = {"type": "http", "method": method, "path": path}
        match, child = routes.matches(scope)
        expected, route = _one_after_the_other(scope)
        assert (match, child.get("route")) == (expected, route), path
        if route is not None:
            assert child["path_params"] == route.matches(scope)[1]["path_params"]
            chosen.add(route.path)
    assert len(chosen) > len(_METHODS) * 0.9  # the paths reach nearly all routes, with this method or without


def test_below_a_prefix_the_choice_is_that_of_the_rest_of_the_path() -> None:
    mount = Mount("/index", routes=[Routes(_ROUTES)])
    scope: Scope = {"type": "http", "method": "GET", "path": "/index/simple/six/"}
    match, child = mount.matches(scope)
    assert match is Match.FULL
    match, child = mount.routes[0].matches({**scope, **child})
    assert (match, child["route"].path) == (Match.FULL, "/simple/{name}/")


def test_other_protocols_have_no_route() -> None:
    assert Routes(_ROUTES).matches({"type": "websocket", "path": "/simple/"}) == (Match.NONE, {})
