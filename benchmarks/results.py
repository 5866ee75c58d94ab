"""The measurements, as they are kept in JSON, and the ratios in it.

A shot is one load on one server. Shots of one question make a group, in the order in which they were taken: quire, a
peer, quire, the next peer, quire. A peer is compared with the two shots of quire around its own, so that a machine
that slows down meanwhile slows down both.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from benchmarks.environments import PROJECT, installed_version
from benchmarks.load import Load

BASE = "quire"
_FORMER = {"quire-granian", "quire-asgi"}
"""Servers that quire could run in, and that results of that time have shots of."""


class Shot(msgspec.Struct, frozen=True, kw_only=True):
    """One load on one server."""

    measure: str
    corpus: str
    server: str
    """A peer's name, with "+bcrypt" where everything needs a login, or with "@" and a corpus of its own."""
    order: int
    """Its place in its group."""
    rate: float
    """Right answers per second."""
    seconds: float
    requests: int
    bytes: int
    errors: int
    p50: float
    """Milliseconds, as p99 and max."""
    p99: float
    max: float
    connections: int

    @property
    def bytes_per_second(self) -> float:
        return self.bytes / self.seconds


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One number that is no rate of a load."""

    measure: str
    corpus: str
    server: str
    value: float
    unit: str
    note: str = ""


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """A figure that could not be had, and why."""

    measure: str
    corpus: str
    server: str
    reason: str


class Results(msgspec.Struct, kw_only=True):
    """Everything of one run, or of several that measured parts."""

    started: str
    took: float = 0.0
    """Seconds."""
    sections: dict[str, float] = {}
    """The seconds of each section."""
    arguments: list[str] = []
    """Of each run."""
    machine: dict[str, str] = {}
    versions: dict[str, str] = {}
    shots: list[Shot] = []
    figures: list[Figure] = []
    missing: list[Missing] = []

    # -- writing ------------------------------------------------------------------------------------------------------

    def add(self, measure: str, corpus: str, server: str, order: int, load: Load) -> None:
        self.shots.append(
            Shot(
                measure=measure,
                corpus=corpus,
                server=server,
                order=order,
                rate=load.rate,
                seconds=load.seconds,
                requests=load.requests,
                bytes=load.bytes,
                errors=load.errors,
                p50=load.p50,
                p99=load.p99,
                max=load.max,
                connections=load.connections,
            )
        )

    # -- reading ------------------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, path: Path) -> Results:
        """The document that `benchmarks.kept.save` wrote, without the derived part, which is derived again, and
        without servers that are gone."""
        found = msgspec.json.decode(path.read_bytes(), type=cls)
        found.shots = [each for each in found.shots if each.server not in _FORMER]
        found.missing = [each for each in found.missing if each.server not in _FORMER]
        found.versions.pop("granian", None)
        return found

    @classmethod
    def joined(cls, parts: Sequence[Results]) -> Results:
        """Of runs on one machine that each measured a part; what several measured is the last one's."""
        latest = parts[-1]
        whole = cls(
            started=" and ".join(part.started for part in parts),
            took=sum(part.took for part in parts),
            arguments=[argument for part in parts for argument in part.arguments],
            machine=latest.machine,
            versions=latest.versions,
        )
        for part in parts:
            for section, seconds in part.sections.items():
                whole.sections[section] = whole.sections.get(section, 0.0) + seconds
            again = {(shot.measure, shot.corpus) for shot in part.shots}
            again |= {(figure.measure, figure.corpus) for figure in part.figures}
            whole.shots = [each for each in whole.shots if (each.measure, each.corpus) not in again]
            whole.figures = [each for each in whole.figures if (each.measure, each.corpus) not in again]
            whole.missing = [each for each in whole.missing if (each.measure, each.corpus) not in again]
            whole.missing = [each for each in whole.missing if each.corpus != "*" or each.measure not in part.sections]
            whole.shots += part.shots
            whole.figures += part.figures
            whole.missing += part.missing
        return whole

    def of(self, measure: str, corpus: str, server: str | None = None) -> list[Shot]:
        """The shots of a group, in their order; of one server only if named."""
        found = [shot for shot in self.shots if (shot.measure, shot.corpus) == (measure, corpus)]
        return sorted((each for each in found if server in {None, each.server}), key=lambda shot: shot.order)

    def rate(self, measure: str, corpus: str, server: str) -> float | None:
        """The mean of a server's shots; None when there is none."""
        rates = [shot.rate for shot in self.of(measure, corpus, server)]
        return sum(rates) / len(rates) if rates else None

    def ratio(self, measure: str, corpus: str, server: str, base: str = BASE) -> float | None:
        """The server's rate over that of `base`, each shot against the nearest of `base` before and after it."""
        group = self.of(measure, corpus)
        ratios = []
        for position, shot in enumerate(group):
            if shot.server == server:
                before = [each.rate for each in group[:position] if each.server == base][-1:]
                after = [each.rate for each in group[position + 1 :] if each.server == base][:1]
                around = before + after
                if around and sum(around):
                    ratios.append(shot.rate / (sum(around) / len(around)))
        return sum(ratios) / len(ratios) if ratios else None

    def spread(self, measure: str, corpus: str, server: str = BASE) -> float | None:
        """How far a server's own shots lie apart, as a share of their mean: the machine's noise."""
        rates = [shot.rate for shot in self.of(measure, corpus, server)]
        mean = sum(rates) / len(rates) if rates else 0
        return (max(rates) - min(rates)) / mean if len(rates) > 1 and mean else None

    def figure(self, measure: str, corpus: str, server: str = BASE) -> Figure | None:
        """The last one taken."""
        found = [each for each in self.figures if (each.measure, each.corpus, each.server) == (measure, corpus, server)]
        return found[-1] if found else None

    def value(self, measure: str, corpus: str, server: str = BASE) -> float | None:
        figure = self.figure(measure, corpus, server)
        return None if figure is None else figure.value

    def reason(self, measure: str, corpus: str, server: str) -> str | None:
        """Why there is no such figure; None when nothing is known of it. A measure "*" stands for all."""
        for each in self.missing:
            if (each.corpus, each.server) == (corpus, server) and each.measure in {measure, "*"}:
                return each.reason
        return None

    def measures(self) -> list[str]:
        """Of the shots, in the order in which they were taken."""
        return list(dict.fromkeys(shot.measure for shot in self.shots))


# -- the circumstances ------------------------------------------------------------------------------------------------


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def machine(directory: Path) -> dict[str, str]:
    """The machine of the run; `directory`: where the corpora are."""
    cpu = re.search(r"^model name\s*:\s*(.+)$", _text("/proc/cpuinfo"), re.M)
    memory = re.search(r"^MemTotal:\s*(\d+)", _text("/proc/meminfo"), re.M)
    system = re.search(r'^PRETTY_NAME="(.+)"$', _text("/etc/os-release"), re.M)
    return {
        "processors": f"{len(os.sched_getaffinity(0))} x {cpu[1].strip() if cpu else platform.machine()}",
        "memory": f"{int(memory[1]) / 1024**2:.0f} GiB" if memory else "unknown",
        "file system": _file_system(directory),
        "system": f"{system[1] if system else sys.platform}, Linux {platform.release()}",
    }


def versions(own: str) -> dict[str, str]:
    """Of everything that was compared; what is not installed is left out."""
    found = {"Python": platform.python_version(), "quire": own}
    for distribution in ("uvicorn", "h11", "uvloop", "gunicorn", "starlette", "msgspec", "bcrypt"):
        try:
            found[distribution] = version(distribution)
        except PackageNotFoundError:
            continue
    for environment, distribution in (
        ("pypiserver", "pypiserver"),
        ("pypiserver", "gevent"),
        ("devpi-server", "devpi-server"),
        ("simple-repository-server", "simple-repository-server"),
        ("proxpi", "proxpi"),
        ("peryx", "peryx"),
    ):
        if number := installed_version(environment, distribution):
            found[distribution] = number
    found["nginx"] = _first_number(["nginx", "-v"])
    found["wrk"] = _first_number(["wrk", "-v"])
    return {name: number for name, number in found.items() if number}


def own_version() -> str:
    done = _output(["git", "-C", str(PROJECT), "describe", "--always", "--dirty"])
    return f"{version('quire-index')} ({done.strip()})" if done.strip() else version("quire-index")


def _first_number(command: Sequence[str]) -> str:
    found = re.search(r"(?:nginx/|wrk )(?:debian/)?([0-9][0-9.]*)", _output(command))
    return found[1] if found else ""


def _output(command: Sequence[str]) -> str:
    environ = os.environ | {"PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"}
    try:
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _file_system(directory: Path) -> str:
    """The type of the file system that a directory is on (proc(5), mountinfo)."""
    mounts: Iterable[list[str]] = (line.split() for line in _text("/proc/self/mounts").splitlines())
    held = [(fields[1], fields[2]) for fields in mounts if directory.is_relative_to(fields[1])]
    return max(held, key=lambda each: len(each[0]), default=("", "unknown"))[1]
