"""Servers of buckets for a command: `python -m tests.bucket.rig [--on s3,az,gs] [--sample] COMMAND ...`.

The command's environment leads to them. TESTS_BUCKETS has the URLs of new buckets, one on each server and between
blanks; TESTS_BUCKET is the first one. Without a command, what the servers need is installed, and the servers that are
known to break the promise, too. `--sample`: without these, and the tests run a sample (see `tests.bucket.sample`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import NoReturn

from tests.bucket import azurite, ceph, gcs_double
from tests.bucket.npm_packages import installed
from tests.bucket.sample import VARIABLE
from tests.bucket.servers import BucketServer, dying_with_us
from tests.rootfs import RigError

Start = Callable[[], AbstractContextManager[BucketServer]]

SERVERS: Mapping[str, tuple[Callable[[], object], Start]] = {
    "s3": (ceph.prepare, ceph.s3_server),
    "az": (azurite.prepare, azurite.azurite_server),
    "gs": (lambda: None, gcs_double.gcs_double),
}
"""By the scheme of their URLs: what installs them, and what starts them. Both raise RigError."""
BREAKING: Sequence[Callable[[], object]] = (partial(ceph.prepare, ceph.CEPH_18), partial(installed, "s3rver"))
"""The installers of servers that break the promise, on which `quire doctor` is tried."""
_GRACE_SECONDS = 60.0
"""For the command, once it was told to end."""


def main(arguments: Sequence[str]) -> int:
    """See above; the exit code is the command's."""
    schemes, command = ["s3"], list(arguments)
    if command[:1] == ["--on"]:
        schemes, command = command[1].split(","), command[2:]
    is_sample = command[:1] == ["--sample"]
    command = command[is_sample:]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        for scheme in schemes:
            SERVERS[scheme][0]()
        if not command:
            for prepare in BREAKING if "s3" in schemes and not is_sample else ():
                prepare()
            return 0
        with ExitStack() as stack:
            servers = [stack.enter_context(SERVERS[scheme][1]()) for scheme in schemes]
            environ = os.environ | ({VARIABLE: "1"} if is_sample else {})
            for server in servers:
                environ |= server.environment
            buckets = [server.make_bucket() for server in servers]
            return _run(command, environ | {"TESTS_BUCKET": buckets[0], "TESTS_BUCKETS": " ".join(buckets)})
    except RigError as error:
        print(error, file=sys.stderr)
        return 1


def _end(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)


def _run(command: Sequence[str], environ: Mapping[str, str]) -> int:
    with subprocess.Popen(dying_with_us(command, signal.SIGTERM), env=environ) as process:
        try:
            return process.wait()
        except BaseException as error:
            if not isinstance(error, KeyboardInterrupt):  # which the terminal sends to both
                # pytest ends its tests in order at the one; a shell has its background jobs ignore it
                is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
                process.send_signal(signal.SIGTERM if is_ignored else signal.SIGINT)
            try:
                process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            raise


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
