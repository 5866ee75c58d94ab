"""Projects that need another one, in the catalog: the same pages of them however many there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from quire.search import finding
from quire.search.catalog import Catalog
from quire.search.facts import Facts, Needed

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
