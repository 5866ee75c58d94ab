"""The verdict of the last examination of a store, which is kept in it: a small record, replaced by the next one."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import msgspec

from quire import __version__
from quire.doctor.findings import Finding, Verdict
from quire.domain.errors import Conflict
from quire.domain.structs import decode_as
from quire.domain.times import stamp
from quire.store.contracts import Records

KEY: Final = "access/doctor/store"
_MOST: Final = 50
"""Findings that are kept."""
_MOST_WORDS: Final = 1000
_ATTEMPTS: Final = 4


class KeptFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A finding; see `Finding`."""

    code: str
    weight: str
    sentence: str
    advice: str = ""


class KeptVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict, with where and when it was reached."""

    format: int = 1
    at: str
    container: str
    """The name of the machine on which the command ran."""
    version: str
    verdict: str
    quick: bool
    rounds: int
    peer: str | None = None
    """The second machine of the test."""
    findings: tuple[KeptFinding, ...] = ()


def verdict_of(
    verdict: Verdict, findings: Iterable[Finding], *, quick: bool, rounds: int, peer: str | None = None
) -> KeptVerdict:
    """The record of an examination that has just ended on this machine."""
    return KeptVerdict(
        at=stamp(datetime.now(UTC)),
        container=socket.gethostname(),
        version=__version__,
        verdict=str(verdict),
        quick=quick,
        rounds=rounds,
        peer=peer,
        findings=tuple(
            KeptFinding(
                code=each.code,
                weight=str(each.weight),
                sentence=each.sentence[:_MOST_WORDS],
                advice=each.advice[:_MOST_WORDS],
            )
            for each in findings
        )[:_MOST],
    )


def keep(records: Records, verdict: KeptVerdict) -> None:
    """Keep it in place of the last one. Raises StoreError."""
    for attempt in range(_ATTEMPTS):
        try:
            records.write(KEY, msgspec.json.format(msgspec.json.encode(verdict), indent=1) + b"\n", records.read(KEY))
        except Conflict:  # another machine ended at the same moment
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return


def last_verdict(records: Records) -> KeptVerdict | None:
    """The last one; None where there is none that this version understands. Raises StoreError."""
    try:
        found = decode_as(records.read(KEY).data or b"", KeptVerdict)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return found if found.format == 1 else None
