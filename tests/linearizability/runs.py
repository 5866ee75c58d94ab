"""The parts that all judged runs share: the work under kills, the report for people, quire without a safeguard, and the
command line of a run."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from quire import cli
from tests.linearizability.servers import Killer, Victim
from tests.linearizability.telling import tell

S = TypeVar("S", bound=StrEnum)
Row = tuple[str, object]
Rows = Sequence[Row]


class Findings:
    """The report of a run; a dataclass."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Any]]
    examples: list[str]
    """The first violations, in words."""

    @property
    def is_clean(self) -> bool:
        """Whether no answer was wrong or odd."""
        raise NotImplementedError

    def rows(self) -> Rows:
        """For the table."""
        raise NotImplementedError

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2)

    def table(self) -> str:
        """For people."""
        lines = [f"  {name:<16} {value}" for name, value in self.rows()]
        return "\n".join([*lines, *(f"\n{example}" for example in self.examples)])


def odd_rows(odd: Mapping[str, int]) -> Rows:
    """Of the answers that no client should get."""
    return [("odd answer", f"{number:,} x {what}") for what, number in odd.items()]


# -- the work ---------------------------------------------------------------------------------------------------------


class _Plan(Protocol):
    @property
    def seconds(self) -> float: ...

    def random(self, whose: str) -> Any: ...


def under_kills(
    work: Callable[..., object],
    arguments: Sequence[tuple[object, ...]],
    plan: _Plan,
    victims: Sequence[Victim],
    tell: Callable[[str], object],
) -> int:
    """Let a process of clients work with each of these arguments while workers are killed: the number of kills."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=each) for each in arguments]
    began = time.monotonic()
    for process in processes:
        process.start()
    try:
        with Killer(victims, plan.random("killer")) as killer:
            while any(process.is_alive() for process in processes):
                time.sleep(0.2)
                tell(f"{time.monotonic() - began:5.0f} of {plan.seconds:.0f} s: {killer.kills:,} kills")
    finally:
        for process in processes:
            process.join(0.1)
            process.kill()
    assert all(process.exitcode == 0 for process in processes), "a process of clients failed; see above"
    return killer.kills


# -- quire without a safeguard ----------------------------------------------------------------------------------------


def run_without(kind: type[S], without: Callable[[S], AbstractContextManager[None]]) -> int:
    """Run the command of quire whose words follow the name of a safeguard on this command line, without it."""
    with without(kind(sys.argv[1])):
        return cli.main(sys.argv[2:])


def command(module: str, safeguard: StrEnum, *arguments: object) -> list[str]:
    """The command line of such a module, for `quire_servers`."""
    return [sys.executable, "-m", module, safeguard, *map(str, arguments)]


# -- the command line of a run ----------------------------------------------------------------------------------------


def main(
    module: str,
    description: str,
    torture: Callable[..., Findings],
    kind: type[StrEnum],
    numbers: Mapping[str, tuple[int, str]],
) -> int:
    """Run servers over a new directory, or over a bucket, and print the report. 0: every answer is right; 1: not.

    `numbers`: options of the run besides those that all have, their defaults and helps.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    add = parser.add_argument
    add("--seconds", type=float, default=600.0)
    add("--seed", type=int, default=1, help="the same seed asks for the same operations in the same order")
    add("--bucket", metavar="URL", help="serve a bucket instead of a directory")
    for name, (default, words) in numbers.items():
        add(f"--{name}", type=int, default=default, help=words)
    add("--kill-every", type=float, default=1.0, metavar="SECONDS", help="a worker of each server; 0: never")
    add("--without", choices=list(kind), default=kind("none"), type=kind, help="remove this safeguard")
    add("--report", type=Path, metavar="FILE", help="write the report as JSON as well")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="torture-") as made:
        folder = Path(made)
        report = torture(
            [arguments.bucket or folder / "packages"],
            folder,
            seed=arguments.seed,
            seconds=arguments.seconds,
            kinds=("gunicorn", "gunicorn"),
            kill_every=arguments.kill_every,
            safeguard=arguments.without,
            tell=tell,
            **{name: getattr(arguments, name) for name in numbers},
        )
    return told(report, arguments.report)


def told(report: Findings, file: Path | None) -> int:
    """Print a report, and write it to a file; the exit code."""
    if file is not None:
        file.write_text(f"{report.to_json()}\n")
    print(report.table())
    return 0 if report.is_clean else 1
