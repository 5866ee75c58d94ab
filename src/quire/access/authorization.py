"""The access rules: one decision for every request, whichever endpoint it is for.

The grants of the store decide, once there are any for people; until then the settings do (`--authenticate`), within
what a token may do.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from quire.access.decisions import AccessState
from quire.access.document import EMPTY
from quire.access.grants import ANY, Permission
from quire.access.principals import Principal


class Right(StrEnum):
    """Something that a request needs; the value follows "To" in sentences.

    The first three have the names that pypiserver's `--authenticate` gives them.
    """

    DOWNLOAD = "download"
    LIST = "list"
    UPDATE = "update"
    """To upload or to manage: a request of which it is not known yet which of the two it is."""
    METRICS = "read the metrics"
    UPLOAD = "upload"
    MANAGE = "change or remove releases"
    INSPECT = "read the log, the owners and the trash of projects"
    """Given by the same permission as MANAGE; but a read-only server takes it."""
    ADMIN = "administer indexes and stages, grants and tokens, the log and the trash"
    """Of all indexes (`quire.access.grants.ANY`) for what is one in the store, as grants and tokens."""


NO_GRANTS: Final = AccessState(EMPTY)

UNKNOWN_OWNERS: Final = ("?",)
"""In place of owners that the caller does not know: no principal is among them."""

EACH_PROJECT: Final = ""
"""In place of a project: all of an index at once, whatever their names and owners are."""

_PERMISSIONS: Final = {
    Right.DOWNLOAD: (Permission.READ,),
    Right.LIST: (Permission.READ,),
    Right.UPDATE: (Permission.UPLOAD, Permission.MANAGE),
    Right.METRICS: (Permission.READ,),
    Right.UPLOAD: (Permission.UPLOAD,),
    Right.MANAGE: (Permission.MANAGE,),
    Right.INSPECT: (Permission.MANAGE,),
    Right.ADMIN: (Permission.ADMIN,),
}
"""Any of which gives a right."""
_CHANGES: Final = (Right.UPDATE, Right.UPLOAD, Right.MANAGE)
_READS: Final = (Right.DOWNLOAD, Right.LIST)
_OF_OWNERS: Final = (*_CHANGES, Right.INSPECT)
"""Those that owners have on their projects; a login is needed for all of them or for none."""
_NO_ADMIN: Final = (
    "The settings decide which user may do what here (-a, -P), and they make no user an administrator: run "
    "'quire access init' on the store, which does, or use a token with the right admin."
)
_NEVER_ADMIN: Final = (
    "The settings alone decide which user may do what here (--rights settings), and they make no user an "
    "administrator: ask a server that reads the store's grants, or run the command on the store."
)


@dataclass(frozen=True, slots=True)
class Allowed:
    """The principal may do it."""


@dataclass(frozen=True, slots=True)
class NeedsLogin:
    """A principal that has logged in might be allowed to do it."""

    sentence: str
    """For the client."""


@dataclass(frozen=True, slots=True)
class Forbidden:
    """The principal may not do it; another login might help, the same one does not."""

    sentence: str
    """For the client."""


ALLOWED: Final = Allowed()
"""The only one there is: compare with `is`."""

Decision = Allowed | NeedsLogin | Forbidden


class AccessRules:
    """The rules of the settings, and decisions by them and by the grants of the store."""

    def __init__(
        self,
        login_needed: Collection[str] = (Right.UPDATE,),
        *,
        metrics: str = "list",
        read_only: bool = False,
        has_users: bool = True,
        takes_grants: bool = True,
    ) -> None:
        """`login_needed`, `metrics`: as the settings `authenticate` and `metrics` have them. `read_only`: whether the
        index takes no changes. `has_users`: whether there is a password file. `takes_grants`: whether there can be
        grants and tokens.
        """
        self._no_admin = Forbidden(_NO_ADMIN if takes_grants else _NEVER_ADMIN)
        self._login_needed = {Right(each): _needs_login(f"To {each}") for each in {*login_needed, Right.ADMIN}}
        if Right.UPDATE in self._login_needed:
            self._login_needed |= dict.fromkeys(_OF_OWNERS, self._login_needed[Right.UPDATE])
        self._forbidden: dict[Right, Forbidden] = {}
        self._metrics = metrics
        if read_only:
            sentence = "This index is served read-only; publish to the server that takes uploads."
            self._forbidden |= dict.fromkeys(_CHANGES, Forbidden(sentence))
        if metrics == "list" and Right.LIST in self._login_needed:
            self._login_needed[Right.METRICS] = self._login_needed[Right.LIST]
        elif metrics == "authenticated" and has_users:
            self._login_needed[Right.METRICS] = _needs_login("To read the metrics")
        elif metrics == "authenticated":
            self._forbidden[Right.METRICS] = Forbidden(
                "The metrics need a login, and this server has no password file."
            )

    def authorize(
        self,
        principal: Principal,
        right: Right,
        index: str,
        project: str | None,
        state: AccessState = NO_GRANTS,
        *,
        owners: Collection[str] = UNKNOWN_OWNERS,
    ) -> Decision:
        """Whether `principal` has `right` on a project of an index, as the grants in `state` have it.

        The index and the project are given by name, the project's normalized. None stands for no project, and for one
        that is not known yet: then the decision is Allowed unless it is the same for all projects. `owners`: of the
        project, by its record. A caller that does not know them gets the decision for a project of others; one that
        will decide again when it does, and changes nothing before, names those that the principal can be
        (`AccessState.may_own`).

        An index with others behind it is read only by principals that may read all of them: its pages are of all. To
        leave one out for some principals would offer them the packages of another source under its names. The stage of
        a publishing session is read by those that may read the index that it is in front of.
        """
        if state.document.indexes and right in _READS:
            index = state.reads_as(index)
        decision = self._decide(principal, right, index, project, state, owners=owners)
        if decision is ALLOWED and right in _READS:
            for each in state.behind(index):
                decision = self._decide(principal, right, each, project, state, owners=owners)
                if isinstance(decision, Forbidden):
                    return Forbidden(f"{decision.sentence[:-1]}, which is behind {index}.")
                if decision is not ALLOWED:
                    return decision
        return decision

    def _decide(
        self,
        principal: Principal,
        right: Right,
        index: str,
        project: str | None,
        state: AccessState,
        *,
        owners: Collection[str],
    ) -> Decision:
        decision: Decision = ALLOWED
        if state.decides and (right is not Right.METRICS or self._metrics == "list"):
            decision = self._by_grants(principal, right, index, project, state, owners=owners)
        elif right in self._login_needed and (principal.username is None or principal.token is not None):
            decision = self._by_settings(principal, right, index, project, state)
        elif right is Right.ADMIN:
            decision = self._no_admin
        if decision is ALLOWED and not state.decides and project is not None and right in _OF_OWNERS:
            decision = self._by_owners(principal, right, index, project, state, owners=owners)
        if decision is ALLOWED and self._forbidden:
            return self._forbidden.get(right, ALLOWED)
        return decision

    def _by_settings(
        self, principal: Principal, right: Right, index: str, project: str | None, state: AccessState
    ) -> Decision:
        """Of what needs a login, for any sender but a user that has logged in with a password."""
        if principal.token is None:
            return self._login_needed[right]
        if right is Right.METRICS and self._metrics == "authenticated":
            return ALLOWED
        if any(state.token_permits(principal.token, each, index, project) for each in _PERMISSIONS[right]):
            return ALLOWED
        return _lacks(principal, right, index, project)

    def _by_owners(
        self,
        principal: Principal,
        right: Right,
        index: str,
        project: str,
        state: AccessState,
        *,
        owners: Collection[str],
    ) -> Decision:
        """Of what the settings allow: a project with owners is theirs, and open to tokens that its grants name."""
        permissions = _PERMISSIONS[right]
        if not any(state.is_owned(each, index, owners) for each in permissions):
            return ALLOWED
        if any(state.permits(principal, each, index, project, owners) for each in permissions):
            return ALLOWED
        if principal.token is not None and state.token_permits(principal.token, Permission.ADMIN, index, project):
            return ALLOWED
        return _needs_login(f"To {right}") if principal.is_anonymous else _is_no_owner(principal, index, project)

    def _by_grants(
        self,
        principal: Principal,
        right: Right,
        index: str,
        project: str | None,
        state: AccessState,
        *,
        owners: Collection[str],
    ) -> Decision:
        permissions = _PERMISSIONS[right]
        if any(state.permits(principal, each, index, project, owners) for each in permissions):
            return ALLOWED
        if principal.is_anonymous:
            return _needs_login(f"To {right}")
        if project is not None and any(state.permits(principal, each, index, project) for each in permissions):
            return _is_no_owner(principal, index, project)
        return _lacks(principal, right, index, project)


def _needs_login(purpose: str) -> NeedsLogin:
    return NeedsLogin(f"{purpose} needs a login; give a user name and a password.")


def _lacks(principal: Principal, right: Right, index: str, project: str | None) -> Forbidden:
    doing = "upload or change releases" if right is Right.UPDATE else str(right)
    place = "every index" if index == ANY else f"the index {index}"
    place = place if project is None else f"{project} on {place}"
    needed = " or ".join(_PERMISSIONS[right])
    return Forbidden(f"{_sender(principal)} may not {doing} here; it needs the right {needed} on {place}.")


def _is_no_owner(principal: Principal, index: str, project: str) -> Forbidden:
    return Forbidden(
        f"{_sender(principal)} is no owner of {project} on the index {index}; ask an owner or an administrator for "
        f"'quire owner add {project}'."
    )


def _sender(principal: Principal) -> str:
    return f"The user {principal.name[:100]}" if principal.token is None else f"The token {principal.token}"
