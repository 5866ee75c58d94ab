"""The sweep of a store that every worker makes now and then: what promotions, stages and publishing sessions of dead
workers left, files that were in the trash for their time, and staged bytes of uploads that were abandoned.
"""

from __future__ import annotations

import structlog

from quire.access.records import AccessRecords
from quire.domain.errors import DamagedRecord, QuireError
from quire.domain.publishing_sessions import is_token
from quire.domain.trash import is_trash
from quire.index.audit.entries import Origin
from quire.index.index import Index, all_indexes
from quire.index.promoting import Promoter
from quire.operations.expiring import Expiry
from quire.operations.promoting import end_stages
from quire.operations.publishing_sessions import Sessions

log = structlog.stdlib.get_logger(__name__)


class Sweeper:
    """Sweeps one store. A trash is not read again before its next file is due."""

    def __init__(self, default: Index, *, ends_stages: bool) -> None:
        """`default`: the index of the settings; `ends_stages`: whether stages and sessions end, which are definitions:
        not for a server that reads none."""
        self._default = default
        self._ends_stages = ends_stages
        self._expiries = {default.name: Expiry(default)}

    def sweep(self, older_than: float) -> int:
        """Sweep once; how many staged files were older than so many seconds. Blocks.

        A step that fails does not stop the next ones. Raises StoreError, of the last step.
        """
        for step in (self._end_stages, self._forget_sessions, self._end_promotions):
            try:
                step()
            except QuireError as error:
                log.warning("not swept", error=str(error))
        return self._default.store.sweep(older_than)

    def _end_stages(self) -> None:
        if self._ends_stages:
            store = self._default.store
            end_stages(AccessRecords(store), store, self._default.name, Origin())

    def _forget_sessions(self) -> None:
        if self._ends_stages:
            store = self._default.store
            Sessions(store, AccessRecords(store), self._default.name).forget_ended(Origin())

    def _end_promotions(self) -> None:
        """And expire the trash, of each index."""
        store = self._default.store
        for index in all_indexes(store):
            # The stages of sessions have no trash, and nothing is promoted into them; there is one for each release.
            if index.name not in self._expiries and not is_trash(index.name) and not is_token(index.name):
                self._expiries[index.name] = Expiry(index)
        for name, expiry in self._expiries.items():
            for step in (Promoter(Index(store, name)).recover, expiry.run):
                try:
                    step()
                except DamagedRecord as error:
                    log.warning("not swept", index=name, error=str(error))
