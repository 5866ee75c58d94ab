"""Whole servers on both clients under load and kills, and the judge of `tests.linearizability` over every answer."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from quire.index.index import Index
from quire.store.posix.store import PosixStore
from tests import serving
from tests.asking import OPEN
from tests.faults.judging import check_says, read_back
from tests.linearizability.guarded import guard
from tests.linearizability.plan import Plan
from tests.linearizability.servers import Victim, quire_servers
from tests.linearizability.torture import torture
from tests.nfs.guest.mounts import A, B, new_folder, restart_server
from tests.nfs.guest.unguarded import unguarded_command

serving.DEADLINE = 150.0  # programs start slowly in here, and wait while the NFS server is away
_KILL_EVERY = {"uvicorn": 15.0, "gunicorn": 5.0}
"""Seconds. A worker of uvicorn imports everything again, 4 s of the only processor; gunicorn forks."""
_PAUSE = 0.4
_HOLDERS = ("ash",)
"""One: its clients are a process more, and its keeper another one."""
_HOLDERS_ALONE = ("ash", "beech", "fir")
_RIGHTS_PAUSE = 0.05
_RIGHTS_KILL_EVERY = 20.0
"""Seconds; a worker that starts is busy for a fifth of that."""


def run(
    seconds: float,
    kinds: tuple[str, ...] = ("uvicorn", "gunicorn"),
    seed: int = 1,
    restart_every: float = 0.0,
    guarded: bool = True,
    kills: bool = True,
    mark: str = "",
    decisions: int = 0,
    askers: int = 2,
) -> dict[str, Any]:
    """One server with two workers on each mount; clients of both servers, and processes that work on both mounts. The
    rights and tokens of a user change meanwhile, where the servers are `guarded`.

    `restart_every`: the NFS server is restarted every so many seconds; 0 for never. `guarded`: False for servers that
    do not refuse mounts that they cannot keep their promise on. `mark`: a file to make when the load has begun.
    `decisions`: try nothing but rights, until so many were decided or the time is over; 0: everything. `askers`: of
    each user.

    Afterwards every listed file is read and its digest compared, and `quire check` must find nothing but what may be
    swept. Raises Violated when that is not so.
    """
    folder = new_folder()
    home = Path(tempfile.mkdtemp())
    roots = [A / folder, B / folder]
    program = serving.quire_command if guarded else unguarded_command
    rights = guard(roots[0], home, _HOLDERS_ALONE if decisions else _HOLDERS) if guarded else None
    flags = OPEN if rights is None else rights.flags
    with quire_servers(kinds, roots, home, workers=2, flags=flags, program=program) as servers:
        plan = Plan(
            seed=seed,
            seconds=seconds,
            servers=tuple((served.host, served.port) for served, _ in servers),
            stores=tuple(map(str, roots)) if guarded else (),
            dropped=("oak", "pine") if guarded else (),
            kill_hands=kills,
            reader_processes=1,
            readers=24,
            uploaders=3,
            pause=_RIGHTS_PAUSE if decisions else _PAUSE,
            doubt=60.0,
            holders=() if rights is None else rights.holders,
            token="" if rights is None else rights.token,
            admin="" if rights is None else rights.admin,
            askers=askers,
            decisions=decisions,
        )
        if decisions:
            plan = plan.with_rights_alone()
        victims = [
            Victim(served.process.pid, _RIGHTS_KILL_EVERY if decisions else _KILL_EVERY[kind])
            for (served, _), kind in zip(servers, kinds, strict=True)
        ]
        with _restarts(restart_every) as restarts:
            report = torture(plan, home, victims if kills else (), lambda _: Path(mark).touch() if mark else None)
    found = [_check(root) for root in roots] if guarded else []
    return asdict(report) | {"restarts": len(restarts), "to_be_swept": max(found, default=0)}


def _check(root: Path) -> int:
    """How much the next `quire gc` may sweep; everything else must be in order, as it was left."""
    index = Index(PosixStore.open(root))
    read_back(index)
    return check_says(index)


@contextmanager
def _restarts(every: float) -> Iterator[list[bool]]:
    """Restart the NFS server again and again; one entry for each time."""
    done: list[bool] = []
    stopped = threading.Event()

    def restart() -> None:
        while not stopped.wait(every):
            restart_server()
            done.append(True)

    thread = threading.Thread(target=restart)
    if every:
        thread.start()
    try:
        yield done
    finally:
        stopped.set()
        if every:
            thread.join()
