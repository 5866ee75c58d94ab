"""A run from its plan to its report: clients, kills, the judge, and the result."""

from __future__ import annotations

import http.client
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests import serving
from tests.linearizability import pages
from tests.linearizability.checker import Verdict, Violation, check
from tests.linearizability.clients import Processes, Progress
from tests.linearizability.history import NEVER, Operation
from tests.linearizability.http import NoAnswer, NotSent
from tests.linearizability.model import NOTHING
from tests.linearizability.objects import State
from tests.linearizability.plan import Plan
from tests.linearizability.readers import Reader
from tests.linearizability.recording import Recording, merged
from tests.linearizability.runs import Findings, Row, Rows, odd_rows
from tests.linearizability.servers import Killer, Victim

_READS = ("page", "list", "download")
_DECISIONS = ("allowed", "forbidden")
_CHANGES_OF_RIGHTS = ("right given", "right taken", "token made", "token rotated")
_SHOWN = 5
MOST_UNSETTLED = 0.05
"""Of the reads judged: more refusals because of changing files than this tell the judge too little."""


@dataclass(slots=True)
class Report(Findings):
    """The findings of a run."""

    seed: int
    seconds: float
    servers: int
    operations: int = 0
    """Answered or of unknown outcome; not counted are reads without an answer and changes that were never sent."""
    reads_judged: int = 0
    changes: int = 0
    """That took effect."""
    drop_in_changes: int = 0
    """Those of them that were made to drop-in files."""
    decisions_judged: int = 0
    """Of the access rules: requests that were allowed, or refused for want of a right."""
    forbidden: int = 0
    """Those of them that were refused."""
    changes_of_rights: int = 0
    """Rights given and taken, tokens made, rotated and revoked."""
    refused: int = 0
    unknown: int = 0
    workers_killed: int = 0
    hands_killed: int = 0
    unsettled: int = 0
    """Questions about drop-in files that were refused because these changed while they were read."""
    violations: int = 0
    undecided: int = 0
    longest_history: int = 0
    """Operations in the history of one object."""
    most_presents: int = 0
    """Configurations that the judge had to keep at once."""
    requests: int = 0
    """To the bucket, where a proxy counts them."""
    faults: dict[str, int] = field(default_factory=dict)
    """Of these requests, by kind."""
    counts: dict[str, int] = field(default_factory=dict)
    odd: dict[str, int] = field(default_factory=dict)
    """Answers that no client should get."""
    examples: list[str] = field(default_factory=list)
    """The first violations, in words."""

    @property
    def is_clean(self) -> bool:
        """Whether every answer was right, and few questions were refused because of changing files."""
        return not (self.violations or self.undecided or self.odd or self.is_refusing)

    @property
    def is_refusing(self) -> bool:
        """Whether so many questions were refused that the judge was told too little."""
        return self.unsettled > MOST_UNSETTLED * self.reads_judged

    def _access(self) -> Rows:
        if not self.changes_of_rights:
            return []
        return [
            ("decisions judged", f"{self.decisions_judged:,} ({self.forbidden:,} of them refusals)"),
            ("rights changed", f"{self.changes_of_rights:,}"),
        ]

    def _network(self) -> Rows:
        if not self.requests:
            return []
        return [("faults", f"{sum(self.faults.values()):,} of {self.requests:,} requests, of {len(self.faults)} kinds")]

    def rows(self) -> Rows:
        rows: list[Row] = [
            ("seed", self.seed),
            ("seconds", round(self.seconds)),
            ("servers", self.servers),
            ("operations", f"{self.operations:,}"),
            ("reads judged", f"{self.reads_judged:,}"),
            ("changes", f"{self.changes:,} ({self.refused:,} more refused, {self.unknown:,} of unknown outcome)"),
            *([("of drop-in files", f"{self.drop_in_changes:,}")] if self.drop_in_changes else []),
            *([("refused, files changing", f"{self.unsettled:,}")] if self.unsettled else []),
            *self._access(),
            ("kills", f"{self.workers_killed + self.hands_killed:,} ({self.workers_killed:,} of workers)"),
            *self._network(),
            ("longest history", f"{self.longest_history:,}"),
            ("violations", f"{self.violations:,}"),
        ]
        if self.undecided:
            rows.append(("undecided", f"{self.undecided:,}"))
        return [*rows, *odd_rows(self.odd)]


def torture(
    plan: Plan,
    folder: Path,
    victims: Sequence[Victim] = (),
    tell: Callable[[str], object] = lambda _: None,
) -> Report:
    """Run the plan against servers that are running. `folder`: where the recordings go, for a second look."""
    initial: dict[str, State] = dict.fromkeys(plan.every_object, NOTHING)
    initial |= {project: _files(plan, project) for project in plan.every_project}
    progress = Progress()
    processes = Processes(plan, folder, progress)
    began = time.monotonic()
    processes.start()
    try:
        with Killer(victims, plan.random("killer")) as killer:
            while processes.are_running:
                time.sleep(0.25)
                passed = time.monotonic() - began
                tell(
                    f"{passed:5.0f} of {plan.seconds:.0f} s: {progress.reads.value:,} reads, "
                    f"{progress.decisions.value:,} decisions, {progress.writes.value:,} changes, "
                    f"{killer.kills + progress.kills.value:,} kills"
                )
        processes.join()
    finally:
        processes.kill()
    tell("a last look at everything")
    recordings = [*processes.recordings, _last_look(plan, folder / "last")]
    seconds = time.monotonic() - began
    tell("reading the recordings")
    histories, counts, odd = merged(recordings, initial)
    verdicts = {}
    for name, history in histories.items():
        tell(f"judging {name}: {len(history):,} operations")
        verdicts[name] = check(history)
    return _report(plan, seconds, killer.kills, counts, odd, verdicts)


def _last_look(plan: Plan, path: Path) -> Path:
    """Ask each server for everything, when nothing changes any more: what is lost then stays lost. The recording.

    Raises NoAnswer, NotSent when a server does not answer although its workers are no longer killed.
    """
    recording = Recording(plan)
    for number, server in enumerate(plan.servers):
        only = replace(plan, servers=(server,))
        deadline = time.monotonic() + serving.DEADLINE
        while True:
            reader = Reader(only, f"last reader {number}", 1000 + number, recording)
            try:
                reader.look_at_everything()
                break
            except (NoAnswer, NotSent):  # of a worker that was killed last
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
            finally:
                reader.close()
    if refused := recording.counts.pop("unsettled", 0):
        recording.odd["last look: refused because files change, which none does any more"] += refused
    recording.save(path)
    return path


def _report(
    plan: Plan, seconds: float, kills: int, counts: Counter[str], odd: Counter[str], verdicts: dict[str, Verdict]
) -> Report:
    changes = sum(counts[verb] for verb in ("publish", "delete", "yank", "unyank"))
    decisions, of_rights = (sum(counts[kind] for kind in kinds) for kinds in (_DECISIONS, _CHANGES_OF_RIGHTS))
    reads = sum(counts[kind] for kind in _READS)
    convicted = [(project, violation) for project, verdict in verdicts.items() for violation in verdict.violations]
    convicted.sort(key=lambda pair: pair[1].operation.ended)
    return Report(
        seed=plan.seed,
        seconds=seconds,
        servers=len(plan.servers),
        operations=reads + changes + decisions + of_rights + counts["refused"] + counts["unknown"],
        reads_judged=reads,
        changes=changes,
        drop_in_changes=counts["dropped in"],
        decisions_judged=decisions,
        forbidden=counts["forbidden"],
        changes_of_rights=of_rights,
        refused=counts["refused"],
        unknown=counts["unknown"],
        workers_killed=kills,
        hands_killed=counts["hands killed"],
        unsettled=counts["unsettled"],
        violations=len(convicted),
        undecided=sum(verdict.undecided for verdict in verdicts.values()),
        longest_history=max(verdict.operations for verdict in verdicts.values()),
        most_presents=max(verdict.most_presents for verdict in verdicts.values()),
        counts=dict(counts),
        odd=dict(odd.most_common(20)),
        examples=[in_words(project, violation) for project, violation in convicted[:_SHOWN]],
    )


def in_words(project: str, violation: Violation) -> str:
    """A violation with what is needed to understand it; times in milliseconds from the answer that is wrong."""
    zero = violation.operation.ended

    def told(operation: Operation) -> str:
        ended = "..." if operation.ended == NEVER else f"{(operation.ended - zero) / 1e6:.3f}"
        doubt = "" if operation.certain else ", of unknown outcome"
        return f"[{(operation.invoked - zero) / 1e6:.3f}, {ended}] client {operation.client}{doubt}: {operation.action}"

    lines = [f"{project}: no order explains", f"  {told(violation.operation)}"]
    for state in violation.possible:
        lines += ["  where there could have been", *(f"    {entry}" for entry in sorted(state, key=str))]
    for title, operations in (("while", violation.under_way), ("after", violation.before)):
        if operations:
            lines += [f"  {title}", *(f"    {told(operation)}" for operation in operations)]
    return "\n".join(lines)


def _files(plan: Plan, project: str) -> State:
    """The files that are there before the run."""
    host, port = plan.servers[0]
    connection = http.client.HTTPConnection(host, port, timeout=60)
    authorization = {"Authorization": f"Bearer {plan.token}"} if plan.token else {}
    try:
        connection.request("GET", f"/simple/{project}/", headers={"Accept": "text/html"} | authorization)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status == 404:
        return NOTHING
    assert answer.status == 200, f"{answer.status} for the page of {project}: {body[:200]!r}"
    return pages.project_html(body).files
