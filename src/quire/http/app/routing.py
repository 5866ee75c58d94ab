"""Many routes at the price of one.

Starlette asks each route in turn, which for the last of two hundred takes longer than many an answer. Here one regular
expression names the first route whose path fits. That route then decides as it always does, so the two cannot differ:
a path of another method, or one that fits nothing, is asked of all of them in turn, as Starlette does.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

from quire.http.app.routes import FirstFit


class Routes(BaseRoute):
    """One route in place of many, of which the first one that fits counts."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = routes
        self._fitting = FirstFit([each.path for each in routes])

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As `Router.app` chooses; the scope names the route that was chosen."""
        if scope["type"] != "http":
            return Match.NONE, {}
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        number = None if "\n" in path else self._fitting.of(path)  # to Starlette's routes a line's end is an end
        if number is not None:
            route = self.routes[number]
            match, child = route.matches(scope)
            if match is Match.FULL:
                return match, {**child, "route": route}
        chosen: tuple[Match, Scope] = Match.NONE, {}
        for route in self.routes:
            match, child = route.matches(scope)
            if match.value > chosen[0].value:
                chosen = match, {**child, "route": route}
                if match is Match.FULL:
                    break
        return chosen

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the chosen route answer."""
        await scope["route"].handle(scope, receive, send)
