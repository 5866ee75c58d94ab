"""The C library's allocator gives back large blocks, where it can be told to."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from quire.process.allocator import release_large_blocks

# After a block of 16 MiB was freed, does one of 8 MiB come from the heap, where it would stay?
_PROBE = """
import sys
from quire.process.allocator import release_large_blocks
if sys.argv[1] == "told":
    assert release_large_blocks({})
block = bytes(16 << 20)
del block
block = bytes(8 << 20)
heap = next(line for line in open("/proc/self/maps") if line.endswith("[heap]\\n")).split()[0]
start, stop = (int(edge, 16) for edge in heap.split("-"))
print(start <= id(block) < stop)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
@pytest.mark.parametrize(("told", "stays"), [("untold", "True"), ("told", "False")])
def test_a_large_block_does_not_stay(told: str, stays: str) -> None:
    """Told so, the allocator takes a large block from the system and gives it back, however many there were before."""
    command = [sys.executable, "-c", _PROBE, told]
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == stays


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_an_operator_who_tunes_it_is_left_alone(name: str) -> None:
    """Settings of the allocator's own win."""
    assert not release_large_blocks({"PATH": "/bin", name: "2"})
