"""The command line: `python -m benchmarks run`, `report`, `corpora`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import results as circumstances
from benchmarks.corpora import CORPORA
from benchmarks.environments import CACHE, PROJECT, program
from benchmarks.kept import save
from benchmarks.measures import (
    authenticated,
    bucket,
    burst,
    files,
    growth,
    huge,
    logging,
    memory,
    mirror,
    network,
    nfs,
    pages,
    servers,
    starting,
    uploads,
    visible,
)
from benchmarks.peers import PEERS
from benchmarks.processes import Unavailable
from benchmarks.report import write_report
from benchmarks.results import Results
from benchmarks.suite import Suite

LATEST = PROJECT / "benchmarks" / "results" / "latest.json"
PAGE = PROJECT / "docs" / "benchmarks.md"
PARTIAL = CACHE / "partial"
"""Where a run of a selection goes, which is no report to publish."""

SECTIONS: dict[str, Callable[[Suite], None]] = {
    "pages": pages.measure,
    "files": files.measure,
    "uploads": uploads.measure,
    "mirror": mirror.resolutions,
    "mirror-pages": mirror.rates,
    "bucket": bucket.measure,
    "logging": logging.measure,
    "auth": authenticated.measure,
    "growth": growth.measure,
    "visible": visible.measure,
    "burst": burst.measure,
    "nfs": nfs.measure,
    "network": network.measure,
    "memory": memory.measure,
    "starting": starting.measure,
    "huge": huge.measure,
    "servers": servers.measure,
}
"""In the order in which they are measured: what the first screen of the report shows comes first."""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = made.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="measure, and write the report")
    run.add_argument("--only", type=_choice(SECTIONS), default=list(SECTIONS), help=f"of {', '.join(SECTIONS)}")
    run.add_argument("--corpora", type=_choice(CORPORA), default=list(CORPORA), help=f"of {', '.join(CORPORA)}")
    run.add_argument("--peers", type=_choice(PEERS), default=list(PEERS), help=f"beside quire: {', '.join(PEERS)}")
    run.add_argument("--seconds", type=float, default=2.0, help="of each shot (default: 2)")
    run.add_argument("--minutes", type=float, default=70.0, help="after which no section begins (default: 70)")
    run.add_argument("--resume", action="store_true", help="measure what the last such run did not come to")
    run.add_argument("--publish", action="store_true", help="write docs/ also from a selection")
    report = commands.add_parser("report", help="write the report of the last run once more")
    report.add_argument(
        "results", type=Path, nargs="*", default=[LATEST], help="several: parts of one, as runs made them"
    )
    report.add_argument("--keep", type=Path, help="where to write the results of all parts as one")
    report.add_argument("--page", type=Path, default=PAGE, help="where to write it (default: docs/benchmarks.md)")
    corpora = commands.add_parser("corpora", help="make the corpora, and measure nothing")
    corpora.add_argument("names", type=_choice(CORPORA), nargs="?", default=list(CORPORA))
    return made


def _choice(allowed: Iterable[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        if unknown := [name for name in names if name not in allowed]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not among {', '.join(allowed)}")
        return names

    return parse


def run(arguments: argparse.Namespace) -> Path:
    """Measure what was asked for; the page with the report. A section that breaks loses its own figures only."""
    program("wrk")
    whole = (arguments.only, arguments.corpora, arguments.peers) == (list(SECTIONS), list(CORPORA), list(PEERS))
    folder = None if whole or arguments.publish else PARTIAL
    output, page = (LATEST, PAGE) if folder is None else (folder / "results.json", folder / "benchmarks.md")
    CACHE.mkdir(parents=True, exist_ok=True)
    before = [Results.load(output)] if arguments.resume and output.exists() else []
    done = {section for part in before for section in part.sections}
    results = Results(
        started=circumstances.now(), arguments=[" ".join([f"--seconds {arguments.seconds:g}", *_selection(arguments)])]
    )
    with tempfile.TemporaryDirectory(prefix="work-", dir=CACHE) as work:
        suite = Suite(
            results,
            [CORPORA[name] for name in CORPORA if name in arguments.corpora],
            [PEERS[name] for name in PEERS if name in {"quire", *arguments.peers}],
            arguments.seconds,
            Path(work),
        )
        wanted = {name: SECTIONS[name] for name in SECTIONS if name in arguments.only and name not in done}
        for _ in measured(suite, wanted, arguments.minutes * 60):
            save(Results.joined([*before, results]), output)  # after each, so that what breaks later costs nothing
    write_report(Results.joined([*before, results]), page)
    return page


def measured(suite: Suite, sections: Mapping[str, Callable[[Suite], None]], seconds: float) -> Iterator[str]:
    """The name of each section when it was measured, or was not, with the reason in the results."""
    results, began = suite.results, time.monotonic()
    own_version = circumstances.own_version()  # as it is now: the results that are kept change the checkout
    for number, (name, measure) in enumerate(sections.items(), 1):
        section_began = time.monotonic()
        minutes = (section_began - began) / 60
        suite.say(f"section {name}, {number} of {len(sections)}, after {minutes:.0f} minutes")
        try:
            if section_began - began > seconds:
                raise Unavailable(f"the time was over after {minutes:.0f} minutes")
            measure(suite)
            results.sections[name] = time.monotonic() - section_began
        except Exception as error:  # noqa: BLE001 - hours of other figures must not be lost with it
            traceback.print_exc()
            suite.missing(name, "*", "*", error)
        suite.say(f"section {name}: {time.monotonic() - section_began:.0f} s")
        results.took = time.monotonic() - began
        results.machine = circumstances.machine(CACHE)
        results.versions = circumstances.versions(own_version)
        yield name


def _selection(arguments: argparse.Namespace) -> list[str]:
    chosen = (("only", SECTIONS), ("corpora", CORPORA), ("peers", PEERS))
    return [
        f"--{name} {','.join(getattr(arguments, name))}"
        for name, everything in chosen
        if getattr(arguments, name) != list(everything)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # it is a text stream
    arguments = parser().parse_args(argv)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as installed: a server is not compiled again at every start
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped on the way out
    try:
        if arguments.command == "run":
            print(f"report: {run(arguments)}")
        elif arguments.command == "report":
            results = Results.joined([Results.load(part) for part in arguments.results])
            if arguments.keep is not None:
                save(results, arguments.keep)
            write_report(results, arguments.page)
        else:
            for name in arguments.names:
                CORPORA[name].store, CORPORA[name].flat, CORPORA[name].tree
    except Unavailable as error:
        print(f"The benchmarks cannot run: {error}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
