"""The whole examination, in its order: facts, primitives, pairing, two-node test, measures, conclusions."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from quire.doctor import conformance, measures, primitives, volume
from quire.doctor.channel import Channel, PeerGone
from quire.doctor.findings import Finding, Found, Tally, Verdict, Weight, judge_tallies, verdict
from quire.doctor.pairing import Address, Node, Pair, Pairing, PeerTimeout, Plan
from quire.doctor.scratch import KeepAlive, make_store, open_store, scratch
from quire.doctor.two_nodes import TwoNodeTest
from quire.domain.errors import ConfigurationError, StoreError, UnknownLayout
from quire.process.progress import Progress
from quire.store.posix.directory import Directories
from quire.store.posix.files import unique_name
from quire.store.posix.mounts import Mount
from quire.store.posix.store import PosixStore

ROUNDS = 200
"""Rounds of each part of the test by default."""
QUICK_ROUNDS = 30
WAIT = 300.0
"""Seconds to wait for the second machine."""
_REPORT_PATIENCE = 600.0
"""Seconds that the other machine may take for its own examination after the test."""
_CLOSING_SECONDS = 10.0
"""Seconds for the report of a machine that may be gone."""
_GONE = "peer-gone"
_REPETITIONS = 100
_RUN = "asking right after changes"


@dataclass(frozen=True, slots=True)
class Request:
    """The parameters of an examination."""

    root: str
    listen: Address | None = None
    """Where to wait for a second machine; None: do not."""
    peer: Address | None = None
    """Where a second machine listens; None: do not connect. Without both the examination is of one machine."""
    wait: float = WAIT
    rounds: int = ROUNDS
    quick: bool = False
    network: bool | None = None
    """Whether to take the care that a network file system needs; None finds out, as the store does."""
    coarse_changes: float = 0.0
    """As servers are set; see PosixStore.open."""


@dataclass(slots=True)
class Report:
    """The result."""

    volume: volume.Volume
    network: bool
    plan: Plan
    found: Found = field(default_factory=Found)
    peer: Node | None = None
    """The other side, when there was one on a second mount or machine."""
    side: int | None = None

    @property
    def verdict(self) -> Verdict:
        return verdict(self.found.findings)


def examine(request: Request, progress: Progress | None = None) -> Report:
    """Examine a directory. Raises ConfigurationError when it is no directory, or cannot be asked anything."""
    progress = progress or Progress()
    try:
        root = os.path.realpath(os.path.expanduser(request.root), strict=True)
        os.listdir(root)
        seen = volume.describe(root)
    except OSError as error:
        raise ConfigurationError(
            f"The directory {request.root} cannot be examined: {error.strerror or error}. Create it, or name another."
        ) from error
    network = not seen.local if request.network is None else request.network
    report = Report(seen, network, Plan(request.rounds, request.quick))
    findings = report.found.findings
    findings += volume.judge(seen)
    findings += _refusal(root, {finding.code for finding in findings})
    directories = Directories(root, network=network)
    try:
        with scratch(root, unique_name()[:16]) as folder:
            _Examination(report, request, progress, folder, directories).run()
    except (OSError, StoreError) as error:
        findings += _broken_off(error, seen)
    report.found.findings = [
        measures.advise_coarse_changes(each, report.found.measures, request.coarse_changes) for each in findings
    ]
    return report


class _Examination:
    """The tests in the scratch folder."""

    def __init__(
        self, report: Report, request: Request, progress: Progress, folder: str, directories: Directories
    ) -> None:
        self._report = report
        self._request = request
        self._progress = progress
        self._folder = folder
        self._directories = directories
        self._keep_alive = KeepAlive(folder)

    def run(self) -> None:
        """Fill the report. Raises PeerGone, StoreError, OSError."""
        findings = self._report.found.findings
        self._progress.step("trying the file system", 1)
        os.mkdir(f"{self._folder}/primitives")
        findings += primitives.try_primitives(f"{self._folder}/primitives", self._directories)
        # Before anything can break off: the advice on what is found may need the clock's step.
        os.mkdir(f"{self._folder}/clock")
        self._report.found.measures = measures.measure_clock(f"{self._folder}/clock")
        self._progress.advance(1)
        works = not {finding.code for finding in findings} & primitives.NEEDED
        if self._request.listen is not None or self._request.peer is not None:
            self._with_peer(works=works)
        else:
            if works:
                self._run_alone()
                self._solo()
            if self._report.network:
                findings.append(_ALONE)

    def _run_alone(self) -> None:
        """Both sides in this process, as two workers on one machine."""
        ends = [Channel(connection) for connection in socket.socketpair()]
        mine = self._test(0, self._folder, ends[0], self._advance)
        other = self._test(1, self._folder, ends[1])
        failures: list[Exception] = []

        def run_other() -> None:
            try:
                other.run()
            except (OSError, StoreError) as error:
                failures.append(error)
            finally:
                ends[1].close()

        thread = threading.Thread(target=run_other, daemon=True)
        self._progress.step(_RUN, 2 * self._report.plan.rounds)
        thread.start()
        try:
            mine.run()
        except PeerGone:
            if failures and not isinstance(failures[0], PeerGone):
                raise failures[0] from None
            raise
        finally:
            ends[0].close()
            thread.join(5)
            self._conclude(mine, _summed(mine.tallies(), other.tallies()))

    def _run_test(self, side: int, folder: str, channel: Channel) -> None:
        self._progress.step(_RUN, 2 * self._report.plan.rounds)
        test = self._test(side, folder, channel, self._advance)
        try:
            test.run()
        finally:  # a test that broke off has found something, too
            self._conclude(test, test.tallies())

    def _conclude(self, test: TwoNodeTest, tallies: list[Tally]) -> None:
        found = self._report.found
        found.tallies += tallies
        found.findings += [*test.judge_notices(), *judge_tallies(tallies)]
        found.measures = replace(found.measures, notice_ms=test.notice_ms)

    def _solo(self) -> None:
        """The conformance suite and the measurements, in a store of this side's own."""
        found, plan = self._report.found, self._report.plan
        place = f"{self._folder}/solo"
        make_store(place)
        chosen = conformance.rules(quick=plan.quick)
        self._progress.step("checking the store's rules", len(chosen))
        found.rules, broken = conformance.check(lambda: self._open_store(place), chosen, self._advance)
        found.findings += broken
        self._progress.step("measuring", 1)
        mount = self._report.volume.mount
        found.measures = measures.measure(
            found.measures,
            self._open_store(place),
            None if mount is None else mount.point,
            _REPETITIONS // 4 if plan.quick else _REPETITIONS,
        )
        found.findings += measures.judge(found.measures)
        self._progress.advance(1)

    def _open_store(self, place: str) -> PosixStore:
        return open_store(place, network=self._report.network, coarse_changes=self._request.coarse_changes)

    def _test(
        self, side: int, folder: str, channel: Channel, advance: Callable[[int], object] = lambda done: None
    ) -> TwoNodeTest:
        report, coarse = self._report, self._request.coarse_changes
        network = report.network
        return TwoNodeTest(folder, side, channel, report.plan, network=network, coarse_changes=coarse, advance=advance)

    def _advance(self, done: int) -> None:
        self._keep_alive()
        self._progress.reach(done)

    def _with_peer(self, *, works: bool) -> None:
        request, report = self._request, self._report
        try:
            pairing = Pairing(self._folder, report.plan, self._directories, self._progress.say)
            if request.listen is not None:
                pair = pairing.listen(request.listen, request.wait)
            else:
                assert request.peer is not None
                pair = pairing.connect(request.peer, request.wait)
        except PeerTimeout as error:
            report.found.findings.append(replace(_NO_PEER, sentence=str(error)))
            if works:
                self._run_alone()
                self._solo()
            return
        with closing(pair.channel):
            report.peer, report.side, report.plan = pair.other, pair.side, pair.plan
            self._progress.say(f"testing with {pair.other.name}")
            self._judge_peer(pair.me, pair.other)
            self._run_with(pair, works=works)

    def _run_with(self, pair: Pair, *, works: bool) -> None:
        """Run the test and exchange the findings, also when it breaks off: both sides must come to the same verdict."""
        found, channel = self._report.found, pair.channel
        patience = _REPORT_PATIENCE
        try:
            if channel.exchange(works, bool) and works:
                self._run_test(pair.side, pair.folder, channel)
                self._solo()
        except (OSError, StoreError) as error:
            if isinstance(error, PeerGone):
                patience = _CLOSING_SECONDS
            found.findings += _broken_off(error, self._report.volume)
        self._progress.step("waiting for the other machine's report", 1)
        try:
            theirs = channel.part(_PeerReport(found.findings, found.tallies), _PeerReport, patience)
        except PeerGone as error:
            if not any(each.code == _GONE for each in found.findings):
                found.findings += _broken_off(error, self._report.volume)
        else:
            self._merge(theirs, pair.other.name)
        self._progress.advance(1)

    def _merge(self, theirs: _PeerReport, name: str) -> None:
        found = self._report.found
        found.tallies = _summed(found.tallies, theirs.tallies)
        known = {finding.code for finding in found.findings}
        for finding in theirs.findings:
            if finding.code not in known or (finding.weight is Weight.BREAKS and finding.code not in _SHARED):
                found.findings.append(replace(finding, sentence=f"On {name}: {finding.sentence}"))

    def _judge_peer(self, me: Node, other: Node) -> None:
        report = self._report
        if not me.shares_memory_with(other):
            if not report.network and me.boot != other.boot:
                report.found.findings.append(_STRANGE)
        elif report.network:
            report.found.findings.append(_SAME_MOUNT)


@dataclass(frozen=True, slots=True)
class _PeerReport:
    """The report that each machine sends to the other at the end."""

    findings: list[Finding]
    tallies: list[Tally]


_SHARED = {"link-race", "create-race", "mkdir-race", "lost-update"}
"""Counted by both sides together already."""
_ALONE = Finding(
    "alone",
    Weight.UNSURE,
    "One machine alone cannot find out when other machines see a change.",
    "Run this with --listen PORT here, and with --peer HOST:PORT on a second machine that has the volume mounted.",
)
_NO_PEER = Finding(
    "no-peer",
    Weight.UNSURE,
    "No second machine joined.",
    "Run this with --listen PORT on one machine and with --peer HOST:PORT on the other one, for the same directory; a "
    "firewall between them must let the port through.",
)
_SAME_MOUNT = Finding(
    "same-mount",
    Weight.UNSURE,
    "Both sides ran on one machine, over the same mount, so neither could be behind the other.",
    "Run the second one on another machine.",
)
_STRANGE = Finding(
    "shared-local",
    Weight.UNSURE,
    "The file system is one of a single machine, yet another machine sees the directory; quire does not take the care "
    "here that a shared volume needs.",
    "Share it by NFS 4.1.",
)


def _summed(tallies: Sequence[Tally], others: Sequence[Tally]) -> list[Tally]:
    """Each with the other side's counts of the same question."""
    theirs = {tally.code: tally for tally in others if tally.code not in _SHARED}
    return [
        tally
        if (other := theirs.get(tally.code)) is None
        else replace(
            tally, asked=tally.asked + other.asked, wrong=tally.wrong + other.wrong, said=tally.said or other.said
        )
        for tally in tallies
    ]


def _refusal(root: str, known: set[str]) -> list[Finding]:
    """Why a server would not start here, unless that was found already."""
    try:
        PosixStore.open(Path(root), create=False, read_only=True)
    except UnknownLayout as error:
        return [Finding("layout", Weight.UNSURE, str(error))]
    except StoreError as error:
        return [] if "nocto" in known else [Finding("refused", Weight.BREAKS, str(error))]
    return []


def _broken_off(error: Exception, seen: volume.Volume) -> list[Finding]:
    """The findings when not everything could be tried."""
    if isinstance(error, PeerGone):
        return [Finding(_GONE, Weight.UNSURE, str(error), "Run both again.")]
    if "ro" in seen.options or seen.unwritable:
        return []  # said already
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return [
        Finding(
            "incomplete",
            Weight.UNSURE,
            f"Not everything could be tried: {text}",
            "Repair that, and run this again.",
        )
    ]


def document(report: Report) -> dict[str, Any]:
    """The report for scripts. Its keys are an interface: they are added to, and never change their meaning."""
    seen, found = report.volume, report.found
    mount = seen.mount or Mount("", seen.filesystem, "", ())
    return {
        "directory": seen.root,
        "verdict": str(report.verdict),
        "findings": [asdict(finding) for finding in found.findings],
        "filesystem": {
            "type": seen.filesystem,
            "local": seen.local,
            "careful": report.network,
            "mount_point": mount.point,
            "source": mount.source,
            "options": list(mount.options),
            "kernel": seen.kernel,
            "free_bytes": seen.free_bytes,
            "free_inodes": seen.free_inodes,
        },
        "store": {
            "present": seen.has_store,
            "user": seen.user,
            "umask": f"{seen.umask:03o}",
            "unwritable": seen.unwritable,
            "foreign_owners": seen.foreign_owners,
        },
        "peer": None if report.peer is None else {"name": report.peer.name, "side": report.side},
        "rounds": report.plan.rounds,
        "quick": report.plan.quick,
        "rules": found.rules,
        "questions": [asdict(tally) for tally in found.tallies],
        "measures": asdict(found.measures),
    }
