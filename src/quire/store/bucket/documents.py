"""Documents in objects: the identity of writes, and the outcome of a write whose answer was lost.

Theory of operation. The answer to a conditional write can be missing (a timeout, a server error, a lost connection),
and it can lie: a client, a proxy or a load balancer that repeats a request meets the state that its first try made, and
is refused. So each document begins with a line of its own that names the write which made it (a nonce: 64 random bits)
and the writes before it, the last `HISTORY` of them. The reader of a document can tell for each of these writes that it
took place. An object therefore has no two equal states: neither its ETag nor its tag ever comes back, also when the
same content does.

After anything but a clear success, the writer reads the object again (`judge`):

- its nonce is there, now or in the history: the write took place, and others may have written since;
- the object is still what the writer expected: the write did not take place, but a late try still may. The writer
  writes the very same document again, with the same nonce and the same condition. At most one of the two succeeds;
- the history reaches back to the expected write, or to the object's beginning, and the nonce is not there: a conflict.
  A late try cannot succeed any more, since the state that it expects never comes back;
- the history is too short: the outcome stays unknown.
"""

from __future__ import annotations

import enum
import secrets
from typing import Final

import msgspec

from quire.domain.errors import DamagedRecord
from quire.domain.structs import decode_as

HISTORY: Final = 12
"""Earlier writes that a document names."""
UNBORN: Final = "0"
"""In the place of a nonce, before the first write."""
_FORMAT: Final = 1


class _Head(msgspec.Struct, omit_defaults=True):
    """The first line of a document."""

    quire: int
    nonce: str
    before: list[str]
    kind: str = ""


class Kind(enum.StrEnum):
    """The state of the record that a document stores."""

    PRESENT = ""
    DELETED = "deleted"
    """The rest is the deletion's note, where it left one."""
    NEVER = "never"
    """There never was a record: a fence in its place (`quire.store.bucket.names`)."""


class Document(msgspec.Struct, frozen=True):
    """One state of an object."""

    nonce: str
    before: tuple[str, ...]
    """The nonces of the writes before this one, the last one first; ends with UNBORN where it reaches the beginning."""
    kind: Kind
    data: bytes

    def encoded(self) -> bytes:
        head = _Head(_FORMAT, self.nonce, list(self.before), str(self.kind))
        return msgspec.json.encode(head) + b"\n" + self.data


class Verdict(enum.Enum):
    """How a write ended."""

    WRITTEN = enum.auto()
    NOT_YET = enum.auto()
    CONFLICT = enum.auto()
    UNKNOWN = enum.auto()


def successor(nonce: str, before: tuple[str, ...], kind: Kind, data: bytes) -> Document:
    """A document to be written in the place of the one with this nonce and history; UNBORN and () for none."""
    return Document(secrets.token_hex(8), (nonce, *before)[:HISTORY], kind, data)


def decode(data: bytes, key: str) -> Document:
    """The document in an object. Raises DamagedRecord for anything else."""
    line, _, rest = data.partition(b"\n")
    try:
        head = decode_as(line, _Head)
        kind = Kind(head.kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise DamagedRecord(f"The object {key} is not a document of quire; restore it from a backup.") from error
    if head.quire != _FORMAT:
        raise DamagedRecord(f"The object {key} was written by a newer quire (format {head.quire}); use that one.")
    return Document(head.nonce, tuple(head.before), kind, rest)


def judge(found: Document | None, written: Document) -> Verdict:
    """How the write of `written` ended, by what is stored now. None: there is no object."""
    expected = written.before[0]
    nonce, before = (UNBORN, ()) if found is None else (found.nonce, found.before)
    if written.nonce == nonce or written.nonce in before:
        return Verdict.WRITTEN
    if nonce == expected:
        return Verdict.NOT_YET
    if expected in before or UNBORN in before or found is None:
        return Verdict.CONFLICT
    return Verdict.UNKNOWN
