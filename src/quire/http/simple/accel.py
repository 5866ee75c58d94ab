"""Downloads handed to the proxy: X-Accel-Redirect, as nginx understands it.

quire decides the rights; nginx, which sees the same directory, sends the bytes. The header carries an address that
clients cannot request (`internal`); nginx removes the header.
https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_ignore_headers and
https://nginx.org/en/docs/http/ngx_http_core_module.html#internal have the rules.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from urllib.parse import quote


def internal_location(path: str | None, roots: Sequence[str], locations: Sequence[str]) -> str | None:
    """The internal address of a file that is to be sent, percent-encoded; None to send it from here.

    `path`: absolute and real, as the stores open files. `roots`: the real paths of the served directories.
    `locations`: for the first roots, in their order, nginx's names for them; each begins and ends with a slash.
    A file outside of these roots has no address: a proxy never leaves a served directory.
    """
    if path is None or "/../" in path:
        return None
    for root, location in zip(roots, locations, strict=False):
        inside = f"{root.rstrip('/')}/"
        if path.startswith(inside):
            return location + quote(os.fsencode(path[len(inside) :]))
    return None
