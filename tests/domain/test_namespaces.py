"""Namespaces as pure functions: the names they cover, the grants there can be, and the owners of projects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.domain.errors import InvalidRequest
from quire.domain.namespaces import (
    MOST_EXEMPT,
    Grants,
    Namespace,
    Namespaces,
    check_merged,
    counting,
    deciding,
    parse_namespace,
    with_grant,
    without_grant,
)

OPS, DATA = "group:ops", "group:data"
ACME = with_grant((), "acme", [OPS], [])


@pytest.mark.parametrize(
    ("project", "is_covered"),
    [
        ("acme", True),
        ("acme-tools", True),
        ("acme-a-b", True),
        ("acmetools", False),
        ("acm", False),
        ("my-acme", False),
    ],
)
def test_a_namespace_covers_its_name_and_those_with_a_hyphen(project: str, is_covered: bool) -> None:
    """PEP 752, "Semantics"."""
    assert ACME[0].covers(project) is is_covered


@pytest.mark.parametrize(("text", "name"), [("Acme", "acme"), ("a.b_c", "a-b-c"), (" x ", "x")])
def test_the_name_of_a_namespace_is_normalized(text: str, name: str) -> None:
    """PEP 752, "Naming"."""
    assert parse_namespace(text) == name


@pytest.mark.parametrize("text", ["", "acme-*", "-", "a-b-c-d-e-f", "ä"])
def test_no_name_of_a_namespace(text: str) -> None:
    """Refused with a sentence."""
    with pytest.raises(InvalidRequest):
        parse_namespace(text)


def test_the_longest_name_decides() -> None:
    """Of a namespace below another one."""
    grants = with_grant(ACME, "acme-data", [OPS, DATA], [])
    assert [getattr(deciding(grants, name), "name", None) for name in ("acme-data-x", "acme-x", "other")] == [
        "acme-data",
        "acme",
        None,
    ]


def test_grants_do_not_overlap_ownership() -> None:
    """PEP 752: one below another is for its owners as well, whichever is granted first."""
    with pytest.raises(InvalidRequest, match="the owners of acme own it, too"):
        with_grant(ACME, "acme-data", [DATA], [])
    below = with_grant((), "acme-data", [DATA], [])
    with pytest.raises(InvalidRequest, match="grant acme-data to group:ops first"):
        with_grant(below, "acme", [OPS], [])
    assert len(with_grant(below, "acme", [DATA], [])) == 2
    together = with_grant(ACME, "acme-data", [OPS, DATA], [])
    with pytest.raises(InvalidRequest, match="own it, too"):
        without_grant(together, "acme-data", [OPS])
    with pytest.raises(InvalidRequest, match="own it, too"):
        with_grant(together, "acme", ["user:eve"], [])


def test_projects_from_before_go_on_and_no_others() -> None:
    """They are fixed by the first grant; a grant below it frees none that were its owners' alone."""
    grants = with_grant((), "acme", [OPS], ["main/acme-old", "main/acme-data-old"])
    assert grants[0].exempt == ("main/acme-data-old", "main/acme-old")
    both = with_grant(grants, "acme-data", [OPS, DATA], ["main/acme-data-old", "main/acme-data-new"])
    assert [each.exempt for each in both] == [("main/acme-data-old", "main/acme-old"), ("main/acme-data-old",)]
    assert with_grant(grants, "acme", [DATA], ["main/acme-new"])[0].exempt == grants[0].exempt
    assert with_grant(grants, "acme", [OPS], None)[0].exempt == ()
    with pytest.raises(InvalidRequest, match="--with-existing"):
        with_grant((), "acme", [OPS], [f"main/acme-{at}" for at in range(MOST_EXEMPT + 1)])


def test_a_namespace_keeps_an_owner() -> None:
    """The last one is taken away by ending the namespace."""
    with pytest.raises(InvalidRequest, match="last owner"):
        without_grant(ACME, "acme", [OPS])
    with pytest.raises(InvalidRequest, match="does not own"):
        without_grant(ACME, "acme", [DATA])
    with pytest.raises(InvalidRequest, match="no namespace"):
        without_grant(ACME, "other")
    with pytest.raises(InvalidRequest, match="has owners"):
        with_grant((), "acme", [], [])
    assert without_grant(ACME, "acme") == ()


def test_a_merged_project_is_below_no_namespace() -> None:
    """Its name would be asked for at an upstream."""
    check_merged(ACME, ["other"])
    with pytest.raises(InvalidRequest, match="quire unmerge acme-x"):
        check_merged(ACME, ["acme-x"])


GROUPS = {"ops": ("ann",)}


@pytest.mark.parametrize(
    ("owners", "is_owned"),
    [((), True), (("user:ann",), True), (("group:ops",), True), (("user:bob",), False), (None, False)],
)
def test_a_project_is_owned_by_an_owner_of_the_namespace(owners: tuple[str, ...] | None, is_owned: bool) -> None:
    """Also by a member of a group that owns it; never where its files were not uploaded."""
    found = Namespaces(("main",), (counting(ACME, GROUPS),))
    assert found.of("acme-x", owners) == [("acme", is_owned)]
    assert found.of("other", owners) == []
    assert Namespaces(("main",), ((),)).of("acme-x", owners) is None


def test_a_project_from_before_is_not_owned() -> None:
    """PEP 752: `owned` is false for it, in every namespace that it is below."""
    grants = with_grant(with_grant((), "acme", [OPS], ["main/acme-data-x"]), "acme-data", [OPS, DATA], [])
    found = Namespaces(("front", "main"), ((), counting(grants, {})))
    assert found.of("acme-data-x", ()) == [("acme", False), ("acme-data", False)]
    assert found.of("acme-data-y", ()) == [("acme", True), ("acme-data", True)]


NAMES = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("-".join)
OWNERS = st.lists(st.sampled_from(["user:a", "user:b", "user:c"]), min_size=1, max_size=3)


@given(st.lists(st.tuples(NAMES, OWNERS, st.booleans()), max_size=12), NAMES)
def test_no_sequence_of_grants_overlaps(steps: list[tuple[str, list[str], bool]], project: str) -> None:
    """After any changes the owners of each namespace own those below it, each has owners, and all are sorted."""
    grants: Grants = ()
    for name, owners, is_granted in steps:
        try:
            grants = (
                with_grant(grants, name, owners, [f"main/{project}"]) if is_granted else without_grant(grants, name)
            )
        except InvalidRequest:
            continue
    assert [each.name for each in grants] == sorted({each.name for each in grants})
    for each in grants:
        assert each.owners
        assert all({*above.owners} <= {*each.owners} for above in grants if above.covers(each.name))
    found = deciding(grants, project)
    assert (found is None) is not any(each.covers(project) for each in grants)
    assert found is None or all(len(each.name) <= len(found.name) for each in grants if each.covers(project))


def test_unknown_fields_are_kept() -> None:
    """By a change of the owners, too."""
    grants = (Namespace(name="acme", owners=(OPS,), unknown={"later": 1}),)
    assert with_grant(grants, "acme", [DATA], [])[0].unknown == {"later": 1}
