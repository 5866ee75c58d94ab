"""Decisions by the settings alone (`--rights settings`): no request reads the record of grants, tokens and definitions.

In a bucket that read is one request of the two that a page costs. It is safe as long as the record has nothing that
decides on requests, so a server looks at its start, and then each minute. It would not obey what decides there, so it
answers no request then.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from quire.access.decisions import AccessState, TokenFault
from quire.access.document import EMPTY, KEY, AccessDocument
from quire.access.records import AccessRecords, StoredAccess
from quire.domain.errors import DamagedRecord, StoreError
from quire.store.contracts import NEVER_WRITTEN, Record

SECONDS: Final = 60.0
"""Between two looks at the record, at the most."""


class SettingsState(AccessState):
    """The state of a server that reads none: no grants, no tokens, no definitions."""

    def find_token(self, identity: str, digest: str, now: datetime, began: datetime | None = None) -> TokenFault:
        """See `AccessState`: no token counts, whether there is one or not."""
        return TokenFault.NOT_TAKEN


class SettingsAlone:
    """A source of the read barrier (`quire.catalog.freshness.Source`) that reads nothing. For any thread."""

    def __init__(self, access: AccessRecords) -> None:
        self._access = access
        self._read: StoredAccess | None = None
        self._obstacle: str | None = None
        self._value = StoredAccess(Record(KEY, None, NEVER_WRITTEN), SettingsState(EMPTY))

    def look(self) -> None:
        """Read the record: from now on each `load` raises while something in it decides, or may decide, as it cannot be
        understood. Blocks. Raises StoreError; one that cannot be read now leaves the answer as it was."""
        try:
            self._read = self._access.read(self._read)
        except DamagedRecord as error:
            self._obstacle = str(error)
            raise
        self._obstacle = obstacle(self._read.state.document)

    def begin_tick(self) -> None:
        """See `Source`."""

    def load_inline(self, key: str, known: StoredAccess | None) -> StoredAccess:
        """See `Source`. Raises StoreError where the record, as last seen, decides on requests, or may."""
        if self._obstacle is not None:
            raise StoreError(self._obstacle)
        return self._value

    load = load_inline


def obstacle(document: AccessDocument) -> str | None:
    """A sentence that says what in a document decides on requests, and what to do; None where nothing does."""
    state = AccessState(document)
    if state.decides:
        found, way = f"grants ({len(document.grants)})", "take them back with 'quire revoke'"
    elif document.indexes:
        names = ", ".join(sorted(document.indexes))
        found, way = f"definitions of indexes ({names})", "set them back or delete them with 'quire index'"
    else:
        return None
    return (
        f"The store has {found}, which a server with --rights settings would not obey; serve it with --rights store, "
        f"the default, or {way}."
    )
