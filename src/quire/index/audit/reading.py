"""Reading the log: the entries of one project, or of all, each once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from quire.index.audit.archive import archive_key, read_archive
from quire.index.audit.entries import Entry, entries_of
from quire.store.contracts import Record, Records


@dataclass(frozen=True, slots=True)
class Logged:
    """An entry and its project."""

    project: str
    """The normalized name; empty for a change of grants or tokens."""
    entry: Entry

    @property
    def at(self) -> str:
        """When, RFC 3339 in UTC with microseconds, so that text sorts as time does; empty if it does not say."""
        at = self.entry.get("at")
        return at if isinstance(at, str) else ""

    @property
    def revision(self) -> int:
        revision = self.entry.get("revision")
        return revision if isinstance(revision, int) else 0


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which entries are asked for; None asks for all."""

    since: str | None = None
    """As `Logged.at`; entries of that very moment are included."""
    user: str | None = None
    action: str | None = None

    def includes(self, logged: Logged) -> bool:
        entry = logged.entry
        return (
            (self.since is None or logged.at >= self.since)
            and (self.user is None or entry.get("user") == self.user)
            and (self.action is None or entry.get("action") == self.action)
        )


class LogReader:
    """Reads the log of one index, again and again if wanted: what is known to be unchanged costs one question."""

    def __init__(
        self,
        records: Records,
        index: str,
        prefix: str,
        *,
        actions: Collection[str] | None = None,
        further: LogReader | None = None,
    ) -> None:
        """`prefix`: the folder of the projects' records. `actions`: the only ones that are read; None: all.
        `further`: reads more entries of the same projects, whose revisions are counted apart.
        """
        self._records = records
        self._index = index
        self._prefix = prefix
        self._actions = actions
        self._further = further
        self._known: dict[str, Record] = {}

    def project(self, name: str, filter_: LogFilter | None = None) -> list[Logged]:
        """The entries of a project (normalized name), in the order of its revisions. Raises StoreError."""
        filter_ = filter_ or LogFilter()
        # The record first: entries that are archived after this read are in it.
        carried = entries_of(self._read(f"{self._prefix}/{name}"))
        archived: list[Entry] = []
        if filter_.since is None or not carried or Logged(name, carried[0]).at >= filter_.since:
            archived = read_archive(self._records, archive_key(self._index, name))
        return [
            logged
            for logged in _once(name, [*archived, *carried])
            if filter_.includes(logged) and (self._actions is None or logged.entry.get("action") in self._actions)
        ]

    def all(
        self, names: Iterable[str], filter_: LogFilter | None = None, others: Iterable[Logged] = ()
    ) -> list[Logged]:
        """The entries of these projects, by time; within a project by revision, even if its writers' clocks differ.

        `others`: entries of another log, in the order of its revisions.
        """
        found = [[logged for logged in others if filter_ is None or filter_.includes(logged)]]
        for name in names:
            found.append(self.project(name, filter_))
            if self._further is not None:
                found.append(self._further.project(name, filter_))
        return list(by_time(found))

    def new_entries(
        self,
        names: Callable[[], Iterable[str]],
        filter_: LogFilter,
        seen_ids: set[str],
        others: Callable[[], Iterable[Logged]] = tuple,
    ) -> list[Logged]:
        """The entries of all projects whose ids are not in `seen_ids`; their ids are added to it. `others`: as for
        `all`."""
        found = self.all(names(), filter_, others())
        new = [logged for logged in found if str(logged.entry.get("id")) not in seen_ids]
        seen_ids.update(str(logged.entry.get("id")) for logged in new)
        return new

    def _read(self, key: str) -> Record:
        record = self._known[key] = self._records.read(key, self._known.get(key))
        return record


def _once(project: str, entries: Iterable[Entry]) -> list[Logged]:
    """Each id once, in the order of the revisions."""
    by_id = {str(entry.get("id")): entry for entry in entries}
    return sorted((Logged(project, entry) for entry in by_id.values()), key=lambda logged: logged.revision)


def by_time(logs: Iterable[list[Logged]]) -> Iterator[Logged]:
    """By time; an entry never before one of an earlier revision of its project."""
    dated = []
    for log in logs:
        latest = ""
        for logged in log:
            latest = max(latest, logged.at)
            dated.append((latest, logged.project, logged.revision, logged))
    yield from (logged for *_, logged in sorted(dated, key=lambda item: item[:3]))
