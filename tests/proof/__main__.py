"""`python -m tests.proof run [--only NAME]`, `python -m tests.proof write`: see the package."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.documents import ROOT
from tests.linearizability.telling import tell
from tests.nfs.results import results_of
from tests.proof.figures import Figures, documents_since, notes_of, of_machine, of_notes, of_report, outcomes_of
from tests.proof.page import PAGE, RESULTS, Result, result_of, rewritten
from tests.proof.runs import RUNS, Run


def main() -> int:
    """0: nothing is wrong; 1: a run found a violation, or failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    names = [run.name for run in RUNS]
    running = commands.add_parser("run", help="all runs that this commit has not made yet")
    running.add_argument("--only", action="append", choices=names, help="this one; repeat it for several")
    commands.add_parser("list", help="their names, and how long they take")
    commands.add_parser("write", help="the tables of docs/consistency.md")
    arguments = parser.parse_args()
    if arguments.command == "list":
        print("\n".join(f"{run.name:<18} {run.minutes:>3} min  {run.title}" for run in RUNS))
        return 0
    if arguments.command == "write":
        PAGE.write_text(rewritten(PAGE.read_text()))
        return 0
    chosen = [run for run in RUNS if run.name in (arguments.only or names)]
    return max((_made(run) for run in chosen), default=0)


def _made(run: Run) -> int:
    commit = _commit()
    earlier = result_of(run)
    if earlier is not None and earlier["commit"] == commit and not _is_wrong(earlier):
        print(f"{run.name}: done by this commit", flush=True)
        return 0
    print(f"{run.name}: about {run.minutes} minutes", flush=True)
    began = time.time()
    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        report = Path(folder) / ("junit.xml" if run.kind != "judged" else "report.json")
        status = subprocess.run(_command(run, report), cwd=ROOT, env=_environ(run), check=False).returncode
        if not report.exists():
            print(f"{run.name} ended with {status} and left no report.", file=sys.stderr)
            return 1
        result = _result(run, report, began)
    result |= {"commit": commit, "status": status}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{run.name}.json").write_text(f"{json.dumps(result, indent=2)}\n")
    tell(f"{run.name}: {result['figures']}")
    return int(_is_wrong(result))


def _commit() -> str:
    """That of the sources; with a `+` when files were changed since. Pages of the documentation do not count."""
    asked = ("status", "--porcelain", "--untracked-files=no", "--", "src", "tests", ":!tests/proof")
    commit, changed = (
        subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
        for words in (("log", "-1", "--format=%H", "--", "src"), asked)
    )
    return f"{commit}{'+' if changed else ''}"


def _is_wrong(result: Result) -> bool:
    return bool(result["status"] or result["figures"]["violations"])


def _command(run: Run, report: Path) -> list[str]:
    option = ["--report", str(report)] if run.kind == "judged" else [f"--junitxml={report}"]
    words = [sys.executable, *run.arguments, *option]
    if not run.bucket:
        return words
    line = " ".join(_quoted(word) for word in words)
    return [sys.executable, "-m", "tests.bucket.rig", "--on", "s3", "sh", "-c", f"exec {line}"]


def _quoted(word: str) -> str:
    """For a shell that knows the URL of the bucket."""
    before, bucket, after = word.partition("{bucket}")
    return f'"$TESTS_BUCKET{after}"' if bucket and not before else shlex.quote(word)


def _environ(run: Run) -> dict[str, str]:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return environ | {"TESTS_NFS_RELEASE": run.release, "TESTS_MUST_COUNT": "1"}


def _result(run: Run, report: Path, began: float) -> Result:
    result: Result = {"name": run.name, "recorded": datetime.now(UTC).isoformat(timespec="seconds")}
    if run.kind == "judged":
        figures = of_report(json.loads(report.read_text()))
    else:
        result["tests"] = outcomes_of(report)
        figures = Figures(violations=result["tests"]["failed"])
        if run.kind == "nfs":
            documents = documents_since(results_of(run.release), began)
            figures += of_machine(documents)
            result["kernel"] = documents[0]["kernel"] if documents else ""
        else:
            figures += of_notes(notes_of(report, "faults"))
    return result | {"seconds": round(time.time() - began), "figures": dataclasses.asdict(figures)}


if __name__ == "__main__":
    sys.exit(main())
