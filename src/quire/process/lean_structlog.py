"""structlog, imported without rich.

structlog imports rich, and with it Pygments, for the coloured tracebacks of a kind of log line that quire never writes.
In a server that is a quarter of its start-up and of its modules. structlog does without rich where there is none, so
rich is hidden while structlog is imported, by the means that Python has for it: None in `sys.modules`
(docs.python.org, The import system, The module cache). Afterwards rich can be imported as ever.

Only for processes that are quire's own, and before anything else imports structlog: in another program's process its
author decides how structlog prints tracebacks.
"""

from __future__ import annotations

import sys

__all__ = ["structlog"]

_is_hidden = "rich" not in sys.modules
if _is_hidden:
    sys.modules["rich"] = None  # type: ignore[assignment]  # typeshed does not know of None's meaning here
try:
    import structlog
finally:
    if _is_hidden:
        del sys.modules["rich"]
