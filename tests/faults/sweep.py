"""Every fault at every system call of a change, one run per call and fault; what each left is judged.

`python -m tests.faults.sweep SCENARIO` runs all of it for one scenario and prints the counts; `--shard 0/2` half of it,
`--kills 20` every twentieth death, `--faults 0` no other fault, `--network` as on a network file system.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import errno
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from quire.index.index import Index
from tests.faults.crash_model import Disk, materialize
from tests.faults.judging import Judge, Violated, Witness, state_of
from tests.faults.ptracing import Call, How, Meddling, Run, traced
from tests.faults.publisher import SCENARIOS, Scenario

ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.ESTALE, errno.EROFS, errno.EACCES)
_LATE_ERRORS = {
    "link": (errno.EIO, errno.EEXIST),  # EEXIST, ENOENT: what a repeated call is answered on NFS
    "linkat": (errno.EIO, errno.EEXIST),
    "rename": (errno.EIO, errno.ENOENT),
    "mkdir": (errno.EIO, errno.EEXIST),
    "unlink": (errno.EIO, errno.ENOENT),
    "rmdir": (errno.EIO, errno.ENOENT),
}
_ALLOCATING = {"write", "link", "linkat", "rename", "mkdir"}
_SYNCING = {"fsync", "fdatasync"}


def _creates(call: Call) -> bool:
    return call.name == "openat" and bool(call.arguments[2] & os.O_CREAT)


def no_space(call: Call) -> bool:
    """The calls that fail while a disk is full."""
    return call.name in _ALLOCATING or _creates(call)


def read_only(call: Call) -> bool:
    """The calls that fail once a file system is read-only."""
    return (call.changes and call.name not in {"openat", *_SYNCING}) or _creates(call)


def everything(call: Call) -> bool:
    """The calls that fail once the disk or the mount is gone. To close a descriptor is always possible."""
    return call.name not in {"close", "fcntl"}


def changing(call: Call) -> bool:
    """The calls that fail while changes fail."""
    return read_only(call) or call.name in _SYNCING


LASTING = (
    (no_space, errno.ENOSPC),
    (no_space, errno.EDQUOT),
    (read_only, errno.EROFS),
    (changing, errno.EIO),
    (everything, errno.EIO),
    (everything, errno.ESTALE),
)


@dataclasses.dataclass
class Tally:
    """The work done, and the findings."""

    scenario: str
    network: bool = False
    calls: int = 0
    """System calls of the change without any fault."""
    runs: int = 0
    kills: int = 0
    faults: int = 0
    """Calls that were made to fail, or to write less."""
    said: Counter[str] = dataclasses.field(default_factory=Counter)
    violations: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.scenario}{' (network)' if self.network else ''}: {self.calls} calls, {self.runs} runs, "
            f"{self.kills} kills, {self.faults} faults, {len(self.violations)} violations, {self.seconds:.0f} s; "
            f"{dict(self.said)}"
        )


class Stage:
    """A scenario's store as it is before the change, to be copied for each run."""

    def __init__(self, scenario: Scenario, folder: Path, *, network: bool = False) -> None:
        self.scenario = scenario
        self.network = network
        self._folder = folder
        self.template = folder / "template"
        self.template.mkdir()
        if not scenario.opens:
            scenario.prepare(scenario.open(str(self.template)))
        with self.copy() as root:
            before = {} if scenario.opens else state_of(scenario.open(root))
            scenario.run(lambda: self.open(root), lambda _: None)  # also warms up whatever is imported late
            self.judge = Judge(scenario, before, state_of(scenario.open(root)))

    def open(self, root: str) -> Index:
        return self.scenario.open(root, network=self.network)

    @contextlib.contextmanager
    def copy(self) -> Iterator[str]:
        root = tempfile.mkdtemp(dir=self._folder)
        try:
            shutil.copytree(self.template, root, symlinks=True, dirs_exist_ok=True)
            yield root
        finally:
            shutil.rmtree(root)

    def run(self, root: str, meddling: Meddling | None = None, *, at_call: Callable[[Call], bool] | None = None) -> Run:
        """One traced run of the change."""
        opened: list[Index] = []

        def before() -> None:
            if not self.scenario.opens:
                opened.append(self.open(root))

        return traced(
            lambda report: self.scenario.run(lambda: opened[0] if opened else self.open(root), report),
            root=root,
            before=before,
            meddling=meddling,
            at_call=at_call,
        )


def deaths(calls: list[Call]) -> Iterator[Meddling]:
    """One before every call."""
    for call in calls:
        yield Meddling(How.KILL, call.number)


def failures(calls: list[Call]) -> Iterator[Meddling]:
    """Every fault at every call of the store."""
    for call in calls:
        if call.store_number is None:
            continue
        for number in ERRORS:
            yield Meddling(How.FAIL, call.store_number, number)
        if call.name == "openat":
            yield Meddling(How.FAIL, call.store_number, errno.EMFILE)
        if call.changes and call.result >= 0 and call.name != "write":
            for number in _LATE_ERRORS.get(call.name, (errno.EIO,)):
                yield Meddling(How.LATE, call.store_number, number)
        if call.name == "write":
            yield Meddling(How.SHORT, call.store_number)
        for predicate, number in LASTING:
            if predicate(call):
                yield Meddling(How.FAIL, call.store_number, number, predicate)
    yield Meddling(How.SHORT, 0, lasting=_is_write)


def _is_write(call: Call) -> bool:
    return call.name == "write"


def sweep(stage: Stage, *, shard: tuple[int, int] = (0, 1), kills: int = 1, faults: int = 1) -> Tally:
    """All deaths and all faults, or of this shard every so-manieth of each; 0 for none."""
    tally = Tally(stage.scenario.name, stage.network)
    began = time.monotonic()
    with stage.copy() as root:
        plain = stage.run(root)
        stage.judge.judge(root, plain.said)
        if not plain.said.startswith(b"ACK"):
            tally.violations.append(f"without any fault: {plain.said!r}")
    tally.calls = len(plain.calls)
    for every, chosen in ((kills, deaths(plain.calls)), (faults, failures(plain.calls))):
        if every:
            for meddling in list(chosen)[shard[0] :: shard[1] * every]:
                _try(stage, meddling, tally)
    tally.seconds = time.monotonic() - began
    return tally


def _try(stage: Stage, meddling: Meddling, tally: Tally) -> None:
    with stage.copy() as root:
        disk = Disk(root)
        witness = None if stage.scenario.opens else Witness.of(stage.scenario.open(root))
        run = stage.run(root, meddling)
        tally.runs += 1
        if run.died:
            tally.kills += run.met
        else:
            tally.faults += run.met
        said = b" ".join(run.said.split()[:2]).decode() if not run.said.startswith(b"ACK") else "ACK"
        tally.said[said or "nothing"] += 1
        try:
            _sync_failures_are_told(run, meddling)
            stage.judge.judge(root, run.said, witness)
            if not run.died:
                _lasts_when_told(stage, root, disk, run)
        except Violated as violation:
            where = next((str(call) for call in run.calls if meddling.concerns(call)), "not reached")
            where = where.replace(root, "")
            tally.violations.append(f"{meddling} [{where}], said {run.said.decode().strip()!r}: {violation}")


def _sync_failures_are_told(run: Run, meddling: Meddling) -> None:
    """A change that is not durable is not acknowledged."""
    if meddling.how is How.KILL or not run.reported or not run.said.startswith(b"ACK"):
        return
    for call in run.calls[: run.reported[0]]:
        if call.name in _SYNCING and meddling.concerns(call):
            raise Violated("a failed fsync was acknowledged")


def _lasts_when_told(stage: Stage, root: str, disk: Disk, run: Run) -> None:
    """After an acknowledgement, also with a failed call, the power may fail at once, in the worst way."""
    if not run.said.startswith(b"ACK") or not run.reported:
        return
    for call in run.calls[: run.reported[0]]:
        disk.apply(call)
    worst = tempfile.mkdtemp(dir=Path(root).parent)
    try:
        materialize(disk.worst(), worst)
        stage.judge.judge(worst, run.said)
    except Violated as violation:
        raise Violated(f"after a power cut: {violation}") from violation
    finally:
        shutil.rmtree(worst)


def scratch() -> Path:
    """A new folder, in memory if there is such a place: thousands of small stores are made and removed."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="quire-faults-", dir=memory if os.access(memory, os.W_OK) else None))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", choices=[*SCENARIOS, "all"])
    parser.add_argument("--shard", default="0/1")
    parser.add_argument("--kills", type=int, default=1)
    parser.add_argument("--faults", type=int, default=1)
    parser.add_argument("--network", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    number, _, of = arguments.shard.partition("/")
    failed = False
    for name in SCENARIOS if arguments.scenario == "all" else [arguments.scenario]:
        folder = scratch()
        try:
            stage = Stage(SCENARIOS[name], folder, network=arguments.network)
            tally = sweep(stage, shard=(int(number), int(of)), kills=arguments.kills, faults=arguments.faults)
        finally:
            shutil.rmtree(folder)
        failed = failed or bool(tally.violations)
        if arguments.json:
            print(json.dumps(dataclasses.asdict(tally)), flush=True)
        else:
            print(tally, *(text[:700] for text in tally.violations), sep="\n  ", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
