"""The store on real NFS: round trips per request, counted by the client's kernel, in the machine of tests/nfs."""

from __future__ import annotations

import msgspec
from tests.nfs.rig import ProgramError, booted
from tests.rootfs import RigError

from benchmarks.counted import Counts, kinds
from benchmarks.environments import programs
from benchmarks.nfs_report import Noted
from benchmarks.processes import Unavailable
from benchmarks.suite import Suite

WHERE = "NFS"
"""In place of a corpus: 1,000 projects with 10 files each, on NFSv4.1."""
TRIPS = "round trips per request"
RATE = "requests per second"
MEDIAN = "median"
LONGEST = "p99"
STALE = "stale"
"""First answers that lacked what another client had stored already."""
MEMORY = "memory"
_TIMEOUT = 600


def measure(suite: Suite) -> None:
    suite.say("the store on NFS (a machine boots for it)")
    with suite.noting("pypiserver", WHERE, "simple-dir"):
        programs("pypiserver")  # the machine sees this one's files, and cannot write them
    login = suite.login()
    told = {"user": login.user, "password": login.password, "htpasswd": login.file.read_text()}
    try:
        with booted("ext4") as machine:
            report = machine.run("benchmark", timeout=_TIMEOUT, seconds=min(3.0, max(1.0, suite.seconds)), login=told)
    except (RigError, ProgramError) as error:
        raise Unavailable(f"over NFS: {error}") from error
    noted = msgspec.convert(report, Noted)
    for server, answers in noted.counts.items():
        for question, counts in answers.items():
            _note(suite, server, question, counts)
    for server, reasons in noted.reasons.items():
        for question, reason in reasons.items():
            suite.missing(f"{TRIPS}: {question}", WHERE, server, reason)


def _note(suite: Suite, server: str, question: str, counts: Counts) -> None:
    if "all" in counts:
        suite.figure(f"{TRIPS}: {question}", WHERE, server, counts["all"], "", kinds(counts))
    for measured, name, unit in (
        (RATE, "rate", "/s"),
        (MEDIAN, "p50", "ms"),
        (LONGEST, "p99", "ms"),
        (STALE, "stale", ""),
        (MEMORY, "MiB", "MiB"),
    ):
        if name in counts:
            suite.figure(f"{measured}: {question}", WHERE, server, counts[name], unit)
    if counts.get("errors"):
        suite.missing(f"{RATE}: {question}", WHERE, server, f"{counts['errors']:g} errors")
