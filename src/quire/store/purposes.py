"""The purposes that a store can have. The mark of its layout says which, and a program that opens it for another one is
refused: a server never serves a place of backups, nor a store that is restored in part."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from quire.domain.errors import UnknownLayout


class Purpose(StrEnum):
    """The use of a store."""

    INDEX = "index"
    """Servers serve it."""
    BACKUPS = "backups"
    """It has backups of other stores (`quire.operations.backup`)."""
    RESTORE = "restore"
    """It is being restored from a backup, and a part may be missing."""


_TAKEN: Final = {
    Purpose.INDEX: frozenset({Purpose.INDEX}),
    Purpose.BACKUPS: frozenset({Purpose.BACKUPS}),
    Purpose.RESTORE: frozenset({Purpose.RESTORE, Purpose.INDEX}),
}
"""By the purpose for which a store is opened, the marks that it may have; a restore begins with an empty index."""


def check_purpose(place: str, found: Purpose, wanted: Purpose) -> None:
    """Raises UnknownLayout when the store at this place is not for what it is opened for."""
    if found in _TAKEN[wanted]:
        return
    if found is Purpose.RESTORE:
        raise UnknownLayout(
            f"{place} is being restored from a backup, and a part of it is missing; repeat 'quire restore' until it "
            "has ended."
        )
    if found is Purpose.BACKUPS:
        raise UnknownLayout(
            f"{place} has backups, and is no index; restore one with 'quire restore {place} -d DIR', into an empty "
            "place, or name another one."
        )
    raise UnknownLayout(f"{place} is the store of an index, and no place for backups; name another one.")
