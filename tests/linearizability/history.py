"""A history: the operations on one object, their times and results. In columns, for millions of operations."""

from __future__ import annotations

import threading
from array import array
from typing import NamedTuple

from tests.linearizability.model import NOTHING
from tests.linearizability.objects import Action, State

NEVER = 2**62
"""The end of an operation that may still take effect at any time (nanoseconds)."""

_adding = threading.Lock()
"""Held while a row is added: threads share a history, and a row is an entry in each of its columns."""


class Operation(NamedTuple):
    """One operation of a history."""

    action: Action
    """The value that was written, or seen. An operation that failed, or a read that got no answer, is not recorded."""
    invoked: int
    """Nanoseconds of CLOCK_MONOTONIC, which is one clock for all processes of a machine."""
    ended: int
    """When the answer was there; for a write of unknown outcome: when it can take effect no more, NEVER if always."""
    certain: bool
    """Whether it took effect; False: it may have, or will, until it ends, or never."""
    client: int


class History:
    """The operations on one object, in any order."""

    def __init__(self, initial: State = NOTHING) -> None:
        self.initial = initial
        """Its state before the first operation."""
        self.actions: list[Action] = []
        """The distinct actions; most pages are seen thousands of times."""
        self.action = array("i")
        self.invoked = array("q")
        self.ended = array("q")
        self.certain = array("b")
        self.client = array("i")
        self._numbers: dict[Action, int] = {}

    def __len__(self) -> int:
        return len(self.action)

    def __getitem__(self, index: int) -> Operation:
        return Operation(
            self.actions[self.action[index]],
            self.invoked[index],
            self.ended[index],
            bool(self.certain[index]),
            self.client[index],
        )

    def number(self, action: Action) -> int:
        """The place of an action in `actions`; it is put there if it is new."""
        number = self._numbers.get(action)
        if number is None:
            with _adding:
                number = self._numbers.get(action)
                if number is None:
                    self.actions.append(action)
                    number = self._numbers[action] = len(self.actions) - 1
        return number

    def add(self, action: Action, invoked: int, ended: int, *, client: int = 0, certain: bool = True) -> None:
        self.add_number(self.number(action), invoked, ended, client=client, certain=certain)

    def add_number(self, number: int, invoked: int, ended: int, *, client: int, certain: bool = True) -> None:
        """The same for an action whose number is known."""
        with _adding:
            self.action.append(number)
            self.invoked.append(invoked)
            self.ended.append(ended)
            self.certain.append(certain)
            self.client.append(client)

    def extend(self, other: History) -> None:
        """Take over all operations of another recording of the same object."""
        numbers = [self.number(action) for action in other.actions]
        self.action.extend(numbers[number] for number in other.action)
        self.invoked.extend(other.invoked)
        self.ended.extend(other.ended)
        self.certain.extend(other.certain)
        self.client.extend(other.client)
