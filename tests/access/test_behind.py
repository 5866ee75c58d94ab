"""Indexes behind others: the order in which they have a name, the definitions that are refused, the rights it takes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from quire.access import defining
from quire.access.authorization import ALLOWED, AccessRules, Forbidden, NeedsLogin, Right
from quire.access.changing import explain
from quire.access.decisions import AccessState
from quire.access.document import EMPTY, AccessDocument, Grant, decode_access, encode_access, with_fields
from quire.access.grants import Permission
from quire.access.principals import ANONYMOUS, Principal
from quire.domain.errors import InvalidRequest
from quire.domain.indexes import MOST_BEHIND, IndexDefinition, chain

MAIN = "main"


def defined(**behind: str) -> AccessDocument:
    """A document with these indexes, and the names of those behind each, in the order of their making."""
    document = EMPTY
    for name, others in behind.items():
        definition = IndexDefinition(behind=tuple(others.split()))
        document = defining.with_index(document, name, definition, MAIN)
    return document


@pytest.mark.parametrize(
    ("behind", "expected"),
    [
        ({"a": ""}, ()),
        ({"a": MAIN}, (MAIN,)),
        ({"d": "", "c": "d", "b": "", "a": "c b main"}, ("c", "d", "b", MAIN)),
        ({"c": MAIN, "b": MAIN, "a": "b c"}, ("b", MAIN, "c")),
        ({"d": "", "c": "d", "b": "c", "a": "d b"}, ("d", "b", "c")),
    ],
)
def test_the_order_of_a_chain(behind: dict[str, str], expected: tuple[str, ...]) -> None:
    """An index comes before those behind it, those before the next one, and each once."""
    document = defined(**behind)
    assert chain(document.indexes, "a") == AccessState(document).behind("a") == expected
    assert AccessState(decode_access(encode_access(document, []))).behind("a") == expected


def test_a_circle_in_a_record_ends() -> None:
    """One that was made by hand: the command refuses it."""
    definitions = {"a": IndexDefinition(behind=("b",)), "b": IndexDefinition(behind=("c", "a"))}
    assert chain(definitions, "a") == ("b", "c")


def refusal(document: AccessDocument, name: str, *behind: str) -> str:
    with pytest.raises(InvalidRequest) as refused:
        defining.with_settings(document, name, {"behind": behind}, MAIN)
    return str(refused.value)


def test_definitions_that_are_refused() -> None:
    """Circles, unknown and repeated names, long chains, and the deletion of an index that others need."""
    document = defined(b=MAIN, a="b")
    assert refusal(document, MAIN, "a") == "The index a cannot be behind main: it is the same, or in front of it."
    assert refusal(document, "b", "b") == "The index b cannot be behind b: it is the same, or in front of it."
    assert refusal(document, "b", "nothing") == "There is no index 'nothing' to be behind b; make it first."
    assert "once" in refusal(document, "a", "b", "b")
    staged = defining.with_index(document, "pr", IndexDefinition(in_front_of=MAIN), MAIN)
    assert "The index pr is a stage, which ends" in refusal(staged, "a", "pr")
    with pytest.raises(InvalidRequest, match="The index b is behind a, which would lose its projects"):
        defining.without_index(document, "b", MAIN)
    freed = defining.with_settings(document, "a", {"behind": ()}, MAIN)
    assert defining.without_index(freed, "b", MAIN).indexes.keys() == {"a"}

    row = {f"i{number}": f"i{number - 1}" if number else "" for number in range(MOST_BEHIND + 1)}
    with pytest.raises(InvalidRequest, match=f"More than {MOST_BEHIND} indexes"):
        defined(**row, more=f"i{MOST_BEHIND}")


def test_reading_takes_the_right_on_every_index_behind() -> None:
    """Its pages are of all of them. Changes are of the index alone."""
    document = defined(secret="", team="secret main")
    for number, (subject, index) in enumerate([("user:ann", "*"), ("user:bob", "team"), ("user:bob", MAIN)]):
        grant = Grant(subject=subject, permissions=("read", "upload"), index=index)
        document = with_fields(document, grants={**document.grants, str(number): grant})
    state, rules = AccessState(document), AccessRules()

    def decide(user: str | None, right: Right, index: str = "team") -> object:
        return rules.authorize(Principal(user) if user else ANONYMOUS, right, index, None, state)

    for right in (Right.LIST, Right.DOWNLOAD):
        assert decide("ann", right) is ALLOWED
        refused = decide("bob", right)
        assert isinstance(refused, Forbidden)
        assert refused.sentence == (
            f"The user bob may not {right} here; it needs the right read on the index secret, which is behind team."
        )
        assert isinstance(decide(None, right), NeedsLogin)
        assert decide("bob", right, MAIN) is ALLOWED
    assert decide("bob", Right.UPLOAD) is ALLOWED
    for user, reads in (("ann", True), ("bob", False)):
        explained = explain(state, Principal(user), "team", None, now=datetime.now(UTC))
        assert explained[Permission.READ] is reads
        assert explained[Permission.UPLOAD]
