"""The tables of the catalog, and how its file is opened.

`projects` has a row for each project of each place (`quire.search.places`). Two full-text tables are made of it:
`words` of names, keywords, summaries, classifiers and the keys of places, and `names` of the trigrams of names, between
`^` and `$`, for names with a mistype. `needs` has the requirements, `people` the uploaders, `places` how far each place
is read.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from pathlib import Path
from typing import Final

FILE: Final = "search-2.sqlite"
"""The number is that of the schema."""
MOST_BYTES: Final = 2 * 1024**3
"""Of the file; what does not fit any more is not found by its words."""
_RESERVED: Final = 8
"""One part of so many of the file is for removals alone: until they free room, they take some."""
_PAGE: Final = 4096
_MOST_JOURNAL: Final = 16 * 1024**2
_CACHE_KIB: Final = 8192
_BUSY_SECONDS: Final = 10.0

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS places (
    place TEXT PRIMARY KEY, total INTEGER NOT NULL, done INTEGER NOT NULL,
    checked REAL NOT NULL, took REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS projects (
    id INTEGER PRIMARY KEY, place TEXT NOT NULL, name TEXT NOT NULL,
    tag TEXT, display TEXT NOT NULL DEFAULT '', keywords TEXT NOT NULL DEFAULT '', summary TEXT NOT NULL DEFAULT '',
    classifiers TEXT NOT NULL DEFAULT '', updated TEXT NOT NULL DEFAULT '', pythons INTEGER NOT NULL DEFAULT -1,
    yanked INTEGER NOT NULL DEFAULT 0, facts BLOB
);
CREATE UNIQUE INDEX IF NOT EXISTS by_name ON projects (name, place);
CREATE INDEX IF NOT EXISTS by_place ON projects (place, name);
CREATE INDEX IF NOT EXISTS by_update ON projects (updated, place, yanked, pythons);
CREATE TABLE IF NOT EXISTS needs (
    needed TEXT NOT NULL, place TEXT NOT NULL, project INTEGER NOT NULL, PRIMARY KEY (needed, place, project)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS needs_of ON needs (project);
CREATE TABLE IF NOT EXISTS people (
    person TEXT NOT NULL, place TEXT NOT NULL, project INTEGER NOT NULL, PRIMARY KEY (person, place, project)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS people_of ON people (project);
CREATE VIEW IF NOT EXISTS bounded AS SELECT id, '^' || name || '$' AS name FROM projects;
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(
    name, keywords, summary, classifiers, place, content='projects', content_rowid='id', detail='column', prefix='2 3',
    tokenize="unicode61 remove_diacritics 2"
);
CREATE VIRTUAL TABLE IF NOT EXISTS names USING fts5(
    name, content='bounded', content_rowid='id', detail='none', tokenize='trigram'
);
CREATE TRIGGER IF NOT EXISTS added AFTER INSERT ON projects BEGIN
    INSERT INTO words (rowid, name, keywords, summary, classifiers, place)
        VALUES (new.id, new.name, new.keywords, new.summary, new.classifiers, new.place);
    INSERT INTO names (rowid, name) VALUES (new.id, '^' || new.name || '$');
END;
CREATE TRIGGER IF NOT EXISTS changed AFTER UPDATE OF keywords, summary, classifiers ON projects
WHEN (old.keywords, old.summary, old.classifiers) <> (new.keywords, new.summary, new.classifiers) BEGIN
    INSERT INTO words (words, rowid, name, keywords, summary, classifiers, place)
        VALUES ('delete', old.id, old.name, old.keywords, old.summary, old.classifiers, old.place);
    INSERT INTO words (rowid, name, keywords, summary, classifiers, place)
        VALUES (new.id, new.name, new.keywords, new.summary, new.classifiers, new.place);
END;
CREATE TRIGGER IF NOT EXISTS removed AFTER DELETE ON projects BEGIN
    INSERT INTO words (words, rowid, name, keywords, summary, classifiers, place)
        VALUES ('delete', old.id, old.name, old.keywords, old.summary, old.classifiers, old.place);
    INSERT INTO names (names, rowid, name) VALUES ('delete', old.id, '^' || old.name || '$');
    DELETE FROM needs WHERE project = old.id;
    DELETE FROM people WHERE project = old.id;
END;
"""


def connect(path: Path) -> sqlite3.Connection:
    """A connection to the catalog in this file, which is made if there is none. Raises sqlite3.Error, OSError."""
    while not path.exists():
        _make(path)
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute(f"PRAGMA journal_size_limit={_MOST_JOURNAL}")
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        connection.execute("PRAGMA synchronous=OFF")  # it is made again after a loss of power
    except BaseException:
        connection.close()
        raise
    return connection


def bound(connection: sqlite3.Connection, *, removes: bool) -> None:
    """Bound the file before a change: a removal, or any other. Raises sqlite3.Error."""
    most = MOST_BYTES // _PAGE
    connection.execute(f"PRAGMA max_page_count={most if removes else most - most // _RESERVED}")


def _make(path: Path) -> None:
    """Make the file, unless another process is faster. It appears complete: of several connections that bring one file
    into its journal mode at the same time all but one would be told at once that it is locked."""
    made = Path(tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)[1])
    try:
        with contextlib.closing(sqlite3.connect(made, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(f"BEGIN;{_SCHEMA}COMMIT;")
        with contextlib.suppress(FileExistsError):
            os.link(made, path)
    finally:
        made.unlink(missing_ok=True)
