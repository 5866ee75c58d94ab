"""The comparison with other indexes: each row has its source, and ours name tests and pages that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.documents import DOCS, ROOT

PAGE = DOCS / "comparison.md"
INDEXES = [
    *("quire", "pypiserver", "devpi", "simple-repository-server", "proxpi", "peryx", "Artifactory", "CodeArtifact"),
]
_ROW = re.compile(r"^\|(.+)\|$", re.M)
_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
_PAGE = re.compile(r"\]\(([\w./-]+\.md)")


def tables() -> Iterator[tuple[str, list[list[str]]]]:
    """The title of each section, and the rows of its table of `Index`, fact and `Source`."""
    for section in PAGE.read_text().split("\n## ")[1:]:
        rows = [[cell.strip() for cell in row.split("|")] for row in _ROW.findall(section)]
        if rows and rows[0] == ["Index", "", "Source"]:
            yield section.splitlines()[0], rows[2:]


every_table = pytest.mark.parametrize(("title", "rows"), [pytest.param(*table, id=table[0]) for table in tables()])


def test_the_page_has_a_date_and_tables() -> None:
    assert "30 November 2026" in PAGE.read_text().split("\n## ")[0]
    assert len(list(tables())) >= 8


@every_table
def test_each_index_has_a_row_with_its_source(title: str, rows: list[list[str]]) -> None:
    assert [row[0] for row in rows] == INDEXES
    assert [row for row in rows if len(row) != 3 or not all(row)] == []


@every_table
def test_rows_of_quire_name_tests_and_pages_that_exist(title: str, rows: list[list[str]]) -> None:
    source = rows[0][2]
    named = _TEST.findall(source)
    assert named or _PAGE.search(source), "neither a test nor a page"
    for path, function in named:
        tree = ast.parse((ROOT / path).read_text())
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert not function or function in functions, f"{path}::{function}"
    for path in _PAGE.findall(source):
        assert (DOCS / path).is_file(), path
