"""Requirements of packages: read alike wherever they are used, whatever a publisher has written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.domain.requirements import MOST_CHARS, MOST_PARENTHESES, Requirement, read_requirement


def nested(depth: int) -> str:
    """A requirement with so many parentheses within each other."""
    return f"foo; {'(' * depth}os_name == 'a'{')' * depth}"


def deep(calls: int, text: str) -> Requirement | None:
    """The requirement as it is read so many calls further from the beginning of the program."""
    return deep(calls - 1, text) if calls else read_requirement(text)


def test_a_requirement() -> None:
    """All of its parts, each in the form in which it is used."""
    assert read_requirement("Foo_Bar[b,a] <3,>=2.1; extra == 'X' and os_name=='nt'") == Requirement(
        "Foo_Bar", "foo-bar", ("a", "b"), ("<3", ">=2.1"), None, 'extra == "x" and os_name == "nt"'
    )
    assert read_requirement("foo @ https://e.org/a.whl") == Requirement("foo", "foo", (), (), "https://e.org/a.whl", "")


@pytest.mark.parametrize(
    "text",
    [
        *("", "foo >=what", "foo; (", "foo; os_name", "_", "foo; os_name == 'a' and"),
        nested(MOST_PARENTHESES + 1),
        nested(487),
        nested(2000),
        'foo; os_name == "\\x22\'"',
        'foo; os_name == "\\ud800"',
        "foo >=1" + " " * MOST_CHARS,
    ],
)
def test_what_is_no_requirement(text: str) -> None:
    """Or one that the library reads, and cannot write: a value with both quotes, half of a surrogate pair."""
    assert read_requirement(text) is None


@pytest.mark.parametrize("name", ["foo_", "foo.__", "a" * 300])
def test_a_name_that_no_project_can_have(name: str) -> None:
    """The requirement is one, but leads to no project."""
    found = read_requirement(name)
    assert found is not None
    assert (found.name, found.project) == (name, "")


def test_the_depth_of_the_caller_does_not_matter() -> None:
    """The check of an upload and a search have not the same; both must read the same."""
    for depth in (MOST_PARENTHESES, MOST_PARENTHESES + 1, 400):
        assert deep(300, nested(depth)) == read_requirement(nested(depth))
    assert read_requirement(nested(MOST_PARENTHESES)) is not None


@given(st.text("foo[],()<>=!~@;'\"\\xu0 12.*+_-d8") | st.text("(') or and os_name==", max_size=400).map("a; ".__add__))
def test_any_text(text: str) -> None:
    """It is a requirement or none, and then all of it can be written."""
    found = read_requirement(text)
    if found is not None:
        repr(found).encode()
