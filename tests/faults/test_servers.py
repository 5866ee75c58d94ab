"""Whole servers: killed at once, crowded, with a clock that jumps, over a folder that another program litters."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from quire.index.index import Index
from quire.store.posix.store import PosixStore
from tests.faults.farm import Farm, Sent, at_once, farm, kill_whole
from tests.faults.publisher import PROJECT
from tests.serving import environment, run_quire, until

Note = Callable[[str, object], None]
_JUMPING = {"PYTHONPATH": str(Path(__file__).parent / "jumping_clock")}


def _upload_until_death(made: Farm, client: int, round_number: int) -> None:
    """One file after the other, into a project of the client's own and into one that all share."""
    for number in range(1000):
        project = f"own-{client}" if number % 2 else "shared"
        sent = made.upload(project, f"{round_number}.{client}.{number}", variant=f"{client}")
        if sent.status is None:
            return


def _killed_as_a_whole(folder: Path, rounds: int) -> tuple[int, int]:
    """How many uploads were acknowledged, and how many cut off."""
    sent: list[Sent] = []
    randomness = random.Random(rounds)
    for round_number in range(rounds + 1):
        with farm(folder, [{}]) as made:
            made.sent = sent
            made.judge()
            if round_number == rounds:
                break
            enough = len(sent) + randomness.randrange(4, 40)
            clients = [
                threading.Thread(target=_upload_until_death, args=(made, client, round_number)) for client in range(4)
            ]
            for client in clients:
                client.start()
            until(lambda made=made, enough=enough: len(made.sent) >= enough)  # type: ignore[misc]  # bound now
            kill_whole(made.servers[0])
            for client in clients:
                client.join()
    assert {each.status for each in sent} <= {200, None}, [each for each in sent if each.status not in {200, None}]
    return sum(each.status == 200 for each in sent), sum(each.status is None for each in sent)


def test_a_server_killed_as_a_whole(tmp_path: Path) -> None:
    """Main process and workers die at once under four clients; restarted, it has all that it had acknowledged."""
    acknowledged, cut_off = _killed_as_a_whole(tmp_path, 1)
    assert acknowledged >= 4
    assert cut_off == 4


@pytest.mark.faults
def test_a_server_killed_as_a_whole_again_and_again(tmp_path: Path, record_property: Note) -> None:
    """Eight times over the same folder; nothing acknowledged is ever lost, and no restart needs a repair."""
    acknowledged, cut_off = _killed_as_a_whole(tmp_path, 8)
    assert cut_off == 32
    record_property("faults", f"8 whole servers killed: {acknowledged} uploads acknowledged, {cut_off} cut off, 0 lost")


@pytest.mark.faults
def test_two_hundred_uploads_to_one_project_at_once(tmp_path: Path, record_property: Note) -> None:
    """Through eight workers of two servers: every one succeeds, and every server lists all of them."""
    with farm(tmp_path, [{}, {}]) as made:
        at_once(200, lambda number: made.upload(PROJECT, f"1.{number}", server=number))
        assert [each for each in made.sent if each.status != 200] == []
        assert len(made.listed(PROJECT)) == 200
        made.judge()
    record_property("faults", "200 uploads to one project at once through 8 workers: 200 succeeded")


@pytest.mark.faults
def test_conflicts_of_many_uploads(tmp_path: Path, record_property: Note) -> None:
    """Four processes of fifty threads each publish to one project: all succeed, after a bounded number of retries."""
    Index(PosixStore.open(tmp_path))
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.many_uploads", tmp_path, str(number * 50), "50"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    results = [json.loads(process.communicate()[0]) for process in processes]
    assert [result["published"] for result in results] == [50] * 4
    project = Index(PosixStore.open(tmp_path)).project(PROJECT)
    assert project is not None
    assert len(project.files) == 200
    conflicts = sum(result["conflicts"] for result in results)
    most = max(result["most"] for result in results)
    # Threads of a process commit together, so a writer competes with three others: each conflict is the success of
    # another one, and only in the worst schedule a writer loses against all 199 others.
    assert conflicts <= 200 * 4 * 3
    record_property("faults", f"200 publications by 4 processes: {conflicts} conflicts in all, {most} of one thread")


@pytest.mark.faults
def test_fifty_contents_for_one_name_at_once(tmp_path: Path, record_property: Note) -> None:
    """Exactly one wins; each other client is told that the file already exists; the winner's bytes are served."""
    with farm(tmp_path, [{}, {}]) as made:
        at_once(50, lambda number: made.upload(PROJECT, "1.0", variant=str(number), server=number))
        winners = [each for each in made.sent if each.status == 200]
        losers = [each for each in made.sent if each.status == 400 and "already exists" in each.sentence]
        assert (len(winners), len(losers)) == (1, 49), made.sent
        assert made.listed(PROJECT)[winners[0].filename][0] == winners[0].sha256
        made.judge()
    record_property("faults", "50 contents for one name at once: 1 won, 49 were told so")


@pytest.mark.faults
def test_a_clock_that_jumps(tmp_path: Path, record_property: Note) -> None:
    """The wall clock of one of two servers jumps by hours all the time, and so does that of a `quire gc` that runs
    again and again meanwhile. Both servers list each upload at once, and nothing young is swept away.
    """
    with farm(tmp_path, [{}, _JUMPING], workers=2) as made:
        stop = threading.Event()
        collected = []

        def collect() -> None:
            while not stop.is_set():
                collected.append(run_quire("gc", "-d", made.root, cwd=tmp_path, environ=_jumping_environment()))

        collector = threading.Thread(target=collect)
        collector.start()
        try:
            for number in range(100):
                sent = made.upload(PROJECT, f"1.{number}", server=number)
                assert sent.status == 200, sent
                for server in range(2):
                    assert made.listed(PROJECT, server=server)[sent.filename][0] == sent.sha256
        finally:
            stop.set()
            collector.join()
        assert [each.returncode for each in collected] == [0] * len(collected), collected[0].stderr
        made.judge()
    record_property("faults", f"100 uploads under a clock that jumps, {len(collected)} collections of garbage: 0 lost")


def _jumping_environment() -> dict[str, str]:
    environ = environment()
    return environ | {"PYTHONPATH": os.pathsep.join([_JUMPING["PYTHONPATH"], environ["PYTHONPATH"]])}


def test_the_jumping_clock_jumps() -> None:
    """The test above relies on this: a process with it sees other hours, in both of Python's clocks."""
    program = (
        "import time, datetime\n"
        "seen = set()\n"
        "until = time.monotonic() + 5\n"
        "start = time.clock_gettime(time.CLOCK_REALTIME)\n"
        "while len(seen) < 6 and time.monotonic() < until:\n"
        "    seen.add(('time', round((time.time() - start) / 3600)))\n"
        "    seen.add(('datetime', round((datetime.datetime.now(datetime.UTC).timestamp() - start) / 3600)))\n"
        "print(len(seen))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], env=_jumping_environment(), capture_output=True, text=True, check=True
    )
    assert run.stdout == "6\n"


class _Litterer(threading.Thread):
    """A program that leaves things everywhere in the store, other than what only quire may make."""

    def __init__(self, home: Path) -> None:
        super().__init__()
        self._home = home
        self.stop = threading.Event()
        self.left = 0

    def run(self) -> None:
        number = 0
        while not self.stop.is_set():
            number += 1
            for folder in (
                self._home,
                self._home / "records",
                self._home / "records" / "main",
                self._home / "records" / "main" / "projects",
                self._home / "records" / "main" / "projects" / PROJECT,
                self._home / "blobs",
                self._home / "blobs" / PROJECT,
                self._home / "incoming",
            ):
                if folder.is_dir():
                    self._litter(folder, number)
            if number == 40:
                return

    def _litter(self, folder: Path, number: int) -> None:
        (folder / f".nfs{number:08}").write_bytes(b"")
        (folder / f"Thumbs {number}.db").write_bytes(b"litter")
        (folder / f"{number:08}.json~").write_bytes(b"{")
        (folder / f"Copy of {number}").mkdir()
        (folder / f"Copy of {number}" / "00000001.json").write_bytes(b"null")
        (folder / f"link {number}").symlink_to("/etc/passwd")
        os.mkfifo(folder / f"pipe {number}")
        self.left += 6


@pytest.mark.faults
def test_a_store_that_another_program_litters(tmp_path: Path, record_property: Note) -> None:
    """Files, folders, links and pipes of all names appear in every folder during uploads: all of these succeed, the
    list of projects is right, and a check calls nothing damage.
    """
    with farm(tmp_path, [{}, {}], workers=2) as made:
        made.upload(PROJECT, "0.0")
        litterer = _Litterer(made.root / "quire")
        litterer.start()
        try:
            for number in range(60):
                project = PROJECT if number % 2 else f"other-{number}"
                assert made.upload(project, f"1.{number}", server=number).status == 200
        finally:
            litterer.stop.set()
            litterer.join()
        made.judge()
        names = set(Index(PosixStore.open(made.root)).names())
        assert names == {each.project for each in made.sent}
    record_property("faults", f"60 uploads into a store with {litterer.left} foreign things in it: 60 succeeded")
