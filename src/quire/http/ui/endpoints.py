"""The endpoints of the web interface, whose modules are imported at the first request for them."""

from __future__ import annotations

from quire.http.app.lazily import lazily

home = lazily("ui.home", "home")
static = lazily("ui.static_files", "static")
