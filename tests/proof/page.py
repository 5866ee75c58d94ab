"""The tables of docs/consistency.md, made of the reports."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from tests.documents import DOCS, with_part
from tests.proof.figures import Figures, together
from tests.proof.runs import RUNS, Run

PAGE: Final = DOCS / "consistency.md"
RESULTS: Final = Path(__file__).parent / "results"
MARK: Final = "runs"
_HEADS: Final = (
    *("Run", "Answers judged", "Decisions on rights", "Changes", "Kills", "Faults", "Tests", "Minutes", "Violations"),
)
Result = dict[str, Any]
"""name, commit, recorded (UTC), seconds, kernel (of NFS), tests (of a suite), figures."""


def result_of(run: Run, folder: Path = RESULTS) -> Result | None:
    """That of an earlier run; none if there was none."""
    file = folder / f"{run.name}.json"
    return json.loads(file.read_text()) if file.exists() else None


def rewritten(text: str, folder: Path = RESULTS) -> str:
    """The page with the tables of these results."""
    found = [(run, result) for run in RUNS if (result := result_of(run, folder)) is not None]
    return with_part(text, MARK, "".join(f"{line}\n" for line in _lines(found)))


def _lines(found: Sequence[tuple[Run, Result]]) -> Iterator[str]:
    if not found:
        return
    commits = sorted({result["commit"] for _, result in found})
    dates = sorted({result["recorded"][:10] for _, result in found})
    days = " to ".join(dict.fromkeys((dates[0], dates[-1])))
    by = " and ".join(commit[:8] for commit in commits)
    yield f"By commit {by}, {days}, on two cores of a shared machine; `make proofs` repeats them."
    yield ""
    yield f"| {' | '.join(_HEADS)} |"
    yield f"|{'---|' * len(_HEADS)}"
    for run, result in found:
        yield _row(_title(run, result), Figures(**result["figures"]), _tests(result), result["seconds"])
    total = together(Figures(**result["figures"]) for _, result in found)
    yield _row("**all together**", total, "", sum(result["seconds"] for _, result in found))
    missing = [run.title for run in RUNS if all(run is not other for other, _ in found)]
    if missing:
        yield ""
        yield f"Not run yet by this commit: {'; '.join(missing)}."


def _title(run: Run, result: Result) -> str:
    return f"{run.title} (Linux {result['kernel']})" if result.get("kernel") else run.title


def _tests(result: Result) -> str:
    tests = result.get("tests")
    if not tests:
        return ""
    return ", ".join(f"{number:,} {outcome}" for outcome, number in tests.items() if number)


def _row(title: str, figures: Figures, tests: str, seconds: float) -> str:
    numbers = (figures.reads, figures.decisions, figures.changes, figures.kills, figures.faults)
    cells = [title, *(f"{number:,}" if number else "" for number in numbers), tests, f"{seconds / 60:.0f}"]
    return f"| {' | '.join(cells)} | **{figures.violations:,}** |"
