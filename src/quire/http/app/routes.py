"""Which of the few kinds of request this is: the label of metrics and log lines. Never anything of the path itself."""

from __future__ import annotations

from starlette.types import Scope

from quire.observe.metrics.catalog import Route


def mount_of(scope: Scope) -> str:
    """Where another application has mounted this one: WSGI's SCRIPT_NAME, ASGI's root_path; "" for nowhere.

    Starlette adds the prefix of its own routes to root_path, and keeps the original beside it.
    """
    return str(scope.get("app_root_path", scope.get("root_path", ""))).rstrip("/")


def path_within(scope: Scope) -> str:
    """The path below the mount. It is "" for the mount itself. Servers that leave the mount out of the path are few."""
    path, mount = str(scope["path"]), mount_of(scope)
    return path[len(mount) :] if path == mount or path.startswith(f"{mount}/") else path


class RouteTable:
    """Finds the route of a method and path."""

    def __init__(self, prefix: str, health: str) -> None:
        """`prefix`: the path under which everything is served, without a slash at its end; `health`: its endpoint."""
        self._prefix = prefix
        self._fixed = {
            "": Route.HOME,
            "/": Route.HOME,
            "/simple/": Route.PROJECTS,
            "/packages/": Route.PACKAGES,
            "/ready": Route.READY,
            "/metrics": Route.METRICS,
            health: Route.HEALTH,
        }

    def of(self, method: str, path: str) -> Route:
        """The route; OTHER for what is none, and for redirects."""
        if self._prefix:
            if not path.startswith(self._prefix):
                return Route.OTHER
            path = path[len(self._prefix) :]
        if method == "POST":
            return Route.RPC if path in {"/RPC2", "/pypi"} else Route.UPLOAD
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed
        if path.startswith("/simple/"):
            return Route.PROJECT if path.endswith("/") else Route.OTHER
        if path.startswith("/packages/"):
            return Route.METADATA if path.endswith(".metadata") else Route.FILE
        return Route.JSON if path.endswith("/json") else Route.OTHER
