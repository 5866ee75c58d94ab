"""The figures of the runs, and the page that shows them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.proof.figures import Figures, notes_of, of_machine, of_notes, of_report, outcomes_of
from tests.proof.page import PAGE, rewritten
from tests.proof.runs import RUNS

TORTURE = {
    "reads_judged": 100,
    "decisions_judged": 20,
    "changes": 7,
    "changes_of_rights": 3,
    "workers_killed": 5,
    "hands_killed": 1,
    "faults": {"reset": 4, "late": 2},
    "violations": 1,
    "undecided": 2,
    "odd": {"500": 3},
}


def test_a_judged_run() -> None:
    assert of_report(TORTURE) == Figures(reads=100, decisions=20, changes=10, kills=6, faults=6, violations=6)


def test_runs_of_other_kinds() -> None:
    promotions = {
        "promoted": 4,
        "removed": 2,
        "reads": 50,
        "workers_killed": 3,
        "hands_killed": 2,
        "violations": 0,
        "undecided": 0,
        "odd": {},
    }
    assert of_report(promotions) == Figures(reads=50, changes=6, kills=5)
    mirror = {
        "lies": 9,
        "pages": 30,
        "files": 10,
        "changes": 8,
        "kills": 2,
        "violations": {"stale": 2},
        "odd": {"x": 1},
    }
    assert of_report(mirror) == Figures(reads=40, changes=8, kills=2, faults=9, violations=3)
    assert of_report({"violated": 0, "reads": 7, "changes": 3, "restarts": 1}) == Figures(reads=7, changes=3, faults=1)
    assert of_report({"plays": 3}) == Figures()


def test_what_shows_a_violation_over_nfs_on_purpose_does_not_count() -> None:
    documents = [{"options": "nocto", "report": TORTURE}, {"options": "noac", "report": TORTURE}]
    assert of_machine(documents) == of_report(TORTURE)


def test_a_suite_of_faults(tmp_path: Path) -> None:
    junit = tmp_path / "junit.xml"
    notes = (
        "killed at every call: 125 calls, 1,125 runs, 1,125 kills, 0 faults, 0 violations",
        "22 power cuts, 1 violations",
    )
    properties = "".join(f'<property name="faults" value="{note}"/>' for note in notes)
    junit.write_text(
        '<testsuites><testsuite tests="5" failures="1" errors="1" skipped="1"><testcase><properties>'
        f'{properties}<property name="other" value="7 kills"/></properties></testcase></testsuite></testsuites>'
    )
    assert of_notes(notes_of(junit, "faults")) == Figures(kills=1125, faults=22, violations=1)
    assert outcomes_of(junit) == {"passed": 2, "failed": 2, "skipped": 1}


def test_the_page_is_written_from_the_reports() -> None:
    assert rewritten(PAGE.read_text()) == PAGE.read_text()


def test_a_report_becomes_a_line(tmp_path: Path) -> None:
    run = RUNS[0]
    figures = {"reads": 2_000_000, "decisions": 0, "changes": 9, "kills": 3, "faults": 0, "violations": 0}
    result = {"commit": "c" * 40, "recorded": "2026-11-30T10:00:00+00:00", "seconds": 1500, "figures": figures}
    (tmp_path / f"{run.name}.json").write_text(json.dumps(result))
    page = rewritten("before\n<!-- runs -->\nold\n<!-- end -->\nafter\n", tmp_path)
    assert f"| {run.title} | 2,000,000 |  | 9 | 3 |  |  | 25 | **0** |" in page
    assert RUNS[1].title in page.partition("Not run yet")[2]
    assert page.startswith("before\n")
    assert page.endswith("<!-- end -->\nafter\n")


def test_a_page_without_a_place_for_them() -> None:
    with pytest.raises(ValueError, match="runs"):
        rewritten("nothing\n")
