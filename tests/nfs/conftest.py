"""One machine at a time: booted when the first test asks for its file system, used by all that do."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it ships no types

from tests.nfs import results
from tests.nfs.rig import FileSystem, Machine, PairOfMachines, booted, booted_apart

_LONG = "test_linearizability.py"
_SHOWN = 160  # characters of a report that is not in the table


def pytest_addoption(parser: pytest.Parser) -> None:
    help_text = "how long each hammer test goes on (default: 10); the judged runs take six times as long"
    parser.addoption("--hammer", type=float, default=10.0, metavar="SECONDS", help=help_text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures that the programs reported."""
    rows, others = [], []
    for outcome in ("passed", "failed", "skipped"):
        for report in terminalreporter.getreports(outcome):
            for program, document in report.user_properties:
                row = results.row(document)
                if row is not None:
                    rows.append(row)
                else:
                    others.append(f"{document['run']} {program}: {str(document['report'])[:_SHOWN]}")
    if rows or others:
        terminalreporter.section("what the programs in the machine reported")
        for line in (*others, *(results.table(rows) if rows else ())):
            terminalreporter.write_line(line)
        terminalreporter.write_line(f"All of it: {results.RESULTS}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that names no file system runs on all."""
    named = any("file_system" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "file_system" in metafunc.fixturenames and not named:
        metafunc.parametrize("file_system", get_args(FileSystem))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark them, and let those that use the same machine follow one another."""
    ours = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    for item in ours:
        item.add_marker("nfs")
    if len(ours) == len(items):
        items.sort(key=_machine_of)


def _machine_of(item: pytest.Item) -> tuple[bool, bool, str, str]:
    assert isinstance(item, pytest.Function)
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    machine = str(parameters.get("delay", "")), str(parameters.get("file_system", ""))
    return not _is_long(item.nodeid), "pair" in item.fixturenames, *machine


def _is_long(nodeid: str) -> bool:
    """Of more than a minute."""
    return f"/{_LONG}::" in nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """With several processes: all short tests of a file system in one of them, so that none boots what another has
    booted; the long ones before them, each where there is time, so that the processes end at about the same time."""
    config.option.loadscopereorder = False
    return _ByFileSystem(config, log)


class _ByFileSystem(LoadScopeScheduling):  # type: ignore[misc]  # as above
    def _split_scope(self, nodeid: str) -> str:
        _, _, parameters = nodeid.partition("[")
        names = [name for name in get_args(FileSystem) if re.search(rf"\b{name}\b", parameters)]
        return nodeid if _is_long(nodeid) else max(names, key=len, default=nodeid)


class Machines:
    """The machine that runs, if any."""

    def __init__(self) -> None:
        self._machine: Machine | None = None
        self._what = ("", "")
        self._running = ExitStack()

    def get(self, file_system: FileSystem, delay: str) -> Machine:
        if self._machine is None or self._machine.lost or self._what != (file_system, delay):
            self.stop()
            self._machine = self._running.enter_context(booted(file_system, delay))
            self._what = (file_system, delay)
        return self._machine

    def stop(self) -> None:
        self._machine = None
        self._running.close()


@pytest.fixture(scope="session")
def machines() -> Iterator[Machines]:
    made = Machines()
    yield made
    made.stop()


class Recorded:
    """A machine, for one test; keeps what its programs report."""

    def __init__(self, machine: Machine, node: pytest.Item, file_system: str, delay: str = "") -> None:
        self._machine = machine
        self._node = node
        self._file_system = file_system
        self._delay = delay
        self._options = ""
        self._programs = 0

    def mount(self, options: str) -> None:
        """See `Machine.mount`."""
        self._machine.mount(options)
        self._options = options

    def run(self, program: str, *, timeout: int = 150, **arguments: Any) -> dict[str, Any]:
        """See `Machine.run`."""
        report = self._machine.run(program, timeout=timeout, **arguments)
        self._programs += 1
        document = {
            "run": self._node.name,
            "number": self._programs,
            "program": program,
            "arguments": arguments,
            "file_system": self._file_system,
            "options": self._options,
            "delay": self._delay,
            "kernel": self._machine.kernel,
            "recorded": datetime.now(UTC).isoformat(timespec="seconds"),
            "report": report,
        }
        results.save(document)
        self._node.user_properties.append((program, document))
        return report


@pytest.fixture
def delay() -> str:
    """Of the wire between server and clients, each way; a test's parameters may say another one."""
    return ""


@pytest.fixture
def machine(machines: Machines, file_system: FileSystem, delay: str, request: pytest.FixtureRequest) -> Recorded:
    """A machine whose server exports this file system, its clients mounted with the options that EFS recommends."""
    made = machines.get(file_system, delay)
    made.mount()
    return Recorded(made, request.node, file_system, delay)


class RecordedPair(Recorded):
    """Two machines, for one test: the clients', which runs programs, and the server's, whose power is cut."""

    def __init__(self, pair: PairOfMachines, node: pytest.Item, file_system: str) -> None:
        super().__init__(pair, node, file_system)
        self._pair = pair

    @contextmanager
    def power_cuts(self, after: Sequence[float]) -> Iterator[tuple[str, list[bool]]]:
        """Cut the server's power so many seconds after the program has made the file that it is told of.

        Yields that file, and whether each cut lost what was not synchronised. Raises RigError at the end when the
        server did not come back.
        """
        lost: list[bool] = []
        failed: list[Exception] = []
        over = threading.Event()

        def cut() -> None:
            try:
                while not (self._pair.exchange / "begun").exists():
                    if over.wait(0.2):
                        return
                began = time.monotonic()
                for moment in after:
                    # a little to and fro, so that it is not always the same call that is cut
                    if over.wait(max(0.0, began + moment + random.random() - time.monotonic())):
                        return
                    lost.append(self._pair.cut_power())
            except Exception as error:  # noqa: BLE001 - raised by the thread that waits
                failed.append(error)

        thread = threading.Thread(target=cut)
        thread.start()
        try:
            yield "/run/exchange/begun", lost
        finally:
            over.set()
            thread.join()
        if failed:
            raise failed[0]


@pytest.fixture
def pair(machines: Machines, file_system: FileSystem, request: pytest.FixtureRequest) -> Iterator[RecordedPair]:
    """Two machines: the server, which exports this file system, and both clients."""
    machines.stop()
    with booted_apart(file_system) as made:
        yield RecordedPair(made, request.node, file_system)


@pytest.fixture
def hammering(request: pytest.FixtureRequest) -> float:
    """Seconds that a hammer test goes on."""
    return float(request.config.getoption("--hammer"))
