"""The results of the runs: a JSON file for each below .cache/nfs, and a table for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.nfs.rig import CACHE, RELEASE

Document = dict[str, Any]
"""run, program, arguments, file_system, options (besides EFS's), delay, kernel, recorded (UTC), report."""


def results_of(release: str) -> Path:
    """Where the results are of the machines of a release of Debian; empty for those of this machine's."""
    return CACHE / (f"results-{release}" if release else "results")


RESULTS = results_of(RELEASE)


def save(document: Document, folder: Path = RESULTS) -> Path:
    """Write it, in place of what an earlier run of the same test and program left."""
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9.-]+", "-", f"{document['run']}-{document['program']}-{document['number']}".lower())
    path = folder / f"{name}.json"
    path.write_text(f"{json.dumps(document, indent=2)}\n")
    return path


class Row(NamedTuple):
    """One run whose answers were judged."""

    run: str
    file_system: str
    options: str
    operations: int
    reads_judged: int
    kills: int
    violations: int


def row(document: Document) -> Row | None:
    """Nothing for a program that does not judge a history."""
    report = document["report"]
    what = ", ".join(filter(None, (document["options"], document["delay"] and f"wire {document['delay']}")))
    run, file_system = document["run"], document["file_system"]
    if "reads_judged" in report:  # guest.torture
        kills = report["workers_killed"] + report["hands_killed"]
        return Row(run, file_system, what, report["operations"], report["reads_judged"], kills, report["violations"])
    if "violated" in report:  # guest.hammer
        return Row(run, file_system, what, report["changes"] + report["reads"], report["reads"], 0, report["violated"])
    return None


def table(rows: Sequence[Row]) -> list[str]:
    """Lines; the last one is the sum over the runs with options that are supported."""
    supported = [each for each in rows if "nocto" not in each.options]
    total = Row("supported options together", "", "", *(sum(column) for column in _figures(supported)))
    heads = ("run", "file system", "options", "operations", "reads judged", "kills", "violations")
    cells = [heads, *(_cells(each) for each in (*rows, total))]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(_aligned(number, cell, widths[number]) for number, cell in enumerate(line)) for line in cells]


def _figures(rows: Iterable[Row]) -> list[tuple[int, ...]]:
    return list(zip(*((0, 0, 0, 0), *(each[3:] for each in rows)), strict=True))


def _cells(each: Row) -> tuple[str, ...]:
    return (*each[:3], *(f"{number:,}" for number in each[3:]))


def _aligned(column: int, cell: str, width: int) -> str:
    return cell.ljust(width) if column < 3 else cell.rjust(width)
