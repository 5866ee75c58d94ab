"""The judge of rights: which histories of grants, tokens and decisions it convicts, and which it acquits."""

from __future__ import annotations

import sys
import threading

from tests.linearizability.checker import check
from tests.linearizability.history import NEVER, History
from tests.linearizability.objects import Action
from tests.linearizability.rights import (
    PASSWORD,
    READ,
    UNKNOWN,
    UPLOAD,
    Decided,
    Ended,
    Found,
    Give,
    Granted,
    Member,
    Revoke,
    Rotate,
    Secret,
    Take,
)

USER, GROUP = Granted("user", READ), Granted("group", READ)
ALLOWED, REFUSED = Decided(PASSWORD, READ, allowed=True), Decided(PASSWORD, READ, allowed=False)


def convicted(*operations: tuple[Action, int, int] | tuple[Action, int, int, bool]) -> list[Action]:
    """The actions that no order explains. An operation: (action, invoked, ended, whether it is certain)."""
    history = History()
    for action, invoked, ended, *certain in operations:
        history.add(action, invoked, ended, certain=not certain or certain[0])
    verdict = check(history)
    assert not verdict.undecided
    return [violation.operation.action for violation in verdict.violations]


def token(number: int, *, of_user: bool = False, rights: tuple[str, ...] = (READ,)) -> Give:
    return Give(Secret(1, number, rights, of_user))


def test_a_request_by_a_revoked_right_is_convicted() -> None:
    """It began after the revocation was acknowledged; one that began before may be allowed or refused."""
    given, taken = (Give(USER), 0, 1), (Take(USER), 10, 20)
    assert convicted(given, taken, (ALLOWED, 21, 22)) == [ALLOWED]
    assert not convicted(given, taken, (ALLOWED, 19, 22))
    assert not convicted(given, taken, (REFUSED, 11, 12))
    assert convicted(given, taken, (REFUSED, 11, 12), (ALLOWED, 13, 14)) == [ALLOWED]


def test_a_refusal_in_spite_of_a_right_is_convicted() -> None:
    """The right was acknowledged before the request, and is not taken away."""
    assert convicted((Give(USER), 0, 1), (REFUSED, 2, 3)) == [REFUSED]
    assert not convicted((Give(USER), 0, 5), (REFUSED, 2, 3))


def test_a_group_gives_its_rights_to_its_members() -> None:
    """Both the grant and the membership are needed, and either can end it."""
    member, granted = (Give(Member()), 0, 1), (Give(GROUP), 2, 3)
    assert not convicted(member, (REFUSED, 1, 2), granted, (ALLOWED, 4, 5))
    assert convicted(member, granted, (Take(Member()), 4, 5), (ALLOWED, 6, 7)) == [ALLOWED]
    assert convicted(member, granted, (Take(GROUP), 4, 5), (ALLOWED, 6, 7)) == [ALLOWED]


def test_a_revoked_token_is_convicted() -> None:
    """Each of its secrets ends at once."""
    allowed, beside = Decided(1, READ, allowed=True), Decided(1, UPLOAD, allowed=True)
    assert not convicted((token(1), 0, 1), (allowed, 2, 3), (Revoke(1), 2, 9), (allowed, 4, 5))
    assert convicted((token(1), 0, 1), (Revoke(1), 2, 3), (allowed, 4, 5)) == [allowed]
    assert convicted((token(1), 0, 1), (beside, 2, 3)) == [beside]


def test_the_secret_before_a_rotation_ends_with_its_grace() -> None:
    """Without one it ends at once; with one it counts until the next rotation."""
    old, new = Decided(1, READ, allowed=True), Decided(2, READ, allowed=True)
    made = (token(1), 0, 1)
    assert convicted(made, (Rotate(1, 2, has_grace=False), 2, 3), (old, 4, 5), (new, 4, 5)) == [old]
    rotated = (Rotate(1, 2, has_grace=True), 2, 3)
    assert not convicted(made, rotated, (old, 4, 5), (new, 4, 5))
    assert convicted(made, rotated, (Rotate(1, 3, has_grace=True), 6, 7), (old, 8, 9), (new, 8, 9)) == [old]
    assert convicted(made, rotated, (Revoke(1), 6, 7), (old, 8, 9), (new, 8, 9)) == [old, new]


def test_a_token_of_a_user_may_do_no_more_than_its_user() -> None:
    """The right is the token's and the user's, at one moment."""
    allowed = Decided(1, READ, allowed=True)
    made = (token(1, of_user=True), 0, 1)
    assert convicted(made, (allowed, 2, 3)) == [allowed]
    assert not convicted(made, (Give(USER), 2, 3), (allowed, 4, 5))
    assert convicted(made, (Give(USER), 2, 3), (Take(USER), 4, 5), (allowed, 6, 7)) == [allowed]


def test_a_change_of_unknown_outcome_explains_either_answer() -> None:
    """But not one, then the other, then the first again."""
    given, doubted = (Give(USER), 0, 1), (Take(USER), 2, NEVER, False)
    assert not convicted(given, doubted, (ALLOWED, 3, 4), (REFUSED, 5, 6))
    assert convicted(given, doubted, (REFUSED, 3, 4), (ALLOWED, 5, 6)) == [ALLOWED]
    lost = (Rotate(1, UNKNOWN, has_grace=False), 2, NEVER, False)
    old, ended = Decided(1, READ, allowed=True), Decided(1, READ, allowed=False)
    assert not convicted((token(1), 0, 1), lost, (old, 3, 4), (ended, 5, 6))


def test_what_a_change_was_told_is_judged() -> None:
    """That a right was there already, or not, and that a token had ended."""
    absent, ended = Found(USER, present=False), Ended(1)
    assert convicted((Give(USER), 0, 1), (absent, 2, 3)) == [absent]
    assert convicted((Give(USER), 0, 1), (Give(USER), 2, 3)) == [Give(USER)]
    assert convicted((token(1), 0, 1), (ended, 2, 3)) == [ended]


def test_threads_share_a_history() -> None:
    """Every row has the values of one operation, whenever the interpreter changes threads."""
    history, before = History(), sys.getswitchinterval()

    def add(client: int) -> None:
        for moment in range(20_000):
            history.add(Decided(client, READ, allowed=True), moment, moment * 8 + client, client=client)

    threads = [threading.Thread(target=add, args=(client,)) for client in range(4)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert len(history) == 80_000
    rows = (history[number] for number in range(len(history)))
    assert all(
        row.action == Decided(row.client, READ, allowed=True) and row.ended == row.invoked * 8 + row.client
        for row in rows
    )
