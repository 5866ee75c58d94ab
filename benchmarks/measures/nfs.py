"""The store on real NFS: round trips per request, counted by the client's kernel, in the machine of tests/nfs."""

from __future__ import annotations

from tests.nfs.kernel import RigError
from tests.nfs.rig import ProgramError, booted

from benchmarks.nfs_guest import UPLOADS
from benchmarks.processes import Unavailable
from benchmarks.suite import Suite

WHERE = "NFS"
"""In place of a corpus: 1,000 projects with 10 files each, on NFSv4.1."""
SERVER = "quire"
TRIPS = "round trips per request"
RATE = "requests per second"
MEDIAN = "median"
LONGEST = "p99"
STALE = "first answers of the other client that lacked an upload"
_TIMEOUT = 900


def measure(suite: Suite) -> None:
    suite.say("the store on NFS (a machine boots for it)")
    try:
        with booted("ext4") as machine:
            report = machine.run("benchmark", timeout=_TIMEOUT, seconds=max(1.0, suite.seconds))
    except (RigError, ProgramError) as error:
        raise Unavailable(f"over NFS: {error}") from error
    for question, counts in report.items():
        kinds = {name: value for name, value in counts.items() if name.isupper()}
        note = ", ".join(f"{name} {value:.3g}" for name, value in sorted(kinds.items(), key=lambda each: -each[1]))
        suite.figure(f"{TRIPS}: {question}", WHERE, SERVER, counts["all"], "", note)
        for measured, name, unit in ((RATE, "rate", "/s"), (MEDIAN, "p50", "ms"), (LONGEST, "p99", "ms")):
            if name in counts:
                suite.figure(f"{measured}: {question}", WHERE, SERVER, counts[name], unit)
        if counts.get("errors"):
            suite.missing(f"{RATE}: {question}", WHERE, SERVER, f"{counts['errors']} errors")
    suite.figure(STALE, WHERE, SERVER, report["upload"]["stale"], f"of {UPLOADS}")
