"""`python -m tests.linearizability.mirrors`: a run of servers of its own over a new directory, or over a bucket."""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.linearizability.mirrors.program import Safeguard
from tests.linearizability.mirrors.run import torture_mirror
from tests.linearizability.telling import tell


def main() -> int:
    """0: every answer is right; 1: not."""
    parser = argparse.ArgumentParser(prog="python -m tests.linearizability.mirrors", description=__doc__)
    add = parser.add_argument
    add("--seconds", type=float, default=600.0)
    add("--seed", type=int, default=1, help="the same seed asks and lies in the same order")
    add("--bucket", metavar="URL", help="serve a bucket instead of a directory")
    add("--server", action="append", help="gunicorn, which forks (default: two of it)")
    add("--workers", type=int, default=3, help="of each server")
    add("--processes", type=int, default=2, help="of readers")
    add("--readers", type=int, default=4, help="threads in each of them")
    add("--kill-every", type=float, default=1.0, metavar="SECONDS", help="a worker of each server; 0: never")
    add("--without", choices=list(Safeguard), default=Safeguard.NONE, type=Safeguard, help="remove this safeguard")
    add("--report", type=Path, metavar="FILE", help="write the report as JSON as well")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="torture-")))
        report = torture_mirror(
            [arguments.bucket or folder / "packages"],
            folder,
            seed=arguments.seed,
            seconds=arguments.seconds,
            kinds=arguments.server or ("gunicorn", "gunicorn"),
            workers=arguments.workers,
            kill_every=arguments.kill_every,
            processes=arguments.processes,
            readers=arguments.readers,
            safeguard=arguments.without,
            tell=tell,
        )
    if arguments.report is not None:
        arguments.report.write_text(f"{report.to_json()}\n")
    print(report.table())
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
