"""The parts of the benchmarks that count questions to a file server: a FUSE file system, counters, reports, tables.

Replaced here: the number of the user, since tests may run as root.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks import fuse
from benchmarks.counted import Counter, idle, kinds
from benchmarks.fuse import Op, Request
from benchmarks.measures import network, nfs
from benchmarks.nfs_guest import COPIED
from benchmarks.nfs_report import NO_TIME, Report
from benchmarks.nfs_tables import over_network, over_nfs
from benchmarks.nfs_uploads import VISIBLE
from benchmarks.processes import Unavailable, family
from benchmarks.results import Figure, Missing, Results
from benchmarks.slow_files import Files
from benchmarks.targets import TARGETS

_HEADER = struct.Struct("<IiQ")
_FOREVER = 30


class Kernel:
    """Asks as the kernel does."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self.took_time: list[bool] = []

    def ask(self, op: int, node: int = fuse.ROOT, body: bytes = b"") -> bytes:
        """The body of the answer. Raises OSError."""
        answered = self._files.answer(Request(op, 7, node, body))
        assert answered is not None
        message, takes_time = answered
        self.took_time.append(takes_time)
        size, error, unique = _HEADER.unpack_from(message)
        assert (size, unique) == (len(message), 7)
        if error:
            raise OSError(-error, os.strerror(-error))
        return message[_HEADER.size :]

    def lookup(self, *names: str) -> tuple[int, int]:
        """(node, seconds for which its name may be trusted) of a path."""
        node, seconds = fuse.ROOT, 0
        for name in names:
            node, _, seconds = struct.unpack_from("<QQQ", self.ask(Op.LOOKUP, node, name.encode() + b"\0"))
        return node, seconds

    def listing(self, node: int, size: int) -> list[str]:
        """The names in a directory, asked for by parts of so many bytes."""
        handle = fuse.handle(self.ask(Op.OPENDIR, node))
        names: list[str] = []
        offset = 0
        while part := self.ask(Op.READDIR, node, struct.pack("<QQIIQII", handle, offset, size, 0, 0, 0, 0)):
            place = 0
            while place < len(part):
                _, offset, length, _ = struct.unpack_from("<QQII", part, place)
                names.append(part[place + 24 : place + 24 + length].decode())
                place += 24 + length + -length % 8
        self.ask(Op.RELEASEDIR, node, struct.pack("<QIIQ", handle, 0, 0, 0))
        return names


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with a folder and a file in it."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"0123456789")
    return tmp_path


# -- the file system --------------------------------------------------------------------------------------------------


def test_requests_are_read_as_the_kernel_writes_them() -> None:
    """The header is 40 bytes (linux/fuse.h); what follows is the request's own."""
    message = struct.pack("<IIQQIIIHH", 45, 1, 99, 5, 0, 0, 0, 0, 0) + b"name\0"
    assert fuse.request(message) == Request(Op.LOOKUP, 99, 5, b"name\0")
    assert fuse.name(b"name\0") == "name"


def test_answers_have_the_sizes_that_the_kernel_checks(directory: Path) -> None:
    """One byte more or less is an error: fuse_init_out, fuse_attr_out, fuse_entry_out, fuse_open_out, fuse_kstatfs."""
    kernel = Kernel(Files(str(directory), _FOREVER))
    assert len(kernel.ask(Op.INIT, 0, struct.pack("<IIII", 7, 41, 65536, 0xFFFFFFFF))) == 64
    assert len(kernel.ask(Op.GETATTR)) == 104
    assert len(kernel.ask(Op.LOOKUP, fuse.ROOT, b"folder\0")) == 128
    assert len(kernel.ask(Op.OPENDIR)) == 16
    assert len(kernel.ask(Op.STATFS)) == 80


def test_attributes_are_the_real_ones(directory: Path) -> None:
    """Times to the nanosecond: by them quire knows a directory again. Those of directories alone may be kept."""
    kernel = Kernel(Files(str(directory), _FOREVER))
    os.utime(directory / "folder", ns=(1_500_000_000_123_456_789, 1_600_000_000_987_654_321))
    node, _ = kernel.lookup("folder")
    found = kernel.ask(Op.GETATTR, node)
    assert struct.unpack_from("<QI", found) == (_FOREVER, 0)
    assert struct.unpack_from("<QI", kernel.ask(Op.GETATTR, kernel.lookup("folder", "file")[0])) == (0, 0)
    assert struct.unpack_from("<QI", Kernel(Files(str(directory), 0)).ask(Op.GETATTR)) == (0, 0)
    values = struct.unpack_from("<QQQQQQIIIIII", found, 16)
    assert values[0] == (directory / "folder").stat().st_ino
    assert (values[4], values[7]) == (1_600_000_000, 987_654_321)
    assert stat.S_ISDIR(values[9])


def test_names_of_directories_alone_are_trusted(directory: Path) -> None:
    """And those only when that was asked for."""
    assert Kernel(Files(str(directory), _FOREVER)).lookup("folder")[1] == _FOREVER
    assert Kernel(Files(str(directory), _FOREVER)).lookup("folder", "file")[1] == 0
    assert Kernel(Files(str(directory), 0)).lookup("folder")[1] == 0


def test_a_name_that_does_not_exist_is_trusted(directory: Path) -> None:
    """An NFS client remembers it as it remembers a directory. Node 0 says that there is none (fuse_entry_out)."""
    assert Kernel(Files(str(directory), _FOREVER)).lookup("nothing") == (0, _FOREVER)
    with pytest.raises(FileNotFoundError):
        Kernel(Files(str(directory), 0)).lookup("nothing")


def test_what_changes_is_seen_at_the_next_question(directory: Path) -> None:
    """Nothing is remembered here: a new name is found, a removed directory is stale."""
    kernel = Kernel(Files(str(directory), 0))
    node, _ = kernel.lookup("folder")
    with pytest.raises(FileNotFoundError):
        kernel.lookup("folder", "new")
    (directory / "folder" / "new").write_bytes(b"")
    kernel.lookup("folder", "new")
    for name in ("new", "file"):
        (directory / "folder" / name).unlink()
    (directory / "folder").rmdir()
    with pytest.raises(OSError, match=os.strerror(errno.ESTALE)):
        kernel.ask(Op.GETATTR, node)


def test_files_are_read_and_directories_listed(directory: Path) -> None:
    """A listing that does not fit into one answer comes in several."""
    for number in range(20):
        (directory / f"file-{number}").write_bytes(b"")
    kernel = Kernel(Files(str(directory), _FOREVER))
    assert sorted(kernel.listing(fuse.ROOT, 100)) == sorted(os.listdir(directory))
    node, _ = kernel.lookup("folder", "file")
    handle = fuse.handle(kernel.ask(Op.OPEN, node))
    assert kernel.ask(Op.READ, node, struct.pack("<QQIIQII", handle, 3, 4, 0, 0, 0, 0)) == b"3456"
    kernel.ask(Op.RELEASE, node, struct.pack("<QIIQ", handle, 0, 0, 0))


def test_questions_are_counted_and_take_time(directory: Path) -> None:
    """One for each GETATTR and LOOKUP, also when there is no such name; one GETATTR for a directory that is opened.

    None for a file: NFS opens it with its attributes.
    """
    files = Files(str(directory), _FOREVER)
    kernel = Kernel(files)
    kernel.ask(Op.GETATTR)
    kernel.lookup("nothing")
    kernel.ask(Op.OPENDIR)
    kernel.ask(Op.OPEN, kernel.lookup("folder", "file")[0])
    assert kernel.took_time == [True, True, True, True, True, False]
    assert files.asked == {"GETATTR": 2, "LOOKUP": 3}
    with pytest.raises(OSError, match=os.strerror(errno.ENOSYS)):
        kernel.ask(4711)
    assert files.asked["OP_4711"] == 1
    assert files.answer(Request(Op.FORGET, 8, fuse.ROOT, b"")) is None


def test_the_kernel_agrees(directory: Path) -> None:
    """Mounted in earnest: a directory opened and looked at costs one question, however deep it lies, and a name that
    does not exist costs one for the first time.
    """
    try:
        with network.away(directory, 0, _FOREVER) as (mounted, counter):
            os.listdir(mounted / "folder")  # the name is remembered from here on
            counter.restart()
            descriptor = os.open(mounted / "folder", os.O_RDONLY | os.O_DIRECTORY)
            status = os.fstat(descriptor)
            os.close(descriptor)
            assert not (mounted / "folder" / "nothing").exists()
            asked = counter.each(1)
            counter.restart()
            assert not (mounted / "folder" / "nothing").exists()
            asked_again = counter.each(1)
            assert (mounted / "folder" / "file").read_bytes() == b"0123456789"
    except Unavailable as error:
        pytest.skip(str(error))
    assert asked == {"all": 2.0, "GETATTR": 1.0, "LOOKUP": 1.0}
    assert asked_again == {"all": 0.0}
    assert status.st_mtime_ns == (directory / "folder").stat().st_mtime_ns
    assert str(mounted) not in Path("/proc/self/mounts").read_text()


def test_a_file_system_that_may_not_be_mounted_is_a_reason(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report names the user that could measure it."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(Unavailable, match="root"), network.away(directory, 0, _FOREVER):
        pass


def test_a_file_system_that_dies_is_unmounted(directory: Path) -> None:
    """Also when its process was killed: nothing is left on the machine."""
    try:
        with network.away(directory, 0, _FOREVER) as (mounted, _):
            (killed,) = (pid for pid in family(os.getpid())[1:] if str(mounted) in _command(pid))
            os.kill(killed, signal.SIGKILL)
    except Unavailable as error:
        pytest.skip(str(error))
    assert str(mounted) not in Path("/proc/self/mounts").read_text()


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")


# -- counting ---------------------------------------------------------------------------------------------------------


def test_a_counter_counts_since_its_restart() -> None:
    """Per request, by kind, and all together; kinds that did not come are left out."""
    now = {"GETATTR": 10, "READ": 5}
    counter = Counter(lambda: dict(now))
    now["GETATTR"] = 30
    assert counter.each(10) == {"all": 2.0, "GETATTR": 2.0}
    counter.restart()
    now.update(GETATTR=31, LOOKUP=3)
    assert counter.each(2) == {"all": 2.0, "GETATTR": 0.5, "LOOKUP": 1.5}


def test_what_a_worker_does_once_is_not_the_cost_of_a_request() -> None:
    """Of two halves of a quiet time the one with fewer questions counts."""
    asked = {"GETATTR": 0, "REMOVE": 0}

    def ask() -> None:
        asked["GETATTR"] += 2
        asked["REMOVE"] += asked["GETATTR"] == 4

    found = idle(Counter(lambda: dict(asked)), ask, requests=4)
    assert (found["all"], kinds(found)) == (2.0, "GETATTR 2")


def test_kinds_are_listed_most_frequent_first() -> None:
    """Other names are not among them."""
    assert kinds({"all": 2.0, "GETATTR": 0.5, "p50": 7.0, "LOOKUP": 1.5}) == "LOOKUP 1.5, GETATTR 0.5"


def _failing(error: Exception) -> Callable[[], dict[str, float]]:
    def measure() -> dict[str, float]:
        raise error

    return measure


def test_a_report_has_counts_or_reasons() -> None:
    """One question that fails, or for which no time is left, costs no other one."""
    now = 0.0
    report = Report(10, clock=lambda: now)
    report.note("quire", "page", lambda: {"all": 1.0})
    report.note("quire", "list", _failing(Unavailable("it is not there")))
    now = 11.0
    report.note("quire", "file", lambda: {"all": 1.0})
    assert report.noted.counts == {"quire": {"page": {"all": 1.0}}}
    assert report.noted.reasons == {"quire": {"list": "it is not there", "file": NO_TIME}}


# -- tables -----------------------------------------------------------------------------------------------------------


def _figure(measure: str, where: str, value: float, server: str = "quire", note: str = "") -> Figure:
    return Figure(measure=measure, corpus=where, server=server, value=value, unit="", note=note)


def test_the_table_of_nfs_has_all_servers_and_says_what_is_missing() -> None:
    """quire's rows first, whatever the order in which they were taken."""
    found = Results(started="2026-01-01 00:00 UTC")
    found.figures = [
        _figure(f"{nfs.TRIPS}: page, idle", nfs.WHERE, 1000, "simple-dir", "GETATTR 1e+03"),
        _figure(f"{nfs.TRIPS}: page, idle", nfs.WHERE, 2, note="GETATTR 2"),
        _figure(f"{nfs.MEDIAN}: page, idle", nfs.WHERE, 5.5),
        _figure(f"{nfs.STALE}: {VISIBLE}", nfs.WHERE, 0),
        _figure(f"{nfs.STALE}: {COPIED}", nfs.WHERE, 1, "cached-dir"),
    ]
    found.missing = [Missing(measure="*", corpus=nfs.WHERE, server="devpi", reason="it is\nnot there")]
    lines = over_nfs(found).splitlines()
    assert lines[2] == "| page, idle | 2 | GETATTR 2 |  | 5.50 |"
    assert lines[3] == "| page, idle: pypiserver, simple-dir | 1,000 | GETATTR 1e+03 |  |  |"
    told = "\n".join(lines[4:])
    assert "0 were missing" in told
    assert "pypiserver, cached-dir, did not see" in told
    assert "devpi-server (it is not there)" in told


def test_a_network_that_could_not_be_measured_has_a_reason() -> None:
    """Where no file system may be mounted, the report says so; of what was not asked for it says nothing."""
    found = Results(started="2026-01-01 00:00 UTC")
    assert over_network(found) == ""
    found.missing = [Missing(measure="network", corpus="*", server="*", reason="no FUSE")]
    assert over_network(found) == "Not measured: no FUSE.\n"


def test_the_target_behind_a_network_needs_its_rate() -> None:
    """Few questions are none at a load that never came."""
    (target,) = (each for each in TARGETS if each.what == "FUSE with 1 ms, 2,000 requests/s on one page")
    for trips, rate, expected in ((0.1, 1990.0, True), (0.3, 1990.0, False), (0.1, 900.0, False)):
        found = Results(started="2026-01-01 00:00 UTC")
        question = network.paced(2000)
        found.figures = [
            _figure(f"{network.QUESTIONS}: {question}", network.WHERE, trips),
            _figure(f"{nfs.RATE}: {question}", network.WHERE, rate),
        ]
        assert target.judge(found)[1] is expected
