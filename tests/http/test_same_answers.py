"""Every server gives the same answer to the same request: the table of `tests.same_requests`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.asking import Site
from tests.same_requests import NAMED_ROWS, ROWS, Row, ask, serving_with_each

pytestmark = pytest.mark.xdist_group("same answers")  # one set of servers for all rows


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    """Each server over the same store."""
    with serving_with_each(tmp_path_factory.mktemp("same")) as sites:
        yield sites


@pytest.mark.parametrize("row", ROWS + NAMED_ROWS, ids=[row.name for row in ROWS + NAMED_ROWS])
def test_the_same_answer(sites: dict[str, Site], row: Row) -> None:
    """The status that the table says, and one body and one set of headers for all; no content for HEAD."""
    answers = {name: ask(site, row.request) for name, site in sites.items()}
    for name, answer in answers.items():
        assert answer.status == row.status, (name, answer)
        if row.request.startswith(b"HEAD "):
            assert answer.body == b"", name
        if row.is_ours:
            assert row.body is None or row.body in answer.body.decode(), (name, answer)
            assert {header: answer.headers.get(header) for header in row.headers} == row.headers, name
            assert answer.compared == next(iter(answers.values())).compared, name
