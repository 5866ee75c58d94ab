"""Namespaces in the access document: which principal one is against, and how they are stored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quire.access import defining
from quire.access.decisions import AccessState
from quire.access.document import EMPTY, AccessDocument, Token, decode_access, encode_access, with_fields
from quire.access.principals import Principal
from quire.domain.errors import InvalidRequest
from quire.domain.indexes import DEFAULT
from quire.publishing.publishers import make_publisher
from tests.publishing.claims import SETTINGS

TOKENS = {
    "anns": Token(digest="0" * 64, permissions=("upload",), user="ann"),
    "itself": Token(digest="0" * 64, permissions=("upload",)),
    "minted": Token(digest="0" * 64, permissions=("upload",), publishers=("p1", "removed")),
}
PUBLISHER = make_publisher(
    "github", SETTINGS["github"], {}, issuer=None, index="main", projects=("acme-tools",), created="", by=None
)


def granted(*owners: str, **more: Any) -> AccessDocument:
    """`acme` is granted in `main`, which is behind `front`."""
    document = with_fields(EMPTY, tokens=TOKENS, publishers={"p1": PUBLISHER}, groups={"ops": ("ann",)})
    document = defining.with_settings(
        document, "main", {"grant_namespace": {"name": "acme", "owners": owners, **more}}, "main"
    )
    return defining.with_index(document, "front", defining.changed(DEFAULT, {"behind": ("main",)}), "main")


@pytest.mark.parametrize(
    ("owner", "principal", "may"),
    [
        ("user:ann", Principal("ann"), True),
        ("user:ann", Principal("bob"), False),
        ("user:ann", Principal(), False),
        ("user:ann", Principal("ann", token="anns"), True),
        ("user:ann", Principal(None, token="itself"), False),
        ("group:ops", Principal("ann", token="anns"), True),
        ("group:sso", Principal("bob", groups=frozenset({"sso"})), True),
        ("token:itself", Principal(None, token="itself"), True),
        ("token:itself", Principal("ann", token="anns"), False),
        ("publisher:p1", Principal(None, token="minted"), True),
        ("publisher:p2", Principal(None, token="minted"), False),
        ("publisher:removed", Principal(None, token="minted"), False),
    ],
)
def test_a_namespace_is_against_all_but_its_owners(owner: str, principal: Principal, may: bool) -> None:
    """In its index and in one in front of it; also against principals with wide rights."""
    state = AccessState(granted(owner))
    for index in ("main", "front"):
        assert (state.namespace_against(principal, index, "acme-tools") is None) is may
        assert state.namespace_against(principal, index, "other") is None


def test_a_project_from_before_is_so_in_its_index_only() -> None:
    """An index in front gets no project of that name by others."""
    state = AccessState(granted("user:ann", existing=["main/acme-old"]))
    assert state.namespace_against(Principal("bob"), "main", "acme-old") is None
    assert state.namespace_against(Principal("bob"), "front", "acme-old") is not None


def test_the_nearest_index_decides() -> None:
    """Its grants are an administrator's, as those of the index behind it."""
    document = granted("user:ann")
    change = {"grant_namespace": {"name": "acme", "owners": ["user:bob"]}}
    state = AccessState(defining.with_settings(document, "front", change, "main"))
    assert state.namespace_against(Principal("bob"), "front", "acme-x") is None
    assert state.namespace_against(Principal("ann"), "front", "acme-x") is not None
    assert state.namespace_against(Principal("ann"), "main", "acme-x") is None


def test_a_document_with_namespaces_has_a_format_of_its_own() -> None:
    """A server that does not know them would take any upload; fields of a later version stay."""
    stored = json.loads(encode_access(granted("user:ann")))
    assert stored["format"] == 3
    stored["indexes"]["main"]["namespaces"][0]["later"] = 7
    document = decode_access(json.dumps(stored).encode())
    assert document.indexes["main"].namespaces[0].unknown == {"later": 7}
    assert json.loads(encode_access(document)) == stored
    ended = defining.with_settings(document, "main", {"revoke_namespace": {"name": "acme"}}, "main")
    assert json.loads(encode_access(ended))["format"] == 2


def test_a_merged_project_stands_against_a_namespace() -> None:
    """And the other way round: names below one are never asked for at an upstream."""
    document = defining.with_settings(EMPTY, "main", {"upstream": {"url": "https://index.example/simple/"}}, "main")
    merged = defining.with_settings(document, "main", {"merge": ["acme-x"]}, "main")
    with pytest.raises(InvalidRequest, match="quire unmerge acme-x"):
        defining.with_settings(merged, "main", {"grant_namespace": {"name": "acme", "owners": ["user:a"]}}, "main")
