"""The rights of one user as clients see them: an object of its own, with the grants to the user and to the user's
group, and with some tokens.

All grants and tokens of a store are one record, so all users together are linearizable if each of them is: no change
and no decision here touches two users. A decision is a read: the server allowed a request, or refused it. It acts at
some moment between the request and the answer. So a request that was allowed although its right was revoked, and the
revocation acknowledged, before it began, has no place in any order; and so has one that was refused for want of a right
that it had all the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from tests.linearizability.objects import Read, State, Write

READ: Final = "read"
UPLOAD: Final = "upload"
RIGHTS: Final = (READ, UPLOAD)
PASSWORD: Final = 0
"""The number of the user's password among the secrets."""
UNKNOWN: Final = -1
"""The number of a secret that was made by a change of unknown outcome: no client has it."""


# -- facts: the state is a set of them ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class Granted:
    """A grant."""

    receiver: str
    """`user` or `group`."""
    right: str


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """The user is in the group."""


@dataclass(frozen=True, slots=True, order=True)
class Secret:
    """A secret of a token that counts."""

    token: int
    number: int
    """Of the secret."""
    rights: tuple[str, ...]
    """The scope of the token."""
    of_user: bool
    """Whether the token stands for the user, and may do no more than the user."""
    is_current: bool = True
    """False for the one before it, which still counts for a while."""


Fact: TypeAlias = Granted | Member | Secret


def may(state: State, number: int, right: str) -> bool:
    """Whether a request with this secret has a right."""
    if number == PASSWORD:
        return _user_may(state, right)
    for fact in state:
        if isinstance(fact, Secret) and fact.number == number:
            return right in fact.rights and (not fact.of_user or _user_may(state, right))
    return False


def _user_may(state: State, right: str) -> bool:
    return Granted("user", right) in state or (Member() in state and Granted("group", right) in state)


# -- writes -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Give(Write):
    """Give a right, add to the group, make a token. It is told from one that was given before."""

    fact: Fact

    def apply(self, state: State) -> State | None:
        return None if self.fact in state else state | {self.fact}


@dataclass(frozen=True, slots=True)
class Take(Write):
    """Take a right back, remove from the group. It succeeds only where it was given."""

    fact: Fact

    def apply(self, state: State) -> State | None:
        return state - {self.fact} if self.fact in state else None


@dataclass(frozen=True, slots=True)
class Revoke(Write):
    """End a token."""

    token: int

    def apply(self, state: State) -> State | None:
        return state - secrets_of(state, self.token)


@dataclass(frozen=True, slots=True)
class Rotate(Write):
    """Give a token another secret, which ends the one before, or lets it count for a time that is longer than the run.
    It succeeds only while the token counts."""

    token: int
    number: int
    has_grace: bool

    def apply(self, state: State) -> State | None:
        known = secrets_of(state, self.token)
        for old in known:
            if old.is_current:
                kept = {_replaced(old, old.number, is_current=False)} if self.has_grace else set()
                return (state - known) | kept | {_replaced(old, self.number, is_current=True)}
        return None


def secrets_of(state: State, token: int) -> frozenset[Secret]:
    """Those of a token that count."""
    return frozenset(fact for fact in state if isinstance(fact, Secret) and fact.token == token)


def _replaced(secret: Secret, number: int, *, is_current: bool) -> Secret:
    return Secret(secret.token, number, secret.rights, secret.of_user, is_current)


# -- observations -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Decided(Read):
    """A request with a secret was allowed, or refused."""

    number: int
    right: str
    allowed: bool

    def holds(self, state: State) -> bool:
        return may(state, self.number, self.right) == self.allowed


@dataclass(frozen=True, slots=True)
class Found(Read):
    """A change was refused because there was nothing to change: the fact was there already, or was not there."""

    fact: Fact
    present: bool

    def holds(self, state: State) -> bool:
        return (self.fact in state) == self.present


@dataclass(frozen=True, slots=True)
class Ended(Read):
    """A change was refused because the token had ended."""

    token: int

    def holds(self, state: State) -> bool:
        return not secrets_of(state, self.token)
