"""One check of a bucket: the question, the result, and its meaning."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from quire.doctor.findings import Finding, Weight


class Result(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    UNKNOWN = "unknown"
    FAILS = "fails"


_WEIGHTS = {Result.WARNING: Weight.ADVICE, Result.UNKNOWN: Weight.UNSURE, Result.FAILS: Weight.BREAKS}


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report."""

    code: str
    """For scripts; never changes its meaning."""
    result: Result
    sentence: str
    """The result in words."""
    advice: str = ""
    """The change to make; empty when there is none."""

    @property
    def finding(self) -> Finding | None:
        """The finding on the promise; None when all is well."""
        weight = _WEIGHTS.get(self.result)
        return None if weight is None else Finding(self.code, weight, self.sentence, self.advice)


@dataclass(slots=True)
class Count:
    """How often one question was asked, and how often the answer was a wrong one. Not for several threads at once."""

    asked: int = 0
    wrong: int = 0
    example: str = ""
    """The first wrong answer, in words."""

    def add(self, is_right: bool, otherwise: str) -> None:
        self.asked += 1
        if not is_right:
            self.wrong += 1
            self.example = self.example or otherwise

    def merge(self, other: Count) -> None:
        self.asked += other.asked
        self.wrong += other.wrong
        self.example = self.example or other.example

    def check(
        self, code: str, question: str, advice: str, otherwise: Result = Result.FAILS, unasked: str = ""
    ) -> Check:
        """The line for it. `otherwise`: the result for a wrong answer. `unasked`: why there may be no answers."""
        if not self.asked:
            return Check(code, Result.UNKNOWN, f"{question}: not tried{unasked}.")
        if not self.wrong:
            return Check(code, Result.OK, f"{question}: right {self.asked} of {self.asked} times.")
        sentence = f"{question}: wrong {self.wrong} of {self.asked} times ({self.example})."
        return Check(code, otherwise, sentence, advice)
