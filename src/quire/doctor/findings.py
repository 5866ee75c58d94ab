"""Findings, their meaning for the promise, and the verdict that follows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Weight(StrEnum):
    """The meaning of a finding for the promise."""

    BREAKS = "breaks"
    """The promise cannot be kept like this."""
    UNSURE = "unsure"
    """Not known whether the promise is kept."""
    ADVICE = "advice"
    """Worth knowing; the promise does not depend on it."""


class Verdict(StrEnum):
    """Whether the volume keeps the promise."""

    KEEPS = "keeps"
    BREAKS = "breaks"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that an operator should know."""

    code: str
    """For scripts; never changes its meaning."""
    weight: Weight
    sentence: str
    """The fact, and its consequences."""
    advice: str = ""
    """The change to make; empty when there is none."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How often one question was asked right after a change, and how often the answer was a wrong one."""

    code: str
    question: str
    asked: int
    wrong: int
    required: bool
    """Whether the promise rests on it. The others are what quire does not rely on, for comparison."""
    said: str = ""
    """The first error that was met instead of an answer."""


@dataclass(frozen=True, slots=True)
class Measures:
    """The speed of the volume, and the properties of its clock. None: could not be measured."""

    read_ms: float | None = None
    """Median time of asking whether a known record has changed."""
    read_operations: dict[str, float] | None = None
    """NFS operations of one such question; None where it is no NFS."""
    commit_ms: float | None = None
    """Median time of replacing a record durably."""
    tick_ms: float | None = None
    """The smallest step of the timestamps that was seen."""
    settle_s: float | None = None
    """Seconds of the racy window of a folder."""
    clock_skew_s: float | None = None
    """How far the clock of the files' times is ahead of this machine's."""
    notice_ms: float | None = None
    """Median time until the other side sees a new file that it waits for."""


@dataclass(slots=True)
class Found:
    """Everything that one side collects."""

    findings: list[Finding] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)
    measures: Measures = field(default_factory=Measures)
    rules: list[str] = field(default_factory=list)
    """The rules of the conformance suite that held."""


def verdict(findings: Iterable[Finding]) -> Verdict:
    """The verdict on all findings: one that breaks the promise outweighs those that leave it open."""
    weights = {finding.weight for finding in findings}
    if Weight.BREAKS in weights:
        return Verdict.BREAKS
    return Verdict.UNKNOWN if Weight.UNSURE in weights else Verdict.KEEPS


def sentence_for(verdict: Verdict, what: str) -> str:
    """The verdict for people. `what`: `volume` or `bucket`."""
    if verdict is Verdict.UNKNOWN:
        return f"Not known whether this {what} keeps quire's promise."
    if verdict is Verdict.BREAKS:
        return f"No: this {what} does not keep quire's promise."
    return f"Yes: this {what} keeps quire's promise."


def judge_tallies(tallies: Iterable[Tally]) -> list[Finding]:
    """A wrong answer to a question that the promise rests on breaks it, however rare it is."""
    findings = []
    for tally in tallies:
        if tally.required and tally.wrong:
            said = f" ({tally.said})" if tally.said else ""
            findings.append(
                Finding(
                    tally.code,
                    Weight.BREAKS,
                    f"{tally.question}: wrong {tally.wrong} of {tally.asked} times{said}.",
                    _TALLY_ADVICE.get(tally.code, _STALE_ADVICE),
                )
            )
    return findings


_STALE_ADVICE = (
    "The file system answers from its cache instead of asking its server. Mount it without attribute caching if "
    "possible, or serve from a local disk, or from NFS 4.1 with the usual options."
)
_EXCLUSIVE_ADVICE = (
    "Two machines can both succeed in making the same name, so changes can be lost. Let only one machine publish here, "
    "or use another file system."
)
_TALLY_ADVICE = {
    "listing": "The server's change attribute is as coarse as its clock, so clients cannot distinguish two changes "
    "of one tick. Export a file system whose change attribute counts: xfs, btrfs, or ext4 (on a Linux server before "
    "5.11 with the option iversion).",
    "link-race": _EXCLUSIVE_ADVICE,
    "create-race": _EXCLUSIVE_ADVICE,
    "mkdir-race": _EXCLUSIVE_ADVICE,
    "lost-update": _EXCLUSIVE_ADVICE,
}
