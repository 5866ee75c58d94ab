"""`quire doctor`: what it says of good volumes and bad ones, alone and as a pair, that it leaves nothing behind.

Replaced here: answers of a volume that is no good one, since a test has no such volume, and times, since a
measurement takes seconds.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quire import cli
from quire.commands import doctor as command
from quire.doctor import measures, pairing, primitives, probes, races, scratch, two_nodes, volume
from quire.doctor.channel import Channel, PeerGone
from quire.doctor.examination import Report, Request, document, examine
from quire.doctor.findings import Finding, Measures, Tally, Verdict, Weight, judge_tallies, verdict
from quire.doctor.measures import advise_coarse_changes
from quire.doctor.pairing import Node, Plan
from quire.doctor.two_nodes import Counts
from quire.domain.errors import ConfigurationError, Conflict, StoreError
from quire.process.progress import Progress
from quire.store.contracts import Names, Record
from quire.store.posix import directory
from quire.store.posix import files as posix_files
from quire.store.posix.changes import Changes
from quire.store.posix.directory import Directories, RacyWindow
from quire.store.posix.mounts import Mount, mount_of, mounts_below, operations, read_mounts
from quire.store.posix.names import PosixNames
from quire.store.posix.records import PosixRecords
from quire.store.posix.store import PosixStore
from tests.serving import free_port, quire_command


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration but the test's."""
    for name in [*os.environ]:
        if name.startswith("QUIRE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def empty() -> Iterator[Path]:
    """A directory in memory where there is one: much is synced here, and disks take their time."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as path:
        yield Path(path)


@pytest.fixture
def root(empty: Path) -> Path:
    """A directory with a store in use."""
    store = PosixStore.open(empty)
    store.records.write("main/projects/foo", b'"kept"', store.records.read("main/projects/foo"))
    return empty


_DISK: dict[str, Any] = {
    "filesystem": "ext4",
    "local": True,
    "mount": Mount("/", "ext4", "/dev/sda1", ("relatime", "rw")),
    "nested": [],
    "delegations": None,
    "free_bytes": 10**12,
    "free_inodes": 10**9,
    "user": 1000,
}
_describe = volume.describe


def facts(**more: Any) -> Callable[[str], volume.Volume]:
    """Instead of `describe`: the facts of the machine that runs the tests are not what is tested."""
    return lambda root: replace(_describe(root), **(_DISK | more))


def stands_by(fd: int) -> tuple[int, int]:
    """Instead of `cached_times`: some kernels confirm no times of a local disk, where they are not needed."""
    status = os.fstat(fd)
    return status.st_mtime_ns, status.st_ctime_ns


@pytest.fixture(autouse=True)
def _quiet_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume, "describe", facts())
    monkeypatch.setattr(directory, "cached_times", stands_by)


def everything_below(path: Path) -> set[str]:
    return {str(each.relative_to(path)) for each in path.rglob("*")}


def quick(root: Path, **more: Any) -> Report:
    return examine(Request(str(root), quick=True, rounds=more.pop("rounds", 6), **more))


def codes(report: Report, weight: Weight | None = None) -> set[str]:
    return {each.code for each in report.found.findings if weight is None or each.weight is weight}


def wrong(report: Report) -> set[str]:
    return {each.code for each in report.found.tallies if each.wrong}


# -- good volumes -----------------------------------------------------------------------------------------------------


def test_a_local_disk_keeps_the_promise_and_is_left_as_it_was(root: Path) -> None:
    """Alone, with a store in use: yes; every question was asked; not a name more or less afterwards."""
    before = everything_below(root)
    report = quick(root)
    assert report.verdict is Verdict.KEEPS, report.found.findings
    assert everything_below(root) == before
    assert all(tally.asked > 0 for tally in report.found.tallies)
    assert {"changed", "appeared", "deleted", "names", "file", "file-gone", "listing", "link-race", "lost-update"} <= {
        tally.code for tally in report.found.tallies
    }
    assert report.found.rules
    measured = report.found.measures
    assert None not in {measured.read_ms, measured.commit_ms, measured.notice_ms, measured.tick_ms}
    assert measured.read_operations is None


def test_a_directory_without_a_store_gets_none(empty: Path) -> None:
    """A directory can be examined before it is served; no store is made in it."""
    assert quick(empty).verdict is Verdict.KEEPS
    assert everything_below(empty) == set()


def test_rounds_past_the_racy_window_are_right(root: Path) -> None:
    """Without --quick the reader is left until it trusts its memory."""
    report = examine(Request(str(root), rounds=2))
    assert report.verdict is Verdict.KEEPS, report.found.findings
    assert len(report.found.rules) > len(quick(root).found.rules)


def test_a_network_volume_cannot_be_judged_alone(root: Path) -> None:
    """Treated like NFS nothing is wrong either, but one machine cannot tell what another one sees."""
    report = quick(root, network=True)
    assert report.verdict is Verdict.UNKNOWN
    assert codes(report, Weight.UNSURE) == {"alone"}
    assert not wrong(report)


# -- two sides --------------------------------------------------------------------------------------------------------

_SIDE = """
import json, sys
from quire.doctor import volume
from quire.doctor.examination import Request, document, examine
from quire.process.progress import Progress
from quire.store.posix import directory
from tests.doctor import test_doctor

class Screen(Progress):
    def say(self, sentence):
        print(sentence, file=sys.stderr, flush=True)

volume.describe, directory.cached_times = test_doctor.facts(), test_doctor.stands_by
options = json.loads(sys.argv[1])
if fault := options.pop("fault", ""):
    getattr(test_doctor, fault)()
print(json.dumps(document(examine(Request(**options), Screen()))))
"""


def started(root: Path, **options: Any) -> subprocess.Popen[str]:
    """A process that examines `root`. `fault` is the name of a function here that it calls first."""
    request = {"root": str(root), "quick": True, "rounds": 6, "wait": 60} | options
    return subprocess.Popen(
        [sys.executable, "-c", _SIDE, json.dumps(request)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent.parent,
    )


def sides(root: Path, listening: dict[str, Any], connecting: dict[str, Any]) -> list[dict[str, Any]]:
    """The reports of two processes that are a pair; of a process that ended without one {}."""
    with started(root, listen=("127.0.0.1", 0), **listening) as one:
        assert one.stderr is not None
        port = int(one.stderr.readline().rpartition(":")[2])
        with started(root, peer=("127.0.0.1", port), **connecting) as other:
            reports = []
            for process in (one, other):
                out, errors = process.communicate(timeout=120)
                assert "Traceback" not in errors, errors
                reports.append(json.loads(out or "{}"))
    return reports


def test_two_processes_agree(root: Path) -> None:
    """The plan of the one that listens counts; the verdict is one; nothing is left."""
    before = everything_below(root)
    one, other = sides(root, {"rounds": 4}, {"rounds": 8})
    assert (one["verdict"], other["verdict"]) == ("keeps", "keeps"), (one["findings"], other["findings"])
    assert (one["peer"]["side"], other["peer"]["side"]) == (0, 1)
    assert one["rounds"] == other["rounds"] == 4
    asked = {each["code"]: each["asked"] for each in one["questions"]}
    assert asked["changed"] == one["rounds"]
    assert asked == {each["code"]: each["asked"] for each in other["questions"]}
    assert everything_below(root) == before


def test_two_processes_over_one_network_mount_prove_nothing(root: Path) -> None:
    """Neither can be behind the other; said in both reports, and nothing was wrong."""
    for report in sides(root, {"network": True}, {"network": True}):
        assert report["verdict"] == "unknown"
        assert {each["code"] for each in report["findings"] if each["weight"] != "advice"} == {"same-mount"}
        assert not any(each["wrong"] for each in report["questions"])


def refuse_changes() -> None:
    """A client whose memory of one record is behind for good: each change of it is refused."""
    write = PosixRecords.write

    def refusing(self: PosixRecords, key: str, data: bytes | None, expected: Record, *more: bytes | None) -> Record:
        if key == "doctor/changed/steady" and expected.data is not None:
            raise Conflict("Another writer was faster.")
        return write(self, key, data, expected, *more)

    PosixRecords.write = refusing  # type: ignore[method-assign, assignment] # in a process of its own
    races.REFUSED_SECONDS = 0.1


def break_off() -> None:
    """A volume that fails on this side only, after all has been asked."""

    def broken(*_: object) -> None:
        raise StoreError("The store cannot be written: Input/output error.")

    races.Races.run = broken  # type: ignore[method-assign, assignment] # in a process of its own


def forget_names() -> None:
    """A client that is one listing behind."""
    names = probes.Probe.names
    memories: dict[int, list[str]] = {}

    def forgetful(self: probes.Probe) -> list[str]:
        before = memories.get(id(self), [])
        memories[id(self)] = names(self)
        return before

    probes.Probe.names = forgetful  # type: ignore[method-assign] # in a process of its own


def vanish() -> None:
    """Killed with kill -9, or without power, in the middle."""
    races.Races.run = lambda *_: os._exit(1)  # type: ignore[method-assign] # in a process of its own


def be_stopped() -> None:
    """Stopped by a signal in the middle: it tidies up."""

    def stop(*_: object) -> bool:
        raise SystemExit(143)

    probes.Listing.sees = stop  # type: ignore[method-assign, assignment] # in a process of its own


@pytest.mark.parametrize("fault", ["vanish", "be_stopped"])
@pytest.mark.parametrize("leaver", [0, 1])
def test_a_side_that_goes_away_in_the_middle(root: Path, leaver: int, fault: str) -> None:
    """The other one says so, claims nothing, and leaves nothing of its own."""
    before = everything_below(root)
    options: list[dict[str, Any]] = [{}, {}]
    options[leaver] = {"fault": fault}
    reports = sides(root, options[0], options[1])
    assert reports[leaver] == {}
    report = reports[1 - leaver]
    assert report["verdict"] == "unknown", report["findings"]
    assert "peer-gone" in {each["code"] for each in report["findings"]}
    left = {"/".join(name.split("/")[:3]) for name in everything_below(root) - before}
    assert len(left) == (1 if fault == "vanish" else 0)


@pytest.mark.parametrize("other", ["", "break_off"])
def test_both_come_to_one_verdict_when_the_test_breaks_off(root: Path, other: str) -> None:
    """Changes are refused to one side for good, which breaks the promise; both say so, and why they broke off."""
    for report in sides(root, {"fault": "refuse_changes"}, {"fault": other}):
        assert report["verdict"] == "breaks", report["findings"]
        found = {each["code"] for each in report["findings"] if each["weight"] != "advice"}
        assert {"change", "incomplete"} <= found
        assert any("Another writer was faster" in each["sentence"] for each in report["findings"])


def test_what_one_side_found_counts_though_the_other_one_fails(root: Path) -> None:
    """One side met stale answers, and the other one's volume then failed: no for both, with the same reasons."""
    reports = sides(root, {"fault": "forget_names", "rounds": 12}, {"fault": "break_off", "rounds": 12})
    for report in reports:
        assert report["verdict"] == "breaks", report["findings"]
        assert {"listing", "incomplete"} <= {each["code"] for each in report["findings"]}
        assert any("QUIRE_COARSE_CHANGES=" in each["advice"] for each in report["findings"])


class Listener(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def say(self, sentence: str) -> None:
        self.heard.append(sentence)


@pytest.mark.parametrize(
    ("option", "said", "found"),
    [
        ("listen", "run there within 0 s: quire doctor DIR --peer 127.0.0.1:", "No second machine joined within 0 s."),
        ("peer", "quire doctor DIR --listen ", "within 0 s: Connection refused."),
    ],
)
def test_no_peer_joins(root: Path, option: str, said: str, found: str) -> None:
    """The examination goes on alone, and does not claim more than it saw; what was waited for is said."""
    listener = Listener()
    request = Request(str(root), wait=0.2, quick=True, rounds=2)
    address = ("127.0.0.1", free_port())
    request = replace(request, listen=address) if option == "listen" else replace(request, peer=address)
    report = examine(request, listener)
    assert report.verdict is Verdict.UNKNOWN
    (finding,) = (each for each in report.found.findings if each.code == "no-peer")
    assert found in finding.sentence
    assert report.found.tallies
    assert any(said in sentence for sentence in listener.heard)


def look_briefly() -> None:
    """So that a test need not wait for what is not there."""
    pairing.MARKER_SECONDS = 0.2


def test_two_processes_with_different_directories(root: Path, tmp_path: Path) -> None:
    """The side that connects ends with the reason; the side that listens says it, and goes on waiting."""
    with started(root, listen=("127.0.0.1", 0), fault="look_briefly") as one:
        assert one.stderr is not None
        port = int(one.stderr.readline().rpartition(":")[2])
        with started(tmp_path, peer=("127.0.0.1", port), fault="look_briefly") as other:
            report = json.loads(other.communicate(timeout=120)[0])
        assert report["verdict"] == "unknown"
        (finding,) = (each for each in report["findings"] if each["code"] == "incomplete")
        assert f"does not see the directory {tmp_path}" in finding["sentence"]
        assert f"127.0.0.1 was refused: The other machine does not see the directory {root}" in one.stderr.readline()
        one.kill()


# -- bad volumes ------------------------------------------------------------------------------------------------------


def test_hard_links_that_do_not_exist(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else can be tried then, and the reason is one sentence."""

    def link(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)
    report = quick(root)
    assert report.verdict is Verdict.BREAKS
    assert codes(report, Weight.BREAKS) == {"no-hard-links"}
    assert not report.found.tallies


def test_a_link_that_replaces(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """link() that takes a name which is there loses changes."""
    link = os.link

    def replacing(source: str, target: str, **more: Any) -> None:
        if os.path.exists(target):
            os.unlink(target)
        link(source, target, **more)

    monkeypatch.setattr(os, "link", replacing)
    assert codes(quick(root), Weight.BREAKS) == {"link-replaces"}


def test_a_link_that_two_win(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exclusive on each machine, not between them: only the race of two sides finds it."""
    link = os.link

    def lenient(source: str, target: str, **more: Any) -> None:
        try:
            link(source, target, **more)
        except FileExistsError:
            if "/races/link/" not in target:
                raise

    monkeypatch.setattr(os, "link", lenient)
    report = quick(root)
    assert codes(report, Weight.BREAKS) == {"link-race"}
    (tally,) = (each for each in report.found.tallies if each.wrong)
    assert tally.wrong == tally.asked


def test_without_fsync(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories that cannot be synced make nothing durable."""

    def refuse(fd: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refuse)
    assert codes(quick(root), Weight.BREAKS) >= {"no-fsync"}


def test_exclusive_creation_that_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """O_EXCL that is ignored, and a directory renamed onto a full one."""
    real_open, rename = os.open, os.rename

    def lenient(path: Any, flags: int, *more: Any, **named: Any) -> int:
        return real_open(path, flags & ~os.O_EXCL, *more, **named)

    def replacing(source: str, target: str) -> None:
        scratch.remove(target)
        rename(source, target)

    monkeypatch.setattr(os, "open", lenient)
    monkeypatch.setattr(os, "rename", replacing)
    found = {each.code for each in primitives.try_primitives(str(tmp_path), Directories(str(tmp_path), network=False))}
    assert {"no-exclusive-create", "rename-replaces"} <= found


def test_inodes_that_differ_between_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems invent a number for each name; a repeated LINK could not be recognised."""
    monkeypatch.setattr(primitives, "is_same_file", lambda *_: False)
    directories = Directories(str(tmp_path), network=False)
    assert [each.code for each in primitives.try_primitives(str(tmp_path), directories)] == ["link-inode"]


def test_short_names_and_other_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short names are a matter of advice; an unexpected error is not, unless the disk is only full."""

    def fails(number: int) -> Callable[..., None]:
        def create(path: str, data: bytes) -> None:
            if "creating_a_long_name" in path:
                raise OSError(number, os.strerror(number))
            posix_files.create_durable(path, data)

        return create

    weights = []
    for number in (errno.ENAMETOOLONG, errno.EIO, errno.ENOSPC):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.setattr(primitives, "create_durable", fails(number))
        (finding,) = primitives.try_primitives(str(folder), Directories(str(folder), network=False))
        weights.append((finding.code, finding.weight))
    assert weights == [
        ("short-names", Weight.ADVICE),
        ("cannot-try", Weight.BREAKS),
        ("cannot-try", Weight.UNSURE),
    ]


def test_times_that_stand_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that answers fstat from memory for good, after an open too; or one that never stands by its answer."""
    monkeypatch.setattr(primitives, "COARSE_RACY_SECONDS", 0.1)
    directories = Directories(str(tmp_path), network=False)
    identity = directories.identity(str(tmp_path))
    monkeypatch.setattr(Directories, "identity", lambda *_: identity)
    (tmp_path / "one").mkdir()
    assert [each.code for each in primitives.try_primitives(str(tmp_path / "one"), directories)] == ["still-times"]
    monkeypatch.setattr(Directories, "identity", lambda *_: None)
    (tmp_path / "other").mkdir()
    (finding,) = primitives.try_primitives(str(tmp_path / "other"), directories)
    assert (finding.code, finding.weight) == ("never-certain", Weight.ADVICE)


def remembering(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """A client that answers opens and fstats of directories from memory so many times, as a FUSE mount may.

    Every handle on the store stands for a machine with a memory of its own.
    """
    open_directory = Directories.open
    memories: dict[tuple[int, str], tuple[int, Any]] = {}

    def stale(self: Directories, path: str) -> Any:
        opened = open_directory(self, path)
        if "/two-nodes/store/quire/records" not in path or opened is None:
            return opened
        left, identity = memories.get((id(self), path), (0, None))
        if left == 0:
            left, identity = times, opened[1]
        memories[id(self), path] = left - 1, identity
        return opened[0], identity

    monkeypatch.setattr(Directories, "open", stale)


def test_stale_attributes_are_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client answers from memory for a while: the test of two sides finds it."""
    monkeypatch.setattr(RacyWindow, "__init__", _settles_at_once)
    remembering(monkeypatch, 50)
    report = quick(root, rounds=12)
    assert report.verdict is Verdict.BREAKS
    assert {"changed", "names"} <= wrong(report)
    assert {"changed", "names"} <= codes(report, Weight.BREAKS)


def _settles_at_once(
    self: RacyWindow, seconds: float | None = None, clock: Callable[[], float] = time.monotonic
) -> None:
    self.seconds = 0.0
    self.clock = clock
    self._may_refine = False


@pytest.mark.parametrize("breaks_off", [False, True])
def test_listings_that_miss_names_are_found(root: Path, monkeypatch: pytest.MonkeyPatch, breaks_off: bool) -> None:
    """A server with a coarse change attribute: opened and listed, a folder lacks the entries made in the same tick. The
    setting to make is named though the examination breaks off.
    """
    monkeypatch.setattr(probes.Probe, "names", probes.Probe.names)  # so that it is put back
    monkeypatch.setattr(races.Races, "run", races.Races.run)
    forget_names()
    if breaks_off:
        break_off()
    report = quick(root, rounds=12)
    assert "listing" in codes(report, Weight.BREAKS)
    (finding,) = (each for each in report.found.findings if each.code == "listing")
    assert "change attribute" in finding.advice
    assert "QUIRE_COARSE_CHANGES=" in finding.advice


@pytest.mark.parametrize("creates", [True, False])
def test_both_sides_count_when_both_are_in_one_process(
    root: Path, monkeypatch: pytest.MonkeyPatch, creates: bool
) -> None:
    """A wrong answer is a no, whichever side got it; each question was asked in all rounds."""
    make = probes.make_probes

    def blind(*args: Any, **more: Any) -> list[probes.Probe]:
        made = make(*args, **more)
        if more["creates"] is creates:
            for probe in made:
                monkeypatch.setattr(type(probe), "sees", lambda self, number, blind=probe: self is not blind)
        return made

    monkeypatch.setattr(two_nodes, "make_probes", blind)
    report = quick(root, rounds=6)
    assert "listing" in codes(report, Weight.BREAKS)
    (tally,) = (each for each in report.found.tallies if each.code == "listing")
    assert (tally.asked, tally.wrong) == (6, 3)


@pytest.mark.parametrize(
    ("tick_ms", "now", "said"),
    [
        (10.000128, 0.0, "set QUIRE_COARSE_CHANGES=0.02 (--coarse-changes 0.02)"),
        (0.2, 0.0, "set QUIRE_COARSE_CHANGES=0.001 "),
        (1000.0, 0.0, "set QUIRE_COARSE_CHANGES=2 "),
        (4.0, 0.008, "It is set to --coarse-changes 0.008, which is not enough"),
        (None, 0.0, "twice the step of its clock"),
    ],
)
def test_the_setting_for_a_coarse_server_is_named_with_its_value(tick_ms: float | None, now: float, said: str) -> None:
    """From the clock as it was measured; other findings get no such advice."""
    finding, other = Finding("listing", Weight.BREAKS, "So.", "Export xfs."), Finding("changed", Weight.BREAKS, "So.")
    advice = advise_coarse_changes(finding, Measures(tick_ms=tick_ms), now).advice
    assert advice.startswith("Export xfs. ")
    assert said in advice
    assert advise_coarse_changes(other, Measures(tick_ms=tick_ms), now) == other


def test_it_is_examined_as_servers_are_set(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the setting everything that is asked about was announced; nothing that is not the doctor's was touched."""
    touched: set[str] = set()
    publish_change = Changes.publish_change

    def noting(self: Changes, *directories: str) -> None:
        if self.tick:
            touched.update(directories)
        publish_change(self, *directories)

    monkeypatch.setattr(Changes, "publish_change", noting)
    assert quick(root, coarse_changes=0.001).verdict is Verdict.KEEPS
    assert all("/doctor-" in directory for directory in touched)
    assert any(directory.endswith("/probes/listing") for directory in touched)
    assert any("/records/" in directory for directory in touched)


def test_a_counter_that_cannot_be_changed_is_given_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client whose memory stays behind is refused for ever; the examination ends all the same, and says it."""
    write = PosixRecords.write

    def refusing(self: PosixRecords, key: str, data: bytes | None, expected: Record, *more: bytes | None) -> Record:
        if key == "doctor/races/counter" and b'"1"' in (data or b""):
            raise Conflict("Another writer was faster.")
        return write(self, key, data, expected, *more)

    monkeypatch.setattr(PosixRecords, "write", refusing)
    monkeypatch.setattr(races, "REFUSED_SECONDS", 0.1)
    report = quick(root)
    (tally,) = (each for each in report.found.tallies if each.code == "lost-update")
    assert 0 < tally.wrong <= tally.asked
    assert report.verdict is Verdict.BREAKS


def test_a_store_that_fails_in_the_test_is_reported(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors in place of answers count as wrong answers and are quoted."""
    names = PosixRecords.names

    def failing(self: PosixRecords, prefix: str, known: Names | None = None) -> Names:
        if prefix == "doctor/names" and known is not None and known.names:
            raise StoreError("The store cannot list doctor/names: Input/output error.")
        return names(self, prefix, known)

    monkeypatch.setattr(PosixRecords, "names", failing)
    report = quick(root)
    assert report.verdict is Verdict.BREAKS
    said = [each.said for each in report.found.tallies if each.code == "names"]
    assert "Input/output error" in said[0]


def test_a_broken_rule_is_reported(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure of the conformance suite is a finding, in its own words."""
    monkeypatch.setattr(PosixNames, "match_marker", lambda *_: None)
    report = quick(root)
    assert report.verdict is Verdict.BREAKS
    assert any("names" in each.sentence for each in report.found.findings if each.code == "conformance")


def test_late_questions_are_reported(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may have hidden wrong answers, so nothing is claimed."""
    monkeypatch.setattr(two_nodes, "SLOW_NOTICE", 0.0)
    report = quick(root)
    assert report.verdict is Verdict.UNKNOWN
    assert codes(report, Weight.UNSURE) == {"slow-notices"}


def test_an_answer_of_a_folder_that_its_owner_removes_does_not_count() -> None:
    """The owner ends the connection before it removes the folder."""
    one, other = (Channel(end) for end in socket.socketpair())
    with closing(one):
        counts = Counts(one.check)
        counts.ask("changed", lambda: False)
        other.close()
        with pytest.raises(PeerGone):
            counts.ask("changed", lambda: False)
        assert counts.tally("changed", "", required=True).wrong == 1


def test_a_full_disk_is_no_verdict(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When not even a folder can be made, it cannot be told; nothing is said against the volume."""

    def full(path: str, *_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr(os, "mkdir", full)
    report = quick(root)
    assert report.verdict is Verdict.UNKNOWN
    assert codes(report) == {"incomplete"}


# -- what is concluded from looking -----------------------------------------------------------------------------------


def judged(**known: Any) -> set[tuple[str, Weight]]:
    mount = Mount(
        "/data", known.get("filesystem", "ext4"), known.pop("source", "server:/"), known.pop("options", ("rw",))
    )
    seen = replace(_describe("/"), unwritable=[], foreign_owners=[], umask=0o022, **(_DISK | known | {"mount": mount}))
    return {(each.code, each.weight) for each in volume.judge(seen)}


NFS = {"filesystem": "nfs4", "local": False}
GOOD = ("hard", "relatime", "rw", "vers=4.1")


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({}, None),
        (NFS | {"options": GOOD}, None),
        (NFS | {"options": (*GOOD, "nocto")}, ("nocto", Weight.BREAKS)),
        (NFS | {"options": ("hard", "rw", "vers=3")}, ("nfs-version", Weight.ADVICE)),
        (NFS | {"options": ("soft", "rw", "vers=4.1")}, ("soft", Weight.ADVICE)),
        (NFS | {"options": (*GOOD, "noac")}, ("slow-options", Weight.ADVICE)),
        (NFS | {"options": (*GOOD, "lookupcache=none")}, ("slow-options", Weight.ADVICE)),
        (NFS | {"options": GOOD, "delegations": True}, ("directory-delegations", Weight.UNSURE)),
        (NFS | {"options": GOOD, "delegations": False}, None),
        (NFS | {"options": ("rw", "vers=4.0"), "delegations": True}, None),
        (NFS | {"options": GOOD, "delegations": True, "source": "fs-1.efs.eu-west-1.amazonaws.com:/"}, None),
        ({"filesystem": "fuse.sshfs", "local": False}, ("caching-client", Weight.UNSURE)),
        ({"filesystem": "cifs", "local": False}, ("caching-client", Weight.UNSURE)),
        ({"filesystem": "9p", "local": False}, ("caching-client", Weight.UNSURE)),
        ({"filesystem": "virtiofs", "local": False}, ("caching-client", Weight.UNSURE)),
        ({"filesystem": "ceph", "local": False}, ("unknown-filesystem", Weight.UNSURE)),
        ({"filesystem": "tmpfs"}, ("volatile", Weight.BREAKS)),
        ({"filesystem": "overlay"}, ("container-layer", Weight.ADVICE)),
        ({"options": ("ro",)}, ("read-only", Weight.BREAKS)),
        ({"options": ("nobarrier", "rw")}, ("unsafe-writes", Weight.BREAKS)),
        ({"nested": ["/data/quire/blobs"]}, ("nested-mount", Weight.BREAKS)),
        ({"free_bytes": 10**6}, ("space", Weight.ADVICE)),
        ({"free_inodes": 5}, ("inodes", Weight.ADVICE)),
        ({"free_inodes": None}, None),
        ({"user": 0}, ("root", Weight.ADVICE)),
    ],
)
def test_judging_the_facts(known: dict[str, Any], expected: tuple[str, Weight] | None) -> None:
    """Each fact alone has its one consequence, and good ones have none."""
    assert judged(**known) == ({expected} if expected else set())


def test_rights_to_write() -> None:
    """Folders that this user cannot write, and folders of others, are named."""
    seen = replace(_describe("/"), **_DISK, unwritable=["/data/quire/records"], foreign_owners=[7, 8])
    findings = {each.code: each for each in volume.judge(seen)}
    assert "/data/quire/records" in findings["permission"].sentence
    assert "7, 8" in findings["owners"].sentence


def test_the_facts_of_this_machine(root: Path) -> None:
    """Looking raises nothing, finds the store, and agrees with the kernel about what is free."""
    seen = _describe(str(root))
    assert seen.has_store
    assert seen.mount is not None
    assert str(root).startswith(seen.mount.point)
    assert 0 <= seen.umask <= 0o777
    assert seen.free_bytes > 0
    assert seen.user == os.geteuid()
    assert seen.unwritable == []


def test_nocto_is_diagnosed_though_the_store_refuses_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store would not open; the doctor says why once, and tries everything all the same."""
    mount = Mount("/", "nfs4", "server:/", (*GOOD, "nocto"))
    monkeypatch.setattr(volume, "describe", facts(local=False, filesystem="nfs4", mount=mount))
    monkeypatch.setattr("quire.store.posix.store.filesystem_type", lambda _: ("nfs", False))
    monkeypatch.setattr(
        "quire.store.posix.store.read_mounts", lambda: [Mount("/", "nfs4", "server:/", ("nocto", "rw"))]
    )
    report = quick(root)
    assert codes(report, Weight.BREAKS) == {"nocto"}
    assert report.found.tallies
    assert report.found.rules


def test_a_folder_in_the_way_is_reported(empty: Path) -> None:
    """A folder named quire that is no store."""
    (empty / "quire").mkdir()
    (empty / "quire" / "mine").touch()
    report = quick(empty)
    assert codes(report, Weight.UNSURE) == {"layout"}


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (Measures(tick_ms=4.0, settle_s=0.1, clock_skew_s=0.0), set()),
        (Measures(tick_ms=1000.0, settle_s=2.5, clock_skew_s=-0.9), {("whole-seconds", Weight.ADVICE)}),
        (Measures(tick_ms=2000.0, settle_s=2.5, clock_skew_s=-0.9), {("whole-seconds", Weight.ADVICE)}),
        (Measures(tick_ms=999.0, settle_s=2.5, clock_skew_s=0.0), set()),
        (Measures(tick_ms=1000.0, settle_s=0.1, clock_skew_s=0.0), {("coarse-times", Weight.BREAKS)}),
        (Measures(tick_ms=None, settle_s=2.5, clock_skew_s=0.0), {("coarse-times", Weight.BREAKS)}),
        (Measures(tick_ms=4.0, settle_s=0.1, clock_skew_s=-90.0), {("clock", Weight.ADVICE)}),
    ],
)
def test_judging_the_clock(measured: Measures, expected: set[tuple[str, Weight]]) -> None:
    """Timestamps coarser than what the store waits for break the promise; a clock that is off does not."""
    assert {(each.code, each.weight) for each in measures.judge(measured)} == expected


def test_verdicts() -> None:
    """A breach outweighs an uncertainty; advice weighs nothing; a single wrong answer is one too many."""
    breaks, unsure, advice = (Finding("code", weight, "So it is.") for weight in Weight)
    assert verdict([]) is verdict([advice]) is Verdict.KEEPS
    assert verdict([advice, unsure]) is Verdict.UNKNOWN
    assert verdict([unsure, breaks]) is Verdict.BREAKS
    assert (
        judge_tallies([Tally("stat", "stat", 10, 10, required=False), Tally("changed", "A", 9, 0, required=True)]) == []
    )
    (finding,) = judge_tallies([Tally("changed", "A record", 1000, 1, required=True)])
    assert finding.weight is Weight.BREAKS
    assert "wrong 1 of 1000 times" in finding.sentence


MOUNTINFO = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
40 22 0:35 / /data rw,relatime shared:9 - nfs4 server:/export rw,vers=4.1,hard
41 40 0:36 / /data/my\040files rw - fuse.sshfs me@there: rw
42 22 0:37 / /data2 rw - tmpfs tmpfs rw
broken line
"""
MOUNTSTATS = """device /dev/sda1 mounted on / with fstype ext4
device server:/export mounted on /data with fstype nfs4 statvers=1.1
\tage:\t1
\tper-op statistics
\t        NULL: 1 1 0 44 24 0 0 0 0
\t     GETATTR: 17 17 0 3 4 5 6 7 0
device server:/other mounted on /data2 with fstype nfs4 statvers=1.1
\tper-op statistics
\t     GETATTR: 99 17 0 3 4 5 6 7 0
"""


def test_reading_mounts(tmp_path: Path) -> None:
    """The longest mount point that is a folder above; names with blanks; mounts inside; counts of one mount."""
    info, stats = tmp_path / "mountinfo", tmp_path / "mountstats"
    info.write_text(MOUNTINFO)
    stats.write_text(MOUNTSTATS)
    mounts = read_mounts(str(info))
    found = mount_of("/data/packages", mounts)
    assert found == Mount("/data", "nfs4", "server:/export", ("hard", "relatime", "rw", "vers=4.1"))
    assert [mount.point if (mount := mount_of(path, mounts)) else None for path in ("/data22", "/data/my files/x")] == [
        "/",
        "/data/my files",
    ]
    assert mounts_below("/data", mounts) == ["/data/my files"]
    assert operations("/data", str(stats)) == {"NULL": 1, "GETATTR": 17}
    assert operations("/", str(stats)) is None
    assert operations("/data", str(tmp_path / "none")) is None
    assert read_mounts(str(tmp_path / "none")) == []


# -- tidying up -------------------------------------------------------------------------------------------------------


def test_an_interruption_leaves_nothing(root: Path) -> None:
    """Ctrl-C in the middle of the test."""
    before = everything_below(root)

    class Interrupting(Progress):
        def reach(self, done: int) -> None:
            if done == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        examine(Request(str(root), quick=True, rounds=6), Interrupting())
    assert everything_below(root) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing(root: Path, number: int) -> None:
    """The command waits for a second machine and is ended by the keyboard or by an orchestrator."""
    before = everything_below(root)
    process = subprocess.Popen(
        # tests in the background of a shell ignore the keyboard, and so do their children
        ["env", "--default-signal", *quire_command("doctor", str(root), "--listen", "127.0.0.1:0")],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    with process:
        try:
            assert "waiting for the second machine" in process.stderr.readline()
            assert everything_below(root) != before
            process.send_signal(number)
            assert process.wait(30) in {130, 128 + number}
        finally:
            process.kill()
    assert everything_below(root) == before


def test_what_a_killed_doctor_leaves_is_swept(root: Path) -> None:
    """Its folder has folders in it; a server's sweep removes them all, once they are old."""
    left = root / "quire" / "incoming" / "doctor-0123"
    (left / "two-nodes" / "probes").mkdir(parents=True)
    (left / "two-nodes" / "file").touch()
    assert PosixStore.open(root).sweep(older_than=-1) == 1
    assert everything_below(root / "quire" / "incoming") == set()


def test_a_folder_in_use_stays_young(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no sweep takes a long examination's folder away."""
    os.utime(tmp_path, (0, 0))
    keep = scratch.KeepAlive(str(tmp_path))
    keep()
    assert tmp_path.stat().st_mtime == 0
    monkeypatch.setattr(time, "monotonic", lambda: float("inf"))
    keep()
    assert tmp_path.stat().st_mtime > 0


# -- the command ------------------------------------------------------------------------------------------------------


def run(*arguments: str) -> int:
    return cli.main(["doctor", *arguments])


def test_the_command_for_people(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It names the file system and ends with a verdict in plain words; the exit code is 0."""
    assert run(str(root), "--quick", "--rounds", "2") == 0
    out = capsys.readouterr().out
    assert "File system: ext4, /dev/sda1 mounted at /" in out
    assert "Options: relatime,rw" in out
    assert "Yes: this volume keeps quire's promise." in out
    assert "always right" in out
    assert "a folder is believed 0.1 s after a change" in out


def test_whole_seconds_are_explained(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Timestamps of whole seconds keep the promise; a note says what they mean for files that people copy."""
    measure = measures.measure
    monkeypatch.setattr(measures, "measure_clock", lambda _: Measures(tick_ms=1000.0, clock_skew_s=-0.5))
    monkeypatch.setattr(measures, "measure", lambda *given: replace(measure(*given), settle_s=2.5))
    assert run(str(root), "--quick", "--rounds", "2") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Yes: this volume keeps quire's promise." in out
    assert "Note: Timestamps come in steps of 1 s" in out
    assert "for 2.5 s after its last change each answer reads a drop-in file again" in out


def test_the_command_for_scripts(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON document with the documented keys."""
    assert run(str(root), "--quick", "--rounds", "2", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "keeps"
    assert report["findings"] == []
    assert report["rounds"] == 2
    assert set(report) == {
        *("directory", "verdict", "findings", "filesystem", "store", "peer", "rounds", "quick"),
        *("rules", "questions", "measures"),
    }


def test_a_store_that_is_not_as_declared_is_a_note(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the first differences; the verdict does not depend on it. A file that nothing differs from is no finding."""
    monkeypatch.setattr(command, "examine", lambda *_: Report(volume.describe(str(root)), False, Plan(1, True)))
    file = tmp_path / "quire.toml"
    settings = 'quota = "1G"\nuploads = false\noverwrite = true\nkeep = ["dev:1"]\n'
    for text, differences in ((settings, 4), ("uploads = true\n", 0), ("qouta = 1\n", 1)):
        file.write_text(f"[indexes.main]\n{text}")
        assert run(str(root), "--config", str(file), "--json") == 0
        findings = json.loads(capsys.readouterr().out)["findings"]
        assert [(each["code"], each["weight"]) for each in findings] == [("not-as-declared", "advice")] * bool(
            differences
        )
        if differences == 4:
            assert "main: overwrite = true, in the store false; " in findings[0]["sentence"]
            assert findings[0]["sentence"].endswith("; and 1 more.")
        if differences == 1:
            assert "did you mean quota" in findings[0]["sentence"]


@pytest.mark.parametrize(
    ("weight", "code", "word"),
    [(Weight.BREAKS, 1, "Because:"), (Weight.UNSURE, 2, "Not known because:"), (Weight.ADVICE, 0, "Note:")],
)
def test_exit_codes(
    root: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    weight: Weight,
    code: int,
    word: str,
) -> None:
    """0, 1 and 2 are the three verdicts; each reason comes with what to change."""
    report = Report(volume.describe(str(root)), False, Plan(1, True))
    report.found.findings.append(Finding("some", weight, "So it is.", "Change it."))
    report.found.tallies.append(Tally("stat", "stat", 10, 7, required=False))
    report.found.measures = Measures(read_ms=1.0, read_operations={"GETATTR": 1.0})
    report.peer, report.side = Node("other-machine", "boot", 1), 0
    monkeypatch.setattr(command, "examine", lambda *_: report)
    assert run(str(root)) == code
    out = capsys.readouterr().out
    assert f"{word} So it is. Change it." in out
    assert "wrong 7 of 10" in out
    assert "1 GETATTR" in out
    assert "Tested with: other-machine" in out


def test_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory that is none, and flags that are nonsense: one line, exit code 2."""
    assert run(str(tmp_path / "missing")) == 2
    assert "cannot be examined: No such file or directory" in capsys.readouterr().err
    for flags in (["--rounds", "0"], ["--rounds", "many"], ["--wait", "-1"], ["--wait", "soon"]):
        with pytest.raises(SystemExit) as ended:
            run(str(tmp_path), *flags)
        assert ended.value.code == 2


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--peer", "DIR"], "run 'quire doctor DIR --listen PORT' on one machine and 'quire doctor DIR --peer"),
        (["DIR", "--peer"], "is no HOST:PORT"),
        (["DIR", "--peer", "7000"], "is no HOST:PORT"),
        (["DIR", "--peer", "host:0"], "is no HOST:PORT"),
        (["DIR", "--peer", "host:65536"], "is no HOST:PORT"),
        (["DIR", "--peer", "::1:7000"], "is no HOST:PORT"),
        (["DIR", "--peer", "http://host:7000"], "is no HOST:PORT"),
        (["DIR", "--listen", "host"], "is no PORT or HOST:PORT"),
        (["DIR", "--listen", ":7000"], "is no PORT or HOST:PORT"),
        (["DIR", "--listen", "70000"], "is no PORT or HOST:PORT"),
        (["DIR", "--listen", "7000", "--peer", "host:7000"], "not allowed with"),
    ],
)
def test_wrong_addresses(tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: str) -> None:
    """One line that says what to write instead."""
    with pytest.raises(SystemExit) as ended:
        run(*(str(tmp_path) if word == "DIR" else word for word in flags))
    assert ended.value.code == 2
    errors = capsys.readouterr().err
    assert said in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("flag", "text", "expected"),
    [
        ("listen", "7000", ("", 7000)),
        ("listen", "10.0.0.5:0", ("10.0.0.5", 0)),
        ("listen", "[::1]:7000", ("::1", 7000)),
        ("peer", "node-1.example.org:7000", ("node-1.example.org", 7000)),
        ("peer", "[fe80::1%eth0]:7000", ("fe80::1%eth0", 7000)),
    ],
)
def test_addresses(
    root: Path, monkeypatch: pytest.MonkeyPatch, flag: str, text: str, expected: tuple[str, int]
) -> None:
    """As they reach the examination."""
    asked: list[Request] = []

    def examining(request: Request, _: Progress) -> Report:
        asked.append(request)
        return Report(volume.describe(str(root)), False, Plan(1, True))

    monkeypatch.setattr(command, "examine", examining)
    run(str(root), f"--{flag}", text)
    assert getattr(asked[0], flag) == expected


def test_an_address_that_is_taken(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, exit code 2, and nothing is left."""
    before = everything_below(root)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(str(root), "--quick", "--listen", f"127.0.0.1:{port}") == 2
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use. Name" in capsys.readouterr().err
    assert everything_below(root) == before


def test_the_report_can_be_written_as_json(root: Path) -> None:
    """Also when next to nothing could be told."""
    seen = replace(volume.describe(str(root)), mount=None, free_inodes=None)
    json.dumps(document(Report(seen, False, Plan(1, True))))


def test_a_missing_directory_is_a_configuration_error(tmp_path: Path) -> None:
    """For users of the library."""
    with pytest.raises(ConfigurationError):
        examine(Request(str(tmp_path / "missing")))
