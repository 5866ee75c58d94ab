"""Drop-in files changed without a pause through both clients, and read without a pause through both: is it all fresh?

The theory is that of `hammer`. Each dropper owns one project and takes it through a fixed sequence of states: the
digests of its files. To copy over a file is two changes: the old content goes when the file is truncated, the new one
comes with its last byte. All contents of a file have one size, and all files one mtime.
"""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from quire.domain.errors import StoreError
from quire.dropin.folder import Folder, FolderProject
from quire.store.posix.store import PosixStore
from tests.distributions import make_wheel, wheel_name
from tests.nfs.guest.hammer import Board
from tests.nfs.guest.mounts import A, B, new_folder
from tests.nfs.guest.processes import Job, together

State = frozenset[tuple[str, str]]
"""(filename, sha256)"""
_STEPS = 4000  # more than one makes in the time there is
_VERSIONS = ("1", "2", "3")
_PROJECTS = 2
_THREADS = 4
"""They ask one folder at once, as those of a worker do."""
_PIECES = 3
_MTIME = 1_700_000_000
_SHOWN = 5


class _Step(NamedTuple):
    """One thing that a person does, on one machine."""

    way: str
    """rename, copy, remove"""
    mount: Path
    filename: str
    content: bytes


def _planned(project: str) -> list[_Step]:
    choose = random.Random(project)
    planned: list[_Step] = []
    present: set[str] = set()
    while len(planned) < _STEPS:
        version, mount = choose.choice(_VERSIONS), choose.choice((A, B))
        filename = wheel_name(project, version)
        way = choose.choice(("rename", "copy", "remove", "remove and copy"))
        if way.startswith("remove") and filename in present:
            planned.append(_Step("remove", mount, filename, b""))
            present.discard(filename)
        if way != "remove":
            content = make_wheel(project, version, files={"salt.txt": b"%08d" % len(planned)})
            planned.append(_Step("rename" if way == "rename" else "copy", mount, filename, content))
            present.add(filename)
    return planned


def _states(planned: Sequence[_Step]) -> list[State]:
    """The content after each change; before the first one there is none."""
    files: dict[str, str] = {}
    states = [State()]
    for step in planned:
        if step.way == "remove" or (step.way == "copy" and step.filename in files):
            del files[step.filename]
            states.append(State(files.items()))
        if step.way != "remove":
            files[step.filename] = hashlib.sha256(step.content).hexdigest()
            states.append(State(files.items()))
    return states


class _Dropper:
    def __init__(self, folder: str, board: Board, which: int) -> None:
        self._folder = folder
        self._board = board
        self._which = which
        self._choose = random.Random(which)
        self._present: set[str] = set()
        self._mount: Path | None = None
        self.changes = 0

    def do(self, step: _Step) -> None:
        path = step.mount / self._folder / step.filename
        if step.mount != self._mount:
            # Without it, a copy may go to a file that the other machine has removed (docs/consistency.md).
            os.listdir(path.parent)
            self._mount = step.mount
        if step.way == "remove":
            self._change(path.unlink)
            self._present.discard(step.filename)
            return
        if step.way == "rename":
            staging = path.with_name(f".{step.filename}.{self.changes}")
            staging.write_bytes(step.content)
            os.utime(staging, (_MTIME, _MTIME))
            self._change(lambda: staging.rename(path))
        else:
            self._copy(path, step)
        self._present.add(step.filename)
        if self._choose.random() < 0.3:
            time.sleep(self._choose.random() * 0.4)  # so that readers come to rest, and remember

    def _copy(self, path: Path, step: _Step) -> None:
        size = len(step.content) // _PIECES
        if step.filename in self._present:
            self._begins()
        with path.open("wb", buffering=0) as file:
            self._ended()
            for start in range(0, (_PIECES - 1) * size, size):
                file.write(step.content[start : start + size])
                if self._choose.random() < 0.5:
                    time.sleep(self._choose.random() * 0.01)
            self._begins()
            file.write(step.content[(_PIECES - 1) * size :])
        os.utime(path, (_MTIME, _MTIME))
        self._ended()

    def _change(self, do: Callable[[], object]) -> None:
        self._begins()
        do()
        self._ended()

    def _begins(self) -> None:
        self.changes += 1
        self._board.begun[self._which] = self.changes

    def _ended(self) -> None:
        self._board.ended[self._which] = self.changes


class _Reader:
    """Asks as a worker does, remembering what it was answered, and judges every answer."""

    def __init__(self, root: Path, states: dict[str, list[State]], board: Board) -> None:
        self._folder = Folder([root], digests=PosixStore.open(root).records)
        self._states = states
        self._board = board
        self._known: dict[str, FolderProject] = {}
        self.reads = 0
        self.remembered = 0
        self.refused = 0
        self.violations: list[str] = []

    def read(self, which: int, project: str) -> None:
        least = self._board.ended[which]
        before = self._known.get(project)
        try:
            found = self._known[project] = self._folder.project(project, before)
        except StoreError as error:
            if "change faster than they can be read" not in str(error):
                raise
            self.refused += 1  # a 503: on a machine with other work readers can be slower than the droppers
            return
        most = self._board.begun[which]
        self.reads += 1
        self.remembered += found is before
        answer = State((each.file.filename, each.file.hashes["sha256"]) for each in found.files)
        states = self._states[project]
        if answer not in states[least : most + 1]:
            numbers = [number for number, state in enumerate(states) if state == answer]
            self.violations.append(f"{project} was as at {numbers}, not as at one of {least} to {most}")

    @property
    def unreadable(self) -> int:
        """How many files were reported as unreadable, which none is."""
        return self._folder.left_out["unreadable"]


def _drop(folder: str, planned: Sequence[_Step], board: Board, which: int, until: float) -> dict[str, Any]:
    dropper = _Dropper(folder, board, which)
    for step in planned:
        if time.monotonic() >= until:
            break
        dropper.do(step)
    return {"changes": dropper.changes}


def _read(reader: _Reader, projects: Sequence[str], until: float) -> dict[str, Any]:
    failures: list[str] = []

    def ask(seed: int) -> None:
        choose = random.Random(seed)
        try:
            while time.monotonic() < until:
                which = choose.randrange(len(projects))
                reader.read(which, projects[which])
                if choose.random() < 0.2:
                    time.sleep(choose.random() * 0.05)
        except Exception as error:  # noqa: BLE001 - whatever it is, an answer was owed
            failures.append(repr(error))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "reads": reader.reads,
        "remembered": reader.remembered,
        "refused": reader.refused,
        "unreadable": reader.unreadable,
        "violations": reader.violations + failures,
    }


def run(seconds: float = 20.0) -> dict[str, Any]:
    """Hammer with droppers that change machines all the time, and a reader on each client."""
    folder = new_folder()
    projects = [f"project{number}" for number in range(_PROJECTS)]
    board = Board(_PROJECTS)
    plans = [_planned(project) for project in projects]
    states = {project: _states(plan) for project, plan in zip(projects, plans, strict=True)}
    until = time.monotonic() + seconds
    jobs: list[Job] = [partial(_drop, folder, plan, board, which, until) for which, plan in enumerate(plans)]
    jobs += [partial(_read, _Reader(mount / folder, states, board), projects, until) for mount in (A, B)]
    total: dict[str, Any] = {"changes": 0, "reads": 0, "remembered": 0, "refused": 0, "unreadable": 0, "violations": []}
    for answer in together(jobs):
        for key, value in answer.items():
            total[key] += value
    total["violated"] = len(total["violations"])
    total["violations"] = total["violations"][:_SHOWN]
    return total
