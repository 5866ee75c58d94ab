"""Views of projects, composed of records and drop-in files."""

from __future__ import annotations

import pytest

from quire.catalog.composing import Projects
from quire.catalog.hosted import Hosted
from quire.catalog.views import NamesView
from quire.domain.changes import Selection
from quire.index.index import Index
from quire.store.memory import MemoryState, MemoryStore
from tests.index.test_index import staged_wheel


@pytest.mark.parametrize("knows", [False, True])
def test_a_name_that_had_a_record_says_so_for_good(knows: bool) -> None:
    """Not before its first publication; then always, for workers that knew it and for new ones."""
    store = MemoryStore(MemoryState())
    index = Index(store)
    projects = Projects([Hosted(index)])
    known = projects.load_blocking("a")
    assert not known.had_record
    index.publish([staged_wheel(store, "a", "1.0")])
    known = projects.load_blocking("a", known if knows else None)
    assert (known.exists, known.had_record) == (True, True)
    index.delete("a", Selection())
    known = projects.load_blocking("a", known if knows else None)
    assert (known.exists, known.had_record) == (False, True)


def test_the_list_of_projects_knows_its_names() -> None:
    """Also the first and the last of them, and none of those between."""
    store = MemoryStore(MemoryState())
    hosted, names = Hosted(Index(store)), ("b", "d", "d-e")
    assert not NamesView([(hosted, hosted.names(None))]).has("a")
    for name in names:
        Index(store).publish([staged_wheel(store, name, "1.0")])
    view = NamesView([(hosted, hosted.names(None))])
    assert view.names == names
    assert [each for each in ("", "a", *names, "c", "d-", "d-e-f", "e") if view.has(each)] == list(names)
