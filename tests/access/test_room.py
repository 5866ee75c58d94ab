"""A full record of grants and tokens: no user fills it, and no right stays since it is full.

Replaced here: the bound on the size of the record, which no setting changes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from quire.access import room
from quire.access.document import KEY, AccessDocument, encode_access
from quire.access.records import AccessRecords
from quire.domain.errors import InvalidRequest
from quire.index.audit.archive import KEPT
from quire.index.audit.entries import Origin, entries_of
from quire.operations import granting, sessions
from quire.operations.trusted_publishing import add_publisher, remove_publishers
from quire.store.memory import MemoryStore
from tests.publishing.claims import SETTINGS
from tests.tokens import make_token

ORIGIN = Origin(user="root")
ANN = Origin(user="ann")
DAY = timedelta(days=1)


def create(
    access: AccessRecords,
    *projects: str,
    user: str | None = None,
    own: bool = False,
    identity: str | None = None,
    lifetime: timedelta = DAY,
) -> str:
    """A new token; its id."""
    return make_token(
        access,
        ["upload"],
        projects,
        user=user,
        identity=identity,
        lifetime=lifetime,
        origin=ANN if own else ORIGIN,
        is_own=own,
    ).identity


def document(access: AccessRecords) -> AccessDocument:
    return access.read().state.document


def size(access: AccessRecords) -> int:
    return len(access.store.records.read(KEY).data or b"")


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> AccessRecords:
    """Records in which there is no room for one more token, with something of each kind to take away."""
    access = AccessRecords(MemoryStore())
    granting.begin(access, "root", ["update"], ORIGIN)
    add_publisher(access, "github", SETTINGS["github"], {}, issuer=None, index="main", projects=["a"], origin=ORIGIN)
    granting.set_group(access, "tools", ["ann", "bob"], ORIGIN)
    sessions.make_key(access, ORIGIN)
    for _ in range(40):
        create(access, user="ann")
    log = entries_of(access.store.records.read(KEY))[-KEPT:]  # the others can be archived
    monkeypatch.setattr(room, "MAX_BYTES", len(encode_access(document(access), log)))
    return access


def test_a_full_record_refuses_more(full: AccessRecords) -> None:
    """In a sentence that says how to go on."""
    before = full.read()
    for change in (
        partial(create, full),
        partial(granting.give, full, "user:bob", ["read"], "*", [], origin=ORIGIN),
        partial(granting.set_group, full, "more", ["x" * 200], ORIGIN),
    ):
        with pytest.raises(InvalidRequest, match="would be larger than 0 MiB; take grants back or remove publishers"):
            change()
    assert full.read(before) is before


def revoke_all(access: AccessRecords) -> None:
    for identity in document(access).tokens:
        granting.revoke_tokens(access, [identity], ORIGIN)
    assert all(token.revoked is not None for token in document(access).tokens.values())


def take_back(access: AccessRecords) -> None:
    grants = [key for key, grant in document(access).grants.items() if "upload" in grant.permissions]
    granting.take_back(access, grants, ORIGIN)
    assert not document(access).grants.keys() & set(grants)


def remove_publisher(access: AccessRecords) -> None:
    remove_publishers(access, list(document(access).publishers), ORIGIN)
    assert not document(access).publishers


def leave_group(access: AccessRecords) -> None:
    granting.set_group(access, "tools", ["bob"], ORIGIN)
    assert document(access).groups == {"tools": ("bob",)}


def end_sessions(access: AccessRecords) -> None:
    for number in range(3):
        sessions.end_sessions(access, ["ann", f"user-{number}"], ORIGIN)
    found = document(access).sessions
    assert found is not None
    assert found.ended["ann"] == 3
    sessions.end_all_sessions(access, ORIGIN)


@pytest.mark.parametrize("change", [revoke_all, take_back, remove_publisher, leave_group, end_sessions])
def test_a_full_record_stops_no_end_of_a_right(full: AccessRecords, change: Callable[[AccessRecords], None]) -> None:
    """Also where its entry in the log, and the mark of the end, make the record larger."""
    change(full)
    assert full.log()[-1]["user"] == "root"


def test_a_web_login_is_possible_with_a_full_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """An administrator may have no other way to take rights away, and the first login makes the key of sessions."""
    access = AccessRecords(MemoryStore())
    create(access)
    monkeypatch.setattr(room, "MAX_BYTES", size(access) - 10)
    sessions.make_key(access, ORIGIN)
    assert document(access).sessions is not None


def test_the_log_gives_its_room_to_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large entries go to the archive before there are many of them, and none is lost."""
    access = AccessRecords(MemoryStore())
    made = [create(access, *(f"project-{number}-{each}" for each in range(100))) for number in range(12)]
    monkeypatch.setattr(room, "MAX_BYTES", size(access))
    made.append(create(access))
    assert size(access) < room.MAX_BYTES
    assert [entry["token"] for entry in access.log()] == made
    assert [entry["revision"] for entry in access.log()] == list(range(1, 14))


def test_a_revocation_is_logged_once_for_each_token() -> None:
    """A request that names a token a thousand times makes no entry of a thousand names."""
    access = AccessRecords(MemoryStore())
    identity = create(access)
    granting.revoke_tokens(access, [identity] * 1000, ORIGIN)
    assert access.log()[-1]["tokens"] == [identity]


def test_a_user_does_not_fill_the_record() -> None:
    """With tokens of its own that end, and name as many projects as they may: the record stays small. The newest of
    them stay listed."""
    access = AccessRecords(MemoryStore())
    projects = [f"project-{number:03d}" for number in range(300)]
    made = []
    for _ in range(40):
        made.append(create(access, *projects, user="ann", own=True))
        granting.revoke_tokens(access, made[-1:], ANN)
    kept = list(document(access).tokens)
    assert kept == made[-len(kept) :]
    assert 5 < len(kept) < 20
    assert size(access) < 300_000


def test_a_user_has_a_part_of_the_record() -> None:
    """The tokens that it has made and that count have to fit into it. The same one once more is no further one, and
    those that an administrator made for it take nothing of it."""
    access = AccessRecords(MemoryStore())
    projects = [f"project-{number:03d}" for number in range(300)]
    given = [create(access, *projects, user="ann") for _ in range(20)]
    own = partial(create, access, *projects, user="ann", own=True)
    made = [own() for _ in range(12)]
    with pytest.raises(InvalidRequest, match="together have at most 64 KiB"):
        own()
    assert list(document(access).tokens) == given + made
    with pytest.raises(InvalidRequest, match="at most 4,000 characters"):
        create(access, *projects, "x" * 200, *(f"y{number}" for number in range(300)), user="ann", own=True)
    granting.revoke_tokens(access, made[:1], ANN)
    made.append(own())
    assert list(document(access).tokens) == given + made[1:]


def test_a_token_with_a_grant_makes_no_room() -> None:
    """Another one with its id would have the right that was given to it."""
    access = AccessRecords(MemoryStore())
    projects = [f"project-{number:03d}" for number in range(300)]
    first = create(access, *projects, user="ann", own=True)
    granting.give(access, f"token:{first}", ["manage"], "main", [], origin=ORIGIN)
    granting.revoke_tokens(access, [first], ORIGIN)
    for _ in range(20):
        granting.revoke_tokens(access, [create(access, *projects, user="ann", own=True)], ANN)
    assert next(iter(document(access).tokens)) == first
    assert document(access).tokens[first].counts(datetime.now(UTC)) is False
