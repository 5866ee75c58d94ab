"""The endpoints of the web interface, whose modules are imported at the first request for them."""

from __future__ import annotations

from quire.http.app.lazily import lazily

home = lazily("ui.home", "home")
index = lazily("ui.index_page", "index_page")
advisory = lazily("ui.advisory", "advisory")
manage = lazily("ui.manage", "manage")
change = lazily("ui.manage", "change")
history = lazily("ui.manage", "history")
inside = lazily("ui.inside", "inside")
search = lazily("ui.search", "search")
used_by = lazily("ui.search", "used_by")
admin = lazily("ui.admin", "overview")
admin_access = lazily("ui.admin", "access")
change_access = lazily("ui.admin", "change_access")
admin_log = lazily("ui.admin", "log")
admin_policy = lazily("ui.admin_policy", "policy")
change_policy = lazily("ui.admin_policy", "change_policy")
admin_storage = lazily("ui.admin", "storage")
admin_server = lazily("ui.admin_server", "server")
admin_settings = lazily("ui.admin_server", "settings")
admin_jobs = lazily("ui.admin_jobs", "jobs")
begin_job = lazily("ui.admin_jobs", "begin")
admin_upstreams = lazily("ui.admin_server", "upstreams")
static = lazily("ui.static_files", "static")
project = lazily("ui.projects.handlers", "project")
difference = lazily("ui.projects.handlers", "compared")
account = lazily("ui.account", "account")
create_token = lazily("ui.account", "create")
revoke_token = lazily("ui.account", "revoke")
