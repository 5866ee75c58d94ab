"""The catalog: what is known of all projects, in one SQLite file that the processes of a machine share.

It is derived and may be wrong: about what exists decides the index, of which each result is asked before it is shown.
Every method blocks. Safe to use from several threads and processes: a file that was deleted, or is damaged, is made
again at the next call.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec

from quire.domain.errors import StoreError, reason_of
from quire.domain.structs import decode_as
from quire.search.facts import Facts
from quire.search.schema import FILE, bound, connect

T = TypeVar("T")

_IDLE: Final = 4
"""Connections that are kept."""
_NO_ROOM: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


class Row(NamedTuple):
    """A project of one place."""

    place: str
    name: str
    tag: str | None
    """Of the state that the facts are of; None where only the name is known."""
    facts: Facts | None


class Progress(NamedTuple):
    """How far a place is read."""

    total: int
    done: int
    checked: float
    """When every project of it was compared with the store last, in seconds since the epoch; 0 for never."""
    took: float
    """Seconds."""


_UNREAD: Final = Progress(0, 0, 0.0, 0.0)


class SearchUnavailable(StoreError):
    """The catalog cannot be used."""


class Catalog:
    """One file."""

    def __init__(self, folder: Path) -> None:
        """`folder`: where the file is, or is made; on a disk of this machine."""
        self.path = folder / FILE
        self._lock = threading.Lock()
        self._idle: list[tuple[int, sqlite3.Connection]] = []
        """With the number of the file that each is of."""
        self._most_idle = _IDLE

    # -- reading ------------------------------------------------------------------------------------------------------

    def progress(self, places: Iterable[str]) -> dict[str, Progress]:
        """By place, how far it is read."""
        with self.reading() as connection:
            rows = connection.execute("SELECT place, total, done, checked, took FROM places").fetchall()
        found = {row[0]: Progress(*row[1:]) for row in rows}
        return {place: found.get(place, _UNREAD) for place in places}

    def places(self) -> list[str]:
        """The places of which anything is known."""
        with self.reading() as connection:
            rows = connection.execute("SELECT place FROM places UNION SELECT DISTINCT place FROM projects")
            return [place for (place,) in rows]

    def tags(self, place: str) -> dict[str, str | None]:
        """The tag of each project of a place, by name."""
        with self.reading() as connection:
            return dict(connection.execute("SELECT name, tag FROM projects WHERE place = ?", (place,)))

    def select(self, condition: str, values: Sequence[object]) -> list[Row]:
        """The rows of the projects `p` that fulfil a condition, in SQL. Raises SearchUnavailable."""
        with self.reading() as connection:
            found = connection.execute(f"SELECT {COLUMNS} FROM projects p {condition}", values)  # noqa: S608 - ours
            return [row_of(each) for each in found]

    def rows(self, numbers: Sequence[int]) -> dict[int, Row]:
        """The rows with these numbers, as far as there are such ones. Raises SearchUnavailable."""
        marks = ", ".join("?" * len(numbers))
        with self.reading() as connection:
            found = connection.execute(f"SELECT p.id, {COLUMNS} FROM projects p WHERE p.id IN ({marks})", numbers)  # noqa: S608
            return {each[0]: row_of(each[1:]) for each in found}

    def row(self, place: str, name: str) -> Row | None:
        """A project of a place, if it is known. Raises SearchUnavailable."""
        return next(iter(self.select("WHERE p.place = ? AND p.name = ?", (place, name))), None)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection, for this thread alone meanwhile. Raises SearchUnavailable."""
        number, connection = self._connection()
        try:
            yield connection
        except sqlite3.Error as error:
            connection.close()
            self._remove_damaged(error)
            raise SearchUnavailable(f"Search is not available: its catalog cannot be used ({error}).") from error
        except BaseException:
            connection.close()
            raise
        with self._lock:
            if len(self._idle) < self._most_idle:
                self._idle.append((number, connection))
                return
        connection.close()

    # -- writing ------------------------------------------------------------------------------------------------------

    def add_names(self, place: str, names: Sequence[str]) -> None:
        """Enter names of which no more is known."""
        self._write(
            lambda connection: connection.executemany(
                "INSERT OR IGNORE INTO projects (place, name, display) VALUES (?, ?, ?)",
                [(place, name, name) for name in names],
            )
        )

    def remove(self, place: str, names: Sequence[str]) -> None:
        """Remove projects of a place, also of a catalog that has no room for more."""
        self._write(
            lambda connection: connection.executemany(
                "DELETE FROM projects WHERE place = ? AND name = ?", [(place, name) for name in names]
            ),
            removes=True,
        )

    def forget(self, place: str) -> None:
        """Remove a place that has no projects any more."""
        self._write(lambda connection: connection.execute("DELETE FROM places WHERE place = ?", (place,)), removes=True)

    def put(self, place: str, found: Mapping[str, tuple[str, Facts]]) -> None:
        """Enter what is known of projects: by name, the tag of the state and the facts."""

        def put(connection: sqlite3.Connection) -> None:
            for name, (tag, facts) in found.items():
                (row,) = connection.execute(
                    "INSERT INTO projects (place, name, tag) VALUES (?, ?, ?)"
                    " ON CONFLICT (name, place) DO UPDATE SET tag = excluded.tag RETURNING id",
                    (place, name, tag),
                ).fetchone()
                connection.execute(
                    "UPDATE projects SET display = ?, keywords = ?, summary = ?, classifiers = ?, updated = ?,"
                    " pythons = ?, yanked = ?, facts = ? WHERE id = ?",
                    (
                        *(facts.display, facts.keywords, facts.summary, "\n".join(facts.classifiers)),
                        *(facts.updated, facts.pythons, facts.yanked, _packed(facts), row),
                    ),
                )
                _replace(connection, "needs (needed, place, project)", place, row, {each.name for each in facts.needs})
                _replace(connection, "people (person, place, project)", place, row, set(facts.uploaders))

        self._write(put)

    def note(self, place: str, progress: Progress) -> None:
        """Enter how far a place is read."""
        self._write(
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO places (place, total, done, checked, took) VALUES (?, ?, ?, ?, ?)",
                (place, *progress),
            )
        )

    def close(self) -> None:
        """Close the connections that are kept, and keep none from now on."""
        with self._lock:
            self._most_idle = 0
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def _write(self, change: Callable[[sqlite3.Connection], object], *, removes: bool = False) -> None:
        with self.reading() as connection:
            bound(connection, removes=removes)
            try:
                connection.execute("BEGIN IMMEDIATE")
                change(connection)
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    def _connection(self) -> tuple[int, sqlite3.Connection]:
        number = self.number()
        with self._lock:
            while self._idle:
                known, connection = self._idle.pop()
                if known == number:
                    return known, connection
                connection.close()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = connect(self.path)
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, sqlite3.Error):
                self._remove_damaged(error)
            raise SearchUnavailable(
                f"Search is not available: its catalog cannot be opened ({reason_of(error)})."
            ) from error
        return self.number(), connection

    def number(self) -> int:
        """Names the file; 0 for none."""
        try:
            return os.stat(self.path).st_ino
        except OSError:
            return 0

    def _remove_damaged(self, error: sqlite3.Error) -> None:
        """Remove a file that is no catalog, so that the next call makes one."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB} or "no such table" in str(error):
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)


def is_no_room(error: BaseException | None) -> bool:
    """Whether the catalog could not be written because its disk, or the catalog, is full."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _NO_ROOM


COLUMNS: Final = "p.place, p.name, p.tag, p.summary, p.keywords, p.classifiers, p.facts"
"""Of `projects p`, for `row_of`."""


def row_of(values: Sequence[object]) -> Row:
    """The row of a selection of COLUMNS."""
    place, name, tag, summary, keywords, classifiers, packed = values
    if not isinstance(packed, bytes):
        return Row(str(place), str(name), None, None)
    facts = msgspec.structs.replace(
        decode_as(packed, Facts),
        summary=str(summary),
        keywords=str(keywords),
        classifiers=tuple(str(classifiers).split("\n")) if classifiers else (),
    )
    return Row(str(place), str(name), str(tag), facts)


def _packed(facts: Facts) -> bytes:
    """The facts that have no columns of their own."""
    return msgspec.json.encode(msgspec.structs.replace(facts, summary="", keywords="", classifiers=()))


def _replace(connection: sqlite3.Connection, columns: str, place: str, row: int, values: set[str]) -> None:
    table = columns.partition(" ")[0]
    connection.execute(f"DELETE FROM {table} WHERE project = ?", (row,))  # noqa: S608 - of two tables
    connection.executemany(
        f"INSERT INTO {columns} VALUES (?, ?, ?)",  # noqa: S608 - of two tables
        [(value, place, row) for value in sorted(values)],
    )


def now() -> float:
    """The time, in seconds since the epoch."""
    return time.time()
