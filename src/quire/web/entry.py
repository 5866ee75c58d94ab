"""What servers import: `application` (ASGI) and `wsgi_application`, made from QUIRE_SETTINGS when first asked for.

For one's own server: `create_application(settings)` of `quire.web.app`, or set QUIRE_SETTINGS, or QUIRE_DIRECTORIES and
the other QUIRE_* variables, and name `quire.web.entry:application`.
"""

from __future__ import annotations

import os
from typing import Any

from a2wsgi import ASGIMiddleware

from quire.config import SETTINGS_VARIABLE, Settings
from quire.logs import configure
from quire.web.app import create_application


def _settings() -> Settings:
    return Settings.load(os.environ[SETTINGS_VARIABLE])


def __getattr__(name: str) -> Any:
    """Importing this module does nothing, so that a server may fork in between."""
    if name == "application":
        settings = _settings()
        configure(settings)
        application = globals()["application"] = create_application(settings)
        return application
    if name == "wsgi_application":
        wsgi_application = globals()["wsgi_application"] = ASGIMiddleware(__getattr__("application"))
        return wsgi_application
    raise AttributeError(name)
