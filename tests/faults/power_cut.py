"""A power cut at every moment of a change, judged in every state that the disk may then be in.

Also the meanest case: a process dies at some call, the client repeats the change with another process, which finds it
made or makes it, and right after its acknowledgement the power fails.

`python -m tests.faults.power_cut SCENARIO` prints the counts.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import hashlib
import io
import shutil
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from quire.domain.errors import QuireError
from tests.faults.crash_model import Disk, Tree, materialize, signature_of
from tests.faults.judging import State, Violated, check_says, expect, read_back, state_of
from tests.faults.ptracing import How, Meddling
from tests.faults.publisher import PROJECT, SCENARIOS, publish, wheel
from tests.faults.sweep import Stage, scratch


@dataclasses.dataclass
class Cuts:
    """The work done, and the findings."""

    scenario: str
    moments: int = 0
    """Moments of one change at which the power failed."""
    states: int = 0
    """Different states that were judged."""
    repeated: int = 0
    """Changes that were killed, repeated, and cut off after the acknowledgement."""
    repeated_states: int = 0
    others: int = 0
    """Killed changes that were followed by another writer's change, with a power cut after its acknowledgement."""
    other_states: int = 0
    violations: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.scenario}: {self.moments} moments, {self.states} states; {self.repeated} repetitions, "
            f"{self.repeated_states} states; {self.others} changes by others, {self.other_states} states; "
            f"{len(self.violations)} violations, {self.seconds:.0f} s"
        )


class PowerCut:
    """Of one scenario."""

    def __init__(self, stage: Stage, folder: Path, *, enough: int | None = None) -> None:
        """`enough`: stop judging after so many violations."""
        self._enough = enough
        self._stage = stage
        self._folder = folder
        self._judged: set[object] = set()
        self.cuts = Cuts(stage.scenario.name)

    def at_every_moment(self, *, shard: tuple[int, int] = (0, 1), sample: int = 1) -> None:
        """Record one change, and cut it off after each of its calls."""
        with self._stage.copy() as root:
            disk = Disk(root)
            run = self._stage.run(root)
            moments = 0
            for call in run.calls:
                if self._is_enough():
                    return
                disk.apply(call)
                told = bool(run.reported) and call.number >= run.reported[0]
                if not (disk.changed or (run.reported and call.number == run.reported[0])):
                    continue
                moments += 1
                if moments % (shard[1] * sample) == shard[0]:
                    self.cuts.moments += 1
                    for tree in disk.states(seed=call.number):
                        self.cuts.states += self._judge(tree, told=told, where=f"after {call}".replace(root, ""))

    def after_repetition(self, *, shard: tuple[int, int] = (0, 1), sample: int = 1) -> None:
        """Kill the change at each of its calls, repeat it to its acknowledgement, cut the power there."""
        with self._stage.copy() as root:
            calls = len(self._stage.run(root).calls)
        for number in range(calls)[shard[0] :: shard[1] * sample]:
            if self._is_enough():
                return
            with self._stage.copy() as root:
                disk = Disk(root)
                first = self._stage.run(root, Meddling(How.KILL, number))
                for call in first.calls[:-1]:  # the last is the one it died before
                    disk.apply(call)
                disk.processes_end()
                second = self._stage.run(root)
                if not second.said.startswith(b"ACK"):
                    continue  # a deletion that finds nothing to delete promises nothing
                self.cuts.repeated += 1
                for call in second.calls[: second.reported[0]]:
                    disk.apply(call)
                where = f"killed before {first.calls[-1]}, repeated".replace(root, "")
                for tree in disk.states(seed=number):
                    self.cuts.repeated_states += self._judge(tree, told=True, where=where)

    def after_another(self, *, shard: tuple[int, int] = (0, 1), sample: int = 1) -> None:
        """Kill the change at each of its calls, let another writer publish another file, cut the power there.

        An acknowledged change may be built upon unsynced bytes of a killed process.
        """
        judge, file = self._stage.judge, wheel("8.0")
        another = copy.copy(self._stage)
        another.scenario = dataclasses.replace(
            self._stage.scenario, act=lambda index: publish(index, file), opens=False
        )
        allowed = [_with(state, file) for state in (judge.before, judge.after)]
        with self._stage.copy() as root:
            calls = len(self._stage.run(root).calls)
        for number in range(calls)[shard[0] :: shard[1] * sample]:
            with self._stage.copy() as root:
                disk = Disk(root)
                first = self._stage.run(root, Meddling(How.KILL, number))
                for call in first.calls[:-1]:
                    disk.apply(call)
                disk.processes_end()
                if self._stage.scenario.opens:
                    self._stage.open(root)
                    disk = Disk(root)  # opening was tested by repeating
                second = another.run(root)
                assert second.said.startswith(b"ACK"), second.said
                self.cuts.others += 1
                for call in second.calls[: second.reported[0]]:
                    disk.apply(call)
                for tree in disk.states(seed=number):
                    where = f"killed before {first.calls[-1]}, another published".replace(root, "")
                    self._judge_other(tree, allowed, where)

    def _judge_other(self, tree: Tree, allowed: list[State], where: str) -> None:
        root = tempfile.mkdtemp(dir=self._folder)
        try:
            materialize(tree, root)
            index = self._stage.scenario.open(root)
            expect(state_of(index) in allowed, f"{state_of(index)}")
            read_back(index)
            check_says(index)
        except (Violated, QuireError) as violation:
            self.cuts.violations.append(f"{where}: {violation}")
        finally:
            shutil.rmtree(root)
        self.cuts.other_states += 1

    def _is_enough(self) -> bool:
        return len(self.cuts.violations) == self._enough

    def _judge(self, tree: Tree, *, told: bool, where: str) -> bool:
        """Whether it was a state that had not been judged before."""
        signature = hash((signature_of(tree), told))
        if signature in self._judged or self._is_enough():
            return False
        self._judged.add(signature)
        root = tempfile.mkdtemp(dir=self._folder)
        try:
            materialize(tree, root)
            self._stage.judge.judge(root, b"ACK" if told else b"")
        except Violated as violation:
            self.cuts.violations.append(f"{where}, {'told' if told else 'not told'}: {violation}")
        finally:
            shutil.rmtree(root)
        return True


def _with(state: State, file: tuple[str, bytes]) -> State:
    """The state and one more file."""
    filename, content = file
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        document = archive.read(next(name for name in archive.namelist() if name.endswith("/METADATA")))
    entry = (hashlib.sha256(content).hexdigest(), False, hashlib.sha256(document).hexdigest())
    return {**state, PROJECT: {**state.get(PROJECT, {}), filename: entry}}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", choices=[*SCENARIOS, "all"])
    parser.add_argument("--shard", default="0/1")
    parser.add_argument("--sample", type=int, default=1)
    arguments = parser.parse_args()
    number, _, of = arguments.shard.partition("/")
    shard = int(number), int(of)
    failed = False
    for name in SCENARIOS if arguments.scenario == "all" else [arguments.scenario]:
        folder = scratch()
        began = time.monotonic()
        try:
            power_cut = PowerCut(Stage(SCENARIOS[name], folder), folder)
            power_cut.at_every_moment(shard=shard, sample=arguments.sample)
            power_cut.after_repetition(shard=shard, sample=arguments.sample)
            power_cut.after_another(shard=shard, sample=arguments.sample)
        finally:
            shutil.rmtree(folder)
        power_cut.cuts.seconds = time.monotonic() - began
        failed = failed or bool(power_cut.cuts.violations)
        print(power_cut.cuts, *(text[:700] for text in power_cut.cuts.violations), sep="\n  ", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
