"""The judgement on mirrored pages, from the log of answers alone.

Theory of operation. The upstream numbers the states of each project, and notes when it published each. Its pages differ
in every state: one file is yanked with the number as the reason, or the status has it. So an answer of a mirror tells
which states it can be of: exactly one for a page, several for a download, or for the absence of a project.

A mirror may lag, so its answers are not linearizable with the changes of the upstream. Its promise is weaker: each
answer is of one state that the upstream has published by then, and no answer is of an earlier state than one that was
complete before its request began, on whichever worker, in whichever form. Such a history has an explanation exactly if
each answer can be given a state so that they never go back in real time. The bounds are only from below, so the
earliest possible state of each answer, by the order of the requests, finds an explanation if there is one.

An absence binds no other answer until a page was given: a name that was never found has no record, so each worker has
its own word of it, from the upstream. One may have asked just before the upstream removed the project, and hear of it
late: its page is the first record, and counts from then on for all.

An upstream that lies changes nothing in this: it may say less than it has published (an old page with an old number, a
304 for a page that has changed), and a mirror that believes it lags; but what the mirror has said once it never takes
back.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from tests.linearizability.mirrors.states import Shown

_SHOWN = 5


class Kind(StrEnum):
    """Of violations."""

    BACK = "an older state after a newer one"
    TORN = "a page that the upstream never had"
    BYTES = "a whole body without the announced digest"
    ABSENT = "no file although the page lists it"
    LOST = "an error for a page that is kept"
    ETAG = "two bodies with one ETag"
    PRIVATE = "a private name at the upstream"
    HOST = "a request to a host that must not be asked"
    LOGIN = "a login at another host"
    LATE = "a page that never becomes the upstream's"


class Published(NamedTuple):
    """A state of a project at the upstream."""

    begun: int
    """Nanoseconds of CLOCK_MONOTONIC: no answer of the upstream before that is of this state."""
    shown: Shown | None
    """None: it has no such project."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer, or what is known of it."""

    shown: Shown | None


@dataclass(frozen=True, slots=True)
class Got:
    """A whole download."""

    filename: str
    sha256: str


@dataclass(frozen=True, slots=True)
class NotThere:
    """A download was answered: there is none. Perhaps since the upstream has it no more, which the mirror's page does
    not know yet; so it tells nothing of that page."""

    filename: str
    sha256: str | None
    """Of the content that was asked for; None where the address means any."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer to a request for a page was an error."""

    status: int
    said: str = ""


Observation = Seen | Got | NotThere | Failed


class Read(NamedTuple):
    """One answer to a client."""

    project: str
    observation: Observation
    invoked: int
    ended: int
    client: int
    path: str = ""


@dataclass
class Judgement:
    """The findings."""

    judged: int = 0
    violations: Counter[Kind] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    """The first violations, in words."""

    def convict(self, kind: Kind, sentence: str) -> None:
        self.violations[kind] += 1
        if self.violations[kind] <= _SHOWN:
            self.examples.append(f"{kind}: {sentence}")


def judge(published: Mapping[str, Sequence[Published]], reads: Iterable[Read]) -> Judgement:
    """`published`: by project, all states in their order."""
    by_project: dict[str, list[Read]] = {project: [] for project in published}
    for read in reads:
        by_project[read.project].append(read)
    judgement = Judgement()
    for project, answers in by_project.items():
        _Judge(published[project], judgement).hear(sorted(answers, key=lambda read: (read.invoked, read.ended)))
    return judgement


class _Judge:
    """Of one project."""

    def __init__(self, published: Sequence[Published], judgement: Judgement) -> None:
        self._published = published
        self._begun = [each.begun for each in published]
        self._judgement = judgement
        self._numbers: dict[Observation, list[int]] = {}

    def hear(self, reads: Sequence[Read]) -> None:
        ended: list[tuple[int, int]] = []
        """The answers that are not over when the next request begins: their ends and states."""
        earliest, was_found = 0, False
        for read in reads:
            while ended and ended[0][0] < read.invoked:
                state = heapq.heappop(ended)[1]
                earliest = max(earliest, state)
                was_found = was_found or self._published[state].shown is not None  # an absence is not kept
            if isinstance(read.observation, Failed):
                if was_found:
                    self._convict(Kind.LOST, read, "")
                continue
            self._judgement.judged += 1
            numbers = self._states_of(read.observation)
            at = bisect_left(numbers, earliest)
            if at < len(numbers) and self._begun[numbers[at]] <= read.ended:
                is_kept = was_found or self._published[numbers[at]].shown is not None
                if is_kept and not isinstance(read.observation, NotThere):
                    heapq.heappush(ended, (read.ended, numbers[at]))
            elif isinstance(read.observation, NotThere):
                self._convict(Kind.ABSENT, read, f"after {earliest}")
            elif not numbers:
                self._convict(Kind.BYTES if isinstance(read.observation, Got) else Kind.TORN, read, "")
            else:
                said = f"state {numbers[-1]} at the latest, after {earliest}"
                self._convict(Kind.BACK if numbers[-1] < earliest else Kind.TORN, read, said)

    def _states_of(self, observation: Observation) -> list[int]:
        numbers = self._numbers.get(observation)
        if numbers is None:
            numbers = [at for at, each in enumerate(self._published) if _is_of(observation, each.shown)]
            self._numbers[observation] = numbers
        return numbers

    def _convict(self, kind: Kind, read: Read, said: str) -> None:
        short = str(read.observation)[:300]
        self._judgement.convict(kind, f"{read.path}, client {read.client}, {read.ended / 1e9:.3f}: {said} {short}")


def _is_of(observation: Observation, shown: Shown | None) -> bool:
    match observation:
        case Seen():
            return observation.shown == shown
        case Got():
            files = shown.files if shown is not None else frozenset()
            return any((each.filename, each.sha256) == (observation.filename, observation.sha256) for each in files)
        case NotThere():
            files = shown.files if shown is not None else frozenset()
            return not any(
                each.filename == observation.filename and observation.sha256 in {None, each.sha256} for each in files
            )
        case _:
            return False
