"""Is a history of one object linearizable: does some order of its operations explain every answer?

Theory of operation
-------------------
Linearizability is local (Herlihy and Wing, 1990, theorem 1): a history of many objects is linearizable exactly if the
history of each object is. So every project is judged alone. A project is not split further, into its files, because a
page is an observation of all of them at once; see `model` for that and for what becomes of the list of projects. The
rights of each user are one object as well, with that user's tokens (`rights`).

Within an object this is the search of Wing and Gong (1993) with the memory and the "just in time" order of Lowe (2017).
The history is walked through by time. A configuration is a possible present: the state, the writes that were invoked
and have no place in the order yet, and the reads that wait. Nothing is ordered before it has to be: only when an
operation ends, every configuration in which it has no place yet is replaced by all those that place it last, after any
sequence of the writes under way. If none is left, no order explains that operation: a violation. Configurations that
are equal are one, however they came about. All orders are covered: of any valid order the part up to
the operation that ends is such a sequence, and whatever it places later can be placed when it is needed.

Three reductions keep this small; each loses nothing.

1. A read is placed at the first moment after its invocation at which the state is what it saw. It changes nothing, so
   in any valid order it can be moved forward to that moment. Thus nearly every read costs one comparison.
2. A write of unknown outcome need not be placed at all; when it ends, every configuration goes on with it and without
   it. Of two configurations with the same state the one that has used up fewer of those, and lets fewer reads wait,
   can do whatever the other can; the other is dropped. And one that changes nothing now is not placed now.
3. Writes under way that do the same are interchangeable: of them the one that ends first is placed first. Digests and
   reasons that no answer ever mentions count as the same one (`model.blurred`): to have had this or that of them is a
   difference that was not observed.

An operation precedes another only if it ended before the other was invoked; at the same nanosecond both are concurrent.
After a violation the operation is left out and the walk goes on, so one lie is not the end of the report; what a lost
write causes afterwards is counted read by read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.linearizability.history import History, Operation
from tests.linearizability.model import blurred, mentioned
from tests.linearizability.objects import Action, Read, State, Write

MOST_STEPS = 300_000
"""Configurations that may be visited to place one operation."""
_INDEX_BITS = 34
_INVOKED, _ENDED = 0, 1
_SHOWN = 6


class _Present(NamedTuple):
    """A configuration: one possible present."""

    state: State
    must: frozenset[int]
    """Writes that were invoked, took effect, and are not placed yet."""
    may: frozenset[int]
    """Writes of unknown outcome that were invoked and not placed."""
    reads: frozenset[int]
    """Invoked, and the state was never what they saw."""


@dataclass(frozen=True, slots=True)
class Violation:
    """An operation that no order explains."""

    operation: Operation
    possible: tuple[State, ...]
    """The possible states when it ended, before writes under way."""
    under_way: tuple[Operation, ...]
    """Writes that could still have been placed."""
    before: tuple[Operation, ...]
    """The writes that ended last."""


@dataclass(slots=True)
class Verdict:
    """The verdict on one history."""

    operations: int = 0
    violations: list[Violation] = field(default_factory=list)
    undecided: int = 0
    """Operations that were left out because the search for their place became too long."""
    most_presents: int = 1
    """How many configurations there were at most."""

    @property
    def linearizable(self) -> bool:
        return not self.violations and not self.undecided


def check(history: History) -> Verdict:
    """Judge a history."""
    return _Checker(history).run()


class _Checker:
    def __init__(self, history: History) -> None:
        self._history = history
        seen = mentioned(history.actions, history.initial)
        self._actions: list[Action] = [blurred(action, seen) for action in history.actions]
        kinds: dict[Action, int] = {}
        self._kinds = [kinds.setdefault(action, len(kinds)) for action in self._actions]
        """Equal for actions that do the same."""
        self._writes = [isinstance(action, Write) for action in self._actions]
        self._presents: list[_Present] = [_Present(history.initial, frozenset(), frozenset(), frozenset())]
        self._waiting: set[int] = set()
        """The reads that wait in some configuration."""
        self._verdict = Verdict(operations=len(history))
        self._last_writes: list[int] = []

    def run(self) -> Verdict:
        history = self._history
        action, writes, actions = history.action, self._writes, self._actions
        waiting = self._waiting
        for moment, index in _moments(history):
            number = action[index]
            if not writes[number]:
                if moment == _INVOKED:
                    observation = actions[number]
                    for present in self._presents:
                        if not observation.holds(present.state):  # type: ignore[union-attr]  # it is no write
                            self._let_wait(index)
                            break
                elif index in waiting:
                    waiting.discard(index)
                    self._read_ended(index)
            elif moment == _INVOKED:
                if history.certain[index]:
                    self._presents = [present._replace(must=present.must | {index}) for present in self._presents]
                else:
                    self._presents = [present._replace(may=present.may | {index}) for present in self._presents]
            else:
                self._write_ended(index)
        return self._verdict

    # -- the moments of an operation ----------------------------------------------------------------------------------

    def _let_wait(self, index: int) -> None:
        self._waiting.add(index)
        observation = self._read(index)
        self._presents = [
            present if observation.holds(present.state) else present._replace(reads=present.reads | {index})
            for present in self._presents
        ]

    def _read_ended(self, index: int) -> None:
        found: list[_Present] = []
        for present in self._presents:
            if index not in present.reads:
                found.append(present)
            elif not self._explore(index, present, found):
                self._verdict.undecided += 1
                return self._drop_read(index)
        if not found:
            self._convict(index)
            return self._drop_read(index)
        self._set(found)
        return None

    def _drop_read(self, index: int) -> None:
        self._set([present._replace(reads=present.reads - {index}) for present in self._presents])

    def _write_ended(self, index: int) -> None:
        if not self._history.certain[index]:
            return self._doubt_ended(index)
        found: list[_Present] = []
        for present in self._presents:
            if index not in present.must:
                found.append(present)
            elif not self._explore(index, present, found):
                self._verdict.undecided += 1
                return self._drop_write(index)
        if not found:
            self._convict(index)
            return self._drop_write(index)
        self._set(found)
        self._last_writes = [*self._last_writes[1 - _SHOWN :], index]
        return None

    def _doubt_ended(self, index: int) -> None:
        """It took effect, at the latest now, or it never will."""
        placed: list[_Present] = []
        for present in self._presents:
            if index in present.may and not self._explore(index, present, placed):
                self._verdict.undecided += 1
        self._presents = self._presents + placed
        self._drop_write(index)

    def _drop_write(self, index: int) -> None:
        self._set(
            [present._replace(must=present.must - {index}, may=present.may - {index}) for present in self._presents]
        )

    # -- the search ---------------------------------------------------------------------------------------------------

    def _explore(self, target: int, start: _Present, found: list[_Present]) -> bool:
        """Add every configuration that places `target` last, after any of the writes. False when it takes too long."""
        placing_read = target in start.reads
        steps = 0
        visited: dict[tuple[State, frozenset[int]], list[_Present]] = {(start.state, start.must): [start]}
        queue = deque([start])
        while queue:
            present = queue.popleft()
            for index in self._choices(present.must | present.may):
                after = self._place(index, present)
                if after is None:
                    continue
                alike = visited.setdefault((after.state, after.must), [])
                if any(_stands_in(other, after) for other in alike):
                    continue
                alike.append(after)
                steps += 1
                if steps > MOST_STEPS:
                    return False
                if index == target or (placing_read and target not in after.reads):
                    found.append(after)
                else:
                    queue.append(after)
        return True

    def _choices(self, writes: frozenset[int]) -> Iterator[int]:
        """One of each kind of writes that do the same: the one that ends first."""
        if len(writes) < 2:
            yield from writes
            return
        history = self._history
        kinds: set[int] = set()
        for index in sorted(writes, key=history.ended.__getitem__):
            kind = self._kinds[history.action[index]] << 1 | history.certain[index]
            if kind not in kinds:
                kinds.add(kind)
                yield index

    def _place(self, index: int, present: _Present) -> _Present | None:
        """The configuration after this write; None where it cannot succeed, or would be spent for nothing."""
        state = self._write(index).apply(present.state)
        if state is None or (state == present.state and index in present.may):
            return None
        reads = present.reads
        if reads:
            reads = frozenset(read for read in reads if not self._read(read).holds(state))
        return _Present(state, present.must - {index}, present.may - {index}, reads)

    def _set(self, presents: list[_Present]) -> None:
        """Keep those that no other one can stand in for."""
        if len(presents) > 1:
            kept: dict[tuple[State, frozenset[int]], list[_Present]] = {}
            for present in dict.fromkeys(presents):
                alike = kept.setdefault((present.state, present.must), [])
                if not any(_stands_in(other, present) for other in alike):
                    alike[:] = [other for other in alike if not _stands_in(present, other)]
                    alike.append(present)
            presents = [present for alike in kept.values() for present in alike]
        self._presents = presents
        self._verdict.most_presents = max(self._verdict.most_presents, len(presents))

    # -- small things -------------------------------------------------------------------------------------------------

    def _read(self, index: int) -> Read:
        action = self._actions[self._history.action[index]]
        assert isinstance(action, Read)
        return action

    def _write(self, index: int) -> Write:
        action = self._actions[self._history.action[index]]
        assert isinstance(action, Write)
        return action

    def _convict(self, index: int) -> None:
        history = self._history
        under_way = sorted({write for present in self._presents for write in present.must | present.may} - {index})
        self._verdict.violations.append(
            Violation(
                operation=history[index],
                possible=tuple({present.state for present in self._presents}),
                under_way=tuple(history[write] for write in under_way),
                before=tuple(history[write] for write in self._last_writes),
            )
        )


def _stands_in(one: _Present, other: _Present) -> bool:
    """Whether `one` can do whatever `other` can, their state and what they must place being the same."""
    return one.may >= other.may and one.reads <= other.reads


def _moments(history: History) -> Iterator[tuple[int, int]]:
    """(_INVOKED or _ENDED, index of the operation) by time; at the same time invocations come first."""
    if not len(history):
        return
    start = min(history.invoked)
    keys = [((time - start) << 1 | _INVOKED) << _INDEX_BITS | index for index, time in enumerate(history.invoked)]
    keys += [((time - start) << 1 | _ENDED) << _INDEX_BITS | index for index, time in enumerate(history.ended)]
    keys.sort()
    mask = (1 << _INDEX_BITS) - 1
    for key in keys:
        yield (key >> _INDEX_BITS) & 1, key & mask
