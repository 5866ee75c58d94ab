"""The judge of rights over real NFS: `python -m tests.nfs.rights`. It prints the report, and fails on a violation.

Two servers with two workers each, one on each client; only the rights of users change, and many clients try them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Final, get_args

from tests.linearizability.torture import Report
from tests.nfs.rig import FileSystem, booted

_MORE: Final = 400
"""Seconds for what is not load: starting and judging."""


def main() -> int:
    """0: every decision explained; 1: not."""
    parser = argparse.ArgumentParser(prog="python -m tests.nfs.rights", description=__doc__)
    add = parser.add_argument
    add("--decisions", type=int, default=100_000, help="end when so many were asked for")
    add("--seconds", type=float, default=600.0, help="end after this time at the latest")
    add("--seed", type=int, default=1)
    add("--askers", type=int, default=4, help="threads that try what a user may do")
    add("--file-system", choices=get_args(FileSystem), default="ext4", help="that the server exports")
    add("--delay", default="", help="of the wire, each way, for example 500us")
    add("--report", type=Path, metavar="FILE", help="write the report as JSON as well")
    arguments = parser.parse_args()
    with booted(arguments.file_system, arguments.delay) as machine:
        found = machine.run(
            "torture",
            timeout=int(arguments.seconds) + _MORE,
            seconds=arguments.seconds,
            seed=arguments.seed,
            decisions=arguments.decisions,
            askers=arguments.askers,
        )
    if arguments.report is not None:
        arguments.report.write_text(json.dumps(found, indent=2))
    known = {each.name for each in dataclasses.fields(Report)}
    report = Report(**{name: value for name, value in found.items() if name in known})
    print(report.table())
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
