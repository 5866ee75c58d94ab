"""The route table: every address, and all that is said of it. One line is all that a new page or endpoint needs.

The application's routes, the rights that they need, the labels of metrics, log lines and traces, the OpenAPI document
and the addresses of the fast path are made of it; a test compares docs/reference/http.md with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from starlette.types import Scope

from quire.access.authorization import Right
from quire.http.api import operations as about
from quire.http.api import session_operations as sessions
from quire.http.api import v1_operations as v1
from quire.http.api.operations import Operation, below_index

OTHER: Final = "other"
"""The label of redirects, and of addresses that no route has."""
WEB: Final = "web"
"""The label of the pages of the web interface, but for those that had a label before it: the home page, logins."""
PROJECT_PAGES: Final = "/project/"
"""In the addresses of the pages of projects for people."""
METADATA: Final = "metadata"
"""The label of a file's metadata, which has the route of the file."""


API: Final = "/-/api/"
"""In the addresses of the JSON API: no project, and no part of a path that is anything else, is called `-`."""


UPLOAD_API: Final = "/-/upload/2.0/"
"""In the addresses of publishing sessions (PEP 694)."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one address."""

    method: Literal["GET", "POST", "DELETE"]
    """GET is HEAD, too."""
    path: str
    """As Starlette has it. The first line that matches counts."""
    handler: str
    """`<module below quire.http>:<function>`, so that every module may use this table."""
    needs: Right | None
    """Decided before the handler is called (`Access.authorize`); None where no right is needed."""
    label: str
    """The kind of request, for metrics, log lines and traces. Never anything of a request itself."""
    operation: Operation
    """For the OpenAPI document."""
    takes_forms_only: bool = False
    """Whether a body that is no form is left to the next line of the same address."""
    takes_sessions: bool = False
    """Whether a login to the web interface counts: for pages that only people open."""
    is_at_root: bool = False
    """Whether it is answered at the root of the host as well, where everything else is below a prefix."""
    has_any_host: bool = False
    """Whether it is answered under every host name (see `quire.http.app.origins`)."""

    @property
    def base(self) -> str:
        """The path up to its first parameter."""
        return self.path.partition("{")[0]


UPLOADS: Final = (
    *("/legacy/", "/legacy", "/upload/", "/upload", "/pypi/"),
    *("/simple/", "/simple", "/packages/", "/packages"),
)
"""Addresses that people give as the one to publish to, beside `/`."""
UPLOADS_OF_AN_INDEX: Final = ("/", "/legacy/", "/simple/")
"""Those below the name of an index."""
_V1: Final = f"{API}v1"
_INDEX: Final = f"{_V1}/indexes/{{index}}"
_PROJECT: Final = f"{_INDEX}/projects/{{name}}"
_WEBHOOK: Final = f"{_V1}/webhooks/{{webhook}}"
_API: Final = (
    Endpoint("GET", f"{_V1}/whoami", "api.v1:whoami", None, "api", v1.WHOAMI),
    Endpoint("GET", f"{_V1}/server", "api.v1:server", Right.ADMIN, "api", v1.SERVER),
    Endpoint("GET", f"{_V1}/doctor", "api.v1:doctor", Right.ADMIN, "api", v1.DOCTOR),
    Endpoint("GET", f"{_V1}/jobs", "api.v1:jobs", Right.ADMIN, "api", v1.JOBS),
    Endpoint("GET", f"{_V1}/jobs/{{job}}", "api.v1:job", Right.ADMIN, "api", v1.JOB),
    Endpoint("POST", f"{_V1}/jobs", "api.v1:begin_job", Right.ADMIN, "api", v1.BEGIN_JOB),
    Endpoint("GET", f"{_V1}/settings", "api.v1:settings", Right.ADMIN, "api", v1.SETTINGS),
    Endpoint("GET", f"{_V1}/upstreams", "api.v1:upstreams", Right.ADMIN, "api", v1.UPSTREAMS),
    Endpoint("GET", f"{_V1}/indexes", "api.v1:indexes", None, "api", v1.INDEXES),
    Endpoint("POST", f"{_V1}/indexes", "api.v1:create_index", Right.ADMIN, "api", v1.CREATE_INDEX),
    Endpoint("POST", f"{_V1}/indexes/{{defined}}/delete", "api.v1:delete_index", Right.ADMIN, "api", v1.DELETE_INDEX),
    Endpoint("POST", f"{_V1}/indexes/{{defined}}", "api.v1:set_index", Right.ADMIN, "api", v1.SET_INDEX),
    Endpoint("GET", f"{_INDEX}/policy", "api.v1:policy", Right.ADMIN, "api", v1.POLICY),
    Endpoint("POST", f"{_INDEX}/policy", "api.v1:set_policy", Right.ADMIN, "api", v1.SET_POLICY),
    Endpoint("GET", f"{_INDEX}/policy/explain", "api.v1:explain_policy", Right.LIST, "api", v1.EXPLAIN_POLICY),
    Endpoint("POST", f"{_INDEX}/policy/try", "api.v1:try_policy", Right.ADMIN, "api", v1.TRY_POLICY),
    Endpoint("POST", f"{_INDEX}/promote", "api.v1:promote", Right.UPDATE, "api", v1.PROMOTE),
    Endpoint("GET", f"{_INDEX}/retention", "api.v1:retention", Right.ADMIN, "api", v1.RETENTION),
    Endpoint("GET", f"{_V1}/search", "api.v1:search", Right.LIST, "api", v1.SEARCH),
    Endpoint("GET", f"{_INDEX}/search", "api.v1:search", Right.LIST, "api", v1.SEARCH_INDEX),
    Endpoint("GET", f"{_INDEX}/projects", "api.v1:projects", Right.LIST, "api", v1.PROJECTS),
    Endpoint("GET", _PROJECT, "api.v1:project", Right.LIST, "api", v1.PROJECT),
    Endpoint("GET", f"{_PROJECT}/files", "api.v1:files", Right.LIST, "api", v1.FILES),
    Endpoint("GET", f"{_PROJECT}/releases", "api.v1:releases", Right.LIST, "api", v1.RELEASES),
    Endpoint("GET", f"{_PROJECT}/releases/{{version}}", "api.v1:release", Right.LIST, "api", v1.RELEASE),
    Endpoint("GET", f"{_PROJECT}/dependents", "api.v1:dependents", Right.LIST, "api", v1.DEPENDENTS),
    Endpoint("GET", f"{_PROJECT}/log", "api.v1:project_log", Right.INSPECT, "api", v1.PROJECT_LOG),
    Endpoint("POST", f"{_PROJECT}/yank", "api.v1:yank", Right.MANAGE, "api", v1.YANK),
    Endpoint("POST", f"{_PROJECT}/unyank", "api.v1:unyank", Right.MANAGE, "api", v1.UNYANK),
    Endpoint("POST", f"{_PROJECT}/delete", "api.v1:delete", Right.MANAGE, "api", v1.DELETE),
    Endpoint("POST", f"{_PROJECT}/status", "api.v1:set_status", Right.MANAGE, "api", v1.SET_STATUS),
    Endpoint("GET", f"{_PROJECT}/owners", "api.v1:owners", Right.INSPECT, "api", v1.OWNERS),
    Endpoint("POST", f"{_PROJECT}/owners/add", "api.v1:add_owner", Right.MANAGE, "api", v1.ADD_OWNER),
    Endpoint("POST", f"{_PROJECT}/owners/remove", "api.v1:remove_owner", Right.MANAGE, "api", v1.REMOVE_OWNER),
    Endpoint("GET", f"{_INDEX}/log", "api.v1:log", Right.ADMIN, "api", v1.LOG),
    Endpoint("GET", f"{_V1}/configuration", "api.v1:configuration", Right.ADMIN, "api", v1.CONFIGURATION),
    Endpoint("POST", f"{_V1}/configuration", "api.v1:apply_configuration", Right.ADMIN, "api", v1.APPLY_CONFIGURATION),
    Endpoint("GET", f"{_V1}/advisories", "api.v1:sources", Right.ADMIN, "api", v1.SOURCES),
    Endpoint(
        "GET", f"{_V1}/advisories/projects/{{name}}", "api.v1:project_advisories", Right.LIST, "api", v1.ADVISORIES
    ),
    Endpoint("POST", f"{_V1}/advisories/{{source}}", "api.v1:update_source", Right.ADMIN, "api", v1.UPDATE_SOURCE),
    Endpoint(
        "POST", f"{_V1}/advisories/{{source}}/remove", "api.v1:remove_source", Right.ADMIN, "api", v1.REMOVE_SOURCE
    ),
    Endpoint("GET", f"{_V1}/grants", "api.v1:grants", Right.ADMIN, "api", v1.GRANTS),
    Endpoint("GET", f"{_V1}/grants/explain", "api.v1:explain", Right.ADMIN, "api", v1.EXPLAIN),
    Endpoint("POST", f"{_V1}/grants", "api.v1:grant", Right.ADMIN, "api", v1.GRANT),
    Endpoint("POST", f"{_V1}/grants/revoke", "api.v1:revoke_grants", Right.ADMIN, "api", v1.REVOKE_GRANTS),
    Endpoint("GET", f"{_V1}/groups", "api.v1:groups", Right.ADMIN, "api", v1.GROUPS),
    Endpoint("POST", f"{_V1}/groups/{{group:path}}", "api.v1:set_group", Right.ADMIN, "api", v1.SET_GROUP),
    Endpoint("GET", f"{_V1}/account/tokens", "api.v1:own_tokens", None, "api", v1.OWN_TOKENS),
    Endpoint("POST", f"{_V1}/account/tokens", "api.v1:create_own_token", None, "api", v1.CREATE_OWN_TOKEN),
    Endpoint("POST", f"{_V1}/account/tokens/revoke", "api.v1:revoke_own_tokens", None, "api", v1.REVOKE_OWN_TOKENS),
    Endpoint("GET", f"{_V1}/tokens", "api.v1:tokens", Right.ADMIN, "api", v1.TOKENS),
    Endpoint("POST", f"{_V1}/tokens", "api.v1:create_token", Right.ADMIN, "api", v1.CREATE_TOKEN),
    Endpoint("POST", f"{_V1}/tokens/revoke", "api.v1:revoke_tokens", Right.ADMIN, "api", v1.REVOKE_TOKENS),
    Endpoint("POST", f"{_V1}/tokens/{{token}}/rotate", "api.v1:rotate_token", Right.ADMIN, "api", v1.ROTATE_TOKEN),
    Endpoint("GET", f"{_V1}/grants/check", "api.v1:check_grants", Right.ADMIN, "api", v1.CHECK_GRANTS),
    Endpoint("GET", f"{_V1}/publishers", "api.v1:publishers", Right.ADMIN, "api", v1.PUBLISHERS),
    Endpoint("POST", f"{_V1}/publishers", "api.v1:add_publisher", Right.ADMIN, "api", v1.ADD_PUBLISHER),
    Endpoint("POST", f"{_V1}/publishers/remove", "api.v1:remove_publishers", Right.ADMIN, "api", v1.REMOVE_PUBLISHERS),
    Endpoint("POST", f"{_V1}/publishers/audience", "api.v1:set_audience", Right.ADMIN, "api", v1.SET_AUDIENCE),
    Endpoint("POST", f"{_V1}/sessions/end", "api.v1:end_sessions", Right.ADMIN, "api", v1.END_SESSIONS),
    Endpoint("GET", f"{_INDEX}/trash", "api.v1:trash", Right.ADMIN, "api", v1.TRASH),
    Endpoint("GET", f"{_PROJECT}/trash", "api.v1:project_trash", Right.INSPECT, "api", v1.PROJECT_TRASH),
    Endpoint("POST", f"{_PROJECT}/trash/restore", "api.v1:restore", Right.MANAGE, "api", v1.RESTORE),
    Endpoint("POST", f"{_PROJECT}/trash/empty", "api.v1:empty_trash", Right.MANAGE, "api", v1.EMPTY_TRASH),
    Endpoint("GET", f"{_V1}/webhooks", "api.v1:webhooks", Right.ADMIN, "api", v1.WEBHOOKS),
    Endpoint("POST", f"{_V1}/webhooks", "api.v1:add_webhook", Right.ADMIN, "api", v1.ADD_WEBHOOK),
    Endpoint("POST", f"{_V1}/webhooks/remove", "api.v1:remove_webhooks", Right.ADMIN, "api", v1.REMOVE_WEBHOOKS),
    Endpoint("GET", _WEBHOOK, "api.v1:webhook", Right.ADMIN, "api", v1.WEBHOOK),
    Endpoint("GET", f"{_WEBHOOK}/deliveries", "api.v1:webhook_deliveries", Right.ADMIN, "api", v1.WEBHOOK_DELIVERIES),
    Endpoint("POST", f"{_WEBHOOK}/rotate", "api.v1:rotate_webhook", Right.ADMIN, "api", v1.ROTATE_WEBHOOK),
    Endpoint("POST", f"{_WEBHOOK}/resume", "api.v1:resume_webhook", Right.ADMIN, "api", v1.RESUME_WEBHOOK),
    Endpoint("POST", f"{_WEBHOOK}/test", "api.v1:test_webhook", Right.ADMIN, "api", v1.TEST_WEBHOOK),
    Endpoint("POST", f"{_WEBHOOK}/redeliver", "api.v1:redeliver", Right.ADMIN, "api", v1.REDELIVER),
)
_SESSION: Final = f"{UPLOAD_API}{{session}}"
_FILE: Final = f"{_SESSION}/files/{{file}}"


def _of_sessions(method: Literal["GET", "POST", "DELETE"], path: str, handler: str, operation: Operation) -> Endpoint:
    return Endpoint(method, path, f"sessions.endpoints:{handler}", Right.UPDATE, "session", operation)


_SESSIONS: Final = (
    _of_sessions("POST", UPLOAD_API, "create", sessions.CREATE_SESSION),
    _of_sessions("GET", _SESSION, "status", sessions.SESSION),
    _of_sessions("DELETE", _SESSION, "cancel", sessions.CANCEL_SESSION),
    _of_sessions("POST", f"{_SESSION}/publish", "publish", sessions.PUBLISH_SESSION),
    _of_sessions("POST", f"{_SESSION}/extend", "extend", sessions.EXTEND_SESSION),
    _of_sessions("POST", f"{_SESSION}/files", "add_file", sessions.ADD_SESSION_FILE),
    _of_sessions("GET", _FILE, "file_status", sessions.SESSION_FILE),
    _of_sessions("POST", _FILE, "take_bytes", sessions.SESSION_BYTES),
    _of_sessions("DELETE", _FILE, "delete_file", sessions.DELETE_SESSION_FILE),
    _of_sessions("POST", f"{_FILE}/complete", "complete", sessions.COMPLETE_SESSION_FILE),
    _of_sessions("POST", f"{_FILE}/extend", "extend_file", sessions.EXTEND_SESSION_FILE),
    _of_sessions("POST", f"{_FILE}/attestations", "take_attestations", sessions.SESSION_ATTESTATIONS),
)


def _of_web(
    method: Literal["GET", "POST"], path: str, handler: str, needs: Right | None, operation: Operation
) -> Endpoint:
    return Endpoint(method, path, f"ui.endpoints:{handler}", needs, WEB, operation, takes_sessions=True)


_WEB: Final = (
    _of_web("GET", "/project/{name}/manage/", "manage", Right.INSPECT, about.MANAGE),
    _of_web("POST", "/project/{name}/manage/", "change", Right.MANAGE, about.MANAGED),
    _of_web("GET", "/project/{name}/history/", "history", Right.INSPECT, about.HISTORY),
    _of_web("GET", "/project/{name}/", "project", Right.LIST, about.WEB_PROJECT),
    _of_web("GET", "/project/{name}", "project", Right.LIST, about.WEB_SLASH),
    _of_web("GET", "/project/{name}/diff/", "difference", Right.LIST, about.WEB_DIFFERENCE),
    _of_web("GET", "/project/{name}/used-by/", "used_by", Right.LIST, about.WEB_USED_BY),
    # the last ones: the words above are no versions
    _of_web("GET", "/project/{name}/{version}/", "project", Right.LIST, about.WEB_RELEASE),
    _of_web("GET", "/project/{name}/{version}", "project", Right.LIST, about.WEB_RELEASE_SLASH),
)
_ABOUT: Final = (
    _of_web("GET", "/index/{index}/", "index", Right.LIST, about.WEB_INDEX),
    _of_web("GET", "/-/advisories/{id}/", "advisory", Right.LIST, about.WEB_ADVISORY),
    _of_web("GET", "/index/{index}", "index", Right.LIST, about.WEB_INDEX_SLASH),
)
_ADMIN: Final = (
    *(
        _of_web("GET", f"/-/admin/{path}", handler, Right.ADMIN, about.ADMIN)
        for path, handler in (
            ("", "admin"),
            ("access/", "admin_access"),
            ("log/", "admin_log"),
            ("policy/", "admin_policy"),
            ("storage/", "admin_storage"),
            ("server/", "admin_server"),
            ("jobs/", "admin_jobs"),
            ("settings/", "admin_settings"),
            ("upstreams/", "admin_upstreams"),
        )
    ),
    _of_web("POST", "/-/admin/access/", "change_access", Right.ADMIN, about.CHANGE_ACCESS),
    _of_web("POST", "/-/admin/jobs/", "begin_job", Right.ADMIN, about.BEGIN_JOB),
    _of_web("POST", "/-/admin/policy/", "change_policy", Right.ADMIN, about.CHANGE_POLICY),
)
_OSV: Final = "/-/osv/v1"
_PROVENANCE: Final = "/integrity/{name}/{version}/{filename}/provenance"
_INSIDE: Final = "/project/{name}/{version}/files/{filename}/{path:path}"
_PAST: Final = "/@{moment}"
_OF_THE_PAST: Final = (
    Endpoint("GET", f"{_PAST}/simple/", "simple.as_of:projects_page", Right.LIST, "projects", about.PAST_PROJECTS),
    Endpoint("GET", f"{_PAST}/simple", "simple.pages:add_slash", Right.LIST, OTHER, about.PAST_SLASH),
    Endpoint("GET", f"{_PAST}/simple/{{name}}/", "simple.as_of:project_page", Right.LIST, "project", about.PAST),
    Endpoint("GET", f"{_PAST}/simple/{{name}}", "simple.pages:add_slash", Right.LIST, OTHER, about.PAST_PROJECT_SLASH),
    Endpoint(
        "GET", f"{_PAST}/packages/{{path:path}}", "simple.as_of:download", Right.DOWNLOAD, "file", about.PAST_FILE
    ),
    Endpoint("GET", f"{_PAST}/{{path:path}}", "simple.as_of:elsewhere", None, OTHER, about.PAST_ELSEWHERE),
    Endpoint("POST", f"{_PAST}/{{path:path}}", "simple.as_of:refuse", None, "upload", about.PAST_REFUSED),
)
_ROOT: Final = (
    Endpoint("GET", "/", "ui.endpoints:home", None, "home", about.HOME),
    Endpoint("POST", "/", "simple.uploads:post", Right.UPDATE, "upload", about.UPLOAD),
    *(Endpoint("POST", path, "simple.uploads:post", Right.UPDATE, "upload", about.UPLOAD_TOO) for path in UPLOADS),
    Endpoint("GET", "/simple/", "simple.pages:projects_page", Right.LIST, "projects", about.PROJECTS),
    Endpoint("GET", "/simple", "simple.pages:add_slash", Right.LIST, OTHER, about.ADD_SLASH),
    Endpoint("GET", "/simple/{name}/", "simple.pages:project_page", Right.LIST, "project", about.PROJECT),
    Endpoint("GET", "/simple/{name}", "simple.pages:add_slash", Right.LIST, OTHER, about.ADD_SLASH_TO_PROJECT),
    Endpoint("GET", "/packages", "simple.pages:add_slash", Right.LIST, OTHER, about.ADD_SLASH),
    Endpoint("GET", "/packages/", "ui.browse:packages", Right.LIST, "packages", about.FILES, takes_sessions=True),
    Endpoint("GET", "/packages/{path:path}", "simple.files:download", Right.DOWNLOAD, "file", about.DOWNLOAD),
    Endpoint("GET", _PROVENANCE, "simple.provenance:provenance", Right.DOWNLOAD, "provenance", about.PROVENANCE),
    Endpoint("GET", _INSIDE, "ui.endpoints:inside", Right.DOWNLOAD, WEB, about.INSIDE, takes_sessions=True),
    Endpoint("GET", "/namespaces", "simple.namespaces:namespaces", Right.LIST, "namespaces", about.NAMESPACES),
    Endpoint("GET", "/namespace/{name}", "simple.namespaces:namespace", Right.LIST, "namespaces", about.NAMESPACE),
    Endpoint("POST", "/RPC2", "api.rpc:call", Right.LIST, "rpc", about.SEARCH),
    Endpoint("POST", "/pypi", "simple.uploads:post", Right.UPDATE, "rpc", about.UPLOAD_TOO, takes_forms_only=True),
    Endpoint("POST", "/pypi", "api.rpc:call", Right.LIST, "rpc", about.SEARCH_TOO),
    Endpoint("GET", "/health", "ui.browse:health", None, "health", about.HEALTH, has_any_host=True),
    Endpoint("GET", "/ready", "app.ready:ready", None, "ready", about.READY, has_any_host=True),
    Endpoint("GET", "/metrics", "app.metrics:metrics", Right.METRICS, "metrics", about.METRICS),
    Endpoint("GET", "/openapi.json", "api.openapi:openapi", Right.LIST, OTHER, about.DOCUMENT),
    Endpoint("GET", "/search", "ui.endpoints:search", Right.LIST, WEB, about.WEB_SEARCH, takes_sessions=True),
    Endpoint("GET", "/-/static/{digest}/{name}", "ui.endpoints:static", None, WEB, about.STATIC),
    Endpoint("GET", "/-/login", "login.pages:login", None, "login", about.LOGIN),
    Endpoint("POST", "/-/login", "login.pages:log_in", None, "login", about.LOG_IN),
    Endpoint("GET", "/-/login/provider", "login.pages:provider", None, "login", about.PROVIDER),
    Endpoint("GET", "/-/login/callback", "login.pages:callback", None, "login", about.CALLBACK),
    Endpoint("GET", "/-/account/", "ui.endpoints:account", None, "account", about.ACCOUNT),
    Endpoint("POST", "/-/account/tokens", "ui.endpoints:create_token", None, "account", about.CREATE_TOKEN),
    Endpoint("POST", "/-/account/tokens/revoke", "ui.endpoints:revoke_token", None, "account", about.REVOKE_TOKEN),
    Endpoint("POST", "/-/logout", "login.pages:logout", None, "login", about.LOGOUT),
    Endpoint("POST", f"{_OSV}/querybatch", "api.osv:querybatch", Right.LIST, "osv", about.OSV_BATCH),
    Endpoint("POST", f"{_OSV}/query", "api.osv:query", Right.LIST, "osv", about.OSV_QUERY),
    Endpoint("GET", f"{_OSV}/vulns/{{id}}", "api.osv:vulnerability", Right.LIST, "osv", about.OSV_DOCUMENT),
    *_WEB,
    *_SESSIONS,
    *_API,  # not before the others: a request is compared with one line after the other
    Endpoint("GET", "/_/oidc/audience", "publishing.endpoints:audience", None, "oidc", about.AUDIENCE, is_at_root=True),
    Endpoint(
        "POST", "/_/oidc/mint-token", "publishing.endpoints:mint_token", None, "oidc", about.MINT, is_at_root=True
    ),
    Endpoint(
        "POST", "/_/oidc/burn-token", "publishing.endpoints:burn_token", None, "oidc", about.BURN, is_at_root=True
    ),
    Endpoint(
        "GET", "/.well-known/pytp", "publishing.endpoints:discovery", None, "oidc", about.DISCOVERY, is_at_root=True
    ),
    *_OF_THE_PAST,
    *_ABOUT,
    *_ADMIN,
    Endpoint("GET", "/favicon.ico", "ui.browse:nothing", None, OTHER, about.NOTHING),
    Endpoint("GET", "/pypi/{name}/json", "ui.browse:project_json", Right.LIST, "json", about.PROJECT_JSON),
    Endpoint("GET", "/pypi/{name}/{version}/json", "ui.browse:project_json", Right.LIST, "json", about.RELEASE_JSON),
    Endpoint("GET", "/{name}/json", "ui.browse:project_json", Right.LIST, "json", about.PROJECT_JSON_TOO),
    Endpoint("GET", "/{index}", "ui.browse:to_project", None, OTHER, about.TO_PROJECT, takes_sessions=True),
    Endpoint("GET", "/{index}/", "ui.browse:to_project", None, OTHER, about.TO_PROJECT, takes_sessions=True),
)
_OF_AN_INDEX: Final = frozenset(
    {
        *(f"POST {each}" for each in UPLOADS_OF_AN_INDEX),
        *("GET /simple/", "GET /simple", "GET /simple/{name}/", "GET /simple/{name}"),
        *("GET /packages", "GET /packages/", "GET /packages/{path:path}", f"GET {_PROVENANCE}"),
        *("GET /namespaces", "GET /namespace/{name}", f"GET {_INSIDE}", "GET /search"),
        *("GET /pypi/{name}/json", "GET /pypi/{name}/{version}/json", "POST /RPC2"),
        *(f"POST {_OSV}/querybatch", f"POST {_OSV}/query", f"GET {_OSV}/vulns/{{id}}"),
        "GET /-/advisories/{id}/",
        *(f"{each.method} {each.path}" for each in (*_OF_THE_PAST, *_SESSIONS, *_WEB)),
    }
)
"""The addresses that are also below the name of an index."""
_NAMED: Final = tuple(
    replace(each, path=f"/{{index}}{each.path}", operation=below_index(each.operation))
    for each in _ROOT
    if f"{each.method} {each.path}" in _OF_AN_INDEX
)
_TABLE: Final = (*_ROOT, *_NAMED)  # the first one that fits counts, so no name of an index hides another address


def endpoints(health: str) -> tuple[Endpoint, ...]:
    """The whole table, in which `health` is the address of the health endpoint (a setting)."""
    return tuple(replace(each, path=health) if each.label == "health" else each for each in _TABLE)


def endpoint_of(label: str) -> Endpoint:
    """The first line with this label."""
    return next(each for each in _TABLE if each.label == label)


def mount_of(scope: Scope) -> str:
    """Where another application has mounted this one: WSGI's SCRIPT_NAME, ASGI's root_path; "" for nowhere.

    Starlette adds the prefix of its own routes to root_path, and keeps the original beside it.
    """
    return str(scope.get("app_root_path", scope.get("root_path", ""))).rstrip("/")


def path_within(scope: Scope) -> str:
    """The path below the mount. It is "" for the mount itself. Servers that leave the mount out of the path are few."""
    path, mount = str(scope["path"]), mount_of(scope)
    return path[len(mount) :] if path == mount or path.startswith(f"{mount}/") else path


_POSTS: Final = ((API, "api"), ("/-/osv/", "osv"), (UPLOAD_API, "session"), (PROJECT_PAGES, WEB), ("/-/admin/", WEB))
"""The labels of POSTs by a part of the path."""


class FirstFit:
    """Finds the first of many paths of endpoints that a path fits, in one step."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._pattern = re.compile("|".join(f"({_pattern(each)})" for each in paths))

    def of(self, path: str) -> int | None:
        """Its number; None when no one fits."""
        match = self._pattern.fullmatch(path)
        return None if match is None else (match.lastindex or 1) - 1


class RouteTable:
    """Finds the label of a request."""

    def __init__(self, prefix: str, health: str) -> None:
        """`prefix`: the path under which everything is served, without a slash at its end; `health`: its endpoint."""
        self._prefix = prefix
        self._fixed: dict[tuple[str, str], str] = {}
        others: list[Endpoint] = []
        for each in endpoints(health):
            if "{" not in each.path:
                self._fixed.setdefault((each.method, each.path), each.label)
            elif each.method == "GET":
                others.append(each)
        self._fixed["GET", ""] = self._fixed["GET", "/"]
        self._at_root: dict[tuple[str, str], str] = {
            (each.method, each.path): each.label for each in endpoints(health) if each.is_at_root
        }
        self._fitting = FirstFit([each.path for each in others])
        self._labels = [each.label for each in others]

    def of(self, method: str, path: str) -> str:
        """The label; OTHER for a path of no endpoint, and for redirects."""
        if self._prefix:
            if not path.startswith(self._prefix):
                return self._at_root.get((method if method == "POST" else "GET", path), OTHER)
            path = path[len(self._prefix) :]
        if method == "POST":
            # one to another address is told where uploads go
            found = next((label for part, label in _POSTS if part in path), None)
            return found or self._fixed.get(("POST", path), "rpc" if path.endswith("/RPC2") else "upload")
        label = self._fixed.get(("GET", path))
        if label is None:
            number = self._fitting.of(path)
            label = OTHER if number is None else self._labels[number]
        return METADATA if label == "file" and path.endswith(".metadata") else label


def _pattern(path: str) -> str:
    """A path as a regular expression without groups."""
    parts = re.split(r"\{\w+(:path)?\}", path)
    return "".join(
        (r"(?s:.*)" if part == ":path" else "[^/]+") if number % 2 else re.escape(part)
        for number, part in enumerate(parts)
    )
