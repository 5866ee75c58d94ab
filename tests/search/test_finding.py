"""Finding in the catalog: names with a mistype, names with several words, and projects that need another one.

Replaced here: how many names are compared with a mistyped one, since more of them take long to enter.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from quire.search import finding
from quire.search.catalog import Catalog, Progress
from quire.search.facts import Facts, Needed
from quire.search.query import Query

PLACES = ("near", "far")


@pytest.mark.parametrize("number", [3, finding.MANY_DEPENDENTS - 1, finding.MANY_DEPENDENTS, 700])
def test_dependents_are_in_the_order_of_their_names(tmp_path: Path, number: int) -> None:
    """From page to page each one once, of the places that are asked for, and none of another place."""
    catalog = Catalog(tmp_path)
    base, other = Needed("base", "", ""), Needed("other", "", "")
    names = [f"project-{each * 7919 % 10_000:04}" for each in range(number)]
    for place, needs in (("near", base), ("other", base), ("far", other)):
        catalog.put(place, {name: ("tag", Facts(display=name, needs=(needs,))) for name in names})
    found, after = list[str](), ""
    while page := finding.dependents(catalog, "base", PLACES, after, 97):
        assert {each.place for each in page} == {"near"}
        found += [each.name for each in page]
        after = page[-1].name
    catalog.close()
    assert found == sorted(names)


@pytest.mark.parametrize("most", [1, 2, 3, 100])
def test_a_dependent_of_several_places_is_on_one_page(tmp_path: Path, most: int) -> None:
    """The cursor is a name, so a page has all projects of its last one."""
    catalog = Catalog(tmp_path)
    facts = Facts(display="", needs=(Needed("base", "", ""),))
    names = ["a", "b", "c", "d", "e"]
    for place, each in (("near", names), ("far", names[1:4]), ("other", names)):
        catalog.put(place, dict.fromkeys(each, ("tag", facts)))
    found, after = list[tuple[str, str]](), ""
    while page := finding.dependents(catalog, "base", PLACES, after, most):
        assert len({each.name for each in page}) <= most
        found += [(each.name, each.place) for each in page]
        after = page[-1].name
    catalog.close()
    assert sorted(found) == sorted([*((name, "near") for name in names), *((name, "far") for name in names[1:4])])


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    """Thousands of names that share most of their letters, and a few others."""
    catalog = Catalog(tmp_path_factory.mktemp("alike"))
    catalog.add_names("near", [f"data-client-{number:04}" for number in range(3000)])
    catalog.add_names("near", ["fast", "acme-tools", "tools-of-acme", "toolset-acmeish", "stools-acme"])
    words = Facts(display="", summary="acme-tool cream", updated="2026-01-02T03:04:05Z", uploaders=("alice",))
    catalog.put("near", {f"described-{number}": ("tag", words) for number in range(20)})
    yield catalog
    catalog.close()


def _found(catalog: Catalog, query: Query) -> list[str]:
    return [each.name for each in finding.find(catalog, query, PLACES).candidates]


@pytest.mark.parametrize("place", range(10))
def test_a_mistype_is_found_among_thousands_of_names_alike(alike: Catalog, place: int) -> None:
    """Where its end tells them apart: another letter, one too few, one too many, and two that changed places."""
    name = "data-client-2977"
    left, right = name[:place], name[place:]
    mistyped = {
        f"{left}q{right[1:]}",
        f"{left}q{right}",
        f"{left}{right[1:]}",
        f"{left}{right[1]}{right[0]}{right[2:]}",
    }
    for each in sorted(mistyped):
        assert name in _found(alike, Query(each)), each


def test_a_short_name_with_a_mistype(alike: Catalog) -> None:
    """It is found by single groups of three letters."""
    assert [_found(alike, Query(each)) for each in ("fist", "fastt", "fats")] == [["fast"]] * 3


@pytest.mark.parametrize("name", ["numpy", "pandas", "requests", "sqlalchemy", "scikit-learn", "typing-extensions"])
def test_one_mistype_anywhere_in_a_name(name: str, tmp_path: Path) -> None:
    """Letters that changed places, also where the parts meet by which it is found."""
    catalog = Catalog(tmp_path)
    catalog.add_names("near", [name])
    for place in range(len(name) - 1):
        swapped = f"{name[:place]}{name[place + 1]}{name[place]}{name[place + 2 :]}"
        for each in {swapped, f"{name[:place]}{name[place + 1 :]}", f"{name[:place]}q{name[place:]}"} - {name}:
            assert _found(catalog, Query(each)) == [name], each
    catalog.close()


def test_a_mistype_in_a_name_of_any_length(tmp_path: Path) -> None:
    """A name that is not there is asked for in the same way whatever its length, and the one that it is like found."""
    catalog = Catalog(tmp_path)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789zyxwvuts"
    catalog.add_names("near", [letters[:length] for length in range(3, 41, 3)])
    for length in range(1, 41):
        assert _found(catalog, Query(letters[-length:])) == [], length
    for length in range(6, 41, 3):
        name = letters[:length]
        for place in range(1, length - 1):
            assert name in _found(catalog, Query(f"{name[:place]}_{name[place + 1 :]}")), (name, place)
    catalog.close()


def test_names_with_several_words(alike: Catalog) -> None:
    """In any order; those that have them whole are first, and then those with words that begin so."""
    assert _found(alike, Query("tools acme"))[:2] == ["acme-tools", "tools-of-acme"]
    assert _found(alike, Query("tool acme"))[:3] == ["acme-tools", "tools-of-acme", "toolset-acmeish"]
    assert _found(alike, Query("lset cme")) == []


def test_words_that_many_projects_have_are_no_mistype(alike: Catalog) -> None:
    """A name like them is found only where the words find few."""
    assert sorted(_found(alike, Query("acme-tool cream"))) == sorted(f"described-{number}" for number in range(20))
    assert _found(alike, Query("acme-tols"))[0] == "acme-tools"


@pytest.mark.parametrize(
    ("since", "uploader", "number"),
    [("", "", 20), ("2026-01-02", "alice", 20), ("2026-01-03", "", 0), ("", "bob", 0), ("2026-01-03", "alice", 0)],
)
def test_a_filter_that_nothing_passes(alike: Catalog, since: str, uploader: str, number: int) -> None:
    """Nothing is found then, with words and without."""
    assert len(_found(alike, Query("cream", since=since, uploader=uploader))) == number
    if since or uploader:
        assert len(_found(alike, Query(since=since, uploader=uploader))) == number


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    """A small place behind one with thousands of projects of the same words."""
    catalog = Catalog(tmp_path_factory.mktemp("crowded"))
    words = Facts(display="", summary="client of acme", uploaders=("alice",))
    catalog.put("hosted/big", {f"team-acme-{number}": ("tag", words) for number in range(6000)})
    catalog.put("hosted/small", dict.fromkeys(("my-acme", "zoo"), ("tag", words)))
    catalog.put("hosted/small", {"bobs": ("tag", msgspec.structs.replace(words, uploaders=("bob",)))})
    for place, number in (("hosted/big", 6000), ("hosted/small", 3)):
        catalog.note(place, Progress(number, number, 1.0, 1.0))
    yield catalog
    catalog.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("acme", ["my-acme", "bobs", "zoo"]),
        ("client", ["bobs", "my-acme", "zoo"]),
        ("acme client", ["my-acme", "bobs", "zoo"]),
        ("clie", ["bobs", "my-acme", "zoo"]),
        ("my acme", ["my-acme"]),
        ("y-acme", ["my-acme"]),
        ("team", []),
        ("hosted", []),
        ("small", []),
        ("big", []),
    ],
)
def test_projects_of_other_places_hide_none(crowded: Catalog, text: str, expected: list[str]) -> None:
    """However many have the same words; and the names of places are no words of projects."""
    found = finding.find(crowded, Query(text), ["hosted/small"])
    assert sorted(each.name for each in found.candidates) == sorted(expected)
    assert {each.place for each in found.candidates} <= {"hosted/small"}
    assert not found.is_cut


@pytest.fixture(scope="module")
def similar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    """Two small places behind one with thousands of names that begin and end as theirs."""
    catalog = Catalog(tmp_path_factory.mktemp("similar"))
    names = [f"data-client-{number:04}" for number in range(1500)] + [f"f{number}st" for number in range(1500)]
    for place, each in (("hosted/big", names), ("hosted/a-small", ["data-clienta", "feast"]), ("near", ["fable"])):
        catalog.add_names(place, each)
        catalog.note(place, Progress(len(each), len(each), 1.0, 1.0))
    yield catalog
    catalog.close()


@pytest.mark.parametrize("places", [["hosted/a-small"], ["hosted/a-small", "near"], ["hosted/big", "hosted/a-small"]])
@pytest.mark.parametrize(("mistyped", "name"), [("data-clientb", "data-clienta"), ("fqast", "feast")])
def test_names_of_a_large_place_hide_no_mistype(
    similar: Catalog, mistyped: str, name: str, places: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither from a reader of the small place alone, nor from one of both, however few names are compared."""
    for most in (10_000, 1000):
        monkeypatch.setattr(finding, "_MOST_READ_MISTYPED", most)
        found = finding.find(similar, Query(mistyped), places).candidates
        assert (name, "hosted/a-small") in {(each.name, each.place) for each in found}


def test_filters_that_few_of_many_pass(crowded: Catalog) -> None:
    """An uploader with few projects is found; where matches were left unread, the number of results says so."""
    both = ["hosted/big", "hosted/small"]
    found = finding.find(crowded, Query("client", uploader="bob"), both)
    assert ([each.name for each in found.candidates], found.is_cut) == (["bobs"], False)
    found = finding.find(crowded, Query("client", yanked="some"), both)
    assert (found.candidates, found.is_cut) == ([], True)
