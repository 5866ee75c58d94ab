"""`python -m tests.marking run ...`: quire with marked fast-path responses, so that a test can distinguish them.

With QUIRE_MARKING_NETWORK in its environment it takes every file system for one of a network.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from quire.cli import main
from quire.dropin import tree as folder_scan
from quire.http.fast.raw_requests import RawDownload, RawRequests, ResponseBytes
from quire.http.fast.responses import CachedResponse
from quire.store.posix import store as posix

MARK = "x-plain"
NETWORK = "QUIRE_MARKING_NETWORK"

_response = RawRequests._response


def _marked(
    raw_requests: RawRequests, answer: CachedResponse, identity: str, further: Sequence[tuple[bytes, bytes]]
) -> ResponseBytes | RawDownload:
    response = _response(raw_requests, answer, identity, further)
    head = response[0].replace(b"\r\n", f"\r\n{MARK}: yes\r\n".encode(), 1)
    return response._replace(head=head) if isinstance(response, RawDownload) else (head, *response[1:])


if __name__ == "__main__":
    setattr(RawRequests, "_response", _marked)  # noqa: B010 - mypy would rather not see a method replaced
    if NETWORK in os.environ:
        for module in (folder_scan, posix):
            setattr(module, "filesystem_type", lambda _path: ("network", False))  # noqa: B010 - as above
    sys.exit(main())
