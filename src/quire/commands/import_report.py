"""The report of an import, as a person and as a script read it; the JSON is described in `quire.commands.import_`."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from quire.commands.common import count, plain
from quire.domain.sizes import in_words
from quire.operations.importing.outcome import Outcome, Report


def document(source: str, index: str, report: Report) -> dict[str, Any]:
    """The report as JSON."""
    return {
        "source": source,
        "index": index,
        "imported": report.count(Outcome.IMPORTED),
        "present": report.count(Outcome.PRESENT),
        "conflicts": report.count(Outcome.CONFLICT),
        "refused": report.count(Outcome.REFUSED),
        "removed": sum(result.removed for result in report.results),
        "updated": report.updated,
        "bytes": report.imported_bytes,
        "files": [dataclasses.asdict(result) for result in report.results],
    }


def print_report(source: str, report: Report) -> None:
    """The files that were not taken, on stderr, and the counts."""
    for result in report.results:
        if result.note is not None and result.outcome is not Outcome.DELETED:
            print(f"{plain(result.path)}: {result.outcome}: {plain(result.note)}", file=sys.stderr)
    counts = [(outcome, report.count(outcome)) for outcome in Outcome]
    words = [f"{number} {outcome}" for outcome, number in counts if number and outcome is not Outcome.IMPORTED]
    removed = sum(result.removed for result in report.results)
    words += [f"{removed} removed from the source"] if removed else []
    words += [f"{count(report.updated, 'project')} updated"] if report.updated else []
    rest = f"; {', '.join(words)}" if words else ""
    imported = f"{count(report.count(Outcome.IMPORTED), 'file')} imported, {in_words(report.imported_bytes)}"
    print(f"{source}: {imported}{rest}.")
