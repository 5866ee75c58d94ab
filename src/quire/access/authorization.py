"""The access rules: one decision for every request, whichever endpoint it is for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Right(StrEnum):
    """Something that a principal may or may not do; the value follows "To" in sentences.

    The first three have the names that pypiserver's `--authenticate` gives them.
    """

    DOWNLOAD = "download"
    LIST = "list"
    UPDATE = "update"
    """To upload and to remove."""
    METRICS = "read the metrics"


@dataclass(frozen=True, slots=True)
class Principal:
    """The sender of a request, as far as its credentials tell."""

    username: str | None = None
    """None for an anonymous one."""


ANONYMOUS: Final = Principal()


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
    """The rules of the settings: which rights need a login. A user that has logged in has all of them.

    They never change, and neither does any decision.
    """

    def __init__(
        self,
        login_needed: Collection[str] = (Right.UPDATE,),
        *,
        metrics: str = "list",
        read_only: bool = False,
        has_users: bool = True,
    ) -> None:
        """`login_needed`, `metrics`: as the settings `authenticate` and `metrics` have them. `read_only`: whether the
        index takes no changes. `has_users`: whether there is a password file.
        """
        self._login_needed = {Right(each): _needs_login(f"To {each}") for each in login_needed}
        self._forbidden: dict[Right, Forbidden] = {}
        if read_only:
            sentence = "This index is served read-only; publish to the server that takes uploads."
            self._forbidden[Right.UPDATE] = Forbidden(sentence)
        if metrics == "list" and Right.LIST in self._login_needed:
            self._login_needed[Right.METRICS] = self._login_needed[Right.LIST]
        elif metrics == "authenticated" and has_users:
            self._login_needed[Right.METRICS] = _needs_login("To read the metrics")
        elif metrics == "authenticated":
            self._forbidden[Right.METRICS] = Forbidden(
                "The metrics need a login, and this server has no password file."
            )

    def authorize(self, principal: Principal, right: Right, _index: str, _project: str | None) -> Decision:
        """Whether `principal` has `right` on a project of an index. The settings know no difference between these.

        The index and the project are given by name, the project's normalized. None stands for no project, and for one
        that is not known yet: then the decision is Allowed unless it is the same for all projects.
        """
        if principal.username is None and right in self._login_needed:
            return self._login_needed[right]
        return self._forbidden.get(right, ALLOWED) if self._forbidden else ALLOWED


def _needs_login(purpose: str) -> NeedsLogin:
    return NeedsLogin(f"{purpose} needs a login; give a user name and a password.")
