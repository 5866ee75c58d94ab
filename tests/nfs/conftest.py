"""One machine at a time: booted when the first test asks for its file system, used by all that do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.nfs.rig import FileSystem, Machine, booted


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--hammer", type=float, default=10.0, metavar="SECONDS", help="how long each hammer test goes on")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures that the programs reported."""
    terminalreporter.section("what the programs in the machine reported")
    for outcome in ("passed", "failed", "skipped"):
        for report in terminalreporter.getreports(outcome):
            for program, figures in report.user_properties:
                terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]} {program}: {figures}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that names no file system runs on all."""
    named = any("file_system" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "file_system" in metafunc.fixturenames and not named:
        metafunc.parametrize("file_system", get_args(FileSystem))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, and let those that use the same file system follow one another."""
    ours = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    for item in ours:
        item.add_marker("nfs")
    if len(ours) == len(items):
        items.sort(key=_file_system)


def _file_system(item: pytest.Item) -> str:
    assert isinstance(item, pytest.Function)
    return str(item.callspec.params["file_system"])


class Machines:
    """The machine that runs, if any."""

    def __init__(self) -> None:
        self._machine: Machine | None = None
        self._file_system = ""
        self._running = ExitStack()

    def get(self, file_system: FileSystem) -> Machine:
        if self._machine is None or self._machine.lost or file_system != self._file_system:
            self.stop()
            self._machine = self._running.enter_context(booted(file_system))
            self._file_system = file_system
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

    def __init__(self, machine: Machine, node: pytest.Item) -> None:
        self._machine = machine
        self._node = node
        self.mount = machine.mount

    def run(self, program: str, *, timeout: int = 150, **arguments: Any) -> dict[str, Any]:
        report = self._machine.run(program, timeout=timeout, **arguments)
        self._node.user_properties.append((program, report))
        return report


@pytest.fixture
def machine(machines: Machines, file_system: FileSystem, request: pytest.FixtureRequest) -> Recorded:
    """A machine whose server exports this file system, its clients mounted with the options that EFS recommends."""
    made = machines.get(file_system)
    made.mount()
    return Recorded(made, request.node)


@pytest.fixture
def hammering(request: pytest.FixtureRequest) -> float:
    """Seconds that a hammer test goes on."""
    return float(request.config.getoption("--hammer"))
