"""The journal of an index's promotions in its store, and what readers see by it; see `quire.domain.promotions`."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from quire.domain.changes import present
from quire.domain.errors import Conflict, OutcomeUnknown, StoreError
from quire.domain.project import Project, decode_project
from quire.domain.promotions import (
    JOURNAL,
    Promotion,
    Promotions,
    State,
    decode_journal,
    encode_journal,
    folded,
    without_pending,
)
from quire.store.contracts import Names, Record, Records

_ATTEMPTS: Final = 200
_LONGEST_PAUSE: Final = 0.1


class Seen(NamedTuple):
    """A project as its readers see it."""

    project: Project | None
    record: Record
    journal: Record | None = None
    """The journal, where the project is still as it is only while this is: there are pending files of an open
    promotion. That a promotion is committed or aborted is final."""


class ListedNames(NamedTuple):
    """The names of the projects as readers see them."""

    names: tuple[str, ...]
    found: Names
    """As the store lists them. Is never unchanged where the index has promotions, so that the usual case needs no
    further question."""
    watched: tuple[Names, Record] | None = None
    """The names and the journal that it is true by, where the index has promotions."""


class Journal:
    """Safe to use from several threads and any number of processes."""

    def __init__(self, records: Records, index: str) -> None:
        self._records = records
        self._prefix = f"{index}/projects"
        self._key = f"{self._prefix}/{JOURNAL}"

    def read(self, known: Record | None = None) -> Record:
        """The record now: the very `known` when it is unchanged. Raises StoreError."""
        return self._records.read(self._key, known)

    def promotions(self) -> Promotions:
        """All that are under way. Raises DamagedRecord, StoreError."""
        return decode_journal(self.read().data, self._key)

    def get(self, promotion: str) -> Promotion | None:
        """Raises DamagedRecord, StoreError."""
        return self.promotions().get(promotion)

    def change(self, transition: Callable[[Promotions], Promotions]) -> Promotions:
        """Replace the journal; what it is then. `transition` gives back the very object it got when nothing is to do,
        also when it was done already: it is called once more after a write of unknown outcome.

        Raises what `transition` raises, DamagedRecord, StoreError.
        """
        for attempt in range(_ATTEMPTS):
            record = self.read()
            before = decode_journal(record.data, self._key)
            after = transition(before)
            if after is before:
                self._records.confirm(record)
                return before
            try:
                self._records.write(self._key, encode_journal(after), record)
            except (Conflict, OutcomeUnknown):
                time.sleep(random.uniform(0, min(0.0005 * 2**attempt, _LONGEST_PAUSE)))  # noqa: S311 - spreads writers
            else:
                return after
        raise StoreError("The journal of promotions has too many writers at once; repeat later.")

    def see(self, record: Record, project: Project | None) -> Seen:
        """The project as readers see it in a record that was just read. `project`: as it is stored there.

        Raises DamagedRecord, StoreError.
        """
        while True:
            if project is None or project.pending is None:
                return Seen(project, record)
            journal = self.read()
            promotion = decode_journal(journal.data, self._key).get(project.pending.promotion)
            if promotion is not None and promotion.state is not State.COMMITTED:
                # It was open, or aborted, also when the record was read.
                watched = journal if promotion.state is State.OPEN else None
                return Seen(present(without_pending(project)), record, watched)
            # It may have been committed after the record was read, with changes of the record before: only if the
            # record is still the same was there a moment with both. Without an entry it may be folded by now.
            again = self._records.read(record.key, record)
            if again is record:
                return Seen(present(folded(project) if promotion is not None else without_pending(project)), record)
            record, project = again, None if again.data is None else decode_project(again.data, again.key)

    def names(self, known: ListedNames | None = None) -> ListedNames:
        """The names now: the very `known` when that is still true. A name with nothing but pending files of an open, or
        an aborted, promotion is none. Raises DamagedRecord, StoreError."""
        if known is not None and known.watched is None:
            found = self._records.names(self._prefix, known.found)
            if found is known.found:
                return known
        elif known is not None and known.watched is not None:
            found = self._records.names(self._prefix, known.watched[0])
            if found is known.watched[0] and self.read(known.watched[1]) is known.watched[1]:
                return known
        else:
            found = self._records.names(self._prefix)
        while JOURNAL in found.names:
            journal = self.read()
            hidden = self._hidden(found, decode_journal(journal.data, self._key))
            # Only if both are still the same, there was a moment at which all that was read was true.
            again = self._records.names(self._prefix, found)
            if again is found and self.read(journal) is journal:
                names = tuple(name for name in found.names if name not in hidden)
                return ListedNames(names, Names(self._prefix, (), ""), (found, journal))
            found = again
        return ListedNames(found.names, found)

    def _hidden(self, found: Names, promotions: Promotions) -> set[str]:
        """The names that are no project's yet."""
        there = set(found.names)
        unfinished = [each for each in promotions.values() if each.state is not State.COMMITTED]
        doubtful = {name for each in unfinished for name in each.projects if name in there}
        return {JOURNAL, *(name for name in doubtful if self._is_hidden(name, promotions))}

    def _is_hidden(self, name: str, promotions: Promotions) -> bool:
        data = self._records.read(f"{self._prefix}/{name}").data
        project = None if data is None else decode_project(data, name)
        if project is None or project.pending is None or present(project) is not None:
            return False
        promotion = promotions.get(project.pending.promotion)
        return promotion is None or promotion.state is not State.COMMITTED
