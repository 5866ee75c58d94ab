"""Decisions by grants and tokens: which principal may do what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.access import changing
from quire.access.decisions import AccessState, TokenFault
from quire.access.document import EMPTY, AccessDocument, Token, decode_access, encode_access, with_fields
from quire.access.grants import Permission, parse_subject
from quire.access.principals import Principal
from quire.access.room import exceeds_room
from quire.access.tokens import TokenText, new_token
from quire.access.unmatched import unmatched_grants
from quire.domain.errors import DamagedRecord, InvalidRequest, NotFound
from quire.domain.indexes import IndexDefinition
from quire.domain.namespaces import Namespace

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
READ, UPLOAD, MANAGE, ADMIN = Permission
NOBODY = Principal()
ALICE, BOB = Principal("alice"), Principal("bob")


def granted(*grants: tuple[str, str, str, str], document: AccessDocument = EMPTY) -> AccessDocument:
    """A document with grants of (subject, rights, index, projects); words are separated by spaces."""
    for number, (subject, permissions, index, projects) in enumerate(grants, len(document.grants)):
        grant = changing.make_grant(subject, permissions.split(), index, projects.split(), now=NOW, by="root")
        document = changing.with_grant(document, f"g{number}", grant)
    return document


def token(
    permissions: str, projects: str = "", *, user: str | None = None, days: float | None = None
) -> tuple[TokenText, Token]:
    text = new_token("t000000000")
    lifetime = None if days is None else timedelta(days=days)
    made = changing.make_token(
        text.digest,
        permissions.split(),
        "main",
        projects.split(),
        user=user,
        note=None,
        lifetime=lifetime,
        now=NOW,
        by=None,
    )
    return text, made


def sent(text: TokenText) -> tuple[str, str]:
    return text.identity, text.digest


def may(document: AccessDocument, principal: Principal, project: str | None = "acme-tools", index: str = "main") -> str:
    """The permissions, in a row."""
    state = AccessState(document)
    return " ".join(each for each in Permission if state.permits(principal, each, index, project))


def test_a_right_is_what_was_given_and_no_more() -> None:
    """By user, group, login or to all; on an index, and on projects by pattern."""
    document = granted(
        ("authenticated", "read", "main", ""),
        ("user:alice", "upload", "main", "acme-*"),
        ("group:release", "manage", "*", ""),
        ("anonymous", "read", "public", ""),
    )
    document = changing.with_group(document, "release", ["bob"])
    assert may(document, NOBODY) == ""
    assert may(document, NOBODY, index="public") == "read"
    assert may(document, ALICE) == "read upload"
    assert may(document, ALICE, "other") == "read"
    assert may(document, ALICE, index="other") == ""
    assert may(document, BOB) == "read manage"
    assert may(document, Principal("carol", frozenset({"release"})), index="other") == "manage"


def test_admin_is_every_right() -> None:
    """On its index."""
    document = granted(("user:alice", "admin", "main", ""))
    assert may(document, ALICE) == "read upload manage admin"
    assert may(document, ALICE, index="other") == ""


def test_a_project_that_is_not_known_yet() -> None:
    """An upload is not refused before its project is known, unless no project would be allowed."""
    document = granted(("user:alice", "upload", "main", "acme-*"))
    assert may(document, ALICE, None) == "upload"
    assert may(document, BOB, None) == ""


def test_a_token_of_a_user_has_the_rights_that_both_have() -> None:
    """It loses those that its user loses."""
    _, made = token("upload manage", "acme-*", user="alice")
    rights = granted(("user:alice", "read upload", "main", ""))
    document = changing.with_token(rights, "t000000000", made, NOW)
    principal = Principal("alice", token="t000000000")
    assert may(document, principal) == "upload"
    assert may(document, principal, "other") == ""
    document = changing.without_grants(document, ["g0"])
    assert may(document, principal) == ""


def test_a_token_of_its_own() -> None:
    """Its scope is its right, and what is given to it comes on top; what is given to all is its as well."""
    _, made = token("upload", "acme-*")
    document = changing.with_token(granted(("authenticated", "read", "main", "")), "t000000000", made, NOW)
    principal = Principal(token="t000000000")
    assert may(document, principal) == "upload"
    assert may(granted(("anonymous", "read", "main", ""), document=document), principal) == "read upload"
    assert (
        may(granted(("token:t000000000", "manage", "main", "other"), document=document), principal, "other") == "manage"
    )
    assert may(document, Principal(token="gone")) == ""


def test_a_token_counts_until_it_ends() -> None:
    """Revoked, expired, or rotated with a time of grace; each says so, and a wrong secret learns nothing."""
    text, made = token("read", days=2)
    document = changing.with_token(EMPTY, text.identity, made, NOW)
    assert AccessState(document).find_token(*sent(text), NOW) == made
    assert AccessState(document).find_token(*sent(text), NOW + timedelta(days=2)) is TokenFault.EXPIRED
    assert AccessState(document).find_token(*sent(new_token(text.identity)), NOW) is TokenFault.UNKNOWN
    assert AccessState(document).find_token(*sent(new_token("t000000001")), NOW) is TokenFault.UNKNOWN
    new = new_token(text.identity)
    rotated = AccessState(changing.with_rotated(document, text.identity, new.digest, timedelta(hours=1), NOW))
    assert [isinstance(rotated.find_token(*sent(each), NOW), Token) for each in (text, new)] == [True, True]
    assert rotated.find_token(*sent(text), NOW + timedelta(hours=1)) is TokenFault.ROTATED
    assert isinstance(rotated.find_token(*sent(new), NOW + timedelta(hours=1)), Token)
    late, then = NOW + timedelta(days=2), NOW + timedelta(days=1)
    assert isinstance(rotated.find_token(*sent(new), late, then), Token)  # of a request that began in time
    assert rotated.find_token(*sent(text), late, NOW) is TokenFault.ROTATED
    for each in (document, rotated.document):
        revoked = AccessState(changing.with_revoked(each, text.identity, NOW))
        found = [revoked.find_token(*sent(each), NOW) for each in (text, new)]
        assert not any(isinstance(each, Token) for each in found)
        assert may(revoked.document, Principal(token=text.identity)) == ""
        assert changing.with_revoked(revoked.document, text.identity, NOW) is revoked.document


def test_tokens_that_ended_long_ago_are_dropped() -> None:
    """With the next one that is made; those that have not ended stay."""
    document = EMPTY
    for number, days in enumerate((1, 300, None)):
        document = changing.with_token(document, f"t{number}", token("read", days=days)[1], NOW)
    later = NOW + timedelta(days=92)
    assert list(changing.with_token(document, "t3", token("read")[1], later).tokens) == ["t1", "t2", "t3"]


@pytest.mark.parametrize("kind", ["grant", "namespace"])
def test_a_user_makes_no_token_with_the_rights_of_one_that_was_dropped(kind: str) -> None:
    """Ids are no secrets, and the client chooses that of the token that its user makes: a grant that a dropped token
    has left, or its namespace, is of no other token."""
    text, made = token("read", days=1)
    document = changing.with_token(granted(("user:bob", "read", "main", "")), text.identity, made, NOW)
    if kind == "grant":
        document = granted((f"token:{text.identity}", "admin", "*", ""), document=document)
    else:
        space = Namespace(name="acme", owners=("user:alice", f"token:{text.identity}"))
        document = with_fields(document, indexes={"main": IndexDefinition(namespaces=(space,))})
    later = NOW + timedelta(days=92)
    _, own = token("read", user="bob", days=120)
    document = changing.with_token(document, "t000000001", own, later)
    assert text.identity not in document.tokens
    with pytest.raises(InvalidRequest, match="The id t000000000 is another token's; make a new one"):
        changing.with_own_token(document, text.identity, own, later)
    document = changing.with_own_token(document, "t000000002", own, later)
    assert may(document, Principal("bob", token="t000000002")) == "read"


def test_a_token_of_a_user_owns_what_its_user_owns() -> None:
    """Its id, which the user chose, owns nothing: a token that was dropped, and owned projects, may have had it."""
    document = changing.with_own_token(EMPTY, "t000000001", token("upload", user="bob")[1], NOW)
    document = changing.with_token(document, "t000000002", token("upload")[1], NOW)
    state = AccessState(document)
    assert state.may_own(Principal("bob", token="t000000001")) == {"user:bob"}
    assert state.may_own(Principal(token="t000000002")) == {"token:t000000002"}


def test_grants_decide_from_the_first_that_is_for_people() -> None:
    """A token alone changes nothing for users that log in."""
    document = changing.with_token(EMPTY, "t000000000", token("upload")[1], NOW)
    assert not AccessState(document).decides
    document = granted(("token:t000000000", "manage", "main", ""), document=document)
    assert not AccessState(document).decides
    assert AccessState(granted(("user:alice", "admin", "*", ""), document=document)).decides


def test_the_last_admin_stays() -> None:
    """No change of grants or groups takes the last admin away."""
    document = granted(("group:ops", "admin", "*", ""), ("user:bob", "read", "*", ""))
    document = changing.with_group(document, "ops", ["alice"])
    with pytest.raises(InvalidRequest, match="last right admin"):
        changing.without_grants(document, ["g0"])
    with pytest.raises(InvalidRequest, match="last right admin"):
        changing.with_group(document, "ops", [])
    document = granted(("user:bob", "admin", "main", ""), document=document)
    with pytest.raises(InvalidRequest, match="last right admin"):
        changing.without_grants(document, ["g0"])  # of one index it does not change grants
    document = granted(("user:bob", "admin", "*", ""), document=document)
    assert changing.without_grants(document, ["g0"]).grants.keys() == {"g1", "g2", "g3"}


def test_the_last_admin_is_no_token_that_is_revoked() -> None:
    """Nor does the last grant for people go, after which the settings would decide again."""
    document = changing.with_token(EMPTY, "t000000000", token("read")[1], NOW)
    document = granted(("token:t000000000", "admin", "*", ""), ("user:bob", "read", "*", ""), document=document)
    with pytest.raises(InvalidRequest, match="last right admin"):
        changing.with_revoked(document, "t000000000", NOW)
    alone = granted(("user:alice", "admin", "*", ""))
    with pytest.raises(InvalidRequest, match="last right admin"):
        changing.without_grants(alone, ["g0"])


def test_the_last_admin_is_no_publisher() -> None:
    """It is no person, and goes with `quire publisher remove`; nor is it one that is not there."""
    document = granted(("user:alice", "admin", "*", ""), ("publisher:p000000000", "admin", "*", ""))
    with pytest.raises(InvalidRequest, match="last right admin"):
        changing.without_grants(document, ["g0"])


@pytest.mark.parametrize(
    ("subject", "permissions", "index", "projects"),
    [
        ("alice", "read", "main", ""),
        ("user:", "read", "main", ""),
        ("anonymous:x", "read", "main", ""),
        ("user:a\nb", "read", "main", ""),
        ("user:a\u202eb", "read", "main", ""),
        ("user:a\u200b", "read", "main", ""),
        ("user:a\x85b", "read", "main", ""),
        ("user: a", "read", "main", ""),
        ("group:\ta", "read", "main", ""),
        ("user:" + "a" * 201, "read", "main", ""),
        ("user:a", "write", "main", ""),
        ("user:a", "", "main", ""),
        ("user:a", "read", "Main/..", ""),
        ("user:a", "upload", "main", "a/b"),
        ("user:a", "upload", "main", "[a-z]+"),
        ("user:a", "read", "main", "acme-*"),
        ("user:a", "admin", "main", "acme"),
        ("anonymous", "admin", "main", ""),
        ("token:none", "read", "main", ""),
    ],
)
def test_a_grant_that_cannot_be_meant_is_refused(subject: str, permissions: str, index: str, projects: str) -> None:
    """In one sentence."""
    with pytest.raises((InvalidRequest, NotFound)) as caught:
        granted((subject, permissions, index, projects))
    assert str(caught.value).endswith(".")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["", " a", "a ", "a\nb", "a\u202eb", "a\u200b", "\ud800", "a" * 201])
def test_names_that_look_like_others_are_refused(name: str) -> None:
    """Of groups, of their users, and of the users of tokens, as in grants: a name that no login has gives no right."""
    with pytest.raises(InvalidRequest, match="is no name of a group"):
        changing.with_group(EMPTY, name, ["a"])
    with pytest.raises(InvalidRequest, match="is no name of a user"):
        changing.with_group(EMPTY, "ops", ["a", name])
    with pytest.raises(InvalidRequest, match="is no name of a user"):
        token("read", user=name)


def test_the_same_grant_twice_is_one() -> None:
    """However its words are ordered and spelled."""
    document = granted(("user:a", "upload manage", "main", "Acme_Tools"))
    assert granted(("user:a", "manage upload", "main", "acme-tools"), document=document) is document


def test_what_a_newer_version_wrote_is_kept() -> None:
    """Fields, rights and kinds that are not known give nothing, and are written back; a newer format is left alone."""
    text, made = token("read")
    document = granted(("user:a", "upload", "main", ""), document=changing.with_token(EMPTY, text.identity, made, NOW))
    stored = encode_access(document).replace(b'"upload"', b'"upload",\n    "teleport"').replace(b"user:a", b"robot:a")
    stored = stored.replace(b'"digest"', b'"shape": 7,\n   "digest"').replace(
        b'"groups"', b'"planets": [1],\n "groups"'
    )
    read = decode_access(stored)
    assert may(read, Principal("a")) == ""
    assert not AccessState(read).decides
    again = encode_access(read)
    assert all(word in again for word in (b"teleport", b"robot:a", b"shape", b"planets"))
    with pytest.raises(DamagedRecord, match="newer quire"):
        decode_access(stored.replace(b'"format": 1', b'"format": 99'))


@given(st.binary(max_size=60) | st.sampled_from([b"[]", b"{}", b'{"format":1,"tokens":{"a":{"digest":1}}}']))
def test_a_damaged_document_is_an_error(data: bytes) -> None:
    """Never an empty one: that would give the rights back to the settings."""
    with pytest.raises(DamagedRecord):
        decode_access(data)


def test_a_time_that_is_none_is_damage() -> None:
    """A token of which the end is not known does not count for ever."""
    text, made = token("read", days=1)
    stored = encode_access(changing.with_token(EMPTY, text.identity, made, NOW))
    with pytest.raises(DamagedRecord):
        decode_access(stored.replace(b"2026-11-29", b"2026-99-29"))


subjects = st.sampled_from(["user:alice", "user:bob", "group:ops", "authenticated", "anonymous"])
indexes = st.sampled_from(["main", "other", "*"])


@given(
    st.lists(
        st.tuples(
            subjects,
            st.sampled_from(["upload", "manage", "upload manage"]),
            indexes,
            st.sampled_from(["", "acme-*", "x"]),
        )
    ),
    st.sampled_from([NOBODY, ALICE, BOB, Principal("c", frozenset({"ops"}))]),
)
def test_one_more_grant_takes_nothing_away(grants: list[tuple[str, str, str, str]], principal: Principal) -> None:
    """Grants only add: in any order they give the same, and each subset gives less or the same."""
    whole = granted(*grants)
    for project in ("acme-tools", "x", None):
        given_ = set(may(whole, principal, project).split())
        assert given_ == set(may(granted(*reversed(grants)), principal, project).split())
        assert set(may(granted(*grants[1:]), principal, project).split()) <= given_


def test_subjects_are_spelled_as_they_are_read() -> None:
    """So that a list of grants can be typed in again."""
    for text in ("user:alice", "group:a b", "token:abc", "publisher:7", "authenticated", "anonymous"):
        assert str(parse_subject(text)) == text


def test_grants_that_give_nothing_are_found() -> None:
    """With the reason; what is in doubt is not among them, and of two equal ones the later is."""
    text, made = token("read", days=1)
    document = changing.with_token(EMPTY, text.identity, made, NOW)
    document = granted(
        ("user:alice", "admin", "*", ""),
        ("user:alcie", "upload", "*", ""),
        ("group:empty", "upload", "*", ""),
        ("group:ops", "upload", "*", "acme-* other"),
        (f"token:{text.identity}", "manage", "*", "x"),
        ("user:bob", "read", "absent", ""),
        ("user:alice", "upload", "main", "acme-*"),
        ("group:ops", "upload", "main", "acme-tools"),
        ("group:ops", "upload", "*", "acme-t*"),
        ("authenticated", "read", "main", ""),
        ("user:bob", "read", "main", ""),
        ("anonymous", "read", "main", ""),
        document=document,
    )
    document = changing.with_group(document, "ops", ["bob"])
    found = dict(unmatched_grants(document, {"alice", "bob"}, {"main"}, NOW + timedelta(days=1)))
    assert found == {
        "g1": "The password file has no user alcie.",
        "g2": "The group empty has no users here; only a proxy or an identity provider could name it.",
        "g4": f"The token {text.identity} has ended.",
        "g5": "The store has no index absent.",
        "g6": "The grant g0 gives the same and perhaps more.",
        "g7": "The grant g3 gives the same and perhaps more.",
        "g9": "The grant g11 gives the same and perhaps more.",
        "g10": "The grant g9 gives the same and perhaps more.",
    }
    assert "g1" not in dict(unmatched_grants(document, None, {"main"}, NOW))


def test_a_pattern_takes_bounded_time() -> None:
    """Also one that would let a backtracking matcher try every split of a name."""
    document = granted(("user:alice", "upload", "main", "*a" * 40 + "*b"))
    assert may(document, ALICE, "a" * 100) == ""
    assert may(document, ALICE, "a" * 100 + "b") == "upload"


def test_twenty_thousand_tokens_fit() -> None:
    """The document of as many is within its bound, and decides."""
    _, made = token("upload", "acme-*", user="alice", days=90)
    tokens = {f"t{number:09d}": made for number in range(20_000)}
    document = msgspec.structs.replace(EMPTY, tokens=tokens)
    stored = encode_access(document)
    assert not exceeds_room(len(stored))
    state = AccessState(decode_access(stored))
    assert len(state.document.tokens) == 20_000
    assert state.token_permits("t000019999", UPLOAD, "main", "acme-x")
