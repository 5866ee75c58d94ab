"""Changes without a pause through one client, reads without a pause through another: is every read fresh?

Theory of operation. Each writer owns one project and takes it through a fixed sequence of states: the first state is
absence, the next has one file, and so on (see `state`). Before a change it says that it begins, after the
acknowledgement that it ended, both by a number in shared memory. A reader notes the number that ended before it asks
and the number that had begun when it was answered. The answer is right exactly if it is one of the states between the
two, and not one before the state that this reader was given last. States that look alike (absence) count as
the earliest that is possible, so no right answer is ever called wrong.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from quire.catalog.composing import ProjectNames, Projects
from quire.catalog.hosted import Hosted
from quire.catalog.views import NamesView, ProjectView
from quire.domain.changes import Selection
from quire.domain.names import parse_filename
from quire.index.index import Index
from quire.index.upload import Upload, new_blob_key
from quire.store.posix.store import PosixStore
from tests.nfs.guest.mounts import new_folder, restart_server
from tests.nfs.guest.processes import Counters, Job, together

State = frozenset[tuple[str, bool]]
"""(filename, whether it is yanked)"""
_CYCLE = 6


def filename(project: str, number: int, file: int) -> str:
    """The nth file of the cycle that this state belongs to."""
    return f"{project}-{number // _CYCLE}.{file}-py3-none-any.whl"


def state(project: str, number: int) -> State:
    """The files after change `number`; after change 0 there are none, nor after every sixth."""
    files: tuple[tuple[int, bool], ...] = (
        (),
        ((0, False),),
        ((0, False), (1, False)),
        ((0, True), (1, False)),
        ((1, False),),
        ((1, False), (2, False)),
    )[number % _CYCLE]
    return frozenset((filename(project, number, file), yanked) for file, yanked in files)


def change(index: Index, project: str, number: int) -> None:
    """Lead from state `number - 1` to state `number`."""
    step = number % _CYCLE
    if step == 0:
        index.delete(project, Selection())
    elif step == 3:
        index.yank(project, Selection(filename=filename(project, number, 0)))
    elif step == 4:
        index.delete(project, Selection(filename=filename(project, number, 0)))
    else:
        publish(index, filename(project, number, {1: 0, 2: 1, 5: 2}[step]))


def publish(index: Index, name: str, content: bytes = b"a wheel, as far as a store cares") -> None:
    """Publish bytes under a wheel's name, whatever was under it before, without a look into them."""
    parsed = parse_filename(name)
    staging = index.store.blobs.stage(new_blob_key(parsed))
    staging.write(content)
    index.publish([Upload(parsed, staging.finish(), parsed.project, None, None)], overwrite=True)


class Board:
    """For each project the number of the last change that began and of the last that ended, for all processes."""

    def __init__(self, projects: int) -> None:
        self.begun = Counters(projects)
        self.ended = Counters(projects)


class Reader:
    """Asks as a worker does, remembering what it was answered, and judges every answer."""

    def __init__(self, index: Index, board: Board, projects: Sequence[str]) -> None:
        self._board = board
        self._projects = projects
        self._views = Projects([Hosted(index)])
        self._lists = ProjectNames([Hosted(index)])
        self._known: dict[str, ProjectView] = {}
        self._known_names: NamesView | None = None
        self._given = [0] * len(projects)
        self.reads = 0
        self.remembered = 0
        self.violations: list[str] = []

    def read_project(self, which: int) -> None:
        project = self._projects[which]
        least = max(self._board.ended[which], self._given[which])
        before = self._known.get(project)
        view = self._known[project] = self._views.load_blocking(project, before)
        most = self._board.begun[which]
        self.reads += 1
        self.remembered += view is before
        answer = frozenset((name, bool(listed.file.yanked)) for name, listed in view.files.items())
        possible = (number for number in range(least, most + 1) if state(project, number) == answer)
        self._judge(which, project, next(possible, None), f"{sorted(answer)}, not one of {least} to {most}")

    def read_names(self) -> None:
        least = [max(self._board.ended[which], self._given[which]) for which in range(len(self._projects))]
        before = self._known_names
        view = self._known_names = self._lists.load_blocking(before)
        self.reads += 1
        self.remembered += view is before
        for which, project in enumerate(self._projects):
            most = self._board.begun[which]
            numbers = range(least[which], most + 1)
            possible = (number for number in numbers if bool(state(project, number)) == (project in view.names))
            what = "listed" if project in view.names else "not listed"
            self._judge(which, project, next(possible, None), f"{what}, at no state of {least[which]} to {most}")

    def _judge(self, which: int, project: str, number: int | None, otherwise: str) -> None:
        if number is None:
            self.violations.append(f"{project} was {otherwise}")
        else:
            self._given[which] = number


def _write(index: Index, board: Board, which: int, project: str, until: float) -> dict[str, Any]:
    choose = random.Random(which)
    number = 0
    while time.monotonic() < until:
        board.begun[which] = number + 1
        change(index, project, number + 1)
        number += 1
        board.ended[which] = number
        if choose.random() < 0.3:
            time.sleep(choose.random() * 0.3)  # so that readers come to rest, and remember
    return {"changes": number}


def _read(index: Index, board: Board, projects: Sequence[str], seed: int, until: float) -> dict[str, Any]:
    choose = random.Random(seed)
    reader = Reader(index, board, projects)
    while time.monotonic() < until:
        if choose.random() < 0.2:
            reader.read_names()
        else:
            reader.read_project(choose.randrange(len(projects)))
    return {"reads": reader.reads, "remembered": reader.remembered, "violations": reader.violations}


def _restart(every: float, until: float) -> dict[str, Any]:
    restarts = 0
    while time.monotonic() + every < until:
        time.sleep(every)
        restart_server()
        restarts += 1
    return {"restarts": restarts}


def run(
    writers: Sequence[str],
    readers: Sequence[str],
    seconds: float = 20.0,
    restart_every: float = 0.0,
    opened: Callable[[Path], PosixStore] = PosixStore.open,
) -> dict[str, Any]:
    """Hammer with one writer on each of `writers` (mount points) and one reader on each of `readers`.

    `restart_every`: the NFS server is restarted every so many seconds; 0 for never.
    """
    folder = new_folder()
    projects = [f"project{number}" for number in range(len(writers))]
    board = Board(len(projects))
    until = time.monotonic() + seconds
    jobs: list[Job] = []
    for number, mount in enumerate(writers):
        index = Index(opened(Path(mount) / folder))
        jobs.append(partial(_write, index, board, number, projects[number], until))
    for number, mount in enumerate(readers):
        index = Index(opened(Path(mount) / folder))
        jobs.append(partial(_read, index, board, projects, number, until))
    if restart_every:
        jobs.append(partial(_restart, restart_every, until))
    total: dict[str, Any] = {"changes": 0, "reads": 0, "remembered": 0, "restarts": 0, "violations": []}
    for answer in together(jobs):
        for key, value in answer.items():
            total[key] += value
    total["violated"] = len(total["violations"])
    total["violations"] = total["violations"][:5]
    return total
