"""How much memory a server's processes took at their peak (Linux)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    children = [child for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]
    return [pid, *(each for child in children for each in family(int(child)))]


def _size(pid: int, which: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (found,) = [line.split()[1] for line in lines if line.startswith(f"{which}:")]
    return int(found) * 1024


@contextmanager
def growth(pid: int) -> Iterator[Callable[[], int]]:
    """Within the block: by how many bytes the peak of any process of the family is above what it has now."""
    before = {each: _size(each, "VmRSS") for each in family(pid)}
    for each in before:
        Path(f"/proc/{each}/clear_refs").write_text("5")  # resets the peak
    yield lambda: max(_size(each, "VmHWM") - size for each, size in before.items())


def peak(pid: int) -> int:
    """Bytes that the largest process of the family ever had."""
    return max(_size(each, "VmHWM") for each in family(pid))
