"""The workers' counts in files that all of them can read. See the package's theory of operation.

The format of the files is prometheus_client's, from its multiprocess mode (`values`); its own reader adds them up. Its
metric objects are not used: they take a lock for each addition.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from quire.observe.metrics.catalog import SECONDS, Metric
from quire.observe.metrics.values import ValuesFile, value_key

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family
    from prometheus_client.registry import Collector

Labels = tuple[str, ...]
Value = tuple[Metric, Labels, float]

_LOCK = "lock"
_DEAD = "dead"
_RESERVED_BYTES = 128 * 1024
"""Room for all series of one file, taken at once: to write where a full disk has none kills the process (SIGBUS)."""
_BOUNDS = (*map(str, SECONDS), "+Inf")


class ProcessFiles:
    """The files of this process. Made by the process that writes them, after any fork."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = f"{os.getpid()}-{_birth(os.getpid()) or 0}"
        self._files: dict[str, ValuesFile] = {}
        self._keys: dict[tuple[str, Labels], str] = {}
        self._written: dict[tuple[str, Labels], float] = {}

    def write(self, values: Iterable[Value]) -> None:
        """Write the values that are not there yet. Raises OSError."""
        for metric, labels, value in values:
            self._put(metric, metric.name, labels, value, metric.labels)

    def write_histogram(self, metric: Metric, labels: Labels, bins: list[int], total: float) -> None:
        """Write a histogram: how many fell into each bin, and the sum of all. Raises OSError."""
        names = (*metric.labels, "le")
        for bound, number in zip(_BOUNDS, bins, strict=True):
            self._put(metric, f"{metric.name}_bucket", (*labels, bound), number, names)
        self._put(metric, f"{metric.name}_sum", labels, total, metric.labels)

    def close(self) -> None:
        """Let go of the files; what they say stays."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _put(self, metric: Metric, name: str, labels: Labels, value: float, label_names: Labels) -> None:
        if self._written.get((name, labels)) == value:
            return
        key = self._keys.get((name, labels))
        if key is None:
            key = self._keys[name, labels] = value_key(metric.family, name, label_names, labels, metric.help)
        self._file(metric).write(key, value)
        self._written[name, labels] = value

    def _file(self, metric: Metric) -> ValuesFile:
        kind = f"{metric.kind}_{metric.mode}" if metric.mode else metric.kind
        file = self._files.get(kind)
        if file is None:
            path = self._folder / f"{kind}_{self._name}.db"
            _reserve(path)
            file = self._files[kind] = ValuesFile(path)
        return file


def page(folder: Path, accept: str) -> tuple[bytes, str]:
    """The metrics of all processes as one page, and its media type, in the format that was asked for. Blocks.

    Raises OSError when the folder cannot be used.
    """
    from prometheus_client import CollectorRegistry  # noqa: PLC0415 - large (see `values`), and for this page only
    from prometheus_client.exposition import choose_encoder  # noqa: PLC0415 - as above

    try:
        encode, media_type = choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is none
        encode, media_type = choose_encoder("")
    registry = CollectorRegistry()
    registry.register(cast("Collector", _All(folder)))
    return encode(registry), media_type


class _All:
    """prometheus_client's reader, over the files of those who are alive and the sum of the dead (a Collector)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Family]:
        with _locked(self._folder):
            _bury(self._folder)
            files = sorted(str(path) for path in self._folder.glob("*.db") if _is_readable(path))
            merged = _merged(files)
        yield from sorted(merged, key=lambda family: str(family.name))

    def describe(self) -> list[Family]:
        """Nothing is read just for being registered."""
        return []


def bury(folder: Path) -> None:
    """Fold the counts of processes that have ended into one file a kind. Raises OSError."""
    with _locked(folder):
        _bury(folder)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / _LOCK).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # ended by the close
        yield


def _bury(folder: Path) -> None:
    """Add the counts of the dead to those of the earlier dead, and forget their gauges.

    A process that dies in here may have counted somebody twice; nobody reads meanwhile.
    """
    dead: dict[str, list[Path]] = {}
    for path in folder.glob("*.db"):
        kind, _, owner = path.stem.rpartition("_")
        if owner != _DEAD and not _is_alive(owner):
            dead.setdefault(kind, []).append(path)
    for kind, paths in dead.items():
        if not kind.startswith("gauge"):
            _add_up(folder / f"{kind}_{_DEAD}.db", paths)
        for path in paths:
            path.unlink(missing_ok=True)


def _add_up(sum_path: Path, paths: list[Path]) -> None:
    files = [str(path) for path in (*paths, sum_path) if path.exists() and _is_readable(path)]
    staging = sum_path.with_suffix(".new")
    staging.unlink(missing_ok=True)
    _reserve(staging)
    values = ValuesFile(staging)
    for family in _merged(files, accumulate=False):
        for sample in family.samples:
            names, labels = list(sample.labels), list(sample.labels.values())
            values.write(value_key(family.name, sample.name, names, labels, family.documentation), sample.value)
    values.close()
    staging.rename(sum_path)


def _merged(files: list[str], *, accumulate: bool = True) -> list[Family]:
    """The sums of the files; of a histogram's bins cumulative ones, if those are wanted."""
    from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415 - as in `page`

    # prometheus_client types only what is public
    return list(MultiProcessCollector.merge(files, accumulate=accumulate))  # type: ignore[no-untyped-call]


def _reserve(path: Path) -> None:
    """Take the file's room on the disk, or raise OSError and leave no file."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, _RESERVED_BYTES)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _is_readable(path: Path) -> bool:
    """Whether a file is whole; one whose writer was killed at its very first step is not."""
    from prometheus_client.mmap_dict import MmapedDict  # noqa: PLC0415 - as in `page`

    try:
        values = MmapedDict.read_all_values_from_file(str(path))  # type: ignore[no-untyped-call]  # as in `_merged`
        return all(json.loads(key) for key, *_ in values)
    except (OSError, ValueError, RuntimeError, struct.error):
        return False


def _is_alive(owner: str) -> bool:
    """Whether the process is that writes files of this name: its number, and when it began, as numbers come again."""
    number, _, birth = owner.partition("-")
    if not number.isdigit():
        return False
    began = _birth(int(number))
    if began is not None or os.path.isdir("/proc/self"):
        return began == birth
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _birth(pid: int) -> str | None:
    """When a process began, in ticks since the machine did (proc(5)); None when there is none, or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else fields[19]
