"""`python -m tests.marking run ...`: quire whose plain answers are marked, so that a test can tell them from others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from quire.cli import main
from quire.web.plain import PlainRequests

MARK = "x-plain"

_answer = PlainRequests.answer


def _marked(
    plain: PlainRequests, data: bytes, client: Callable[[], str], further: Sequence[tuple[bytes, bytes]]
) -> bytes | None:
    response = _answer(plain, data, client, further)
    return None if response is None else response.replace(b"\r\n", f"\r\n{MARK}: yes\r\n".encode(), 1)


if __name__ == "__main__":
    setattr(PlainRequests, "answer", _marked)  # noqa: B010 - mypy would rather not see a method replaced
    sys.exit(main())
