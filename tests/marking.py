"""`python -m tests.marking run ...`: quire whose plain answers are marked, so that a test can tell them from others.

With QUIRE_MARKING_NETWORK in its environment it takes every file system for one of a network.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from quire.cli import main
from quire.dropin import tree as folder_scan
from quire.http.fast.answer import Answer
from quire.http.fast.plain import PlainDownload, PlainRequests, Response
from quire.store.posix import store as posix

MARK = "x-plain"
NETWORK = "QUIRE_MARKING_NETWORK"

_response = PlainRequests._response


def _marked(
    plain: PlainRequests, answer: Answer, identity: str, further: Sequence[tuple[bytes, bytes]]
) -> Response | PlainDownload:
    response = _response(plain, answer, identity, further)
    head = response[0].replace(b"\r\n", f"\r\n{MARK}: yes\r\n".encode(), 1)
    return response._replace(head=head) if isinstance(response, PlainDownload) else (head, *response[1:])


if __name__ == "__main__":
    setattr(PlainRequests, "_response", _marked)  # noqa: B010 - mypy would rather not see a method replaced
    if NETWORK in os.environ:
        for module in (folder_scan, posix):
            setattr(module, "filesystem_type", lambda _path: ("network", False))  # noqa: B010 - as above
    sys.exit(main())
