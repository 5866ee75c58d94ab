"""JSON of which a signature or a decision depends: taken only where all readers read the same in it."""

from __future__ import annotations

import json
from typing import Any

import msgspec


def decode_strictly(data: bytes) -> Any:
    """The value of a document in I-JSON (RFC 7493): in UTF-8, with no name twice in an object, no half of a surrogate
    pair, no NaN and no infinity.

    Raises ValueError for any other, and for one that is nested too deep.
    """
    try:
        msgspec.json.decode(data)  # keeps to UTF-8 and to RFC 8259, which Python's decoder does not
        return json.loads(data, object_pairs_hook=_unique)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, of which readers that take the first of two equal names see the same as those that take the last."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found
