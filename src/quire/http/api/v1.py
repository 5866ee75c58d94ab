"""The handlers of the JSON API under `/-/api/v1/`, whose modules are imported at the first request for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module

from starlette.requests import Request
from starlette.responses import Response

Handler = Callable[[Request], Awaitable[Response]]


def _of(module: str, function: str) -> Handler:
    async def handle(request: Request) -> Response:
        handler: Handler = getattr(import_module(f"quire.http.api.{module}"), function)
        return await handler(request)

    return handle


whoami = _of("v1_access", "whoami")
indexes = _of("v1_indexes", "indexes")
create_index = _of("v1_indexes", "create_index")
delete_index = _of("v1_indexes", "delete_index")
set_index = _of("v1_indexes", "set_index")
policy = _of("v1_policies", "policy")
set_policy = _of("v1_policies", "set_policy")
explain_policy = _of("v1_policies", "explain_policy")
try_policy = _of("v1_policies", "try_policy")
promote = _of("v1_promotions", "promote")
configuration = _of("v1_configuration", "configuration")
apply_configuration = _of("v1_configuration", "apply_configuration")
sources = _of("v1_advisories", "sources")
project_advisories = _of("v1_advisories", "project_advisories")
update_source = _of("v1_advisories", "update_source")
remove_source = _of("v1_advisories", "remove_source")
retention = _of("v1_retention", "retention")
projects = _of("v1_projects", "projects")
project = _of("v1_projects", "project")
files = _of("v1_projects", "files")
releases = _of("v1_projects", "releases")
release = _of("v1_projects", "release")
yank = _of("v1_changes", "yank")
unyank = _of("v1_changes", "unyank")
delete = _of("v1_changes", "delete")
set_status = _of("v1_changes", "set_status")
owners = _of("v1_owners", "owners")
add_owner = _of("v1_owners", "add_owner")
remove_owner = _of("v1_owners", "remove_owner")
log = _of("v1_log", "log")
project_log = _of("v1_log", "project_log")
grants = _of("v1_access", "grants")
explain = _of("v1_access", "explain")
grant = _of("v1_access", "grant")
revoke_grants = _of("v1_access", "revoke_grants")
groups = _of("v1_access", "groups")
set_group = _of("v1_access", "set_group")
tokens = _of("v1_tokens", "tokens")
create_token = _of("v1_tokens", "create_token")
revoke_tokens = _of("v1_tokens", "revoke_tokens")
rotate_token = _of("v1_tokens", "rotate_token")
check_grants = _of("v1_access", "check_grants")
publishers = _of("v1_publishers", "publishers")
add_publisher = _of("v1_publishers", "add_publisher")
remove_publishers = _of("v1_publishers", "remove_publishers")
set_audience = _of("v1_publishers", "set_audience")
end_sessions = _of("v1_publishers", "end_sessions")
trash = _of("v1_trash", "trash")
project_trash = _of("v1_trash", "project_trash")
restore = _of("v1_trash", "restore")
empty_trash = _of("v1_trash", "empty")
webhooks = _of("v1_webhooks", "webhooks")
webhook = _of("v1_webhooks", "webhook")
add_webhook = _of("v1_webhooks", "add_webhook")
remove_webhooks = _of("v1_webhooks", "remove_webhooks")
rotate_webhook = _of("v1_webhooks", "rotate_webhook")
resume_webhook = _of("v1_webhooks", "resume_webhook")
test_webhook = _of("v1_webhooks", "test_webhook")
webhook_deliveries = _of("v1_webhooks", "deliveries")
redeliver = _of("v1_webhooks", "redeliver")
