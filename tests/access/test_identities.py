"""Names of users and groups that others give: each is one that a grant can name, or is refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from quire.access.grants import SubjectKind, parse_subject
from quire.access.identities import groups_in_header, user_in_header
from quire.domain.errors import InvalidRequest

VALUES = st.one_of(
    st.text(max_size=300),
    st.text(st.characters(max_codepoint=255), max_size=300),
    st.from_regex(r"(user|group|token|publisher|anonymous)?:?[a-z, ]{0,20}", fullmatch=True),
)


@given(VALUES)
def test_a_header_names_one_user_or_none(value: str) -> None:
    """A name that is accepted is one of a grant, and can be taken for no other principal in a log."""
    try:
        name = user_in_header(value)
    except InvalidRequest:
        return
    assert str(parse_subject(f"user:{name}")) == f"user:{name}"
    assert name.isascii()
    assert name.isprintable()
    assert "," not in name
    assert not any(name.startswith(f"{kind}:") for kind in SubjectKind)


@given(VALUES)
def test_a_header_names_groups(value: str) -> None:
    """Each group that is accepted is one of a grant."""
    try:
        groups = groups_in_header(value)
    except InvalidRequest:
        return
    for name in groups:
        assert str(parse_subject(f"group:{name}")) == f"group:{name}"
