"""The figures of a run: what was judged, what was done to the servers meanwhile, what was wrong."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

Report = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Figures:
    """Sums over a run, or over several."""

    reads: int = 0
    """Answers about pages, lists and files."""
    decisions: int = 0
    """Requests that were allowed or refused by rights that change."""
    changes: int = 0
    """That took effect: of projects, of rights; for a mirror those of its upstream."""
    kills: int = 0
    """Of workers and of processes that write."""
    faults: int = 0
    """Failed requests to the bucket, wrong answers of the upstream, restarts of the NFS server, failed calls, power
    cuts."""
    violations: int = 0
    """Or anything else that is wrong."""

    def __add__(self, other: Figures) -> Figures:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Figures(*(one + another for one, another in pairs))


def together(all_of_them: Iterable[Figures]) -> Figures:
    return sum(all_of_them, Figures())


def of_report(report: Report) -> Figures:
    """Those of a judged run, by its report as JSON; of a program that judges nothing, none."""
    odd = sum(report.get("odd", {}).values())
    if "reads_judged" in report:
        return Figures(
            reads=report["reads_judged"],
            decisions=report["decisions_judged"],
            changes=report["changes"] + report["changes_of_rights"],
            kills=report["workers_killed"] + report["hands_killed"],
            faults=sum(report.get("faults", {}).values()) + report.get("restarts", 0),
            violations=report["violations"] + report["undecided"] + odd,
        )
    if "promoted" in report:
        return Figures(
            reads=report["reads"],
            changes=report["promoted"] + report["removed"],
            kills=report["workers_killed"] + report["hands_killed"],
            violations=report["violations"] + report["undecided"] + odd,
        )
    if "lies" in report:
        return Figures(
            reads=report["pages"] + report["files"],
            changes=report["changes"],
            kills=report["kills"],
            faults=report["lies"],
            violations=sum(report["violations"].values()) + odd,
        )
    if "violated" in report:  # of a hammer
        return Figures(
            reads=report["reads"],
            changes=report["changes"],
            faults=report.get("restarts", 0),
            violations=report["violated"],
        )
    return Figures()


def of_machine(documents: Iterable[Mapping[str, Any]]) -> Figures:
    """Those of the programs that ran over real NFS, without those that show what goes wrong without a safeguard."""
    return together(of_report(document["report"]) for document in documents if "nocto" not in document["options"])


def documents_since(folder: Path, began: float) -> list[dict[str, Any]]:
    """Of the programs that ran in a machine and were recorded after this moment, in seconds since 1970."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json")) if path.stat().st_mtime >= began]


def of_notes(notes: Iterable[str]) -> Figures:
    """Those of tests of faults, each of which says in one line how many there were."""
    return together(
        Figures(
            kills=_number(note, "kills"),
            faults=_number(note, "faults") + _number(note, "power cuts") + _number(note, "states"),
            violations=_number(note, "violations"),
        )
        for note in notes
    )


def _number(note: str, of: str) -> int:
    """The sum of all numbers of these in the line."""
    return sum(int(number.replace(",", "")) for number in re.findall(rf"([\d,]+) {of}\b", note))


def notes_of(junit: Path, name: str) -> list[str]:
    """The texts that the tests recorded by `record_property(name, ...)`, from pytest's report in JUnit's format."""
    found = ElementTree.parse(junit).iter("property")
    return [each.get("value", "") for each in found if each.get("name") == name]


def outcomes_of(junit: Path) -> dict[str, int]:
    """passed, failed, skipped: the numbers of tests."""
    suite = next(ElementTree.parse(junit).iter("testsuite"))
    total, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    return {"passed": total - skipped - failed, "failed": failed, "skipped": skipped}
