"""The workers' counts in files that all of them can read. See the package's theory of operation.

Each process has one file: a JSON array of [name of the metric, values of its labels, numbers]. It is replaced as a
whole, so a reader never sees half of one, and a full disk is an error of the write and leaves the old file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import accumulate, groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from quire.observe.metrics.catalog import METRICS, NAMING, Metric

if TYPE_CHECKING:
    from prometheus_client import Metric as Family

Labels = tuple[str, ...]
Numbers = list[float]
"""One number; of a histogram the sum of all that was observed, then how many fell into each bin."""
Value = tuple[Metric, Labels, Numbers]

_LOCK = "lock"
_SUFFIX = ".json"
_STAGING_SUFFIX = ".new"
_EXITED = "dead"
_UNKNOWN = "0"
"""In place of the time when a process began."""
_OWN = re.compile(r"[0-9]+-[0-9]+(\.json|\.new)")
"""The names of files of one process. The folder has other things as well (`quire.process.siblings`)."""
_BY_NAME = {metric.name: metric for metric in METRICS}
_DECODER = msgspec.json.Decoder(list[tuple[str, Labels, Numbers]])


def own_file(folder: Path) -> Path:
    """Where this process writes its counts. Ask for it after any fork."""
    began = None
    with contextlib.suppress(OSError):
        began = _start_time(os.getpid())
    return folder / f"{os.getpid()}-{began or _UNKNOWN}{_SUFFIX}"


def write(path: Path, values: Iterable[Value]) -> None:
    """Replace the numbers in a file. Not for several threads at once. Raises OSError."""
    staging = path.with_suffix(_STAGING_SUFFIX)
    staging.write_bytes(msgspec.json.encode([(metric.name, labels, numbers) for metric, labels, numbers in values]))
    staging.rename(path)


def page(folder: Path, accept: str, *, with_names: bool) -> tuple[bytes, str]:
    """The metrics of all processes as one page, and its media type, in the format that was asked for. Blocks.

    `with_names`: whether those that name indexes and upstreams are on it.
    Raises OSError when the folder cannot be used.
    """
    from prometheus_client import CollectorRegistry  # noqa: PLC0415 - imports an HTTP server; for this page only
    from prometheus_client.exposition import choose_encoder  # noqa: PLC0415 - as above

    try:
        encode, media_type = choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is none
        encode, media_type = choose_encoder("")
    with _locked(folder):
        left = _fold(folder)
        values = _merged(_counted(folder), left)
    if not with_names:
        values = [each for each in values if NAMING.isdisjoint(each[0].labels)]
    registry = CollectorRegistry()
    registry.register(_Families(values))
    return encode(registry), media_type


class ProcessCounts(NamedTuple):
    """The counts of one living process."""

    pid: int
    heard: float
    """Seconds since the epoch: when it wrote them."""
    values: list[Value]


def shared(folder: Path) -> tuple[list[Value], list[ProcessCounts]]:
    """The counts of all processes together, with those that have ended, and of each that is alive. Blocks.

    Raises OSError when the folder cannot be used.
    """
    with _locked(folder):
        left = _fold(folder)
        paths = sorted(_counted(folder))
        values = _merged(paths, left)
        return values, [each for path in paths if path not in left and (each := _counts_of(path)) is not None]


def _counts_of(path: Path) -> ProcessCounts | None:
    """None for the counts of those that have ended, and for a file that is gone."""
    number = path.stem.partition("-")[0]
    if not number.isdigit():
        return None
    try:
        heard = path.stat().st_mtime
    except OSError:
        return None
    return ProcessCounts(int(number), heard, _merged([path]))


def fold(folder: Path) -> None:
    """Add the counts of processes that have ended to one file, and remove theirs. Raises OSError."""
    with _locked(folder):
        _fold(folder)


class _Families:
    """The values, as prometheus_client's encoders ask for them (prometheus_client.registry.Collector)."""

    def __init__(self, values: list[Value]) -> None:
        self._values = sorted(values, key=lambda value: value[0].family)

    def collect(self) -> Iterator[Family]:
        from prometheus_client import Metric as Family  # noqa: PLC0415 - as in `page`

        for metric, group in groupby(self._values, key=lambda value: value[0]):
            family = Family(metric.family, metric.help, metric.kind)
            for _, labels, numbers in group:
                _add_samples(family, metric, dict(zip(metric.labels, labels, strict=False)), numbers)
            yield family


def _add_samples(family: Family, metric: Metric, labels: dict[str, str], numbers: Numbers) -> None:
    if metric.kind != "histogram":
        family.add_sample(metric.name, labels, numbers[0])
        return
    total, *bins = numbers
    for bound, count in zip((*map(str, metric.bounds), "+Inf"), accumulate(bins), strict=False):
        family.add_sample(f"{metric.name}_bucket", labels | {"le": bound}, count)
    family.add_sample(f"{metric.name}_count", labels, sum(bins))
    family.add_sample(f"{metric.name}_sum", labels, total)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / _LOCK).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # ended by the close
        yield


def _fold(folder: Path) -> Sequence[Path]:
    """Merge the counters of exited processes into those of earlier ones, and remove their gauges. The files that are
    left where the disk has no room: their counters count where they are.

    A process that dies in here may have counted a process twice.
    """
    exited = _exited(folder)
    if not exited:
        return exited
    total = _total(folder)
    counts = _merged([total, *(path for path in exited if path.suffix == _SUFFIX)])
    try:
        write(total, (value for value in counts if value[0].kind != "gauge"))
    except OSError:
        return exited
    for path in exited:
        path.unlink(missing_ok=True)
    return ()


def _exited(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if _OWN.fullmatch(path.name) and not _is_alive(path.stem)]


def _counted(folder: Path) -> list[Path]:
    """The files of processes, and that of those that have ended."""
    of_processes = [path for path in folder.glob(f"*{_SUFFIX}") if _OWN.fullmatch(path.name)]
    return [_total(folder), *of_processes]


def _total(folder: Path) -> Path:
    return folder / f"{_EXITED}{_SUFFIX}"


def _merged(paths: Iterable[Path], exited: Collection[Path] = ()) -> list[Value]:
    """The values of several files as one. Passes over metrics that only another version of quire has, and over the
    gauges of exited processes."""
    found: dict[tuple[Metric, Labels], list[Numbers]] = {}
    for path in paths:
        for name, labels, numbers in _read(path):
            metric = _BY_NAME.get(name)
            if metric is not None and not (metric.kind == "gauge" and path in exited):
                found.setdefault((metric, labels), []).append(numbers)
    return [
        (metric, labels, [metric.merge(column) for column in zip(*rows, strict=False)])
        for (metric, labels), rows in found.items()
    ]


def _read(path: Path) -> list[tuple[str, Labels, Numbers]]:
    """The numbers in a file; none when it is gone or no file of ours."""
    try:
        return _DECODER.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return []


def _is_alive(owner: str) -> bool:
    """Whether the process is that writes files of this name: its number, and when it began, as numbers come again."""
    number, _, start_time = owner.partition("-")
    if not number.isdigit():
        return False
    try:
        began = _start_time(int(number))
    except OSError:  # too many open files: one that counts as dead by mistake would be counted twice
        return True
    if began is not None or os.path.isdir("/proc/self"):
        return began == start_time or (began is not None and start_time == _UNKNOWN)
    try:
        os.kill(int(number), 0)
    except OSError:  # no such process, or one of another user
        return False
    return True


def _start_time(pid: int) -> str | None:
    """When a process began, in ticks since the machine did (proc(5)); None when there is none, or it is a zombie.

    Raises OSError when that cannot be read.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in {"Z", "X"} else fields[19]
