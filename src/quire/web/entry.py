"""The former name of `quire.http.entry`, for servers of one's own that were set up with it."""

from __future__ import annotations

from typing import Any

import structlog

from quire.config.deprecations import warning_of
from quire.http import entry

_log = structlog.stdlib.get_logger("quire.run")


def __getattr__(name: str) -> Any:
    """See `quire.http.entry`. Warns when a server asks for its application: the log is set up then."""
    found = getattr(entry, name)
    if name in {"application", "wsgi_application"}:
        _log.warning(warning_of(__name__))
        globals()[name] = found
    return found
