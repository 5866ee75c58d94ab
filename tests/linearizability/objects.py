"""The objects that the judge knows: writes change their state, reads tell of it.

`model` has projects, `rights` has the rights of users and tokens. Both are split into objects that do not touch each
other, since linearizability is local.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeAlias

State: TypeAlias = frozenset[Any]
"""All that can be observed of an object at one moment."""


class Write(ABC):
    """An operation that changes the state."""

    __slots__ = ()

    @abstractmethod
    def apply(self, state: State) -> State | None:
        """The state after it; None where it cannot have succeeded."""


class Read(ABC):
    """An answer that tells of the state."""

    __slots__ = ()

    @abstractmethod
    def holds(self, state: State) -> bool:
        """Whether the answer is right in this state."""


Action: TypeAlias = Write | Read
