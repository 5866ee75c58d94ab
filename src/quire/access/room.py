"""The room in the record of grants and tokens: how large it may be, and which changes are made when it is full.

Theory of operation. Every worker reads the whole document again after each change of it, so it is bounded. The bound
must not keep an operator from taking a right away. So a change that would pass it is made all the same when it gives
nothing: when the document does not grow by it, apart from the marks of ended tokens and sessions and from the log.
These are small: a token is revoked once, and the log goes to its archive. The tokens that one user makes without an
administrator are bounded where they are made (`quire.access.changing.with_own_token`).
"""

from __future__ import annotations

from typing import Final

import msgspec

from quire.access.document import AccessDocument, encode_access, with_fields
from quire.domain.errors import InvalidRequest

MAX_BYTES: Final = 8 * 1024 * 1024
"""Of the record: some 20,000 tokens."""
_TIMES_FULL: Final = 2
"""A change that gives nothing may make the record so many times as large. A full one with all of its tokens revoked is
far from it."""


def exceeds_room(size: int) -> bool:
    """Whether a record of so many bytes is only written by a change that gives nothing."""
    return size > MAX_BYTES


def check_room(before: AccessDocument, after: AccessDocument, size: int) -> None:
    """Whether a change may make a record of so many bytes. Raises InvalidRequest when there is no room for it."""
    if exceeds_room(size) and (size > _TIMES_FULL * MAX_BYTES or _size(after) > _size(before)):
        raise InvalidRequest(
            f"The store's grants and tokens would be larger than {MAX_BYTES >> 20} MiB; take grants back or remove "
            "publishers that are of no use any more."
        )


def _size(document: AccessDocument) -> int:
    """Bytes of a document without its log and the marks of ended tokens and sessions."""
    tokens = {
        identity: token if token.revoked is None else msgspec.structs.replace(token, revoked=None)
        for identity, token in document.tokens.items()
    }
    return len(encode_access(with_fields(document, tokens=tokens, sessions=None)))
