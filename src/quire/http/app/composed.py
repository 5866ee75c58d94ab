"""The indexes of one worker, composed as their definitions say.

Each is made at its first request, and made again when a definition changes that it depends on: an object stands for one
composition, so a request by one state of the definitions is never answered by the sources of another. All that is known
of the store is shared by them: only views are dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import structlog

from quire.access.decisions import AccessState
from quire.catalog.served import ServedIndex
from quire.domain.upstreams import Upstreams

if TYPE_CHECKING:
    from quire.catalog.mirroring import Mirrors

log = structlog.stdlib.get_logger(__name__)


class _Composed(NamedTuple):
    served: ServedIndex
    upstreams: Upstreams
    """Of the definitions; empty where those of the settings count."""


class ComposedIndexes:
    """Belongs to one event loop."""

    def __init__(
        self,
        default: ServedIndex,
        make: Callable[[str], ServedIndex],
        mirrors: Callable[[], Mirrors],
        settings_upstreams: Upstreams = (),
    ) -> None:
        """`default`: the index at the server's root without definitions; `make`: another one without sources behind it,
        by name; `mirrors`: those of the worker; `settings_upstreams`: of the default index, where its definition has
        none.
        """
        self._bare = default
        self._make = make
        self._mirrors = mirrors
        self._settings_upstreams = settings_upstreams
        self._state: AccessState | None = None
        self._default = _Composed(self._behind(default, settings_upstreams), ())
        self._named: dict[str, _Composed] = {}

    @property
    def default(self) -> ServedIndex:
        """The index at the server's root, by the definitions that were met last."""
        return self._default.served

    def at(self, name: str, state: AccessState) -> ServedIndex | None:
        """The index of a name by this state of the definitions; None when there is none."""
        if name == self._bare.name:
            return self.root(state)
        definition = state.document.indexes.get(name)
        if definition is None:
            self._named.pop(name, None)
            return None
        known = self._named.get(name)
        if known is None or known.upstreams != definition.upstreams:
            index = known.served if known is not None else self._make(name)
            known = _Composed(self._behind(index, definition.upstreams), definition.upstreams)
            self._named[name] = known
        return known.served

    def root(self, state: AccessState) -> ServedIndex:
        """The index at the server's root by this state of the definitions."""
        if state is not self._state:
            self._state = state
            upstreams = state.definition(self._bare.name).upstreams
            if upstreams != self._default.upstreams:
                self._report(upstreams)
                self._default = _Composed(self._behind(self._bare, upstreams or self._settings_upstreams), upstreams)
        return self._default.served

    def known(self, name: str) -> ServedIndex | None:
        """The index of a name, if this worker has made it."""
        composed = self._default if name == self._bare.name else self._named.get(name)
        return None if composed is None else composed.served

    def _behind(self, index: ServedIndex, upstreams: Upstreams) -> ServedIndex:
        """The index with these upstreams behind it."""
        source = self._mirrors().behind(upstreams) if upstreams else None
        if source is None:
            return index.with_behind([], index.policy) if index.has_behind else index
        # Names that are reserved are asked nowhere, and clients are sent nowhere else for one that upstreams may have.
        policy = replace(index.policy, fallback_url=None, reserved=self._bare.policy.reserved)
        return index.with_behind([[source]], policy)

    def _report(self, upstreams: Upstreams) -> None:
        defined = {each.url for each in upstreams}
        for each in self._settings_upstreams:
            if defined and each.url not in defined:
                log.warning("upstream not used", index=self._bare.name, upstream=each.url)
