"""Finds the projects that a query may mean, the best first. They are candidates: the index decides what there is.

Ranks: the exact name, names that begin with it, names with the words, names with it inside, names with a mistype (only
where the words find few), projects with the words anywhere. Each rank is bounded, so a word that all projects have
costs no more than another.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache, cached_property, partial
from itertools import accumulate, chain, combinations, pairwise
from typing import Any, Final, NamedTuple, TypeAlias

from quire.search.catalog import Catalog, Row
from quire.search.facts import python_bit
from quire.search.query import MOST_PAGES, PAGE_SIZE, Query, distance, most_edits, score

MOST: Final = MOST_PAGES * PAGE_SIZE
"""Candidates of one query."""
MANY_DEPENDENTS: Final = 500
"""So many projects that need one are found on a way through all names in their order; fewer are found, and sorted."""
_MOST_OF_NAMES: Final = 200
"""Of each rank of names."""
_MOST_MATCHES: Final = 5000
"""Matches that are filtered."""
_MOST_READ: Final = 100_000
"""Names that are compared one by one, where many have the parts of one."""
_MOST_READ_MISTYPED: Final = 10_000
"""The same for a mistyped name, which takes longer."""
_MOST_PLACES: Final = 8
"""Places among which words are looked up at once; a search of more looks among all."""
_MOST_POSTINGS: Final = 1000
"""Names with one part of a mistyped name."""
_MOST_TRIGRAMS: Final = 16
_MOST_COMPARED: Final = 100
_MOST_SCORED: Final = 500
_ENOUGH: Final = 10
"""With so many others, names with a mistype are not looked for."""
_TRIGRAM: Final = 3
_COUNTED: Final = 200
"""Candidates that are always looked for, so that their number is known; more only for later pages."""
_SPARE: Final = 2 * PAGE_SIZE
"""Candidates beyond a page, since some may be gone."""
_COLUMNS: Final = "p.id, p.place, p.name"
_TEXTS: Final = "{name keywords summary classifiers}"
_WORD: Final = re.compile("[a-z0-9]+")


class Candidate(NamedTuple):
    """A project that a query may mean."""

    number: int
    """Of its row."""
    place: str
    name: str


_Step: TypeAlias = Callable[[], list[Candidate]]
_Texts: TypeAlias = tuple[str, ...]
"""Parts of a name."""


class Found(NamedTuple):
    """The candidates of a query."""

    candidates: list[Candidate]
    """The best first. A project that several places have is one for each."""
    is_cut: bool
    """Whether there may be more."""


class _Filter(NamedTuple):
    """A condition for rows, as SQL."""

    where: str
    values: tuple[object, ...]


def find(catalog: Catalog, query: Query, places: Sequence[str]) -> Found:
    """The candidates of a query in these places. Blocks. Raises SearchUnavailable."""
    if not places:
        return Found([], is_cut=False)
    filtered = _filter_of(query, places)
    with catalog.reading() as connection:
        return _Finding(connection, filtered, query, places).run()


def newest(catalog: Catalog, places: Sequence[str], number: int) -> list[Row]:
    """The projects with the latest uploads. Blocks. Raises SearchUnavailable."""
    filtered = _filter_of(Query(), places)
    return catalog.select(
        f"INDEXED BY by_update WHERE {filtered.where} AND p.updated <> '' ORDER BY p.updated DESC LIMIT ?",
        (*filtered.values, number),
    )


def dependents(catalog: Catalog, name: str, places: Sequence[str], after: str, number: int) -> list[Row]:
    """Projects whose newest release needs this one, of so many names, in their order, from the first one after `after`.
    A name that several places have is one row for each. Blocks. Raises SearchUnavailable."""
    marks = ", ".join("?" * len(places))
    needing = f"SELECT project FROM needs WHERE needed = ? AND place IN ({marks})"  # noqa: S608 - ours
    is_many = count_dependents(catalog, [name], places, MANY_DEPENDENTS)[name] == MANY_DEPENDENTS
    sql = (
        f"SELECT DISTINCT p.name FROM projects p {'INDEXED BY by_name ' if is_many else ''}"  # noqa: S608 - ours
        f"WHERE p.name > ? AND p.id IN ({needing}) ORDER BY p.name LIMIT ?"
    )
    with catalog.reading() as connection:
        names = [each for (each,) in connection.execute(sql, (after, name, *places, number))]
    marks = ", ".join("?" * len(names))
    return catalog.select(f"WHERE p.name IN ({marks}) AND p.id IN ({needing}) ORDER BY p.name", (*names, name, *places))


def count_dependents(catalog: Catalog, names: Iterable[str], places: Sequence[str], most: int) -> dict[str, int]:
    """By name, how many projects need it, up to `most`. Blocks. Raises SearchUnavailable."""
    marks = ", ".join("?" * len(places))
    sql = f"SELECT count(*) FROM (SELECT 1 FROM needs WHERE needed = ? AND place IN ({marks}) LIMIT ?)"  # noqa: S608
    with catalog.reading() as connection:
        return {name: connection.execute(sql, (name, *places, most)).fetchone()[0] for name in names}


class _Finding:
    """One query on one connection."""

    def __init__(self, connection: sqlite3.Connection, filtered: _Filter, query: Query, places: Sequence[str]) -> None:
        self._connection = connection
        self._filter = filtered
        self._query = query
        self._places = places
        self._is_cut = False
        """Whether matches were left unread that may be candidates."""
        self._is_narrowed = False
        self._found: dict[int, Candidate] = {}
        self._wanted = min(max(_COUNTED, query.page * PAGE_SIZE + _SPARE), MOST)

    def run(self) -> Found:
        if not self._may_pass():
            return Found([], is_cut=False)
        query, words = self._query, self._query.words
        steps: list[_Step] = [self._latest]
        if query.text:
            steps = self._by_name(query.name) if query.name else []
            if words:
                matching = _matching(words)[int(query.is_filtered) :]
                steps += self._by_words(words, matching)
                texts = matching if max(map(len, words)) > 1 else ()
                anywhere = [cache(partial(self._anywhere, each, words)) for each in texts]
                if query.name:
                    steps += self._by_likeness(query.name, anywhere)
                steps += anywhere
        for step in steps:
            for each in step():
                self._found.setdefault(each.number, each)
            if len(self._found) > self._wanted:
                return Found(list(self._found.values())[: self._wanted], is_cut=True)
        return Found(list(self._found.values()), is_cut=self._is_cut)

    def _may_pass(self) -> bool:
        """Whether there is an upload since then, and one by this uploader."""
        query, asked = self._query, list[tuple[str, str]]()
        if query.since:
            asked.append(("SELECT 1 FROM projects WHERE updated >= ? LIMIT 1", query.since))
        if query.uploader:
            asked.append(("SELECT 1 FROM people WHERE person = ? LIMIT 1", query.uploader))
        return all(self._connection.execute(sql, (value,)).fetchone() for sql, value in asked)

    def _latest(self) -> list[Candidate]:
        hint = "" if self._query.is_filtered else "INDEXED BY by_update "
        return self._select(f"{hint}WHERE", (), "ORDER BY p.updated DESC")

    def _by_name(self, name: str) -> list[_Step]:
        return [
            lambda: self._select("WHERE p.name = ? AND", (name,)),
            lambda: sorted(self._select("WHERE p.name > ? AND p.name < ? AND", (name, f"{name}~")), key=_length),
        ]

    def _by_likeness(self, name: str, anywhere: Sequence[_Step]) -> list[_Step]:
        """Names with this one inside, and those with a mistype; none of these where the words find enough anywhere."""

        def mistyped() -> list[Candidate]:
            if len(self._found) >= _ENOUGH or (anywhere and len(anywhere[0]()) >= _ENOUGH):
                return []
            return self._mistyped(name)

        return [partial(self._inside, name), mistyped]

    def _by_words(self, words: Sequence[str], matching: Sequence[str]) -> list[_Step]:
        """Names with all the words. SQLite reads all projects with each of several words for that, wherever the words
        are, so such names are found by the trigrams of names."""
        if len(words) > 1 and all(len(each) >= _TRIGRAM and each.isascii() for each in words):
            return [partial(self._named_so, words)]
        return [partial(self._named, each) for each in matching]

    def _select(self, condition: str, values: tuple[object, ...], order: str = "") -> list[Candidate]:
        sql = f"SELECT {_COLUMNS} FROM projects p {condition} {self._filter.where} {order} LIMIT ?"  # noqa: S608 - ours
        found = self._connection.execute(sql, (*values, *self._filter.values, self._wanted + 1))
        return [Candidate(*each) for each in found]

    def _named(self, match: str) -> list[Candidate]:
        found = self._words(f"name : ({match})", _COLUMNS)
        return sorted((Candidate(*each) for each in found), key=_length)

    def _named_so(self, words: Sequence[str]) -> list[Candidate]:
        """Names with all words, those with all of them whole first."""

        def rank(each: Candidate) -> int:
            parts = each.name.split("-")
            whole, begun = (all(map(has, words)) for has in (parts.__contains__, partial(_begins_one, parts)))
            return 0 if whole else 1 if begun else 2

        found = self._trigrams([each for word in words for each in _trigrams(word)], "", MOST)
        ranked = sorted((rank(each), *_length(each), each) for each in found)
        return [each for *_, each in ranked if rank(each) < 2]

    def _words(self, match: str, columns: str, most: int = MOST) -> list[tuple[Any, ...]]:
        try:
            return self._matching(match, columns, most)
        except sqlite3.OperationalError as error:
            if "phrase" in str(error) or "syntax" in str(error):  # a word is none to SQLite, or several
                return []
            raise

    def _matching(self, match: str, columns: str, most: int) -> list[tuple[Any, ...]]:
        """The projects that match. Where many of other places match as well, words and places are looked up at once,
        which takes longer."""
        first, values = "words MATCH ?", list[object]()
        if self._query.uploader:
            first += f" AND +rowid IN ({_uploaded(len(self._places))})"
            values = [self._query.uploader, *self._places]
        found, is_cut = list[tuple[Any, ...]](), True
        if not self._is_narrowed:
            found, is_cut = self._filtered("words", first, [match, *values], columns, most)
        if is_cut and self._has_others and (within := _within(self._places)):
            self._is_narrowed = True  # for the words of the further steps as well
            narrowed = [f"({match}) AND {within}", *values]
            found, is_cut = self._filtered("words", first, narrowed, columns, most)
        self._is_cut |= is_cut
        return found

    @cached_property
    def _has_others(self) -> bool:
        """Whether the catalog has other places."""
        marks = ", ".join("?" * len(self._places))
        sql = f"SELECT 1 FROM places WHERE place NOT IN ({marks}) LIMIT 1"  # noqa: S608 - ours
        return self._connection.execute(sql, self._places).fetchone() is not None

    def _filtered(
        self, table: str, first: str, values: Sequence[object], columns: str, most: int, *, inside: str = ""
    ) -> tuple[list[tuple[Any, ...]], bool]:
        """The projects that fulfil a first condition, for the full-text table, and pass the filters, with a text inside
        their names; and whether fewer than `most` were found because not all were looked at."""
        matches = f"SELECT rowid FROM {table} WHERE {first} LIMIT ?"  # noqa: S608 - ours
        bounds = (*values, _MOST_MATCHES)
        sql = (
            f"SELECT {columns} FROM ({matches}) m JOIN projects p ON p.id = m.rowid"  # noqa: S608 - ours
            f" WHERE instr(p.name, ?) AND {self._filter.where} LIMIT ?"
        )
        found = self._connection.execute(sql, (*bounds, inside, *self._filter.values, most)).fetchall()
        if len(found) == most:
            return found, False
        (number,) = self._connection.execute(f"SELECT count(*) FROM ({matches})", bounds).fetchone()  # noqa: S608 - ours
        return found, number == _MOST_MATCHES

    def _anywhere(self, match: str, words: Sequence[str]) -> list[Candidate]:
        found = self._words(match, f"{_COLUMNS}, p.keywords, p.summary", _MOST_SCORED)
        scored = [(-score(words, *each[2:]), len(each[2]), Candidate(*each[:3])) for each in found]
        return [each for _, _, each in sorted(scored, key=lambda each: (*each[:2], each[2].name))]

    def _inside(self, name: str) -> list[Candidate]:
        return sorted(self._trigrams(_trigrams(name), name, self._wanted + 1), key=_length)

    def _trigrams(self, trigrams: Sequence[str], inside: str, most: int) -> list[Candidate]:
        """Names that have all of these trigrams, and a text inside."""
        if not trigrams:
            return []
        texts = list(dict.fromkeys(trigrams))[:_MOST_TRIGRAMS]
        found, is_cut = self._filtered("names", "names MATCH ?", [_all_of(texts)], _COLUMNS, most, inside=inside)
        if is_cut:
            found += self._named_with([*texts, inside], most)
        return [Candidate(*each) for each in found]

    def _named_with(self, texts: Sequence[str], most: int) -> list[tuple[Any, ...]]:
        """The projects whose names have all of these texts inside, by the names of these places alone."""
        own, values = self._own_names(_MOST_READ)
        named = " AND ".join(["instr(m.name, ?)"] * len(texts))
        sql = (
            f"SELECT {_COLUMNS} FROM ({own}) m CROSS JOIN projects p ON p.id = m.id"  # noqa: S608 - ours
            f" WHERE {named} AND {self._filter.where} LIMIT ?"
        )
        return self._connection.execute(sql, (*values, *texts, *self._filter.values, most)).fetchall()

    def _own_names(self, most: int) -> tuple[str, list[object]]:
        """The numbers and names, between `^` and `$`, of so many projects of these places, as SQL. Those of the
        smallest places are first, so that a large one hides none of a small one."""
        sizes = dict[str, int](self._connection.execute("SELECT place, total FROM places"))
        ordered = sorted(self._places, key=lambda place: sizes.get(place, 0))
        sums = accumulate(sizes.get(place, 0) for place in ordered)
        whole = max(1, sum(each <= most for each in sums))
        parts = [each for each in (ordered[:whole], ordered[whole : whole + 1]) if each]
        named = "SELECT id, '^' || name || '$' AS name FROM projects INDEXED BY by_place WHERE place IN"
        own = " UNION ALL ".join(f"{named} ({', '.join('?' * len(each))})" for each in parts)
        return f"{own} LIMIT ?", [*chain(*parts), most]

    def _mistyped(self, name: str) -> list[Candidate]:
        """The projects whose names have parts of this one, and are few edits away; none where a name begins with this
        one: then it is not mistyped."""
        most = most_edits(name)
        if not most or any(each.name.startswith(name) for each in self._found.values()):
            return []
        pairs, single = _parts(f"^{name}$", most + 1)
        near, is_cut = list[Candidate](), False
        for wanted in (pairs, single):
            if not near:
                numbers, has_more = self._having_most(wanted)
                near = self._near(name, numbers, most)
                is_cut |= has_more
        if is_cut and (len(self._places) > 1 or self._has_others):  # these have names that others may hide
            near = list(dict.fromkeys(near + self._near(name, self._own_having_most(name, single, most), most)))
        return sorted(near, key=lambda each: (distance(name, each.name, most), each.name))

    def _having_most(self, wanted: Sequence[_Texts]) -> tuple[list[int], bool]:
        """The projects, of all places, whose names have most of these; and whether there may be more with one."""
        number, is_cut = Counter[int](), False
        for texts in wanted:
            match = _all_of(each for text in texts for each in _trigrams(text)[:_MOST_TRIGRAMS])
            sql = "SELECT rowid FROM names WHERE names MATCH ? LIMIT ?"
            found = [row for (row,) in self._connection.execute(sql, (match, _MOST_POSTINGS))]
            number.update(found)
            is_cut |= len(found) == _MOST_POSTINGS
        return [row for row, _ in number.most_common(_MOST_COMPARED)], is_cut

    def _own_having_most(self, name: str, wanted: Sequence[_Texts], most: int) -> list[int]:
        """The same by the names of these places alone, without those that are too short or too long."""
        own, values = self._own_names(_MOST_READ_MISTYPED)
        number = " + ".join(f"({' AND '.join(['instr(name, ?)'] * len(texts))})" for texts in wanted)
        sql = (
            f"SELECT id, {number} AS number FROM ({own})"  # noqa: S608 - ours
            " WHERE length(name) BETWEEN ? AND ? AND number > 0 ORDER BY number DESC LIMIT ?"
        )
        bounds = (len(f"^{name}$") - most, len(f"^{name}$") + most, _MOST_COMPARED)
        return [row for row, _ in self._connection.execute(sql, (*chain(*wanted), *values, *bounds))]

    def _near(self, name: str, numbers: Sequence[int], most: int) -> list[Candidate]:
        """The projects of these whose names are at most so many edits away."""
        marks = ", ".join("?" * len(numbers))
        sql = f"SELECT {_COLUMNS} FROM projects p WHERE p.id IN ({marks}) AND {self._filter.where}"  # noqa: S608 - ours
        rows = self._connection.execute(sql, (*numbers, *self._filter.values))
        return [each for each in (Candidate(*row) for row in rows) if distance(name, each.name, most) <= most]


def _filter_of(query: Query, places: Sequence[str]) -> _Filter:
    marks = ", ".join("?" * len(places))
    where, values = [f"p.place IN ({marks})"], list[object](places)
    if query.since:
        where.append("p.updated >= ?")
        values.append(query.since)
    if query.python:
        where.append("(p.pythons >> ?) & 1")
        values.append(python_bit(query.python))
    if query.yanked == "no":
        where.append("p.yanked < 2")
    elif query.yanked == "some":
        where.append("p.yanked > 0")
    if query.uploader:
        where.append(f"p.id IN ({_uploaded(len(places))})")
        values += [query.uploader, *places]
    return _Filter(" AND ".join(where), tuple(values))


def _uploaded(number: int) -> str:
    """The projects with an upload by one uploader, of so many places."""
    return f"SELECT project FROM people WHERE person = ? AND place IN ({', '.join('?' * number)})"  # noqa: S608 - ours


def _within(places: Sequence[str]) -> str:
    """A text that matches the projects of these places, and some of others with the same words in their keys; "" for
    too many places."""
    if len(places) > _MOST_PLACES or not all(place.isascii() for place in places):
        return ""
    parts = (" AND ".join(f'"{word}"' for word in _WORD.findall(place.lower())) for place in places)
    return f"place : ({' OR '.join(f'({each})' for each in parts)})"


def _matching(words: Sequence[str]) -> tuple[str, str]:
    """Texts with all words whole, and those with words that begin so: SQLite gathers all words with a begin before it
    gives the first text, so this one is only asked where the other is not enough."""
    found = (" AND ".join(f'"{word}"{end}' for word in words) for end in ("", "*"))
    whole, begun = (f"{_TEXTS} : ({each})" for each in found)
    return whole, begun


def _trigrams(text: str) -> list[str]:
    return [text[place : place + _TRIGRAM] for place in range(len(text) - _TRIGRAM + 1)]


def _all_of(trigrams: Iterable[str]) -> str:
    return " AND ".join(f'"{each}"' for each in trigrams)


def _parts(text: str, number: int) -> tuple[list[_Texts], list[_Texts]]:
    """How to find texts with fewer than `number` mistypes: by each pair of so many parts, of which nearly always one is
    right, and by each part. Two letters that changed places may be in two parts, so a part has not the letters beside
    another one. A short text has its trigrams alone as parts."""
    room = len(text) - 2 * (number - 1)
    if room < number * _TRIGRAM:
        return [], [(each,) for each in dict.fromkeys(_trigrams(text))]
    ends = [room * each // number for each in range(number + 1)]
    parts = [text[begin + 2 * place : end + 2 * place] for place, (begin, end) in enumerate(pairwise(ends))]
    return [*combinations(parts, 2)], [(each,) for each in parts]


def _begins_one(parts: Sequence[str], word: str) -> bool:
    return any(each.startswith(word) for each in parts)


def _length(each: Candidate) -> tuple[int, str]:
    return len(each.name), each.name
