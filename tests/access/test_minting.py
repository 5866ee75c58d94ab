"""Tokens that are minted for CI jobs: once for each of theirs, for what their publishers may, and bounded in number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from quire.access import changing
from quire.access.ci_identities import CiIdentity
from quire.access.decisions import AccessState, TokenFault
from quire.access.document import EMPTY, AccessDocument, Grant, decode_access, encode_access
from quire.access.grants import Permission
from quire.access.minting import (
    LIFETIME,
    MOST_OF_ONE,
    MintRefused,
    with_audience,
    with_burned,
    with_minted,
    with_publisher,
    without_publishers,
)
from quire.access.principals import Principal
from quire.access.tokens import TokenText, new_token
from quire.domain.errors import InvalidRequest, NotFound
from quire.identity.tokens import VerifiedToken
from quire.publishing.publishers import Publisher, make_publisher
from tests.publishing.claims import GITHUB, SETTINGS

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
JOB = CiIdentity(id="one", kind="GitHub", issuer=GITHUB["iss"])


def publisher(index: str = "main", *projects: str) -> Publisher:
    return make_publisher(
        "github",
        SETTINGS["github"],
        {},
        issuer=None,
        index=index,
        projects=projects or ("acme-tools",),
        created="2026-11-28T12:00:00Z",
        by="alice",
    )


def proven(identity: str = "a", now: datetime = NOW, **changed: str) -> VerifiedToken:
    """A token of a job that expires ten minutes from now."""
    return VerifiedToken({**GITHUB, **changed}, identity, (now + timedelta(minutes=10)).timestamp())


def minted(
    document: AccessDocument, identity: str = "a", now: datetime = NOW, name: str = "m000000001"
) -> tuple[AccessDocument, TokenText]:
    text = new_token(name)
    return with_minted(document, proven(identity, now), text, JOB, now), text


def permits(document: AccessDocument, text: TokenText, project: str, index: str = "main") -> set[str]:
    state, principal = AccessState(document), Principal(token=text.identity)
    return {each.value for each in Permission if state.permits(principal, each, index, project)}


def test_a_minted_token_may_upload_what_its_publishers_say() -> None:
    """All of those that match, and nothing else, on their indexes alone."""
    document = with_publisher(EMPTY, "one", publisher())
    document = with_publisher(document, "two", publisher("main", "acme-lib*"))
    document = with_publisher(document, "far", publisher("stage", "acme-x"))
    document, text = minted(document)
    assert permits(document, text, "acme-tools") == {"upload"}
    assert permits(document, text, "acme-libs") == {"upload"}
    assert permits(document, text, "acme-x") == permits(document, text, "acme-tools", "stage") == set()
    assert permits(document, text, "acme-x", "stage") == {"upload"}
    after = without_publishers(document, ["two"])
    assert permits(after, text, "acme-libs") == set()
    assert permits(after, text, "acme-tools") == {"upload"}
    gone = without_publishers(after, ["one", "far"])
    assert text.identity not in gone.tokens


def test_a_grant_to_a_publisher_adds_to_its_tokens() -> None:
    """And ends with it, also for a worker that still has the token."""
    document, text = minted(with_publisher(EMPTY, "one", publisher()))
    grants = {"g": Grant(subject="publisher:one", permissions=("manage",), projects=("acme-tools",))}
    document = msgspec.structs.replace(document, grants=grants)
    assert permits(document, text, "acme-tools") == {"upload", "manage"}
    without = msgspec.structs.replace(document, publishers={})
    assert permits(without, text, "acme-tools") == set()


def test_a_token_of_a_job_is_exchanged_once() -> None:
    """By the digest of its id; it is remembered until each worker would refuse it in any case."""
    document, _ = minted(with_publisher(EMPTY, "one", publisher()))
    with pytest.raises(MintRefused, match="was exchanged before") as refused:
        minted(document, "a", NOW + timedelta(minutes=9))
    assert refused.value.code == "invalid-reuse-token"
    later, _ = minted(document, "b", NOW + timedelta(minutes=21), "m000000002")
    assert set(later.used) == {"b"}, "the first one has expired"


def test_a_token_of_a_job_is_exchanged_once_around_its_end() -> None:
    """Neither a write that is late, nor a worker whose clock is ahead, gives it a second exchange."""
    document, _ = minted(with_publisher(EMPTY, "one", publisher()))
    with pytest.raises(MintRefused, match="has expired") as refused:
        with_minted(document, proven(), new_token("m000000002"), JOB, NOW + timedelta(minutes=10))
    assert refused.value.code == "invalid-token"
    document, _ = minted(document, "b", NOW + timedelta(minutes=15), "m000000003")
    with pytest.raises(MintRefused, match="was exchanged before"):
        with_minted(document, proven(), new_token("m000000004"), JOB, NOW + timedelta(minutes=9))


def test_a_minted_token_lasts_fifteen_minutes() -> None:
    """No less, also when it was minted within a second; then it is left out of the document."""
    now = NOW + timedelta(milliseconds=700)
    document, text = minted(with_publisher(EMPTY, "one", publisher()), now=now)
    state = AccessState(document)
    assert not isinstance(state.find_token(text.identity, text.digest, now + LIFETIME), TokenFault)
    assert state.find_token(text.identity, text.digest, now + LIFETIME + timedelta(seconds=1)) is TokenFault.EXPIRED
    later, _ = minted(document, "b", NOW + timedelta(minutes=16), "m000000002")
    assert set(later.tokens) == {"m000000002"}
    made = changing.make_token(
        new_token("t000000001").digest, ["read"], "*", [], user=None, note=None, lifetime=None, now=NOW, by=None
    )
    assert set(changing.with_token(document, "t000000001", made, NOW + timedelta(minutes=16)).tokens) == {"t000000001"}


def test_minted_tokens_are_bounded() -> None:
    """A publisher that goes wild is refused for a while, and others are not."""
    document = with_publisher(EMPTY, "one", publisher())
    texts = []
    for number in range(MOST_OF_ONE):
        document, text = minted(document, f"job {number}", NOW, f"m{number:09}")
        texts.append(text)
    with pytest.raises(MintRefused, match="Too many tokens") as refused:
        minted(document, "one more")
    assert (refused.value.code, refused.value.status) == ("too-many-tokens", 429)
    for text in texts:  # a publisher that ends its tokens gets no more of them
        document = with_burned(document, text, NOW)
    with pytest.raises(MintRefused, match="Too many tokens"):
        minted(document, "one more")
    after, _ = minted(document, "later", NOW + timedelta(minutes=16))
    assert len(after.tokens) == 1


def test_the_ids_of_the_first_token_are_remembered_with_it() -> None:
    """By the same change; another repository of that name gets no token."""
    document, _ = minted(with_publisher(EMPTY, "one", publisher()))
    assert document.publishers["one"].remembered == {"repository_id": "74", "repository_owner_id": "65"}
    with pytest.raises(MintRefused, match="of no publisher"):
        with_minted(document, proven("b", repository_id="75"), new_token("m000000002"), JOB, NOW)


def test_a_minted_token_can_be_ended() -> None:
    """By its holder; a wrong secret and other tokens change nothing."""
    document, text = minted(with_publisher(EMPTY, "one", publisher()))
    assert with_burned(document, new_token(text.identity), NOW) is document
    assert with_burned(document, new_token("m999999999"), NOW) is document
    burned = with_burned(document, text, NOW)
    assert AccessState(burned).find_token(text.identity, text.digest, NOW) is TokenFault.REVOKED
    assert permits(burned, text, "acme-tools") == set()
    assert with_burned(burned, text, NOW + timedelta(minutes=1)) is burned
    own = new_token("t000000001")
    made = changing.make_token(own.digest, ["read"], "*", [], user=None, note=None, lifetime=None, now=NOW, by=None)
    document = changing.with_token(document, "t000000001", made, NOW)
    assert with_burned(document, own, NOW) is document


def test_publishers_are_stored_and_read_again() -> None:
    """With the memory of ids, and with fields of newer versions."""
    document, _ = minted(with_publisher(EMPTY, "one", publisher()))
    raw = msgspec.json.decode(encode_access(document))
    raw["publishers"]["one"]["of_a_newer_version"] = 1
    again = decode_access(msgspec.json.encode(raw))
    assert again.publishers["one"].unknown == {"of_a_newer_version": 1}
    assert msgspec.json.decode(encode_access(again)) == raw
    assert "publishers" not in msgspec.json.decode(encode_access(EMPTY))


def test_the_first_publisher_brings_an_audience() -> None:
    """One of this store alone, until an operator sets another."""
    first, second = (with_publisher(EMPTY, "one", publisher()).audience for _ in range(2))
    assert first is not None
    assert first.startswith("quire-")
    assert first != second
    document = with_audience(with_publisher(EMPTY, "one", publisher()), "packages.acme.example")
    assert with_publisher(document, "two", publisher("main", "x")).audience == "packages.acme.example"
    for audience in ("", "x", "a b", "é" * 5, "x" * 201):
        with pytest.raises(InvalidRequest, match="An audience has"):
            with_audience(document, audience)


def test_the_same_publisher_is_added_once() -> None:
    """And one that is not there cannot be removed."""
    document = with_publisher(EMPTY, "one", publisher())
    assert with_publisher(document, "two", publisher()) is document
    with pytest.raises(NotFound, match="no publisher 'two'"):
        without_publishers(document, ["one", "two"])
